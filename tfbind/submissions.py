"""Whether a submission to the ENCODE-DREAM challenge is what its scorer wants."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.dream import SIZE, STRIDE, stream_of
from tfbind.errors import InputError
from tfbind.intervals import BYTE_ORDER_MARK, IntervalReader, Intervals
from tfbind.text import GZIP_MAGIC, text_blocks

COLUMNS = 4
SCORE_THOSE = "whose bins are to be scored in their order"
NO_BINS = (
    (b"\r", b"\r", "a carriage return, expected lines that end in a newline alone"),
    (b"#", b"#", "a comment or a header, expected bins alone"),
    (b"\n", b"\n\n", "an empty line, expected bins alone"),
    (b"k", b"\ntrack", "a track line, expected bins alone"),
    (b"w", b"\nbrowser", "a browser line, expected bins alone"),
    (b"s", b"\nchr\tstart\t", "a header, expected bins alone"),
    (BYTE_ORDER_MARK[:1], BYTE_ORDER_MARK, "a byte order mark, expected plain text"),
)
"""What other readers of intervals skip, and the challenge's scorer does not.

A letter, which is looked for first, as that takes a tenth of the time; the text; what it is.
"""

Problem = tuple[int, str]
"""The row of a batch, and what is wrong there."""


def probabilities_of(batch: Intervals) -> npt.NDArray[np.float64]:
    """Read the last column as numbers.

    Returns
    -------
    ndarray, shape (n,), float64
        NaN for what is no number.
    """
    text = batch.extra[-1]
    try:
        return np.asarray(text.cast(pa.string()).cast(pa.float64()))
    except pa.ArrowInvalid:
        return np.array([_number(text.slice(row, 1)) for row in range(len(text))])


def _number(text: pa.Array) -> float:
    try:
        return cast(float, text.cast(pa.string()).cast(pa.float64())[0].as_py())
    except pa.ArrowInvalid:
        return float("nan")


def _first(wrong: npt.NDArray[np.bool_]) -> int | None:
    return int(wrong.argmax()) if wrong.any() else None


class SubmissionReader(IntervalReader):
    """Read a submission as bins; refuse all that the challenge's scorer would not skip.

    A line that is no bin is told only when those before it are given, so that what else may be
    wrong with them can be told first.

    Parameters
    ----------
    stream : binary file
        Gzip or BGZF.
    path : str or Path
        The name for messages.

    Raises
    ------
    InputError
        If the text is not compressed, or twice.
    """

    def __init__(self, stream: BinaryIO, path: str | Path) -> None:
        self._at_end: InputError | None = None
        self._behind_batch: InputError | None = None
        blocks = text_blocks(stream, path, exact=True)
        first = next(blocks, b"")
        if first.startswith(GZIP_MAGIC):
            raise InputError("is compressed twice, expected once; undo one by zcat", path=path)
        super().__init__(stream_of(self._bare_lines(chain([first], blocks))), path)

    def __iter__(self) -> Iterator[Intervals]:
        """Yield batches.

        Raises
        ------
        InputError
            At the first line that is no bin.
        """
        for batch in super().__iter__():
            yield batch
            if self._behind_batch is not None:
                raise self._behind_batch
        if self._at_end is not None:
            raise self._at_end

    def _bare_lines(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass whole lines on, up to the first that no submission has."""
        line = 1
        for block in blocks:
            if (odd := _odd_line(block)) is not None:
                start, what = odd
                number = line + block.count(b"\n", 0, start)
                self._at_end = InputError(f"found {what}", path=self.path, line=number)
                yield block[:start]
                return
            line += block.count(b"\n")
            yield block

    def _parse(self, text: bytes, numbers: npt.NDArray[np.int64]) -> Intervals:
        try:
            return super()._parse(text, numbers)
        except InputError as error:
            good = 0 if error.line is None else int(np.searchsorted(numbers, error.line))
            if not good:
                raise
            self._behind_batch = error
            lines = text.splitlines(keepends=True)[:good]
            return super()._parse(b"".join(lines), numbers[:good])


def _odd_line(block: bytes) -> tuple[int, str] | None:
    """Find the start of the first line that readers of intervals skip or forgive, and why."""
    text = b"\n" + block
    places = [
        (at, what)
        for letter, mark, what in NO_BINS
        if letter in block and (at := text.find(mark)) >= 0
    ]
    if block and not block.endswith(b"\n"):
        places.append((len(block), "a last line without its newline, expected one behind each"))
    if not places:
        return None
    at, what = min(places)
    return block.rfind(b"\n", 0, at) + 1, what


class Submission:
    """See that the lines of a submission are what the challenge's scorer wants.

    Parameters
    ----------
    path : str
        The name for messages.
    regions : IntervalReader, optional
        The bins that are asked for, in order. Without it any bins of the grid are right, each
        once, in ascending order on each chromosome.

    Attributes
    ----------
    bins : int
        Read so far.
    contigs : dict of str to int
        Those of the bins, in order.
    lowest, highest : float
        Probabilities.
    """

    def __init__(self, path: str, regions: IntervalReader | None = None) -> None:
        self.path = path
        self.bins = 0
        self.contigs: dict[str, int] = {}
        self.lowest, self.highest = np.inf, -np.inf
        self._regions = None if regions is None else _Regions(regions, self.contigs)
        self._last = -1

    def checked(self, reader: IntervalReader) -> Iterator[Intervals]:
        """Pass batches on.

        Raises
        ------
        InputError
            At the first line that is wrong, or if bins are missing at the end.
        """
        batches = iter(reader)
        for batch in batches:
            if reader.columns != COLUMNS:
                raise InputError(
                    f"found {reader.columns} columns, expected {COLUMNS}, parted by tabs: "
                    "chromosome, start, stop, probability",
                    path=self.path,
                    line=int(batch.numbers[0]),
                )
            probabilities = probabilities_of(batch)
            if problems := self._problems(batch, probabilities):
                row, what = min(problems)
                counts = self._counts(reader, batches)
                raise InputError(what + counts, path=self.path, line=int(batch.numbers[row]))
            self.bins += len(batch)
            self.lowest = min(self.lowest, float(probabilities.min()))
            self.highest = max(self.highest, float(probabilities.max()))
            yield batch
        self._refuse_end()

    def _problems(self, batch: Intervals, probabilities: npt.NDArray[np.float64]) -> list[Problem]:
        problems: list[Problem] = []
        widths = batch.ends - batch.starts
        if (row := _first(~((probabilities >= 0) & (probabilities <= 1)))) is not None:
            found = batch.extra[-1][row].as_py().decode("utf-8", "replace")[:40]
            problems.append((row, f"found {found!r}, expected a probability from 0 to 1"))
        if (row := _first(widths != SIZE)) is not None:
            problems.append((row, f"found a bin of {widths[row]} bp, expected {SIZE} bp"))
        if (row := _first(batch.starts % STRIDE != 0)) is not None:
            problems.append(
                (row, f"found start {batch.starts[row]}, expected a multiple of {STRIDE}")
            )
        rows = _rows(batch, self.contigs)
        problems += self._disorder(rows) if self._regions is None else self._regions.differ(rows)
        return problems

    def _disorder(self, rows: npt.NDArray[np.int64]) -> list[Problem]:
        """Find the first bin that is not behind the one before it."""
        keys = (rows[0] << 40) + rows[1]
        steps = np.diff(keys, prepend=self._last)
        self._last = int(keys[-1])
        row = _first(steps <= 0)
        if row is None:
            return []
        again = "the bin of the line before again" if steps[row] == 0 else "a bin out of order"
        return [
            (
                row,
                f"found {again}, expected each bin once, chromosome by chromosome, in ascending "
                "order of starts; score the official regions in their order",
            )
        ]

    def _counts(self, reader: IntervalReader, batches: Iterator[Intervals]) -> str:
        """Tell how many bins there are and should be, where regions are given."""
        if self._regions is None:
            return ""
        found = _count(reader, batches)
        expected = _count(self._regions.reader, self._regions.batches)
        return "" if None in (found, expected) else f" (of {found:,} bins; {expected:,} expected)"

    def _refuse_end(self) -> None:
        """Refuse a file that ends before the regions do, or holds nothing."""
        regions = self._regions
        if regions is not None and (left := regions.take(1)).shape[1]:
            expected = _count(regions.reader, regions.batches)
            of = "more" if expected is None else f"{expected:,}"
            raise InputError(
                f"found {self.bins:,} bins, expected {of} as in {regions.reader.path}; the first "
                f"that is missing is {_shown(left[:, 0], self.contigs)}, {SCORE_THOSE}",
                path=self.path,
                line=self.bins + 1,
            )
        if not self.bins:
            raise InputError("holds no bin, expected one a line", path=self.path)


class _Regions:
    """The bins that are asked for, taken as many at a time as are compared."""

    def __init__(self, reader: IntervalReader, contigs: dict[str, int]) -> None:
        self.reader = reader
        self.batches = iter(reader)
        self._contigs = contigs
        self._held = np.zeros((3, 0), np.int64)

    def take(self, count: int) -> npt.NDArray[np.int64]:
        """Give the next rows; fewer where there are no more."""
        parts = [self._held]
        while sum(part.shape[1] for part in parts) < count:
            batch = next(self.batches, None)
            if batch is None:
                break
            parts.append(_rows(batch, self._contigs))
        rows = np.concatenate(parts, axis=1)
        self._held = rows[:, count:]
        return rows[:, :count]

    def differ(self, rows: npt.NDArray[np.int64]) -> list[Problem]:
        """Find the first row that is not the next region."""
        wanted, path = self.take(rows.shape[1]), self.reader.path
        count = wanted.shape[1]
        row = _first((rows[:, :count] != wanted).any(axis=0))
        if row is not None:
            shown = [_shown(some[:, row], self._contigs) for some in (rows, wanted)]
            return [(row, f"found {shown[0]}, expected {shown[1]} as in {path}, {SCORE_THOSE}")]
        if count < rows.shape[1]:
            found = _shown(rows[:, count], self._contigs)
            return [(count, f"found {found}, expected no more bins, as {path} ends, {SCORE_THOSE}")]
        return []


def _rows(batch: Intervals, contigs: dict[str, int]) -> npt.NDArray[np.int64]:
    """Give contig numbers, starts and ends; contigs are numbered as they come."""
    codes = np.array([contigs.setdefault(name, len(contigs)) for name in batch.contigs])
    return np.stack([codes[batch.codes], batch.starts, batch.ends])


def _shown(row: npt.NDArray[np.int64], contigs: dict[str, int]) -> str:
    return f"{list(contigs)[row[0]]} {row[1]} {row[2]}"


def _count(reader: IntervalReader, rest: Iterable[Intervals]) -> int | None:
    """Count all bins of a file of which some were read; None if a later line is no bin."""
    try:
        for _ in rest:
            pass
    except InputError:
        return None
    return reader.count
