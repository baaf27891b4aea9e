"""Fit a network to tiles."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

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
from tfbind.checkpoints import Checkpoint, State
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.evaluation import auprc_trapezoid
from tfbind.history import Epoch, History, history_csv
from tfbind.labels import AMBIGUOUS, BOUND, UNBOUND
from tfbind.losses import cross_entropy
from tfbind.networks import scans
from tfbind.networks.heads import Kind, learnt_of
from tfbind.pipeline import ahead
from tfbind.settings import Ambiguous, BoundWeight, Settings
from tfbind.tilesets import TileSet

__all__ = [
    "DivergedError",
    "Epoch",
    "History",
    "Measured",
    "Settings",
    "Validator",
    "class_weights",
    "compiled",
    "fit",
    "history_csv",
    "measurable",
    "one_epoch",
    "require_learnable",
    "validate",
]


NO_NUMBER = "the loss is no number any more; give a smaller --learning-rate"


class DivergedError(InputError):
    """The loss or a score is no number any more."""


class Measured(NamedTuple):
    """How a network does on validation tiles: loss in nats, mean AUPRC, and that of each task."""

    loss: float
    auprc: float
    areas: tuple[float, ...]


def class_weights(
    counts: npt.NDArray[np.int64], ambiguous: Ambiguous, bound: BoundWeight = "balanced"
) -> npt.NDArray[np.float32]:
    """Weigh bound bins, by default so that they matter as much as all unbound ones together.

    Parameters
    ----------
    counts : ndarray, shape (tasks, 3), int64
        Unbound, ambiguous and bound bins.
    ambiguous : 'drop' or 'unbound'
        What ambiguous bins are learnt as.
    bound : 'balanced' or 'one'

    Returns
    -------
    ndarray, shape (tasks,), float32
        Unbound over bound, or 1.
    """
    if bound == "one":
        return np.ones(len(counts), np.float32)
    return (_learnt_unbound(counts, ambiguous) / np.maximum(counts[:, BOUND], 1)).astype(np.float32)


def _learnt_unbound(counts: npt.NDArray[np.int64], ambiguous: Ambiguous) -> npt.NDArray[np.int64]:
    return counts[:, UNBOUND] + (counts[:, AMBIGUOUS] if ambiguous == "unbound" else 0)


def _counted(truth: npt.NDArray[np.float32], kind: Kind = "each") -> int:
    """Count what the loss of a batch is the mean over: labels that have a weight, of all tasks.

    Where classes exclude each other it is bins, as in `losses.of_truth`.
    """
    labels, weights = np.split(truth, 2, axis=-1)
    if kind == "exclusive":
        theirs = (labels * weights).max(axis=-1)
        weights = np.where(labels.any(axis=-1), theirs, weights.min(axis=-1))
    return int((weights > 0).sum())


class Validator:
    """Score tiles and compare with their labels.

    Parameters
    ----------
    model : keras.Model
    focus : float
        As `losses.cross_entropy` takes it.
    """

    def __init__(self, model: keras.Model, focus: float = 0.0) -> None:
        mark = learnt_of(model)[1]
        self._both = keras.Model(model.inputs, [mark.output, model.output])
        self._loss = cross_entropy(mark, focus)
        self._kind = mark.kind

    def __call__(self, batches: Iterable[Batch]) -> Measured:
        """Measure once.

        Raises
        ------
        DivergedError
            If a score or the loss is no number.
        """
        total, counted = 0.0, 0
        labels, scores = [], []
        for inputs, truth in batches:
            learnt, predicted = self._both.predict_on_batch(inputs)
            count = _counted(truth, self._kind)
            total += float(self._loss(truth, learnt)) * count
            if not (np.isfinite(total) and np.isfinite(predicted).all()):
                raise DivergedError(NO_NUMBER)
            counted += count
            truth = truth.reshape(-1, truth.shape[-1])
            tasks = truth.shape[1] // 2
            labels.append(np.where(truth[:, tasks:] > 0, truth[:, :tasks], -1).astype(np.int8))
            # Behind the background, if it has a score.
            scores.append(predicted.reshape(len(truth), -1)[:, -tasks:])
        areas = _areas(np.concatenate(labels), np.concatenate(scores))
        measured = [area for area in areas if np.isfinite(area)]
        mean = float(np.mean(measured)) if measured else float("nan")
        return Measured(total / max(counted, 1), mean, areas)


def _areas(labels: npt.NDArray[np.int8], scores: Array) -> tuple[float, ...]:
    """Give the AUPRC of each task; labels below 0 do not count."""
    found = []
    for label, score in zip(labels.T, scores.T, strict=True):
        bound = label[label >= 0] > 0
        both = bound.any() and not bound.all()
        found.append(float(auprc_trapezoid(bound, score[label >= 0])) if both else float("nan"))
    return tuple(found)


def validate(model: keras.Model, batches: Iterable[Batch], focus: float = 0.0) -> Measured:
    """Score tiles and compare with their labels; parameters and errors are as of `Validator`."""
    return Validator(model, focus)(batches)


def fit(
    model: keras.Model,
    inputs: Sequence[Input],
    training: TileSet,
    validation: TileSet,
    settings: Settings,
    on_step: Callable[[int, float], None] = lambda bins, loss: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    checkpoint: Checkpoint | None = None,
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
        Told the bins of each step and the epoch's loss so far; 0 bins as it validates.
    on_epoch : callable
        Told each epoch; those of an earlier run too, with which training goes on.
    checkpoint : Checkpoint, optional
        Holds the state after each epoch. If it does so from an earlier run, training goes on
        behind its last epoch, to the same end as without a break.

    Returns
    -------
    History
        Ctrl-C ends training after the first epoch without an error.

    Raises
    ------
    InputError
        If there is nothing to learn or nothing to choose by.
    """
    require_learnable(training, validation, settings)
    run, history = _Run(model, inputs, training, validation, settings), History()
    best: list[Array] = model.get_weights()
    if checkpoint is not None and (state := checkpoint.read()) is not None:
        history, best = run.restore(state), list(state.best)
    for epoch in history.epochs:
        on_epoch(epoch)
    try:
        while not history.is_over(settings):
            epoch = run.epoch(len(history.epochs) + 1, on_step)
            if history.add(epoch):
                best = model.get_weights()
            if checkpoint is not None:
                checkpoint.keep(run.state(history, best))
            on_epoch(epoch)
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


class _Run:
    """A network, and all that changes as it is fitted."""

    def __init__(
        self,
        model: keras.Model,
        inputs: Sequence[Input],
        training: TileSet,
        validation: TileSet,
        settings: Settings,
    ) -> None:
        counts, ambiguous = training.label_counts(), settings.ambiguous
        weights = class_weights(counts, ambiguous, settings.bound_weight)
        windows = None if scans(model) else training.files[0].contents.geometry
        self._batcher = Batcher(inputs, weights, ambiguous, windows)
        self._chooser = Batcher(inputs, weights, "drop", windows)
        self._training, self._validation, self._settings = training, validation, settings
        self._rng = np.random.default_rng(settings.seed)
        self._validator = Validator(model, settings.focus)
        self._learner, mark = learnt_of(model)
        self._kind = mark.kind
        self._optimiser = keras.optimizers.Adam(
            settings.learning_rate, global_clipnorm=settings.clip or None
        )
        self._optimiser.build(self._learner.trainable_variables)
        loss = cross_entropy(mark, settings.focus)
        self._learner.compile(self._optimiser, loss, jit_compile=compiled())

    def epoch(self, number: int, on_step: Callable[[int, float], None]) -> Epoch:
        """Fit to the training tiles once, and measure on the validation tiles."""
        settings, began = self._settings, time.monotonic()
        self._optimiser.learning_rate = settings.rate(number)
        batches = training_batches(
            self._training, self._batcher, settings.batch, settings.both_strands, self._rng
        )
        loss, bins = one_epoch(self._learner, batches, on_step, self._kind)
        learnt = time.monotonic() - began
        chosen = validation_batches(self._validation, self._chooser, settings.batch)
        measured = self._validator(_watched(chosen, lambda: on_step(0, loss)))
        seconds = time.monotonic() - began
        rate = bins / max(learnt, 1e-9)
        return Epoch(number, seconds, loss, measured.loss, measured.auprc, rate, measured.areas)

    def state(self, history: History, best: list[Array]) -> State:
        """Give all that the next epoch depends on."""
        return State(
            [np.asarray(one) for one in self._learner.variables],
            [np.asarray(one) for one in self._optimiser.variables],
            best,
            self._rng.bit_generator.state,
            {"epochs": [asdict(epoch) for epoch in history.epochs], "best": history.best},
        )

    def restore(self, state: State) -> History:
        """Go back to a state, and give what had happened until then."""
        for one, value in zip(self._learner.variables, state.variables, strict=True):
            one.assign(value)
        for one, value in zip(self._optimiser.variables, state.optimiser, strict=True):
            one.assign(value)
        self._rng.bit_generator.state = state.random
        epochs: list[dict[str, Any]] = state.history["epochs"]
        made = [Epoch(**dict(one, areas=tuple(one["areas"]))) for one in epochs]
        return History(made, state.history["best"])


def _watched(batches: Iterable[Batch], look: Callable[[], None]) -> Iterator[Batch]:
    for batch in batches:
        look()
        yield batch


def compiled() -> bool:
    """Tell whether XLA is to compile steps: JAX runs operation by operation without it.

    TensorFlow is slower with it.
    """
    backend: str = keras.backend.backend()
    return backend == "jax"


def one_epoch(
    model: keras.Model,
    batches: Iterator[Batch],
    on_step: Callable[[int, float], None],
    kind: Kind = "each",
) -> tuple[float, int]:
    """Fit to batches once.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    batches : iterator of Batch
    on_step : callable
        Told the bins of each step, with those of no weight, and the mean loss so far.
    kind : str
        Of `heads.Learnt`.

    Returns
    -------
    loss : float
        The mean.
    bins : int
        That have a weight for a task or more.

    Raises
    ------
    DivergedError
        If the loss is no number.
    """
    total, used, bins = 0.0, 0, 0
    for inputs, truth in ahead(batches, PREFETCHED):
        counted = _counted(truth, kind)
        total += float(model.train_on_batch(*_filled(inputs, truth))) * counted
        if not np.isfinite(total):
            raise DivergedError(NO_NUMBER)
        used += counted
        bins += int(truth[..., truth.shape[-1] // 2 :].any(axis=-1).sum())
        on_step(truth.shape[0] * truth.shape[1], total / max(used, 1))
    return total / max(used, 1), bins


def _filled(inputs: dict[str, Array], truth: npt.NDArray[np.float32]) -> Batch:
    """Fill a batch with repeats of no weight, so that each of several devices has as much of it."""
    several = keras.distribution.distribution()
    more = -len(truth) % several.num_model_replicas if several else 0
    if not more:
        return inputs, truth
    repeated = np.arange(more) % len(truth)
    blank = np.zeros((more, *truth.shape[1:]), truth.dtype)
    filled = {name: np.concatenate([one, one[repeated]]) for name, one in inputs.items()}
    return filled, np.concatenate([truth, blank])


def measurable(tiles: TileSet) -> list[str]:
    """Name the tasks that have bound and unbound bins, so that a network can be chosen by them."""
    counts = tiles.label_counts()
    both = (counts[:, BOUND] > 0) & (counts[:, UNBOUND] > 0)
    return [name for name, yes in zip(tiles.tasks, both.tolist(), strict=True) if yes]


def require_learnable(training: TileSet, validation: TileSet, settings: Settings) -> None:
    """Check that there are labels to learn from, and to choose by.

    Raises
    ------
    InputError
        If a task has no bound or no unbound bins in the training part, or all have none of one of
        them in the validation part.
    """
    counts = training.label_counts()
    unbound = _learnt_unbound(counts, settings.ambiguous)
    for task in range(len(training.tasks)):
        if not unbound[task] or not counts[task, BOUND]:
            raise InputError(
                f"the training part holds {_told(training, task)}, expected some of both for each "
                "experiment; give more tiles, or other regions to --validate"
            )
    if not measurable(validation):
        raise InputError(
            f"the validation part holds {_told(validation, 0)}, expected some of both for one "
            "experiment or more; give more tiles, or other regions to --validate"
        )


def _told(tiles: TileSet, task: int) -> str:
    counts = tiles.label_counts()[task]
    return f"{counts[BOUND]} bound and {counts[UNBOUND]} unbound bins of {tiles.tasks[task]}"
