"""Keras to ONNX, with the contract inside and a check before anything is written."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from keras import ops

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import METADATA_KEY, Contract, Input, Tiles, fed
from tfbind.errors import InputError
from tfbind.networks.files import Network
from tfbind.networks.graphs import OPSET, UnsupportedError, write_graph
from tfbind.tensors import scanned, windowed
from tfbind.tilefiles import TileFile
from tfbind.tiles import Tile

TOLERANCE = 1e-5
OUTPUT = "scores"

Function = Callable[..., Any]


def export(network: Network, *, both_strands: bool) -> tuple[onnx.ModelProto, float]:
    """Turn a network into an ONNX model and compare the two on real tiles.

    Parameters
    ----------
    network : Network
    both_strands : bool
        Put the reverse complement into the graph, and average.

    Returns
    -------
    model : onnx.ModelProto
        From inputs of shape (batch, bases) or (batch, values), in the contract's order and under
        its names, to `scores`, shape (batch, bins, tasks), float32.
    difference : float
        The largest between Keras and ONNX, scanned and in windows.

    Raises
    ------
    InputError
        If the difference is over 1e-5.
    """
    contract = replace(
        network.contract,
        both_strands=both_strands,
        versions=dict(
            network.contract.versions,
            onnx=onnx.__version__,
            onnxruntime=onnxruntime.__version__,
        ),
    )
    function = strands(network.model, contract.inputs, both_strands)
    try:
        model = write_graph(
            network.model,
            [spec.name for spec in contract.fed],
            OUTPUT,
            [channel(spec).complement for spec in contract.fed] if both_strands else None,
        )
    except UnsupportedError:
        model = converted(function, contract.inputs)
        contract = replace(contract, versions=dict(contract.versions, tf2onnx=tf2onnx.__version__))
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model, full_check=True)
    difference = compare(model, function, contract, network.tiles)
    if not difference <= TOLERANCE:
        raise InputError(
            f"ONNX and Keras differ by {difference:.2g} on the validation tiles, expected at most "
            f"{TOLERANCE:g}; nothing was written"
        )
    return model, difference


def converted(function: Function, inputs: Sequence[Input]) -> onnx.ModelProto:
    """Convert any network, operation by operation: it scores right, though more slowly."""
    signature = [_signature(spec) for spec in fed(inputs)]
    graph = tf.function(lambda *tensors: {OUTPUT: function(*tensors)}, input_signature=signature)
    model: onnx.ModelProto
    model, _ = tf2onnx.convert.from_function(graph, input_signature=signature, opset=OPSET)
    _rename(model, fed(inputs))
    return model


def strands(model: keras.Model, inputs: Sequence[Input], both: bool) -> Function:
    """Make the function from tensors, in the order of inputs, to scores.

    As the window lies evenly around its bin, the bins of the other strand are the same bins, in
    reverse order.
    """
    specs = fed(inputs)
    names = [spec.name for spec in specs]

    def forward(*tensors: Any) -> Any:
        return model(dict(zip(names, tensors, strict=True)), training=False)

    def averaged(*tensors: Any) -> Any:
        turned = [_turned(spec, one) for spec, one in zip(specs, tensors, strict=True)]
        return (forward(*tensors) + ops.flip(forward(*turned), axis=1)) / 2

    return averaged if both else forward


def _turned(spec: Input, tensor: Any) -> Any:
    if spec.along == "cell":
        return ops.convert_to_tensor(tensor)
    complement = channel(spec).complement
    turned = ops.flip(tensor, axis=-1)
    if complement is None:
        return turned
    return ops.take(ops.convert_to_tensor(complement), ops.cast(turned, "int32"), axis=0)


def _signature(spec: Input) -> tf.TensorSpec:
    values = len(spec.features) if spec.along == "cell" else None
    return tf.TensorSpec(
        (None, values), tf.uint8 if spec.stored == "uint8" else tf.float32, name=spec.name
    )


def _rename(model: onnx.ModelProto, inputs: Sequence[Input]) -> None:
    """Check that the converter kept the names, and say what the axes are."""
    found = [one.name for one in model.graph.input]
    if found != [spec.name for spec in inputs] or [o.name for o in model.graph.output] != [OUTPUT]:
        raise InputError(f"the converter named the inputs {found}: this tf2onnx is not supported")
    for one, spec in zip(model.graph.input, inputs, strict=True):
        batch, bases = one.type.tensor_type.shape.dim
        batch.dim_param = "batch"
        if spec.along == "bases":
            bases.dim_param = "bases"
    for axis, name in zip(
        model.graph.output[0].type.tensor_type.shape.dim, ("batch", "bins"), strict=False
    ):
        axis.dim_param = name


def compare(
    model: onnx.ModelProto,
    function: Function,
    contract: Contract,
    tiles: bytes,
    *,
    as_written: bool = False,
) -> float:
    """Find the largest difference between Keras and ONNX on tiles, scanned and in windows.

    With `as_written` the runtime joins no operations of the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    largest = 0.0
    with tempfile.NamedTemporaryFile(suffix=".tiles") as kept:
        Path(kept.name).write_bytes(tiles)
        file = TileFile(kept.name)
        if not len(file):
            raise InputError("holds no tiles to check the export by; train it again")
        for index in range(len(file)):
            prepared = _prepared(file.tile(index), file.contents, contract)
            truth = np.asarray(function(*scanned(prepared).values()))
            scan = session.run([OUTPUT], scanned(prepared))[0]
            windows = session.run([OUTPUT], windowed(prepared, contract))[0]
            for scores in (scan[0], windows[:, 0]):
                # Unlike max, this hands on what is not a number.
                largest = float(np.maximum(largest, np.abs(scores - truth[0]).max()))
    return largest


def _prepared(tile: Tile, contents: Tiles, contract: Contract) -> dict[str, Array]:
    made = {}
    for spec in contract.fed:
        kind = channel(spec)
        raw = kind.aligned(tile.inputs[spec.name], contents.signals.get(spec.name))
        made[spec.name] = kind.prepare(raw)
    return made
