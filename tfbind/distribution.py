"""How a signal's values are distributed, and how far two tracks are from each other."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError

import numpy as np
import numpy.typing as npt

from tfbind.contract import Distribution
from tfbind.errors import InputError
from tfbind.genome import ContigNames
from tfbind.signal import Signal

STRETCHES = 200
STRETCH = 100_000
"""Bases of each stretch that is read: few long ones, as to find a place in a file takes longer than
to read on there."""

READ = STRETCHES * STRETCH

KEPT = 2_000_000
"""Bases, evenly chosen from those read, of which the values are looked at."""

FEWEST = 1000
"""Values that tell of a track; where the stretches hold fewer, all of it is read."""

CONTIGS = 1000
"""The largest contigs, on which the stretches lie: an assembly may have a million."""

KNOTS = 101
"""Quantiles that are kept, from 0 to 100 %."""

FAR = 3.0
"""How many times larger one number of two tracks must be to be told."""

COMPARED = (0.25, 0.5, 0.75, 0.95)
"""Quantiles that are compared: the last few per cent of a track are few bases."""

NEAR = 0.1
"""Of the spread of the training values: what differs by less is not told, as around 0."""


def sampled(
    signal: Signal,
    sizes: Mapping[str, int],
    names: ContigNames,
    *,
    stop: threading.Event | None = None,
) -> Distribution:
    """Sample a signal in stretches that lie evenly over the contigs on which it has values.

    A small genome is read whole, and so is a track that has hardly a value in the stretches.

    Parameters
    ----------
    signal : Signal
    sizes : mapping of str to int
        The genome's contigs, base pairs.
    names : ContigNames
        Finds them among the signal's.
    stop : threading.Event, optional
        Any thread may set it to end the sampling early, by a `CancelledError`.

    Returns
    -------
    Distribution
        The same each time for the same file and genome.

    Raises
    ------
    InputError
        If the track holds what is no finite number there, or is damaged.
    """
    largest = sorted(sizes.items(), key=lambda one: -one[1])[:CONTIGS]
    found = ((names.find(contig), size) for contig, size in largest)
    held = [(there, size) for there, size in found if there and signal.has_values(there)]
    total = sum(size for _, size in held)
    distance = max(total / STRETCHES, STRETCH)
    step = -(-min(total, READ) // KEPT) or 1
    looked, values = _values(signal, _wanted(_places(held, distance), stop), step)
    if len(values) < FEWEST and distance > STRETCH:
        looked, values = _values(signal, _wanted(_places(held, STRETCH), stop), 1)
    levels = np.linspace(0, 1, KNOTS)
    quantiles = np.quantile(values, levels).astype(np.float32) if len(values) else np.zeros(0)
    return Distribution(len(values) / max(looked, 1), tuple(float(str(one)) for one in quantiles))


def _values(
    signal: Signal, places: Iterable[tuple[str, int, int]], step: int
) -> tuple[int, npt.NDArray[np.float32]]:
    """Count every so-manyth base of some places, and give the values other than 0 among them."""
    looked, values = 0, [np.zeros(0, np.float32)]
    for contig, start, end in places:
        some = signal.values(contig, start, end)[::step]
        if not np.isfinite(some).all():
            at = start + step * int(np.argmin(np.isfinite(some)))
            raise InputError(
                f"holds a value at {contig}:{at + 1} that is no finite number; make it again",
                path=signal.path,
            )
        looked += len(some)
        values.append(some[some != 0])
    return looked, np.concatenate(values)


def _places(contigs: Sequence[tuple[str, int]], distance: float) -> Iterator[tuple[str, int, int]]:
    """Give stretches at equal distances along all contigs laid end to end, cut where one ends."""
    begin = 0
    for contig, size in contigs:
        first = int(max(begin - STRETCH, 0) // distance)
        for number in range(first, int((begin + size) // distance) + 1):
            start = round(number * distance) - begin
            end = min(start + STRETCH, size)
            if max(start, 0) < end:
                yield contig, max(start, 0), end
        begin += size


def _wanted(
    places: Iterable[tuple[str, int, int]], stop: threading.Event | None
) -> Iterator[tuple[str, int, int]]:
    for place in places:
        if stop is not None and stop.is_set():
            raise CancelledError
        yield place


def average(found: Sequence[Distribution]) -> Distribution:
    """Average distributions, quantile by quantile; those without a value say nothing of these."""
    quantiles = [one.quantiles for one in found if one.quantiles]
    return Distribution(
        float(np.mean([one.covered for one in found])),
        tuple(np.mean(quantiles, axis=0).tolist()) if quantiles else (),
    )


def percentile(distribution: Distribution, percent: float) -> float:
    """Give a percentile of the values other than 0; 0 if there are none."""
    if not distribution.quantiles:
        return 0.0
    levels = np.linspace(0, 100, len(distribution.quantiles))
    return float(np.interp(percent, levels, distribution.quantiles))


def with_ranks_of(
    values: npt.NDArray[np.float32], found: Distribution, ranks: Sequence[float]
) -> npt.NDArray[np.float32]:
    """Replace each value other than 0 by the one that has its rank in another distribution.

    Parameters
    ----------
    values : ndarray, float32
    found : Distribution
        That the values are from; those beyond its ends take the ends of the other.
    ranks : sequence of float
        Quantiles of the other, as many as in `found`.

    Returns
    -------
    ndarray of the same shape, float32

    References
    ----------
    Bolstad et al. (2003), Bioinformatics 19:185, for quantile normalisation.
    """
    if not found.quantiles:
        return values
    knots, places = np.unique(found.quantiles, return_inverse=True)
    # A value that several quantiles share takes the middle of what they become.
    levels = np.bincount(places, ranks) / np.bincount(places)
    changed = values.astype(np.float32)
    inside = changed != 0
    changed[inside] = np.interp(changed[inside], knots, levels)
    return changed


def difference(found: Distribution, trained: Sequence[Distribution]) -> str:
    """Say in a few words how a track differs by much from each that was trained on.

    Parameters
    ----------
    found : Distribution
    trained : sequence of Distribution
        One for each training cell.

    Returns
    -------
    str
        Of the nearest of them; empty if one is near: its covered share, quartiles and 95 %
        quantile are within a factor of 3, or differ by less than a tenth of its spread.
    """
    told = [_difference(found, one) for one in trained]
    return min(told, default=(0.0, ""), key=lambda one: one[0])[1]


def _difference(found: Distribution, trained: Distribution) -> tuple[float, str]:
    """Tell the largest factor between two tracks, and what it is of if it is large."""
    if not found.quantiles or not trained.quantiles:
        alike = bool(found.quantiles) == bool(trained.quantiles)
        which = "it" if trained.quantiles else "training"
        return (1.0, "") if alike else (np.inf, f"{which} has no value other than 0")
    small = NEAR * abs(percentile(trained, 95) - percentile(trained, 25))
    apart = [(_times(found.covered, trained.covered, 0), f"it covers {found.covered:.2%} of the "
              f"bases, in training {trained.covered:.2%}")]  # fmt: skip
    for level in COMPARED:
        here, there = (percentile(one, 100 * level) for one in (found, trained))
        what = "median" if level == 0.5 else f"{level:.0%} quantile"
        text = f"its {what} of covered bases is {here:.3g}, in training {there:.3g}"
        apart.append((_times(here, there, small), text))
    most = max(apart, key=lambda one: one[0])
    return most if most[0] > FAR else (most[0], "")


def _times(here: float, there: float, small: float) -> float:
    """Give the larger of two ratios, of numbers taken for no smaller than `small`.

    It is infinite where the signs differ, or one is 0.
    """
    if abs(here - there) <= small:
        return 1.0
    if here * there < 0 or not max(small, min(abs(here), abs(there))):
        return float("inf")
    sizes = [max(abs(one), small) for one in (here, there)]
    return max(sizes) / min(sizes)
