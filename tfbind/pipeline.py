"""Stages of a stream that go on at once in threads: each in one of its own, or one in several."""

import atexit
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from tfbind.errors import InputError

Item = TypeVar("Item")
Made = TypeVar("Made")

AHEAD = 2
"""Items that a stage may be ahead of the next."""

PAUSE = 0.1
"""Seconds after which a thread that waits looks whether it is still wanted."""

LONGEST_WAIT = 1.0
"""Seconds for which an ended stage waits for its thread, which may hang in a read."""

_drawing: "WeakKeyDictionary[threading.Thread, threading.Event]" = WeakKeyDictionary()
"""The threads of all stages, and what stops each."""


class ahead(Generic[Item]):  # noqa: N801  (used as a function, like map)
    """Draw items in a thread, a few ahead of their use.

    An iterator over them, in order. What drawing raises is raised behind the items before it.

    Parameters
    ----------
    items : iterable
        Drawn in one thread only, and closed there if it can be.
    depth : int
        Most items that wait to be used.
    """

    def __init__(self, items: Iterable[Item], depth: int = AHEAD) -> None:
        self._made: queue.Queue[Any] = queue.Queue(depth)
        self._stopped = threading.Event()
        # The thread must not know this object, or it would keep it from being given up; and one
        # that hangs in a read must not keep the process from ending.
        self._thread = threading.Thread(
            target=_draw, args=(items, self._made, self._stopped), daemon=True
        )
        _drawing[self._thread] = self._stopped
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while not self._stopped.is_set():
            try:
                item, end = self._made.get(timeout=PAUSE)
            except queue.Empty:
                continue
            if end is None:
                return cast(Item, item)
            self._stopped.set()
            raise end
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        """Draw no more; any thread may call this."""
        self._stopped.set()
        self._thread.join(LONGEST_WAIT)


@atexit.register
def _end_all() -> None:
    """Let threads end before the interpreter does.

    One that is in the C++ code of NumPy or ONNX Runtime then would abort the process: Python up to
    3.13 ends the thread where it asks for the interpreter, from under destructors.
    """
    threads = dict(_drawing)
    for stopped in threads.values():
        stopped.set()
    latest = time.monotonic() + LONGEST_WAIT
    for thread in threads:
        thread.join(max(latest - time.monotonic(), 0))


def _draw(items: Iterable[Any], made: "queue.Queue[Any]", stopped: threading.Event) -> None:
    end: BaseException = StopIteration()
    try:
        for item in items:
            if not _put((item, None), made, stopped):
                break
        if close := getattr(items, "close", None):
            close()
    except BaseException as error:  # told to the next stage, whatever it is
        end = error
    _put((None, end), made, stopped)


def _put(item: Any, made: "queue.Queue[Any]", stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            made.put(item, timeout=PAUSE)
            return True
        except queue.Full:
            continue
    return False


def in_order(
    work: Callable[[Item], Made], items: Iterable[Item], pool: Executor | None, depth: int
) -> Generator[Made, None, None]:
    """Work on items in threads, and give what is made in the order of the items.

    Where it ends early, closed or by an error, work that has not begun is called off.

    Parameters
    ----------
    work : callable
        Called in threads.
    items : iterable
        Drawn by whoever draws from this, as they are needed.
    pool : Executor or None
        The threads; without any, an item is worked on when what it gives is drawn.
    depth : int
        Most items that are drawn ahead of the one whose result is in use.
    """
    if pool is None:
        yield from map(work, items)
        return
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


class Upto(Generic[Item]):
    """Give items up to bad input, of which is told later: what came before is used all the same.

    Parameters
    ----------
    items : iterable
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._wrong: InputError | None = None

    def __iter__(self) -> Iterator[Item]:
        try:
            yield from self._items
        except InputError as error:
            self._wrong = error

    def end(self) -> None:
        """Raise what ended the items early, if anything did."""
        if self._wrong is not None:
            raise self._wrong


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
