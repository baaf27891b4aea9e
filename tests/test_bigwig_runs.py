"""Runs of equal value as a bigWig, and the most that it can take."""

from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from tfbind.bigwig import BigWigRuns, BigWigSize
from tfbind.errors import InputError

SIZES = {"one": 300, "two": 120}


@pytest.mark.parametrize("gap", [0, 1, 5, 30, 1000])
@pytest.mark.parametrize("widest", [1, 3, 200, 20_000])
@pytest.mark.parametrize("part", [1, 1000])
def test_no_bigwig_of_runs_takes_more_than_its_bound(
    tmp_path: Path, gap: int, widest: int, part: int
) -> None:
    rng = np.random.default_rng(1)
    widths = rng.integers(1, widest + 1, 3000)
    ends = np.cumsum(widths + rng.integers(gap, 2 * gap + 1, 3000))
    starts, values = ends - widths, rng.random(3000)
    sizes = {"a": 1000, "chr1": int(ends[-1]) + 5}
    path = tmp_path / "x.bw"
    size = BigWigSize(sizes, int(widths.mean()))
    with BigWigRuns(path, sizes) as writer:
        for first in range(0, 3000, part):
            some = slice(first, first + part)
            writer.add("chr1", starts[some], ends[some], values[some])
            size.add_runs(starts[some], ends[some])
    with pyBigWig.open(str(path)) as bigwig:
        found = bigwig.intervals("chr1")
    expected = zip(starts.tolist(), ends.tolist(), values.astype(np.float32).tolist(), strict=True)
    assert list(found) == list(expected)
    assert path.stat().st_size <= size.most


def test_a_bigwig_without_runs_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    nothing = np.zeros(0, np.int64)
    with BigWigRuns(path, SIZES) as writer:
        writer.add("one", nothing, nothing, nothing)
    with pyBigWig.open(str(path)) as bigwig:
        assert bigwig.chroms() == SIZES


def test_a_bigwig_of_runs_names_the_output_that_has_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^x\.bw: cannot be written: No such file or directory$"):
        BigWigRuns(tmp_path / "none" / "x", SIZES, name="x.bw")
