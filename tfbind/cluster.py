"""Scores of bins from the workers of a Dask cluster.

The workers only compute. Whoever asks reads, checks and groups the bins, and gets their scores in
order, so all that is done with scores is done as without a cluster, and to the same bytes.
"""

import asyncio
import contextlib
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from tfbind.errors import InputError
from tfbind.intervals import Intervals
from tfbind.model import Scores
from tfbind.pipeline import Upto
from tfbind.recipe import Recipe, packed, score_task, spelt, versions

BINS_A_TASK = 1 << 15
"""A task is a batch of text, or several that are shorter than usual."""

TASKS_A_THREAD = 2
"""One is computed while the next is on its way."""

TASKS_AHEAD = 256
"""Most tasks whose text is held: at 3 MB each they bound the memory of whoever asks."""

PATIENCE = 24 * 3600.0
"""Seconds without a worker: a queue of batch jobs may be long."""

POLL = 2.0
"""Seconds between looks at the workers while a task is computed or its scores are fetched."""

Batch = tuple[Intervals, list[str]]
Scored = tuple[Intervals, Scores]


@dataclass(frozen=True)
class _Call:
    """What becomes the scores of a task where it is unpickled."""

    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Scores], tuple[Any, ...]]:
        return score_task, self.arguments


@dataclass(frozen=True)
class Workers:
    """The workers of a Dask scheduler, as many as there are from time to time.

    Attributes
    ----------
    client : distributed.Client
    address : str
        The scheduler's, for messages.
    tell : callable
        Is given a line of text while there is no worker.
    mend : callable
        Is called now and then, to replace workers that have died.
    patience : float
        How long to wait for a worker while there is none, in seconds.
    """

    client: Client
    address: str
    tell: Callable[[str], None] = lambda text: None
    mend: Callable[[], None] = lambda: None
    patience: float = PATIENCE

    def threads(self) -> int:
        """Count the workers' threads; where there are none, wait for the first.

        Raises
        ------
        InputError
            If none comes, or the scheduler goes away.
        """
        since = time.monotonic()
        told = False
        while True:
            self.mend()
            with self._scheduler_at_hand():
                threads = int(sum(self.client.nthreads().values()))
            if threads:
                return threads
            if time.monotonic() - since > self.patience:
                raise InputError(
                    f"the scheduler has had no worker for {self.patience:,.0f} s: start some with "
                    f"dask worker {self.address}",
                    path=self.address,
                )
            if not told and time.monotonic() - since > POLL:
                self.tell(f"waiting for workers of {self.address}")
                told = True
            time.sleep(POLL / 10)

    def submit(self, number: int, *arguments: Any) -> "Future[Scores]":
        """Have `score_task` called on a worker; tasks of lower numbers come first."""
        # A worker that cannot import what a task names ends; what it loads itself only fails.
        call = pickle.dumps(_Call(arguments))
        with self._scheduler_at_hand():
            return self.client.submit(pickle.loads, call, pure=False, priority=-number)

    def result(self, future: "Future[Scores]") -> Scores:
        """Wait for the scores of a task.

        Raises
        ------
        InputError
            If they will not come.
        """
        # Workers die while scores are fetched, too. The fetch is not given up meanwhile: one of
        # many scores that was begun again at each look would never end.
        loop: Any = self.client.loop
        fetched = asyncio.run_coroutine_threadsafe(
            self.client.gather(future, asynchronous=True), loop.asyncio_loop
        )
        try:
            while not fetched.done():
                self.threads()
                wait([fetched], POLL)
        finally:
            fetched.cancel()
        if future.status == "error" and (error := fetched.exception()):
            self._explain(error)
        with self._scheduler_at_hand():
            scores: Scores = fetched.result()
        return scores

    def _explain(self, error: BaseException) -> NoReturn:
        """Say why a task failed."""
        if isinstance(error, KilledWorker):
            raise InputError(
                f"{error.allowed_failures + 1} workers died over the same bins; do they lack "
                "memory? Their logs may tell",
                path=self.address,
            ) from error
        if isinstance(error, ImportError):
            raise InputError(
                f"a worker cannot load this tfbind ({error}): install "
                f"{spelt(versions())} on all of them",
                path=self.address,
            ) from error
        raise error

    @contextlib.contextmanager
    def _scheduler_at_hand(self) -> Iterator[None]:
        try:
            yield
        except (CancelledError, CommClosedError, OSError) as error:
            raise InputError(
                "the Dask scheduler has gone away; start it and run this again", path=self.address
            ) from error


@dataclass(frozen=True)
class _Task:
    """Batches whose scores a worker computes."""

    batches: list[Intervals]
    scores: "Future[Scores]"


def score_on_cluster(
    batches: Iterable[Batch],
    workers: Workers,
    recipe: Recipe,
    *,
    bins_a_task: int = BINS_A_TASK,
) -> Iterator[Scored]:
    """Score a stream of bins, in order, as `scoring.score` does.

    Parameters
    ----------
    batches : iterable of (Intervals, names)
        As `tiles.BinCheck` gives them.
    workers : Workers
    recipe : Recipe
        Its columns are those of the scores.
    bins_a_task : int
        Batches are gathered until they hold so many.

    Yields
    ------
    batch : Intervals
    scores : ndarray, shape (n, tasks or columns), float32

    Raises
    ------
    InputError
        As the batches do, once what came before is scored; if a worker has other files or
        versions; if the scheduler goes away or has no worker for long.
    """
    pending: deque[_Task] = deque()
    groups = Upto(_groups(batches, bins_a_task))
    try:
        for number, group in enumerate(groups):
            future = workers.submit(number, recipe, *_bins(group))
            pending.append(_Task([batch for batch, _ in group], future))
            if len(pending) > min(TASKS_A_THREAD * workers.threads(), TASKS_AHEAD):
                yield from _split(pending, workers)
        while pending:
            yield from _split(pending, workers)
        groups.end()
    finally:
        with contextlib.suppress(Exception):  # there may be no scheduler to tell
            workers.client.cancel([task.scores for task in pending])


def _groups(batches: Iterable[Batch], bins: int) -> Iterator[list[Batch]]:
    """Gather batches; give what there is before an error too."""
    group: list[Batch] = []
    held = 0
    upstream = Upto(batches)
    for batch in upstream:
        if len(batch[0]):
            group.append(batch)
            held += len(batch[0])
        if held >= bins:
            yield group
            group, held = [], 0
    if group:
        yield group
    upstream.end()


def _bins(group: list[Batch]) -> tuple[tuple[str, ...], bytes]:
    """Join what a worker needs of batches: the genome's names, and the bins."""
    known: dict[str, int] = {}
    codes = [
        np.array([known.setdefault(name, len(known)) for name in names], np.int32)[batch.codes]
        for batch, names in group
    ]
    starts = [batch.starts for batch, _ in group]
    minus = [
        np.zeros(len(batch), np.bool_) if batch.minus is None else batch.minus for batch, _ in group
    ]
    return tuple(known), packed(
        np.concatenate(codes), np.concatenate(starts), np.concatenate(minus)
    )


def _split(pending: deque[_Task], workers: Workers) -> Iterator[Scored]:
    """Wait for the first task; give each of its batches its scores."""
    task = pending.popleft()
    try:
        scores = workers.result(task.scores)
    except BaseException:
        pending.appendleft(task)  # to be cancelled with the others
        raise
    first = 0
    for batch in task.batches:
        yield batch, scores[first : first + len(batch)]
        first += len(batch)
