"""Gradient-boosted trees: how `boosted` is fitted, by xgboost."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import xgboost

from tfbind.checkpoints import Checkpoint
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.evaluation import auprc_trapezoid
from tfbind.history import Epoch, History
from tfbind.labels import BOUND
from tfbind.networks.heads import LOGITS
from tfbind.networks.trees import Forest, Trees
from tfbind.quantised import NOISE, Bins, held_on_grid, require_room
from tfbind.settings import Settings
from tfbind.tabular import Table
from tfbind.tilesets import TileSet
from tfbind.training import Measured, require_learnable


class _Ensemble:
    """The trees of one task, as they grow.

    Parameters
    ----------
    task : int
    learnt, chosen_by : Bins
    recipe : dict
        Parameters of xgboost.
    wait : int
        Trees without a better AUPRC before the end; 0: all trees are grown and kept.
    """

    def __init__(
        self, task: int, learnt: Bins, chosen_by: Bins, recipe: dict[str, Any], wait: int
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
        scores = margins[self._used]
        # Where all scores are one, only their precision is known.
        tied = np.ptp(scores) == 0
        area = float(self._labels.mean() if tied else auprc_trapezoid(self._labels, scores))
        if area > self.area or not self._wait:
            self.best, self.area = self.grown, area

    def losses(self, bins: Bins, trees: int) -> float:
        """Add up the weighted losses of the first trees on bins, nats."""
        # Those of all trees are at hand.
        first = (0, 0) if trees == self.grown else (0, trees)
        margins = self._booster.predict(bins.matrix, output_margin=True, iteration_range=first)
        margins = margins.astype(np.float64)
        labels, weights = bins.labels[:, self._task], bins.weights[:, self._task]
        losses = np.logaddexp(0, margins) - labels * margins
        return float(weights @ losses)

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

    The features of all bins are held, at about `BYTES` each, in at most 256 levels a feature. Each
    task has as many trees as were best on the validation tiles; one that has no bound or no unbound
    bins there, as many as the others in the middle.

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
        If there is nothing to learn or nothing to choose by, the features of all bins take more
        than `MOST_BYTES`, a signal is too small or too large to be rounded, or no tree of a task
        has a split.
    """
    began = time.monotonic()
    require_learnable(training, validation, settings)
    layer = model.get_layer(LOGITS)
    table = Table(model, inputs, training, validation, settings)
    require_room(training.pieces * training.bins + validation.pieces * validation.bins, layer)
    learnt, chosen_by = held_on_grid(table, layer, on_step)
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
    forests = [one.forest(layer.depth, steps) for one in ensembles]
    _require_splits(forests, training, recipe["min_child_weight"])
    layer.plant(forests)
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


def _require_splits(forests: Sequence[Forest], training: TileSet, least: float) -> None:
    for forest, name, counts in zip(forests, training.tasks, training.label_counts(), strict=True):
        if not np.isfinite(forest.thresholds).any():
            raise InputError(
                f"no tree of {name} has a split: {counts[BOUND]} bound bins make no leaf of least "
                f"= {least:g}; give a smaller least in [network], or more tiles"
            )


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


def _grow(
    ensembles: Sequence[_Ensemble],
    learnt: Bins,
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
        if not all(one.grown for one in ensembles):
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
