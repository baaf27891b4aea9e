"""Maps that are scanned: the rows of each bin are those of its own window's network."""

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import onnxruntime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from tfbind.errors import InputError
from tfbind.networks.graphs import write_graph
from tfbind.networks.layers import AtrousMaxPool, BinRows, Flanks, GroupedDense
from tfbind.networks.rows import Rows, beside

Stage = tuple[int, int, bool]
"""Width of a convolution, of the pool behind it, and whether that is a mean."""

WINDOW = 151

stages = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans()), min_size=1, max_size=3
)


def signal(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(1, rows)).astype(np.float32)


def scanning(chosen: Sequence[Stage], stride: int) -> keras.Model:
    first = keras.Input((None,), name="signal", dtype="float32")
    rows = Rows.of(layers.Reshape((-1, 1))(first), WINDOW, stride)
    for width, pool, mean in chosen:
        rows = rows.convolved(3, width).pooled(pool, mean=mean)
    return keras.Model(first, rows.flattened())


def windowwise(chosen: Sequence[Stage], like: keras.Model) -> keras.Model:
    """Build the network of one window, as one would without a thought of scans."""
    stack: list[keras.layers.Layer] = [layers.Reshape((-1, 1))]
    for width, pool, mean in chosen:
        pooling = layers.AveragePooling1D if mean else layers.MaxPooling1D
        stack += [layers.Conv1D(3, width), pooling(pool)]
    model = keras.Sequential([keras.Input((WINDOW,)), *stack, layers.Reshape((1, -1))])
    model.set_weights(like.get_weights())
    return model


def graph_of(model: keras.Model) -> onnxruntime.InferenceSession:
    graph = write_graph(model, ["signal"], "rows").SerializeToString()
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=stages, stride=st.integers(1, 60))
def test_scans_give_the_numbers_of_windows(chosen: list[Stage], stride: int) -> None:
    bins = 4
    try:
        model = scanning(chosen, stride)
    except InputError:  # too many rows pooled for so small a window
        return
    values = signal(WINDOW + stride * (bins - 1))
    windows = np.lib.stride_tricks.sliding_window_view(values[0], WINDOW)[::stride]
    expected = np.asarray(windowwise(chosen, model)(windows))[:, 0]
    assert np.asarray(model(values)).shape == (1, *expected.shape)
    np.testing.assert_allclose(np.asarray(model(values))[0], expected, atol=1e-5)
    session = graph_of(model)
    np.testing.assert_allclose(session.run(None, {"signal": values})[0][0], expected, atol=1e-5)
    alone = session.run(None, {"signal": np.ascontiguousarray(windows)})[0]
    np.testing.assert_allclose(alone[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("end", ["highest", "mean"])
@pytest.mark.parametrize(("pool", "stride"), [(1, 50), (3, 50), (7, 1), (7, 13)])
def test_one_number_of_each_window(end: str, pool: int, stride: int) -> None:
    first = keras.Input((None,), name="signal", dtype="float32")
    rows = Rows.of(layers.Reshape((-1, 1))(first), WINDOW, stride).pooled(pool)
    model = keras.Model(first, getattr(rows, end)())
    values = signal(WINDOW + stride * 5)
    windows = np.lib.stride_tricks.sliding_window_view(values[0], WINDOW)[::stride]
    pooled = windows[:, : WINDOW // pool * pool].reshape(6, -1, pool).max(axis=2)
    expected = pooled.max(axis=1) if end == "highest" else pooled.mean(axis=1)
    for found in (np.asarray(model(values)), graph_of(model).run(None, {"signal": values})[0]):
        assert found.shape == (1, 6, 1)
        np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-6)


def test_links_add_the_middle_rows() -> None:
    first = keras.Input((None,), name="signal", dtype="float32")
    rows = Rows.of(layers.Reshape((-1, 1))(first), WINDOW, 50).pooled(3)  # own rows lie 3 apart
    inner = rows.convolved(1, 3, kernel_initializer="ones").convolved(1, 3, dilation=2)
    linked = inner.plus(rows)
    assert (rows.step, rows.gap, inner.width) == (1, 3, rows.width - 6)
    model = keras.Model(first, linked.flattened())
    values = signal(WINDOW + 50)
    windows = np.lib.stride_tricks.sliding_window_view(values[0], WINDOW)[::50]
    pooled = windows[:, :150].reshape(2, 50, 3).max(axis=2)
    sums = pooled[:, :-2] + pooled[:, 1:-1] + pooled[:, 2:]
    kernel = np.ravel(model.get_weights()[2])
    expected = sum(kernel[i] * sums[:, 2 * i : 44 + 2 * i] for i in range(3)) + pooled[:, 3:47]
    for found in (np.asarray(model(values)), graph_of(model).run(None, {"signal": values})[0]):
        np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_pools_that_divide_the_stride_stay_side_by_side() -> None:
    rows = Rows.of(keras.Input((None, 4)), 1000, 50).pooled(5).pooled(5).pooled(2)
    assert (rows.step, rows.gap, rows.width, rows.held) == (50, 1, 20, 20)


def test_window_that_is_too_small_is_said() -> None:
    rows = Rows.of(keras.Input((None, 4)), 30, 50)
    with pytest.raises(InputError, match="a convolution 31 rows wide finds 30; make tiles"):
        rows.convolved(1, 31)
    with pytest.raises(InputError, match="a pool of 4 rows finds 3"):
        rows.pooled(10).pooled(4)


def test_layers_of_earlier_files_are_as_they_were() -> None:
    pool = AtrousMaxPool.from_config({"pool": 35, "stride": 50})
    bins = BinRows.from_config({"pool": 35, "stride": 50, "width": 981})
    assert (pool.step, pool.gap) == (5, 1)
    assert (bins.count, bins.step, bins.dilation, bins.one) == (28, 10, 7, 190)
    for layer in (AtrousMaxPool(3, 7, 2, 7), BinRows(3, 7, 20, 2, 50), Flanks(1, 2, 0.25)):
        again = type(layer).from_config(layer.get_config())
        assert vars(again).keys() == vars(layer).keys()
        assert again.get_config() == layer.get_config()


def test_groups_have_matrices_of_their_own() -> None:
    layer = GroupedDense(2, 3)
    features = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    found = np.asarray(layer(features))
    kernel = np.asarray(layer.kernel)
    assert kernel.shape == (2, 4, 3)
    assert 0.7 < np.abs(kernel).max() / (6 / 7) ** 0.5 < 1  # Glorot's limit of 4 to 3, not 8 to 6
    for group in range(2):
        expected = features[0, :, 4 * group : 4 * group + 4] @ kernel[group]
        np.testing.assert_allclose(found[0, :, 3 * group : 3 * group + 3], expected, atol=1e-6)


def test_maps_of_other_rows_are_not_brought_together() -> None:
    bases = keras.Input((None, 4))
    rows = Rows.of(bases, 600, 50)
    pooled = rows.pooled(10)
    with pytest.raises(ValueError, match="maps of other rows"):
        beside([rows, pooled])
    with pytest.raises(ValueError, match="maps of other rows"):
        pooled.plus(rows)
    assert beside([rows, rows]).tensor.shape[-1] == 8
