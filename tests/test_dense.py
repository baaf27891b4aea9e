"""BigWigs of values at single bases, read back by others' readers."""

import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pybigtools
import pyBigWig
import pytest

from tfbind.dense import CHUNK, FIRST, ITEMS, TIMES, DenseBigWig

Values = npt.NDArray[np.float32]


def write(path: Path, sizes: Mapping[str, int], tracks: Mapping[str, Values]) -> None:
    with DenseBigWig(path, sizes) as bigwig:
        for contig, values in tracks.items():
            for start in range(0, len(values), CHUNK):
                bigwig.add(bigwig.encode(contig, start, values[start : start + CHUNK]))


def some_values(count: int, seed: int = 0) -> Values:
    return np.random.default_rng(seed).normal(5, 2, count).astype(np.float32)


def with_gaps(count: int) -> Values:
    """Leave out single bases, longer parts, both ends and whole blocks."""
    values = some_values(count, 1)
    values[:3] = values[-70:] = np.nan
    values[1000:3000:7] = np.nan
    values[20_000:60_000] = np.nan
    return values


def read(path: Path, contig: str, size: int) -> tuple[Values, Values]:
    with pyBigWig.open(str(path)) as bigwig:
        ours = bigwig.values(contig, 0, size, numpy=True)
    others = pybigtools.open(str(path)).values(contig, 0, size, fillna=None)
    return ours, others.astype(np.float32)


@pytest.mark.parametrize("count", [1, 31, 32, 33, ITEMS, ITEMS + 1, CHUNK - 1, CHUNK + 5])
def test_other_readers_find_every_value(tmp_path: Path, count: int) -> None:
    values = some_values(count)
    write(tmp_path / "x.bw", {"chr1": count}, {"chr1": values})
    for found in read(tmp_path / "x.bw", "chr1", count):
        np.testing.assert_array_equal(found, values)


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    values = with_gaps(CHUNK + 100_000)
    write(tmp_path / "x.bw", {"chr1": len(values) + 9}, {"chr1": values})
    for found in read(tmp_path / "x.bw", "chr1", len(values) + 9):
        np.testing.assert_array_equal(found, np.append(values, np.full(9, np.nan)))


def test_an_index_of_several_levels(tmp_path: Path) -> None:
    values = some_values(5 * CHUNK)  # 320 blocks
    write(tmp_path / "x.bw", {"chr1": len(values)}, {"chr1": values})
    with pyBigWig.open(str(tmp_path / "x.bw")) as bigwig:
        for start in (0, 255 * ITEMS - 5, 256 * ITEMS - 5, len(values) - 10):
            found = bigwig.values("chr1", start, start + 10, numpy=True)
            np.testing.assert_array_equal(found, values[start : start + 10])


@pytest.mark.parametrize("count", [1, 256, 257, 70_000])
def test_contigs_keep_their_order_and_are_found_by_name(tmp_path: Path, count: int) -> None:
    names = [f"s{number}" for number in range(count, 0, -1)]
    sizes = {name: 20 + index % 50 for index, name in enumerate(names)}
    chosen = {names[index]: some_values(20) for index in sorted({0, count // 3, count - 1})}
    write(tmp_path / "x.bw", sizes, chosen)
    with pyBigWig.open(str(tmp_path / "x.bw")) as bigwig:
        assert list(bigwig.chroms().items()) == list(sizes.items())
        for name, values in chosen.items():
            np.testing.assert_array_equal(bigwig.values(name, 0, 20, numpy=True), values)
    other = pybigtools.open(str(tmp_path / "x.bw"))
    assert other.chroms() == sizes
    for name, values in chosen.items():
        found = other.values(name, 0, 20, fillna=None)
        np.testing.assert_array_equal(found.astype(np.float32), values)


def test_zoom_levels_tell_of_their_windows(tmp_path: Path) -> None:
    values = with_gaps(CHUNK + 100_000)
    size = len(values) - 30
    values = values[:size]
    write(tmp_path / "x.bw", {"chr0": 70, "chr1": size}, {"chr1": values})
    other = pybigtools.open(str(tmp_path / "x.bw"))
    assert other.zooms() == [FIRST * TIMES**level for level in range(8)]
    for width in other.zooms():
        records = list(other.zoom_records(width, "chr1"))
        expected = []
        for start in range(0, size, width):
            some = values[start : start + width].astype(np.float64)
            some = some[~np.isnan(some)]
            if len(some):
                expected.append((start, min(start + width, size), some))
        assert [record[:2] for record in records] == [record[:2] for record in expected]
        for (_, _, told), (_, _, some) in zip(records, expected, strict=True):
            assert told["bases_covered"] == len(some)
            assert (told["min_val"], told["max_val"]) == (some.min(), some.max())
            assert told["sum"] == pytest.approx(some.sum(), rel=1e-6)
            assert told["sum_squares"] == pytest.approx((some**2).sum(), rel=1e-6)


def test_small_contigs_have_the_levels_of_the_longest(tmp_path: Path) -> None:
    sizes = {"long": 3000, "short": 40}
    tracks = {name: some_values(size) for name, size in sizes.items()}
    write(tmp_path / "x.bw", sizes, tracks)
    other = pybigtools.open(str(tmp_path / "x.bw"))
    assert other.zooms() == [32, 128, 512, 2048]
    for width in other.zooms():
        (*_, last) = other.zoom_records(width, "short")
        assert last[1] == 40
        assert last[2]["bases_covered"] == (8 if width == 32 else 40)


def test_the_summary_tells_of_the_whole(tmp_path: Path) -> None:
    first, second = with_gaps(700_000), some_values(50)
    write(tmp_path / "x.bw", {"a": 700_000, "b": 50}, {"a": first, "b": second})
    told = pybigtools.open(str(tmp_path / "x.bw")).info()["summary"]
    known = np.concatenate([first[~np.isnan(first)], second]).astype(np.float64)
    assert told["basesCovered"] == len(known)
    assert (told["min"], told["max"]) == (known.min(), known.max())
    assert told["sum"] == pytest.approx(known.sum(), rel=1e-12)
    with pyBigWig.open(str(tmp_path / "x.bw")) as bigwig:
        (mean,) = bigwig.stats("a", 0, 700_000, type="mean")
        (exact,) = bigwig.stats("a", 0, 700_000, type="mean", exact=True)
    assert mean == pytest.approx(exact, rel=1e-5)
    assert exact == pytest.approx(np.nanmean(first.astype(np.float64)))


@pytest.mark.parametrize("values", [np.empty(0, np.float32), np.full(40, np.nan, np.float32)])
def test_a_file_without_a_value_is_one(tmp_path: Path, values: Values) -> None:
    write(tmp_path / "x.bw", {"chr1": 50}, {"chr1": values})
    with pyBigWig.open(str(tmp_path / "x.bw")) as bigwig:
        assert bigwig.chroms() == {"chr1": 50}
        assert bigwig.intervals("chr1") is None
    assert list(pybigtools.open(str(tmp_path / "x.bw")).records("chr1")) == []


def test_chunks_out_of_order_are_refused(tmp_path: Path) -> None:
    with DenseBigWig(tmp_path / "x.bw", {"a": 50, "b": 50}) as bigwig:
        second, first = (bigwig.encode(name, 0, some_values(50)) for name in ("b", "a"))
        bigwig.add(second)
        with pytest.raises(ValueError, match="comes behind"):
            bigwig.add(first)


def test_a_short_contig_takes_no_more_than_it_needs(tmp_path: Path) -> None:
    """Where it is longer than a record of the coarsest level that fits, too."""
    values = some_values(3000)
    with DenseBigWig(tmp_path / "x.bw", {"chr1": 3000}) as bigwig:
        tracemalloc.start()
        encoded = bigwig.encode("chr1", 0, values)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        bigwig.add(encoded)
    assert peak < 1 << 20  # zlib takes 0.3 MB; a chunk of doubles would be 4 MB
    for found in read(tmp_path / "x.bw", "chr1", 3000):
        np.testing.assert_array_equal(found, values)


def held_by(path: Path, sizes: Mapping[str, int], counts: tuple[int, int]) -> float:
    """Tell how many bytes stay in memory for each chunk that is added from one count on."""
    chunks = [(name, start) for name, size in sizes.items() for start in range(0, size, CHUNK)]
    values = some_values(CHUNK)
    with DenseBigWig(path, sizes) as bigwig:
        tracemalloc.start()
        held = {}
        for number, (contig, start) in enumerate(chunks):
            if number in counts:
                held[number] = tracemalloc.get_traced_memory()[0]
            some = values[: min(CHUNK, sizes[contig] - start)]
            bigwig.add(bigwig.encode(contig, start, some))
        tracemalloc.stop()
    low, high = counts
    return (held[high] - held[low]) / (high - low)


def test_memory_hardly_grows_with_the_contigs(tmp_path: Path) -> None:
    sizes = {f"s{number}": 300 for number in range(1500)} | {"long": CHUNK}
    # A place in the index, of 32 bytes, for the values and each zoom level; a bytearray has spare.
    assert held_by(tmp_path / "x.bw", sizes, (300, 1400)) < 1.5 * 32 * 9


def test_memory_hardly_grows_with_the_length(tmp_path: Path) -> None:
    held = held_by(tmp_path / "x.bw", {"chr1": 14 * CHUNK}, (3, 13))
    assert held < 0.02 * CHUNK  # of 4 bytes a value


LIMITED = """
import resource, sys
import numpy as np
from tfbind.dense import DenseBigWig
from tfbind.errors import InputError

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
doing = "opening"
try:
    with DenseBigWig(sys.argv[1], {"chr1": 500_000}, name="its name") as bigwig:
        doing = "adding"
        values = np.random.default_rng(0).random(300_000, np.float32)
        bigwig.add(bigwig.encode("chr1", 0, values))
        doing = "closing"
except InputError as error:
    print(doing, error)
"""


@pytest.mark.parametrize(
    ("most", "doing"), [(50, "opening"), (1_000_000, "adding"), (1_090_000, "closing")]
)
def test_too_little_space_is_bad_input(tmp_path: Path, most: int, doing: str) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "x.bw", str(most)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        f"{doing} its name: cannot be written: File too large; make room and run this again\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["x.bw"]
