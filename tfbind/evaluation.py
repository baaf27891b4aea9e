"""How well scores tell bound bins from unbound ones.

The measures are those of the ENCODE-DREAM challenge. All of them follow from one `Ranking`, which
holds a few numbers for each distinct score of a bound bin, and bound bins are few.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError
from tfbind.reliability import Reliability

FDR_CUTOFFS = (0.1, 0.5)
CHUNK = 1 << 20
"""True positives that are interpolated at once."""

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Ranking:
    """Bins counted down a ranking by score; bins of one score are taken together, as one step.

    Only steps that hold a bound bin are kept. Between two of them lie unbound bins alone, which
    `unbound_before` counts: nothing of the curves is lost.

    Attributes
    ----------
    bound_before, bound : ndarray, shape (k,), int64
        Bound bins above the score of each step, and at it or above; highest score first.
    unbound_before, unbound : ndarray, shape (k,), int64
        Likewise for unbound bins.
    bound_total, unbound_total : int
        Neither is zero.
    """

    bound_before: npt.NDArray[np.int64]
    bound: npt.NDArray[np.int64]
    unbound_before: npt.NDArray[np.int64]
    unbound: npt.NDArray[np.int64]
    bound_total: int
    unbound_total: int

    @cached_property
    def auroc(self) -> float:
        """Area under the ROC curve: a bound bin outscores an unbound one, half for ties."""
        # In whole numbers until the last division: exact for 3 thousand million bins.
        worse = 2 * self.unbound_total - self.unbound_before - self.unbound
        pairs = int(((self.bound - self.bound_before) * worse).sum())
        return pairs / (2 * self.bound_total * self.unbound_total)

    @cached_property
    def auprc_trapezoid(self) -> float:
        """Area under straight lines between the points of scikit-learn's precision-recall curve.

        Its last point, recall 0 and precision 1, is one of them.
        """
        before = self.bound_before + self.unbound_before
        left = np.divide(self.bound_before, before, out=np.ones(len(before)), where=before > 0)
        right = self.bound / (self.bound + self.unbound)
        steps = (self.bound - self.bound_before) / self.bound_total
        return float((steps * (left + right)).sum() / 2)

    @cached_property
    def auprc_davis_goadrich(self) -> float:
        """Area under the precision-recall curve as Davis and Goadrich (2006) interpolate it.

        Within a step unbound bins come in proportion to bound ones; trapezoids lie between whole
        numbers of true positives. The first step has its own precision from recall 0 on. This is
        `auc.davis.goadrich` of the R package PRROC.
        """
        total = 0.0
        for first in range(0, self.bound_total, CHUNK):
            left = np.arange(first, min(first + CHUNK, self.bound_total))
            step = np.searchsorted(self.bound, left, "right")
            base, unbound_base = self.bound_before[step], self.unbound_before[step]
            slope = (self.unbound[step] - unbound_base) / (self.bound[step] - base)
            unbound = unbound_base + slope * (left - base)
            right_precision = (left + 1) / (left + 1 + unbound + slope)
            left_total = left + unbound
            left_precision = np.divide(
                left, left_total, out=right_precision.copy(), where=left_total > 0
            )
            total += float((left_precision + right_precision).sum())
        return total / 2 / self.bound_total

    def recall_at_fdr(self, cutoff: float) -> float:
        """Give the highest recall with a false discovery rate at or below a cutoff; 0 if none.

        That is the first point of scikit-learn's `precision_recall_curve` where 1 - precision is
        at or below the cutoff, in the same arithmetic.
        """
        passing = np.flatnonzero(1 - self.bound / (self.bound + self.unbound) <= cutoff)
        return float(self.bound[passing[-1]] / self.bound_total) if len(passing) else 0.0

    def corners(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give the corners of the ranking's path from no bin to all.

        Returns
        -------
        unbound, bound : ndarray, shape (m,), int64
            Counts from the highest score down; straight lines join the corners.
        """
        unbound = np.empty(2 * len(self.bound) + 2, np.int64)
        bound = np.empty_like(unbound)
        unbound[0], unbound[-1] = 0, self.unbound_total
        bound[0], bound[-1] = 0, self.bound_total
        unbound[1:-1:2], unbound[2:-1:2] = self.unbound_before, self.unbound
        bound[1:-1:2], bound[2:-1:2] = self.bound_before, self.bound
        return unbound, bound


@dataclass(frozen=True)
class Metrics:
    """What `tfbind evaluate` reports.

    Attributes
    ----------
    bins, bound, unbound, ambiguous_dropped : int
        The first is the sum of the others.
    auroc, auprc_trapezoid, auprc_davis_goadrich, recall_at_10_fdr, recall_at_50_fdr : float
    brier, calibration_error : float or None
        As `reliability.Reliability` has them; None where scores are no probabilities.
    """

    bins: int
    bound: int
    unbound: int
    ambiguous_dropped: int
    auroc: float
    auprc_trapezoid: float
    auprc_davis_goadrich: float
    recall_at_10_fdr: float
    recall_at_50_fdr: float
    brier: float | None
    calibration_error: float | None


def ordered(bound: Scores, unbound: Scores) -> tuple[Scores, Scores]:
    """Sort the scores of the bins of each class.

    Parameters
    ----------
    bound, unbound : ndarray, shape (p,) and (n,), float
        In any order; of one dtype.

    Returns
    -------
    bound, unbound : ndarray, shape (p,) and (n,), float
        Ascending.

    Raises
    ------
    InputError
        If a class is empty or a score is not a number.
    """
    for name, scores, other in (("bound", bound, unbound), ("unbound", unbound, bound)):
        if not len(scores):
            raise InputError(
                f"found no {name} bin beside {len(other):,} of the other class, expected bins of "
                "both; are these the labels of the bins that were scored?"
            )
    bound, unbound = np.sort(bound), np.sort(unbound)
    if np.isnan(bound[-1]) or np.isnan(unbound[-1]):  # they are sorted to the end
        raise InputError("found a score that is not a number (nan), expected a number for each bin")
    return bound, unbound


def ranked(bound: Scores, unbound: Scores) -> Ranking:
    """Rank bins by score; parameters and errors are those of `ordered`."""
    return ranking_of(*ordered(bound, unbound))


def ranking_of(bound: Scores, unbound: Scores) -> Ranking:
    """Rank bins whose scores ascend in each class, as `ordered` gives them."""
    first = np.flatnonzero(np.concatenate([[True], bound[1:] != bound[:-1]]))
    distinct = bound[first]
    return Ranking(
        (len(bound) - np.append(first[1:], len(bound)))[::-1],
        (len(bound) - first)[::-1],
        (len(unbound) - np.searchsorted(unbound, distinct, "right"))[::-1],
        (len(unbound) - np.searchsorted(unbound, distinct, "left"))[::-1],
        len(bound),
        len(unbound),
    )


def summary(ranking: Ranking, ambiguous: int, reliability: Reliability | None) -> Metrics:
    """Compute all measures of a ranking.

    Parameters
    ----------
    ranking : Ranking
    ambiguous : int
        How many bins were left out of it.
    reliability : Reliability or None
        Of the same bins, if their scores are probabilities.
    """
    low, high = FDR_CUTOFFS
    return Metrics(
        ranking.bound_total + ranking.unbound_total + ambiguous,
        ranking.bound_total,
        ranking.unbound_total,
        ambiguous,
        ranking.auroc,
        ranking.auprc_trapezoid,
        ranking.auprc_davis_goadrich,
        ranking.recall_at_fdr(low),
        ranking.recall_at_fdr(high),
        None if reliability is None else reliability.brier,
        None if reliability is None else reliability.error,
    )


def _ranked_by_label(labels: npt.NDArray[np.bool_], scores: Scores) -> Ranking:
    labels, scores = np.asarray(labels, np.bool_), np.asarray(scores)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(f"labels have shape {labels.shape} and scores {scores.shape}")
    return ranked(scores[labels], scores[~labels])


def auroc(labels: npt.NDArray[np.bool_], scores: Scores) -> float:
    """Compute the area under the ROC curve.

    Parameters
    ----------
    labels : ndarray, shape (n,), bool
        True for bound, False for unbound; ambiguous bins are left out by the caller.
    scores : ndarray, shape (n,), float

    Raises
    ------
    InputError
        If a class is empty or a score is not a number.
    """
    return _ranked_by_label(labels, scores).auroc


def auprc_trapezoid(labels: npt.NDArray[np.bool_], scores: Scores) -> float:
    """Compute `Ranking.auprc_trapezoid`; parameters and errors are those of `auroc`."""
    return _ranked_by_label(labels, scores).auprc_trapezoid


def auprc_davis_goadrich(labels: npt.NDArray[np.bool_], scores: Scores) -> float:
    """Compute `Ranking.auprc_davis_goadrich`; parameters and errors are those of `auroc`."""
    return _ranked_by_label(labels, scores).auprc_davis_goadrich


def recall_at_fdr(labels: npt.NDArray[np.bool_], scores: Scores, cutoff: float) -> float:
    """Compute `Ranking.recall_at_fdr`; parameters and errors are those of `auroc`."""
    return _ranked_by_label(labels, scores).recall_at_fdr(cutoff)
