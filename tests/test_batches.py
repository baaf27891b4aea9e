"""Batches: what is read of mapped tiles, how it is shuffled, and how little of it is held."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Trained

from tfbind import batches as batches_module
from tfbind.batches import Batcher, training_batches, validation_batches
from tfbind.contract import Distribution, Input
from tfbind.errors import InputError
from tfbind.heldout import draw_regions
from tfbind.mapped import MappedFile
from tfbind.regions import Region
from tfbind.tilefiles import TileFile, write_tiles
from tfbind.tilesets import TileSet, part_by_regions

INPUTS = (
    Input("sequence", "sequence", "uint8"),
    Input("dnase", "signal", "float16", "log1p"),
)


@pytest.fixture(scope="module")
def file(trained: Trained) -> TileFile:
    return TileFile(trained.tiles)


@pytest.fixture(scope="module")
def other(file: TileFile, tmp_path_factory: pytest.TempPathFactory) -> TileFile:
    """Write some of the tiles as another cell type's, with another experiment."""
    path = tmp_path_factory.mktemp("other") / "other.tiles"
    contents = replace(file.contents, experiments=("TAF1",), cell="other")
    tiles = (file.tile(index) for index in range(0, len(file), 5))
    with path.open("wb") as stream:
        write_tiles(tiles, contents, stream)
    return TileFile(path)


@pytest.mark.parametrize("bins", [8, 16, 64])
def test_pieces_are_what_the_tiles_hold(file: TileFile, other: TileFile, bins: int) -> None:
    """Read in any order, of both files, each piece is its part of its tile."""
    tiles = TileSet([file, other], tasks=["TAF1", "bound"], bins=bins)
    where = [
        (number, index, place)
        for number, one in enumerate((file, other))
        for index in range(len(one))
        for place in range(-(-int(one.bins[index]) // bins))
    ]
    assert tiles.pieces == len(where)
    order = np.random.default_rng(1).permutation(tiles.pieces)[:400]
    read = tiles.read(order)
    length = file.contents.geometry.length(bins)
    for row, piece in enumerate(order.tolist()):
        number, index, place = where[piece]
        tile = (file, other)[number].tile(index)
        first = min(place * bins, max(tile.bins - bins, 0))
        held = slice(first, first + bins)
        task = 1 - number
        expected = tile.weights[held].copy()
        expected[: place * bins - first] = 0
        assert read.weights[row, task, : len(expected)].tolist() == expected.tolist()
        assert not read.weights[row, task, len(expected) :].any()
        assert not read.weights[row, 1 - task].any()
        labels = tile.labels[0, held]
        assert read.labels[row, task, : len(labels)].tolist() == labels.tolist()
        for name, blank in (("sequence", 4), ("dnase", 0)):
            there = tile.inputs[name][50 * first : 50 * first + length]
            given = read.inputs[name][row]
            assert np.array_equal(given[: len(there)], there)
            assert (given[len(there) :] == blank).all()
        assert read.files[row] == number


def test_an_epoch_holds_every_piece_once_however_it_is_shuffled(
    file: TileFile, other: TileFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = TileSet([file, other])
    whole = shuffled(tiles, 3)
    monkeypatch.setattr(batches_module, "BLOCK", 1 << 16)
    monkeypatch.setattr(batches_module, "WINDOW", 1 << 19)
    assert len(tiles.blocks(1 << 16)) > 3 * 8
    parted = shuffled(tiles, 3)
    assert sorted(whole) == sorted(parted) == list(range(tiles.pieces))
    assert parted == shuffled(tiles, 3) != shuffled(tiles, 4)
    # Pieces of a window come from all over the files.
    assert np.ptp(parted[:200]) > tiles.pieces / 2


def shuffled(tiles: TileSet, seed: int) -> list[int]:
    """List the pieces in the order of an epoch."""
    rng = np.random.default_rng(seed)
    return [int(one) for window in batches_module._shuffled(tiles, rng) for one in window]


def test_batches_mix_files_and_are_whole(file: TileFile, other: TileFile) -> None:
    tiles = TileSet([file, other])
    batcher = Batcher(INPUTS, np.array([9, 9], np.float32), "drop")
    made = list(training_batches(tiles, batcher, 512, True, np.random.default_rng(1)))
    assert [len(truth) for _, truth in made[:-1]] == [64] * (len(made) - 1)
    assert sum(len(truth) for _, truth in made) == tiles.pieces
    known = np.array([truth[..., 2:].any(axis=1).sum(axis=0) for _, truth in made[:-1]])
    assert (known > 0).all()  # pieces of the one and of the other experiment
    count = sum(int((truth[..., 2:] > 0).sum()) for _, truth in made)
    assert count == tiles.label_counts()[:, [0, 2]].sum()


def test_validation_is_in_order(file: TileFile) -> None:
    tiles = TileSet([file])
    batcher = Batcher(INPUTS, np.array([9], np.float32), "drop")
    made = list(validation_batches(tiles, batcher, 256))
    pieces = tiles.read(np.arange(tiles.pieces))
    sequence = np.concatenate([inputs["sequence"] for inputs, _ in made])
    assert np.array_equal(sequence, pieces.inputs["sequence"])


def test_ranks_are_by_the_cell_that_a_piece_is_of(file: TileFile, other: TileFile) -> None:
    """The second cell's signal is twice the first's, and comes out as the first's."""
    knots = tuple(np.linspace(1, 100, 101).tolist())
    double = tuple(2 * knot for knot in knots)
    ranked = replace(INPUTS[1], ranks=knots, transform="none")
    pieces = TileSet([file, other]).read(np.array([0, 1]))
    raw = np.array([[0, 10, 50], [0, 20, 100]], np.float16)
    signals = [{"dnase": Distribution(0.1, each)} for each in (knots, double)]
    pieces = replace(pieces, inputs={"dnase": raw}, files=np.array([0, 1]), signals=signals)
    batcher = Batcher([ranked], np.ones(2, np.float32), "drop")
    inputs, _ = batcher(pieces, np.zeros(2, np.bool_))
    np.testing.assert_allclose(inputs["dnase"], [[0, 10, 50], [0, 10, 50]], rtol=1e-3)


def test_counts_of_megabases_are_those_of_tiles(file: TileFile) -> None:
    """One region is drawn; the tiles that begin in it hold the share that was asked."""
    (region, *more) = draw_regions([file], 0.05, 1)
    assert not more
    assert (region.end or 0) - region.start == 1_000_000
    _, inside = part_by_regions([file], [region])
    begun = (file.starts // 1_000_000) == region.start // 1_000_000
    share = inside.label_counts()[0].sum() / file.counts["bins"]
    assert 0.05 <= share <= file.bins[begun].sum() / file.counts["bins"]
    assert isinstance(region, Region)


def test_label_parts_join_to_labels(file: TileFile) -> None:
    parts = list(file.label_parts())
    assert sum(tiles.stop - tiles.start for tiles, _ in parts) == len(file)
    assert np.array_equal(np.concatenate([part for _, part in parts], axis=1), file.labels())
    assert (file.labels()[1] == 2).sum() == file.counts["bound"]["bound"]


def resident(path: Path) -> int:
    """Tell how many bytes of a mapped file this process holds."""
    text = Path("/proc/self/smaps").read_text()
    lines = iter(text.splitlines())
    held = 0
    for line in lines:
        if line.endswith(str(path)):
            held += next(int(one.split()[1]) for one in lines if one.startswith("Rss:")) << 10
    return held


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc of Linux")
def test_pages_that_were_read_are_given_back(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    before = resident(trained.tiles)
    file.labels()
    TileSet([file]).read(np.arange(TileSet([file]).pieces))
    read = resident(trained.tiles)
    assert read - before > file.size / 2
    file.release()
    assert read - resident(trained.tiles) > file.size / 2


def test_a_file_of_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.tiles").touch()
    with pytest.raises(InputError, match=r"empty\.tiles: is empty"):
        MappedFile(tmp_path / "empty.tiles")
    with pytest.raises(InputError, match=r"none\.tiles: cannot be read: No such file"):
        MappedFile(tmp_path / "none.tiles")
