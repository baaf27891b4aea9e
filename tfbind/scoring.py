"""Scores of bins, chunk by chunk.

Chunk k of length c holds the bins that begin at phase + stride * k * c and up to c - 1 strides
behind. It is computed whole, with the genome that is there, however few of its bins are asked for.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from tfbind.intervals import Intervals
from tfbind.model import Model, Scores
from tfbind.pipeline import Times, Upto
from tfbind.tiles import Stretches

BINS_READ = 4096
"""Most neighbouring bins for which the genome is read at once, unless a chunk holds more."""

BATCHES_AHEAD = 2
BINS_AHEAD = 2 * BINS_READ
"""Bins that wait for each thread at least, so that none waits for bins."""

CHUNKS_KEPT = 64

Key = tuple[str, int, int]
"""A chunk: contig of the genome, phase, number."""


@dataclass(frozen=True)
class _Part:
    """One chunk among those of a task."""

    task: "Future[Scores]"
    first: int


@dataclass(frozen=True)
class _Pending:
    """A batch whose chunks are being computed."""

    batch: Intervals
    parts: list[_Part]
    chunk_of_bin: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]

    def scores(self, chunk: int) -> Scores:
        """Wait for the chunks and pick the bins."""
        parts = [part.task.result()[part.first : part.first + chunk] for part in self.parts]
        picked: Scores = np.concatenate(parts)[self.chunk_of_bin * chunk + self.place]
        return picked


def score(
    batches: Iterable[tuple[Intervals, list[str]]],
    model: Model,
    stretches: Stretches,
    threads: int,
    times: Times | None = None,
    columns: Sequence[int] | None = None,
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

    Yields
    ------
    batch : Intervals
    scores : ndarray, shape (n, tasks or columns), float32
        One row a bin, the same for a bin whatever else the input holds.
    """
    pool = ThreadPoolExecutor(threads)
    compute = partial(_compute, model, stretches, times or Times(), columns)
    begin = partial(_begin, model, partial(pool.submit, compute), {})
    pending: deque[_Pending] = deque()
    waiting = 0
    upstream = Upto(batches)
    try:
        for batch, names in upstream:
            if not len(batch):
                continue
            pending.append(begin(batch, names))
            waiting += len(batch)
            while len(pending) > BATCHES_AHEAD and waiting > threads * BINS_AHEAD:
                done = pending.popleft()
                waiting -= len(done.batch)
                yield done.batch, done.scores(model.chunk)
        for done in pending:
            yield done.batch, done.scores(model.chunk)
        upstream.end()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(
    model: Model,
    submit: "Callable[[str, int, int], Future[Scores]]",
    known: dict[Key, _Part],
    batch: Intervals,
    names: list[str],
) -> _Pending:
    """Hand over the chunks of a batch, but for those that a batch before has begun."""
    stride = model.contract.geometry.stride
    index, phase = np.divmod(batch.starts, stride)
    number, place = np.divmod(index, model.chunk)
    group = batch.codes.astype(np.int64) * stride + phase
    packed, chunk_of_bin = np.unique(group << 32 | number, return_inverse=True)
    keys: list[Key] = [
        (names[(one >> 32) // stride], (one >> 32) % stride, one & 0xFFFFFFFF)
        for one in packed.tolist()
    ]
    longest = max(BINS_READ // model.chunk, 1)
    for run in _neighbours([key for key in keys if key not in known], longest):
        contig, run_phase, first = run[0]
        task = submit(contig, run_phase + first * model.span, len(run))
        known |= {key: _Part(task, at * model.chunk) for at, key in enumerate(run)}
    parts = [known[key] for key in keys]
    for old in list(known)[:-CHUNKS_KEPT]:
        del known[old]
    return _Pending(batch, parts, chunk_of_bin, place)


def _compute(
    model: Model,
    stretches: Stretches,
    times: Times,
    columns: Sequence[int] | None,
    contig: str,
    start: int,
    chunks: int,
) -> Scores:
    """Read the genome under neighbouring chunks, and score them."""
    with times.of("read"):
        raw = stretches.read(contig, start, chunks * model.chunk)
    with times.of("network"):
        scores = model.scores(raw, chunks)
    # What is not wanted of a model of thousands of tasks must not be kept.
    return scores if columns is None else scores[:, columns]


def _neighbours(keys: list[Key], longest: int) -> Iterator[list[Key]]:
    """Group sorted chunks into runs that are read at once."""
    run: list[Key] = []
    for key in keys:
        if run and (len(run) == longest or key != (run[-1][0], run[-1][1], run[-1][2] + 1)):
            yield run
            run = []
        run.append(key)
    if run:
        yield run
