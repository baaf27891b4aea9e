"""Statistics of the values under many intervals at once, which may overlap.

Each interval is reduced on its own, so what it gives depends on nothing beside it. A value that is
NaN is not known and takes no part; an interval without any known value gives NaN.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tfbind.covered import Floats, Places

Doubles = npt.NDArray[np.float64]
Number = TypeVar("Number", np.float32, np.float64, np.int64)

SORTED_AT_ONCE = 1 << 17
"""Values that are sorted at once, unless one interval has more: few enough for a cache."""


def sums(values: Floats, firsts: Places, lasts: Places) -> tuple[Doubles, Places]:
    """Add up the known values of each interval.

    Parameters
    ----------
    values : ndarray, shape (bases,), float32
    firsts, lasts : ndarray, shape (n,), int64
        Indices of each interval's first value, and of the one behind its last: the same index
        where there is none. Ascending firsts take the least time.

    Returns
    -------
    totals : ndarray, shape (n,), float64
    counts : ndarray, shape (n,), int64
        How many values were known.
    """
    known = ~np.isnan(values)
    if known.all():
        return _reduced(np.add, values.astype(np.float64), firsts, lasts, 0), lasts - firsts
    filled = np.where(known, values, 0).astype(np.float64)
    counts = _reduced(np.add, known.astype(np.int64), firsts, lasts, 0)
    return _reduced(np.add, filled, firsts, lasts, 0), counts


def means(totals: Doubles, counts: Places) -> Floats:
    """Divide sums by counts; NaN where nothing was counted."""
    means = np.full(len(totals), np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    return means.astype(np.float32)


def maxima(values: Floats, firsts: Places, lasts: Places) -> Floats:
    """Find the largest known value of each interval; parameters are those of `sums`."""
    return _reduced(np.fmax, values, firsts, lasts, np.nan)


def quantiles(
    values: Floats, firsts: Places, lasts: Places, probabilities: Sequence[float]
) -> Floats:
    """Find quantiles of the known values of each interval.

    They are interpolated linearly between the two values beside them, as numpy's default does and
    R's type 7: of n values the quantile p lies at the place p * (n - 1), counted from 0.

    Parameters
    ----------
    values, firsts, lasts
        As in `sums`.
    probabilities : sequence of float
        From 0 to 1.

    Returns
    -------
    ndarray, shape (n, len(probabilities)), float32
    """
    least = _reduced(np.fmin, values, firsts, lasts, np.nan)
    largest = maxima(values, firsts, lasts)
    found = np.repeat(largest[:, None], len(probabilities), axis=1)
    # Of a track most intervals hold one value only, 0: those need no sorting.
    varied = np.flatnonzero(largest > least)
    longest = int((lasts - firsts)[varied].max(initial=0))
    padded = np.concatenate([values, np.full(longest, np.nan, np.float32)])
    for some in _of_like_length(varied, (lasts - firsts)[varied]):
        found[some] = _quantiles(padded, firsts[some], (lasts - firsts)[some], probabilities)
    return found


def _reduced(
    function: np.ufunc, values: npt.NDArray[Number], firsts: Places, lasts: Places, empty: float
) -> npt.NDArray[Number]:
    """Reduce each interval by a function of two values."""
    if not len(firsts):
        return np.zeros(0, values.dtype)
    # The value behind the end lets an interval end there; every second result is of what lies
    # between two intervals, a single value where the next begins before it.
    padded = np.concatenate([values, np.zeros(1, values.dtype)])
    reduced = function.reduceat(padded, np.column_stack([firsts, lasts]).ravel())[::2]
    return np.where(lasts > firsts, reduced, np.array(empty, values.dtype))


def _of_like_length(chosen: Places, lengths: Places) -> Iterator[Places]:
    """Part intervals into blocks in which the longest is at most twice as long as the shortest."""
    order = np.argsort(lengths, kind="stable")
    chosen, lengths = chosen[order], lengths[order]
    at = 0
    while at < len(chosen):
        alike = int(np.searchsorted(lengths, 2 * lengths[at], "right"))
        fitting = max(SORTED_AT_ONCE // int(lengths[alike - 1]), 1)
        yield chosen[at : min(alike, at + fitting)]
        at = min(alike, at + fitting)


def _quantiles(
    padded: Floats, firsts: Places, lengths: Places, probabilities: Sequence[float]
) -> Floats:
    longest = int(lengths.max())
    rows = np.lib.stride_tricks.sliding_window_view(padded, longest)[firsts]
    if lengths.min() < longest:
        rows[np.arange(longest) >= lengths[:, None]] = np.nan
    rows.sort(axis=1)  # NaN come last
    counts = longest - np.isnan(rows).sum(axis=1)
    places = np.array(probabilities) * (counts[:, None] - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, counts[:, None] - 1)
    low, high = (np.take_along_axis(rows, at, axis=1).astype(np.float64) for at in (below, above))
    found: Doubles = low + (high - low) * (places - below)
    return found.astype(np.float32)
