"""Bins of any size to rows of a table: what is under each, in numbers for other learners."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.errors import InputError
from tfbind.genome import LONGEST, Genome
from tfbind.intervals import COLUMN_NAMES, Intervals
from tfbind.lines import with_columns
from tfbind.measures import Measure, Statistic, Stretch
from tfbind.summaries import Floats, Places, maxima, means, quantiles, sums

BLOCK = 1 << 20
"""Base pairs that are read at once; a longer bin is read in parts."""

GAP = 1 << 13
"""Base pairs between bins that take less time to read than to begin anew behind them."""

VALUES_AT_ONCE = 1 << 21
"""Values of a table that are held at once, unless one row has more."""

UNKNOWN_TEXT = "NA"
"""What R and pandas take for a missing value, and no tool for the end of a column."""


@dataclass(frozen=True)
class _Parts:
    """Parts of bins, none longer than a block, in the order of the genome.

    Attributes
    ----------
    owners : ndarray, shape (parts,), int64
        The bin that each is of.
    codes : ndarray, shape (parts,), int32
        Contigs.
    starts, ends, limits : ndarray, shape (parts,), int64, base pairs
        A limit is where the whole bin ends.
    """

    owners: Places
    codes: npt.NDArray[np.int32]
    starts: Places
    ends: Places
    limits: Places

    @classmethod
    def of(cls, codes: npt.NDArray[np.int32], starts: Places, ends: Places) -> "_Parts":
        """Cut bins into parts."""
        counts = -(-(ends - starts) // BLOCK)
        owners = np.repeat(np.arange(len(starts)), counts)
        before = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        firsts = starts[owners] + before * BLOCK
        order = np.lexsort((firsts, codes[owners]))
        owners, firsts = owners[order], firsts[order]
        lasts = np.minimum(firsts + BLOCK, ends[owners])
        return cls(owners, codes[owners], firsts, lasts, ends[owners])

    def groups(self) -> "tuple[Places, Places]":
        """Find parts that are read at once: on one contig, without long gaps.

        Returns
        -------
        firsts : ndarray, shape (groups,), int64
            Index of each group's first part.
        ends : ndarray, shape (groups,), int64, base pairs
        """
        apart = self.codes.astype(np.int64) * LONGEST  # as if contigs lay one behind the other
        reach = np.maximum.accumulate(self.ends + apart)
        breaks = (
            (np.diff(self.codes) != 0)
            | (np.diff(self.starts // BLOCK) != 0)
            | ((self.starts + apart)[1:] - reach[:-1] > GAP)
        )
        firsts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
        return firsts, np.maximum.reduceat(self.ends, firsts)

    def bundles(self) -> "Iterator[tuple[slice, Places, list[tuple[int, int, int]]]]":
        """Yield parts whose values are summarised at once.

        Yields
        ------
        chosen : slice
            Of the parts.
        shifts : ndarray, shape (parts,), int64
            From a place on the contig to its place among the values.
        stretches : list of (code, start, end)
            What is to be read, one behind the other.
        """
        if not len(self.owners):
            return
        firsts, ends = self.groups()
        starts = self.starts[firsts]
        passed = np.concatenate([[0], np.cumsum(ends - starts)])
        cuts = np.flatnonzero(np.diff(passed[:-1] // BLOCK)) + 1
        lasts = np.append(firsts[1:], len(self.owners))
        for some in np.split(np.arange(len(firsts)), cuts):
            places = passed[some] - passed[some[0]] - starts[some]
            yield (
                slice(int(firsts[some[0]]), int(lasts[some[-1]])),
                np.repeat(places, lasts[some] - firsts[some]),
                list(
                    zip(
                        self.codes[firsts[some]].tolist(),
                        starts[some].tolist(),
                        ends[some].tolist(),
                        strict=True,
                    )
                ),
            )


class _Tally:
    """What is known so far of one kind of values in each bin."""

    def __init__(self, bins: int, statistics: Sequence[Statistic]) -> None:
        self._statistics = statistics
        self._totals = np.zeros(bins)
        self._counts = np.zeros(bins, np.int64)
        self._largest = np.full(bins, np.nan, np.float32)
        self._probabilities = [one for one in statistics if not isinstance(one, str)]
        self._quantiles = np.full((bins, len(self._probabilities)), np.nan, np.float32)

    def add(self, values: Floats, owners: Places, firsts: Places, lasts: Places) -> None:
        """Take in some parts of bins; a bin of which quantiles are wanted has one only."""
        if "mean" in self._statistics:
            totals, counts = sums(values, firsts, lasts)
            np.add.at(self._totals, owners, totals)
            np.add.at(self._counts, owners, counts)
        if "max" in self._statistics:
            np.fmax.at(self._largest, owners, maxima(values, firsts, lasts))
        if self._probabilities:
            self._quantiles[owners] = quantiles(values, firsts, lasts, self._probabilities)

    def columns(self) -> Iterator[Floats]:
        """Yield the statistics, one by one."""
        found = iter(self._quantiles.T)
        for statistic in self._statistics:
            if statistic == "mean":
                yield means(self._totals, self._counts)
            elif statistic == "max":
                yield self._largest
            else:
                yield next(found)


class Table:
    """Make rows of what is under bins.

    Parameters
    ----------
    genome : Genome
    measures : sequence of Measure
    flank : int, base pairs
        How far on either side of a bin its values are taken, up to the ends of the contig.

    Attributes
    ----------
    columns : list of str

    Raises
    ------
    InputError
        If two columns have one name.
    """

    def __init__(self, genome: Genome, measures: Sequence[Measure], flank: int = 0) -> None:
        self.columns = [column for measure in measures for column in measure.columns]
        _refuse_twins(self.columns)
        self._genome = genome
        self._measures = measures
        self._flank = flank
        self._margin = max((measure.margin for measure in measures), default=0)
        self._sorts = any(
            not isinstance(one, str) for measure in measures for one in measure.statistics.values()
        )

    def header(self, carried: Sequence[str]) -> bytes:
        """Write the line that names all columns.

        Parameters
        ----------
        carried : sequence of str
            Names of the input's columns beyond the third.

        Raises
        ------
        InputError
            If two columns have one name.
        """
        names = [*COLUMN_NAMES, *carried, *self.columns]
        _refuse_twins(names)
        return "\t".join(names).encode() + b"\n"

    def summarised(
        self, batches: Iterable[tuple[Intervals, list[str]]], path: str
    ) -> Iterator[tuple[Intervals, Floats]]:
        """Summarise bins.

        Parameters
        ----------
        batches : iterable of (Intervals, names)
            As `IntervalCheck` gives them. Where the stream is cut into batches changes nothing.
        path : str
            The input's name, for messages.

        Yields
        ------
        Intervals, ndarray
            In order, as `rows` gives them, few enough to be held in memory.
        """
        step = max(VALUES_AT_ONCE // len(self.columns), 1)
        for batch, names in batches:
            for first in range(0, len(batch), step):
                chosen = np.zeros(len(batch), bool)
                chosen[first : first + step] = True
                some = batch if step >= len(batch) else batch.select(chosen)
                yield some, self.rows(some, names, path)

    def rows(self, batch: Intervals, names: Sequence[str], path: str) -> Floats:
        """Summarise each bin of a batch.

        Parameters
        ----------
        batch : Intervals
        names : sequence of str
            For each of `batch.contigs`, the genome's name.
        path : str
            The input's, for messages.

        Returns
        -------
        ndarray, shape (n, len(columns)), float32
            Each column contiguous. NaN where nothing is known.

        Raises
        ------
        InputError
            Where quantiles are asked for of a bin that is longer than a block.
        """
        starts, ends = self._spans(batch, names, path)
        tallies = [
            [_Tally(len(batch), list(measure.statistics.values())) for _ in measure.names]
            for measure in self._measures
        ]
        parts = _Parts.of(batch.codes, starts, ends)
        for chosen, shifts, places in parts.bundles():
            stretches = [
                Stretch(self._genome, names[code], start, end, self._margin)
                for code, start, end in places
            ]
            firsts, lasts = parts.starts[chosen] + shifts, parts.ends[chosen] + shifts
            for measure, some in zip(self._measures, tallies, strict=True):
                inside = np.minimum(lasts, parts.limits[chosen] + shifts - (measure.width - 1))
                read = zip(*(measure.read(stretch) for stretch in stretches), strict=True)
                for tally, values in zip(some, read, strict=True):
                    tally.add(
                        np.concatenate(values),
                        parts.owners[chosen],
                        firsts,
                        np.maximum(inside, firsts),
                    )
        rows = [column for some in tallies for tally in some for column in tally.columns()]
        return np.array(rows, np.float32).reshape(len(rows), len(batch)).T

    def _spans(self, batch: Intervals, names: Sequence[str], path: str) -> tuple[Places, Places]:
        """Give the starts and ends of bins with their flanks."""
        sizes = np.array([self._genome.sizes[name] for name in names], np.int64)[batch.codes]
        starts = np.maximum(batch.starts - self._flank, 0)
        ends = np.minimum(batch.ends + self._flank, sizes)
        long = np.flatnonzero(ends - starts > BLOCK)
        if self._sorts and len(long):
            found = batch.ends[long[0]] - batch.starts[long[0]]
            raise InputError(
                f"found a bin of {found} bp, expected at most {BLOCK - 2 * self._flank} bp for "
                "quantiles; split it, for example with bedtools makewindows",
                path=path,
                line=int(batch.numbers[long[0]]),
            )
        return starts, ends


def table_lines(batch: Intervals, rows: Floats) -> bytes:
    """Write a batch as it was read, each line with its values behind it.

    Parameters
    ----------
    batch : Intervals
    rows : ndarray, shape (n, columns), float32
        A value is written as the shortest text that reads back to it, NaN as NA.
    """
    return with_columns(batch.text, *map(_text, rows.T))


def _text(column: Floats) -> pa.Array:
    numbers = pa.array(np.ascontiguousarray(column), mask=np.isnan(column))
    return numbers.cast(pa.string()).fill_null(UNKNOWN_TEXT)


def _refuse_twins(names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{count} columns would be named {name!r}; give them other names")
