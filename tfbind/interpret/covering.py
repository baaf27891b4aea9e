"""From bins, which overlap, to bases: the mean over the bins whose window covers each base."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stretch:
    """Sums over bins, at each base of a stretch.

    Attributes
    ----------
    contig : str
    start : int
        Of the stretch, base pairs; it may lie before the contig's begin.
    codes : ndarray, shape (bases,), uint8
        The bases.
    counts : ndarray, shape (bases,), int64
        Bins whose window covers the base.
    sums : ndarray, shape (bases, columns), float32 or float64
        Over these bins.
    """

    contig: str
    start: int
    codes: npt.NDArray[np.uint8]
    counts: Counts
    sums: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Bases:
    """Means at consecutive bases of a contig.

    Attributes
    ----------
    contig : str
    start : int
        Of the first, base pairs.
    codes : ndarray, shape (bases,), uint8
    means : ndarray, shape (bases, columns), float32
    """

    contig: str
    start: int
    codes: npt.NDArray[np.uint8]
    means: npt.NDArray[np.float32]


class Covering:
    """Add up stretches that come in ascending order of their starts on each contig.

    What is held reaches from the start of the last stretch to the farthest end.

    Parameters
    ----------
    sizes : mapping of str to int
        Contigs and their sizes, beyond which there are no bases.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._held: Stretch | None = None

    def add(self, one: Stretch) -> Iterator[Bases]:
        """Add a stretch.

        Parameters
        ----------
        one : Stretch
            With as many columns as the others.

        Yields
        ------
        Bases
            The covered ones that are held before its start, or all that are held where its contig
            is another: no further stretch will cover them.

        Raises
        ------
        ValueError
            If it begins before the last one, on the same contig.
        KeyError
            If the contig of what is given has no size.
        """
        held = self._held
        if held is None or held.contig != one.contig or _end(held) <= one.start:
            yield from self.end()
            self._held = one
            return
        if one.start < held.start:
            raise ValueError(f"{one.contig}:{one.start} comes behind {held.start}")
        yield from self._means(_part(held, held.start, one.start))
        self._held = _joined(_part(held, one.start, _end(held)), one)

    def end(self) -> Iterator[Bases]:
        """Yield the covered bases that are left, and hold none."""
        if self._held is not None:
            yield from self._means(self._held)
        self._held = None

    def _means(self, done: Stretch) -> Iterator[Bases]:
        inside = _part(done, max(done.start, 0), min(_end(done), self._sizes[done.contig]))
        covered = np.concatenate([[False], inside.counts > 0, [False]])
        breaks = np.flatnonzero(covered[1:] != covered[:-1])
        for first, last in zip(breaks[::2].tolist(), breaks[1::2].tolist(), strict=True):
            some = slice(first, last)
            means = inside.sums[some] / inside.counts[some, None] + 0.0  # no -0
            start = inside.start + first
            yield Bases(inside.contig, start, inside.codes[some], means.astype(np.float32))


def _end(one: Stretch) -> int:
    return one.start + len(one.counts)


def _part(one: Stretch, start: int, end: int) -> Stretch:
    some = slice(start - one.start, max(end - one.start, start - one.start))
    return Stretch(one.contig, start, one.codes[some], one.counts[some], one.sums[some])


def _joined(held: Stretch, more: Stretch) -> Stretch:
    """Add up two stretches with the same start."""
    length = max(len(held.counts), len(more.counts))
    longer = held if len(held.counts) == length else more
    counts = np.zeros(length, np.int64)
    sums = np.zeros((length, held.sums.shape[1]), np.float64)
    for one in (held, more):
        counts[: len(one.counts)] += one.counts
        sums[: len(one.counts)] += one.sums
    return Stretch(held.contig, held.start, longer.codes, counts, sums)
