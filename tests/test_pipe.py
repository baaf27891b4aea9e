"""The commands together, as a user pipes them, on real data."""

import contextlib
import ctypes
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyBigWig
import pytest

pytest.importorskip("keras", reason="the pipe trains: pip install 'tfbind[train]'")

from conftest import Tfbind, Trained, environment

REGION = "chrX:50000001-52000000"
TFBIND = f"{sys.executable} -m tfbind"


def shell(command: str, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash and print the status of each filter of its last pipe."""
    return subprocess.run(
        ["bash", "-c", f'{command}\necho "${{PIPESTATUS[@]}}" >&2'],
        capture_output=True,
        text=True,
        env=environment(env),
        cwd=folder,
        timeout=240,
        check=False,
    )


def scored(tfbind: Tfbind, trained: Trained, bins: bytes, *options: str | Path) -> bytes:
    done = tfbind("score", trained.onnx, "--quiet", *options, stdin=bins, env=trained.env)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout


@pytest.fixture(scope="module")
def bins(tfbind: Tfbind, trained: Trained) -> bytes:
    return tfbind("bin", "--region", REGION, env=trained.env).stdout


@pytest.fixture(scope="module")
def whole(tfbind: Tfbind, trained: Trained, bins: bytes) -> bytes:
    return scored(tfbind, trained, bins, "--no-header", "--format", "bed")


def test_the_promised_pipe(trained: Trained, tmp_path: Path) -> None:
    done = shell(
        f"{TFBIND} bin --region {REGION} | {TFBIND} score {trained.onnx} > preds.bedGraph",
        dict(trained.env),
        tmp_path,
    )
    assert done.stderr.splitlines()[-1] == "0 0"
    first, *lines = (tmp_path / "preds.bedGraph").read_text().splitlines()
    assert first.startswith("#tfbind\tversion=")
    assert "\tchunk=256\tgenome=hg19.chrX_cut.fa.gz\tsignal:dnase=K562.dnase.bw" in first
    assert len(lines) == 39_997
    assert lines[0].startswith("chrX\t50000075\t50000125\t")
    assert 0 <= float(lines[0].split("\t")[3]) <= 1


def test_every_bin_has_a_score_in_order(bins: bytes, whole: bytes) -> None:
    lines = whole.splitlines()
    assert [line.rsplit(b"\t", 1)[0] for line in lines] == bins.splitlines()
    values = np.array([float(line.rsplit(b"\t", 1)[1]) for line in lines])
    assert np.ptp(values) > 0.05


@pytest.mark.parametrize(
    "pick",
    [
        slice(0, 13_333),
        slice(13_333, 26_666),
        slice(26_666, None),
        slice(777, 778),
        slice(1, None, 3),
    ],
    ids=["first third", "second third", "last third", "one bin", "every third bin"],
)
@pytest.mark.parametrize("threads", ["1", "3"])
def test_any_part_gets_the_same_bytes(
    tfbind: Tfbind, trained: Trained, bins: bytes, whole: bytes, pick: slice, threads: str
) -> None:
    some = b"".join(bins.splitlines(keepends=True)[pick])
    found = scored(tfbind, trained, some, "--no-header", "--format", "bed", "--threads", threads)
    assert found == b"".join(whole.splitlines(keepends=True)[pick])


def test_no_bin_gives_no_score(tfbind: Tfbind, trained: Trained) -> None:
    assert scored(tfbind, trained, b"", "--no-header") == b""
    assert scored(tfbind, trained, b"# only\ntrack x\n\n", "--no-header") == b""


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed")
def test_filters_in_the_middle(trained: Trained, data: Path, tmp_path: Path) -> None:
    peaks = data / "K562.dnase.narrowPeak.gz"
    command = (
        f"{TFBIND} bin --region {REGION} > bins.bed\n"
        f"{TFBIND} score {trained.onnx} bins.bed -q --no-header --format bed > whole.bed\n"
        f"bedtools intersect -v -a bins.bed -b {peaks} | awk 'NR%3' | gzip > some.bed.gz\n"
        f"{TFBIND} score {trained.onnx} some.bed.gz -q --no-header --format bed > some.bed"
    )
    assert shell(command, dict(trained.env), tmp_path).returncode == 0
    asked = gzip.decompress((tmp_path / "some.bed.gz").read_bytes()).decode().splitlines()
    scores = dict(
        line.rsplit("\t", 1) for line in (tmp_path / "whole.bed").read_text().splitlines()
    )
    expected = [f"{line}\t{scores[line]}" for line in asked]
    assert (tmp_path / "some.bed").read_text().splitlines() == expected
    assert len(asked) > 20_000


def test_bedtools_that_trims_bins_is_found_out(tfbind: Tfbind, trained: Trained) -> None:
    done = tfbind("score", trained.onnx, stdin="chrX\t50000000\t50000150\n", env=trained.env)
    assert done.returncode == 1
    assert b"standard input: line 1: found a bin of 150 bp, expected 200 bp" in done.stderr


@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["", "unbuffered"])
def test_head_ends_the_pipe_silently(
    trained: Trained, tmp_path: Path, unbuffered: dict[str, str]
) -> None:
    done = shell(
        f"{TFBIND} bin --chroms chrX | {TFBIND} score -q {trained.onnx} | head -1",
        {**trained.env, **unbuffered},
        tmp_path,
    )
    assert done.stderr == "141 141 0\n"
    assert done.stdout.startswith("#tfbind\t")


def test_bedgraph_and_bigwig_hold_the_same_float32(
    tfbind: Tfbind, trained: Trained, bins: bytes, tmp_path: Path
) -> None:
    graph = scored(tfbind, trained, bins, "--no-header").decode()
    path = tmp_path / "preds.bw"
    scored(tfbind, trained, bins, "--format", "bigwig", "-o", path)
    with pyBigWig.open(str(path)) as bigwig:
        intervals = bigwig.intervals("chrX")
        assert bigwig.header()["nLevels"] > 1
    rows = [line.split("\t") for line in graph.splitlines()]
    assert [(int(row[1]), int(row[2])) for row in rows] == [one[:2] for one in intervals]
    values = np.array([row[3] for row in rows], np.float32)
    assert np.array_equal(values, np.array([one[2] for one in intervals], np.float32))
    assert os.listdir(tmp_path) == ["preds.bw"]


def test_bigwig_needs_a_file(tfbind: Tfbind, trained: Trained) -> None:
    done = tfbind("score", trained.onnx, "--format", "bigwig", env=trained.env)
    assert done.returncode == 2
    assert b"give -o FILE" in done.stderr


def test_scores_evaluate_against_labels(
    tfbind: Tfbind, trained: Trained, data: Path, bins: bytes, whole: bytes, tmp_path: Path
) -> None:
    peaks = [data / f"K562.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]
    labels = tfbind("label", "--conservative", peaks[0], "--relaxed", peaks[1], stdin=bins)
    (tmp_path / "labels.bed").write_bytes(labels.stdout)
    done = tfbind("evaluate", "--labels", tmp_path / "labels.bed", "--json", stdin=whole)
    found = json.loads(done.stdout)
    assert found["auroc"] > 0.55
    # The labels may also come along in a column.
    along = scored(tfbind, trained, labels.stdout, "--format", "bed")
    again = json.loads(tfbind("evaluate", "--json", stdin=along).stdout)
    assert again["auroc"] == found["auroc"]


@pytest.mark.parametrize(
    ("options", "stdin", "said"),
    [
        ((), "chrX\t1\tx\n", "line 1: found end 'x', expected a number"),
        ((), "chrX\t500\t300\n", "line 1: found end 300 at or before start 500"),
        ((), "chr9\t0\t200\n", "line 1: "),
        ((), "chrX\t69999900\t70000100\n", "line 1: found a bin that ends at 70000100"),
        (("--signal", "atac={data}/K562.dnase.bw"), "", "give --signal dnase=FILE"),
        (("--signal", "dnase={data}/README.md"), "", "README.md: is no bigWig"),
        (("--fasta", "{data}/README.md"), "", "README.md: begins with"),
        (("--fasta", "nowhere.fa"), "", "nowhere.fa: cannot be read: No such file"),
    ],
)
def test_bad_input_is_one_line_and_status_1(
    tfbind: Tfbind, trained: Trained, data: Path, options: tuple[str, ...], stdin: str, said: str
) -> None:
    given = [option.format(data=data) for option in options]
    done = tfbind("score", trained.onnx, "-q", *given, stdin=stdin, env=trained.env)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert said in done.stderr.decode()
    assert done.stdout == b"" or done.stdout.startswith(b"#tfbind")


def test_signal_that_is_not_given(tfbind: Tfbind, trained: Trained) -> None:
    env = {"TFBIND_FASTA": trained.env["TFBIND_FASTA"]}
    done = tfbind("score", trained.onnx, env=env)
    assert done.returncode == 1
    assert b"the model wants the signal 'dnase', but found none" in done.stderr
    assert b"give --signal dnase=FILE" in done.stderr


def test_a_lone_unnamed_signal_is_the_models(
    tfbind: Tfbind, trained: Trained, data: Path, bins: bytes, whole: bytes
) -> None:
    env = dict(trained.env) | {"TFBIND_SIGNAL": str(data / "K562.dnase.bw")}
    done = tfbind(
        "score", trained.onnx, "-q", "--no-header", "--format", "bed", stdin=bins, env=env
    )
    assert done.stdout == whole


def test_truncated_gzip_leaves_no_file(
    tfbind: Tfbind, trained: Trained, bins: bytes, tmp_path: Path
) -> None:
    path, out = tmp_path / "cut.bed.gz", tmp_path / "out.bedGraph"
    path.write_bytes(gzip.compress(bins)[:-2000])
    done = tfbind("score", trained.onnx, path, "-q", "-o", out, env=trained.env)
    assert done.returncode == 1
    assert b"cut.bed.gz: the gzip data are damaged or cut short" in done.stderr
    assert os.listdir(tmp_path) == ["cut.bed.gz"]


def test_contig_names_can_be_matched(
    tfbind: Tfbind, trained: Trained, bins: bytes, whole: bytes
) -> None:
    short = bins.replace(b"chrX\t", b"X\t")
    refused = tfbind("score", trained.onnx, stdin=short, env=trained.env)
    assert refused.returncode == 1
    assert b"--chr-prefix add|strip" in refused.stderr
    found = scored(tfbind, trained, short, "--no-header", "--format", "bed", "--chr-prefix", "add")
    assert found == whole.replace(b"chrX\t", b"X\t")


def test_scoring_loads_no_tensorflow(trained: Trained, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom tfbind.cli import app\n"
        f"try: app(['score', {str(trained.onnx)!r}, '-q', {str(tmp_path / 'one.bed')!r}])\n"
        "except SystemExit: pass\n"
        "sys.exit([name for name in ('tensorflow', 'keras') if name in sys.modules] or 0)"
    )
    (tmp_path / "one.bed").write_text("chrX\t50000000\t50000200\n")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(trained.env),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 2


def test_features_name_experiments(
    tfbind: Tfbind, trained: Trained, data: Path, bins: bytes, tmp_path: Path
) -> None:
    from tfbind.tilefiles import TileFile

    few = b"".join(bins.splitlines(keepends=True)[:2000])
    ctcf = f"CTCF={data / 'K562.CTCF.conservative.narrowPeak.gz'}"
    dnase = f"OPEN={data / 'K562.dnase.narrowPeak.gz'}"
    labelled = tfbind("label", "--experiment", ctcf, "--experiment", dnase, stdin=few).stdout
    bare = b"".join(
        line for line in labelled.splitlines(keepends=True) if not line.startswith(b"#")
    )
    for number, (stdin, names) in enumerate(((labelled, ()), (bare, ("--names", "CTCF,OPEN")))):
        path = tmp_path / f"{number}.tiles"
        done = tfbind("features", "-o", path, *names, stdin=stdin, env=trained.env)
        assert done.returncode == 0, done.stderr
        file = TileFile(path)
        assert file.contents.experiments == ("CTCF", "OPEN")
        assert file.contents.cell == "K562.dnase"
        assert file.counts["bins"] == 2000
    refused = tfbind("features", stdin=bare, env=trained.env)
    assert refused.returncode == 1
    assert b"found 2 column(s) behind the third and 0 name(s)" in refused.stderr


def test_tiles_of_another_kind_do_not_mix(
    tfbind: Tfbind, trained: Trained, bins: bytes, tmp_path: Path
) -> None:
    labelled = b"".join(line + b"\tU\n" for line in bins.splitlines()[:100])
    env = {"TFBIND_FASTA": trained.env["TFBIND_FASTA"]}
    tfbind("features", "-o", tmp_path / "sequence.tiles", stdin=labelled, env=env)
    done = tfbind("train", trained.tiles, tmp_path / "sequence.tiles", "-o", tmp_path / "x.keras")
    assert done.returncode == 1
    assert b"sequence.tiles: has the inputs sequence (uint8), but " in done.stderr
    assert not (tmp_path / "x.keras").exists()


def test_scoring_leaves_nothing_in_the_home_folder(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    env = dict(trained.env) | {"HOME": str(tmp_path)}
    bins = "chrX\t50000000\t50000200\n"
    assert tfbind("score", trained.onnx, stdin=bins, env=env).returncode == 0
    assert os.listdir(tmp_path) == []


def test_alias_may_come_from_a_pipe(trained: Trained, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "bins.bed").write_text("23\t50000000\t50000200\n")
    done = shell(
        f"{TFBIND} score {trained.onnx} bins.bed -q --no-header --format bed "
        "--alias <(printf '23\\tchrX\\n')",
        dict(trained.env),
        tmp_path,
    )
    assert done.stdout.split("\t")[3] == whole.decode().split("\n")[0].split("\t")[3] + "\n"


def test_train_claims_its_files_before_it_works(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere" / "x.keras"
    done = tfbind("train", trained.tiles, "-o", nowhere)
    assert done.returncode == 1
    assert b"epoch" not in done.stderr
    (tmp_path / "x.history.csv").write_text("precious")
    done = tfbind("train", trained.tiles, "-o", tmp_path / "x.keras")
    assert done.returncode == 1
    assert b"x.history.csv: exists already" in done.stderr
    assert os.listdir(tmp_path) == ["x.history.csv"]


def test_network_is_not_chosen_by_what_it_learnt(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    output = tmp_path / "x.keras"
    done = tfbind("train", trained.tiles, "--validate", trained.tiles, "-o", output)
    assert done.returncode == 1
    assert b"hold out regions" in done.stderr
    missing = tfbind("train", trained.tiles, "--validate", "valid.tiles", "-o", output)
    assert missing.returncode == 1
    assert b"--validate valid.tiles is neither a file nor on a contig" in missing.stderr


@pytest.mark.parametrize("name", ["weights", "sequence", "a/b", ""])
def test_names_that_tiles_cannot_hold(
    tfbind: Tfbind, trained: Trained, data: Path, name: str
) -> None:
    signal = f"{name}={data / 'K562.dnase.bw'}"
    stdin = "chrX\t50000000\t50000200\tU\n"
    done = tfbind("features", "--signal", signal, stdin=stdin, env=trained.env)
    assert done.returncode in (1, 2)
    assert done.stdout == b""
    assert b"unexpected" not in done.stderr


def test_a_bigwig_is_not_written_over_a_device(tfbind: Tfbind, trained: Trained) -> None:
    done = tfbind("score", trained.onnx, "--format", "bigwig", "-o", "/dev/null", env=trained.env)
    assert done.returncode == 1
    assert b"/dev/null: is a pipe or a device" in done.stderr
    assert Path("/dev/null").is_char_device()


def test_missing_contigs_of_a_signal(tfbind: Tfbind, trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "other.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader([("chr1", 1000)])
    stdin = "chrX\t50000000\t50000200\n"
    options = ("--signal", f"dnase={path}", "--no-header")
    refused = tfbind("score", trained.onnx, *options, stdin=stdin, env=trained.env)
    assert refused.returncode == 1
    assert b"--missing skip or --missing zero" in refused.stderr
    for way, lines in (("skip", 0), ("zero", 1)):
        done = tfbind(
            "score", trained.onnx, *options, "--missing", way, stdin=stdin, env=trained.env
        )
        assert (done.returncode, done.stdout.count(b"\n")) == (0, lines)
        assert b"1 bins " in done.stderr


def test_cuda_that_is_not_there(tfbind: Tfbind, trained: Trained) -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        done = tfbind("score", trained.onnx, "--device", "cuda", env=trained.env)
        assert done.returncode == 1
        assert b"--device cuda cannot be used" in done.stderr
        assert done.stdout == b""
    else:
        pytest.skip("this machine has a CUDA driver")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_signal_while_more_bins_may_come(trained: Trained, number: signal.Signals) -> None:
    """The writer of the pipe lives on, so a thread is waiting for it when the process ends."""
    many = b"".join(b"chrX\t%d\t%d\n" % (n, n + 200) for n in range(45_000_000, 54_000_000, 50))
    process = subprocess.Popen(
        [sys.executable, "-m", "tfbind", "score", str(trained.onnx)],
        env=environment(trained.env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    feeding = threading.Thread(target=process.stdin.write, args=(many,))
    feeding.start()
    assert process.stdout.readline().startswith(b"#tfbind")
    drain = threading.Thread(target=process.stdout.read)
    drain.start()
    feeding.join()
    time.sleep(1)  # for the reading thread to wait
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    drain.join()
    assert process.stderr.read() == b""
    process.stdout.close()
    process.stderr.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def test_a_failed_write_while_more_bins_may_come(trained: Trained) -> None:
    many = b"".join(b"chrX\t%d\t%d\n" % (n, n + 200) for n in range(45_000_000, 54_000_000, 50))
    process = subprocess.Popen(
        [sys.executable, "-m", "tfbind", "score", str(trained.onnx), "-o", "/dev/full"],
        env=environment(trained.env),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stderr
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(many)
        process.stdin.flush()
    assert process.wait(60) == 1
    said = process.stderr.read()
    assert b"/dev/full: cannot be written: No space left on device; make room" in said
    assert said.count(b"\n") == 1
    process.stderr.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
