"""Runs of bins to tiles, and tiles to files and back."""

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbind.channels import Sources
from tfbind.contract import Geometry, Input, Tiles
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import IntervalReader, Intervals
from tfbind.signal import Signal
from tfbind.tilefiles import TileFile, write_tiles
from tfbind.tiles import BinCheck, Missing, Stretches, Tile, cut_tiles, tile_breaks

INPUTS = (Input("sequence", "sequence", "uint8"), Input("dnase", "signal", "float16"))
GEOMETRY = Geometry()
LONGEST = 64


def batch_of(starts: Sequence[int], contig: str = "chrX") -> Intervals:
    text = "".join(f"{contig}\t{start}\t{start + 200}\tU\n" for start in starts)
    (batch,) = IntervalReader(io.BytesIO(text.encode()), "bins.bed")
    return batch


@pytest.fixture(scope="module")
def sources(data: Path) -> Sources:
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    return Sources(genome, {"dnase": Signal(data / "K562.dnase.bw")})


def tiles_of(sources: Sources, batches: Sequence[Intervals]) -> list[Tile]:
    def checked() -> Iterator[tuple[Intervals, list[str]]]:
        for batch in batches:
            yield batch, list(batch.contigs)

    stretches = Stretches(GEOMETRY, INPUTS, sources)
    return list(cut_tiles(checked(), stretches, GEOMETRY, LONGEST, ("bound",), "bins.bed"))


def test_bins_less_than_a_window_apart_share_a_tile() -> None:
    firsts, origin = tile_breaks(batch_of([0, 50, 1000, 2000, 2025]), GEOMETRY, LONGEST)
    # 50 to 1000 is 950, under the window; 1000 to 2000 is not; 2025 lies on another grid.
    assert firsts.tolist() == [0, 3, 4]
    assert origin == 2025


def test_backward_and_repeated_bins_begin_tiles() -> None:
    firsts, _ = tile_breaks(batch_of([100, 50, 50, 100]), GEOMETRY, LONGEST)
    assert firsts.tolist() == [0, 1, 2]


def test_long_runs_are_cut() -> None:
    firsts, _ = tile_breaks(batch_of(range(0, 150 * 50, 50)), GEOMETRY, LONGEST)
    assert firsts.tolist() == [0, 64, 128]


@given(
    steps=st.lists(st.sampled_from([50, 100, 950, 1000, 25, -50, 0]), min_size=1, max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=5),
)
def test_every_bin_is_in_one_tile_wherever_the_stream_is_cut(
    steps: list[int], cuts: list[int]
) -> None:
    starts = 40_000_000 + np.cumsum(steps)
    edges = sorted({0, len(starts), *(cut for cut in cuts if cut < len(starts))})
    batches = [batch_of(starts[a:b].tolist()) for a, b in pairwise(edges)]

    class Nothing(Stretches):
        def __init__(self) -> None:
            pass

        def read(
            self, contig: str, start: int, bins: int, *, minus: bool = False
        ) -> dict[str, np.ndarray]:
            return {}

    tiles = list(
        cut_tiles(
            ((batch, ["chrX"]) for batch in batches), Nothing(), GEOMETRY, LONGEST, ("a",), "b"
        )
    )
    held = [
        tile.start + 50 * int(place) for tile in tiles for place in np.flatnonzero(tile.weights)
    ]
    assert held == starts.tolist()
    assert all(tile.bins <= LONGEST and tile.bins % 8 == 0 for tile in tiles)


def test_tile_holds_the_genome_under_its_windows(sources: Sources) -> None:
    (tile,) = tiles_of(sources, [batch_of([48_000_000, 48_000_100])])
    assert (tile.start, tile.bins) == (48_000_000, 8)
    assert tile.weights.tolist() == [1, 0, 1, 0, 0, 0, 0, 0]
    first, last = 48_000_000 - 400, 48_000_000 - 400 + 1000 + 7 * 50
    expected = sources.genome.codes("chrX", first, last)
    assert np.array_equal(tile.inputs["sequence"], expected)
    values = sources.signal("dnase").values("chrX", first, last)
    assert np.array_equal(tile.inputs["dnase"], values.astype(np.float16))


def test_tiles_are_blank_beyond_the_contig(sources: Sources) -> None:
    (tile,) = tiles_of(sources, [batch_of([0])])
    assert (tile.inputs["sequence"][:400] == 4).all()
    assert len(tile.inputs["sequence"]) == 1350


@pytest.fixture
def written(sources: Sources, tmp_path: Path) -> tuple[Path, list[Tile]]:
    starts = [48_000_000 + 50 * place for place in range(3000) if place % 40 < 9]
    tiles = tiles_of(sources, [batch_of(starts)]) * 5
    path = tmp_path / "some.tiles"
    contents = Tiles(GEOMETRY, INPUTS, ("bound",), "K562", LONGEST)
    with path.open("wb") as stream:
        counts = write_tiles(tiles, contents, stream)
    assert counts["bins"] == 5 * len(starts)
    return path, tiles


def test_tiles_come_back_from_a_file(written: tuple[Path, list[Tile]]) -> None:
    path, tiles = written
    file = TileFile(path)
    assert len(file) == len(tiles) == file.counts["tiles"]
    for index in (0, 1, len(tiles) // 2, len(tiles) - 1):
        read, tile = file.tile(index), tiles[index]
        assert (read.contig, read.start) == (tile.contig, tile.start)
        assert np.array_equal(read.weights, tile.weights)
        assert np.array_equal(read.labels, tile.labels)
        for name, values in tile.inputs.items():
            assert read.inputs[name].dtype == values.dtype
            assert np.array_equal(read.inputs[name], values)


def test_polars_reads_tiles(written: tuple[Path, list[Tile]]) -> None:
    path, tiles = written
    frame = pl.read_ipc_stream(path, columns=["contig", "start", "weights", "sequence"])
    assert frame["start"].to_list() == [tile.start for tile in tiles]
    assert frame["sequence"][0].to_list() == tiles[0].inputs["sequence"].tolist()


def cut_between_batches(content: bytes) -> bytes:
    reader = pa.ipc.open_stream(source := pa.BufferReader(content))
    reader.read_next_batch()
    return content[: source.tell()]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[: len(content) // 2], "cut short"),
        (cut_between_batches, "the closing record is missing"),
        (lambda content: content + content, "behind the tiles"),
        (lambda content: content + b"x", "has 1 bytes behind the tiles"),
        (lambda content: b"chrX\t1\t2\n", "is no file of tiles"),
        (lambda content: b"", "is no file of tiles"),
    ],
    ids=["middle", "between batches", "joined", "a byte behind", "bed", "empty"],
)
def test_damaged_files_are_recognised(
    written: tuple[Path, list[Tile]], damage: Callable[[bytes], bytes], said: str
) -> None:
    path, _ = written
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=said):
        TileFile(path)


def test_float16_overflow_is_refused(sources: Sources, tmp_path: Path) -> None:
    import pyBigWig

    path = tmp_path / "high.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader([("chrX", 69_999_930)])
        bigwig.addEntries(["chrX"], [1000], ends=[1010], values=[70000.0])
    high = Sources(sources.genome, {"dnase": Signal(path)})
    stretches = Stretches(GEOMETRY, INPUTS, high)
    with pytest.raises(InputError, match=r"holds 70000 at chrX:1001.*--float32"):
        stretches.read("chrX", 1000, 1)


def check(sources: Sources, text: str, missing: Missing = "error") -> tuple[Intervals, list[str]]:
    (batch,) = IntervalReader(io.BytesIO(text.encode()), "bins.bed")
    return BinCheck(GEOMETRY, sources, "bins.bed", missing)(batch)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("chrX\t0\t200\nchrX\t50\t240\n", "line 2: found a bin of 190 bp, expected 200 bp"),
        ("chrX\t69999800\t70000000\n", "line 1: found a bin that ends at 70000000"),
        ("chrX\t0\t200\nchr9\t0\t200\n", "line 2: .*has no contig 'chr9'"),
    ],
)
def test_bins_of_another_genome_are_refused(sources: Sources, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check(sources, text)


def test_contig_that_a_signal_lacks(data: Path, tmp_path: Path) -> None:
    import pyBigWig

    path = tmp_path / "other.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader([("chr1", 1000)])
        bigwig.addEntries(["chr1"], [0], ends=[10], values=[1.0])
    sources = Sources(Genome(data / "hg19.chrX_cut.fa.gz"), {"dnase": Signal(path)})
    with pytest.raises(InputError, match=r"line 1: .*other\.bw has no contig 'chrX'"):
        check(sources, "chrX\t0\t200\n")
    kept, _ = check(sources, "chrX\t0\t200\n", "zero")
    assert len(kept) == 1
    kept, _ = check(sources, "chrX\t0\t200\n", "skip")
    assert len(kept) == 0
    assert not Stretches(GEOMETRY, INPUTS, sources).read("chrX", 0, 1)["dnase"].any()
