"""Boosted trees as a layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tfbind.networks.layers import register

GRID = 1 / 128
"""Steps that values are rounded to before they are summed: sums of few such numbers are exact.

A tree jumps where a feature crosses a threshold. Sums that differ in their last digits from one
runtime to the other would cross some, so features that the graph makes lie on known steps, and
thresholds half-way between. A step is a power of two that leaves a motif's log-odds the ten digits
which GPUs keep in a convolution.
"""


@dataclass(frozen=True)
class Forest:
    """Trees of one task, each filled up to the same depth, level after level.

    Node i has the children 2i + 1, where the feature is below the threshold, and 2i + 2.

    Attributes
    ----------
    features : ndarray, shape (trees, 2**depth - 1), int32
    thresholds : ndarray, shape (trees, 2**depth - 1), float32
        Infinite at a node that stands for a leaf: all of its bins go to the left.
    leaves : ndarray, shape (trees, 2**depth), float32
        What each adds to the log-odds.
    bias : float
        Log-odds where there is no tree.
    """

    features: npt.NDArray[np.int32]
    thresholds: npt.NDArray[np.float32]
    leaves: npt.NDArray[np.float32]
    bias: float


@register
class Rounded(keras.layers.Layer):  # type: ignore[misc]
    """Values rounded to a multiple of `GRID`, half to even."""

    def call(self, values: Any) -> Any:
        """Round; a power of two is multiplied by without loss."""
        return ops.round(values * (1 / GRID)) * GRID


@register
class Trees(keras.layers.Layer):  # type: ignore[misc]
    """Sums of trees for each task: (batch, bins, features) to (batch, bins, tasks), log-odds.

    Parameters
    ----------
    tasks : int
    rounds : int
        Most trees of a task.
    depth : int
        Most thresholds on the way from a tree's root to a leaf.
    steps : sequence of float
        What each feature is a multiple of; 0: of nothing.
    recipe : mapping
        What `tfbind.boosting` grows them by.
    used : int
        Trees of each task that are there.
    names : sequence of str
        The input that each feature is made of.
    """

    def __init__(
        self,
        tasks: int,
        rounds: int,
        depth: int,
        steps: Sequence[float],
        recipe: Mapping[str, Any] | None = None,
        used: int = 0,
        names: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.tasks, self.rounds, self.depth, self.used = tasks, rounds, depth, used
        self.steps, self.recipe = [float(one) for one in steps], dict(recipe or {})
        self.names = list(names)
        nodes = (tasks, rounds, 2**depth - 1)
        self.features = self.add_weight(
            name="features", shape=nodes, dtype="int32", initializer="zeros", trainable=False
        )
        self.thresholds = self.add_weight(name="thresholds", shape=nodes, initializer="zeros")
        leaves = (tasks, rounds, 2**depth)
        self.leaves = self.add_weight(name="leaves", shape=leaves, initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(tasks,), initializer="zeros")

    def plant(self, forests: Sequence[Forest]) -> None:
        """Take the trees of each task in the place of those there are."""
        self.used = max(len(forest.leaves) for forest in forests)
        for weight, name in (
            (self.features, "features"),
            (self.thresholds, "thresholds"),
            (self.leaves, "leaves"),
        ):
            values = np.zeros(weight.shape, weight.dtype)
            for task, forest in enumerate(forests):
                values[task, : len(forest.leaves)] = getattr(forest, name)
            weight.assign(values)
        self.bias.assign(np.array([forest.bias for forest in forests], np.float32))

    def forests(self) -> list[Forest]:
        """Give the trees of each task."""
        kept = (np.asarray(one)[:, : self.used] for one in (
            self.features, self.thresholds, self.leaves
        ))  # fmt: skip
        return [Forest(*one) for one in zip(*kept, np.asarray(self.bias).tolist(), strict=True)]

    def call(self, values: Any) -> Any:
        """Walk down all trees at once."""
        batch, bins = ops.shape(values)[:2]
        rows = ops.reshape(values, (batch * bins, len(self.steps)))
        count, nodes = self.tasks * self.used, 2**self.depth - 1
        features, thresholds, leaves = (
            ops.reshape(one[:, : self.used], (-1,))
            for one in (self.features, self.thresholds, self.leaves)
        )
        roots = ops.expand_dims(ops.arange(count, dtype="int32"), 0)
        node = ops.zeros((batch * bins, 1), "int32") + ops.zeros_like(roots)
        for _ in range(self.depth):
            place = node + roots * nodes
            seen = ops.take_along_axis(rows, ops.take(features, place), axis=1)
            node = 2 * node + 1 + ops.cast(seen >= ops.take(thresholds, place), "int32")
        found = ops.take(leaves, node - nodes + roots * (nodes + 1))
        sums = ops.sum(ops.reshape(found, (batch, bins, self.tasks, self.used)), axis=-1)
        return sums + self.bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give each bin a value for each task."""
        return (*shape[:2], self.tasks)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        names = ("tasks", "rounds", "depth", "steps", "recipe", "used", "names")
        return dict(super().get_config(), **{name: getattr(self, name) for name in names})
