"""Progress and summaries on standard error, and nowhere else."""

import fcntl
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar


class Advance(Protocol):
    """Tell how much more is done."""

    def __call__(self, amount: float, note: str = "") -> None:
        """Add to what is done, in the unit of the progress bar, with a note beside it."""


Item = TypeVar("Item")


def advancing(
    items: Iterable[Item], advance: Advance, count: Callable[[Any], float] = len
) -> Iterator[Item]:
    """Pass items on, and tell how much each of them counts."""
    for item in items:
        yield item
        advance(count(item))


class Tally:
    """Count what a progress bar is told."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self.total = 0.0

    def __call__(self, amount: float, note: str = "") -> None:
        """Add to the total, and tell the bar."""
        self.total += amount
        self._advance(amount, note)


@contextmanager
def progress(what: str, unit: str, *, total: float | None, quiet: bool) -> Iterator[Advance]:
    """Show what is done, the rate and the time left, if standard error is a terminal."""
    if not on_terminal(quiet=quiet):
        yield lambda amount, note="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            whole = "" if task.total is None else f" of {task.total:,.0f}"
            rate = "" if task.speed is None else f", {task.speed:,.0f} {unit}/s"
            return Text(f"{task.completed:,.0f}{whole} {unit}{rate}")

    columns = [TextColumn("{task.description}"), BarColumn(), Rate(), TimeElapsedColumn()]
    if total is not None:
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def advance(amount: float, note: str = "") -> None:
            bar.update(task, advance=amount, description=f"{what} {note}".rstrip())

        yield advance


def on_terminal(*, quiet: bool) -> bool:
    """Tell whether to draw on standard error."""
    return not quiet and sys.stderr.isatty() and _first_on_terminal()


@functools.cache
def _first_on_terminal() -> bool:
    """Claim the terminal until the process ends: of the filters of a pipe one draws its bar."""
    try:
        fcntl.flock(
            os.open(os.ttyname(2), os.O_RDONLY | os.O_NOCTTY), fcntl.LOCK_EX | fcntl.LOCK_NB
        )
    except OSError:
        return False
    return True


def say(text: str, *, quiet: bool) -> None:
    """Write a summary or a note on standard error."""
    if not quiet:
        print(f"tfbind: {text}", file=sys.stderr)
