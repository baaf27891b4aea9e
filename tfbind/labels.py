"""Labels of bins from ChIP-seq peaks: bound, ambiguous, unbound."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tfbind.errors import InputError
from tfbind.genome import ContigNames
from tfbind.intervals import IntervalReader, Intervals, read_intervals
from tfbind.lines import contents
from tfbind.regions import Axis, Cover, Located

UNBOUND, AMBIGUOUS, BOUND = range(3)
LETTERS = "UAB"
"""The letters of the codes."""

UNKNOWN = 255
"""The code of what is no label."""

PEAK_COLUMNS = (3, 6, 9, 10, 20)
SCORE_COLUMN = 5
GLOBAL_IDR_COLUMN = 12
WIDTHS_HELD = 64

_ASCII = np.frombuffer(LETTERS.encode(), np.uint8)
_CODES = np.full(256, UNKNOWN, np.uint8)
_CODES[_ASCII] = range(len(LETTERS))


@dataclass(frozen=True)
class Peaks:
    """A file of peaks.

    Attributes
    ----------
    intervals : Intervals
    path : str
        The file, for messages.
    """

    intervals: Intervals
    path: str

    @property
    def columns(self) -> int:
        """How many columns the file has; 3 if it is empty."""
        return 3 + len(self.intervals.extra)

    def split(self, idr: float) -> tuple["Peaks", "Peaks"]:
        """Split the output of IDR into the peaks that are reproducible and all.

        Parameters
        ----------
        idr : float
            The largest global irreproducible discovery rate of a reproducible peak, in (0, 1].

        Returns
        -------
        conservative, relaxed : Peaks
            Those whose column 12, -log10 of the rate, says so if there are 20 columns, or column 5,
            the scaled rate int(-125 log2), if there are 10; and all.

        Raises
        ------
        InputError
            If the file has neither, or at a line that has no number there.
        """
        if not len(self.intervals):
            return self, self
        if self.columns not in (10, 20):
            raise InputError(
                f"found {self.columns} columns, expected 20 or 10, the output of IDR, "
                "which --idr splits",
                path=self.path,
            )
        if self.columns == 20:
            keep = self._numbers(GLOBAL_IDR_COLUMN) >= -math.log10(idr)
        else:
            keep = self._numbers(SCORE_COLUMN) >= int(-125 * math.log2(idr))
        return Peaks(self.intervals.select(keep), self.path), self

    def _numbers(self, column: int) -> npt.NDArray[np.float64]:
        text = self.intervals.extra[column - 4]
        try:
            return np.asarray(pc.cast(text.cast(pa.string()), pa.float64()))
        except pa.ArrowInvalid:
            for value, line in zip(text.to_pylist(), self.intervals.numbers, strict=True):
                try:
                    float(value)
                except ValueError:
                    raise InputError(
                        f"found {value.decode('utf-8', 'replace')!r} in column {column}, "
                        "expected a number",
                        path=self.path,
                        line=int(line),
                    ) from None
            raise


def read_peaks(stream: BinaryIO, path: str | Path) -> Peaks:
    """Read a file of peaks: BED of 3 or 6 columns, broadPeak, narrowPeak or the output of IDR.

    Raises
    ------
    InputError
        At a line that is no interval, or if the columns are of another number than 3, 6, 9, 10, 20.
    """
    peaks = Peaks(read_intervals(stream, path), str(path))
    if len(peaks.intervals) and peaks.columns not in PEAK_COLUMNS:
        raise InputError(
            f"found {peaks.columns} columns, expected 3 or 6 (BED), 9 (broadPeak), "
            "10 (narrowPeak) or 20 (IDR)",
            path=path,
            line=int(peaks.intervals.numbers[0]),
        )
    return peaks


class Labeller:
    """Label bins by the rule of the ENCODE-DREAM challenge.

    A bin is bound where it shares at least half of itself, or half of the peak, with a conservative
    peak; else ambiguous where it shares a base with any peak; else unbound.

    Parameters
    ----------
    conservative : Peaks
    relaxed : Peaks, optional
    alias, prefix
        How the contigs of bins are matched to those of the peaks, as in `ContigNames`.

    Attributes
    ----------
    axis : Axis
        Where the bins were placed, for `Axis.require_shared` once all are labelled.
    """

    def __init__(
        self,
        conservative: Peaks,
        relaxed: Peaks | None = None,
        *,
        alias: Mapping[str, str] | None = None,
        prefix: Literal["add", "strip"] | None = None,
    ) -> None:
        sets = [conservative.intervals, *([] if relaxed is None else [relaxed.intervals])]
        known = tuple(dict.fromkeys(contig for peaks in sets for contig in peaks.contigs))
        self.axis = Axis(ContigNames(known, conservative.path, alias or {}, prefix))
        axis = Axis(ContigNames(known, conservative.path))
        self._origins = axis.origins(sets[0].contigs)[sets[0].codes]
        self._conservative = sets[0]
        placed = [axis.place(peaks) for peaks in sets]
        self._any = Cover(
            np.concatenate([starts for starts, _ in placed]),
            np.concatenate([ends for _, ends in placed]),
        )
        self._bound: dict[int, Cover] = {}

    def label(self, batch: Located) -> npt.NDArray[np.uint8]:
        """Label bins, of any widths, in any order.

        Returns
        -------
        ndarray, shape (n,), uint8
            Indices into `LETTERS`.
        """
        starts, ends = self.axis.place(batch)
        widths = batch.ends - batch.starts
        codes = self._any.overlaps(starts, ends).astype(np.uint8)
        # Only a bin that shares a base with a peak can be bound: look no further at the others.
        candidates = np.flatnonzero(codes)
        distinct, which = np.unique(widths[candidates], return_inverse=True)
        order = np.argsort(which, kind="stable")
        groups = np.split(candidates[order], np.searchsorted(which[order], range(1, len(distinct))))
        for width, rows in zip(distinct, groups, strict=False):
            here = starts[rows]
            codes[rows] += self._bound_starts(int(width)).overlaps(here, here + 1)
        return codes

    def _bound_starts(self, width: int) -> Cover:
        """Give the starts at which a bin of some width is bound.

        With t = half of the shorter of bin and peak, rounded up, a bin shares t bases or more with
        the peak [s, e) where it starts in [s + t - width, e - t].
        """
        if width not in self._bound:
            if len(self._bound) == WIDTHS_HELD:
                self._bound.clear()
            starts, ends = self._conservative.starts, self._conservative.ends
            needed = (np.minimum(width, ends - starts) + 1) // 2
            first = np.maximum(starts + needed - width, 0)
            last = ends - needed
            self._bound[width] = Cover(self._origins + first, self._origins + last + 1)
        return self._bound[width]


def letters(codes: npt.NDArray[np.uint8]) -> pa.Array:
    """Turn labels into a column of text.

    Parameters
    ----------
    codes : ndarray, shape (n,), uint8
        Indices into `LETTERS`.

    Returns
    -------
    pyarrow.Array, length n, string
    """
    offsets = np.arange(len(codes) + 1, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(codes), [None, pa.py_buffer(offsets), pa.py_buffer(_ASCII[codes])]
    )


def codes_of(text: pa.Array) -> npt.NDArray[np.uint8]:
    """Read a column of labels.

    Parameters
    ----------
    text : pyarrow.Array, length n, binary

    Returns
    -------
    ndarray, shape (n,), uint8
        Indices into `LETTERS`; `UNKNOWN` for what is no label.
    """
    if (pc.binary_length(text).to_numpy() == 1).all():
        return _CODES[np.frombuffer(contents(text), np.uint8)]
    known = pc.index_in(text, value_set=pa.array([letter.encode() for letter in LETTERS]))
    return np.asarray(known.fill_null(UNKNOWN).to_numpy(), np.uint8)


def label_codes(batch: Intervals, path: str) -> npt.NDArray[np.uint8]:
    """Read the labels that stand in the columns beyond the third.

    Parameters
    ----------
    batch : Intervals
    path : str
        The file, for messages.

    Returns
    -------
    ndarray, shape (n, number of such columns), uint8
        Indices into `LETTERS`.

    Raises
    ------
    InputError
        At the first line that has something else than U, A or B.
    """
    codes = np.empty((len(batch), len(batch.extra)), np.uint8)
    for column, text in enumerate(batch.extra):
        codes[:, column] = codes_of(text)
    if (wrong := (codes == UNKNOWN).any(axis=1)).any():
        row = int(wrong.argmax())
        column = int((codes[row] == UNKNOWN).argmax())
        found = batch.extra[column][row].as_py().decode("utf-8", "replace")
        raise InputError(
            f"found {found[:60]!r} in column {column + 4}, expected a label: B bound, A ambiguous "
            "or U unbound; keep other columns out, for example with cut -f 1-4",
            path=path,
            line=int(batch.numbers[row]),
        )
    return codes


def column_names(header: Sequence[str], columns: int) -> list[str] | None:
    """Find the names of columns in the `#` lines above a BED file.

    Parameters
    ----------
    header : sequence of str
        The lines.
    columns : int
        How many the intervals have.

    Returns
    -------
    list of str or None
        The names beyond the third column, from the last line that has as many fields.
    """
    for line in reversed(header):
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) == columns:
            return fields[3:]
    return None


def labels_first(
    reader: IntervalReader, path: str | Path, task: str | None, tasks: Sequence[str] = ()
) -> Iterator[Intervals]:
    """Read intervals whose fourth column is the label of a task.

    Parameters
    ----------
    reader : IntervalReader
    path : str or Path
        The file, for messages.
    task : str or None
        Where a header line gives a column this name, the labels are taken from there, and the
        other columns behind the third are dropped; else they are in the fourth.
    tasks : sequence of str, optional
        All tasks of the network; of those but `task` the labels may not be.

    Yields
    ------
    Intervals

    Raises
    ------
    InputError
        If there are several columns of labels and none has this name, or the fourth has the name of
        another task.
    """
    column: int | None = None
    for batch in reader:
        if column is None:
            names = column_names(reader.header, reader.columns) or []
            if names.count(str(task)) > 1:
                raise InputError(f"names {names.count(str(task))} columns {task}", path=path)
            column = names.index(task) if task in names else 0
            if task is not None and task not in names and names and names[0] in tasks:
                raise InputError(
                    f"has labels of {names[0]} in column 4, expected those of {task}; name the "
                    "column by the task in the header line, if they are",
                    path=path,
                )
            if task not in names and _are_labels(batch.extra[1:2]):
                shown = "no header line names them" if not names else f"they are {', '.join(names)}"
                raise InputError(
                    f"has labels in several columns, of which none is known to be of "
                    f"{task or 'a task'}: {shown}; keep one by: cut -f 1-3,N",
                    path=path,
                )
        yield batch if column == 0 else replace(batch, extra=(batch.extra[column],))


def _are_labels(columns: Sequence[pa.Array]) -> bool:
    letters = pa.array([one.encode() for one in LETTERS], pa.binary())
    return any(pc.all(pc.is_in(one, value_set=letters)).as_py() for one in columns)


def labelled_header(header: Sequence[str], columns: int, names: Sequence[str]) -> list[str]:
    r"""Write the `#` lines above labelled bins.

    Parameters
    ----------
    header : sequence of str
        The lines above the bins, which are kept; the one that names the columns is extended.
    columns : int
        How many the bins had.
    names : sequence of str
        Names of the columns that follow; none if they are not to be named.

    Examples
    --------
    >>> labelled_header([], 4, ["CTCF"])
    ['#contig\tstart\tend\tcolumn4\tCTCF']
    """
    known = column_names(header, columns)
    kept = [line for line in header if known is None or len(line.split("\t")) != columns]
    if known is None and not names:
        return kept
    old = [f"column{i + 4}" for i in range(columns - 3)] if known is None else known
    return [*kept, "\t".join(["#contig", "start", "end", *old, *(names or ["label"])])]
