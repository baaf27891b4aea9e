"""Scores from the workers of a Dask scheduler: the same bytes, whatever dies meanwhile."""

import contextlib
import dataclasses
import functools
import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
import pytest

pytest.importorskip("distributed", reason="pip install 'tfbind[cluster]'")

from conftest import Tfbind, Trained, environment
from dask import config
from distributed import Client, LocalCluster
from onnx import TensorProto, helper

from tfbind.channels import Sources
from tfbind.cli import cluster as cli_cluster
from tfbind.cli.cluster import cluster_workers
from tfbind.cluster import Workers, _bins, score_on_cluster
from tfbind.contract import METADATA_KEY, Contract
from tfbind.errors import InputError
from tfbind.genome import ContigNames, Genome
from tfbind.intervals import Intervals, read_intervals
from tfbind.model import Model
from tfbind.recipe import Recipe
from tfbind.scoring import score
from tfbind.signal import Signal
from tfbind.tiles import BinCheck, Stretches

REGION = np.arange(47_000_000, 49_000_000, 50)
Batches = Iterator[tuple[Intervals, list[str]]]


@pytest.fixture(scope="module")
def sources(data: Path) -> Sources:
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    return Sources(genome, {"dnase": Signal(data / "K562.dnase.bw")})


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    return Model(trained.onnx, device="cpu")


@pytest.fixture(scope="module")
def three() -> Iterator[Workers]:
    with cluster_workers("local:3", quiet=True) as workers:
        yield workers


@pytest.fixture(scope="module")
def one() -> Iterator[Workers]:
    with (
        config.set({"distributed.scheduler.allowed-failures": 1}),
        cluster_workers("local:1", quiet=True) as workers,
    ):
        yield workers


def checked(
    model: Model,
    sources: Sources,
    starts: npt.NDArray[np.int64] = REGION,
    name: str = "chrX",
    size: int = 1999,
) -> Batches:
    text = "".join(f"{name}\t{start}\t{start + 200}\t{start % 7}\n" for start in starts.tolist())
    whole = read_intervals(io.BytesIO(text.encode()), "bins.bed")
    check = BinCheck(model.contract.geometry, sources, "bins.bed")
    for first in range(0, len(whole), size):
        here = np.arange(len(whole)) // size == first // size
        yield check(whole.select(here))


def plainly(model: Model, sources: Sources, batches: Batches) -> list[tuple[bytes, bytes]]:
    stretches = Stretches(model.contract.geometry, model.contract.inputs, sources)
    return [(one.lines(), found.tobytes()) for one, found in score(batches, model, stretches, 2)]


def clustered(
    workers: Workers, recipe: Recipe, batches: Batches, bins: int = 4000
) -> list[tuple[bytes, bytes]]:
    scored = score_on_cluster(batches, workers, recipe, bins_a_task=bins)
    return [(one.lines(), found.tobytes()) for one, found in scored]


def pids(workers: Workers) -> set[int]:
    return set(cast(dict[str, int], workers.client.run(os.getpid)).values())


@pytest.mark.parametrize(
    "starts",
    [
        REGION,
        np.random.default_rng(1).permutation(REGION)[:700],
        REGION[::40] + 13,
        np.concatenate([np.arange(0, 5000, 50), np.arange(69_990_000, 69_999_700, 50)]),
        REGION[:0],
    ],
    ids=["a stretch", "shuffled", "off the grid", "ends of the contig", "none"],
)
def test_scores_are_the_same(
    model: Model, sources: Sources, three: Workers, starts: npt.NDArray[np.int64]
) -> None:
    plain = plainly(model, sources, checked(model, sources, starts))
    recipe = Recipe.of(model, sources)
    assert clustered(three, recipe, checked(model, sources, starts)) == plain
    assert clustered(three, recipe, checked(model, sources, starts), bins=1) == plain


def test_workers_know_other_names(model: Model, sources: Sources, three: Workers) -> None:
    names = functools.partial(ContigNames, alias={"23": "chrX"}, prefix="add")
    other = dataclasses.replace(sources, names=names)
    plain = plainly(model, sources, checked(model, sources))
    recipe = Recipe.of(model, other)
    for name in ("X", "23"):
        found = clustered(three, recipe, checked(model, other, name=name))
        assert [scores for _, scores in found] == [scores for _, scores in plain]


def test_what_stands_before_an_error_is_scored(
    model: Model, sources: Sources, three: Workers
) -> None:
    def cut() -> Batches:
        batches = checked(model, sources)
        yield next(batches)
        yield next(batches)
        raise InputError("no bin", path="bins.bed", line=3999)

    scored = score_on_cluster(cut(), three, Recipe.of(model, sources))
    found = [next(scored), next(scored)]
    assert [len(scores) for _, scores in found] == [1999, 1999]
    with pytest.raises(InputError, match=r"^bins\.bed: line 3999: no bin$"):
        next(scored)


def test_killed_workers_are_replaced(model: Model, sources: Sources, three: Workers) -> None:
    starts = np.arange(40_000_000, 50_000_000, 50)
    plain = plainly(model, sources, checked(model, sources, starts))
    while sum(three.client.nthreads().values()) < 3:
        time.sleep(0.1)
    before = pids(three)
    scored = score_on_cluster(
        checked(model, sources, starts), three, Recipe.of(model, sources), bins_a_task=8000
    )
    found = []
    for number, (batch, scores) in enumerate(scored):
        if number in (5, 40):
            os.kill(sorted(before)[number % 3], signal.SIGKILL)
        found.append((batch.lines(), scores.tobytes()))
    assert found == plain
    while len(after := pids(three)) < 3:
        time.sleep(0.1)
    assert len(before - after) == 2


def test_scores_that_die_before_they_are_fetched_are_computed_again(
    model: Model, sources: Sources, one: Workers
) -> None:
    batches = list(checked(model, sources))
    plain = plainly(model, sources, iter(batches))
    one.threads()
    (pid,) = pids(one)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:  # the fetch has begun
            os.kill(pid, signal.SIGKILL)
        one.mend()

    future = one.submit(0, Recipe.of(model, sources), *_bins(batches))
    while future.status != "finished":
        time.sleep(0.1)
    os.kill(pid, signal.SIGSTOP)  # it holds the scores, but does not give them
    scores = dataclasses.replace(one, mend=look).result(future)
    assert looks > 2
    assert scores.tobytes() == b"".join(values for _, values in plain)
    assert pids(one) != {pid}


def test_bins_that_kill_workers_are_said(one: Workers) -> None:
    with pytest.raises(InputError, match="2 workers died over the same bins"):
        one.result(one.client.submit(os._exit, 3))


def twofold(path: Path, other: Path) -> Path:
    """Give a network a second task, of half the first one's scores."""
    graph = onnx.load(path)
    (output,) = graph.graph.output
    name = output.name
    half = helper.make_node("Mul", [name, "a half"], ["halves"])
    both = helper.make_node("Concat", [name, "halves"], ["both"], axis=-1)
    graph.graph.initializer.append(helper.make_tensor("a half", TensorProto.FLOAT, [], [0.5]))
    graph.graph.node.extend([half, both])
    output.name = "both"
    output.type.tensor_type.shape.dim[-1].dim_value = 2
    (entry,) = (one for one in graph.metadata_props if one.key == METADATA_KEY)
    contract = Contract.from_json(entry.value, str(path))
    entry.value = dataclasses.replace(contract, tasks=("whole", "half")).to_json()
    onnx.save(graph, other)
    return other


def test_only_wanted_tasks_are_sent(
    trained: Trained, sources: Sources, three: Workers, tmp_path: Path
) -> None:
    model = Model(twofold(trained.onnx, tmp_path / "two.onnx"), device="cpu")
    plain = plainly(model, sources, checked(model, sources))
    recipe = Recipe.of(model, sources, columns=[1])
    batches = list(checked(model, sources))
    assert three.result(three.submit(0, recipe, *_bins(batches))).shape == (len(REGION), 1)
    found = clustered(three, recipe, iter(batches))
    both = [np.frombuffer(scores, np.float32).reshape(-1, 2) for _, scores in plain]
    assert [scores for _, scores in found] == [scores[:, 1].tobytes() for scores in both]
    assert all((scores[:, 0] == 2 * scores[:, 1]).all() and scores.any() for scores in both)


def test_few_batches_are_read_ahead(model: Model, sources: Sources, three: Workers) -> None:
    read = 0

    def counted() -> Batches:
        nonlocal read
        for batch in checked(model, sources):
            read += 1
            yield batch

    scored = score_on_cluster(counted(), three, Recipe.of(model, sources), bins_a_task=1)
    next(scored)
    assert read <= 7
    scored.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 20
    while three.client.processing() and any(three.client.processing().values()):
        assert time.monotonic() < deadline, "tasks outlive what wanted them"
        time.sleep(0.1)


@pytest.mark.parametrize("what", ["model", "fasta", "signal"])
def test_other_files_are_refused(
    model: Model, sources: Sources, three: Workers, tmp_path: Path, what: str
) -> None:
    recipe = Recipe.of(model, sources)
    missing = str(tmp_path / "away")
    other = str(tmp_path / "other")
    shutil.copy(recipe.model, other)
    other_signal = str(tmp_path / "other.bw")
    shutil.copy(recipe.signals[0][1], other_signal)
    with open(other_signal, "r+b") as file:  # of the same size
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    changes = {
        "model": ({"model": missing}, {"sha256": "0" * 64, "model": other}),
        "fasta": ({"fasta": missing}, {"fingerprints": ("1 bytes", recipe.fingerprints[1])}),
        "signal": ({"signals": (("dnase", missing),)}, {"signals": (("dnase", other_signal),)}),
    }
    for change, expected in zip(changes[what], ("No such file", "expected"), strict=True):
        wrong = dataclasses.replace(recipe, **change)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=f"{expected}.*a worker of the cluster") as caught:
            clustered(three, wrong, checked(model, sources))
        paths = (missing, other, recipe.fasta, other_signal)
        assert caught.value.path in paths


def test_a_file_that_changed_is_opened_again(
    model: Model, sources: Sources, three: Workers, tmp_path: Path, data: Path
) -> None:
    path = tmp_path / "dnase.bw"
    for cell in ("K562", "HeLa-S3"):
        shutil.copy(data / f"{cell}.dnase.bw", path)
        here = Sources(sources.genome, {"dnase": Signal(path)})
        plain = plainly(model, here, checked(model, here))
        assert clustered(three, Recipe.of(model, here), checked(model, here)) == plain


def test_other_versions_are_refused(model: Model, sources: Sources, three: Workers) -> None:
    recipe = Recipe.of(model, sources)
    newer = dataclasses.replace(recipe, versions=(("tfbind", "9.9"), *recipe.versions[1:]))
    expected = r"has tfbind 0\..* but this tfbind tfbind 9\.9, numpy \d\S* and onnxruntime \d"
    with pytest.raises(InputError, match=expected):
        clustered(three, newer, checked(model, sources))


def test_a_model_for_devices_elsewhere(trained: Trained, sources: Sources) -> None:
    model = Model(trained.onnx, device="cuda:1", tf32=True, elsewhere=True)
    assert (model.provider, model.chunk, model.tf32) == ("CUDA", 4096, True)
    assert Recipe.of(model, sources, device="cuda:1").device == "cuda:1"
    assert Model(trained.onnx, chunk=32, device="cuda", elsewhere=True).chunk == 32
    assert Model(trained.onnx, device="cpu", elsewhere=True).chunk == 256


def test_no_worker_is_not_waited_for_endlessly(
    model: Model, sources: Sources, tmp_path: Path
) -> None:
    told: list[str] = []
    with (
        config.set({"temporary-directory": str(tmp_path)}),
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as scheduler,
        Client(scheduler, set_as_default=False) as client,
    ):
        workers = Workers(client, "tcp://here:1", told.append, patience=2.5)
        with pytest.raises(InputError, match="has had no worker for 2 s"):
            clustered(workers, Recipe.of(model, sources), checked(model, sources))
    assert told == ["waiting for workers of tcp://here:1"]


def test_no_scheduler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli_cluster, "ANSWER", 1)
    with (
        pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"),
        cluster_workers("tcp://127.0.0.1:9", quiet=True),
    ):
        pass
    missing, other = tmp_path / "missing.json", tmp_path / "other.json"
    other.write_text("{}")
    for file in (missing, other):
        with (
            pytest.raises(InputError, match=rf"{file.name}: is no file that dask scheduler"),
            cluster_workers(str(file), quiet=True),
        ):
            pass


@contextlib.contextmanager
def dask(folder: Path, *args: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", *map(str, args)],
        env=environment({"TMPDIR": str(folder)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_scheduler_that_goes_away_is_said(model: Model, sources: Sources, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    at = ("--scheduler-file", file)
    here = ("--host", "127.0.0.1", "--no-dashboard")
    plain = plainly(model, sources, checked(model, sources))
    recipe = Recipe.of(model, sources)
    with (
        dask(tmp_path, "distributed.cli.dask_scheduler", *at, *here, "--port", "0") as scheduler,
        dask(
            tmp_path,
            *("distributed.cli.dask_worker", *at, *here, "--nthreads", "2", "--no-nanny"),
            *("--local-directory", tmp_path, "--death-timeout", "60"),
        ),
        cluster_workers(str(file), quiet=True) as workers,
    ):
        assert clustered(workers, recipe, checked(model, sources)) == plain
        scored = score_on_cluster(checked(model, sources), workers, recipe, bins_a_task=1)
        next(scored)
        scheduler.kill()
        with pytest.raises(InputError, match="the Dask scheduler has gone away"):
            list(scored)


def test_errors_come_back_whole() -> None:
    for error in (InputError("no bin", path="bins.bed", line=7), InputError("no")):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back)) == (InputError, str(error))
        assert (back.message, back.path, back.line) == (error.message, error.path, error.line)


@pytest.fixture(scope="module")
def bins(tfbind: Tfbind, trained: Trained) -> bytes:
    done = tfbind("bin", "--region", "chrX:40000001-50000000", env=trained.env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_writes_the_same_bytes(
    tfbind: Tfbind, trained: Trained, bins: bytes, tmp_path: Path
) -> None:
    plain = tfbind("score", trained.onnx, stdin=bins, env=trained.env)
    on_two = tfbind("score", trained.onnx, "--cluster", "local:2", stdin=bins, env=trained.env)
    assert on_two.returncode == 0, on_two.stderr
    assert on_two.stdout == plain.stdout
    assert all(line.startswith(b"tfbind: ") for line in on_two.stderr.splitlines())
    for how, options in (("plain", ()), ("two", ("--cluster", "local:2"))):
        done = tfbind(
            *("score", trained.onnx, *options, "-o", tmp_path / f"{how}.bw"),
            *("--resume", "-q"),
            stdin=bins,
            env=trained.env,
        )
        assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "two.bw").read_bytes() == (tmp_path / "plain.bw").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_names_the_line(tfbind: Tfbind, trained: Trained) -> None:
    text = "chrX\t47000000\t47000200\nchrX\t5\t4\n"
    plain = tfbind("score", trained.onnx, stdin=text, env=trained.env)
    on_one = tfbind("score", trained.onnx, "--cluster", "local:1", stdin=text, env=trained.env)
    assert (on_one.returncode, on_one.stderr) == (1, plain.stderr)
    assert on_one.stdout == plain.stdout


def test_the_command_refuses_other_addresses(tfbind: Tfbind, trained: Trained) -> None:
    for address in ("local:0", "local", "host:8786"):
        done = tfbind("score", trained.onnx, "--cluster", address, env=trained.env)
        assert done.returncode == 2
        assert b"expected local:N, tcp://HOST:PORT" in done.stderr


def children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False)
    return [int(one) for one in listed.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_the_command_leaves_nothing_behind(
    trained: Trained, bins: bytes, tmp_path: Path, number: signal.Signals
) -> None:
    scored = subprocess.Popen(
        [sys.executable, "-m", "tfbind", "score", str(trained.onnx), "--cluster", "local:2"],
        env=environment(trained.env) | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert scored.stdin is not None
    os.set_blocking(scored.stdin.fileno(), False)
    scored.stdin.write(bins[: 1 << 15])
    deadline = time.monotonic() + 60
    while len(workers := children(scored.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    scored.send_signal(number)
    with scored:  # whose standard input stays open: it must not wait for its end
        scored.wait(60)
        assert scored.stderr is not None
        assert (scored.returncode, scored.stderr.read()) == (128 + number, b"")
    assert not any(map(is_alive, workers))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_said(trained: Trained) -> None:
    script = "import sys; sys.modules['distributed'] = None\nfrom tfbind.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "score", str(trained.onnx), "--cluster", "local:1"],
        env=environment(trained.env),
        input=b"",
        capture_output=True,
        check=False,
    )
    expected = b"tfbind: --cluster needs distributed; run: pip install 'tfbind[cluster]'\n"
    assert (done.returncode, done.stderr) == (1, expected)
