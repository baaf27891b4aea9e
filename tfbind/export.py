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
from tfbind.contract import METADATA_KEY, Contract, Geometry, Input, Tiles, fed
from tfbind.errors import InputError
from tfbind.networks.files import Network
from tfbind.networks.graph_values import UnsupportedError
from tfbind.networks.graphs import OPSET, write_graph
from tfbind.tensors import scanned, windowed
from tfbind.tilefiles import TileFile
from tfbind.tiles import Tile

TOLERANCE = 1e-5
OUTPUT = "scores"
WAYS = ("forward", "backward")
"""Of a layer that reads both ways."""

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
        convertible(network.model)
        model = converted(function, contract.inputs, None if contract.scans else contract.geometry)
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


def convertible(model: keras.Model) -> None:
    """Let recurrent layers compute by plain operations: those of a GPU have no ONNX."""
    for layer in model.layers:
        for one in (layer, *(getattr(layer, f"{way}_layer", None) for way in WAYS)):
            if hasattr(one, "use_cudnn"):
                one.use_cudnn = False


def converted(
    function: Function, inputs: Sequence[Input], windows: Geometry | None = None
) -> onnx.ModelProto:
    """Convert any network, operation by operation: it scores right, though more slowly.

    With `windows` it takes one window of this geometry at a time.
    """
    bases = windows.window if windows else None
    signature = [_signature(spec, bases) for spec in fed(inputs)]
    graph = tf.function(lambda *tensors: {OUTPUT: function(*tensors)}, input_signature=signature)
    model: onnx.ModelProto
    model, _ = tf2onnx.convert.from_function(graph, input_signature=signature, opset=OPSET)
    _rename(model, fed(inputs), bases or "bases")
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


def _signature(spec: Input, bases: int | None) -> tf.TensorSpec:
    values = len(spec.features) if spec.along == "cell" else bases
    return tf.TensorSpec(
        (None, values), tf.uint8 if spec.stored == "uint8" else tf.float32, name=spec.name
    )


def _rename(model: onnx.ModelProto, inputs: Sequence[Input], length: int | str) -> None:
    """Check that the converter kept the names, and say what the axes are."""
    found = [one.name for one in model.graph.input]
    if found != [spec.name for spec in inputs] or [o.name for o in model.graph.output] != [OUTPUT]:
        raise InputError(f"the converter named the inputs {found}: this tf2onnx is not supported")
    for one, spec in zip(model.graph.input, inputs, strict=True):
        batch, bases = one.type.tensor_type.shape.dim
        batch.dim_param = "batch"
        if spec.along == "bases" and isinstance(length, str):
            bases.dim_param = length
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
    """Find the largest difference between Keras and ONNX on tiles: in windows, and in a scan.

    A network that takes windows is not scanned. With `as_written` the runtime joins no operations
    of the graph.
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
            windows = windowed(prepared, contract)
            found = [session.run([OUTPUT], windows)[0][:, 0]]
            if contract.scans:
                truth = np.asarray(function(*scanned(prepared).values()))[0]
                found.append(session.run([OUTPUT], scanned(prepared))[0][0])
            else:
                truth = np.asarray(function(*windows.values()))[:, 0]
            for scores in found:
                # Unlike max, this hands on what is not a number.
                largest = float(np.maximum(largest, np.abs(scores - truth).max()))
    return largest


def _prepared(tile: Tile, contents: Tiles, contract: Contract) -> dict[str, Array]:
    made = {}
    for spec in contract.fed:
        kind = channel(spec)
        raw = kind.aligned(tile.inputs[spec.name], contents.signals.get(spec.name))
        made[spec.name] = kind.prepare(raw)
    return made
