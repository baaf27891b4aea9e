"""What happened in training, epoch by epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from tfbind.errors import InputError
from tfbind.settings import Settings


@dataclass(frozen=True)
class Epoch:
    """One pass over the training tiles.

    Attributes
    ----------
    number : int
        Counted from one.
    seconds : float
        With validation.
    loss, validation_loss : float
        Mean over bins of the weighted cross-entropy, nats.
    validation_auprc : float
        By trapezoid, the mean over the tasks that have bound and unbound bins.
    bins_per_second : float
        That were learnt from, without validation.
    areas : tuple of float
        The AUPRC of each task; not a number where it lacks bound or unbound bins.
    """

    number: int
    seconds: float
    loss: float
    validation_loss: float
    validation_auprc: float
    bins_per_second: float = float("nan")
    areas: tuple[float, ...] = ()


@dataclass
class History:
    """What happened, epoch by epoch.

    Attributes
    ----------
    epochs : list of Epoch
    best : int
        The number of the epoch whose weights the network has; 0 before the first.
    ended : str
        Why training ended early: 'interrupted' by Ctrl-C, or 'diverged' as the loss was no number;
        else empty.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0
    ended: Literal["", "interrupted", "diverged"] = ""

    def add(self, epoch: Epoch) -> bool:
        """Add an epoch, and tell whether it is the best so far."""
        highest = self.epochs[self.best - 1].validation_auprc if self.best else -math.inf
        self.epochs.append(epoch)
        if epoch.validation_auprc > highest:
            self.best = epoch.number
        return self.best == epoch.number

    def is_over(self, settings: Settings) -> bool:
        """Tell whether there are epochs enough, or enough of them without a better one."""
        count = len(self.epochs)
        return count >= settings.epochs or count - self.best >= settings.patience


COLUMNS = (
    "epoch",
    "seconds",
    "bins_per_second",
    "loss",
    "validation_loss",
    "validation_auprc",
)
AREA = "auprc_"
"""What a column's name begins with that holds the AUPRC of a task."""


def history_csv(history: History, tasks: Sequence[str]) -> str:
    """Write a history as a table with a header and a line for each epoch, separated by commas.

    The AUPRC of each task stands in a column of its own if there are several; it is empty where
    there is none.
    """
    several = tasks if len(tasks) > 1 else ()
    lines = [",".join([*COLUMNS, *(AREA + task for task in several)])]
    for one in history.epochs:
        values = [
            one.seconds,
            one.bins_per_second,
            one.loss,
            one.validation_loss,
            one.validation_auprc,
            *(one.areas if several else ()),
        ]
        shown = ("" if math.isnan(value) else f"{value:.6g}" for value in values)
        lines.append(",".join([str(one.number), *shown]))
    return "\n".join(lines) + "\n"


def read_history(stream: BinaryIO, path: str, best: int) -> tuple[History, tuple[str, ...]]:
    """Read what `history_csv` wrote.

    Parameters
    ----------
    stream : binary file
    path : str
        Its name, for messages.
    best : int
        The epoch that was kept.

    Returns
    -------
    history : History
    tasks : tuple of str
        That have a column; none if there is only one task.

    Raises
    ------
    InputError
        If it is no such table, or lacks the epoch that was kept.
    """
    try:
        header, *lines = stream.read().decode().splitlines()
        epochs = [_epoch(line.split(",")) for line in lines]
    except ValueError as error:
        raise InputError("is no history of training", path=path) from error
    names = header.split(",")
    whole = [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))
    if tuple(names[: len(COLUMNS)]) != COLUMNS or not whole or not 1 <= best <= len(epochs):
        raise InputError(f"is no history of training with epoch {best}", path=path)
    return History(epochs, best), tuple(name.removeprefix(AREA) for name in names[len(COLUMNS) :])


def _epoch(fields: Sequence[str]) -> Epoch:
    seconds, rate, loss, validation_loss, auprc, *areas = (
        float(field or "nan") for field in fields[1:]
    )
    return Epoch(int(fields[0]), seconds, loss, validation_loss, auprc, rate, tuple(areas))
