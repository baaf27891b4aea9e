"""What every command owes its user: statuses, one-line errors, whole files, quiet pipes."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Tfbind, environment, wait_until_idle
from typer.core import TyperGroup
from typer.main import get_command

from tfbind.cli import app

PROGRAM = Path(sys.executable).with_name("tfbind")
COMMANDS = get_command(app)
assert isinstance(COMMANDS, TyperGroup)
BINS = "chr1\t0\t200\nchr1\t50\t250\n"
PEAKS = "chr1\t100\t160\n"

LEAVES = [
    f"{name} {leaf}" if leaf else name
    for name, command in COMMANDS.commands.items()
    for leaf in (command.commands if isinstance(command, TyperGroup) else [""])
]
each_command = pytest.mark.parametrize("command", LEAVES)
each_filter = pytest.mark.parametrize(
    "args",
    [
        ["label", "--conservative", "peaks.bed"],
        ["sample", "--accessible", "peaks.bed", "--background", "1"],
        ["features", "--fasta", "genome.fa"],
        ["evaluate", "--labels", "labels.bed"],
        ["scan", str(ROOT / "examples" / "data" / "motifs.meme"), "--fasta", "genome.fa"],
    ],
    ids=lambda args: args[0],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a tiny genome, bins, labels and peaks."""
    (tmp_path / "genome.fa").write_text(">chr1\n" + "ACGTTGCA" * 60 + "\n")
    (tmp_path / "sizes").write_text("chr1\t480\n")
    (tmp_path / "bins.bed").write_text(BINS)
    (tmp_path / "peaks.bed").write_text(PEAKS)
    (tmp_path / "labels.bed").write_text("chr1\t0\t200\tU\nchr1\t50\t250\tB\n")
    return tmp_path


def start(
    args: list[str | Path],
    folder: Path,
    stdin: int | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start the program, to signal it or to leave it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tfbind", *args],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment(env),
    )


def bash(script: str, folder: Path, env: dict[str, str] | None = None) -> tuple[str, str]:
    """Run a pipe in bash; give standard output and standard error."""
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment({"PATH": path, **(env or {})}),
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


def on_a_terminal(
    args: list[str | Path], folder: Path, env: dict[str, str] | None = None
) -> tuple[bytes, str]:
    """Run with standard error on a terminal; give standard output and what the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tfbind", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=folder,
        env=environment({"TERM": "xterm-256color", **(env or {})}),
    )
    os.close(theirs)
    assert process.stdout
    shown, out = b"", b""
    streams = [ours, process.stdout.fileno()]
    while streams:
        for stream in select.select(streams, [], [], 120)[0]:
            try:
                chunk = os.read(stream, 1 << 16)
            except OSError:  # Linux ends a terminal with an error.
                chunk = b""
            if not chunk:
                streams.remove(stream)
            elif stream == ours:
                shown += chunk
            else:
                out += chunk
    process.stdout.close()
    os.close(ours)
    assert process.wait(60) == 0, shown
    return out, shown.decode()


@pytest.fixture
def terminal() -> Iterator[int]:
    """Open a terminal that nobody types at."""
    ours, theirs = pty.openpty()
    yield theirs
    os.close(theirs)
    os.close(ours)


# Usage


@each_command
def test_an_unknown_option_is_wrong_usage(command: str, tfbind: Tfbind) -> None:
    done = tfbind(*command.split(), "--no-such-option")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"No such option: --no-such-option" in done.stderr


@each_command
def test_help_has_an_example_and_every_option_a_meaning(command: str, tfbind: Tfbind) -> None:
    done = tfbind(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert re.search(r"(?m)^  For example:\n\n(      .*\n)*      .*tfbind ", text)
    options = text.partition("\nOptions:\n")[2]
    assert options.count("--debug") == 1
    bare = re.findall(r"(?m)^  (-\S.*\S)\n(?!      )", options)
    assert [line for line in bare if not re.search(r"\S  +\S", line)] == []


def test_a_bare_call_shows_the_help(tfbind: Tfbind) -> None:
    done = tfbind()
    assert b"Commands:\n  fetch " in done.stdout + done.stderr


def test_the_version_names_what_results_depend_on(tfbind: Tfbind) -> None:
    done = tfbind("--version")
    assert (done.returncode, done.stderr) == (0, b"")
    names = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert names[0] == "tfbind"
    assert {"numpy", "pysam", "pyBigWig", "pyarrow", "onnxruntime", "providers"} <= set(names)


@each_filter
def test_a_terminal_on_standard_input_is_wrong_usage(
    args: list[str | Path], folder: Path, terminal: int
) -> None:
    refuses_a_terminal(args, folder, terminal)


@pytest.mark.parametrize("args", [["signal"], ["dream", "labels"], ["fetch", "-"]], ids=" ".join)
def test_nor_do_readers_of_other_data_wait_at_a_terminal(
    args: list[str | Path], folder: Path, terminal: int
) -> None:
    refuses_a_terminal(args, folder, terminal)


def refuses_a_terminal(args: list[str | Path], folder: Path, terminal: int) -> None:
    process = start(args, folder, terminal)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, b"")
    assert b"nothing on standard input" in said


def test_bin_without_a_genome_is_wrong_usage(tfbind: Tfbind) -> None:
    done = tfbind("bin")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"TFBIND_FASTA" in done.stderr


# Environment


def test_the_genome_may_come_from_the_environment(tfbind: Tfbind, folder: Path) -> None:
    genome = str(folder / "genome.fa")
    expected = b"".join(b"chr1\t%d\t%d\n" % (i, i + 200) for i in range(0, 281, 50))
    assert tfbind("bin", env={"TFBIND_FASTA": genome}).stdout == expected
    assert tfbind("bin", folder / "sizes", env={"TFBIND_FASTA": "/none"}).stdout == expected
    excluded = {"TFBIND_FASTA": genome, "TFBIND_BLACKLIST": str(folder / "peaks.bed")}
    assert (
        tfbind("bin", "--quiet", env=excluded).stdout == expected[-len(b"chr1\t200\t400\n") * 2 :]
    )


def test_the_console_script_is_the_same_program(folder: Path, tfbind: Tfbind) -> None:
    assert bash("tfbind bin sizes", folder)[0].encode() == tfbind("bin", folder / "sizes").stdout


# Errors


@each_filter
def test_bad_data_are_one_line_and_status_1(args: list[str], folder: Path, tfbind: Tfbind) -> None:
    args = [str(folder / arg) if (folder / arg).exists() else arg for arg in args]
    column = "\t0.5" if args[0] == "evaluate" else ""
    done = tfbind(*args, stdin=f"chr1\t0\t200{column}\nchr1\tfifty\t250{column}\n")
    assert done.returncode == 1
    assert done.stderr == (
        b"tfbind: standard input: line 2: found start 'fifty', "
        b"expected a number of base pairs, 0 or more\n"
    )


def test_debug_shows_where_an_error_arose(folder: Path, tfbind: Tfbind) -> None:
    (folder / "sizes").write_text("chr1\tlong\n")
    plain, debug = tfbind("bin", folder / "sizes"), tfbind("bin", folder / "sizes", "--debug")
    assert (plain.returncode, debug.returncode) == (1, 1)
    assert plain.stderr.startswith(b"tfbind: %s: line 1: " % bytes(folder / "sizes"))
    assert plain.stderr.count(b"\n") == 1
    assert debug.stderr.startswith(b"Traceback (most recent call last):\n")
    assert b"tfbind.errors.InputError" in debug.stderr


def test_a_full_disk_is_one_line(folder: Path) -> None:
    out, said = bash("tfbind bin sizes > /dev/full; echo $?", folder)
    assert out == "1\n"
    assert re.fullmatch(
        "tfbind: standard output: cannot be written: No space left on device; make room .*\n", said
    )


# Pipes


@pytest.mark.parametrize("env", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_reader_that_goes_away_is_no_error(env: dict[str, str], data: Path, folder: Path) -> None:
    genome = {"TFBIND_FASTA": str(data / "hg19.chrX_cut.fa.gz")} | env
    out, said = bash("tfbind bin | head -1; echo ${PIPESTATUS[*]}", folder, genome)
    assert (out, said) == ("chrX\t0\t200\n141 0\n", "")
    peaks = data / "K562.CTCF.conservative.narrowPeak.gz"
    pipe = f"tfbind bin | tfbind label --conservative '{peaks}' | head -1"
    out, said = bash(f"{pipe}; echo ${{PIPESTATUS[*]}}", folder, genome)
    assert (out, said) == ("chrX\t0\t200\tU\n141 141 0\n", "")


def test_nothing_is_lost_where_output_is_unbuffered(data: Path, folder: Path) -> None:
    genome = {"TFBIND_FASTA": str(data / "hg19.chrX_cut.fa.gz")}
    script = "tfbind bin | tail -1; tfbind bin | wc -l"
    expected = "chrX\t69999700\t69999900\n1399995\n"
    for env in (genome, genome | {"PYTHONUNBUFFERED": "1"}):
        assert bash(script, folder, env) == (expected, "")


@pytest.mark.parametrize("reader_stays", [True, False])
def test_ctrl_c_in_a_full_pipe(reader_stays: bool, data: Path, folder: Path) -> None:
    process = start(["bin", data / "hg19.chrX_cut.fa.gz"], folder)
    assert process.stdout
    assert process.stderr
    assert process.stdout.read(5) == b"chrX\t"
    time.sleep(0.3)  # for the pipe to fill up
    process.send_signal(signal.SIGINT)
    if not reader_stays:
        process.stdout.close()
    assert process.wait(20) == 130
    assert process.stderr.read() == b""
    process.stdout.close()
    process.stderr.close()


@each_filter
def test_ctrl_c_while_waiting_for_input(args: list[str | Path], folder: Path) -> None:
    process = start([*args, "-o", "out"], folder, subprocess.PIPE)
    assert process.stdin
    process.stdin.write(BINS.encode())
    process.stdin.flush()
    before = set(os.listdir(folder))
    while args[0] != "evaluate" and set(os.listdir(folder)) == before:
        time.sleep(0.02)
    wait_until_idle(process.pid)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out, said) == (130, b"", b"")
    assert [name for name in os.listdir(folder) if "out" in name] == []


# Files


def test_an_existing_file_is_kept_without_force(folder: Path, tfbind: Tfbind) -> None:
    out = folder / "out.bed"
    assert tfbind("bin", folder / "sizes", "-o", out).stdout == b""
    expected = out.read_bytes()
    assert expected.startswith(b"chr1\t0\t200\nchr1\t50\t250\n")
    assert out.stat().st_mode == (folder / "sizes").stat().st_mode
    out.write_text("mine")
    refused = tfbind("bin", folder / "sizes", "-o", out)
    assert refused.returncode == 1
    assert refused.stderr == b"tfbind: %s: exists already; give --force to replace it\n" % bytes(
        out
    )
    assert out.read_text() == "mine"
    assert tfbind("bin", folder / "sizes", "-o", out, "--force").returncode == 0
    assert out.read_bytes() == expected


@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_run_leaves_nothing_behind(existing: bool, folder: Path, tfbind: Tfbind) -> None:
    out = folder / "out.bed"
    if existing:
        out.write_text("mine")
    before = sorted(os.listdir(folder))
    peaks = folder / "peaks.bed"
    done = tfbind(
        *("label", "--conservative", peaks, "-o", out, "--force"),
        stdin=BINS * 100_000 + "chr1\t9\t5\n",
    )
    assert done.returncode == 1
    assert b"line 200001: found end 5 at or before start 9" in done.stderr
    assert sorted(os.listdir(folder)) == before
    assert not existing or out.read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(folder: Path, tfbind: Tfbind) -> None:
    out = folder / "none" / "out.bed"
    done = tfbind("bin", folder / "sizes", "-o", out)
    assert done.returncode == 1
    assert done.stderr == (
        b"tfbind: %s: cannot be written: no folder %s to write to\n"
        % (bytes(out), bytes(out.parent.resolve()))
    )


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_pipe_or_device_is_written_and_not_replaced(
    force: list[str], folder: Path, tfbind: Tfbind
) -> None:
    path = folder / "pipe"
    os.mkfifo(path)
    # Open for both, so that neither side waits for the other.
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    done = tfbind("bin", folder / "sizes", "-o", path, *force)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert path.is_fifo()
    assert os.read(pipe, 100).startswith(b"chr1\t0\t200\n")
    os.close(pipe)


def test_a_process_substitution_may_be_the_output(folder: Path) -> None:
    script = "tfbind bin sizes -o >(sort -k2,2nr | head -1 > last); wait $!"
    assert bash(script, folder) == ("", "")
    assert (folder / "last").read_text() == "chr1\t250\t450\n"


# Terminals


def test_progress_is_for_terminals_only(data: Path, folder: Path, tfbind: Tfbind) -> None:
    args: list[str | Path] = ["bin", data / "hg19.chrX_cut.fa.gz"]
    piped = tfbind(*args)
    assert piped.stderr == b""
    out, shown = on_a_terminal(args, folder)
    assert out == piped.stdout
    assert "bins" in shown
    assert "\x1b[38;" in shown or "\x1b[3" in shown
    assert on_a_terminal([*args, "--quiet"], folder) == (piped.stdout, "")


def test_no_color_is_respected(data: Path, folder: Path) -> None:
    args: list[str | Path] = ["bin", data / "hg19.chrX_cut.fa.gz"]
    _, shown = on_a_terminal(args, folder, {"NO_COLOR": "1"})
    assert "bins" in shown
    colours = [
        code
        for codes in re.findall(r"\x1b\[([\d;]*)m", shown)
        for code in codes.split(";")
        if re.fullmatch("[349][0-7]|38|48", code)
    ]
    assert colours == []


# Completion


def test_the_completion_script_is_known_to_bash(folder: Path) -> None:
    script = 'eval "$(_TFBIND_COMPLETE=source_bash tfbind)"; complete -p tfbind'
    out, said = bash(script, folder)
    assert (out, said) == ("complete -o default -F _tfbind_completion tfbind\n", "")
    # With a command behind it, bash stays to be found as the shell.
    shown = bash("tfbind --show-completion; true", folder)[0]
    assert shown.strip() == bash("_TFBIND_COMPLETE=source_bash tfbind", folder)[0].strip()


@pytest.mark.parametrize(
    ("words", "expected"),
    [("tfbind b", ["bin"]), ("tfbind label --con", ["--conservative"])],
)
def test_completion_knows_commands_and_options(
    words: str, expected: list[str], folder: Path
) -> None:
    env = {
        "_TFBIND_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    assert bash("tfbind", folder, env)[0].split() == expected
