"""Cut sites: where reads begin, counted a base, smoothed, scaled, and as runs of equal value.

Places lie on one axis, on which contig i of the reads' header begins at `i * SPAN`.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError
from tfbind.intervals import merged
from tfbind.reads import END, REVERSE, ReadFile, ReadFilter, Reads
from tfbind.regions import SPAN, Cover

SHIFTS = {"dnase": (0, 0), "atac": (4, -5)}
"""Base pairs by which the sites of + and of - reads are moved.

DNase I cuts where a read begins. Tn5 joins its adapters to ends that lie 9 bp apart, which brings
reads of + by 4 and those of - by 5 bases to the centre (Buenrostro et al., Nature Methods 10,
1213-1218, 2013).
"""

Places = npt.NDArray[np.int64]
Values = npt.NDArray[np.int64] | npt.NDArray[np.float32]
Run = tuple[str, Places, Places, Values]
"""A contig, and the starts, ends and values of some runs on it."""


@dataclass(frozen=True)
class Cuts:
    """A part of the cut sites of one or more files.

    Attributes
    ----------
    places : ndarray, shape (n,), int64
        On the axis; ascending, each once.
    counts : ndarray, shape (n, k), int64
        Cuts at each place, of k samples.
    upto : int
        All cuts before this place have come with this part.
    """

    places: Places
    counts: npt.NDArray[np.int64]
    upto: int


NO_CUTS = Cuts(np.zeros(0, np.int64), np.zeros((0, 1), np.int64), 0)


class CutSites:
    """Count the cuts of one file of reads.

    The cut of a + read is the base `start + shift[0]`, of a - read `end - 1 + shift[1]`, 0-based:
    the 5' end of the read as it was sequenced, moved along the contig. Each mate of a pair has its
    own.

    Parameters
    ----------
    reads : ReadFile
    keep : ReadFilter
        For this file alone: it counts what it drops.
    shift : (int, int), base pairs
        Towards the end of the contig where positive.
    blacklist : Cover, optional
        Places on the axis where cuts do not count.

    Attributes
    ----------
    counted, outside, blacklisted : int
        Cuts that count, that a shift moved out of the contig, and on the blacklist, so far.
    """

    def __init__(
        self,
        reads: ReadFile,
        keep: ReadFilter,
        shift: tuple[int, int] = (0, 0),
        blacklist: Cover | None = None,
    ) -> None:
        self.reads = reads
        self.keep = keep
        self.counted = self.outside = self.blacklisted = 0
        self._shift = shift
        self._blacklist = blacklist
        self._sizes = np.array(list(reads.contigs.values()), np.int64)

    def __iter__(self) -> Iterator[Cuts]:
        """Yield the cuts in order.

        Raises
        ------
        InputError
            As `ReadFile`.
        """
        waiting = NO_CUTS
        for batch, last in self.reads:
            # Only the last part ends them: behind the first read without a place the file goes on.
            upto = min(last + min(self._shift), END - 1)
            places = self._places(self.keep(batch))
            new = Cuts(places, np.ones((len(places), 1), np.int64), upto)
            ready, waiting = _parted(_summed([waiting, new], upto))
            yield self._counted(ready)
        yield self._counted(Cuts(waiting.places, waiting.counts, END))

    def _places(self, reads: Reads) -> Places:
        offsets = np.where(
            reads.flags & REVERSE, reads.ends - 1 + self._shift[1], reads.starts + self._shift[0]
        )
        inside = (offsets >= 0) & (offsets < self._sizes[reads.contigs])
        self.outside += len(offsets) - int(inside.sum())
        return (reads.contigs * np.int64(SPAN) + offsets)[inside]

    def _counted(self, cuts: Cuts) -> Cuts:
        if self._blacklist is not None:
            dropped = self._blacklist.overlaps(cuts.places, cuts.places + 1)
            self.blacklisted += int(cuts.counts[dropped].sum())
            cuts = Cuts(cuts.places[~dropped], cuts.counts[~dropped], cuts.upto)
        self.counted += int(cuts.counts.sum())
        return cuts


def side_by_side(samples: Sequence[Iterable[Cuts]], columns: Sequence[int]) -> Iterator[Cuts]:
    """Join the cuts of several files whose contigs are the same.

    Parameters
    ----------
    samples : sequence of iterables of Cuts
        Of one sample each.
    columns : sequence of int
        To which sample of the result each of them belongs.

    Yields
    ------
    Cuts
    """
    if len(samples) == 1:
        yield from samples[0]
        return
    sources = [iter(sample) for sample in samples]
    width = max(columns) + 1
    reached = [0] * len(sources)
    waiting = Cuts(NO_CUTS.places, np.zeros((0, width), np.int64), 0)
    while waiting.upto < END:
        # The file that is furthest behind is read on, so that little waits for it.
        behind = reached.index(min(reached))
        cuts = next(sources[behind])
        reached[behind] = cuts.upto
        counts = np.zeros((len(cuts.places), width), np.int64)
        counts[:, columns[behind]] = cuts.counts[:, 0]
        new = Cuts(cuts.places, counts, cuts.upto)
        ready, waiting = _parted(_summed([waiting, new], min(reached)))
        if len(ready.places) or ready.upto == END:
            yield ready


@contextmanager
def spooled(cuts: Iterable[Cuts]) -> Iterator[tuple[Iterator[Cuts], npt.NDArray[np.int64]]]:
    """Keep all cuts in an unnamed file, 8 + 4 k bytes a place, to give them again with their sum.

    Yields
    ------
    cuts : iterator of Cuts
        The same.
    totals : ndarray, shape (k,), int64
        Cuts of each sample.

    Raises
    ------
    InputError
        Where the disk has no room for them.
    """
    with tempfile.TemporaryFile(prefix="tfbind.") as file:
        totals: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        try:
            for part in cuts:
                totals = totals + part.counts.sum(0)
                np.save(file, np.int64(part.upto))
                np.save(file, part.places)
                np.save(file, part.counts.astype(np.uint32))
            file.flush()
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}; make room, or name another folder by TMPDIR",
                path=tempfile.gettempdir(),
            ) from error
        yield _replayed(file), totals


def _replayed(file: Any) -> Iterator[Cuts]:
    size = file.tell()
    file.seek(0)
    while file.tell() < size:
        upto = int(np.load(file))
        places = np.load(file)
        yield Cuts(places, np.load(file).astype(np.int64), upto)


def raw(counts: npt.NDArray[np.int64]) -> Values:
    """Give the cuts of the first sample as they are.

    Parameters
    ----------
    counts : ndarray, shape (n, k), int64
    """
    return counts[:, 0]


def per_million(total: int) -> Callable[[npt.NDArray[np.int64]], Values]:
    """Scale cuts to a sample of a million.

    Parameters
    ----------
    total : int
        Cuts of the sample.
    """

    def scaled(counts: npt.NDArray[np.int64]) -> Values:
        return (counts[:, 0] * (1e6 / max(total, 1))).astype(np.float32)

    return scaled


def fold_over_control(
    totals: Sequence[int], pseudocount: float
) -> Callable[[npt.NDArray[np.int64]], Values]:
    """Divide cuts by those of a control, as `macs3 bdgcmp -m FE` does with pileups.

    (t + p) / (c + p), where the larger of the two samples is scaled down to the other's number of
    cuts before (Zhang et al., Genome Biology 9, R137, 2008).

    Parameters
    ----------
    totals : (int, int)
        Cuts of the sample and of the control, neither 0.
    pseudocount : float
        Above 0, so that it is defined where neither has a cut: 1 there.
    """
    scales = min(totals) / np.array(totals, np.float64)

    def fold(counts: npt.NDArray[np.int64]) -> Values:
        sample, control = (counts * scales + pseudocount).T
        folds: npt.NDArray[np.float32] = (sample / control).astype(np.float32)
        return folds

    return fold


class Track:
    """Runs of equal value over contigs, from cuts.

    Parameters
    ----------
    contigs : dict of str to int
        As in `ReadFile`.
    window : int, base pairs
        Each base gets the cuts of this many around it: a cut counts for the bases from
        `window // 2` before it on, as far as its contig reaches.
    value : callable
        From counts, shape (n, k), to values, shape (n,), such as `raw`.
    shown : (ndarray, ndarray), optional
        Starts and ends on the axis of what is to be written; default: all contigs.
    zeros : bool
        Give the runs without a value too, which are left out of a count.
    """

    def __init__(
        self,
        contigs: dict[str, int],
        window: int,
        value: Callable[[npt.NDArray[np.int64]], Values],
        shown: tuple[Places, Places] | None = None,
        *,
        zeros: bool = False,
    ) -> None:
        self._names = list(contigs)
        self._sizes = np.array(list(contigs.values()), np.int64)
        self._window = window
        self._value = value
        self._zeros = zeros
        if shown is None:
            origins = np.arange(len(contigs)) * np.int64(SPAN)
            shown = origins, origins + self._sizes
        starts, ends = merged(*shown)
        self._shown = Cover(starts, ends)
        # A run ends at each of these, whatever follows: on one side nothing is to be written.
        self._marks = np.unique(np.concatenate([starts, ends]))

    def runs(self, cuts: Iterable[Cuts]) -> Iterator[Run]:
        """Yield runs in order.

        Yields
        ------
        contig : str
        starts, ends : ndarray, shape (n,), int64, base pairs
        values : ndarray, shape (n,), int64 or float32
        """
        waiting, passed = None, 0
        last, totals, value = np.array([-1], np.int64), None, None
        for part in cuts:
            changes = self._changes(part)
            marks = self._marks[passed : np.searchsorted(self._marks, changes.upto)]
            passed += len(marks)
            nothing = np.zeros((len(marks), changes.counts.shape[1]), np.int64)
            before = [changes, Cuts(marks, nothing, 0), *([waiting] if waiting else [])]
            ready, waiting = _parted(_summed(before, changes.upto))
            if totals is None or value is None:
                totals = np.zeros(ready.counts.shape[1], np.int64)
                value = self._value(totals[None])
            after = totals + np.cumsum(ready.counts, 0)
            totals = after[-1] if len(after) else totals
            places = np.concatenate([last, ready.places])
            values = np.concatenate([value, self._value(after)])
            new = np.append(True, (np.diff(values) != 0) | np.isin(places[1:], marks))
            places, values = places[new], values[new]
            last, value = places[-1:], values[-1:]  # its run ends where a later part changes it
            yield from self._shown_runs(places[:-1], places[1:], values[:-1])

    def _changes(self, part: Cuts) -> Cuts:
        """Give the places where the sum in the window changes, and by how much."""
        contigs = part.places // SPAN
        firsts = part.places - self._window // 2
        ends = contigs * SPAN + self._sizes[contigs]
        return Cuts(
            np.concatenate(
                [np.maximum(firsts, contigs * SPAN), np.minimum(firsts + self._window, ends)]
            ),
            np.concatenate([part.counts, -part.counts]),
            END if part.upto == END else part.upto - self._window // 2,
        )

    def _shown_runs(self, starts: Places, ends: Places, values: Values) -> Iterator[Run]:
        keep = self._shown.overlaps(starts, starts + 1) & ((values != 0) | self._zeros)
        starts, ends, values = starts[keep], ends[keep], values[keep]
        contigs = starts // SPAN
        breaks = np.flatnonzero(np.diff(contigs)) + 1
        for some in np.split(np.arange(len(starts)), breaks):
            if len(some):
                contig = int(contigs[some[0]])
                origin = contig * SPAN
                yield self._names[contig], starts[some] - origin, ends[some] - origin, values[some]


def _summed(parts: Sequence[Cuts], upto: int) -> Cuts:
    """Join parts in any order, and add up what stands at one place."""
    places = np.concatenate([part.places for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    order = np.argsort(places, kind="stable")
    places = places[order]
    first = np.flatnonzero(np.diff(places, prepend=-1))
    if len(places):
        counts = np.add.reduceat(counts[order], first, axis=0)
    return Cuts(places[first], counts, upto)


def _parted(cuts: Cuts) -> tuple[Cuts, Cuts]:
    """Part what is complete from what later cuts may add to."""
    at = int(np.searchsorted(cuts.places, cuts.upto))
    return (
        Cuts(cuts.places[:at], cuts.counts[:at], cuts.upto),
        Cuts(cuts.places[at:], cuts.counts[at:], cuts.upto),
    )
