"""Scores of bins, chunk by chunk.

Chunk k of length c holds the bins that begin at phase + stride * k * c and up to c - 1 strides
behind. It is computed whole, with the genome that is there, however few of its bins are asked for.
"""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError
from tfbind.intervals import Intervals
from tfbind.model import Model, Scores
from tfbind.pipeline import Times, Upto
from tfbind.tiles import Stretches

BINS_READ = 4096
"""Most neighbouring bins for which the genome is read at once, unless a chunk holds more."""

BINS_OF_WINDOWS = 256
"""The same where each bin is a window: so slow that a run must be given up in their midst."""

BATCHES_AHEAD = 2
BINS_AHEAD = 2 * BINS_READ
"""Bins that wait for each thread at least, so that none waits for bins."""

SCORES_AHEAD = 1 << 24
"""Scores that may wait in all: 64 MB, however many tasks a bin has."""

SCORES_A_BATCH = 1 << 22

Places = npt.NDArray[np.int64]
Key = tuple[str, bool, int, int]
"""A chunk: contig of the genome, whether of its reverse strand, phase, number."""


@dataclass(frozen=True)
class _Job:
    """What all chunks of a run are computed with."""

    model: Model
    stretches: Stretches
    times: Times
    columns: list[int]
    stop: threading.Event

    def compute(self, contig: str, minus: bool, start: int, chunks: int) -> Scores:
        """Read the genome under neighbouring chunks, and score them, along the contig."""
        if self.stop.is_set():
            raise CancelledError
        with self.times.of("read"):
            raw = self.stretches.read(contig, start, chunks * self.model.chunk, minus=minus)
        with self.times.of("network"):
            scores = self.model.scores(raw, chunks)[:, self.columns]
        return scores[::-1] if minus else scores


@dataclass(frozen=True)
class _Share:
    """Bins of a batch in a chunk that the batch before has begun."""

    chunk: "Future[Scores | None]"
    bins: Places
    rows: Places


@dataclass(frozen=True)
class _Pending:
    """A batch whose chunks are being computed."""

    batch: Intervals
    scores: Scores
    tasks: "list[Future[Scores | None]]"
    shares: list[_Share]

    def finished(self) -> Scores:
        """Wait for the chunks, which put their scores in place."""
        for task in self.tasks:
            task.result()
        for share in self.shares:
            if (chunk := share.chunk.result()) is not None:
                self.scores[share.bins] = chunk[share.rows]
        return self.scores


class _Chunks:
    """Hand the chunks of batches to a pool, each but once where batches meet in one."""

    def __init__(self, job: _Job, pool: ThreadPoolExecutor) -> None:
        self._job = job
        self._pool = pool
        self._last: dict[Key, Future[Scores | None]] = {}
        longest = BINS_READ if job.model.scans else BINS_OF_WINDOWS
        few = min(longest, SCORES_A_BATCH // len(job.model.contract.tasks))
        self._longest = max(few // job.model.chunk, 1)

    def begin(self, batch: Intervals, names: Sequence[str]) -> _Pending:
        """Begin a batch that is not empty."""
        model, stride = self._job.model, self._job.model.contract.geometry.stride
        index, phase = np.divmod(batch.starts, stride)
        number, place = np.divmod(index, model.chunk)
        minus = np.zeros(len(batch), np.bool_) if batch.minus is None else batch.minus
        group = (batch.codes.astype(np.int64) << 1 | minus) * stride + phase
        packed, chunk_of_bin = np.unique(group << 32 | number, return_inverse=True)
        keys: list[Key] = [
            (
                names[(one >> 32) // stride >> 1],
                bool((one >> 32) // stride & 1),
                (one >> 32) % stride,
                one & 0xFFFFFFFF,
            )
            for one in packed.tolist()
        ]
        in_order = np.argsort(chunk_of_bin, kind="stable")
        firsts = np.searchsorted(chunk_of_bin[in_order], np.arange(len(keys) + 1))
        scores = np.empty((len(batch), len(self._job.columns)), np.float32)
        pending = _Pending(batch, scores, [], [])
        last = int(chunk_of_bin[-1])
        known = self._last
        self._last = {keys[last]: known[keys[last]]} if keys[last] in known else {}
        for first, count in _runs(keys, known, self._longest):
            bins = in_order[firsts[first] : firsts[first + count]]
            rows = (chunk_of_bin[bins] - first) * model.chunk + place[bins]
            if keys[first] in known:
                pending.shares.append(_Share(known[keys[first]], bins, rows))
                continue
            contig, turned, run_phase, chunk = keys[first]
            kept = last - first if first <= last < first + count else None
            start = run_phase + chunk * model.span
            begun = (contig, turned, start, count)
            task = self._pool.submit(self._fill, begun, kept, scores, bins, rows)
            pending.tasks.append(task)
            if kept is not None:
                self._last = {keys[last]: task}
        return pending

    def _fill(
        self,
        chunks: tuple[str, bool, int, int],
        kept: int | None,
        scores: Scores,
        bins: Places,
        rows: Places,
    ) -> Scores | None:
        """Compute chunks, put the scores of bins in place, and keep one chunk whole, or none."""
        computed = self._job.compute(*chunks)
        scores[bins] = computed[rows]
        if kept is None:
            return None
        size = self._job.model.chunk
        return computed[kept * size : (kept + 1) * size].copy()


def score(
    batches: Iterable[tuple[Intervals, list[str]]],
    model: Model,
    stretches: Stretches,
    threads: int,
    *,
    times: Times | None = None,
    columns: Sequence[int] | None = None,
    stop: threading.Event | None = None,
) -> Iterator[tuple[Intervals, Scores]]:
    """Score a stream of bins, in order.

    Parameters
    ----------
    batches : iterable of (Intervals, names)
        As `tiles.BinCheck` gives them.
    model : Model
    stretches : Stretches
        That read the model's inputs.
    threads : int
        Runs of chunks that are read and computed at a time.
    times : Times, optional
        Where the stages `read` and `network` are counted.
    columns : sequence of int, optional
        Of the model's tasks only these.
    stop : threading.Event, optional
        Any thread may set it to end the run early, by a `CancelledError`.

    Yields
    ------
    batch : Intervals
        As they came, or parts of one where its scores are many.
    scores : ndarray, shape (n, tasks or columns), float32
        One row a bin, the same for a bin whatever else the input holds.

    Raises
    ------
    InputError
        As the batches and the files do, behind what came before it; where the network gives what
        is no number.
    """
    chosen = list(range(len(model.contract.tasks)) if columns is None else columns)
    job = _Job(model, stretches, times or Times(), chosen, stop or threading.Event())
    pool = ThreadPoolExecutor(threads)
    chunks = _Chunks(job, pool)
    pending: deque[_Pending] = deque()
    waiting = 0
    upstream = Upto(batches)
    try:
        for batch, names in upstream:
            for part in _parts(batch, max(SCORES_A_BATCH // len(chosen), 1)):
                pending.append(chunks.begin(part, names))
                waiting += len(part)
                while len(pending) > BATCHES_AHEAD and (
                    waiting > threads * BINS_AHEAD or waiting * len(chosen) > SCORES_AHEAD
                ):
                    done = pending.popleft()
                    waiting -= len(done.batch)
                    yield done.batch, _numbers(done.finished(), done.batch, model)
        for done in pending:
            yield done.batch, _numbers(done.finished(), done.batch, model)
        upstream.end()
    finally:
        job.stop.set()
        pool.shutdown(cancel_futures=True)


def _numbers(scores: Scores, batch: Intervals, model: Model) -> Scores:
    """Refuse scores that are not finite."""
    finite = np.isfinite(scores)
    if not finite.all():
        bin_, task = np.argwhere(~finite)[0]
        contig, start = batch.contigs[batch.codes[bin_]], batch.starts[bin_]
        raise InputError(
            f"gives {scores[bin_, task]} to the bin of {contig} that begins at {start}, expected "
            f"a number; is a signal there too large for {model.contract.precision}?",
            path=model.path,
        )
    return scores


def _parts(batch: Intervals, most: int) -> Iterator[Intervals]:
    """Part a batch of very many scores."""
    if 0 < len(batch) <= most:
        yield batch
        return
    for first in range(0, len(batch), most):
        here = np.arange(len(batch)) // most == first // most
        yield batch.select(here)


def _runs(keys: Sequence[Key], known: Collection[Key], longest: int) -> Iterator[tuple[int, int]]:
    """Group sorted chunks into runs of neighbours, each read at once; known ones stay alone."""
    first = 0
    for at in range(1, len(keys) + 1):
        follows = at < len(keys) and keys[at] == (*keys[at - 1][:3], keys[at - 1][3] + 1)
        alone = keys[at - 1] in known or (follows and keys[at] in known)
        if not follows or alone or at - first == longest:
            yield first, at - first
            first = at
