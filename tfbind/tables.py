"""Bins of any size to rows of a table: what is under each, in numbers for other learners."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tfbind.covered import Cover, Floats, Places
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import COLUMN_NAMES, Intervals
from tfbind.lines import with_columns
from tfbind.measures import APART, Measure, Pieces, Statistic
from tfbind.summaries import maxima, means, quantiles, sums

BLOCK = 1 << 20
"""Base pairs that are summarised at once; a longer bin is read in parts."""

VALUES_AT_ONCE = 1 << 21
"""Values of a table that are held at once, unless one row has more."""

UNKNOWN_TEXT = "NA"
"""What R and pandas take for a missing value, and no tool for the end of a column."""


class _Parts(NamedTuple):
    """Parts of bins, none longer than a block, in the order of the genome.

    Attributes
    ----------
    owners : ndarray, shape (parts,), int64
        The bin that each is of.
    starts, ends, limits : ndarray, shape (parts,), int64, base pairs
        On the axis of `Pieces`; a limit is where the whole bin ends.
    """

    owners: Places
    starts: Places
    ends: Places
    limits: Places

    @classmethod
    def of(cls, starts: Places, ends: Places) -> "_Parts":
        """Cut bins into parts, each from its own start on, whatever lies beside it."""
        counts = -(-(ends - starts) // BLOCK)
        owners = np.repeat(np.arange(len(starts)), counts)
        before = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        firsts = starts[owners] + before * BLOCK
        order = np.argsort(firsts, kind="stable")
        owners, firsts = owners[order], firsts[order]
        return cls(owners, firsts, np.minimum(firsts + BLOCK, ends[owners]), ends[owners])

    def bundles(self) -> "Iterator[_Parts]":
        """Yield parts that are read at once: they cover two blocks, at most."""
        reach = np.maximum.accumulate(self.ends)
        fresh = reach - np.maximum(self.starts, np.append(0, reach[:-1]))
        cuts = np.flatnonzero(np.diff(np.cumsum(fresh) // BLOCK)) + 1
        for first, last in zip([0, *cuts], [*cuts, len(fresh)], strict=True):
            if first < last:
                yield _Parts(*(column[first:last] for column in self))


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
        refuse_twins(self.columns)
        self._genome = genome
        self._measures = measures
        self._flank = flank
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
        refuse_twins(names)
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
        most = max(VALUES_AT_ONCE // len(self.columns), 1)
        for batch, names in batches:
            for part in batch.parts(most):
                yield part, self.rows(part, names, path)

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
        contigs = batch.codes.astype(np.int64) * APART
        for parts in _Parts.of(contigs + starts, contigs + ends).bundles():
            self._add(parts, names, tallies)
        rows = [column for some in tallies for tally in some for column in tally.columns()]
        return np.array(rows, np.float32).reshape(len(rows), len(batch)).T

    def _add(
        self, parts: _Parts, names: Sequence[str], tallies: Sequence[Sequence[_Tally]]
    ) -> None:
        """Read what is under parts of bins once, and take it in."""
        before, behind, beyond = np.max(
            [(one.before, one.behind, one.width - 1 - one.before) for one in self._measures], axis=0
        )
        ends = np.minimum(parts.ends + beyond, parts.limits + behind)
        pieces = Pieces(self._genome, names, Cover(parts.starts - before, ends))
        along = pieces.cover.starts + before - parts.starts
        for measure, some in zip(self._measures, tallies, strict=True):
            firsts = parts.starts + along - measure.before
            lasts = np.minimum(
                parts.ends + along - measure.before,
                parts.limits + along + measure.behind - measure.width + 1,
            )
            for tally, values in zip(some, measure.read(pieces), strict=True):
                begins = np.minimum(firsts, len(values))
                tally.add(values, parts.owners, begins, np.maximum(lasts, begins))

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


def refuse_twins(names: Sequence[str]) -> None:
    """Refuse columns of which two have one name: what reads tables finds only one of them.

    Raises
    ------
    InputError
    """
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{count} columns would be named {name!r}; give them other names")
