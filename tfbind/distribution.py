"""How a signal's values are distributed, and how far two tracks are from each other."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tfbind.contract import Distribution
from tfbind.genome import ContigNames
from tfbind.signal import Signal

STRETCHES = 200
STRETCH = 100_000
"""Bases of each stretch that is read: few long ones, as to find a place in a file takes longer than
to read on there."""

KEPT = 2_000_000
"""Bases, evenly chosen from those read, of which the values are looked at."""

KNOTS = 101
"""Quantiles that are kept, from 0 to 100 %."""

FAR = 3.0
"""How many times larger one number of two tracks must be to be told."""

COMPARED = (0.25, 0.5, 0.75, 0.95)
"""Quantiles that are compared: the last few per cent of a track are few bases."""


def sampled(signal: Signal, sizes: Mapping[str, int], names: ContigNames) -> Distribution:
    """Sample a signal in stretches that lie evenly over the contigs on which it has values.

    Parameters
    ----------
    signal : Signal
    sizes : mapping of str to int
        The genome's contigs, base pairs.
    names : ContigNames
        Finds them among the signal's.

    Returns
    -------
    Distribution
        The same each time for the same file and genome.
    """
    found = ((names.find(contig), size) for contig, size in sizes.items())
    held = [(there, size) for there, size in found if there and signal.has_values(there)]
    places = list(_places(held))
    step = -(-sum(end - start for _, start, end in places) // KEPT) or 1
    values = [signal.values(*place)[::step].copy() for place in places]
    joined = np.concatenate(values) if values else np.zeros(0, np.float32)
    covered = joined[joined != 0]
    levels = np.linspace(0, 1, KNOTS)
    quantiles = np.quantile(covered, levels).astype(np.float32) if len(covered) else np.zeros(0)
    return Distribution(
        len(covered) / max(len(joined), 1), tuple(float(str(one)) for one in quantiles)
    )


def _places(contigs: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int, int]]:
    """Give stretches at equal distances along all contigs, one after the other."""
    distance = max(sum(size for _, size in contigs) / STRETCHES, STRETCH)
    offset = 0.0
    for contig, size in contigs:
        for start in np.arange(offset, size, distance).astype(int).tolist():
            yield contig, start, min(start + STRETCH, size)
        offset = (offset - size) % distance


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


def difference(found: Distribution, trained: Distribution) -> str:
    """Say in a few words how a track differs by much from those that were trained on.

    Returns
    -------
    str
        Empty if it does not: its covered share and its quartiles are within a factor of 3.
    """
    if not found.quantiles:
        return "it has no value other than 0" if trained.quantiles else ""
    if not trained.quantiles:
        return ""
    pairs = [
        (f"{'median' if level == 0.5 else f'{level:.0%} quantile'} of covered bases",
         percentile(found, 100 * level), percentile(trained, 100 * level))
        for level in COMPARED
    ]  # fmt: skip
    apart = [(what, here, there) for what, here, there in pairs if _far(here, there)]
    if apart:
        what, here, there = max(apart, key=lambda one: _times(one[1], one[2]))
        return f"its {what} is {here:.3g}, in training {there:.3g}"
    if _far(found.covered, trained.covered):
        return f"it covers {found.covered:.2%} of the bases, in training {trained.covered:.2%}"
    return ""


def _far(here: float, there: float) -> bool:
    return _times(here, there) > FAR


def _times(here: float, there: float) -> float:
    """Give the larger of two ratios; infinite where one is 0 or of the other sign."""
    if here == there:
        return 1.0
    if here * there <= 0:
        return float("inf")
    return max(here / there, there / here)
