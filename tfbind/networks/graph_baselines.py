"""Layers of the baselines, as nodes of an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from tfbind.networks.graph_values import CHANNELS, ROWS, LayerWriter, Value, Writer
from tfbind.networks.naive import OnOpenBins
from tfbind.networks.trees import GRID, Forest, Rounded, Trees

ML, ML_OPSET = "ai.onnx.ml", 3
"""The operators of machine learning before deep learning, and the version used of them."""

NO_TREE = Forest(
    np.zeros((1, 1), np.int32), np.full((1, 1), np.inf, np.float32), np.zeros((1, 2), np.float32), 0
)
"""A leaf of 0."""


def _on_open_bins(writer: Writer, layer: OnOpenBins, features: Value, highest: Value) -> Value:
    above = writer.constant(np.reshape(layer.above, (-1, 1, 1)))
    ones = writer.node("Greater", highest.name, above)
    ones = writer.node("Cast", ones, to=TensorProto.FLOAT)
    ones = writer.node("ReduceMax", ones, writer.integers(CHANNELS), keepdims=1)
    kept = writer.node("Mul", features.name, ones)
    return Value(writer.node("Concat", kept, ones, axis=CHANNELS))


def _rounded(writer: Writer, layer: Rounded, end: Value) -> Value:
    scaled = writer.node("Mul", end.name, writer.constant(1 / GRID))
    return Value(writer.node("Mul", writer.node("Round", scaled), writer.constant(GRID)))


def _trees(writer: Writer, layer: Trees, features: Value) -> Value:
    # The operator takes a matrix, a bin a row.
    rows = writer.node("Squeeze", features.name, writer.integers(2))
    rows = writer.node("Transpose", rows, perm=[0, 2, 1])
    rows = writer.node("Reshape", rows, writer.integers(-1, len(layer.steps)))
    sums = writer.node("TreeEnsembleRegressor", rows, domain=ML, **ensemble(layer.forests()))
    batch = writer.node("Shape", features.name, start=0, end=1)
    bins = writer.node("Shape", features.name, start=ROWS)
    shape = writer.node("Concat", batch, bins, writer.integers(layer.tasks), axis=0)
    sums = writer.node("Transpose", writer.node("Reshape", sums, shape), perm=[0, 2, 1])
    return Value(writer.node("Unsqueeze", sums, writer.integers(2)))


def ensemble(forests: list[Forest]) -> dict[str, Any]:
    """Give the attributes of `TreeEnsembleRegressor`; a tree's nodes are those that it uses."""
    parts: list[dict[str, npt.NDArray[Any]]] = []
    for task, forest in enumerate(forests):
        for row in range(len(forest.leaves)):
            if forest.leaves[row].any():
                parts.append(_tree(forest, row, len(parts), task))
    parts = parts or [_tree(NO_TREE, 0, 0, 0)]  # the operator needs one
    named = {name: np.concatenate([one[name] for one in parts]).tolist() for name in parts[0]}
    modes = np.where(named.pop("is_leaf"), "LEAF", "BRANCH_LT").tolist()
    targets = {
        "target_treeids": named.pop("leaf_trees"),
        "target_nodeids": named.pop("leaf_nodes"),
        "target_ids": named.pop("leaf_tasks"),
        "target_weights": named.pop("leaf_values"),
    }
    return {
        **{f"nodes_{name}": values for name, values in named.items()},
        **targets,
        "nodes_modes": modes,
        "n_targets": len(forests),
        "base_values": [forest.bias for forest in forests],
    }


def _tree(forest: Forest, row: int, number: int, task: int) -> dict[str, npt.NDArray[Any]]:
    """List the nodes of one tree, level after level, without those behind a leaf."""
    inner = forest.thresholds.shape[1]
    cut = np.append(np.isfinite(forest.thresholds[row]), np.zeros(inner + 1, np.bool_))
    there = np.ones(2 * inner + 1, np.bool_)
    for node in range(1, len(there)):
        there[node] = there[(node - 1) // 2] and cut[(node - 1) // 2]
    places = np.flatnonzero(there)
    ids = np.cumsum(there) - 1
    is_leaf = ~cut[places]
    inside = np.where(is_leaf, 0, places)
    leaves = places[is_leaf]
    lowest = leaves.copy()  # all bins of a leaf above the lowest level go to the left
    while (above := lowest < inner).any():
        lowest[above] = 2 * lowest[above] + 1
    count = len(places)
    return {
        "treeids": np.full(count, number),
        "nodeids": np.arange(count),
        "featureids": np.where(is_leaf, 0, forest.features[row][inside]),
        "values": np.where(is_leaf, 0, forest.thresholds[row][inside]).astype(np.float64),
        "truenodeids": np.where(is_leaf, 0, ids[2 * inside + 1]),
        "falsenodeids": np.where(is_leaf, 0, ids[2 * inside + 2]),
        "is_leaf": is_leaf,
        "leaf_trees": np.full(len(leaves), number),
        "leaf_nodes": ids[leaves],
        "leaf_tasks": np.full(len(leaves), task),
        "leaf_values": forest.leaves[row][lowest - inner].astype(np.float64),
    }


WRITERS: Mapping[type, LayerWriter] = {
    OnOpenBins: _on_open_bins,
    Rounded: _rounded,
    Trees: _trees,
}
