"""Fit a network to tiles."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt

from tfbind.batches import (
    PREFETCHED,
    Batch,
    Batcher,
    training_batches,
    validation_batches,
)
from tfbind.channels.base import Array
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.evaluation import auprc_trapezoid
from tfbind.labels import AMBIGUOUS, BOUND, UNBOUND
from tfbind.losses import cross_entropy
from tfbind.networks import scans
from tfbind.networks.heads import learnt_of
from tfbind.pipeline import ahead
from tfbind.tilesets import TileSet


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes
    ----------
    epochs, patience : int
        Most passes over the tiles; passes without a better validation AUPRC before the end.
    batch : int
        Bins in a step; a multiple of `PIECE`.
    learning_rate : float
        Of Adam.
    ambiguous : 'drop' or 'unbound'
        Give ambiguous bins no weight, or learn them as unbound. Validation drops them.
    both_strands : bool
        Show each piece as it is or, at random, as its reverse complement.
    focus : float
        The gamma of the focal loss; 0: plain cross-entropy.
    seed : int
    """

    epochs: int = 50
    patience: int = 10
    batch: int = 256
    learning_rate: float = 1e-3
    ambiguous: Literal["drop", "unbound"] = "drop"
    both_strands: bool = True
    focus: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class Epoch:
    """One pass over the training tiles.

    Attributes
    ----------
    number : int
        Counted from one.
    seconds : float
    loss, validation_loss : float
        Mean over bins of the weighted cross-entropy, nats.
    validation_auprc : float
        Of each task by trapezoid, averaged.
    """

    number: int
    seconds: float
    loss: float
    validation_loss: float
    validation_auprc: float


class DivergedError(Exception):
    """The loss is no number any more."""


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


def class_weights(
    counts: npt.NDArray[np.int64], ambiguous: Literal["drop", "unbound"]
) -> npt.NDArray[np.float32]:
    """Weigh bound bins so that they matter as much as all unbound ones together.

    Parameters
    ----------
    counts : ndarray, shape (tasks, 3), int64
        Unbound, ambiguous and bound bins.
    ambiguous : 'drop' or 'unbound'
        What ambiguous bins are learnt as.

    Returns
    -------
    ndarray, shape (tasks,), float32
        Unbound over bound.
    """
    return (_learnt_unbound(counts, ambiguous) / np.maximum(counts[:, BOUND], 1)).astype(np.float32)


def _learnt_unbound(
    counts: npt.NDArray[np.int64], ambiguous: Literal["drop", "unbound"]
) -> npt.NDArray[np.int64]:
    return counts[:, UNBOUND] + (counts[:, AMBIGUOUS] if ambiguous == "unbound" else 0)


def _counted(truth: npt.NDArray[np.float32]) -> int:
    """Count the labels that have a weight, of all tasks."""
    return int((truth[..., truth.shape[-1] // 2 :] > 0).sum())


def validate(
    model: keras.Model, batches: Iterable[Batch], focus: float = 0.0
) -> tuple[float, float]:
    """Score tiles and compare with their labels.

    Parameters
    ----------
    model : keras.Model
    batches : iterable of Batch
    focus : float
        As `losses.cross_entropy` takes it.

    Returns
    -------
    loss : float, nats
    auprc : float
        Mean over the tasks that have bound bins.
    """
    losses, truths, scores = [], [], []
    mark = learnt_of(model)[1]
    both = keras.Model(model.inputs, [mark.output, model.output])
    loss = cross_entropy(mark, focus)
    for inputs, truth in batches:
        learnt, predicted = both.predict_on_batch(inputs)
        losses.append(float(loss(truth, learnt)) * _counted(truth))
        truths.append(truth.reshape(-1, truth.shape[-1]))
        scores.append(predicted.reshape(-1, predicted.shape[-1]))
    truth, predicted = np.concatenate(truths), np.concatenate(scores)
    tasks = truth.shape[1] // 2
    predicted = predicted[:, -tasks:]  # behind the background, if it has a score
    areas = []
    for task in range(tasks):
        used = truth[:, tasks + task] > 0
        labels = truth[used, task] > 0
        if labels.any() and not labels.all():
            areas.append(auprc_trapezoid(labels, predicted[used, task]))
    return float(sum(losses)) / max(_counted(truth), 1), float(np.mean(areas)) if areas else float(
        "nan"
    )


def fit(
    model: keras.Model,
    inputs: Sequence[Input],
    training: TileSet,
    validation: TileSet,
    settings: Settings,
    on_step: Callable[[int, float], None] = lambda bins, loss: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> History:
    """Fit a network, and leave it with the weights that were best on the validation tiles.

    Parameters
    ----------
    model : keras.Model
    inputs : sequence of Input
        With the model's transforms.
    training, validation : TileSet
    settings : Settings
    on_step : callable
        Told the bins of each step and the epoch's loss so far.
    on_epoch : callable
        Told each epoch.

    Returns
    -------
    History
        Ctrl-C ends training after the first epoch without an error.

    Raises
    ------
    InputError
        If there is nothing to learn or nothing to choose by.
    """
    _require_both_classes(training.label_counts(), settings.ambiguous, "training")
    _require_both_classes(validation.label_counts(), "drop", "validation")
    history = History()
    best: list[Array] = model.get_weights()
    highest = -np.inf
    try:
        for epoch in _epochs(model, inputs, training, validation, settings, on_step):
            history.epochs.append(epoch)
            if epoch.validation_auprc > highest:
                highest, best = epoch.validation_auprc, model.get_weights()
                history.best = epoch.number
            on_epoch(epoch)
            if epoch.number - history.best >= settings.patience:
                break
    except (KeyboardInterrupt, DivergedError) as stop:
        if not history.best and isinstance(stop, DivergedError):
            raise InputError(
                "the loss is no number in the first epoch; give a smaller --learning-rate"
            ) from None
        if not history.best:
            raise
        history.ended = "diverged" if isinstance(stop, DivergedError) else "interrupted"
    model.set_weights(best)
    return history


def _epochs(
    model: keras.Model,
    inputs: Sequence[Input],
    training: TileSet,
    validation: TileSet,
    settings: Settings,
    on_step: Callable[[int, float], None],
) -> Iterator[Epoch]:
    """Fit to the training tiles once after the other, and measure on the validation tiles."""
    rng = np.random.default_rng(settings.seed)
    weights = class_weights(training.label_counts(), settings.ambiguous)
    windows = None if scans(model) else training.files[0].contents.geometry
    batcher = Batcher(inputs, weights, settings.ambiguous, windows)
    chooser = Batcher(inputs, weights, "drop", windows)
    optimiser = keras.optimizers.Adam(settings.learning_rate)
    learner, mark = learnt_of(model)
    learner.compile(optimiser, cross_entropy(mark, settings.focus), jit_compile=False)
    bins, both = settings.batch, settings.both_strands
    for number in range(1, settings.epochs + 1):
        began = time.monotonic()
        loss = _one_epoch(learner, training_batches(training, batcher, bins, both, rng), on_step)
        measured = validate(model, validation_batches(validation, chooser, bins), settings.focus)
        yield Epoch(number, time.monotonic() - began, loss, *measured)


def _one_epoch(
    model: keras.Model,
    batches: Iterator[Batch],
    on_step: Callable[[int, float], None],
) -> float:
    total, bins = 0.0, 0
    for inputs, truth in ahead(batches, PREFETCHED):
        used = _counted(truth)
        total += float(model.train_on_batch(inputs, truth)) * used
        if not np.isfinite(total):
            raise DivergedError
        bins += used
        on_step(truth.shape[0] * truth.shape[1], total / max(bins, 1))
    return total / max(bins, 1)


def _require_both_classes(
    counts: npt.NDArray[np.int64], ambiguous: Literal["drop", "unbound"], part: str
) -> None:
    if not _learnt_unbound(counts, ambiguous).all() or not counts[:, BOUND].all():
        raise InputError(
            f"the {part} part holds {counts[:, BOUND].tolist()} bound and "
            f"{counts[:, UNBOUND].tolist()} unbound bins, expected some of both for each "
            "experiment; give more tiles, or other regions to --validate"
        )


def history_tsv(history: History) -> str:
    """Write a history as a table with a header, a line an epoch."""
    names = [one.name for one in fields(Epoch)]
    lines = ["\t".join(names)]
    lines += [
        "\t".join(f"{getattr(epoch, name):.6g}" for name in names) for epoch in history.epochs
    ]
    return "\n".join(lines) + "\n"
