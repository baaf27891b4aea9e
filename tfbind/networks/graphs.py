"""Networks as ONNX graphs in the shape that ONNX Runtime is fastest with.

Between the inputs and the scores every value has the shape (batch, channels, 1, rows): the runtime
keeps it in its own blocked layout from one convolution to the next, and takes biases, batch
normalisation and rectifiers into them. A dense layer on the rows of bins is one convolution with a
stride and a dilation, so no row is ever copied. A converter of single operations gives the same
numbers, but with a transposition or a copy around each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
from keras import layers
from onnx import TensorProto, helper, numpy_helper

from tfbind.genome import UNKNOWN
from tfbind.networks.heads import Last, Learnt, MeanOfMembers, Softmax
from tfbind.networks.layers import (
    AtrousMaxPool,
    BinRows,
    BothStrands,
    KmerRows,
    OneHot,
    PerBin,
)

OPSET = 18
IR_VERSION = 10
TYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
ACTIVATIONS = {"linear": "", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}

FEW = 16
"""Units below which a dense layer is a plain product: convolutions compute 16 channels at once."""

ROWS, CHANNELS = 3, 1
"""Axes."""

Complements = Sequence[npt.NDArray[Any] | None]


class UnsupportedError(Exception):
    """The network has something in it that cannot be written here."""


@dataclass(frozen=True)
class _Value:
    """What a layer gives: a value of the graph, of which `bins`, if any, are still to be cut."""

    name: str
    bins: BinRows | None = None


class _Writer:
    """Nodes and constants, in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, numbers: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(numbers, dtype, order="C"), name))
        return name

    def integers(self, *numbers: int) -> str:
        return self.constant(numbers, np.int64)

    def node(self, kind: str, *ends: str, name: str = "", **attributes: Any) -> str:
        name = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, ends, [name], **attributes))
        return name

    def activated(self, activation: Any, end: str) -> _Value:
        name = getattr(activation, "__name__", "")
        if name not in ACTIVATIONS:
            raise UnsupportedError(f"the activation {name or activation}")
        return _Value(self.node(ACTIVATIONS[name], end) if ACTIVATIONS[name] else end)


def write_graph(
    model: keras.Model, inputs: Sequence[str], output: str, complements: Complements | None = None
) -> onnx.ModelProto:
    """Write a network as an ONNX model.

    Parameters
    ----------
    model : keras.Model
        A graph of the layers in `WRITERS`, each called once.
    inputs : sequence of str
        Names of its inputs, in the order wanted.
    output : str
        What to name its only output.
    complements : sequence of ndarray or None, optional
        Average both strands: for each input, what its codes become on the other, if it has codes.

    Returns
    -------
    onnx.ModelProto
        From inputs of shape (batch, bases), or (batch, values) where Keras has them so, to the
        output, shape (batch, bins, tasks), float32.

    Raises
    ------
    UnsupportedError
        If there is anything else in the network.
    """
    if sorted(end.name for end in model.inputs) != sorted(inputs) or len(model.outputs) != 1:
        raise UnsupportedError("inputs or outputs of other names or number")
    ends = {end.name: end for end in model.inputs}
    writer = _Writer()
    values = {id(ends[name]): _Value(name) for name in inputs}
    for name, complement in zip(inputs, complements or (), strict=complements is not None):
        values[id(ends[name])] = _both_strands(writer, name, ends[name], complement)
    for layer in model.layers:
        if not isinstance(layer, layers.InputLayer):
            values[id(layer.output)] = _written(writer, layer, values)
    scores = _cut(writer, _found(values, model.outputs[0]))
    scores = writer.node("Squeeze", scores, writer.integers(2))
    if complements is None:
        writer.node("Transpose", scores, perm=[0, 2, 1], name=output)
    else:
        _averaged(writer, writer.node("Transpose", scores, perm=[0, 2, 1]), output)
    return _model(writer, [ends[name] for name in inputs], model.outputs[0], output)


def _model(writer: _Writer, ends: list[Any], scores: Any, output: str) -> onnx.ModelProto:
    taken = [
        helper.make_tensor_value_info(
            end.name, TYPES[end.dtype], ["batch", end.shape[1] or "bases"]
        )
        for end in ends
    ]
    given = helper.make_tensor_value_info(
        output, TensorProto.FLOAT, ["batch", "bins", scores.shape[-1]]
    )
    graph = helper.make_graph(writer.nodes, "network", taken, [given], writer.constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="tfbind"
    )


def _written(writer: _Writer, layer: Any, values: dict[int, _Value]) -> _Value:
    write = WRITERS.get(type(layer))
    if write is None or layer.compute_dtype != "float32":
        raise UnsupportedError(f"a layer {type(layer).__name__} in {layer.compute_dtype}")
    sources = keras.tree.flatten(layer.input)
    rank = 2 if isinstance(layer, FROM_BASES) else 3
    if any(len(source.shape) != rank for source in sources):
        raise UnsupportedError(f"the layer {layer.name} on values of another shape")
    ends = [_found(values, source) for source in sources]
    if not isinstance(layer, TAKE_BINS):
        ends = [_Value(_cut(writer, end)) for end in ends]
    return write(writer, layer, *ends)


def _found(values: dict[int, _Value], tensor: Any) -> _Value:
    if id(tensor) not in values:
        raise UnsupportedError("a layer that is called more than once")
    return values[id(tensor)]


def _both_strands(
    writer: _Writer, name: str, end: Any, complement: npt.NDArray[Any] | None
) -> _Value:
    """Put the other strand behind this one, in the batch; a vector has none, and is repeated."""
    if end.shape[1] is not None:
        return _Value(writer.node("Concat", name, name, axis=0))
    last, first = writer.integers(-1), writer.integers(np.iinfo(np.int64).min)
    turned = writer.node("Slice", name, last, first, last, last)
    if complement is not None:
        indices = writer.node("Cast", turned, to=TensorProto.INT32)
        turned = writer.node("Gather", writer.constant(complement, complement.dtype), indices)
    return _Value(writer.node("Concat", name, turned, axis=0))


def _averaged(writer: _Writer, scores: str, output: str) -> None:
    """Average the two halves of the batch; the bins of the second are in reverse order."""
    halves = [f"{output}_{strand}" for strand in ("forward", "reverse")]
    writer.nodes.append(helper.make_node("Split", [scores], halves, num_outputs=2))
    last, first = writer.integers(-1), writer.integers(np.iinfo(np.int64).min)
    turned = writer.node("Slice", halves[1], last, first, writer.integers(1), last)
    total = writer.node("Add", halves[0], turned)
    writer.node("Mul", total, writer.constant(0.5), name=output)


def _one_hot(writer: _Writer, layer: OneHot, codes: _Value) -> _Value:
    # Four comparisons give channels first; a look-up in a table would have to be transposed.
    indices = writer.node("Cast", codes.name, to=TensorProto.INT32)
    indices = writer.node("Unsqueeze", indices, writer.integers(1, 2))
    bases = writer.constant(np.arange(UNKNOWN).reshape(1, -1, 1, 1), np.int32)
    return _Value(writer.node("Cast", writer.node("Equal", indices, bases), to=TensorProto.FLOAT))


def _reshape(writer: _Writer, layer: layers.Reshape, signal: _Value) -> _Value:
    shape = tuple(layer.target_shape)
    if shape == (-1, 1):
        return _Value(writer.node("Unsqueeze", signal.name, writer.integers(1, 2)))
    if len(shape) == 2 and shape[0] == 1:  # a vector: one row of many channels
        return _Value(writer.node("Unsqueeze", signal.name, writer.integers(2, 3)))
    raise UnsupportedError(f"a Reshape to {shape}")


def _kmer_rows(writer: _Writer, layer: KmerRows, codes: _Value) -> _Value:
    # Whole numbers throughout, as a half-precision float holds none beyond 2,048.
    digits = writer.node("Cast", codes.name, to=TensorProto.INT32)
    digits = writer.node("Unsqueeze", digits, writer.integers(1))
    number = ""
    for place, counts in enumerate(layer.digits):
        end = place - layer.width + 1 or np.iinfo(np.int64).max
        digit = writer.node("Slice", digits, *map(writer.integers, (place, end, 2)))
        digit = writer.node("Mul", digit, writer.constant(counts, np.int32))
        number = writer.node("Add", number, digit) if number else digit  # (batch, 1, rows)
    rows = writer.node("Gather", writer.constant(np.asarray(layer.table)), number)
    return _Value(writer.node("Transpose", rows, perm=[0, 3, 1, 2]))  # (batch, channels, 1, rows)


def _motifs(writer: _Writer, layer: BothStrands, rows: _Value) -> _Value:
    strands = [
        writer.node("Conv", rows.name, writer.constant(_across(kernel)))
        for kernel in (layer.forward, layer.reverse)
    ]
    return _Value(writer.node("Max", *strands))


def _per_bin(writer: _Writer, layer: PerBin, vector: _Value, bins: _Value) -> _Value:
    rows = writer.node("Shape", bins.name, start=ROWS)
    shape = writer.node("Concat", writer.integers(1, 1, 1), rows, axis=0)
    return _Value(writer.node("Expand", vector.name, shape))


def _across(kernel: Any) -> npt.NDArray[np.float32]:
    """Turn a kernel of Keras, (width, channels, filters), into one of ONNX with an axis more."""
    return np.asarray(kernel).transpose(2, 1, 0)[:, :, None]


def _convolution(writer: _Writer, layer: layers.Conv1D, rows: _Value) -> _Value:
    if layer.padding != "valid" or layer.data_format != "channels_last":
        raise UnsupportedError(f"a Conv1D with {layer.padding} padding, {layer.data_format}")
    given = writer.node(
        "Conv",
        rows.name,
        writer.constant(_across(layer.kernel)),
        *_bias(writer, layer),
        strides=[1, *layer.strides],
        dilations=[1, *layer.dilation_rate],
        group=layer.groups,
    )
    return writer.activated(layer.activation, given)


def _atrous_pool(writer: _Writer, layer: AtrousMaxPool, rows: _Value) -> _Value:
    return _Value(
        writer.node("MaxPool", rows.name, kernel_shape=[1, layer.pool], strides=[1, layer.step])
    )


def _bin_rows(writer: _Writer, layer: BinRows, rows: _Value) -> _Value:
    return _Value(rows.name, layer)


def _dense(writer: _Writer, layer: layers.Dense, features: _Value) -> _Value:
    kernel = np.asarray(layer.kernel)
    if features.bins is None and layer.units < FEW:
        given = _product(writer, kernel, _bias(writer, layer, (-1, 1)), features.name)
    else:
        count = features.bins.count if features.bins else 1
        kernel = kernel.reshape(count, -1, layer.units).transpose(2, 1, 0)[:, :, None]
        given = _over_bins(writer, features, writer.constant(kernel), *_bias(writer, layer))
    return writer.activated(layer.activation, given)


def _product(writer: _Writer, kernel: npt.NDArray[Any], bias: list[str], end: str) -> str:
    rows = writer.node("Squeeze", end, writer.integers(2))
    given = writer.node("MatMul", writer.constant(kernel.T), rows)
    for one in bias:
        given = writer.node("Add", given, one)
    return writer.node("Unsqueeze", given, writer.integers(2))


def _over_bins(writer: _Writer, rows: _Value, *weights: str, **attributes: Any) -> str:
    """Convolve so that each bin's own rows are seen once."""
    bins, end = rows.bins, rows.name
    if bins is None:
        return writer.node("Conv", end, *weights)
    spare = bins.one - (bins.count - 1) * bins.dilation - 1
    if spare >= bins.step:
        # More is left over at the end than a bin is wide: it would make bins of its own.
        first, last, axis = (writer.integers(number) for number in (0, -spare, ROWS))
        end = writer.node("Slice", end, first, last, axis)
    attributes |= {"strides": [1, bins.step], "dilations": [1, bins.dilation]}
    return writer.node("Conv", end, *weights, **attributes)


def _cut(writer: _Writer, value: _Value) -> str:
    """Give each bin's rows as channels of its own, by a convolution that picks them."""
    bins = value.bins
    if bins is None:
        return value.name
    channels = bins.input.shape[-1]
    picks = np.tile(np.eye(bins.count)[:, None, None], (channels, 1, 1, 1))
    end = _over_bins(writer, value, writer.constant(picks), group=channels)
    if channels > 1:  # row after row, not channel after channel
        end = writer.node("Reshape", end, writer.integers(0, channels, bins.count, -1))
        end = writer.node("Transpose", end, perm=[0, 2, 1, 3])
        end = writer.node("Reshape", end, writer.integers(0, channels * bins.count, 1, -1))
    return end


def _bias(writer: _Writer, layer: Any, shape: tuple[int, ...] = (-1,)) -> list[str]:
    return [writer.constant(np.asarray(layer.bias).reshape(shape))] if layer.use_bias else []


def _normalisation(writer: _Writer, layer: layers.BatchNormalization, end: _Value) -> _Value:
    mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    if layer.axis not in (-1, 2):
        raise UnsupportedError(f"a BatchNormalization of axis {layer.axis}")
    parts = (
        np.ones_like(mean) if layer.gamma is None else layer.gamma,
        np.zeros_like(mean) if layer.beta is None else layer.beta,
        mean,
        variance,
    )
    constants = [writer.constant(np.asarray(part)) for part in parts]
    return _Value(
        writer.node("BatchNormalization", end.name, *constants, epsilon=float(layer.epsilon))
    )


def _relu(writer: _Writer, layer: layers.ReLU, end: _Value) -> _Value:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise UnsupportedError("a ReLU with options")
    return _Value(writer.node("Relu", end.name))


def _activation(writer: _Writer, layer: layers.Activation, end: _Value) -> _Value:
    return writer.activated(layer.activation, end.name)


def _dropout(writer: _Writer, layer: layers.Dropout, end: _Value) -> _Value:
    return end


def _concatenation(writer: _Writer, layer: layers.Concatenate, *ends: _Value) -> _Value:
    if layer.axis not in (-1, 2):
        raise UnsupportedError(f"a Concatenate of axis {layer.axis}")
    return _Value(writer.node("Concat", *(end.name for end in ends), axis=CHANNELS))


def _learnt(writer: _Writer, layer: Learnt, end: _Value) -> _Value:
    return end


def _softmax(writer: _Writer, layer: Softmax, end: _Value) -> _Value:
    groups = layer.output.shape[-1] // layer.count
    grouped = writer.node("Reshape", end.name, writer.integers(0, groups, layer.count, -1))
    given = writer.node("Softmax", grouped, axis=2)
    flat = writer.integers(0, groups * layer.count, 1, -1)
    return _Value(writer.node("Reshape", given, flat))


def _last(writer: _Writer, layer: Last, end: _Value) -> _Value:
    first, last = writer.integers(layer.count - 1), writer.integers(np.iinfo(np.int64).max)
    axis, step = writer.integers(CHANNELS), writer.integers(layer.count)
    return _Value(writer.node("Slice", end.name, first, last, axis, step))


def _mean_of_members(writer: _Writer, layer: MeanOfMembers, end: _Value) -> _Value:
    tasks = layer.output.shape[-1]
    grouped = writer.node("Reshape", end.name, writer.integers(0, layer.count, tasks, -1))
    mean = writer.node("ReduceMean", grouped, writer.integers(1), keepdims=0)
    return _Value(writer.node("Unsqueeze", mean, writer.integers(2)))


WRITERS: dict[type, Callable[..., _Value]] = {
    OneHot: _one_hot,
    AtrousMaxPool: _atrous_pool,
    BinRows: _bin_rows,
    KmerRows: _kmer_rows,
    BothStrands: _motifs,
    PerBin: _per_bin,
    layers.Reshape: _reshape,
    layers.Conv1D: _convolution,
    layers.Dense: _dense,
    layers.BatchNormalization: _normalisation,
    layers.ReLU: _relu,
    layers.Activation: _activation,
    layers.Dropout: _dropout,
    layers.Concatenate: _concatenation,
    Learnt: _learnt,
    Softmax: _softmax,
    Last: _last,
    MeanOfMembers: _mean_of_members,
}
FROM_BASES = (OneHot, KmerRows, layers.Reshape)
TAKE_BINS = (layers.Dense, layers.Dropout)
