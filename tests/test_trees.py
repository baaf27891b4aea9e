"""Boosted trees as a layer and as a graph, and the features that they read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import onnx
import xgboost
from baseline_parts import DNASE, GEOMETRY, SEQUENCE, arrays_of, motifs
from by_hand import run, windows_of

from tfbind import quantised
from tfbind.boosting import forest_of, half_way
from tfbind.channels import described
from tfbind.contract import Geometry
from tfbind.networks import architecture
from tfbind.networks.graph_baselines import ML, ML_OPSET, ensemble
from tfbind.networks.graphs import write_graph
from tfbind.networks.heads import LEARNT, LOGITS, SCORES, Learnt
from tfbind.networks.trees import GRID, Rounded, Trees

Array = npt.NDArray[Any]

COMPLEMENT = np.array([3, 2, 1, 0, 4], np.uint8)


def test_threshold_lies_between_values() -> None:
    given = np.array([0.25, 0.25 + 1e-9, 0.25 - 1e-9, 0.3, -0.25, 7.5])
    steps = np.array([0.25, 0.25, 0.25, 0.25, 0.25, 0])
    assert half_way(given, steps).tolist() == [0.125, 0.125, 0.125, 0.375, -0.375, 7.5]
    steps = np.full(1000, 1 / 50)
    values = np.arange(1000) / 50
    found = half_way(values.astype(np.float32).astype(np.float64), steps)
    assert (np.searchsorted(values, found) == np.arange(1000)).all()


def grown(depth: int, steps: Array, trees: int = 25) -> tuple[list[dict[str, Any]], Array, Array]:
    """Grow trees on values with many ties; give them, the values and what xgboost predicts."""
    rng = np.random.default_rng(depth)
    places = rng.integers(-20, 20, (3000, len(steps)))
    values = (places * np.where(steps > 0, steps, 0.1)).astype(np.float32)
    labels = (
        values[:, 0] / steps[0] + places[:, 1] * places[:, 2] / 9 + rng.normal(0, 5, 3000)
    ) > 8
    matrix = xgboost.QuantileDMatrix(values, labels)
    recipe = {"objective": "binary:logistic", "max_depth": depth, "base_score": 0.5, "gamma": 0.5}
    booster = xgboost.train(recipe | {"tree_method": "hist"}, matrix, trees)
    model = json.loads(booster.save_raw("json"))
    found = booster.predict(xgboost.DMatrix(values), output_margin=True)
    return model["learner"]["gradient_booster"]["model"]["trees"], values, found


@pytest.mark.parametrize("depth", [1, 5])
def test_trees_are_those_of_xgboost_also_on_ties(depth: int) -> None:
    """The layer and ONNX Runtime take each bin the same way, at every threshold."""
    steps = np.array([GRID, GRID / 50, 1 / 50, 0, 0])
    trees, values, expected = grown(depth, steps)
    assert len({len(tree["left_children"]) for tree in trees}) > 1 or depth == 1
    forest = forest_of(trees, depth, steps, bias=0.0)
    ends = keras.Input((None, 5), name="values")
    layer = Trees(2, 30, depth, steps.tolist(), name=LOGITS)
    learnt = Learnt("each", name=LEARNT)(layer(ends))
    # Before there are trees, all scores are 0, in the graph too.
    assert not np.asarray(layer(values[None])).any()
    assert not one_operator(layer, values).any()
    layer.plant([forest, forest_of(trees[:3], depth, steps, bias=1.5)])
    model = keras.Model(ends, keras.layers.Activation("linear", name=SCORES)(learnt))
    found = np.asarray(model(values[None]))[0]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    # A little noise, as another order of additions makes it, changes nothing on a grid.
    noisy = np.where(steps > 0, values * np.float32(1 + 2e-7), values).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(noisy[None]))[0], found)
    scores = one_operator(layer, values)
    np.testing.assert_allclose(scores, found, atol=1e-5)


def one_operator(layer: Trees, values: Array) -> Array:
    """Compute the trees by ONNX Runtime, alone."""
    kind = onnx.TensorProto.FLOAT
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain=ML, **ensemble(layer.forests())
    )
    graph = onnx.helper.make_graph(
        [node],
        "trees",
        [onnx.helper.make_tensor_value_info("x", kind, ["n", values.shape[1]])],
        [onnx.helper.make_tensor_value_info("y", kind, ["n", layer.tasks])],
    )
    opsets = [onnx.helper.make_opsetid(ML, ML_OPSET), onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return run(model, {"x": values})


def test_boosted_looks_at_steps(data: Path) -> None:
    inputs = [SEQUENCE, motifs(data), DNASE, described("shape")[0]]
    model = architecture("boosted").build(inputs, GEOMETRY)
    layer = model.get_layer(LOGITS)
    arrays = arrays_of(7)
    found = np.asarray(keras.Model(model.inputs, layer.input)(arrays))[0]
    # 12 steps of the window; a motif or a hexamer fits into the window in fewer places.
    assert found.shape == (7, 12 + 11 * 4 + 12 + 12 + 11 * 4) == (7, len(layer.steps))
    rounded = np.round(arrays["dnase"][0] * 128) / 128
    for bin_ in range(7):
        window = slice(bin_ * 50, bin_ * 50 + 600)
        codes = arrays["sequence"][0, window].reshape(12, 50)
        np.testing.assert_allclose(found[bin_, :12], np.isin(codes, (1, 2)).mean(axis=1), atol=1e-6)
        signal = rounded[window].reshape(12, 50)
        np.testing.assert_allclose(found[bin_, 56:68], signal.mean(axis=1), atol=1e-6)
        np.testing.assert_array_equal(found[bin_, 68:80], signal.max(axis=1))
    places = found / np.array(layer.steps)
    assert np.abs(places - np.round(places)).max() < quantised.NOISE
    assert layer.names == ["sequence"] * 12 + [
        name for name, n in (("motif", 44), ("dnase", 24), ("shape", 44)) for _ in range(n)
    ]


@pytest.mark.parametrize("geometry", [GEOMETRY, Geometry(300, 100, 7)], ids=["usual", "odd"])
def test_boosted_scans_as_it_takes_windows(data: Path, geometry: Geometry) -> None:
    inputs = [SEQUENCE, motifs(data), DNASE, described("shape")[0]]
    model = architecture("boosted").build(inputs, geometry, 2, step=30)
    layer = model.get_layer(LOGITS)
    rng = np.random.default_rng(1)
    looker = keras.Model(model.inputs, layer.input)
    arrays = arrays_of(40, geometry)
    features = np.asarray(looker(arrays))[0]
    labels = features[:, rng.integers(0, features.shape[1], 3)].sum(axis=1) + rng.normal(0, 1, 40)
    booster = xgboost.train({"max_depth": 4}, xgboost.QuantileDMatrix(features, labels), 9)
    trees = json.loads(booster.save_raw("json"))
    trees = trees["learner"]["gradient_booster"]["model"]["trees"]
    steps = np.array(layer.steps)
    layer.plant([forest_of(trees[:5], 6, steps, 0.5), forest_of(trees, 6, steps, -1.0)])
    scan = np.asarray(model(arrays))
    assert scan.shape == (1, 40, 2)
    assert np.ptp(scan) > 0.01
    windows = windows_of(arrays, geometry)
    np.testing.assert_allclose(np.asarray(model(windows))[:, 0], scan[0], atol=1e-6)
    graph = write_graph(model, list(arrays), "scores")
    np.testing.assert_allclose(run(graph, arrays), scan, atol=1e-6)
    np.testing.assert_allclose(run(graph, windows)[:, 0], scan[0], atol=1e-6)
    both = run(write_graph(model, list(arrays), "scores", [COMPLEMENT, None]), arrays)
    turned = {
        "sequence": COMPLEMENT[arrays["sequence"]][:, ::-1],
        "dnase": arrays["dnase"][:, ::-1],
    }
    np.testing.assert_allclose(both, (scan + np.asarray(model(turned))[:, ::-1]) / 2, atol=1e-6)


def test_rounding_is_half_to_even() -> None:
    values = np.array([0.5, 1.5, -0.5, 2.25]) * GRID
    assert (np.asarray(Rounded()(values.astype("f4"))) / GRID).tolist() == [0, 2, 0, 2]
