"""Boosted trees on what known motifs, signals, G+C and shape are in steps along the window.

The trees are grown by `tfbind.boosting`.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.errors import RequestError
from tfbind.networks.entries import Entry, entries
from tfbind.networks.heads import LEARNT, LOGITS, SCORES, Learnt
from tfbind.networks.layers import BothStrands, KmerRows, PerBin, joined
from tfbind.networks.rows import Rows
from tfbind.networks.trees import GRID, Rounded, Trees

G_OR_C = [[0], [1], [1], [0], [0]]
"""By the code of a base."""

Part = tuple[Any, float, str]
"""Features, shape (batch, bins, n), what they are multiples of, and the input they are made of."""


def boosted(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    step: int = 50,
    rounds: int = 300,
    depth: int = 6,
    rate: float = 0.05,
    subsample: float = 0.5,
    columns: float = 0.3,
    least: float = 1.0,
    wait: int = 30,
) -> keras.Model:
    """Build gradient-boosted trees, one ensemble a task, behind the features that they look at.

    For each step of the window: the best score of each motif, mean and maximum of each signal, the
    share of G and C, the mean of each feature of the shape; for each bin the values of the cell
    type. Motif scores and shape are rounded to 1/128 each base, and so are signals, behind their
    transform.

    ONNX Runtime computes trees on the processor, also where the rest is on a GPU.

    Parameters
    ----------
    inputs : sequence of Input
        Any.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    step : int
        Base pairs.
    rounds : int
        Most trees of a task.
    depth : int
        Of a tree.
    rate : float
        What a tree's leaves are multiplied by.
    subsample, columns : float
        Share of bins and of features that each tree is grown from.
    least : float
        Sum of the second derivatives of the loss that a leaf must have.
    wait : int
        Trees without a better AUPRC on the validation tiles before the end; as many are kept as
        were best. 0: all are grown and kept, which is safer where that part has few bound bins.

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, tasks) probabilities.

    Raises
    ------
    InputError
        If there is nothing along the genome to look at.
    RequestError
        If a hyper-parameter is out of its range.

    References
    ----------
    Chen and Guestrin (2016), XGBoost, KDD'16.
    """
    recipe = {
        "eta": rate,
        "subsample": subsample,
        "colsample_bytree": columns,
        "min_child_weight": least,
        "wait": wait,
    }
    _require(step, rounds, depth, recipe, geometry)
    ends, entered = entries(inputs, geometry)
    parts: list[Part] = []
    vectors: list[tuple[Any, str]] = []
    for spec, entry in zip(inputs, entered, strict=True):
        if entry.enters == "joined":
            vectors.append((entry.rows, spec.name))
            continue
        if spec.source == "sequence":
            rows = KmerRows(1, 1, table=G_OR_C)(ends[spec.name])
            steps = [(_in_steps(rows, entry.width, step, geometry, mean=True), 1 / step)]
        else:
            steps = _steps_of(entry, step, geometry)
        parts += [(*one, spec.name) for one in steps]
    parts += [(PerBin()([one, parts[0][0]]), 0.0, name) for one, name in vectors]
    each = [(size, name) for features, size, name in parts for _ in range(features.shape[-1])]
    spacing, names = zip(*each, strict=True)
    grown = Trees(tasks, rounds, depth, spacing, recipe, names=names, name=LOGITS)
    learnt = Learnt("each", name=LEARNT)(grown(joined([features for features, *_ in parts])))
    model = keras.Model(ends, layers.Activation("sigmoid", name=SCORES)(learnt), name="boosted")
    _round(model)
    return model


def _require(
    step: int, rounds: int, depth: int, recipe: dict[str, float], geometry: Geometry
) -> None:
    shares = recipe["subsample"], recipe["colsample_bytree"]
    if not (
        1 <= step <= geometry.window
        and rounds >= 1
        and 1 <= depth <= 12
        and recipe["eta"] > 0
        and all(0 < share <= 1 for share in shares)
        and recipe["min_child_weight"] >= 0
        and recipe["wait"] >= 0
    ):
        raise RequestError(
            f"found step {step}, rounds {rounds}, depth {depth} and {recipe}, expected a step of "
            f"1 to {geometry.window} bp, 1 round or more, a depth of 1 to 12, a rate over 0, "
            "subsample and columns over 0 and up to 1, least and wait 0 or more"
        )


def _steps_of(entry: Entry, step: int, geometry: Geometry) -> list[tuple[Any, float]]:
    """Give the best of what the graph scores, the mean of shape, both of a signal."""
    if entry.made:
        mean = entry.enters == "convolved"
        size = GRID / step if mean else GRID
        return [(_in_steps(entry.rows, entry.width, step, geometry, mean=mean), size)]
    rows = Rounded()(entry.rows)
    return [
        (_in_steps(rows, entry.width, step, geometry, mean=mean), GRID / step if mean else GRID)
        for mean in (True, False)
    ]


def _in_steps(rows: Any, width: int, step: int, geometry: Geometry, *, mean: bool) -> Any:
    """Pool the steps that lie wholly in the window, evenly around its middle."""
    spare = width % step
    if width < step:
        raise RequestError(
            f"found a step of {step} bp, but {width} places in a window; give a smaller step"
        )
    if spare:
        rows = layers.Cropping1D((spare // 2, spare - spare // 2))(rows)
    return Rows.of(rows, width - spare, geometry.stride).pooled(step, mean=mean).flattened()


def _round(model: keras.Model) -> None:
    """Round what is looked up or summed over a motif, so that the sums are exact."""
    for layer in model.layers:
        if isinstance(layer, (KmerRows, BothStrands)):
            for weight in layer.weights:
                weight.assign(np.round(np.asarray(weight) / GRID) * GRID)
