"""Which bins to learn from: all that tell much, and a random part of the others."""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.hardest import Candidates, Hardest, Held
from tfbind.intervals import Intervals, concatenate
from tfbind.labels import BOUND, LETTERS, label_codes
from tfbind.lines import whole_lines
from tfbind.regions import IntervalSet, RegionSet

STEP_SAMPLE = 1 << 16
"""Bins at the head of the input that tell the step of its grid."""


def common_step(batches: Iterable[Intervals]) -> tuple[int, Iterator[Intervals]]:
    """Find how far apart bins start, as a rule.

    Parameters
    ----------
    batches : iterable of Intervals

    Returns
    -------
    step : int, base pairs
        The most common distance between the starts of two successive bins on one contig, among the
        first 65,536 bins; the smallest, if several are as common; 0 if no bin follows another.
    batches : iterator of Intervals
        All of them.
    """
    rest = iter(batches)
    head: list[Intervals] = []
    held = 0
    for batch in rest:
        head.append(batch)
        held += len(batch)
        if held >= STEP_SAMPLE:
            break
    first = concatenate(head)
    codes, starts = first.codes[:STEP_SAMPLE], first.starts[:STEP_SAMPLE]
    steps = np.diff(starts)[(np.diff(codes) == 0) & (np.diff(starts) > 0)]
    distances, counts = np.unique(steps, return_counts=True)
    step = int(distances[counts.argmax()]) if len(distances) else 0
    return step, itertools.chain(head, rest)


@dataclass
class _Fragment:
    """Rows of a block that stand in one batch."""

    batch: int
    row: int
    text: bytes
    codes: npt.NDArray[np.uint8]


@dataclass
class _Block:
    """Consecutive bins that are drawn together."""

    fragments: list[_Fragment] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(fragment.codes) for fragment in self.fragments)

    def trimmed(self, length: int) -> "_Block":
        """Give the first bins of the block."""
        kept = []
        for part in self.fragments:
            text = b"".join(line + b"\n" for line in part.text.split(b"\n")[:-1][:length])
            kept.append(_Fragment(part.batch, part.row, text, part.codes[:length]))
            length -= len(kept[-1].codes)
        return _Block([part for part in kept if len(part.codes)])


class _Draw:
    """Blocks with the smallest keys, as many as are needed to hold some number of bins."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self._bins = 0
        self._blocks: dict[int, _Block] = {}
        self._heap: list[tuple[float, int]] = []

    @property
    def highest(self) -> float:
        """The largest key that a block may have to be taken."""
        if self._bins < self.wanted:
            return np.inf
        return -self._heap[0][0] if self._heap else -np.inf

    def add(self, key: float, number: int, fragment: _Fragment) -> None:
        """Take a fragment of a block, unless its key is too large by now."""
        if key > self.highest:
            return
        if number not in self._blocks:
            self._blocks[number] = _Block()
            # The heap gives its smallest: the block that is the first to be given up.
            heapq.heappush(self._heap, (-key, -number))
        self._blocks[number].fragments.append(fragment)
        self._bins += len(fragment.codes)
        while self._heap:
            last = -self._heap[0][1]
            if self._bins - len(self._blocks[last]) < self.wanted:
                break
            heapq.heappop(self._heap)
            self._bins -= len(self._blocks.pop(last))

    def fragments(self) -> Iterator[_Fragment]:
        """Yield what was drawn, in input order, cut to the number wanted."""
        surplus = max(self._bins - self.wanted, 0)
        for number, block in sorted(self._blocks.items()):
            if surplus and number == -self._heap[0][1]:
                block = block.trimmed(len(block) - surplus)
            yield from block.fragments


@dataclass(frozen=True)
class _Kept:
    """The bins of a batch that are kept for certain."""

    rows: npt.NDArray[np.int64]
    text: pa.Array


class Sampler:
    """Keep the bins that tell much, and draw some of the others.

    Kept are the bins that overlap an accessible place or are bound in any experiment. Of the others
    a number is drawn, in blocks of consecutive bins: neighbours share most of their sequence, so
    they cost little more than one. All of it in one pass; only what is kept is held.

    Parameters
    ----------
    background : int
        How many others to draw; fewer come only if there are fewer.
    seed : int
    step : int, base pairs
        How far apart the starts of consecutive bins are.
    block : int
        Bins in a block, at most. A block ends before a bin that does not follow the last one: where
        a bin was kept or dropped between them, on another contig, or off the step.
    accessible : IntervalSet, optional
    holdout : RegionSet, optional
        Bins that overlap it are dropped.
    hardest : Hardest, optional
        Is given scores of the candidates that `add` finds, and keeps hard negatives among them;
        what else is kept and drawn does not depend on it.

    Attributes
    ----------
    read, dropped, kept, others : int
        Bins that were read, of these held out, kept for certain, and the rest.
    """

    def __init__(
        self,
        background: int,
        seed: int,
        step: int,
        *,
        block: int = 16,
        accessible: IntervalSet | None = None,
        holdout: RegionSet | None = None,
        hardest: Hardest | None = None,
    ) -> None:
        self.read = self.dropped = self.kept = self.others = 0
        self._step = step
        self._block = block
        self._accessible = accessible
        self._holdout = holdout
        self._hardest = hardest
        self._draw = _Draw(background)
        self._random = np.random.default_rng(seed)
        self._batches: list[_Kept] = []
        self._counts = np.zeros((0, len(LETTERS)), np.int64)
        # Of the last bin: contig, start, place in its block (-1 if it is in none), block and key.
        self._last: tuple[str, int, int] = ("", 0, -1)
        self._open: tuple[int, float] = (-1, np.inf)

    def add(self, batch: Intervals, path: str) -> Candidates | None:
        """Read a batch of bins; how the input is cut into batches changes nothing.

        Parameters
        ----------
        batch : Intervals
            The columns beyond the third, if any, are labels.
        path : str
            The file, for messages.

        Returns
        -------
        Candidates or None
            The bins, neither held out nor kept for certain, whose scores the hardest wants; None if
            there are none.

        Raises
        ------
        InputError
            At a label that is not U, A or B.
        """
        if not len(batch):
            return None
        codes = label_codes(batch, path)
        held_out = self._overlaps(self._holdout, batch)
        keep = self._overlaps(self._accessible, batch) | (codes == BOUND).any(axis=1)
        keep &= ~held_out
        others = ~(keep | held_out)
        self.read += len(batch)
        self.dropped += int(held_out.sum())
        self.kept += int(keep.sum())
        self.others += int(others.sum())
        self._batches.append(_Kept(np.flatnonzero(keep), batch.text.filter(pa.array(keep))))
        self._count(codes[keep])
        self._draw_from(batch, others, codes)
        if self._hardest is None:
            return None
        wanted = others & self._hardest.tells(codes)
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return None
        return Candidates(len(self._batches) - 1, rows, batch.select(wanted), codes[wanted])

    @staticmethod
    def _overlaps(
        places: IntervalSet | RegionSet | None, batch: Intervals
    ) -> npt.NDArray[np.bool_]:
        return np.zeros(len(batch), np.bool_) if places is None else places.overlaps(batch)

    def _count(self, codes: npt.NDArray[np.uint8]) -> None:
        if len(self._counts) < codes.shape[1]:
            self._counts = np.zeros((codes.shape[1], len(LETTERS)), np.int64)
        for experiment in range(codes.shape[1]):
            self._counts[experiment] += np.bincount(codes[:, experiment], minlength=len(LETTERS))

    def _draw_from(
        self, batch: Intervals, others: npt.NDArray[np.bool_], codes: npt.NDArray[np.uint8]
    ) -> None:
        """Find the blocks of a batch and take those with small keys."""
        places = self._places(batch, others)
        new = places == 0
        # Block 0 is the one that the last batch left open.
        blocks = np.cumsum(new)
        keys = np.concatenate([[self._open[1]], self._random.random(int(blocks[-1]))])
        first_rows = np.concatenate([[0], np.flatnonzero(new)])
        lengths = np.bincount(blocks[others], minlength=len(keys))
        taken = (keys <= self._draw.highest) & (lengths > 0)
        for block in np.flatnonzero(taken).tolist():
            row, length = int(first_rows[block]), int(lengths[block])
            text = whole_lines(batch.text.slice(row, length))
            part = _Fragment(len(self._batches) - 1, row, text, codes[row : row + length].copy())
            self._draw.add(float(keys[block]), self._open[0] + block, part)
        self._last = (batch.contigs[batch.codes[-1]], int(batch.starts[-1]), int(places[-1]))
        self._open = (self._open[0] + int(blocks[-1]), float(keys[-1]))

    def _places(self, batch: Intervals, others: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Give each bin's place in its block, from 0, or -1 for a bin that is in none."""
        contig, start, place = self._last
        follows = np.empty(len(batch), np.bool_)
        follows[0] = (
            place >= 0
            and batch.contigs[batch.codes[0]] == contig
            and int(batch.starts[0]) - start == self._step
        )
        follows[1:] = (
            others[:-1]
            & (batch.codes[1:] == batch.codes[:-1])
            & (np.diff(batch.starts) == self._step)
        )
        rows = np.arange(len(batch))
        run_starts = np.maximum.accumulate(np.where(others & ~follows, rows, -(place + 1)))
        return np.where(others, (rows - run_starts) % self._block, -1)

    def lines(self) -> Iterator[bytes]:
        """Yield what was kept and drawn, as text, in input order.

        Yields
        ------
        bytes
            Whole lines; b"" for a batch of which nothing is left.
        """
        parts = {
            number: list(group)
            for number, group in itertools.groupby(self._fragments(), lambda part: part.batch)
        }
        for number, kept in enumerate(self._batches):
            pieces, done = [], 0
            for part in parts.get(number, []):
                upto = int(np.searchsorted(kept.rows, part.row))
                pieces += [whole_lines(kept.text.slice(done, upto - done)), part.text]
                done = upto
            yield b"".join([*pieces, whole_lines(kept.text.slice(done))])

    def _fragments(self) -> Iterator[_Fragment]:
        """Yield what was drawn and what is hard, in input order, each bin once."""
        drawn = list(self._draw.fragments())
        held = None if self._hardest is None else self._hardest.held()
        hard = [] if held is None else _runs(held, drawn)
        return heapq.merge(drawn, hard, key=lambda part: (part.batch, part.row))

    def counts(self) -> tuple[int, int, npt.NDArray[np.int64]]:
        """Count what `lines` yields.

        Returns
        -------
        drawn : int
            Bins that were drawn of the others.
        hard : int
            Hard negatives that were not drawn anyway.
        classes : ndarray, shape (experiments, 3), int64
            Bins of each label, in the order of `labels.LETTERS`, all together; no row if the bins
            have no labels.
        """
        more, classes = 0, self._counts.copy()
        for part in self._fragments():
            more += len(part.codes)
            for experiment in range(part.codes.shape[1]):
                classes[experiment] += np.bincount(
                    part.codes[:, experiment], minlength=len(LETTERS)
                )
        drawn = sum(len(part.codes) for part in self._draw.fragments())
        return drawn, more - drawn, classes


def _runs(held: Held, drawn: list[_Fragment]) -> Iterator[_Fragment]:
    """Join neighbouring hard negatives, without those that were drawn."""
    # A batch has far fewer rows than 2**32.
    places = held.batches << 32 | held.rows
    firsts = np.array([part.batch << 32 | part.row for part in drawn], np.int64)
    lengths = np.array([len(part.codes) for part in drawn], np.int64)
    before = np.searchsorted(firsts, places, side="right") - 1
    ends = np.concatenate([firsts + lengths, [-1]])  # the last is that of none before
    kept = held.take(np.flatnonzero(places >= ends[before]))
    places = kept.batches << 32 | kept.rows
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    edges = [0, *breaks.tolist(), len(kept)] if len(kept) else []
    for first, last in itertools.pairwise(edges):
        text = whole_lines(kept.text.slice(first, last - first))
        batch, row = int(kept.batches[first]), int(kept.rows[first])
        yield _Fragment(batch, row, text, kept.codes[first:last])
