"""The grid of bins over a genome."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tfbind.genome import UNKNOWN, Genome
from tfbind.intervals import merged
from tfbind.regions import IntervalSet, Region, Spans, refuse_beyond

BLOCK = 1 << 16
"""Bins that are handled at once."""

BASES_AT_ONCE = 1 << 22
"""Base pairs of sequence that are held at once, unless one bin is longer."""

Block = tuple[str, npt.NDArray[np.int64]]
"""A contig and the starts of some of its bins, in base pairs."""


class Run(NamedTuple):
    """Consecutive bins of one contig: the bins that start at `stride * n`, first <= n < last."""

    contig: str
    first: int
    last: int


@dataclass(frozen=True)
class Bins:
    """Bins of a fixed size and stride, and in what order they come.

    Attributes
    ----------
    size, stride : int, base pairs
    runs : tuple of Run
        Contigs in the genome's order; on each, runs in ascending order with a gap between each two.
    """

    size: int
    stride: int
    runs: tuple[Run, ...]

    def __len__(self) -> int:
        return sum(run.last - run.first for run in self.runs)

    def shard(self, number: int, count: int) -> "Bins":
        """Give one of several contiguous parts of almost equal length; together they are the whole.

        Parameters
        ----------
        number : int
            Which part, counted from 1.
        count : int
        """
        first, last = shard_bounds(len(self), number, count)
        runs, passed = [], 0
        for contig, begin, end in self.runs:
            low, high = max(first - passed, 0), min(last - passed, end - begin)
            passed += end - begin
            if low < high:
                runs.append(Run(contig, begin + low, begin + high))
        return Bins(self.size, self.stride, tuple(runs))

    def blocks(self) -> Iterator[Block]:
        """Yield the bins in blocks of one contig each.

        Yields
        ------
        contig : str
        starts : ndarray, shape (at most BLOCK,), int64, base pairs
        """
        for contig, first, last in self.runs:
            for low in range(first, last, BLOCK):
                high = min(low + BLOCK, last)
                yield contig, np.arange(low, high, dtype=np.int64) * self.stride


def shard_bounds(total: int, number: int, count: int) -> tuple[int, int]:
    """Give the first and the last (exclusive) of one of several parts of almost equal length.

    Parameters
    ----------
    total : int
        How many there are to share.
    number : int
        Which part, counted from 1.
    count : int
        How many parts.
    """
    return total * (number - 1) // count, total * number // count


def grid(
    sizes: Mapping[str, int],
    size: int,
    stride: int,
    *,
    margin: int = 0,
    regions: Sequence[Region] | None = None,
) -> Bins:
    """Lay bins over a genome, each at a multiple of the stride and wholly inside its contig.

    Parameters
    ----------
    sizes : mapping of str to int, base pairs
        The contigs, in the order in which their bins come.
    size, stride : int, base pairs
    margin : int, base pairs
        How far the bins stay away from either end of a contig.
    regions : sequence of Region, optional
        Only bins that lie wholly inside one of these, each bin once. Their contigs are keys of
        `sizes`.

    Raises
    ------
    InputError
        If a region begins beyond the end of its contig.
    """
    asked: dict[str, list[Region]] = {}
    for region in [Region(contig) for contig in sizes] if regions is None else regions:
        refuse_beyond(region, sizes)
        asked.setdefault(region.contig, []).append(region)
    runs = []
    for contig in sizes:
        inside = [
            (
                max(region.start, margin),
                min(sizes[contig] if region.end is None else region.end, sizes[contig] - margin),
            )
            for region in asked.get(contig, [])
        ]
        firsts = np.array([-(-low // stride) for low, _ in inside], np.int64)
        lasts = np.array([(high - size) // stride + 1 for _, high in inside], np.int64)
        runs += [
            Run(contig, int(first), int(last))
            for first, last in zip(*merged(firsts, lasts), strict=True)
        ]
    return Bins(size, stride, tuple(runs))


def drop_overlapping(blocks: Iterable[Block], size: int, excluded: IntervalSet) -> Iterator[Block]:
    """Drop the bins that share a base with a set of intervals.

    Parameters
    ----------
    blocks : iterable of Block
    size : int, base pairs
    excluded : IntervalSet

    Yields
    ------
    Block
    """
    for contig, starts in blocks:
        codes = np.zeros(len(starts), np.int32)
        keep = ~excluded.overlaps(Spans((contig,), codes, starts, starts + size))
        if keep.any():
            yield contig, starts[keep]


def drop_unknown(
    blocks: Iterable[Block], size: int, genome: Genome, fraction: float
) -> Iterator[Block]:
    """Drop the bins of which too much is not A, C, G or T.

    Parameters
    ----------
    blocks : iterable of Block
        Starts ascend in each.
    size : int, base pairs
    genome : Genome
    fraction : float
        The largest share of a bin that may be unknown.

    Yields
    ------
    Block
    """
    # A share that is the fraction exactly must not be lost to rounding: 0.29 * 200 < 58.
    allowed = int(fraction * size + 1e-6)
    for contig, block in blocks:
        breaks = np.flatnonzero(np.diff((block - block[0]) // BASES_AT_ONCE)) + 1
        for starts in np.split(block, breaks):
            first = int(starts[0])
            unknown = genome.codes(contig, first, int(starts[-1]) + size) == UNKNOWN
            passed = np.concatenate([[0], np.cumsum(unknown, dtype=np.int32)])
            counts = passed[starts - first + size] - passed[starts - first]
            keep = counts <= allowed
            if keep.any():
                yield contig, starts[keep]
