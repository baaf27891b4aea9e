"""What intervals of a contig cover, in chunks, and maxima over many ranges at once."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tfbind.intervals import merged

Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)

FAR = 1 << 13
"""Base pairs between two stretches that are rather skipped than read and thrown away."""

NEAR = 1 << 20
"""Base pairs within which stretches begin that are read at once."""


class Chunk(NamedTuple):
    """Places counted along a cover, and the intervals that reach into them.

    Attributes
    ----------
    first : int
        The first place.
    places : int
        How many.
    some : slice
        Of the intervals.
    starts, ends : ndarray, shape (n,), int64
        Theirs, along the cover.
    codes : ndarray, shape (m,), uint8
        The bases of the places, and some behind the last one where there are any.
    """

    first: int
    places: int
    some: slice
    starts: Places
    ends: Places
    codes: npt.NDArray[np.uint8]

    def beginnings(self, width: int) -> tuple[Places, Places]:
        """Give the places of the chunk where `width` bases inside each interval begin.

        Returns
        -------
        firsts, lasts : ndarray, shape (n,), int64
            Counted from the chunk's first place; last <= first where there is none.
        """
        firsts = np.maximum(self.starts - self.first, 0)
        return firsts, np.minimum(self.ends - width + 1 - self.first, self.places)


class Cover:
    """What intervals cover: all that lies between is left out, so that places can be counted.

    Parameters
    ----------
    starts, ends : ndarray, shape (n,), int64, base pairs
        On one contig, or on several that lie on one axis, further apart than `FAR`. Starts ascend;
        intervals may overlap.

    Attributes
    ----------
    starts, ends : ndarray, shape (n,), int64
        The intervals, along the cover.
    """

    def __init__(self, starts: Places, ends: Places) -> None:
        self._firsts, self._lasts = merged(starts, ends)
        self._offsets = np.concatenate([[0], np.cumsum(self._lasts - self._firsts)])
        which = np.searchsorted(self._firsts, starts, "right") - 1
        self.starts = starts - self._firsts[which] + self._offsets[which]
        self.ends = self.starts + ends - starts

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def on_contig(self, along: Places) -> Places:
        """Turn places counted along the cover into places on the contig."""
        which = np.searchsorted(self._offsets, along, "right") - 1
        return np.asarray(along - self._offsets[which] + self._firsts[which])

    def before(self, place: int) -> int:
        """Count the covered places before one of the contig."""
        return int(np.clip(place - self._firsts, 0, self._lasts - self._firsts).sum())

    def chunks(
        self,
        read: Callable[[int, int], npt.NDArray[np.uint8]],
        places: int,
        more: int,
        limit: int | None = None,
    ) -> Iterator[Chunk]:
        """Read what is covered, a chunk at a time.

        Parameters
        ----------
        read : callable
            Give the bases from one place of the contig up to another.
        places : int
            In a chunk, at most.
        more : int
            Bases behind the last place.
        limit : int, optional
            Only chunks that begin before this place, counted along the cover.
        """
        reach = np.maximum.accumulate(self.ends)
        for first in range(0, len(self) if limit is None else min(limit, len(self)), places):
            last = min(first + places, len(self))
            some = slice(
                int(np.searchsorted(reach, first, "right")),
                int(np.searchsorted(self.starts, last)),
            )
            codes = self.values(read, first, min(last + more, len(self)))
            yield Chunk(first, last - first, some, self.starts[some], self.ends[some], codes)

    def values(
        self, read: Callable[[int, int], npt.NDArray[Value]], first: int, last: int
    ) -> npt.NDArray[Value]:
        """Read values along the cover; what lies between is read only where that takes less time.

        Parameters
        ----------
        read : callable
            Give the values from one place of the contig up to another. It is asked for `NEAR` and
            a stretch of the cover at once, at most.
        first, last : int
            Along the cover.

        Returns
        -------
        ndarray, shape (last - first,)
        """
        low = int(np.searchsorted(self._offsets, first, "right")) - 1
        high = int(np.searchsorted(self._offsets, last))
        starts, ends = self._firsts[low:high].copy(), self._lasts[low:high].copy()
        starts[0] += first - self._offsets[low]
        ends[-1] -= self._offsets[high] - last
        apart = (starts[1:] - ends[:-1] > FAR) | (np.diff(starts // NEAR) != 0)
        breaks = np.flatnonzero(apart) + 1
        pieces = []
        for a, b in zip([0, *breaks], [*breaks, len(starts)], strict=True):
            piece = read(int(starts[a]), int(ends[b - 1]))
            if b - a > 1:
                lengths = ends[a:b] - starts[a:b]
                skipped = starts[a:b] - starts[a] - (np.cumsum(lengths) - lengths)
                piece = piece[np.arange(lengths.sum()) + np.repeat(skipped, lengths)]
            pieces.append(piece)
        return np.concatenate(pieces)


class Ranges:
    """Ranges of places whose maxima are sought; they may overlap, repeat and be empty.

    All are cut at each other's ends and the maximum of each cut is found once; the maximum of a
    range is that of two runs of cuts, both 2^k cuts long, which cover it together.

    Parameters
    ----------
    firsts, lasts : ndarray, shape (n,), int64

    Attributes
    ----------
    kept : ndarray, shape (m,), int64
        Which of the ranges are not empty.
    """

    def __init__(self, firsts: Places, lasts: Places) -> None:
        self.kept = np.flatnonzero(lasts > firsts)
        firsts, lasts = firsts[self.kept], lasts[self.kept]
        # Both are in order, or nearly; np.unique would hash them, which takes longer.
        ends = np.sort(np.concatenate([firsts, lasts]), kind="stable")
        self._ends = ends[np.diff(ends, prepend=-1) > 0]
        self._low = np.searchsorted(self._ends, firsts)
        self._high = np.searchsorted(self._ends, lasts)
        self._level = np.frexp(self._high - self._low)[1] - 1

    def first_maxima(self, values: Floats) -> Places:
        """Find the place of the first maximum in each range that is kept.

        Parameters
        ----------
        values : ndarray, shape (places,), float32
            No NaN.

        Returns
        -------
        ndarray, shape (m,), int64
        """
        if not len(self.kept):
            return self.kept
        start, end = self._ends[0], self._ends[-1]
        cuts = self._ends[:-1] - start
        tops = np.maximum.reduceat(values[start:end], cuts)
        equal = np.flatnonzero(values[start:end] == np.repeat(tops, np.diff(self._ends)))
        places = equal[np.searchsorted(equal, cuts)] + start
        best = np.arange(len(tops))
        chosen = np.empty_like(self._low)
        for level in range(int(self._level.max()) + 1):
            run = 1 << level
            mine = self._level == level
            chosen[mine] = _higher(tops, best[self._low[mine]], best[self._high[mine] - run])
            best = _higher(tops, best[:-run], best[run:])
        return np.asarray(places[chosen])


def _higher(tops: Floats, left: Places, right: Places) -> Places:
    return np.where(tops[right] > tops[left], right, left)
