"""Networks that were not made here: the numbers of their own windows, cut one by one."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("keras", reason="the reference is Keras: pip install 'tfbind[train]'")

from by_hand import CONTIG_SIZE, Array, Files, Starts, scores_of, window_starts
from conftest import ROOT, Tfbind, environment

from tfbind.channels import Sources
from tfbind.contract import METADATA_KEY, Contract, Geometry
from tfbind.errors import InputError
from tfbind.foreign import Foreign
from tfbind.genome import Genome
from tfbind.model import Model
from tfbind.signal import Signal

MAXATAC = os.environ.get("TFBIND_MAXATAC")

# A bin of 32 bp: at the contig's ends, where the last window is cut short; at the end of a run of
# N; within one; in open chromatin; and where no window of the absolute grid begins.
PLACES: dict[str, Starts] = {
    "contig start": np.arange(0, 3000, 32),
    "contig end": (CONTIG_SIZE // 32 - np.arange(1, 60)[::-1]) * 32,
    "after N": 38_000_000 // 32 * 32 + np.arange(-2048, 4096, 32),
    "a run of N": 49_242_997 // 32 * 32 + np.arange(-2048, 2048, 32),
    "open chromatin": 48_640_000 // 32 * 32 + np.arange(0, 40_000, 32),
    "off the grid": 48_650_017 + np.arange(0, 5000, 32),
}


@pytest.fixture(scope="module")
def files(data: Path) -> Files:
    return Files(data / "hg19.chrX_cut.fa.gz", data / "K562.dnase.bw")


@pytest.fixture(scope="module")
def sources(files: Files) -> Sources:
    return Sources(Genome(files.fasta), {"atac": Signal(files.bigwig)})


def convert(network: Any, path: Path) -> None:
    """Save a network and turn it into ONNX by the example's script."""
    saved = path.with_suffix(".keras")
    with warnings.catch_warnings():  # of Keras, about NumPy
        warnings.simplefilter("ignore", DeprecationWarning)
        network.save(saved)
    run_script(saved, path)


def run_script(*args: str | Path) -> None:
    script = ROOT / "examples" / "maxatac_to_onnx.py"
    done = subprocess.run(
        [sys.executable, script, *map(str, args)],
        capture_output=True,
        env=environment(),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def dilated(window: int, channels: int, pools: int, crop: int, tasks: int) -> Any:
    """Build a small network of maxATAC's or Basenji's kind, with every weight at random."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    taken = layers.Input((window, channels), name="input_1")
    rows = taken
    for depth in range(pools):
        rows = layers.Conv1D(
            6 + depth, 7, padding="same", activation="relu", dilation_rate=2 ** max(depth - 1, 0)
        )(rows)
        rows = layers.BatchNormalization()(rows)
        rows = layers.MaxPooling1D(2)(rows)
    if crop:
        rows = layers.Cropping1D(crop)(rows)
    rows = layers.Conv1D(tasks, 1, activation="sigmoid")(rows)
    network = keras.Model(taken, layers.Flatten()(rows) if tasks == 1 else rows)
    rng, weights = np.random.default_rng(7), network.get_weights()
    shifted = [one + rng.uniform(0, 0.3, one.shape) * (one.ndim == 1) for one in weights]
    network.set_weights(shifted)
    return network


@dataclass(frozen=True)
class Net:
    keras: Any
    onnx: Path
    foreign: Foreign


@pytest.fixture(scope="module")
def maxatac(tmp_path_factory: pytest.TempPathFactory) -> Net:
    """Build a net of maxATAC's shape: 1,024 bases and a signal, 32 bins of 32 bp, batch free."""
    path = tmp_path_factory.mktemp("maxatac") / "net.onnx"
    network = dilated(1024, 5, pools=5, crop=0, tasks=1)
    convert(network, path)
    return Net(network, path, Foreign(step=32, inputs=("input_1=ACGT+atac:0:20",)))


@pytest.fixture(scope="module")
def basenji(tmp_path_factory: pytest.TempPathFactory) -> Net:
    """Build a net of Basenji's shape: its outer bins are cropped, and there are several tasks."""
    path = tmp_path_factory.mktemp("basenji") / "net.onnx"
    network = dilated(1024, 4, pools=5, crop=8, tasks=3)
    convert(network, path)
    return Net(network, path, Foreign(step=32, tasks=("liver", "lung", "brain")))


def keras_on_windows(
    network: Any, starts: Starts, geometry: Geometry, cut: Callable[[int, int], Array]
) -> Array:
    """Score each bin by its window alone, cut from the files: shape (bins, tasks)."""
    firsts, place = window_starts(starts, geometry)
    unique, which = np.unique(firsts, return_inverse=True)
    windows = np.stack([cut(first, first + geometry.window) for first in unique.tolist()])
    predicted = network.predict(windows, verbose=0, batch_size=64)
    scores: Array = predicted.reshape(len(unique), geometry.outputs, -1)[which, place]
    return scores


def cut_maxatac(files: Files) -> Callable[[int, int], Array]:
    def cut(start: int, end: int) -> Array:
        return np.column_stack([files.one_hot(start, end), files.signal(start, end) / 20])

    return cut


@pytest.mark.parametrize("place", PLACES)
def test_scores_of_several_bins_a_window_are_those_of_keras(
    maxatac: Net, files: Files, sources: Sources, place: str
) -> None:
    model = Model(maxatac.onnx, device="cpu", contract=maxatac.foreign)
    assert model.contract.geometry == Geometry(1024, 32, 32, outputs=32)
    assert model.chunk == 256
    assert not model.scans
    starts = PLACES[place]
    found = scores_of(model, sources, starts)
    expected = keras_on_windows(maxatac.keras, starts, model.contract.geometry, cut_maxatac(files))
    assert found.shape == (len(starts), 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if place == "open chromatin":
        assert np.ptp(expected) > 0.05


@pytest.mark.parametrize("place", PLACES)
def test_scores_of_cropped_windows_are_those_of_keras(
    basenji: Net, files: Files, sources: Sources, place: str
) -> None:
    model = Model(basenji.onnx, device="cpu", contract=basenji.foreign)
    assert model.contract.geometry == Geometry(1024, 32, 32, outputs=16)
    assert model.contract.geometry.flank == 256
    assert model.contract.tasks == ("liver", "lung", "brain")
    assert model.contract.order == "bins, tasks"
    starts = PLACES[place]
    found = scores_of(model, sources, starts)
    expected = keras_on_windows(basenji.keras, starts, model.contract.geometry, files.one_hot)
    assert found.shape == (len(starts), 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if place == "open chromatin":
        assert np.ptp(expected, axis=0).min() > 0.01


def test_mean_of_the_windows_that_hold_a_bin(
    maxatac: Net, files: Files, sources: Sources, tmp_path: Path
) -> None:
    path = tmp_path / "mean.onnx"
    run_script(maxatac.onnx.with_suffix(".keras"), path, "--every", "256")
    model = Model(path, device="cpu", contract=maxatac.foreign)
    assert model.contract.geometry == Geometry(1792, 32, 32, outputs=8)
    starts = PLACES["open chromatin"][:64]
    cut = cut_maxatac(files)
    first = starts[0] - 1024  # a multiple of 256 bp, like the windows
    assert first % 256 == 0
    sums, counts = np.zeros(2 * 1024 + 64 * 32), np.zeros(2 * 1024 + 64 * 32)
    for start in range(0, len(sums) - 1023, 256):
        window = cut(first + start, first + start + 1024)[None]
        sums[start : start + 1024] += np.repeat(maxatac.keras.predict(window, verbose=0)[0], 32)
        counts[start : start + 1024] += 1
    expected = (sums / counts)[1024:-1024:32]
    np.testing.assert_allclose(scores_of(model, sources, starts)[:, 0], expected, atol=1e-5)


STARTS = 48_600_000 // 32 * 32 + np.arange(0, 200_000, 32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("which", ["every third", "one", "shuffled", "repeated"])
def test_a_bins_score_does_not_depend_on_the_others(
    basenji: Net, sources: Sources, which: str, threads: int
) -> None:
    model = Model(basenji.onnx, device="cpu", contract=basenji.foreign)
    whole = scores_of(model, sources, STARTS)
    index = np.arange(len(STARTS))
    chosen = {
        "every third": index[::3],
        "one": index[777:778],
        "shuffled": np.random.default_rng(3).permutation(index)[:500],
        "repeated": np.repeat(index[100:110], 3),
    }[which]
    found = scores_of(model, sources, STARTS[chosen], threads)
    np.testing.assert_array_equal(found, whole[chosen])


@pytest.mark.parametrize(("chunk", "made"), [(1, 16), (16, 16), (100, 112), (1600, 1600)])
def test_chunks_hold_whole_windows(basenji: Net, sources: Sources, chunk: int, made: int) -> None:
    model = Model(basenji.onnx, device="cpu", contract=basenji.foreign, chunk=chunk)
    assert model.chunk == made
    usual = Model(basenji.onnx, device="cpu", contract=basenji.foreign)
    some = STARTS[:999]
    np.testing.assert_allclose(
        scores_of(model, sources, some), scores_of(usual, sources, some), atol=1e-6
    )


def test_a_contract_in_the_file_says_the_same(
    basenji: Net, sources: Sources, tmp_path: Path
) -> None:
    described = Model(basenji.onnx, device="cpu", contract=basenji.foreign)
    model = onnx.load(basenji.onnx)
    text = described.contract.to_json()
    assert Contract.from_json(text, "x") == described.contract
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    onnx.save(model, tmp_path / "told.onnx")
    told = Model(tmp_path / "told.onnx", device="cpu")
    some = STARTS[:100]
    np.testing.assert_array_equal(
        scores_of(told, sources, some), scores_of(described, sources, some)
    )
    with pytest.raises(InputError, match=r"holds a contract of tfbind, so .* leave them out"):
        Model(tmp_path / "told.onnx", device="cpu", contract=basenji.foreign)


def test_a_file_without_contract_shows_its_graph(maxatac: Net) -> None:
    with pytest.raises(InputError) as caught:
        Model(maxatac.onnx, device="cpu")
    assert str(caught.value) == (
        f"{maxatac.onnx}: holds no contract of tfbind; it takes input_1 (?, 1024, 5) float and "
        "gives scores (?, 32) float: describe it by --input, --window, and --stride or --step"
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "no --input input_1=PARTS"),
        ({"inputs": ("dna=ACGT+atac",)}, "found no input 'dna'"),
        ({"inputs": ("ACGT+atac",)}, "--step BP if it is bins, or --stride BP if it is tasks"),
        (
            {"inputs": ("ACGT",), "step": 32},
            r"found 4 channel\(s\), sequence, for input_1 .* expected 5, channels-last",
        ),
        ({"inputs": ("ACGT+atac",), "step": 32, "window": 1000}, r"1000 \(--window\), 1024 \(inp"),
        ({"inputs": ("ACGT+atac",), "step": 64}, r"1024 bp around 32 bins of 64 bp, 64 bp apart"),
        ({"inputs": ("ACGT+atac",), "step": 32, "output": "y"}, "no output 'y', .* one of scores"),
        ({"inputs": ("ACGT+atac",), "step": 32, "tasks": ("a", "b")}, r"1 score\(s\).* 2 are nam"),
        (
            {"inputs": ("ACGT+atac",), "step": 32, "layout": "channels-first"},
            "found 5 .* expected 1024, channels-first",
        ),
    ],
)
def test_what_does_not_fit_the_graph_is_refused(
    maxatac: Net, said: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Model(maxatac.onnx, device="cpu", contract=Foreign(**said))
    assert caught.value.path == str(maxatac.onnx)
    assert "it takes input_1 (?, 1024, 5) float and gives scores (?, 32) float" in str(caught.value)


def test_the_command_line_describes_a_model(
    maxatac: Net, files: Files, sources: Sources, tfbind: Tfbind
) -> None:
    env = {"TFBIND_FASTA": str(files.fasta), "TFBIND_SIGNAL": str(files.bigwig)}
    grid = ["bin", "--size", "32", "--stride", "32", "--region", "chrX:48640001-48680000"]
    bins = tfbind(*grid, env=env).stdout
    said = ["--input", "ACGT+atac:0:20", "--step", "32"]
    done = tfbind("score", maxatac.onnx, *said, stdin=bins, env=env)
    assert done.returncode == 0, done.stderr.decode()
    first, *lines = done.stdout.decode().splitlines()
    assert "\tinput=ACGT+atac:0:20\tstep=32\t" in first
    assert [line.rpartition("\t")[0] for line in lines] == bins.decode().splitlines()
    starts = np.array([line.split("\t")[1] for line in lines], np.int64)
    assert len(starts) == 1250
    scores = np.array([line.split("\t")[3] for line in lines], np.float32)
    model = Model(maxatac.onnx, device="cpu", contract=maxatac.foreign)
    np.testing.assert_array_equal(scores, scores_of(model, sources, starts)[:, 0])


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ([], 1, "holds no contract of tfbind; it takes input_1 (?, 1024, 5) float"),
        (["--step", "32", "--stride", "50"], 2, "both --stride and --step"),
        (["--input", "x=ACGT:half"], 2, "found the part 'ACGT:half'"),
        (["--input", "ACGT+atac"], 1, "give --step BP if it is bins, or --stride BP if it is"),
        (["--input", "ACGT+atac", "--step", "32"], 1, "the model wants the signal 'atac'"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    maxatac: Net, data: Path, tfbind: Tfbind, said: list[str], status: int, message: str
) -> None:
    fasta = str(data / "hg19.chrX_cut.fa.gz")
    done = tfbind("score", maxatac.onnx, "--fasta", fasta, *said, stdin="chrX\t0\t32\n")
    # An error of usage is folded to the terminal's width, in a frame.
    assert message in " ".join(done.stderr.decode().replace("│", " ").split())
    assert done.returncode == status
    assert done.stdout == b""


@pytest.mark.skipif(
    MAXATAC is None,
    reason="TFBIND_MAXATAC names no weights; they lie at github.com/MiraldiLab/maxATAC_data, "
    "models/CTCF/CTCF_binary_revcomp99_fullModel_RR0_95.h5",
)
@pytest.mark.parametrize("place", PLACES)
def test_the_trained_network_of_maxatac(
    files: Files, sources: Sources, tmp_path_factory: pytest.TempPathFactory, place: str
) -> None:
    import keras

    folder = tmp_path_factory.getbasetemp()
    path = folder / "maxatac.onnx"
    if not path.exists():
        run_script(str(MAXATAC), path)
    model = Model(path, device="cpu", contract=Foreign(step=32, inputs=("input_1=ACGT+atac:0:20",)))
    network = keras.saving.load_model(MAXATAC, compile=False)
    starts = PLACES[place]
    expected = keras_on_windows(network, starts, model.contract.geometry, cut_maxatac(files))
    np.testing.assert_allclose(scores_of(model, sources, starts), expected, atol=1e-5)
    if place == "open chromatin":
        assert expected.max() > 0.5
