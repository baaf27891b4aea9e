"""Networks as ONNX graphs in the shape that ONNX Runtime is fastest with.

Between the inputs and the scores every value has the shape (batch, channels, 1, rows): the runtime
keeps it in its own blocked layout from one convolution to the next, and takes biases, batch
normalisation and rectifiers into them. A dense layer on the rows of bins is one convolution with a
stride and a dilation, so no row is ever copied. A converter of single operations gives the same
numbers, but with a transposition or a copy around each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
from keras import layers
from onnx import TensorProto, helper

from tfbind.networks import graph_baselines, graph_ends, graph_inputs, graph_maps
from tfbind.networks.graph_baselines import ML, ML_OPSET
from tfbind.networks.graph_values import LayerWriter, UnsupportedError, Value, Writer, cut
from tfbind.networks.layers import Kept

OPSET = 18
IR_VERSION = 10
TYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}

WRITERS: Mapping[type, LayerWriter] = {
    **graph_inputs.WRITERS,
    **graph_maps.WRITERS,
    **graph_ends.WRITERS,
    **graph_baselines.WRITERS,
}
TAKE_BINS = (layers.Dense, layers.Dropout)
"""What can be computed from rows that are not cut into bins yet."""

Complements = Sequence[npt.NDArray[Any] | None]


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
    writer, vectors = Writer(), _vectors(model)
    values = {id(ends[name]): Value(name) for name in inputs}
    for name, complement in zip(inputs, complements or (), strict=complements is not None):
        values[id(ends[name])] = _both_strands(
            writer, name, complement, vector=id(ends[name]) in vectors
        )
    for layer in model.layers:
        if not isinstance(layer, layers.InputLayer):
            values[id(layer.output)] = _written(writer, layer, values)
    scores = cut(writer, _found(values, model.outputs[0]))
    scores = writer.node("Squeeze", scores, writer.integers(2))
    if complements is None:
        writer.node("Transpose", scores, perm=[0, 2, 1], name=output)
    else:
        _averaged(writer, writer.node("Transpose", scores, perm=[0, 2, 1]), output)
    return _model(writer, [ends[name] for name in inputs], model.outputs[0], output)


def _vectors(model: keras.Model) -> set[int]:
    """Find the inputs that are not along the genome: they become one row of many channels."""
    turned = (layer for layer in model.layers if isinstance(layer, layers.Reshape))
    return {id(layer.input) for layer in turned if layer.target_shape[0] == 1}


def _model(writer: Writer, ends: list[Any], scores: Any, output: str) -> onnx.ModelProto:
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
    opsets = [helper.make_opsetid("", OPSET)]
    if any(node.domain == ML for node in writer.nodes):
        opsets.append(helper.make_opsetid(ML, ML_OPSET))
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="tfbind"
    )


def _written(writer: Writer, layer: Any, values: dict[int, Value]) -> Value:
    write = WRITERS.get(type(layer))
    if write is None or layer.compute_dtype != "float32":
        raise UnsupportedError(f"a layer {type(layer).__name__} in {layer.compute_dtype}")
    sources = keras.tree.flatten(layer.input)
    ranks: tuple[int, ...] = (2,) if isinstance(layer, graph_inputs.FROM_BASES) else (3,)
    ranks = (2, 3) if isinstance(layer, Kept) else ranks
    if any(len(source.shape) not in ranks for source in sources):
        raise UnsupportedError(f"the layer {layer.name} on values of another shape")
    ends = [_found(values, source) for source in sources]
    if not isinstance(layer, TAKE_BINS):
        ends = [Value(cut(writer, end)) for end in ends]
    return write(writer, layer, *ends)


def _found(values: dict[int, Value], tensor: Any) -> Value:
    if id(tensor) not in values:
        raise UnsupportedError("a layer that is called more than once")
    return values[id(tensor)]


def _both_strands(
    writer: Writer, name: str, complement: npt.NDArray[Any] | None, *, vector: bool
) -> Value:
    """Put the other strand behind this one, in the batch; a vector has none, and is repeated."""
    if vector:
        return Value(writer.node("Concat", name, name, axis=0))
    last, first = writer.integers(-1), writer.integers(np.iinfo(np.int64).min)
    turned = writer.node("Slice", name, last, first, last, last)
    if complement is not None:
        indices = writer.node("Cast", turned, to=TensorProto.INT32)
        turned = writer.node("Gather", writer.constant(complement, complement.dtype), indices)
    return Value(writer.node("Concat", name, turned, axis=0))


def _averaged(writer: Writer, scores: str, output: str) -> None:
    """Average the two halves of the batch; the bins of the second are in reverse order."""
    halves = [f"{output}_{strand}" for strand in ("forward", "reverse")]
    writer.nodes.append(helper.make_node("Split", [scores], halves, num_outputs=2))
    last, first = writer.integers(-1), writer.integers(np.iinfo(np.int64).min)
    turned = writer.node("Slice", halves[1], last, first, writer.integers(1), last)
    total = writer.node("Add", halves[0], turned)
    writer.node("Mul", total, writer.constant(0.5), name=output)
