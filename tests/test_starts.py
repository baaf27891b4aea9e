"""Where weights start: motifs as filters, and ChIP signal learnt first."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyBigWig
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install 'tfbind[train]'")

import keras
import typer
from conftest import Tfbind, Trained, environment, ok

from tfbind.cli.starting import Start, chip_tracks, initial_motifs
from tfbind.contract import Geometry, Input
from tfbind.errors import InputError
from tfbind.jaspar import jaspar_motifs
from tfbind.motifs import Motif, read_motifs
from tfbind.networks import shallow
from tfbind.networks.best import best
from tfbind.networks.files import load_network
from tfbind.networks.heads import CONVOLUTION, LOGITS, Learnt
from tfbind.pretraining import (
    Pass,
    Scale,
    StrengthBatcher,
    Strengths,
    fitted_scales,
    pretrain,
    squared_error,
)
from tfbind.regions import Region
from tfbind.settings import Settings
from tfbind.signal import Signal
from tfbind.starts import most_informative, motif_filters, start_from_motifs
from tfbind.tilefiles import TileFile
from tfbind.tilesets import TileSet, part_by_regions

INPUTS = (Input("sequence", "sequence", "uint8"),)
ACG = Motif("acg", "", np.eye(4)[[0, 1, 2]])


def test_a_short_motif_stands_in_the_middle_of_both_strands() -> None:
    forward, reverse = motif_filters([ACG], 6, 2.0)
    assert forward.argmax(axis=1)[1:4].tolist() == [0, 1, 2]
    assert not forward[[0, 4, 5]].any()
    assert reverse.argmax(axis=1)[2:5].tolist() == [1, 2, 3]  # CGT
    np.testing.assert_allclose(forward.sum(axis=1), 0, atol=1e-6)
    # Each of three positions gives a base out of four: deviations of all 64 responses.
    responses = [
        sum(forward[1 + i, base] for i, base in enumerate(word)) for word in np.ndindex(4, 4, 4)
    ]
    assert np.mean(responses) == pytest.approx(0, abs=1e-6)
    assert np.std(responses) == pytest.approx(2.0, rel=1e-5)


def test_a_long_motif_is_cut_to_what_tells_most() -> None:
    rows = np.full((6, 4), 0.25)
    rows[3], rows[4] = [1, 0, 0, 0], [0, 0, 0, 1]
    motif = Motif("long", "", rows)
    assert most_informative(motif, 2) == (3, 5)
    assert most_informative(motif, 9) == (0, 6)
    forward, reverse = motif_filters([motif], 2, 1.0)
    assert forward.argmax(axis=1).tolist() == [0, 3]
    assert np.array_equal(reverse, forward[::-1, ::-1])


def test_a_motif_that_says_nothing_is_a_filter_of_zeros() -> None:
    assert not motif_filters([Motif("n", "", np.full((3, 4), 0.25))], 4, 1.0).any()


def test_filters_respond_to_random_sequence_as_the_others_do(data: Path) -> None:
    motifs = read_motifs(data / "motifs.meme")
    keras.utils.set_random_seed(3)
    model = shallow(INPUTS, Geometry(), filters=64, joint=8, dense=4)
    before = model.get_layer(CONVOLUTION).kernel.numpy().copy()
    start_from_motifs(model, motifs, "shallow")
    after = model.get_layer(CONVOLUTION).kernel.numpy().copy()
    set_ = 2 * len(motifs)
    assert np.array_equal(after[..., set_:], before[..., set_:])
    codes = np.random.default_rng(1).integers(0, 4, 40_000)
    rows = np.eye(4)[codes]
    windows = np.lib.stride_tricks.sliding_window_view(rows, 20, axis=0)
    deviations = np.einsum("nbw,wbf->nf", windows, after).std(axis=0)
    assert deviations[:set_].std() < 0.03 * deviations.mean()
    assert deviations[:set_].mean() == pytest.approx(deviations[set_:].mean(), rel=0.06)
    best = after[..., 0]
    width = len(motifs[0])
    middle = best[(20 - width) // 2 :][:width]
    assert np.array_equal(middle.argmax(axis=1), motifs[0].log_odds.argmax(axis=1))


def test_all_members_of_an_ensemble_start_from_motifs() -> None:
    model = best(INPUTS, Geometry(), filters=3, units=4, dense=4, ensemble=3)
    assert start_from_motifs(model, [ACG], "best") == 3
    one, *others = (model.get_layer(CONVOLUTION + end).kernel.numpy() for end in ("", "_2", "_3"))
    for other in others:
        assert np.array_equal(other[..., :2], one[..., :2])
        assert not np.array_equal(other[..., 2], one[..., 2])


def test_too_many_motifs_or_no_convolution_is_said() -> None:
    model = shallow(INPUTS, Geometry(), filters=4, joint=4, dense=2)
    three = [Motif(name, "", ACG.frequencies) for name in "abc"]
    with pytest.raises(InputError, match=r"3 motif.* make 6 filters, but 'shallow' has 4"):
        start_from_motifs(model, three, "shallow")
    signals = shallow((Input("dnase", "signal", "float16"),), Geometry(), joint=4)
    with pytest.raises(InputError, match="'shallow' has no convolution over the sequence"):
        start_from_motifs(signals, [ACG], "shallow")


def test_the_database_gives_motifs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfbind.jaspar.find_spec", lambda name: None)
    with pytest.raises(InputError, match="--motifs FILE or TFBIND_MOTIFS, or pip install"):
        jaspar_motifs(["MA0139.2"])


def test_a_name_in_the_database_is_of_one_motif_of_vertebrates() -> None:
    pytest.importorskip("pyjaspar", reason="pip install 'tfbind[jaspar]'")
    (named,), release = jaspar_motifs(["MAX"])  # a fly's and a sea squirt's have this name too
    assert release.startswith("JASPAR20")
    assert named.title.startswith("MA0058.")
    (one,), _ = jaspar_motifs(["MA0139.2", "MA0139.2"])
    assert one.title == "MA0139.2_CTCF"
    np.testing.assert_allclose(one.frequencies.sum(axis=1), 1)
    with pytest.raises(
        InputError, match=r"motifs named 'CTCF': MA0139\.\d+ \(15 bp\), .*give the accessions"
    ):
        jaspar_motifs(["CTCF"])
    with pytest.raises(InputError, match=r"JASPAR20\d+ has no motif 'MA9' of vertebrates"):
        jaspar_motifs(["MA9"])


def test_motifs_are_named_by_file_and_accession(data: Path, tmp_path: Path) -> None:
    path = str(data / "motifs.meme")
    found, source = initial_motifs(f"{path}:MAX,MA0108.3", None)
    assert [one.title for one in found] == ["MA0058.4_MAX", "MA0108.3_TBP"]
    assert source == "motifs.meme"
    assert len(initial_motifs(path, None)[0]) == 4
    assert [one.name for one in initial_motifs("jaspar:MA0139.2", path)[0]] == ["MA0139.2"]
    odd = tmp_path / "a:b.meme"
    odd.write_bytes((data / "motifs.meme").read_bytes())
    assert len(initial_motifs(str(odd), None)[0]) == 4
    assert len(initial_motifs(f"{odd}:MAX", None)[0]) == 1
    with pytest.raises(InputError, match="holds no motif 'MA9'"):
        initial_motifs("jaspar:MA9", path)
    for none in ("jaspar:", f"{path}:"):
        with pytest.raises(typer.BadParameter, match="names no motif"):
            initial_motifs(none, path)


@pytest.fixture(scope="module")
def chip(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paint the signal values of real peaks, which stand for ChIP signal, over chrX."""
    values = np.zeros(51_000_000, np.float32)
    with gzip.open(data / "HeLa-S3.CTCF.relaxed.narrowPeak.gz", "rt") as lines:
        for line in lines:
            _, start, end, *rest = line.split()
            values[int(start) : int(end)] = float(rest[3])
    begins = np.flatnonzero(np.diff(values, prepend=0))
    ends = np.append(begins[1:], len(values))
    kept = values[begins] > 0
    path = tmp_path_factory.mktemp("chip") / "HeLa-S3.CTCF.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chrX", 155_270_560)], maxZooms=0)
        file.addEntries(
            ["chrX"] * int(kept.sum()),
            begins[kept].tolist(),
            ends=ends[kept].tolist(),
            values=values[begins[kept]].tolist(),
        )
    return path


class Counted:
    """A function that counts its calls."""

    def __init__(self, of: Callable[..., Any]) -> None:
        self.of, self.calls = of, 0

    def __call__(self, *args: Any) -> Any:
        self.calls += 1
        return self.of(*args)


def test_strengths_are_log_means_of_bins(
    monkeypatch: pytest.MonkeyPatch, trained: Trained, chip: Path
) -> None:
    file = TileFile(trained.tiles)
    tiles = TileSet([file])
    signal = Signal(chip)
    pieces = tiles.read(np.arange(tiles.pieces))
    strengths, weights = Strengths(tiles, {("HeLa-S3", "bound"): signal})(pieces)
    assert np.array_equal(weights, pieces.weights)
    assert weights.sum() == file.counts["bins"]
    piece, _, place = np.argwhere((pieces.labels == 2) & (pieces.weights > 0))[7]
    start = int(pieces.starts[piece]) + 50 * int(place)
    mean = signal.values("chrX", start, start + 200).mean()
    assert mean > 0
    assert strengths[piece, 0, place] == pytest.approx(np.log1p(mean), rel=1e-5)
    bound = (pieces.labels == 2) & (pieces.weights > 0)
    assert (
        strengths[bound].mean() > 2 > 0.5 > strengths[(pieces.labels == 0) & (weights > 0)].mean()
    )
    scale = fitted_scales(tiles, {("HeLa-S3", "bound"): signal})["HeLa-S3", "bound"]
    assert scale.mean == pytest.approx(strengths[weights > 0].mean(), rel=1e-4)
    assert scale.deviation == pytest.approx(strengths[weights > 0].std(), rel=1e-4)
    again = Strengths(tiles, {("HeLa-S3", "bound"): signal})
    monkeypatch.setattr(signal, "values", count := Counted(signal.values))
    whole, half = again(pieces)[0], pieces[: len(pieces) // 2]
    assert count.calls == len(pieces)
    assert np.array_equal(again(half)[0], whole[: len(half)])
    assert np.array_equal(whole, strengths)
    assert count.calls == len(pieces)  # each is read once, in however many passes
    values = {"X": partial(signal.values, "chrX")}
    other: Any = SimpleNamespace(
        sizes={"X": 51_000_000}, path="", values=lambda contig, *span: values[contig](*span)
    )
    named = Strengths(tiles, {("HeLa-S3", "bound"): other}, prefix="strip")
    assert np.array_equal(named(half)[0], strengths[: len(half)])
    none, unknown = Strengths(tiles, {("K562", "bound"): signal})(pieces)
    assert not none.any()
    assert not unknown.any()


def test_strengths_are_standardised_and_turned_with_their_piece(
    trained: Trained, chip: Path
) -> None:
    tiles = TileSet([TileFile(trained.tiles)])
    key = ("HeLa-S3", "bound")
    plain = Strengths(tiles, {key: Signal(chip)})
    scaled = Strengths(tiles, {key: Signal(chip)}, {key: Scale(1.0, 4.0)})
    inputs = tiles.files[0].contents.inputs
    batcher = StrengthBatcher(inputs, np.ones(1, np.float32), "drop", strengths=scaled)
    pieces = tiles.read(np.array([3, 3]))
    given, truth = batcher(pieces, np.array([False, True]))
    strengths, weights = plain(pieces)
    expected = (strengths[0, 0] - 1) / 4
    np.testing.assert_allclose(truth[0, :, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(truth[1, ::-1, 0], expected, rtol=1e-5)
    assert np.array_equal(truth[0, :, 1], weights[0, 0])
    assert np.array_equal(given["dnase"][0], given["dnase"][1, ::-1])
    windows = StrengthBatcher(inputs, np.ones(1, np.float32), "drop", Geometry(), strengths=scaled)
    one_by_one = windows(pieces, np.array([False, True]))[1]
    assert np.array_equal(one_by_one.reshape(truth.shape), truth)


@pytest.mark.parametrize(
    ("learnt", "given", "error"),
    [
        (Learnt("each"), [3.0, 9.0], (4 * 1 + 0) / 1),
        (Learnt("nodes", 2), [7.0, 3.0, 7.0, 9.0], 4.0),
        (Learnt("exclusive"), [7.0, 3.0, 9.0], 4.0),
        (Learnt("members", 2), [3.0, 9.0, 2.0, 9.0], 2.5),
    ],
    ids=lambda one: getattr(one, "kind", None),
)
def test_error_is_that_of_the_logits_of_bound(
    learnt: Learnt, given: list[float], error: float
) -> None:
    """Of two tasks the first has a strength of 1, and the second none that is known."""
    truth = np.array([[[1, 0, 1, 0]]], np.float32)
    logits = np.array([[given]], np.float32)
    assert float(squared_error(learnt)(truth, logits)) == pytest.approx(error)


def test_pretraining_learns_and_leaves_the_last_layer_new(trained: Trained, chip: Path) -> None:
    file = TileFile(trained.tiles)
    training, validation = part_by_regions([file], [Region("chrX", 48_000_000, 50_000_000)])
    inputs = file.contents.inputs
    keras.utils.set_random_seed(1)
    model = shallow(inputs, file.contents.geometry, filters=4, joint=20, dense=10, dropout=0.1)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    told: list[Pass] = []
    tracks = {("HeLa-S3", "bound"): Signal(chip)}
    settings = Settings(learning_rate=0.003, patience=1)
    made = pretrain(model, inputs, training, validation, tracks, settings, 2, on_pass=told.append)
    assert list(made.passes) == told
    assert made.best.validation_error == min(one.validation_error for one in told)
    assert told[-1].error < told[0].error
    after = {layer.name: layer.get_weights() for layer in model.layers}
    assert all(map(np.array_equal, after[LOGITS], before[LOGITS]))
    assert not np.array_equal(after[CONVOLUTION][0], before[CONVOLUTION][0])


def test_pretraining_that_is_no_number_or_learns_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    trained: Trained,
    chip: Path,
) -> None:
    file = TileFile(trained.tiles)
    training, validation = part_by_regions([file], [Region("chrX", 48_000_000, 50_000_000)])
    inputs = file.contents.inputs
    model = shallow(inputs, file.contents.geometry, filters=2, joint=4, dense=2)
    start = Start([], "", {("HeLa-S3", "bound"): Signal(chip)}, 1)
    learnt: Any = SimpleNamespace(training=training, validation=validation, inputs=inputs)
    settings = Settings(learning_rate=1e-3, patience=1)
    for error in (1.25, 0.75, float("nan")):
        monkeypatch.setattr("tfbind.pretraining.one_epoch", lambda *some: (1.0, 1))
        monkeypatch.setattr("tfbind.pretraining._error", lambda *some, error=error: error)
        if np.isnan(error):
            with pytest.raises(InputError, match="the error is no number in pretraining"):
                start.weigh(model, "shallow", learnt, settings, resumed=False, quiet=True)
        else:
            start.weigh(model, "shallow", learnt, settings, resumed=False, quiet=True)
        told = capfd.readouterr().err
        assert ("pretraining learnt nothing that holds for validation" in told) == (error == 1.25)


def test_signal_that_cannot_be_learnt_is_said(trained: Trained, tmp_path: Path) -> None:
    tiles = TileSet([TileFile(trained.tiles)])

    def track(name: str, contig: str, value: float) -> dict[tuple[str, str], Signal]:
        path = tmp_path / name
        with pyBigWig.open(str(path), "w") as file:
            file.addHeader([(contig, 60_000_000)], maxZooms=0)
            begins = range(44_000_000, 51_000_000, 10_000)
            ends = [begin + 10_000 for begin in begins]
            file.addEntries(
                [contig] * len(ends), list(begins), ends=ends, values=[value] * len(ends)
            )
        return {("HeLa-S3", "bound"): Signal(path)}

    with pytest.raises(InputError, match=r"X.bw: has none of the contigs .* this file X"):
        fitted_scales(tiles, track("X.bw", "X", 1.0))
    with pytest.raises(InputError, match=r"flat.bw: has the same value in all training bins"):
        fitted_scales(tiles, track("flat.bw", "chrX", 1.0))
    with pytest.raises(InputError, match=r"low.bw: holds a mean of -2 in a bin near chrX:"):
        fitted_scales(tiles, track("low.bw", "chrX", -2.0))


def test_tracks_are_matched_to_cells_and_experiments(chip: Path) -> None:
    def tracks(cells: list[str], tasks: list[str], *given: str) -> list[tuple[str, str]]:
        part = SimpleNamespace(cells=cells, tasks=tasks, stranded=False)
        learnt: Any = SimpleNamespace(training=part, validation=part)
        return list(chip_tracks(given, learnt))

    assert tracks(["A"], ["X"], str(chip)) == [("A", "X")]
    assert tracks(["A"], ["X", "Y"], f"Y={chip}") == [("A", "Y")]
    assert tracks(["A", "B"], ["X", "Y"], f"B:Y={chip}") == [("B", "Y")]
    for given, message in (
        ((str(chip),), "it names no cell type, but the tiles are of A, B; give CELL:NAME=FILE"),
        ((f"Y={chip}",), "it names no cell type"),
        ((f"C:Y={chip}",), "no cell type 'C'"),
        ((f"A:Z={chip}",), "no experiment 'Z', but the tiles are of X, Y"),
        ((f"A:Y={chip}", f"A:Y={chip}"), "Y in A has .* already"),
    ):
        with pytest.raises(typer.BadParameter, match=message):
            tracks(["A", "B"], ["X", "Y"], *given)
    part = SimpleNamespace(cells=["A"], tasks=["X"], stranded=True)
    stranded: Any = SimpleNamespace(training=part, validation=part)
    assert chip_tracks((), stranded) == {}
    with pytest.raises(typer.BadParameter, match="which has no strands"):
        chip_tracks((str(chip),), stranded)


def test_train_starts_from_motifs_and_signal(
    tfbind: Tfbind, trained: Trained, chip: Path, data: Path, tmp_path: Path
) -> None:
    config = tmp_path / "small.toml"
    config.write_text("[network]\nfilters = 4\njoint = 20\ndense = 10\n")
    train = ["train", str(trained.tiles), "--validate", "chrX:48000001-50000000", "--epochs", "3"]
    train += ["--config", str(config), "--threads", "1"]
    train += ["--init", "jaspar:MAX", "--pretrain", str(chip), "--pretrain-epochs", "1"]
    output, parts = tmp_path / "started.keras", tmp_path / "parts.keras"
    motifs = {"TFBIND_MOTIFS": str(data / "motifs.meme")}
    done = tfbind(*train, "-o", output, env=motifs)
    ok(done)
    told = done.stderr.decode()
    assert "2 filters start from MA0058.4_MAX, both strands" in told
    assert "starts from pretraining 1, whose squared error of ChIP signal is " in told
    training = load_network(output).contract.training
    assert training["init"] == ("MA0058.4_MAX",)
    assert training["init_from"] == "motifs.meme"
    assert training["pretrain"] == {"HeLa-S3:bound": "HeLa-S3.CTCF.bw"}
    assert training["pretrain_epochs"] == 1

    # Killed once the start is behind it, and gone on with, it ends at the same bits.
    process = subprocess.Popen(
        [sys.executable, "-m", "tfbind", *train, "-o", str(parts)],
        env=environment(motifs),
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    while not process.stderr.readline().startswith(b"tfbind: epoch 1:"):
        assert process.poll() is None
    process.kill()
    process.wait(60)
    process.stderr.close()
    done = tfbind(*train, "-o", parts, "--resume", env=motifs)
    ok(done)
    assert b"going on from there" in done.stderr
    assert b"pretraining" not in done.stderr
    one, other = (load_network(path).model.get_weights() for path in (output, parts))
    assert all(map(np.array_equal, one, other))
