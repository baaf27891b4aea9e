"""Hard negatives: the unbound bins that a model is most sure are bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.errors import InputError, three
from tfbind.intervals import Intervals
from tfbind.labels import UNBOUND

Scores = npt.NDArray[np.float32]


class Match(NamedTuple):
    """Which score is compared with which labels.

    Attributes
    ----------
    columns : list of int
        Label columns, from 0.
    tasks : list of str
        Of the model, one for each of these columns.
    """

    columns: list[int]
    tasks: list[str]


def matched(
    names: Sequence[str] | None, columns: int, tasks: Sequence[str], path: str, model: str
) -> Match:
    """Match label columns to a model's tasks: by name, or the only one to the only one.

    Parameters
    ----------
    names : sequence of str or None
        Of the label columns, if the bins told them.
    columns : int
        How many label columns there are.
    tasks : sequence of str
        That the model scores.
    path, model : str
        The files, for messages.

    Raises
    ------
    InputError
        If there are no labels, or nothing matches.
    """
    if not columns:
        raise InputError(
            "holds no labels, but --hard looks for unbound bins; pass the bins through tfbind "
            "label first",
            path=path,
        )
    if columns == len(tasks) == 1:
        return Match([0], list(tasks))
    if names is None:
        raise InputError(
            f"has {columns} label column(s) without names, expected a # line that names them, as "
            f"{model} scores {three(tasks)}",
            path=path,
        )
    shared = [(column, name) for column, name in enumerate(names) if name in tasks]
    if not shared:
        raise InputError(
            f"has labels of {three(names)}, but {model} scores {three(tasks)}; name the columns "
            "as the model does",
            path=path,
        )
    return Match([column for column, _ in shared], [name for _, name in shared])


@dataclass(frozen=True)
class Candidates:
    """Bins of a batch that may be hard negatives.

    Attributes
    ----------
    batch : int
        The number of the batch; they rise.
    rows : ndarray, shape (n,), int64
        Where they stand in it, ascending.
    bins : Intervals, length n
    codes : ndarray, shape (n, label columns), uint8
    """

    batch: int
    rows: npt.NDArray[np.int64]
    bins: Intervals
    codes: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Held:
    """Bins, each by its batch and its row in it.

    Attributes
    ----------
    batches, rows : ndarray, shape (n,), int64
    text : pyarrow.BinaryArray, length n
        Their lines.
    codes : ndarray, shape (n, label columns), uint8
    scores : ndarray, shape (n,), float32
        The highest of the columns in which the bin is unbound.
    ties : ndarray, shape (n,), float64
        Of equal scores the one with the smallest number here counts as higher.
    """

    batches: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    text: pa.Array
    codes: npt.NDArray[np.uint8]
    scores: Scores
    ties: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: npt.NDArray[np.int64]) -> "Held":
        """Give some of them, in this order."""
        text = self.text.take(pa.array(index))
        return Held(
            self.batches[index],
            self.rows[index],
            text,
            self.codes[index],
            self.scores[index],
            self.ties[index],
        )


class Hardest:
    """Keep the unbound bins with the highest scores; memory grows with their number alone.

    Parameters
    ----------
    count : int
        How many.
    columns : sequence of int
        The label columns, from 0, that the scores are of. A bin counts by the highest score among
        those in which it is unbound; where it is ambiguous or bound its score says nothing.
    seed : int
        Of the choice among equal scores.

    Attributes
    ----------
    seen : int
        Unbound bins among the candidates so far.
    """

    def __init__(self, count: int, columns: Sequence[int], seed: int) -> None:
        self.count = count
        self.columns = list(columns)
        self.seen = 0
        self._random = np.random.default_rng([seed, 1])
        self._lowest = -np.inf
        self._parts: list[Held] = []
        self._size = 0

    def tells(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Tell which bins are unbound in a column that is scored.

        Parameters
        ----------
        codes : ndarray, shape (n, label columns), uint8
        """
        return np.asarray((codes[:, self.columns] == UNBOUND).any(axis=1))

    def add(self, some: Candidates, scores: Scores, first: int = 0) -> None:
        """Look at scores of bins; how the input is cut changes nothing.

        Parameters
        ----------
        some : Candidates
            Bins that `tells` found, in the order of the input.
        scores : ndarray, shape (n, len(columns)), float32
            Of all of them, or of n from one on.
        first : int
            That one.
        """
        part = slice(first, first + len(scores))
        codes = some.codes[part]
        unbound = codes[:, self.columns] == UNBOUND
        highest = np.where(unbound, scores, np.float32(-np.inf)).max(axis=1)
        self.seen += len(scores)
        ties = self._random.random(len(scores))
        near = np.flatnonzero(highest >= self._lowest)
        if not len(near):
            return
        self._parts.append(
            Held(
                np.full(len(near), some.batch),
                some.rows[part][near],
                some.bins.text.take(pa.array(near + first)),
                codes[near],
                highest[near],
                ties[near],
            )
        )
        self._size += len(near)
        if self._size > 2 * self.count:
            self._prune()

    def _prune(self) -> Held:
        """Forget all but the highest."""
        whole = _joined(self._parts)
        order = np.lexsort((whole.ties, -whole.scores))[: self.count]
        kept = whole.take(order)
        if len(kept) == self.count:
            self._lowest = float(kept.scores[-1])
        self._parts, self._size = [kept], len(kept)
        return kept

    def held(self) -> Held | None:
        """Give the hardest so far, in the order of the input; None if there is none."""
        if not self._parts:
            return None
        kept = self._prune()
        return kept.take(np.lexsort((kept.rows, kept.batches)))


def _joined(parts: Sequence[Held]) -> Held:
    return Held(
        np.concatenate([part.batches for part in parts]),
        np.concatenate([part.rows for part in parts]),
        pa.concat_arrays([part.text for part in parts]),
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.ties for part in parts]),
    )
