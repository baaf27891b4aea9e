"""Scores: the numbers of Keras on windows, whatever the input, chunk or threads."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pysam
import pytest

pytest.importorskip("keras", reason="the reference is Keras: pip install 'tfbind[train]'")

from conftest import Trained

import tfbind.scoring
from tfbind.channels import Sources
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import IntervalReader, Intervals
from tfbind.model import Model
from tfbind.networks.files import load_network
from tfbind.scoring import score
from tfbind.signal import Signal
from tfbind.tiles import BinCheck, Stretches

Scores = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def sources(data: Path) -> Sources:
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    return Sources(genome, {"dnase": Signal(data / "K562.dnase.bw")})


def bed(starts: npt.NDArray[np.int64]) -> str:
    return "".join(f"chrX\t{start}\t{start + 200}\n" for start in starts)


def scores_of(model: Model, sources: Sources, text: str, threads: int = 2) -> Scores:
    geometry = model.contract.geometry
    reader = IntervalReader(io.BytesIO(text.encode()), "bins.bed")
    batches = map(BinCheck(geometry, sources, "bins.bed"), reader)
    stretches = Stretches(geometry, model.contract.inputs, sources)
    parts = [scores for _, scores in score(batches, model, stretches, threads)]
    return np.concatenate(parts)[:, 0] if parts else np.zeros(0, np.float32)


def keras_on_windows(trained: Trained, data: Path, starts: npt.NDArray[np.int64]) -> Scores:
    """Score windows that are cut one by one from the files, without any of tfbind's reading."""
    import pyBigWig

    size = 69_999_930
    codes = np.full((len(starts), 1000), 4, np.uint8)
    dnase = np.zeros((len(starts), 1000), np.float32)
    with (
        pysam.FastaFile(str(data / "hg19.chrX_cut.fa.gz")) as fasta,
        pyBigWig.open(str(data / "K562.dnase.bw")) as bigwig,
    ):
        for row, start in enumerate(starts):
            first, last = max(start - 400, 0), min(start + 600, size)
            there = slice(first - (start - 400), last - (start - 400))
            letters = fasta.fetch("chrX", first, last).upper()
            codes[row, there] = ["ACGT".find(letter) % 5 for letter in letters]
            values = np.nan_to_num(bigwig.values("chrX", first, last, numpy=True))
            dnase[row, there] = np.log1p(values.astype(np.float16).astype(np.float32))
    model = load_network(trained.keras).model
    predicted = model.predict({"sequence": codes, "dnase": dnase}, verbose=0)
    scores: Scores = predicted[:, 0, 0]
    return scores


ENDS = np.arange(0, 1000, 50)
LAST = 69_999_730 - np.arange(0, 1000, 50)[::-1]
AFTER_N = 38_000_000 + np.arange(-1500, 3000, 50)
GAP_OF_N = 49_242_997 + np.arange(-2000, 2000, 50)
OPEN = 48_640_000 + np.arange(0, 40_000, 50)
OFF_GRID = 48_650_017 + np.arange(0, 5000, 50)


@pytest.mark.parametrize("windows", [False, True], ids=["scan", "windows"])
@pytest.mark.parametrize(
    "starts",
    [ENDS, LAST, AFTER_N, GAP_OF_N, OPEN, OFF_GRID],
    ids=["contig start", "contig end", "after N", "a run of N", "open chromatin", "off the grid"],
)
def test_scores_are_those_of_keras_on_windows(
    trained: Trained,
    data: Path,
    sources: Sources,
    starts: npt.NDArray[np.int64],
    windows: bool,
) -> None:
    model = Model(trained.onnx, device="cpu", windows=windows)
    found = scores_of(model, sources, bed(starts))
    expected = keras_on_windows(trained, data, starts)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if starts is OPEN:
        assert np.ptp(expected) > 0.05


STARTS = 48_600_000 + np.arange(0, 300_000, 50)


@pytest.fixture(scope="module")
def whole(trained: Trained, sources: Sources) -> Scores:
    return scores_of(Model(trained.onnx, device="cpu"), sources, bed(STARTS))


def subsets() -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    index = np.arange(len(STARTS))
    yield "every third", index[::3]
    yield "first third", index[: len(index) // 3]
    yield "one", index[777:778]
    yield "none", index[:0]
    yield "shuffled", np.random.default_rng(3).permutation(index)[:500]
    yield "repeated", np.repeat(index[100:110], 3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("index"), [one for _, one in subsets()], ids=[n for n, _ in subsets()])
def test_a_bins_score_does_not_depend_on_the_others(
    trained: Trained,
    sources: Sources,
    whole: Scores,
    index: npt.NDArray[np.int64],
    threads: int,
) -> None:
    model = Model(trained.onnx, device="cpu")
    found = scores_of(model, sources, bed(STARTS[index]), threads)
    np.testing.assert_array_equal(found, whole[index])


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_chunk_lengths_agree(trained: Trained, sources: Sources, whole: Scores, chunk: int) -> None:
    some = slice(0, 1003)
    model = Model(trained.onnx, device="cpu", chunk=chunk)
    found = scores_of(model, sources, bed(STARTS[some]))
    np.testing.assert_allclose(found, whole[some], atol=1e-6)


def test_contig_shorter_than_a_window(trained: Trained, data: Path, tmp_path: Path) -> None:
    import pyBigWig

    with pysam.FastaFile(str(data / "hg19.chrX_cut.fa.gz")) as fasta:
        letters = fasta.fetch("chrX", 48_000_000, 48_000_330)
    (tmp_path / "tiny.fa").write_text(f">scaffold\n{letters}\n")
    with pyBigWig.open(str(tmp_path / "tiny.bw"), "w") as bigwig:
        bigwig.addHeader([("scaffold", 330)])
        bigwig.addEntries(["scaffold"], [10], ends=[60], values=[3.0])
    sources = Sources(Genome(tmp_path / "tiny.fa"), {"dnase": Signal(tmp_path / "tiny.bw")})
    text = "scaffold\t0\t200\nscaffold\t50\t250\nscaffold\t100\t300\n"
    scan, windows = (
        scores_of(Model(trained.onnx, device="cpu", windows=way), sources, text)
        for way in (False, True)
    )
    assert len(scan) == 3
    np.testing.assert_allclose(scan, windows, atol=1e-6)


def test_both_strands_are_averaged_inside_the_graph(
    trained: Trained, sources: Sources, tmp_path: Path
) -> None:
    from tfbind.export import export

    network = load_network(trained.keras)
    exported, difference = export(network, both_strands=True)
    assert difference < 1e-5
    path = tmp_path / "both.onnx"
    path.write_bytes(exported.SerializeToString())
    model = Model(path, device="cpu", chunk=20)
    assert model.contract.both_strands
    first, length = 48_640_000 - 400, model.contract.geometry.length(20)
    codes = sources.genome.codes("chrX", first, first + length)[None]
    dnase = np.log1p(sources.signal("dnase").values("chrX", first, first + length))[None]
    turned = np.array([3, 2, 1, 0, 4], np.uint8)[codes[:, ::-1]]
    forward = network.model.predict({"sequence": codes, "dnase": dnase}, verbose=0)[0, :, 0]
    backward = network.model.predict({"sequence": turned, "dnase": dnase[:, ::-1]}, verbose=0)
    expected = (forward + backward[0, ::-1, 0]) / 2
    assert np.abs(forward - expected).max() > 1e-3
    found = scores_of(model, sources, bed(48_640_000 + np.arange(0, 1000, 50)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_model_without_contract(trained: Trained, tmp_path: Path) -> None:
    model = onnx.load(trained.onnx)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match="holds no contract"):
        Model(tmp_path / "foreign.onnx", device="cpu")


def test_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("chr1\t1\t2\n")
    with pytest.raises(InputError, match="is no ONNX model"):
        Model(tmp_path / "x.onnx", device="cpu")


@pytest.mark.parametrize("threads", [1, 3])
def test_a_score_that_is_no_number_is_refused(
    trained: Trained, sources: Sources, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(trained.onnx, device="cpu")
    real = model.scores

    def spoilt(raw: dict[str, npt.NDArray[np.float32]], chunks: int) -> Scores:
        scores = real(raw, chunks).copy()
        scores[7] = np.nan
        return scores

    monkeypatch.setattr(model, "scores", spoilt)
    first = 48_640_000 // model.span * model.span
    with pytest.raises(
        InputError, match=f"gives nan to the bin of chrX that begins at {first + 350}"
    ):
        scores_of(model, sources, bed(first + np.arange(0, 1000, 50)), threads)
    others = first + np.array([0, 50, 300, 400])
    assert np.isfinite(scores_of(model, sources, bed(others), threads)).all()


@pytest.mark.parametrize("most", [1, 7, 300])
def test_batches_of_many_scores_are_parted(
    trained: Trained, sources: Sources, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(trained.onnx, device="cpu")
    expected = scores_of(model, sources, bed(OPEN))
    monkeypatch.setattr(tfbind.scoring, "SCORES_A_BATCH", most)
    np.testing.assert_array_equal(scores_of(model, sources, bed(OPEN)), expected)


def test_scattered_bins_hold_only_their_own_scores(trained: Trained, sources: Sources) -> None:
    model = Model(trained.onnx, device="cpu", chunk=16)
    starts = np.arange(40_000_000, 50_000_000, 5000)
    held = []

    def noted(batches: Iterator[tuple[Intervals, list[str]]]) -> None:
        stretches = Stretches(model.contract.geometry, model.contract.inputs, sources)
        for _, scores in score(batches, model, stretches, 2):
            base = scores if scores.base is None else scores.base
            held.append((len(scores), base.nbytes))

    reader = IntervalReader(io.BytesIO(bed(starts).encode()), "bins.bed")
    noted(map(BinCheck(model.contract.geometry, sources, "bins.bed"), reader))
    assert held == [(len(starts), 4 * len(starts))]
