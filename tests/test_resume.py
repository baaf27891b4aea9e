"""`tfbind score` in parts: shards, runs that were killed, a file for each task."""

import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pyBigWig
import pytest
from conftest import Tfbind, Trained, environment, ok
from onnx import TensorProto, helper, numpy_helper

from tfbind.contract import METADATA_KEY

REGION = "chrX:46000001-51000000"


@pytest.fixture(scope="module")
def bins(tfbind: Tfbind, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bins") / "bins.bed"
    done = tfbind("bin", "--region", REGION, "-o", path, env=trained.env)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def whole(tfbind: Tfbind, trained: Trained, bins: Path) -> bytes:
    return ok(tfbind("score", trained.onnx, bins, env=trained.env))


@pytest.fixture(scope="module")
def two_tasks(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the trained network a second output, half of the first."""
    model = onnx.load(str(trained.onnx))
    (last,) = (node for node in model.graph.node if "scores" in node.output)
    last.output[list(last.output).index("scores")] = "one"
    half = numpy_helper.from_array(np.array([0.5], np.float32), "half")
    model.graph.initializer.append(half)
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["one", "half"], ["other"]),
            helper.make_node("Concat", ["one", "other"], ["scores"], axis=2),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "bins", 2])
    )
    (held,) = (prop for prop in model.metadata_props if prop.key == METADATA_KEY)
    held.value = held.value.replace('"tasks": ["bound"]', '"tasks": ["bound", "half"]')
    path = tmp_path_factory.mktemp("tasks") / "two.onnx"
    onnx.save(model, str(path))
    return path


def started(trained: Trained, *args: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tfbind", "score", str(trained.onnx), *map(str, args)],
        env=environment(trained.env),
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("options", [(), ("--format", "bed")], ids=["bedgraph", "bed"])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_concatenate_to_the_whole(
    tfbind: Tfbind, trained: Trained, bins: Path, count: int, options: tuple[str, ...]
) -> None:
    whole = ok(tfbind("score", trained.onnx, bins, *options, env=trained.env))
    parts = [
        ok(
            tfbind(
                "score", trained.onnx, bins, "--shard", f"{i}/{count}", *options, env=trained.env
            )
        )
        for i in range(1, count + 1)
    ]
    assert b"".join(parts) == whole
    lengths = [part.count(b"\n") for part in parts]
    assert max(lengths) - min(lengths) <= 2  # the first has the header


def test_shards_name_the_columns_of_several_tasks_once(
    tfbind: Tfbind, trained: Trained, two_tasks: Path, tmp_path: Path
) -> None:
    path = tmp_path / "two.bed"
    path.write_text("chrX\t48000000\t48000200\ta\nchrX\t48000050\t48000250\tb\n")
    command = ("score", two_tasks, path, "--format", "bed")
    whole = ok(tfbind(*command, env=trained.env))
    parts = [ok(tfbind(*command, "--shard", f"{i}/5", env=trained.env)) for i in range(1, 6)]
    assert b"".join(parts) == whole
    assert whole.splitlines()[1] == b"#contig\tstart\tend\tcolumn4\tbound\thalf"


def test_a_part_must_not_lie_on_the_one_before(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    path = tmp_path / "close.bed"
    path.write_text("chrX\t48000000\t48000200\nchrX\t48000010\t48000210\n")
    ok(tfbind("score", trained.onnx, path, "--shard", "1/2", env=trained.env))
    for shard in ((), ("--shard", "2/2")):
        done = tfbind("score", trained.onnx, path, *shard, env=trained.env)
        assert done.returncode == 1
        assert b"line 2: found a bin 10 bp behind the one before it" in done.stderr


def test_more_shards_than_bins(tfbind: Tfbind, trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "two.bed"
    path.write_text("#a comment\nchrX\t48000000\t48000200\n\nchrX\t48000050\t48000250\n")
    whole = ok(tfbind("score", trained.onnx, path, env=trained.env))
    parts = [
        ok(tfbind("score", trained.onnx, path, "--shard", f"{i}/5", env=trained.env))
        for i in range(1, 6)
    ]
    assert b"".join(parts) == whole
    assert whole.count(b"\n") == 3


def test_a_redirected_file_can_be_sharded_but_no_pipe(
    tfbind: Tfbind, trained: Trained, bins: Path, whole: bytes
) -> None:
    command = [sys.executable, "-m", "tfbind", "score", str(trained.onnx), "--shard"]
    parts = []
    for shard in ("1/2", "2/2"):
        with bins.open("rb") as stream:
            done = subprocess.run(
                [*command, shard],
                stdin=stream,
                env=environment(trained.env),
                capture_output=True,
                check=True,
            )
            parts.append(done.stdout)
    assert b"".join(parts) == whole
    refused = tfbind("score", trained.onnx, "--shard", "1/2", stdin=bins.read_bytes()[:4000])
    assert refused.returncode == 2
    assert "tfbind bin --shard 1/2" in " ".join(refused.stderr.decode().split())


def test_bigwigs_are_not_sharded(tfbind: Tfbind, trained: Trained, bins: Path) -> None:
    done = tfbind("score", trained.onnx, bins, "--shard", "1/2", "-o", "x.bw", env=trained.env)
    assert done.returncode == 2
    assert b"cannot be joined" in done.stderr


def killed(trained: Trained, bins: Path, output: Path, scores: int) -> bool:
    """Kill a run once so many more bins are scored; tell whether that was before its end."""
    journal = Path(f"{output}.journal")
    before = journal.stat().st_size if journal.exists() else 0
    process = started(trained, bins, "--resume", "-o", output)
    while process.poll() is None:
        if journal.exists() and journal.stat().st_size >= before + 4 * scores:
            process.kill()
        time.sleep(0.002)
    return process.wait() == -9


@pytest.mark.parametrize("name", ["preds.bedGraph", "preds.bed", "preds.bw", "F.CTCF.PC-3.tab.gz"])
def test_killed_and_resumed_is_the_same_file(
    tfbind: Tfbind, trained: Trained, bins: Path, tmp_path: Path, name: str
) -> None:
    expected, output = tmp_path / f"whole-{name}", tmp_path / name
    ok(tfbind("score", trained.onnx, bins, "-o", expected, env=trained.env))
    kills = [killed(trained, bins, output, scores) for scores in (0, 30_000, 1, 30_000)]
    assert kills[:3] == [True] * 3
    if kills[3]:  # it may have come to its end before
        ok(tfbind("score", trained.onnx, bins, "--resume", "-o", output, env=trained.env))
    assert output.read_bytes() == expected.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {name, f"whole-{name}"}


@pytest.fixture
def half_done(trained: Trained, bins: Path, tmp_path: Path) -> Path:
    """Leave what a kill leaves, once some bins are scored."""
    output = tmp_path / "preds.bedGraph"
    journal = tmp_path / "preds.bedGraph.journal"
    process = started(trained, bins, "--resume", "-o", output)
    while not journal.exists() or journal.stat().st_size < 100_000:
        time.sleep(0.01)
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not output.exists()
    return output


def test_what_is_scored_is_not_scored_again(
    tfbind: Tfbind, trained: Trained, bins: Path, whole: bytes, half_done: Path
) -> None:
    done = tfbind("score", trained.onnx, bins, "--resume", "-o", half_done, env=trained.env)
    ok(done)
    assert half_done.read_bytes() == whole
    (before,) = re.findall(r"tfbind: ([\d,]+) bins were scored before", done.stderr.decode())
    assert 25_000 <= int(before.replace(",", "")) < 80_000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--chunk", "64"), "--chunk 256, but now --chunk is 64"),
        (("--windows", "--chunk", "256"), "the way a scan, but now the way is windows"),
        (("--missing", "zero"), "--missing error, but now --missing is zero"),
    ],
)
def test_scores_of_other_options_are_refused(
    tfbind: Tfbind,
    trained: Trained,
    bins: Path,
    half_done: Path,
    options: tuple[str, ...],
    reason: str,
) -> None:
    kept = Path(f"{half_done}.journal").read_bytes()
    done = tfbind(
        "score", trained.onnx, bins, "--resume", "-o", half_done, *options, env=trained.env
    )
    assert done.returncode == 1
    assert reason in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert Path(f"{half_done}.journal").read_bytes() == kept


def test_scores_of_other_bins_are_refused(
    tfbind: Tfbind, trained: Trained, bins: Path, half_done: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.bed"
    other.write_bytes(bins.read_bytes().split(b"\n", 1)[1])
    done = tfbind("score", trained.onnx, other, "--resume", "-o", half_done, env=trained.env)
    assert done.returncode == 1
    assert b"holds scores of other bins" in done.stderr
    assert not half_done.exists()


def test_scores_of_another_model_or_signal_are_refused(
    tfbind: Tfbind, trained: Trained, bins: Path, half_done: Path, data: Path, two_tasks: Path
) -> None:
    done = tfbind(
        "score", two_tasks, bins, "--task", "bound", "--resume", "-o", half_done, env=trained.env
    )
    assert done.returncode == 1
    assert b"was begun with the model sha256" in done.stderr
    dnase = f"dnase={data / 'HeLa-S3.dnase.bw'}"
    done = tfbind(
        "score",
        trained.onnx,
        bins,
        "--signal",
        dnase,
        "--resume",
        "-o",
        half_done,
        env=trained.env,
    )
    assert done.returncode == 1
    assert b"was begun with the signal dnase" in done.stderr


@pytest.mark.parametrize(
    ("name", "options", "known"),
    [
        ("preds.bedGraph", (), "is complete: nothing"),
        ("preds.bedGraph", ("--no-header",), "is complete (by its name; --force replaces it)"),
        ("preds.bw", (), "is complete (by its name; --force replaces it)"),
    ],
)
def test_a_finished_file_is_left_alone(
    tfbind: Tfbind,
    trained: Trained,
    bins: Path,
    tmp_path: Path,
    name: str,
    options: tuple[str, ...],
    known: str,
) -> None:
    output = tmp_path / name
    command: list[str | Path] = ["score", trained.onnx, "--resume", "-o", output, *options]
    ok(tfbind(*command, stdin=bins.read_bytes(), env=trained.env))
    made = (output.read_bytes(), output.stat().st_mtime_ns)
    again = tfbind(*command, stdin=bins.read_bytes(), env=trained.env)
    ok(again)
    assert known in again.stderr.decode()
    assert (output.read_bytes(), output.stat().st_mtime_ns) == made
    assert list(tmp_path.iterdir()) == [output]


def test_a_finished_file_of_another_model_is_refused(
    tfbind: Tfbind, trained: Trained, two_tasks: Path, bins: Path, tmp_path: Path
) -> None:
    output = tmp_path / "preds.bedGraph"
    ok(tfbind("score", trained.onnx, bins, "--resume", "-o", output, env=trained.env))
    kept = output.read_bytes()
    other = ("score", two_tasks, bins, "--task", "bound", "--resume", "-o", output)
    done = tfbind(*other, env=trained.env)
    assert done.returncode == 1
    assert b"exists and is of another run (they differ in" in done.stderr
    assert b"--force replaces it" in done.stderr
    assert output.read_bytes() == kept
    ok(tfbind(*other, "--force", env=trained.env))
    assert b"task=bound" in output.read_bytes()[:400]


def test_a_folder_is_never_complete(
    tfbind: Tfbind, trained: Trained, bins: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out.journal").write_text("a diary\n")
    done = tfbind("score", trained.onnx, bins, "--resume", "-o", tmp_path / "out", env=trained.env)
    assert done.returncode == 1
    assert b"is a folder" in done.stderr
    assert (tmp_path / "out.journal").read_text() == "a diary\n"


def test_a_forced_run_that_was_killed_goes_on(
    tfbind: Tfbind, trained: Trained, bins: Path, whole: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "preds.bedGraph"
    output.write_bytes(b"old\n")
    process = started(trained, bins, "--resume", "--force", "-o", output)
    journal = tmp_path / "preds.bedGraph.journal"
    while not journal.exists() or journal.stat().st_size < 100_000:
        time.sleep(0.01)
        assert process.poll() is None
    process.kill()
    process.wait()
    assert output.read_bytes() == b"old\n"
    ok(tfbind("score", trained.onnx, bins, "--resume", "-o", output, env=trained.env))
    assert output.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [output]


def test_what_a_link_points_to_is_written(
    tfbind: Tfbind, trained: Trained, bins: Path, whole: bytes, tmp_path: Path
) -> None:
    for name in ("disk", "here"):
        (tmp_path / name).mkdir()
    link = tmp_path / "here" / "preds.bedGraph"
    link.symlink_to(tmp_path / "disk" / "file")
    process = started(trained, bins, "--resume", "-o", link)
    while process.poll() is None and not (tmp_path / "disk" / "file.part").exists():
        time.sleep(0.001)
    assert process.wait() == 0
    assert link.is_symlink()
    assert (tmp_path / "disk" / "file").read_bytes() == whole


def test_resume_needs_a_file(tfbind: Tfbind, trained: Trained, bins: Path) -> None:
    for output in ("-", "/dev/null"):
        done = tfbind("score", trained.onnx, bins, "--resume", "-o", output, env=trained.env)
        assert done.returncode == 2
        assert b"give -o FILE" in done.stderr


def limited(command: list[str], env: Mapping[str, str], most: int) -> tuple[int, str]:
    """Run a command that may write no file beyond a size, as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    done = subprocess.run(
        command, env=env, capture_output=True, text=True, preexec_fn=limit, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["preds.bedGraph", "preds.bw"])
def test_a_full_disk_is_one_line_and_no_loss(
    tfbind: Tfbind, trained: Trained, bins: Path, tmp_path: Path, name: str
) -> None:
    expected, output = tmp_path / f"whole-{name}", tmp_path / name
    ok(tfbind("score", trained.onnx, bins, "-o", expected, env=trained.env))
    command = [sys.executable, "-m", "tfbind", "score", str(trained.onnx), str(bins)]
    env = environment(trained.env)
    status, stderr = limited([*command, "--resume", "-o", str(output)], env, 250_000)
    assert status == 1
    assert stderr.count("\n") == 1
    assert f"{name}" in stderr
    assert "File too large" in stderr
    assert "make room" in stderr
    assert not output.exists()
    assert Path(f"{output}.journal").stat().st_size > 100_000
    ok(tfbind("score", trained.onnx, bins, "--resume", "-o", output, env=trained.env))
    assert output.read_bytes() == expected.read_bytes()


def test_a_file_for_each_task(
    tfbind: Tfbind, trained: Trained, two_tasks: Path, bins: Path, whole: bytes, tmp_path: Path
) -> None:
    ok(tfbind("score", two_tasks, bins, "-o", tmp_path / "{task}.bedGraph", env=trained.env))
    one, half = (
        (tmp_path / f"{name}.bedGraph").read_text().splitlines() for name in ("bound", "half")
    )
    assert one[0].endswith("\ttask=bound")
    assert half[0].endswith("\ttask=half")
    assert one[1:] == whole.decode().splitlines()[1:]
    for first, second in zip(one[1::1000], half[1::1000], strict=True):
        assert first.split("\t")[:3] == second.split("\t")[:3]
        assert np.float32(first.split("\t")[3]) / 2 == np.float32(second.split("\t")[3])


def values(path: Path) -> Iterator[tuple[int, int, float]]:
    with pyBigWig.open(str(path)) as track:
        assert track.header()["nLevels"] > 0
        yield from track.intervals("chrX")


def test_a_bigwig_for_each_task_resumes(
    tfbind: Tfbind, trained: Trained, two_tasks: Path, bins: Path, whole: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "{task}.bw"
    done = tfbind("score", two_tasks, bins, "--resume", "-o", output, env=trained.env)
    ok(done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bound.bw", "half.bw"]
    one, half = (list(values(tmp_path / f"{name}.bw")) for name in ("bound", "half"))
    text = [line.split("\t") for line in whole.decode().splitlines()[1:]]
    assert one == [
        (int(start), int(end), float(np.float32(score))) for _, start, end, score in text
    ]
    assert half == [(start, end, score / 2) for start, end, score in one]
    (tmp_path / "half.bw").unlink()
    refused = tfbind("score", two_tasks, bins, "-o", output, env=trained.env)
    assert refused.returncode == 1
    assert b"bound.bw: exists already" in refused.stderr


def test_several_tasks_in_one_file_need_bed(
    tfbind: Tfbind, trained: Trained, two_tasks: Path, bins: Path
) -> None:
    done = tfbind("score", two_tasks, bins, env=trained.env)
    assert done.returncode == 2
    assert "{task}" in done.stderr.decode()
    first = ok(tfbind("score", two_tasks, bins, "--format", "bed", env=trained.env)).splitlines()[
        :3
    ]
    assert first[1] == b"#contig\tstart\tend\tbound\thalf"
    assert [len(line.split(b"\t")) for line in first[1:]] == [5, 5]
    chosen = tfbind("score", two_tasks, bins, "--task", "half", env=trained.env)
    assert ok(chosen).splitlines()[0].endswith(b"\ttask=half")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-o", "x.bedGraph.gz"), "pipe into bgzip"),
        (("-o", "x.bw", "--format", "bed"), "is that of a bigwig"),
        (("-o", "{tusk}.bw"), "found {tusk}"),
        (("--shard", ""), "expected I/N"),
        (("--cluster", ""), "expected local:N"),
        (("--cluster", "tcp://localhost"), "expected local:N"),
        (("--cluster", "http://localhost:8786"), "expected local:N"),
        (("--cluster", "tcp://localhost:99999"), "expected local:N"),
        (("--device", "nonsense"), "expected auto, cpu"),
    ],
)
def test_wrong_usage_is_told_at_once(
    tfbind: Tfbind, trained: Trained, bins: Path, options: tuple[str, ...], said: str
) -> None:
    done = tfbind("score", trained.onnx, bins, *options, env=trained.env)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.decode().replace("|", " ").split())
    assert done.stdout == b""


def test_a_keras_network_is_no_model(tfbind: Tfbind, trained: Trained, bins: Path) -> None:
    done = tfbind("score", trained.keras, bins, env=trained.env)
    assert done.returncode == 1
    assert b"tfbind export" in done.stderr


def test_the_summary_counts_the_bins(tfbind: Tfbind, trained: Trained, bins: Path) -> None:
    done = tfbind("score", trained.onnx, bins, "--shard", "1/100", env=trained.env)
    ok(done)
    assert re.search(r"^tfbind: 999 bins in [\d.]+ s, [\d,]+ bins/s$", done.stderr.decode(), re.M)


def test_a_finished_part_is_known_by_its_name(
    tfbind: Tfbind, trained: Trained, bins: Path, tmp_path: Path
) -> None:
    output = tmp_path / "preds.2.bedGraph"
    command = ("score", trained.onnx, bins, "--shard", "2/2", "--resume", "-o", output)
    ok(tfbind(*command, env=trained.env))
    again = tfbind(*command, env=trained.env)
    ok(again)
    assert b"is complete (by its name; --force replaces it): nothing to do" in again.stderr
