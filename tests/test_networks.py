"""Networks: sizes, and the same numbers from scans as from windows."""

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import onnx
import onnxruntime
from by_hand import disturb
from conftest import Trained
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.errors import InputError
from tfbind.export import export, strands
from tfbind.networks import architecture, shallow
from tfbind.networks.files import Network, load_network
from tfbind.networks.graph_values import UnsupportedError
from tfbind.networks.graphs import write_graph
from tfbind.networks.layers import AtrousMaxPool, BinRows, OneHot

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
H3K27AC = Input("h3k27ac", "signal", "float16", "log1p")
INPUTS = {"sequence": "uint8", "dnase": "float32"}
Arrays = dict[str, npt.NDArray[np.generic]]


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def stretch(inputs: list[Input], geometry: Geometry, bins: int) -> Arrays:
    rng = np.random.default_rng(bins)
    length = geometry.length(bins)
    return {
        spec.name: (
            rng.integers(0, 5, (1, length), np.uint8)
            if spec.source == "sequence"
            else rng.exponential(1, (1, length)).astype(np.float32)
        )
        for spec in inputs
    }


def in_windows(arrays: Arrays, geometry: Geometry) -> Arrays:
    return {
        name: np.lib.stride_tricks.sliding_window_view(array[0], geometry.window)[
            :: geometry.stride
        ]
        for name, array in arrays.items()
    }


def run_graph(graph: onnx.ModelProto, arrays: Arrays) -> npt.NDArray[np.float32]:
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (scores,) = session.run(["scores"], arrays)
    return np.asarray(scores)


def made_of(*stack: keras.layers.Layer, source: str = "sequence") -> keras.Model:
    """Stack layers on one input."""
    dtype = "uint8" if source == "sequence" else "float32"
    first = ends = keras.Input((None,), name=source, dtype=dtype)
    for layer in stack:
        ends = layer(ends)
    return keras.Model({source: first}, ends)


def test_shallow_has_the_published_size() -> None:
    assert trainable(shallow([SEQUENCE, DNASE], Geometry())) == 246_559
    assert trainable(shallow([SEQUENCE], Geometry())) == 196_559
    # A signal more brings 50 pooled rows to the layer of 1000 units.
    assert trainable(shallow([SEQUENCE, DNASE, H3K27AC], Geometry())) == 296_559


GEOMETRIES = pytest.mark.parametrize(
    ("geometry", "sizes"),
    [
        (Geometry(), {}),
        (Geometry(), {"pool": 7, "signal_pool": 3}),
        (Geometry(600, 200, 50), {"pool": 64, "signal_pool": 100}),
        (Geometry(500, 100, 10), {"pool": 35, "signal_pool": 20}),
        (Geometry(300, 200, 1), {"pool": 4, "signal_pool": 4}),
    ],
    ids=["published", "odd pools", "pools over the stride", "dense bins", "a base apart"],
)


@GEOMETRIES
@pytest.mark.parametrize("inputs", [[SEQUENCE], [SEQUENCE, DNASE]], ids=["sequence", "both"])
def test_scan_equals_windows(
    geometry: Geometry, sizes: dict[str, int], inputs: list[Input]
) -> None:
    model = shallow(inputs, geometry, 2, filters=8, dense=16, joint=32, **sizes)
    disturb(model)
    for bins in (1, 2, 13):
        arrays = stretch(inputs, geometry, bins)
        scan = model.predict(arrays, verbose=0)
        windows = model.predict(in_windows(arrays, geometry), verbose=0)
        assert scan.shape == (1, bins, 2)
        assert windows.shape == (bins, 1, 2)
        np.testing.assert_allclose(scan[0], windows[:, 0], atol=1e-6)


@GEOMETRIES
@pytest.mark.parametrize("both_strands", [False, True], ids=["one strand", "both strands"])
def test_graph_gives_the_numbers_of_keras(
    geometry: Geometry, sizes: dict[str, int], both_strands: bool
) -> None:
    inputs = [SEQUENCE, DNASE, H3K27AC]
    model = shallow(inputs, geometry, 2, filters=8, dense=16, joint=32, **sizes)
    disturb(model)
    names = [spec.name for spec in inputs]
    complements = [np.array([3, 2, 1, 0, 4], np.uint8), None, None] if both_strands else None
    graph = write_graph(model, names, "scores", complements)
    function = strands(model, inputs, both_strands)
    for bins in (1, 2, 13):
        arrays = stretch(inputs, geometry, bins)
        expected = np.asarray(function(*(arrays[name] for name in names)))
        scan = run_graph(graph, arrays)
        assert scan.shape == (1, bins, 2)
        np.testing.assert_allclose(scan, expected, atol=2e-6)
        windows = run_graph(graph, in_windows(arrays, geometry))
        np.testing.assert_allclose(windows[:, 0], expected[0], atol=2e-6)


def test_graph_of_two_convolutions() -> None:
    geometry, pool = Geometry(400, 200, 50), 10
    model = made_of(
        OneHot(),
        layers.Conv1D(12, 20, activation="relu"),
        AtrousMaxPool(pool, geometry.stride),
        layers.Conv1D(6, 4, dilation_rate=2, groups=2, use_bias=False),
        layers.BatchNormalization(scale=False),
        layers.Activation("tanh"),
        BinRows(1, geometry.stride // pool, (400 - 19) // pool - 6),
        layers.Dense(5, activation="relu"),
        layers.Dense(20, use_bias=False),
        layers.BatchNormalization(center=False),
        layers.ReLU(),
        layers.Dense(3, activation="sigmoid"),
    )
    disturb(model)
    graph = write_graph(model, ["sequence"], "scores")
    arrays = stretch([SEQUENCE], geometry, 9)
    expected = model.predict(arrays, verbose=0)
    assert expected.shape == (1, 9, 3)
    np.testing.assert_allclose(run_graph(graph, arrays), expected, atol=2e-6)


def test_graph_gives_rows_without_a_dense_layer_in_keras_order() -> None:
    bins = BinRows(35, 50, 481)
    model = made_of(OneHot(), layers.Conv1D(3, 20), AtrousMaxPool(35, 50), bins)
    graph = write_graph(model, ["sequence"], "scores")
    arrays = stretch([SEQUENCE], Geometry(500, 200, 50), 4)
    expected = model.predict(arrays, verbose=0)
    assert expected.shape == (1, 4, 3 * bins.count)
    np.testing.assert_allclose(run_graph(graph, arrays), expected, atol=1e-6)


def test_graph_has_no_gathered_rows() -> None:
    model = shallow([SEQUENCE, DNASE], Geometry())
    kinds = [
        node.op_type for node in write_graph(model, ["sequence", "dnase"], "scores").graph.node
    ]
    assert kinds.count("Conv") == 4  # the first, the rows of both inputs, the joint layer
    assert not {"Gather", "Reshape"} & set(kinds)
    assert kinds.count("Transpose") == 1


TWICE = layers.Conv1D(4, 1)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ([OneHot(), layers.LSTM(3, return_sequences=True)], "a layer LSTM"),
        ([OneHot(), layers.Conv1D(2, 3, padding="same")], "a Conv1D with same padding"),
        ([OneHot(), layers.Conv1D(2, 3, activation="gelu")], "the activation gelu"),
        ([OneHot(), layers.Conv1D(2, 3, dtype="float16")], "a layer Conv1D in float16"),
        ([OneHot(), layers.ReLU(6)], "a ReLU with options"),
        ([OneHot(), layers.Reshape((-1, 8))], "on values of another shape"),
        ([OneHot(), layers.BatchNormalization(axis=1)], "a BatchNormalization of axis 1"),
        ([OneHot(), TWICE, TWICE], "a layer that is called more than once"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_graph_refuses_what_it_cannot_write(stack: list[keras.layers.Layer], message: str) -> None:
    first = ends = keras.Input((24,), name="sequence", dtype="uint8")
    for layer in stack:
        ends = layer(ends)
    with pytest.raises(UnsupportedError, match=message):
        write_graph(keras.Model({"sequence": first}, ends), ["sequence"], "scores")


def test_export_converts_a_network_that_it_cannot_write(trained: Trained) -> None:
    network = load_network(trained.keras)
    first = {name: keras.Input((None,), name=name, dtype=type_) for name, type_ in INPUTS.items()}
    scores = layers.Activation("softplus")(network.model(first))
    other = Network(keras.Model(first, scores), network.contract, network.tiles)
    model, difference = export(other, both_strands=False)
    assert difference < 1e-5
    assert [one.name for one in model.graph.input] == list(INPUTS)
    assert '"tf2onnx": ' in model.metadata_props[0].value
    model, _ = export(network, both_strands=False)
    assert '"tf2onnx": ' not in model.metadata_props[0].value


def test_atrous_pool_gives_each_bin_the_rows_of_its_own_window() -> None:
    rng = np.random.default_rng(1)
    width, pool, stride, bins = 981, 35, 50, 6
    rows = rng.normal(size=(1, width + stride * (bins - 1), 3)).astype(np.float32)
    gathered = BinRows(pool, stride, width)(AtrousMaxPool(pool, stride)(rows))
    for bin_, found in enumerate(np.asarray(gathered)[0]):
        window = rows[0, bin_ * stride :][:width]
        pooled = [window[k * pool : (k + 1) * pool].max(axis=0) for k in range(width // pool)]
        np.testing.assert_array_equal(found, np.concatenate(pooled))


def test_unknown_base_is_a_row_of_zeros() -> None:
    codes = np.array([[0, 3, 4]], np.uint8)
    assert np.asarray(OneHot()(codes)).tolist() == [[[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]]


def test_unknown_architecture_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no architecture 'deepest': there is .*shallow"):
        architecture("deepest")
