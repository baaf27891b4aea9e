"""How the epochs of `tfbind train` are shown."""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from .progress import on_terminal, say

if TYPE_CHECKING:
    from tfbind.history import Epoch

OTHER_LINES = 8
"""Lines of a terminal that the table leaves for its head, the progress and what stood before."""


class Display(Protocol):
    """What training tells, and shows somewhere."""

    def step(self, bins: int, loss: float) -> None:
        """Show that so many bins more were learnt from, and the epoch's loss so far."""

    def epoch(self, epoch: "Epoch") -> None:
        """Show an epoch; those before the first step are an earlier run's."""


class Lines:
    """A line for each epoch, on standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stepped = False
        self._before = 0

    def step(self, bins: int, loss: float) -> None:
        """Say, at the first, how many epochs an earlier run has done."""
        if self._before and not self._stepped:
            done = "epoch 1 was" if self._before == 1 else f"epochs 1 to {self._before} were"
            say(f"{done} learnt before: going on from there", quiet=self._quiet)
        self._stepped = True

    def epoch(self, epoch: "Epoch") -> None:
        """Say how an epoch went."""
        if not self._stepped:
            self._before = epoch.number
            return
        say(
            f"epoch {epoch.number}: {epoch.seconds:.0f} s, {epoch.bins_per_second:,.0f} bins/s, "
            f"loss {epoch.loss:.4f}, validation loss {epoch.validation_loss:.4f}, validation AUPRC "
            f"{epoch.validation_auprc:.4f}",
            quiet=self._quiet,
        )


class Table:
    """A table that grows on a terminal, with a bar for the epoch below it."""

    def __init__(self, bins: int, epochs: int, tasks: int) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._head = ["epoch", "s", "bins/s", "loss", "validation loss", "AUPRC"]
        if tasks > 1:
            self._head[-1] = f"mean AUPRC of {tasks}"
        self._rows: list[list[str]] = []
        self._best, self._highest = 0, float("-inf")
        self._epochs = epochs
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("epoch 1", total=bins, rate="")
        self.live = Live(
            self._drawn(whole=False),
            console=self._console,
            refresh_per_second=4,
            vertical_overflow="visible",
        )

    def _drawn(self, *, whole: bool) -> Any:
        """Draw the table, of which a running one shows as many lines as there is room for."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table as Grid

        grid = Grid(box=SIMPLE_HEAD, pad_edge=False)
        for name in self._head:
            grid.add_column(name, justify="right", no_wrap=True)
        grid.add_column("", no_wrap=True)
        room = max(self._console.size.height - OTHER_LINES, 1)
        for row in self._rows if whole else self._rows[-room:]:
            best = row[0] == str(self._best)
            grid.add_row(*row, "best" if best else "", style="bold" if best else None)
        return grid if whole else Group(grid, self._bar)

    def step(self, bins: int, loss: float) -> None:
        """Move the bar on; a loss that is no number is not known yet."""
        told = "-" if math.isnan(loss) else f"{loss:.4f}"
        self._bar.update(
            self._task,
            advance=bins,
            description=f"epoch {len(self._rows) + 1} of at most {self._epochs}, loss {told}",
        )
        speed = self._bar.tasks[0].speed
        self._bar.update(self._task, rate="" if speed is None else f"{speed:,.0f} bins/s")

    def epoch(self, epoch: "Epoch") -> None:
        """Add a line."""
        if epoch.validation_auprc > self._highest:
            self._best, self._highest = epoch.number, epoch.validation_auprc
        self._rows.append(
            [
                str(epoch.number),
                f"{epoch.seconds:,.0f}",
                f"{epoch.bins_per_second:,.0f}",
                f"{epoch.loss:.4f}",
                f"{epoch.validation_loss:.4f}",
                f"{epoch.validation_auprc:.4f}",
            ]
        )
        self._bar.reset(self._task, description=f"epoch {epoch.number + 1}", rate="")
        self.live.update(self._drawn(whole=False))

    def close(self) -> None:
        """Leave the whole table behind."""
        self.live.update(self._drawn(whole=True), refresh=True)


@contextmanager
def display(bins: int, epochs: int, tasks: int, *, quiet: bool) -> Iterator[Display]:
    """Show epochs as a live table on a terminal, as lines elsewhere.

    `bins` are those of an epoch, `epochs` the most there may be.
    """
    if not on_terminal(quiet=quiet):
        yield Lines(quiet=quiet)
        return
    table = Table(bins, epochs, tasks)
    with table.live:
        try:
            yield table
        finally:
            table.close()


@contextmanager
def stopping() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM end training between two steps; a second one ends it at once.

    Inside of a step an exception may come back from TensorFlow as another one. Gives what is to be
    called between steps, and raises KeyboardInterrupt there.
    """
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def look() -> None:
        if asked:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # a shell's background job ignores Ctrl-C
                signal.signal(number, ask)
        yield look
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
