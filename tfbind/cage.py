"""Transcription start sites by CAGE: sharp peaks, broad ones, and what lies far from both.

Places are bases: the base of a window of size n that counts from its centre is base n // 2 along
the window's strand, so that a site has the same bases before it on both strands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from tfbind.classes import BACKGROUND, UNCLEAR
from tfbind.errors import InputError
from tfbind.genome import ContigNames
from tfbind.intervals import IntervalReader, Intervals, concatenate
from tfbind.labels import column_names
from tfbind.regions import Axis, Cover
from tfbind.strands import COLUMN, minus_of

KINDS = ("sharp", "broad")
WORDS = (*KINDS, BACKGROUND, UNCLEAR)

SHARP = 11
"""Most base pairs of a sharp peak."""

STRAND_OF = "the strand of the peak, or a header line that names its column strand"

AWAY = 100
"""Base pairs from a peak within which a place is neither a site nor background."""

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CagePeaks:
    """CAGE peaks, each on a strand.

    Attributes
    ----------
    intervals : Intervals
        With `minus`.
    path : str
        The file, for messages.
    """

    intervals: Intervals
    path: str

    @property
    def minus(self) -> npt.NDArray[np.bool_]:
        """Which lie on the reverse strand, shape (n,)."""
        assert self.intervals.minus is not None
        return self.intervals.minus

    @property
    def centres(self) -> Places:
        """The base in the middle of each along its strand, or behind that, shape (n,), int64."""
        return central_bases(self.intervals)

    @property
    def kinds(self) -> npt.NDArray[np.int64]:
        """Indices into `KINDS`, shape (n,)."""
        return (self.intervals.ends - self.intervals.starts > SHARP).astype(np.int64)


def read_cage(stream: BinaryIO, path: str | Path) -> CagePeaks:
    """Read CAGE peaks: BED with the strand in column 6, or where the header names it.

    Raises
    ------
    InputError
        At a line that is no interval or has no strand, or if there is no peak.
    """
    reader = IntervalReader(stream, path)
    peaks = concatenate(list(reader))
    if not len(peaks):
        raise InputError("holds no peak", path=path)
    names = column_names(reader.header, reader.columns) or []
    column = names.index("strand") + 4 if "strand" in names else COLUMN
    return CagePeaks(replace(peaks, minus=minus_of(peaks, path, column, STRAND_OF)), str(path))


def window_starts(centres: Places, minus: npt.NDArray[np.bool_], size: int) -> Places:
    """Give where windows begin along the contig, shape (n,), by their central bases."""
    return centres - np.where(minus, size - 1 - size // 2, size // 2)


def central_bases(batch: Intervals) -> Places:
    """Give the central base of each window, shape (n,), along its strand.

    Parameters
    ----------
    batch : Intervals
        With `minus`.
    """
    assert batch.minus is not None
    sizes = batch.ends - batch.starts
    return batch.starts + np.where(batch.minus, sizes - 1 - sizes // 2, sizes // 2)


class CageLabeller:
    """Label windows by the CAGE peak in whose centre they lie.

    A window is sharp or broad where its central base is that of a peak on its strand, ambiguous
    where peaks of both kinds have it in their middle. Else it is ambiguous where that base lies in
    a peak, or less than some base pairs from one, on any strand; else background.

    Parameters
    ----------
    peaks : CagePeaks
    away : int
        Base pairs.
    alias, prefix
        How the contigs of windows are matched to those of the peaks, as in `ContigNames`.

    Attributes
    ----------
    axis : Axis
        Where the windows were placed, for `Axis.require_shared` once all are labelled.
    """

    def __init__(
        self,
        peaks: CagePeaks,
        away: int = AWAY,
        *,
        alias: Mapping[str, str] | None = None,
        prefix: Literal["add", "strip"] | None = None,
    ) -> None:
        where = peaks.intervals
        self.axis = Axis(ContigNames(where.contigs, peaks.path, alias or {}, prefix))
        own = Axis(ContigNames(where.contigs, peaks.path))
        starts, ends = own.place(where)
        self._near = Cover(np.maximum(starts - away, 0), ends + away)
        keys = _keys(starts + peaks.centres - where.starts, peaks.minus)
        order = np.lexsort((peaks.kinds, keys))
        keys, kinds = keys[order], peaks.kinds[order]
        self._keys, first, count = np.unique(keys, return_index=True, return_counts=True)
        unlike = kinds[first] != kinds[first + count - 1]
        self._kinds = np.where(unlike, WORDS.index(UNCLEAR), kinds[first])

    def label(self, batch: Intervals) -> npt.NDArray[np.int64]:
        """Label windows with strands, of any sizes, in any order.

        Returns
        -------
        ndarray, shape (n,), int64
            Indices into `WORDS`.
        """
        assert batch.minus is not None
        starts, _ = self.axis.place(batch)
        bases = starts + central_bases(batch) - batch.starts
        near = self._near.overlaps(bases, bases + 1)
        codes = np.where(near, WORDS.index(UNCLEAR), WORDS.index(BACKGROUND))
        keys = _keys(bases, batch.minus)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._kinds[at], codes)


def _keys(bases: Places, minus: npt.NDArray[np.bool_]) -> Places:
    return bases << 1 | minus
