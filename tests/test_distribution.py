"""Distributions of signals, and when two are far apart."""

from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from tfbind.contract import Distribution
from tfbind.distribution import KNOTS, average, difference, percentile, sampled, with_ranks_of
from tfbind.genome import ContigNames
from tfbind.signal import Signal


def test_a_small_track_is_sampled_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "track.bw")
    with pyBigWig.open(path, "w") as track:
        track.addHeader([("chr1", 1000), ("chr2", 500), ("chr3", 10_000)])
        track.addEntries("chr1", 0, values=list(map(float, range(1, 101))), span=1, step=1)
    signal = Signal(path)
    sizes = {"chr1": 1000, "chr2": 500, "chr3": 10_000, "chr4": 7}
    found = sampled(signal, sizes, ContigNames(tuple(signal.sizes), path))
    # The contigs without any value say nothing of the track.
    assert found.covered == 0.1
    np.testing.assert_allclose(found.quantiles, np.linspace(1, 100, KNOTS), rtol=1e-6)


def test_a_sample_is_like_the_whole(data: Path) -> None:
    signal = Signal(data / "K562.dnase.bw")
    sizes = dict(signal.sizes)
    found = sampled(signal, sizes, ContigNames(tuple(sizes), signal.path))
    (contig,) = sizes
    values = signal.values(contig, 0, sizes[contig])
    assert found.covered == pytest.approx(np.mean(values != 0), rel=0.2)
    expected = np.quantile(values[values != 0], [0.25, 0.5, 0.75])
    np.testing.assert_allclose(
        [percentile(found, one) for one in (25, 50, 75)], expected, rtol=0.25
    )
    assert sampled(signal, sizes, ContigNames(tuple(sizes), signal.path)) == found


def test_no_value_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "track.bw")
    with pyBigWig.open(path, "w") as track:
        track.addHeader([("chr1", 1000)])
        track.addEntries("chr1", 0, values=[0.0] * 10, span=1, step=1)
    signal = Signal(path)
    found = sampled(signal, {"chr1": 1000}, ContigNames(("chr1",), path))
    assert found == Distribution(0, ())
    assert percentile(found, 50) == 0
    assert with_ranks_of(np.ones(2, np.float32), found, (1, 2)).tolist() == [1, 1]
    assert average([found, Distribution(0.5, (1, 2))]) == Distribution(0.25, (1, 2))


def test_values_take_the_ranks_of_another_track() -> None:
    found = Distribution(0.5, (-1, 2, 2, 4))
    ranks = (0.0, 10.0, 20.0, 30.0)
    changed = with_ranks_of(
        np.array([[0, -1], [2, 3]], np.float16).astype(np.float32), found, ranks
    )
    assert changed.tolist() == [[0, 0], [15, 22.5]]
    beyond = with_ranks_of(np.array([-9, 99], np.float32), found, ranks)
    assert beyond.tolist() == [0, 30]


LADDER = tuple(np.linspace(1, 100, KNOTS).tolist())


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Distribution(0.1, LADDER), ""),
        (Distribution(0.1, tuple(2.9 * one for one in LADDER)), ""),
        (
            Distribution(0.1, tuple(4 * one for one in LADDER)),
            "of covered bases is 103, in training 25.8",
        ),
        (Distribution(0.1, tuple(-one for one in LADDER[::-1])), "of covered bases is -75.2"),
        (Distribution(0.01, LADDER), "it covers 1.00% of the bases, in training 10.00%"),
        (Distribution(0, ()), "it has no value other than 0"),
    ],
)
def test_what_is_far_apart_is_told(found: Distribution, expected: str) -> None:
    text = difference(found, Distribution(0.1, LADDER))
    assert expected in text
    assert bool(text) == bool(expected)


def test_training_without_values_has_nothing_to_compare() -> None:
    assert difference(Distribution(0.1, LADDER), Distribution(0, ())) == ""
