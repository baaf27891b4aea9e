"""How well scores tell classes that exclude each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError
from tfbind.evaluation import Metrics, Ranking, ranked, summary


@dataclass(frozen=True)
class ClassReport:
    """What `tfbind evaluate --classes` reports.

    Attributes
    ----------
    classes : tuple of str
    confusion : ndarray, shape (classes, classes), int64
        Bins by true class and by that of the highest score; of equal scores the first.
    rankings : tuple of Ranking
        Of each class against all others.
    metrics : tuple of Metrics
        Likewise; scores are not taken as probabilities.
    ambiguous : int
        Bins that were left out.
    """

    classes: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    rankings: tuple[Ranking, ...]
    metrics: tuple[Metrics, ...]
    ambiguous: int

    @property
    def accuracy(self) -> float:
        """The share of bins whose class has the highest score, ambiguous ones left out."""
        return float(np.trace(self.confusion) / self.confusion.sum())


def class_report(
    classes: Sequence[str],
    truth: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    ambiguous: int,
) -> ClassReport:
    """Measure scores of several classes.

    Parameters
    ----------
    classes : sequence of str
        At least two.
    truth : ndarray, shape (n,), int64
        Indices into `classes`.
    scores : ndarray, shape (n, classes), float32
        Higher for a likelier class; on any scale.
    ambiguous : int
        How many bins were left out.

    Returns
    -------
    ClassReport

    Raises
    ------
    InputError
        If a class has no bin, or all, or a score is not a number.
    """
    counts = np.bincount(truth, minlength=len(classes))
    if not counts.all():
        lacking = classes[int(np.argmin(counts))]
        raise InputError(f"found no bin of the class {lacking!r}, expected some of each")
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (truth, scores.argmax(axis=1)), 1)
    rankings = [
        ranked(scores[truth == one, one], scores[truth != one, one]) for one in range(len(classes))
    ]
    return ClassReport(
        tuple(classes),
        confusion,
        tuple(rankings),
        tuple(summary(one, ambiguous, None) for one in rankings),
        ambiguous,
    )
