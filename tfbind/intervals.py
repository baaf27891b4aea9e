"""BED-like text to columns and back.

Coordinates are zero-based and half-open, in base pairs, here and everywhere in tfbind.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tfbind.errors import InputError
from tfbind.lines import tabbed_lines, whole_lines
from tfbind.text import text_blocks

SKIPPED = re.compile(rb"#|(track|browser)( |$)")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LARGEST = 1 << 62

ODD_NUMBERS = {b" ": (b"\t ", b" \t", b" \n"), b"x": (b"\t0x",), b"X": (b"\t0X",)}
"""Marks of what Arrow takes for whole numbers and BED does not: hexadecimal, spaces around."""

NO_INTERVALS = {b"#": (b"#",), b"\r": (b"\r",), b"k": (b"track",), b"w": (b"browser",)}
"""Marks of lines that are no intervals, or end in another way than most."""

COLUMN_NAMES = ("contig", "start", "end")


@dataclass(frozen=True)
class Intervals:
    """A batch of intervals, in the order of the text they came from.

    Attributes
    ----------
    contigs : tuple of str
        The names that `codes` indexes.
    codes : ndarray, shape (n,), int32
    starts, ends : ndarray, shape (n,), int64, base pairs
    extra : tuple of pyarrow.Array, each of length n, binary
        The columns beyond the third.
    text : pyarrow.Array, length n, binary
        Each line as it was read, ending in a tab instead of a newline, so that a column can follow.
    numbers : ndarray, shape (n,), int64
        Line numbers in the file, counted from one.
    minus : ndarray, shape (n,), bool, or None
        Which are read on the reverse strand; None where strands have no meaning.
    """

    contigs: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    extra: tuple[pa.Array, ...]
    text: pa.Array
    numbers: npt.NDArray[np.int64]
    minus: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, keep: npt.NDArray[np.bool_]) -> "Intervals":
        """Keep some of the intervals.

        Parameters
        ----------
        keep : ndarray, shape (n,), bool
        """
        mask = pa.array(keep)
        return Intervals(
            self.contigs,
            self.codes[keep],
            self.starts[keep],
            self.ends[keep],
            tuple(column.filter(mask) for column in self.extra),
            self.text.filter(mask),
            self.numbers[keep],
            None if self.minus is None else self.minus[keep],
        )

    def parts(self, most: int) -> "Iterator[Intervals]":
        """Cut into parts of at most so many consecutive intervals; no column is copied."""
        if 0 < len(self) <= most:
            yield self
            return
        for first in range(0, len(self), most):
            some = slice(first, first + most)
            yield Intervals(
                self.contigs,
                self.codes[some],
                self.starts[some],
                self.ends[some],
                tuple(column[some] for column in self.extra),
                self.text[some],
                self.numbers[some],
                None if self.minus is None else self.minus[some],
            )

    def runs(self) -> Iterator[tuple[str, slice]]:
        """Yield each stretch of consecutive intervals on one contig, with the contig's name."""
        if not len(self):
            return
        breaks = np.flatnonzero(np.diff(self.codes)) + 1
        for first, last in zip([0, *breaks], [*breaks, len(self)], strict=True):
            yield self.contigs[self.codes[first]], slice(int(first), int(last))

    def lines(self) -> bytes:
        """Give the text back, byte for byte but for the line ends, which are newlines."""
        return whole_lines(self.text)


class IntervalReader:
    """Read intervals from a stream of BED-like text, in batches.

    Empty lines, comments (`#`) and the `track` and `browser` lines of UCSC are skipped; every other
    line has at least three columns, parted by tabs, and as many as the first.

    Parameters
    ----------
    stream : binary file
        BED text, plain, gzip or BGZF.
    path : str or Path
        The name for messages.
    part : (int, int), optional
        Give only the intervals from the first number up to the second, counted from 0.

    Attributes
    ----------
    header : list of str
        The lines that begin with `#` and stood before the first interval, complete once the first
        batch was read.
    count : int
        Intervals read so far, those outside of the part included.
    columns : int
        Of every line; 0 before one was read.
    """

    def __init__(
        self, stream: BinaryIO, path: str | Path, part: tuple[int, int] | None = None
    ) -> None:
        self.path = path
        self._part = part
        self.header: list[str] = []
        self.count = 0
        self._stream = stream
        self.columns = 0
        self._line = 1

    def __iter__(self) -> Iterator[Intervals]:
        """Yield batches.

        Raises
        ------
        InputError
            At the first line that is no interval: it names the file, the line and what was found.
        """
        for text, numbers in self._lines():
            self.columns = self.columns or text[: text.index(b"\n")].count(b"\t") + 1
            before = self.count
            self.count += len(numbers)
            if self._part is None:
                yield self._parse(text, numbers)
                continue
            first, last = (min(max(n - before, 0), len(numbers)) for n in self._part)
            if first < last:
                yield self._parse(_cut_lines(text, first, last), numbers[first:last])
            if self._part[1] <= self.count:
                return

    def count_all(self) -> int:
        """Count the intervals that are left, without a look at their columns."""
        return sum(len(numbers) for _, numbers in self._lines())

    def _lines(self) -> Iterator[tuple[bytes, npt.NDArray[np.int64]]]:
        for block in text_blocks(self._stream, self.path):
            text, numbers = self._without_comments(block)
            if text:
                yield text, numbers

    def _without_comments(self, block: bytes) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Drop what is no interval; give the rest and its line numbers."""
        first = self._line
        if first == 1:
            block = block.removeprefix(BYTE_ORDER_MARK)
        if not _may_hold_comments(block):
            self._line += block.count(b"\n")
            return block, np.arange(first, self._line)
        lines = block.replace(b"\r\n", b"\n").split(b"\n")[:-1]
        self._line += len(lines)
        kept = [
            (line, number)
            for number, line in enumerate(lines, first)
            if line and not SKIPPED.match(line)
        ]
        if not self.count:
            above = lines[: kept[0][1] - first] if kept else lines
            self.header += [
                line.decode("utf-8", "replace") for line in above if line.startswith(b"#")
            ]
        return (
            b"".join(line + b"\n" for line, _ in kept),
            np.fromiter((number for _, number in kept), np.int64, len(kept)),
        )

    def _parse(self, text: bytes, numbers: npt.NDArray[np.int64]) -> Intervals:
        if self.columns < len(COLUMN_NAMES):
            self._explain(text, numbers, "")
        try:
            table = pyarrow.csv.read_csv(
                pa.py_buffer(text),
                pyarrow.csv.ReadOptions(
                    use_threads=False,
                    column_names=_names(self.columns),
                    block_size=len(text) + 1,
                ),
                pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
                _conversion(self.columns),
            ).combine_chunks()
        except pa.ArrowInvalid as error:
            self._explain(text, numbers, str(error))
        contig, starts, ends, *extra = (
            column.chunk(0) if column.num_chunks else column.combine_chunks()
            for column in table.columns
        )
        starts, ends = starts.to_numpy(), ends.to_numpy()
        names = tuple(contig.dictionary.to_pylist())
        if len(starts) != len(numbers) or (starts < 0).any() or (ends <= starts).any():
            self._explain(text, numbers, "")
        if "" in names or _holds_any(text, ODD_NUMBERS):
            self._refuse_problems(text, numbers)
        return Intervals(
            names,
            contig.indices.to_numpy(),
            starts,
            ends,
            tuple(extra),
            tabbed_lines(text),
            numbers,
        )

    def _explain(self, text: bytes, numbers: npt.NDArray[np.int64], why: str) -> NoReturn:
        """Say what is wrong with text of which some line is no interval."""
        self._refuse_problems(text, numbers)
        raise InputError(f"is not BED text: {why}", path=self.path)

    def _refuse_problems(self, text: bytes, numbers: npt.NDArray[np.int64]) -> None:
        """Find the first line that is no interval, one by one."""
        for line, number in zip(text.split(b"\n"), numbers, strict=False):
            if problem := _problem(line, self.columns):
                raise InputError(problem, path=self.path, line=int(number))


def read_intervals(stream: BinaryIO, path: str | Path) -> Intervals:
    """Read all intervals of a stream into one batch, such as a file of peaks.

    Parameters and errors are those of `IntervalReader`.
    """
    return concatenate(list(IntervalReader(stream, path)))


def concatenate(batches: Sequence[Intervals]) -> Intervals:
    """Join batches that have the same columns into one."""
    contigs: dict[str, int] = {}
    codes = []
    for batch in batches:
        new = [contigs.setdefault(contig, len(contigs)) for contig in batch.contigs]
        codes.append(np.array(new, np.int32)[batch.codes])
    if not batches:
        none = np.zeros(0, np.int64)
        return Intervals((), none.astype(np.int32), none, none, (), pa.array([], pa.binary()), none)
    return Intervals(
        tuple(contigs),
        np.concatenate(codes),
        np.concatenate([batch.starts for batch in batches]),
        np.concatenate([batch.ends for batch in batches]),
        tuple(
            pa.concat_arrays(columns)
            for columns in zip(*(batch.extra for batch in batches), strict=True)
        ),
        pa.concat_arrays([batch.text for batch in batches]),
        np.concatenate([batch.numbers for batch in batches]),
        _joined([batch.minus for batch in batches]),
    )


def _joined(parts: Sequence[npt.NDArray[np.bool_] | None]) -> npt.NDArray[np.bool_] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def bed_lines(contig: str, *columns: npt.NDArray[np.generic] | pa.Array) -> bytes:
    """Format intervals on one contig as BED-like text.

    Parameters
    ----------
    contig : str
    columns : ndarray or pyarrow.Array, each of length n
        Starts, ends and what follows. A float32 becomes the shortest text that reads back to it;
        binary columns are written as they are, in whatever encoding.

    Returns
    -------
    bytes
        n lines of text.
    """
    arrays = [pa.array(column) for column in columns]
    if any(pa.types.is_binary(one.type) for one in arrays):
        texts = [one if pa.types.is_binary(one.type) else one.cast(pa.string()) for one in arrays]
        parts = [contig.encode(), *(one.cast(pa.binary()) for one in texts), b"\t"]
        return b"".join(line + b"\n" for line in pc.binary_join_element_wise(*parts).to_pylist())
    names = pa.DictionaryArray.from_arrays(np.zeros(len(arrays[0]), np.int32), pa.array([contig]))
    table = pa.table([names.cast(pa.string()), *arrays], _names(len(arrays) + 1))
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(
        table,
        sink,
        pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none"),
    )
    return cast(bytes, sink.getvalue().to_pybytes())


def merged(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Merge intervals of one contig that overlap or touch.

    Parameters
    ----------
    starts, ends : ndarray, shape (n,), int64, base pairs
        In any order; an interval that is empty or reversed covers nothing and is dropped.

    Returns
    -------
    starts, ends : ndarray, shape (m,), int64, base pairs
        Sorted, with a gap between each two.
    """
    real = ends > starts
    order = np.argsort(starts[real], kind="stable")
    starts, reach = starts[real][order], np.maximum.accumulate(ends[real][order])
    if not len(starts):
        return starts, reach
    first = np.concatenate([[True], starts[1:] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return starts[first], reach[last]


def _names(columns: int) -> list[str]:
    return [*COLUMN_NAMES, *(f"column {i + 1}" for i in range(3, columns))][:columns]


def _conversion(columns: int) -> pyarrow.csv.ConvertOptions:
    types = {
        "contig": pa.dictionary(pa.int32(), pa.string()),
        "start": pa.int64(),
        "end": pa.int64(),
    } | {name: pa.binary() for name in _names(columns)[3:]}
    return pyarrow.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)


def _cut_lines(text: bytes, first: int, last: int) -> bytes:
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    return text[ends[first - 1] if first else 0 : ends[last - 1]]


def _may_hold_comments(block: bytes) -> bool:
    return block.startswith(b"\n") or b"\n\n" in block or _holds_any(block, NO_INTERVALS)


def _holds_any(text: bytes, marks: Mapping[bytes, tuple[bytes, ...]]) -> bool:
    """Look for marks, by a letter of each first: to find one byte takes a tenth of the time."""
    return any(
        letter in text and any(mark in text for mark in some) for letter, some in marks.items()
    )


def _problem(line: bytes, columns: int) -> str | None:
    """Say what keeps a line from being an interval."""
    fields = line.decode("utf-8", "replace").split("\t")
    shown = "\t".join(fields)[:60].replace("\t", " ")
    if len(fields) < len(COLUMN_NAMES):
        return f"found {len(fields)} column(s) in {shown!r}, expected at least 3, parted by tabs"
    if not fields[0]:
        return "found no contig, expected its name in the first column"
    if "\ufffd" in fields[0]:
        return f"found a contig {fields[0]!r} that is no UTF-8 text, expected its name in UTF-8"
    for name, field in zip(COLUMN_NAMES[1:], fields[1:], strict=False):
        if not (field.isascii() and field.isdigit()):
            return f"found {name} {field!r}, expected a number of base pairs, 0 or more"
        if int(field) >= LARGEST:
            return f"found {name} {field[:30]}, expected a place on a contig"
    if int(fields[2]) <= int(fields[1]):
        return f"found end {fields[2]} at or before start {fields[1]}, expected start < end"
    if len(fields) != columns:
        return f"found {len(fields)} columns, expected {columns} as in the first line"
    return None
