"""Stages in threads: order, bounds, errors and ends."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from tfbind.pipeline import Times, ahead, in_order


def test_items_come_in_order() -> None:
    assert list(ahead(iter(range(1000)))) == list(range(1000))
    assert list(ahead([])) == []


def test_an_error_comes_behind_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    stream = ahead(items())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(stream)


def test_a_program_ends_while_a_stage_is_in_numpy() -> None:
    # NumPy's unique asks for the interpreter from under C++ destructors: where that has gone, the
    # process would abort.
    program = """
import time
import numpy as np
from tfbind.pipeline import ahead
values = np.arange(100_000) % 1000
def items():
    while True:
        yield [np.unique(values) for _ in range(100)]
stream = ahead(items())
next(stream)
time.sleep(0.05)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_stage_is_at_most_so_far_ahead() -> None:
    drawn = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    stream = ahead(items(), depth=3)
    assert next(stream) == 0
    time.sleep(0.3)
    assert len(drawn) <= 5  # one used, three that wait, one at hand
    assert list(stream) == list(range(1, 100))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_what_threads_make_comes_in_order(threads: int) -> None:
    def work(number: int) -> int:
        time.sleep((number % 5) / 1000)
        return number**2

    def made(pool: Executor | None, count: int) -> list[int]:
        return list(in_order(work, iter(range(count)), pool, 4))

    with ThreadPoolExecutor(threads or 1) as pool:
        for count in (0, 3, 40):
            assert made(pool if threads else None, count) == [number**2 for number in range(count)]


def test_so_many_items_are_drawn_before_the_first_is_given() -> None:
    drawn = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        made = in_order(str, items(), pool, 3)
        assert (next(made), drawn) == ("0", [0, 1, 2, 3])
        assert (next(made), drawn) == ("1", [0, 1, 2, 3, 4])
        made.close()


@pytest.mark.parametrize("by", ["closing", "its work", "its items"])
def test_work_is_called_off_where_it_ends_early(by: str) -> None:
    begun: list[int] = []
    held = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            held.wait(20)
        elif number == 0 and by == "its work":
            raise ValueError(number)
        return number

    def items() -> Iterator[int]:
        yield from range(9)
        if by == "its items":
            raise ValueError(9)

    with ThreadPoolExecutor(1) as pool:
        made = in_order(work, items(), pool, 8 if by == "closing" else 20)
        if by == "closing":
            assert next(made) == 0
            made.close()
        else:
            with pytest.raises(ValueError, match=r"\d"):
                next(made)
        held.set()
    assert max(begun) <= 1


def test_stages_go_on_at_once() -> None:
    """Two stages that wait for each other's threads could not both be in one."""
    meeting = threading.Barrier(2, timeout=20)

    def first() -> Iterator[int]:
        yield 1
        meeting.wait()
        yield 2

    def second(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item == 1:
                meeting.wait()
            yield item

    assert list(ahead(second(ahead(first())))) == [1, 2]


def test_closing_ends_the_stages_before() -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            ended.append(True)

    before = threading.active_count()
    stream = ahead(ahead(items()))
    assert next(stream) == 0
    stream.close()
    assert ended == [True]
    assert threading.active_count() == before


def test_a_stream_that_is_given_up_ends_its_thread() -> None:
    before = threading.active_count()
    stream = ahead(iter(range(10**9)))
    assert next(stream) == 0
    del stream
    deadline = time.monotonic() + 20
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stream_can_be_closed_while_another_thread_waits_for_it() -> None:
    free = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        free.wait(20)

    stream = ahead(items())
    got: list[int] = []
    waiting = threading.Thread(target=lambda: got.extend(stream))
    waiting.start()
    time.sleep(0.1)
    stream.close()
    waiting.join(20)
    assert not waiting.is_alive()
    assert got == [1]
    free.set()


def test_times_count_work_and_not_waiting() -> None:
    times = Times()

    def items() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.1)
            yield sum(range(300_000)) * 0 + number

    assert list(times.drawing("slow", items())) == [0, 1, 2]
    assert 0 < times.seconds["slow"] < 0.3
