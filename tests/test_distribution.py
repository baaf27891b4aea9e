"""Distributions of signals, and when two are far apart."""

import threading
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from tfbind.contract import Distribution
from tfbind.distribution import (
    KNOTS,
    _places,
    average,
    difference,
    percentile,
    sampled,
    with_ranks_of,
)
from tfbind.errors import InputError
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


def test_sampling_can_be_called_off(data: Path) -> None:
    signal = Signal(data / "K562.dnase.bw")
    names = ContigNames(tuple(signal.sizes), signal.path)
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledError):
        sampled(signal, signal.sizes, names, stop=stop)


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


def written(path: Path, values: dict[str, dict[int, list[float]]], sizes: dict[str, int]) -> Signal:
    with pyBigWig.open(str(path), "w") as track:
        track.addHeader(list(sizes.items()))
        for contig, runs in values.items():
            for start, some in runs.items():
                track.addEntries(contig, start, values=some, span=1, step=1)
    return Signal(path)


def names(signal: Signal) -> ContigNames:
    return ContigNames(tuple(signal.sizes), signal.path)


def test_every_contig_of_a_small_genome_counts(tmp_path: Path) -> None:
    sizes = {"chrM": 16_000, "chr1": 50_000, **{f"scaffold{i}": 1000 for i in range(40)}}
    values = {"chrM": {0: [1000.0] * 16_000}, "chr1": {0: [1.0] * 50_000}}
    values |= {f"scaffold{i}": {500: [7.0] * 100} for i in range(40)}
    found = sampled(signal := written(tmp_path / "track.bw", values, sizes), sizes, names(signal))
    assert found.covered == pytest.approx((16_000 + 50_000 + 4000) / 106_000)
    assert percentile(found, 50) == 1
    assert percentile(found, 90) == 1000


def test_a_track_between_the_stretches_is_found(tmp_path: Path) -> None:
    sizes = {"chr1": 150_000_000}
    values = {"chr1": {50_500_000: [5.0] * 20_000}}
    found = sampled(signal := written(tmp_path / "track.bw", values, sizes), sizes, names(signal))
    assert found.covered == pytest.approx(20_000 / 150_000_000)
    assert set(found.quantiles) == {5.0}


def test_stretches_lie_evenly_over_contigs(tmp_path: Path) -> None:
    sizes = {"chr1": 90_000_000, "chr2": 10_000_000}
    contigs = [*sizes.items()]
    places = list(_places(contigs, 500_000))
    assert [(contig, end - start) for contig, start, end in places] == (
        [("chr1", 100_000)] * 180 + [("chr2", 100_000)] * 20
    )
    whole = list(_places([("a", 250_000), ("b", 1000), ("c", 120_000)], 100_000))
    assert sum(end - start for _, start, end in whole) == 371_000
    assert [place[0] for place in whole] == ["a", "a", "a", "b", "c", "c"]


def test_infinity_is_refused_with_its_place(tmp_path: Path) -> None:
    sizes = {"chr1": 1000}
    signal = written(tmp_path / "track.bw", {"chr1": {7: [1.0, np.inf]}}, sizes)
    with pytest.raises(InputError, match="holds a value at chr1:9 that is no finite number"):
        sampled(signal, sizes, names(signal))


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
    text = difference(found, [Distribution(0.1, LADDER)])
    assert expected in text
    assert bool(text) == bool(expected)


def test_a_track_near_one_training_cell_is_alike() -> None:
    ten = tuple(10 * one for one in LADDER)
    cells = [Distribution(0.1, LADDER), Distribution(0.1, ten)]
    for cell in cells:
        assert difference(cell, cells) == ""
    far = difference(Distribution(0.1, tuple(50 * one for one in LADDER)), cells)
    assert "in training 2" in far  # the nearer of the two is told


def test_values_around_zero_differ_by_less_than_their_spread() -> None:
    normal = [
        Distribution(1, tuple(np.quantile(np.random.default_rng(seed).normal(size=10_000),
                                          np.linspace(0, 1, KNOTS)).tolist()))
        for seed in range(5)
    ]  # fmt: skip
    for one in normal[1:]:
        assert difference(one, normal[:1]) == ""
    shifted = Distribution(1, tuple(one + 5 for one in normal[0].quantiles))
    assert "of covered bases is" in difference(shifted, normal[:1])


def test_training_without_values_has_nothing_to_compare() -> None:
    assert difference(Distribution(0.1, LADDER), []) == ""
    empty = Distribution(0, ())
    assert difference(empty, [empty]) == ""
    assert difference(Distribution(0.1, LADDER), [empty]) == "training has no value other than 0"
