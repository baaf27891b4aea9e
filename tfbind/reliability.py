"""How far scores are from being probabilities."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

STRATA = 15
"""Groups of scores that the calibration error is taken over."""

EDGES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Where ranges of scores meet that a diagram shows: narrow near 0, as few bins are bound."""

CHUNK = 1 << 20
"""Scores that are squared at once."""

Scores = npt.NDArray[np.floating]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Strata:
    """Bins in groups by score, lowest first; none is empty.

    Attributes
    ----------
    scores : ndarray, shape (k,), float64
        The mean of each group.
    bound, bins : ndarray, shape (k,), int64
    """

    scores: npt.NDArray[np.float64]
    bound: Counts
    bins: Counts

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """The share of bound bins in each group, shape (k,), float64."""
        return np.asarray(self.bound / self.bins)


@dataclass(frozen=True)
class Reliability:
    """How far the scores of bins are from the shares of bound bins among them.

    Attributes
    ----------
    brier : float
        The mean squared difference between score and label, 1 or 0 (Brier 1950).
    alike : Strata
        Of equally many bins: `STRATA`, or fewer where scores are tied, as bins of one score stay
        together.
    ranges : Strata
        Of scores between `EDGES`, but for those without a bin.
    """

    brier: float
    alike: Strata
    ranges: Strata

    @cached_property
    def error(self) -> float:
        """The expected calibration error over `alike`.

        That is the mean over bins of the difference between the mean score of a bin's group and
        the share of bound bins in it: Naeini et al. (2015), AAAI 29:2901; of equally many bins, as
        in Nguyen and O'Connor (2015), EMNLP, 1587, since nearly all bins have scores near 0.
        """
        groups = self.alike
        apart = np.abs(groups.scores - groups.shares)
        return float((apart * groups.bins).sum() / groups.bins.sum())

    def intervals(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Give 95 % intervals of the shares of `ranges` by Wilson (1927), as if bins were apart.

        Returns
        -------
        low, high : ndarray, shape (k,), float64
        """
        z, count, share = 1.96, self.ranges.bins, self.ranges.shares
        centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
        half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
        half = half / (1 + z**2 / count)
        return np.minimum(centre - half, share), np.maximum(centre + half, share)


def reliability(bound: Scores, unbound: Scores) -> Reliability | None:
    """Compare scores with the shares of bound bins.

    Parameters
    ----------
    bound, unbound : ndarray, shape (p,) and (n,), float
        Ascending, as `evaluation.ordered` gives them.

    Returns
    -------
    Reliability, or None where a score is no probability, from 0 to 1
    """
    if min(bound[0], unbound[0]) < 0 or max(bound[-1], unbound[-1]) > 1:
        return None
    total = len(bound) + len(unbound)
    missed = _squares_from(1, bound) + _squares_from(0, unbound)
    ranks = [-(-total * group // STRATA) for group in range(1, STRATA)]
    edges = sorted({_ranked_at(rank, bound, unbound) for rank in ranks if rank})
    return Reliability(
        missed / total,
        _strata(edges, bound, unbound),
        _strata(EDGES, bound, unbound),
    )


def _squares_from(label: int, scores: Scores) -> float:
    """Add up the squared differences from a label."""
    total = 0.0
    for first in range(0, len(scores), CHUNK):
        apart = label - scores[first : first + CHUNK].astype(np.float64)
        total += float(apart @ apart)
    return total


def _ranked_at(rank: int, one: Scores, other: Scores) -> float:
    """Give the score of a rank, counted from 1, among two ascending arrays together."""
    found = []
    for here, there in ((one, other), (other, one)):

        def reached(place: int, here: Scores = here, there: Scores = there) -> int:
            return place + 1 + int(np.searchsorted(there, here[place], "right"))

        place = bisect_left(range(len(here)), rank, key=reached)
        if place < len(here):
            found.append(float(here[place]))
    return min(found)


def _strata(edges: Sequence[float], bound: Scores, unbound: Scores) -> Strata:
    """Group scores by edges, each of which belongs to the group below it."""
    sums, counts = [], []
    for scores in (bound, unbound):
        cuts = [0, *np.searchsorted(scores, np.array(edges, scores.dtype), "right"), len(scores)]
        parts = [scores[a:b] for a, b in pairwise(cuts)]
        sums.append([part.sum(dtype=np.float64) for part in parts])
        counts.append([len(part) for part in parts])
    both = np.array(counts, np.int64)
    bins = both.sum(axis=0)
    held = bins > 0
    means = np.array(sums).sum(axis=0)[held] / bins[held]
    return Strata(means, both[0][held], bins[held])
