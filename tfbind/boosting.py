"""Gradient-boosted trees: how `boosted` is fitted, by xgboost."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import xgboost

from tfbind.checkpoints import Checkpoint
from tfbind.contract import Input
from tfbind.evaluation import auprc_trapezoid
from tfbind.history import Epoch, History
from tfbind.losses import SMALLEST
from tfbind.networks.heads import LOGITS
from tfbind.networks.trees import Forest, Trees
from tfbind.settings import Settings
from tfbind.tabular import Floats, Rows, Table
from tfbind.tilesets import TileSet
from tfbind.training import Measured, require_learnable

NOISE = 0.05
"""Of the steps that features lie on: how far from its place the sum of a mean may be."""


class _Reader(xgboost.DataIter):
    """Give xgboost the features batch by batch, as often as it wants, and keep the truth."""

    def __init__(self, rows: Callable[[], Rows]) -> None:
        super().__init__()
        self._rows = rows
        self._left: Rows = iter(())
        self._read: list[Floats] = []
        self.truth: list[Floats] = []
        self.stopped: BaseException | None = None

    def reset(self) -> None:
        """Begin again."""
        self._left, self._read = self._rows(), []

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over a batch, if there is one."""
        # Whatever is raised here would be lost on its way through the library.
        try:
            features, truth = next(self._left)
        except StopIteration:
            self.truth = self._read
            return False
        except BaseException as stop:
            self.stopped = stop
            return False
        self._read.append(truth)
        input_data(data=features)
        return True


@dataclass
class _Bins:
    """Bins as xgboost holds them, a byte a feature, and their truth.

    Attributes
    ----------
    matrix : xgboost.QuantileDMatrix
    labels, weights : ndarray, shape (bins, tasks), float32
    """

    matrix: Any
    labels: Floats
    weights: Floats

    @property
    def labelled(self) -> int:
        """Labels with a weight, of all tasks; 1 where there are none."""
        return max(int((self.weights > 0).sum()), 1)

    def of(self, task: int) -> Any:
        """Give the matrix with a task's labels."""
        self.matrix.set_info(label=self.labels[:, task], weight=self.weights[:, task])
        return self.matrix


class _Ensemble:
    """The trees of one task, as they grow.

    Parameters
    ----------
    task : int
    learnt, chosen_by : _Bins
    recipe : dict
        Parameters of xgboost.
    wait : int
        Trees without a better AUPRC before the end; 0: all trees are grown and kept.
    """

    def __init__(
        self, task: int, learnt: _Bins, chosen_by: _Bins, recipe: dict[str, Any], wait: int
    ) -> None:
        self._task, self._learnt, self._chosen_by, self._wait = task, learnt, chosen_by, wait
        share = np.average(learnt.labels[:, task], weights=learnt.weights[:, task])
        self.bias = float(np.log(share / (1 - share)))
        held = [learnt.matrix, chosen_by.matrix]
        self._booster = xgboost.Booster(dict(recipe, base_score=float(share)), held)
        self._used = chosen_by.weights[:, task] > 0
        self._labels = chosen_by.labels[self._used, task] > 0
        self.measurable = bool(self._labels.any() and not self._labels.all())
        self.grown, self.best, self.area = 0, 0, -math.inf

    @property
    def is_over(self) -> bool:
        """Whether the last trees did not help; what has no bound or unbound bins never tells."""
        return self._wait > 0 and self.measurable and self.grown - self.best >= self._wait

    def grow(self) -> None:
        """Grow one tree, and see whether it helps."""
        self._booster.update(self._learnt.of(self._task), self.grown)
        self.grown += 1
        if not self.measurable:
            return
        margins = self._booster.predict(self._chosen_by.matrix, output_margin=True)
        area = float(auprc_trapezoid(self._labels, margins[self._used]))
        if area > self.area or not self._wait:
            self.best, self.area = self.grown, area

    def losses(self, bins: _Bins, trees: int) -> float:
        """Add up the weighted losses of the first trees on bins, nats."""
        # Those of all trees are at hand.
        first = (0, 0) if trees == self.grown else (0, trees)
        margins = self._booster.predict(bins.matrix, output_margin=True, iteration_range=first)
        margins = margins.astype(np.float64)
        labels, weights = bins.labels[:, self._task], bins.weights[:, self._task]
        losses = np.logaddexp(0, margins) - labels * margins
        return float(weights @ np.minimum(losses, -math.log(SMALLEST)))

    def forest(self, depth: int, steps: npt.NDArray[np.float64]) -> Forest:
        """Give the best trees."""
        trees = json.loads(self._booster[: self.best].save_raw("json"))
        trees = trees["learner"]["gradient_booster"]["model"]["trees"]
        return forest_of(trees, depth, steps, self.bias)


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
    """Grow the trees of the network `boosted`, in one epoch, by its own hyper-parameters.

    The features of all bins are held in a byte each, at most 256 levels a feature. Each task has
    as many trees as were best on the validation tiles; one that has no bound or no unbound bins
    there, as many as the others in the middle.

    Parameters
    ----------
    model, inputs, training, validation, on_step, on_epoch
        As `training.fit` takes them.
    settings : Settings
        Which say what ambiguous and bound bins weigh, and the seed.
    checkpoint : Checkpoint, optional
        Not used: a run that was stopped begins again.

    Returns
    -------
    History
        Ctrl-C ends the growth, once each task has a tree, without an error.

    Raises
    ------
    InputError
        If there is nothing to learn or nothing to choose by.
    """
    began = time.monotonic()
    require_learnable(training, validation, settings)
    layer = model.get_layer(LOGITS)
    table = Table(model, inputs, training, validation, settings)
    learnt = held(table.learnt)
    chosen_by = held(table.chosen_by, learnt)
    recipe = _recipe(layer, settings)
    wait = int(recipe.pop("wait"))
    ensembles = [
        _Ensemble(task, learnt, chosen_by, recipe, wait) for task in range(len(training.tasks))
    ]
    bins = training.pieces * training.bins
    ended = _grow(ensembles, learnt, layer.rounds, bins, on_step)
    middle = max(1, round(np.median([one.best for one in ensembles if one.measurable])))
    for one in ensembles:
        one.best = one.best if one.measurable else min(middle, one.grown)
    steps = np.array(layer.steps)
    layer.plant([one.forest(layer.depth, steps) for one in ensembles])
    spent = time.monotonic() - began
    areas = tuple(one.area if one.measurable else math.nan for one in ensembles)
    losses = [
        sum(one.losses(held, one.best) for one in ensembles) / held.labelled
        for held in (learnt, chosen_by)
    ]
    measured = Measured(losses[1], float(np.nanmean(areas)), areas)
    epoch = table.epoch(began, spent, losses[0], measured)
    on_epoch(epoch)
    return History([epoch], 1, ended)


def _recipe(layer: Trees, settings: Settings) -> dict[str, Any]:
    return layer.recipe | {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": layer.depth,
        "seed": settings.seed,
        "nthread": _threads(),
        # So that a task's trees do not depend on which others are grown beside them.
        "seed_per_iteration": True,
        "disable_default_eval_metric": True,
    }


def _threads() -> int:
    """Give the threads that Keras was told to take; 0: as many as there are."""
    if keras.backend.backend() != "tensorflow":
        return 0
    from tensorflow import config

    return int(config.threading.get_intra_op_parallelism_threads())


def held(rows: Callable[[], Rows], like: _Bins | None = None) -> _Bins:
    """Read the features of bins into xgboost; `like` says at which levels they are told apart."""
    reader = _Reader(rows)
    try:
        matrix = xgboost.QuantileDMatrix(reader, ref=like and like.matrix)
    finally:
        if reader.stopped is not None:
            raise reader.stopped
    truth = np.concatenate(reader.truth)
    tasks = truth.shape[1] // 2
    return _Bins(matrix, truth[:, :tasks], truth[:, tasks:])


def _grow(
    ensembles: Sequence[_Ensemble],
    learnt: _Bins,
    rounds: int,
    bins: int,
    on_step: Callable[[int, float], None],
) -> Literal["", "interrupted"]:
    """Grow a tree of each task in turn, until none gets better; `bins` are those of an epoch."""
    share, labels = max(bins // rounds, 1), learnt.labelled
    try:
        for _ in range(rounds):
            live = [one for one in ensembles if not one.is_over]
            if not any(one.measurable for one in live):
                break
            for one in live:
                one.grow()
            on_step(share, sum(one.losses(learnt, one.grown) for one in ensembles) / labels)
    except KeyboardInterrupt:
        if not all(one.best for one in ensembles if one.measurable):
            raise
        return "interrupted"
    return ""


def forest_of(
    trees: Sequence[Mapping[str, Any]], depth: int, steps: npt.NDArray[np.float64], bias: float
) -> Forest:
    """Bring trees, as xgboost writes them in JSON, into the form of the layer.

    Parameters
    ----------
    trees : sequence of mapping
    depth : int
        Of none of them more.
    steps : ndarray, shape (features,), float64
        What each feature is a multiple of; 0: of nothing.
    bias : float
    """
    inner = 2**depth - 1
    features = np.zeros((len(trees), inner), np.int32)
    thresholds = np.full((len(trees), inner), np.inf, np.float32)
    leaves = np.zeros((len(trees), inner + 1), np.float32)
    for row, tree in enumerate(trees):
        left, right = tree["left_children"], tree["right_children"]
        split, number = np.array(tree["split_indices"]), np.array(tree["split_conditions"])
        between = half_way(number, steps[split])
        waiting = [(0, 0)]  # nodes of the tree, and their places in the layer
        while waiting:
            node, place = waiting.pop()
            if left[node] >= 0:
                features[row, place], thresholds[row, place] = split[node], between[node]
                waiting += [(left[node], 2 * place + 1), (right[node], 2 * place + 2)]
                continue
            while place < inner:  # all bins of a leaf above the lowest level go to the left
                place = 2 * place + 1
            leaves[row, place - inner] = number[node]
    return Forest(features, thresholds, leaves, bias)


def half_way(
    thresholds: npt.NDArray[np.float64], steps: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Put thresholds half-way between values that features take.

    Below the result lies what was below the threshold, for any multiple of the step.

    Parameters
    ----------
    thresholds : ndarray, shape (n,), float64
    steps : ndarray, shape (n,), float64
        What the feature of each is a multiple of; 0: of nothing, the threshold stays.
    """
    sizes = np.where(steps > 0, steps, 1)
    between = (np.ceil(thresholds / sizes - NOISE) - 0.5) * sizes
    return np.where(steps > 0, between, thresholds)
