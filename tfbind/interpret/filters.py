"""Filters of a first convolution as motifs, by their weights and by the sites that they find."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from keras import ops

from tfbind.genome import UNKNOWN
from tfbind.interpret.convolutions import BASES, Convolution

BATCH = 64
"""Windows that are convolved at once: a wide network's maps of so many fill 100 MB."""


@dataclass(frozen=True)
class BestSites:
    """Where each filter answers most, in each of some windows.

    Attributes
    ----------
    values : ndarray, shape (windows, filters), float32
        The highest activation: the sum of weights and bias, before any rectifier.
    places : ndarray, shape (windows, filters), int32
        The first base of that place, from the window's start; base pairs.
    """

    values: npt.NDArray[np.float32]
    places: npt.NDArray[np.int32]


def best_sites(codes: npt.NDArray[np.uint8], convolution: Convolution) -> BestSites:
    """Find each filter's best place in each window; of several the first.

    Parameters
    ----------
    codes : ndarray, shape (windows, bases), uint8
        An unknown base adds nothing.
    convolution : Convolution
        No wider than the windows. It is slid over places that lie inside a window as a whole.
    """
    values, places = [], []
    table = np.eye(UNKNOWN + 1, BASES, dtype=np.float32)
    for first in range(0, len(codes), BATCH):
        found = ops.conv(table[codes[first : first + BATCH]], convolution.kernel)
        places.append(np.asarray(ops.argmax(found, axis=1), np.int32))
        values.append(np.asarray(ops.max(found, axis=1)) + convolution.bias)
    return BestSites(np.concatenate(values), np.concatenate(places))


def positive_frequencies(weights: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Make a motif of weights: what is negative is nothing, what is weak is nearly even.

    Each position's positive weights are filled up, by as much for each base, to the sum of the
    strongest position, and divided by it. So the strongest position has its weights' shares, and a
    position without positive weights says nothing.

    Parameters
    ----------
    weights : ndarray, shape (width, 4)

    Returns
    -------
    ndarray, shape (width, 4), float64
        Frequencies of A, C, G and T.
    """
    positive = np.maximum(weights, 0).astype(np.float64)
    sums = positive.sum(axis=1, keepdims=True)
    most = sums.max()
    if most == 0:
        return np.full_like(positive, 1 / BASES)
    return np.asarray((positive + (most - sums) / BASES) / most)


@dataclass(frozen=True)
class Sites:
    """The places on the genome where a filter's best activations lie over its threshold.

    Attributes
    ----------
    threshold : float
        Activation.
    counts : ndarray, shape (width, 4), int64
        Of A, C, G and T at each of the filter's positions; each place is counted once.
    count : int
        Places.
    bound, unbound : float
        Shares of the windows of bound, and of all other bins, whose best activation is over the
        threshold; NaN where there are none.
    """

    threshold: float
    counts: npt.NDArray[np.int64]
    count: int
    bound: float
    unbound: float


def sites_of(
    bound: BestSites,
    unbound: npt.NDArray[np.float32],
    highest: npt.NDArray[np.float32],
    codes: npt.NDArray[np.uint8],
    keys: npt.NDArray[np.int64],
    width: int,
    share: float,
) -> Iterator[Sites]:
    """Count bases at the best places that lie over a share of each filter's highest activation.

    This is the way of DeepBind (Alipanahi et al. 2015), with the threshold of half the maximum
    that Basset took (Kelley et al. 2016).

    Parameters
    ----------
    bound : BestSites
        Of the windows of bound bins.
    unbound : ndarray, shape (windows, filters), float32
        The highest activations in windows of other bins, all or evenly spaced ones.
    highest : ndarray, shape (filters,), float32
        The highest activation in any window.
    codes : ndarray, shape (windows, bases), uint8
        Of the bound ones.
    keys : ndarray, shape (windows,), int64
        Of the bound ones: `keys + place` is the same for the same bases on the same strand, and
        for no others.
    width : int
        Of the filters, base pairs.
    share : float
        Of the highest activation, in (0, 1). A filter that has no activation over 0 finds nothing.

    Yields
    ------
    Sites
        For each filter.
    """
    offsets = np.arange(width)
    for column in range(bound.values.shape[1]):
        most = float(highest[column])
        threshold = share * most if most > 0 else np.inf
        over = np.flatnonzero(bound.values[:, column] >= threshold)
        places = bound.places[over, column].astype(np.int64)
        _, once = np.unique(keys[over] + places, return_index=True)
        found = codes[over[once, None], places[once, None] + offsets]
        counts = np.stack([(found == base).sum(axis=0) for base in range(BASES)], axis=1)
        shares = [
            float(np.mean(values[:, column] >= threshold)) if len(values) else np.nan
            for values in (bound.values, unbound)
        ]
        yield Sites(threshold, counts, len(once), *shares)


def frequencies(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Give shares of bases; a position of unknown bases alone is even.

    Parameters
    ----------
    counts : ndarray, shape (width, 4)
    """
    sums = counts.sum(axis=1, keepdims=True)
    return np.where(sums, counts / np.maximum(sums, 1), 1 / BASES)


def information(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the information of each base at each position, against even bases.

    Parameters
    ----------
    shares : ndarray, shape (width, 4)

    Returns
    -------
    ndarray, shape (width, 4), float64, bits
        A position's bits times each base's share: the heights of a sequence logo.
    """
    logs = np.log2(np.where(shares > 0, shares, 1))
    bits = 2 + (shares * logs).sum(axis=1, keepdims=True)
    return np.asarray(shares * bits)


def joined(parts: Sequence[BestSites]) -> BestSites:
    """Put the best places of batches of windows behind each other."""
    return BestSites(
        np.concatenate([one.values for one in parts]),
        np.concatenate([one.places for one in parts]),
    )
