"""Scores as tracks: where they stand, as bedGraph and as BED."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.contract import Geometry
from tfbind.errors import InputError
from tfbind.intervals import Intervals, bed_lines
from tfbind.lines import with_columns
from tfbind.tensors import Scores


class Centres:
    """Where the scores of bins stand on a track: on each bin's central stride.

    Bins overlap, but the parts of a track must not; neighbouring bins' central strides touch.

    Parameters
    ----------
    geometry : Geometry
    path : str or Path
        The name of the input, for messages.
    ordered : bool
        Refuse a bin that lies before another of its contig.
    """

    def __init__(self, geometry: Geometry, path: str | Path, *, ordered: bool = False) -> None:
        self._geometry = geometry
        self._path = path
        self._ordered = ordered
        self._last: dict[str, int] = {}
        self._contig = ""
        self._minus: bool | None = None

    @property
    def width(self) -> int:
        """Base pairs that each score covers."""
        return min(self._geometry.stride, self._geometry.size)

    def __call__(
        self, batch: Intervals
    ) -> Iterator[tuple[str, slice, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Place a batch.

        Yields
        ------
        contig : str
        run : slice
            Of the batch, on that contig.
        starts, ends : ndarray, shape (n,), int64, base pairs

        Raises
        ------
        InputError
            At a bin that lies less than a stride behind the one before it, or, if ordered, before
            it; or at one of the other strand than the first.
        """
        stride = self._geometry.stride
        shift = -(-(self._geometry.size - self.width) // 2)
        if self._is_minus(batch):
            shift = self._geometry.size - self.width - shift
        for contig, run in batch.runs():
            starts = batch.starts[run]
            follows = contig == self._contig or self._ordered
            before = self._last.get(contig) if follows else None
            steps = np.diff(starts, prepend=starts[0] - stride if before is None else before)
            self._check_steps(steps, contig, batch.numbers[run])
            self._contig, self._last[contig] = contig, int(starts[-1])
            yield contig, run, starts + shift, starts + shift + self.width

    def _is_minus(self, batch: Intervals) -> bool:
        """Tell the strand of the track, where bins have one, along which their bases count."""
        if batch.minus is None or not len(batch):
            return False
        if self._minus is None:
            self._minus = bool(batch.minus[0])
        if len(other := np.flatnonzero(batch.minus != self._minus)):
            raise InputError(
                "found a bin of the other strand, but a track is of one: give -o "
                "'NAME.{task}.{strand}.bw', or --format bed",
                path=self._path,
                line=int(batch.numbers[other[0]]),
            )
        return self._minus

    def _check_steps(
        self, steps: npt.NDArray[np.int64], contig: str, numbers: npt.NDArray[np.int64]
    ) -> None:
        stride = self._geometry.stride
        close = np.flatnonzero((steps >= 0) & (steps < stride))
        if len(close):
            raise InputError(
                f"found a bin {steps[close[0]]} bp behind the one before it, expected {stride} bp "
                "or more on a track; give --format bed for bins that lie closer",
                path=self._path,
                line=int(numbers[close[0]]),
            )
        back = np.flatnonzero(steps < 0)
        if self._ordered and len(back):
            raise InputError(
                f"found a bin on {contig} before one that came earlier; a bigWig needs order: "
                "LC_ALL=C sort -k1,1 -k2,2n",
                path=self._path,
                line=int(numbers[back[0]]),
            )


def bedgraph_lines(batch: Intervals, scores: Scores, centres: Centres) -> bytes:
    """Write a batch as bedGraph.

    Parameters
    ----------
    batch : Intervals
    scores : ndarray, shape (n,), float32
    centres : Centres
    """
    return b"".join(
        bed_lines(contig, starts, ends, scores[run]) for contig, run, starts, ends in centres(batch)
    )


def bed_score_lines(batch: Intervals, scores: Scores) -> bytes:
    """Write a batch as it was read, each line with its scores behind it.

    Parameters
    ----------
    batch : Intervals
    scores : ndarray, shape (n, tasks), float32
    """
    columns = [pa.array(np.ascontiguousarray(column)).cast(pa.string()) for column in scores.T]
    return with_columns(batch.text, *columns)
