"""Logistic regression on the bins that are open: how `naive` is fitted."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import keras
import numpy as np
import numpy.typing as npt

from tfbind.checkpoints import Checkpoint
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.history import Epoch, History
from tfbind.networks.heads import LOGITS
from tfbind.settings import Settings
from tfbind.tabular import Floats, Table
from tfbind.tilesets import TileSet
from tfbind.training import require_learnable

Doubles = npt.NDArray[np.float64]

PENALTY = 1.0
"""What the squares of the coefficients of standardised features, halved, weigh beside the bins."""

BLOCK = 1 << 14
"""Bins whose features are standardised, in double precision, at a time."""

MOST_STEPS = 100
SMALL = 1e-10


@dataclass(frozen=True)
class _Bins:
    """Open bins, and what the closed ones weigh.

    Attributes
    ----------
    features : ndarray, shape (open bins, features), float32
    labels, weights : ndarray, shape (open bins, tasks), float32
    closed : ndarray, shape (tasks, 2), float64
        Weights of unbound and of bound bins.
    count : int
        Labels with a weight, of open and closed bins and all tasks.
    """

    features: Floats
    labels: Floats
    weights: Floats
    closed: Doubles
    count: int


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
    """Fit the network `naive` to the open bins of the training tiles, in one epoch.

    Each task has a regression of its own, by Newton's method. Closed bins get the floor: their own
    log-odds, or the lowest score of an open bin if that is lower. The features of open bins are
    held, 4 bytes each, up to three times while they are gathered and parted by task.

    Parameters
    ----------
    model, inputs, training, validation, on_step, on_epoch
        As `training.fit` takes them.
    settings : Settings
        Which say what ambiguous and bound bins weigh.
    checkpoint : Checkpoint, optional
        Not used: a run that was stopped begins again.

    Raises
    ------
    InputError
        If there is nothing to learn or nothing to choose by, or no open bin is bound or unbound.
    """
    began = time.monotonic()
    require_learnable(training, validation, settings)
    table = Table(model, inputs, training, validation, settings)
    bins = _gathered(table, on_step)
    lines, losses = [], 0.0
    for task, name in enumerate(training.tasks):
        line, loss = _fitted(bins, task, name)
        lines.append(line)
        losses += loss
    weights = np.array(lines, np.float32).T
    model.get_layer(LOGITS).set_weights([weights[:-1], weights[-1]])
    learnt = time.monotonic() - began
    measured = table.measured(model)
    epoch = table.epoch(began, learnt, losses / max(bins.count, 1), measured)
    on_epoch(epoch)
    return History([epoch], 1)


def _fitted(bins: _Bins, task: int, name: str) -> tuple[list[float], float]:
    """Give the weights of one score, the constant last, and the sum of its losses."""
    used = bins.weights[:, task] > 0
    labels = bins.labels[used, task].astype(np.float64)
    if not labels.any() or labels.all():
        raise InputError(
            f"the training part holds {int(labels.sum())} bound bins of {name} among the "
            f"{len(labels)} that are open, expected some of both; give more tiles"
        )
    features, weights = bins.features[used], bins.weights[used, task].astype(np.float64)
    line = regression(features, labels, weights)
    parts = [features[one] @ line[:-1] + line[-1] for one in _blocks(len(features))]
    logits = np.concatenate(parts)
    unbound, bound = bins.closed[task] + 0.5  # half a bin of each keeps the floor finite
    floor = min(float(np.log(bound / unbound)), float(logits.min()))
    loss = float(weights @ (np.logaddexp(0, logits) - labels * logits))
    loss += float(bins.closed[task] @ np.logaddexp(0, [floor, -floor]))
    # The feature behind the others is 1 where a bin is open.
    return [*line[:-1].tolist(), float(line[-1]) - floor, floor], loss


def _gathered(table: Table, on_step: Callable[[int, float], None]) -> _Bins:
    """Keep the open bins, and count the others."""
    tasks = len(table.training.tasks)
    closed, count = np.zeros((tasks, 2)), 0
    kept: list[tuple[Floats, Floats]] = []
    for features, truth in table.learnt():
        is_open = features[:, -1] > 0
        kept.append((features[is_open, :-1], truth[is_open]))
        labels, weights = truth[~is_open, :tasks], truth[~is_open, tasks:]
        for bound in (0, 1):
            closed[:, bound] += np.where(labels == bound, weights, 0).sum(axis=0, dtype=np.float64)
        count += int((truth[:, tasks:] > 0).sum())
        on_step(len(truth), math.nan)
    features, truth = (np.concatenate(column) for column in zip(*kept, strict=True))
    return _Bins(features, truth[:, :tasks], truth[:, tasks:], closed, count)


def regression(features: npt.NDArray[np.floating], labels: Doubles, weights: Doubles) -> Doubles:
    """Fit a logistic regression by Newton's method.

    Features are standardised within, and the squares of their coefficients weigh a little, so that
    there is one solution also where a line parts the classes. The constant is free.

    Parameters
    ----------
    features : ndarray, shape (n, features)
    labels : ndarray, shape (n,), float64
        0 or 1, both present.
    weights : ndarray, shape (n,), float64
        More than 0; only their ratios matter.

    Returns
    -------
    ndarray, shape (features + 1,), float64
        A coefficient for each feature as it was given, and the constant: natural log-odds.
    """
    standard = _Standard.of(features)
    weights = weights / weights.mean()
    penalty = np.append(np.full(features.shape[1], PENALTY), 0.0)
    line = np.zeros(len(penalty))
    share = np.average(labels, weights=weights)
    line[-1] = np.log(share / (1 - share))
    cost = _cost(standard, labels, weights, penalty, line)
    for _ in range(MOST_STEPS):
        gradient, curved = _slopes(standard, labels, weights, penalty, line)
        step = np.linalg.solve(curved, gradient)
        # Far from the end a whole step may lead uphill.
        while (new := _cost(standard, labels, weights, penalty, line - step)) > cost + SMALL * cost:
            step /= 2
        line, settled, cost = line - step, cost - new <= SMALL * cost, new
        if settled:
            break
    line[:-1] /= standard.deviation
    line[-1] -= line[:-1] @ standard.mean
    return line


@dataclass(frozen=True)
class _Standard:
    """Features with a mean of 0 and a deviation of 1, and a 1 behind them, made as needed.

    Attributes
    ----------
    features : ndarray, shape (n, features)
        As they were given.
    mean, deviation : ndarray, shape (features,), float64
    """

    features: npt.NDArray[np.floating]
    mean: Doubles
    deviation: Doubles

    @classmethod
    def of(cls, features: npt.NDArray[np.floating]) -> Self:
        """Measure features."""
        mean = features.mean(axis=0, dtype=np.float64)
        squares = sum(((features[one] - mean) ** 2).sum(axis=0) for one in _blocks(len(features)))
        deviation = np.sqrt(squares / len(features))
        deviation[deviation == 0] = 1
        return cls(features, mean, deviation)

    def __iter__(self) -> Iterator[tuple[slice, Doubles]]:
        for one in _blocks(len(self.features)):
            known = np.ones((len(self.features[one]), len(self.mean) + 1))
            known[:, :-1] = (self.features[one] - self.mean) / self.deviation
            yield one, known


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, first + BLOCK) for first in range(0, count, BLOCK))


def _slopes(
    standard: _Standard, labels: Doubles, weights: Doubles, penalty: Doubles, line: Doubles
) -> tuple[Doubles, Doubles]:
    """Give the first and the second derivatives of the cost."""
    gradient, curved = penalty * line, np.diag(penalty)
    for one, known in standard:
        odds = _probability(known @ line)
        gradient += known.T @ (weights[one] * (odds - labels[one]))
        curved += (known * (weights[one] * odds * (1 - odds))[:, None]).T @ known
    return gradient, curved


def _cost(
    standard: _Standard, labels: Doubles, weights: Doubles, penalty: Doubles, line: Doubles
) -> float:
    cost = penalty @ line**2 / 2
    for one, known in standard:
        logits = known @ line
        cost += weights[one] @ (np.logaddexp(0, logits) - labels[one] * logits)
    return float(cost)


def _probability(logits: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
