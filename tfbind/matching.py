"""Columns of BED-like text, matched between two files by interval.

Bins are kept as one number each, the contig's place in a list and the start; their size is one for
a whole file. So tens of millions fit into memory: 8 bytes a bin and what its columns take.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.errors import InputError, three
from tfbind.intervals import Intervals
from tfbind.labels import UNKNOWN, codes_of

Parser = Callable[[Intervals], npt.NDArray[Any]]
Keys = npt.NDArray[np.uint64]

START_BITS = 32
NOT_BINS = "a bedGraph's intervals are not bins: write scores with tfbind score --format bed"
SAME_BINS = "label the same bins, for example: tfbind bin --region ... | tfbind label ..."


@dataclass
class Table:
    """Some columns of the bins of one file.

    Attributes
    ----------
    path : str
    contigs : dict of str to int
        Contig names and the numbers that stand for them in keys; shared by files to be matched.
    width : int, base pairs
        The size of every bin.
    keys : ndarray, shape (n,), uint64
        Contig number << 32 | start.
    columns : tuple of ndarray, each of shape (n,)
    lines : list of (int, sequence of int)
        For each batch the place of its first bin, and the line numbers of all.
    """

    path: str
    contigs: dict[str, int]
    width: int = 0
    keys: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    columns: tuple[npt.NDArray[Any], ...] = ()
    lines: list[tuple[int, Sequence[int] | npt.NDArray[np.int64]]] = field(default_factory=list)

    def line(self, place: int) -> int:
        """Give the line of the file that holds a bin."""
        first, numbers = self.lines[bisect_right(self.lines, place, key=lambda x: x[0]) - 1]
        return int(numbers[place - first])

    def shown(self, place: int) -> str:
        """Give a bin as it stands in BED."""
        code, start = divmod(int(self.keys[place]), 1 << START_BITS)
        return f"{list(self.contigs)[code]} {start} {start + self.width}"


class _Growing:
    """An array that grows at its end, with little to spare: it may fill most of the memory."""

    def __init__(self) -> None:
        self._array: npt.NDArray[Any] = np.zeros(0)
        self._size = 0

    def extend(self, values: npt.NDArray[Any]) -> None:
        size = self._size + len(values)
        if not self._size:
            self._array = np.empty(2 * size, values.dtype)
        elif size > len(self._array):
            # Mapped memory grows without a copy.
            self._array.resize(max(size, len(self._array) * 5 // 4), refcheck=False)
        self._array[self._size : size] = values
        self._size = size

    def taken(self) -> npt.NDArray[Any]:
        self._array.resize(self._size, refcheck=False)
        return self._array


def read_table(
    batches: Iterable[Intervals],
    path: str,
    contigs: dict[str, int],
    parsers: Sequence[Parser],
    like: Table | None = None,
) -> Table:
    """Read columns of all bins of a file.

    Parameters
    ----------
    batches : iterable of Intervals
    path : str
        The name for messages.
    contigs : dict of str to int
        Grows by the contigs that it lacks.
    parsers : sequence of callable
        Each makes the values of a column of a batch: `scores_of` and `labels_of`, with their
        other parameters bound.
    like : Table, optional
        A table read before, with the same `contigs`. As long as the bins follow one another as
        they do there, their keys are not stored a second time; if they do so to the end, the new
        table's `keys` is that of `like`.

    Raises
    ------
    InputError
        If a bin has another size than the first, or there is none.
    """
    table = Table(path, contigs)
    keys, columns = _Growing(), [_Growing() for _ in parsers]
    known = like.keys if like else table.keys
    count, aligned = 0, like is not None
    for batch in batches:
        new = _keys(table, batch)
        if aligned and not np.array_equal(known[count : count + len(batch)], new):
            aligned = False
            keys.extend(known[:count])
        if not aligned:
            keys.extend(new)
        for column, parse in zip(columns, parsers, strict=True):
            column.extend(parse(batch))
        table.lines.append((count, _compact(batch.numbers)))
        count += len(batch)
    if not count:
        raise InputError("holds no interval, expected one bin a line", path=path)
    if not aligned:
        table.keys = keys.taken()
    else:
        table.keys = known if count == len(known) else known[:count]
    table.columns = tuple(column.taken() for column in columns)
    return table


def _keys(table: Table, batch: Intervals) -> Keys:
    """Turn bins into keys, and see that they all have one size."""
    widths = batch.ends - batch.starts
    table.width = table.width or int(widths[0])
    wrong = np.flatnonzero(widths != table.width)
    if len(wrong):
        first = int(wrong[0])
        raise InputError(
            f"found an interval of {widths[first]} bp, expected bins of {table.width} bp like the "
            f"first; bedtools intersect needs -wa to leave bins whole, and {NOT_BINS}",
            path=table.path,
            line=int(batch.numbers[first]),
        )
    far = np.flatnonzero(batch.starts >> START_BITS)
    if len(far):
        raise InputError(
            f"found a start of {batch.starts[far[0]]}, expected one below {1 << START_BITS}",
            path=table.path,
            line=int(batch.numbers[far[0]]),
        )
    contigs = table.contigs
    codes = [contigs.setdefault(name, len(contigs)) for name in batch.contigs]
    shifted = np.array(codes, np.uint64) << np.uint64(START_BITS)
    return shifted[batch.codes] | batch.starts.astype(np.uint64)


def _compact(numbers: npt.NDArray[np.int64]) -> Sequence[int] | npt.NDArray[np.int64]:
    first, last = int(numbers[0]), int(numbers[-1])
    return range(first, last + 1) if last - first + 1 == len(numbers) else numbers


def scores_of(
    batch: Intervals,
    path: str,
    column: int | None,
    advice: str = "give the column of the scores with --score-column",
) -> npt.NDArray[np.float32]:
    """Read a column of scores.

    Parameters
    ----------
    batch : Intervals
    path : str
        The name for messages.
    column : int or None
        Counted from one; None is the last.
    advice : str
        Of the message.

    Returns
    -------
    ndarray, shape (n,), float32

    Raises
    ------
    InputError
        At the first line whose score is not a number.
    """
    column = column or len(batch.extra) + 3
    text = _column(batch, path, column, "scores")
    try:
        scores: npt.NDArray[np.float32] = text.cast(pa.string()).cast(pa.float32()).to_numpy()
        wrong = np.flatnonzero(np.isnan(scores))
        if not len(wrong):
            return scores
        first = int(wrong[0])
    except pa.ArrowInvalid:
        first = _first_word(text)
    found = text[first].as_py().decode("utf-8", "replace")[:40]
    raise InputError(
        f"found {found!r} in column {column}, expected a score, a number; {advice}",
        path=path,
        line=int(batch.numbers[first]),
    )


def _first_word(text: pa.Array) -> int:
    """Find the first value that is no number, by halves; there is one."""
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            text.slice(low, middle - low).cast(pa.string()).cast(pa.float32())
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def labels_of(batch: Intervals, path: str, column: int) -> npt.NDArray[np.uint8]:
    """Read a column of labels.

    Parameters and errors are those of `scores_of`.

    Returns
    -------
    ndarray, shape (n,), uint8
        Codes, as `labels.codes_of` gives them.
    """
    text = _column(batch, path, column, "labels")
    codes = codes_of(text)
    wrong = np.flatnonzero(codes == UNKNOWN)
    if len(wrong):
        found = text[int(wrong[0])].as_py().decode("utf-8", "replace")[:40]
        raise InputError(
            f"found {found!r} in column {column}, expected a label, B, A or U as tfbind label "
            "writes it; give the column of the labels with --label-column",
            path=path,
            line=int(batch.numbers[wrong[0]]),
        )
    return codes


def holds_labels(batch: Intervals, column: int) -> bool:
    """Tell whether a column, counted from one, is there and is one of labels."""
    return len(batch.extra) > column - 4 and UNKNOWN not in codes_of(batch.extra[column - 4])


def _column(batch: Intervals, path: str, column: int, what: str) -> pa.Array:
    if not 3 < column <= len(batch.extra) + 3:
        raise InputError(
            f"found {len(batch.extra) + 3} columns, expected {what} in column {max(column, 4)}",
            path=path,
            line=int(batch.numbers[0]),
        )
    return batch.extra[column - 4]


@dataclass(frozen=True)
class Matched:
    """Scores and labels of the same bins, side by side, in no particular order.

    Attributes
    ----------
    scores : ndarray, shape (n,), float32
    labels : ndarray, shape (n,), uint8
    unscored : int
        Labels that were left out, on contigs of which no bin is scored.
    unscored_contigs : tuple of str
    """

    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    unscored: int = 0
    unscored_contigs: tuple[str, ...] = ()


def match(scores: Table, labels: Table) -> Matched:
    """Bring the scores and the labels of each bin together.

    Parameters
    ----------
    scores, labels : Table
        Each with one column, and with the same `contigs`.

    Raises
    ------
    InputError
        If bins have another size in one file, stand twice, or lack a score or a label; labels on
        contigs without any score are left out instead.
    """
    if scores.width != labels.width:
        raise InputError(
            f"found {len(scores.keys):,} intervals of {scores.width} bp, expected {labels.width} "
            f"bp as of the {len(labels.keys):,} labelled bins in {labels.path}; {NOT_BINS}",
            path=scores.path,
        )
    (values,), (codes,) = scores.columns, labels.columns
    label_keys, label_order = in_order(labels, "labels")
    if scores.keys is labels.keys:
        return Matched(values, codes)
    score_keys, score_order = in_order(scores, "scores")
    wanted, names = _on_scored_contigs(label_keys, score_keys, labels.contigs)
    if not wanted.any():
        raise InputError(
            f"found scores on {three(name for name in labels.contigs if name not in names)} and no "
            f"label there; the labels in {labels.path} lie on {three(names)}",
            path=scores.path,
        )
    unscored = len(wanted) - int(np.count_nonzero(wanted))
    places = np.searchsorted(label_keys, score_keys)
    places[places == len(label_keys)] = 0
    bare = np.flatnonzero(label_keys[places] != score_keys)
    if not len(bare):
        wanted[places] = False
    else:
        wanted[np.delete(places, bare)] = False
    left = np.flatnonzero(wanted)
    if len(bare) or len(left):
        table, order, first = (
            (scores, score_order, bare) if len(bare) else (labels, label_order, left)
        )
        place = int(first[0]) if order is None else int(order[first].min())
        raise InputError(
            f"{len(bare):,} scored bins have no label in {labels.path} and {len(left):,} labelled "
            f"bins of the same contigs have no score in {scores.path}, such as "
            f"{table.shown(place)}; {SAME_BINS}",
            path=table.path,
            line=table.line(place),
        )
    return Matched(
        values if score_order is None else values[score_order],
        codes[places if label_order is None else label_order[places]],
        unscored,
        names,
    )


def in_order(table: Table, what: str) -> tuple[Keys, npt.NDArray[np.intp] | None]:
    """Sort the keys of a table, where they are not sorted already.

    Returns
    -------
    keys : ndarray, shape (n,), uint64
    order : ndarray, shape (n,), int, or None where the keys were in order

    Raises
    ------
    InputError
        If a bin stands twice.
    """
    keys = table.keys
    if (keys[1:] > keys[:-1]).all():
        return keys, None
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    if len(again):
        place = int(order[again].min())
        raise InputError(
            f"{len(again):,} of {len(keys):,} lines of the {what} hold a bin again, such as "
            f"{table.shown(place)}; expected each bin once",
            path=table.path,
            line=table.line(place),
        )
    return keys, order


def _on_scored_contigs(
    label_keys: Keys, score_keys: Keys, contigs: dict[str, int]
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Mark the labels on contigs that hold a score, and name the other contigs with labels."""
    edges = np.arange(len(contigs) + 1, dtype=np.uint64) << np.uint64(START_BITS)
    label_edges = np.searchsorted(label_keys, edges)
    scored = np.diff(np.searchsorted(score_keys, edges)) > 0
    wanted = np.repeat(scored, np.diff(label_edges))
    left_out = ~scored & (np.diff(label_edges) > 0)
    return wanted, tuple(name for name, out in zip(contigs, left_out, strict=True) if out)
