"""Stages of a stream that go on at once, each in a thread of its own."""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Made = tuple[Item | None, BaseException | None]

AHEAD = 2
"""Items that a stage may be ahead of the next."""

LONGEST_WAIT = 1.0
"""Seconds for which an ended stream waits for its thread, which may hang in a read."""


class _Stage(Generic[Item]):
    """A thread that draws items from an iterable into a bounded queue."""

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._items = items
        self._made: queue.Queue[Made[Item]] = queue.Queue(depth)
        self._stopped = threading.Event()
        # A thread that hangs in a read must not keep the process from ending.
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def _draw(self) -> None:
        end: BaseException = StopIteration()
        try:
            for item in self._items:
                if not self._put((item, None)):
                    break
            if close := getattr(self._items, "close", None):
                close()  # here, where its frames live, and not in some other thread
        except BaseException as error:  # told to the next stage, whatever it is
            end = error
        self._put((None, end))

    def _put(self, made: Made[Item]) -> bool:
        while not self._stopped.is_set():
            try:
                self._made.put(made, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Item]:
        while True:
            item, end = self._made.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            yield cast(Item, item)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(LONGEST_WAIT)


def ahead(items: Iterable[Item], depth: int = AHEAD) -> Iterator[Item]:
    """Draw items in a thread, a few ahead of their use.

    Parameters
    ----------
    items : iterable
        Drawn in one thread only; what it raises is raised here, behind the items before it.
    depth : int
        Most items that wait to be used.

    Yields
    ------
    item
        Each of `items`, in order.
    """
    stage = _Stage(items, depth)
    try:
        yield from stage
    finally:
        stage.stop()


class Times:
    """Processor time of each stage, seconds, over all threads.

    Attributes
    ----------
    seconds : dict of str to float
        By stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count what this thread does meanwhile; waiting costs nothing."""
        began = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0) + time.thread_time() - began

    def drawing(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items on, and count what drawing them takes."""
        source = iter(items)
        end = object()
        while True:
            with self.of(stage):
                item = next(source, end)
            if item is end:
                return
            yield cast(Item, item)
