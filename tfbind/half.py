"""ONNX in half precision: float16 between inputs and scores that keep their types.

The last layer, and what is behind it, stays in float32: it costs next to nothing, and scores near
0 and 1 keep their order.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from tfbind.contract import METADATA_KEY, Contract
from tfbind.errors import InputError
from tfbind.export import compare, strands
from tfbind.networks.files import Network
from tfbind.tilefiles import TileFile

TOLERANCE = 1e-2
LAYERS = ("Conv", "Gemm", "MatMul")


def to_half(model: onnx.ModelProto, network: Network) -> tuple[onnx.ModelProto, float, int]:
    """Turn an exported network to half precision, and measure what that costs.

    Parameters
    ----------
    model : onnx.ModelProto
        As `export.export` gives it.
    network : Network
        What it was exported from.

    Returns
    -------
    model : onnx.ModelProto
        The same inputs and output; the contract says float16, and the difference is in its
        `training` under `half_difference`.
    difference : float
        The largest from Keras on the network's tiles, scanned and in windows, where every
        operation sums up in float32 and rounds to float16, as on a GPU. Over many more bins the
        largest is greater.
    bins : int
        In those tiles.

    Raises
    ------
    InputError
        If the difference is over 1e-2, or an input may be too large for float16, or the network
        holds what cannot be converted.
    """
    metadata = {one.key: one.value for one in model.metadata_props}
    contract = Contract.from_json(metadata.get(METADATA_KEY), "the exported network")
    for spec in contract.signals:
        if spec.stored == "float32" and spec.transform == "none":
            raise InputError(
                f"the signal {spec.name!r} was stored as float32 and is not transformed, so that "
                "float16 may not hold it; export without --half, or train with --transform log1p"
            )
    half = _converted(model)
    function = strands(network.model, contract.inputs, contract.both_strands)
    # On a processor the runtime computes chains of operations in float32, without rounding between
    # them: what overflows on a GPU would not be seen.
    difference = compare(_rounding(half), function, contract, network.tiles, as_written=True)
    if not difference <= TOLERANCE:
        raise InputError(
            f"in half precision the scores differ from Keras by {difference:.2g} on the validation "
            f"tiles, expected at most {TOLERANCE:g}; export without --half"
        )
    training = dict(contract.training, half_difference=difference)
    contract = replace(contract, precision="float16", training=training)
    helper.set_model_props(half, metadata | {METADATA_KEY: contract.to_json()})
    return half, difference, _bins(network.tiles)


def _bins(tiles: bytes) -> int:
    with tempfile.NamedTemporaryFile(suffix=".tiles") as kept:
        Path(kept.name).write_bytes(tiles)
        return int(TileFile(kept.name).bins.sum())


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert all but the last layer."""
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
        last = _last_layer(graph)
        body = convert_float_to_float16(_with(model, _without(last, graph)), keep_io_types=True)
        half = _with(model, _joined(body.graph, last, graph))
        onnx.checker.check_model(half, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InputError(
            f"cannot be converted to half precision ({error}); export without --half"
        ) from error
    return half


def _last_layer(graph: Any) -> list[Any]:
    """Give the nodes, in order, of the layers next to the output and of what is behind them."""
    floats = _names_of(graph, TensorProto.FLOAT)
    makers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    behind = [one.name for one in graph.output]
    while behind:
        name = behind.pop()
        if name in floats and name in makers and name not in found:
            found.add(name)
            if makers[name].op_type not in LAYERS:
                behind.extend(makers[name].input)
    nodes = []
    for node in graph.node:  # each behind what it needs
        if not found.isdisjoint((*node.input, *node.output)):
            found.update(node.output)
            nodes.append(node)
    return nodes


def _without(last: list[Any], graph: Any) -> Any:
    """Copy a graph without its last layer: it ends in the values that this needs."""
    made = {name for node in last for name in node.output}
    needed = {name for node in last for name in node.input} - made
    nodes = [node for node in graph.node if made.isdisjoint(node.output)]
    ends = [one for one in graph.value_info if one.name in needed]
    used = {name for node in nodes for name in node.input}
    constants = [one for one in graph.initializer if one.name in used or one.name not in needed]
    return helper.make_graph(nodes, graph.name, graph.input, ends, constants)


def _joined(body: Any, last: list[Any], graph: Any) -> Any:
    """Put the last layer back, with constants of its own."""
    needed = {name for node in last for name in node.input}
    constants = [one for one in graph.initializer if one.name in needed]
    own = {one.name: f"last/{one.name}" for one in constants}
    for node in last:
        for place, name in enumerate(node.input):
            node.input[place] = own.get(name, name)
    for one in constants:
        one.name = own[one.name]
    return helper.make_graph(
        _in_order([*body.node, *last]),
        graph.name,
        graph.input,
        graph.output,
        [*body.initializer, *constants],
    )


def _in_order(nodes: Sequence[Any]) -> list[Any]:
    """Put each node behind those that it needs: the converter appends its own."""
    makers = {name: number for number, node in enumerate(nodes) for name in node.output}
    needs = {
        number: [makers[name] for name in node.input if name in makers]
        for number, node in enumerate(nodes)
    }
    return [nodes[number] for number in TopologicalSorter(needs).static_order()]


def _with(model: onnx.ModelProto, graph: Any) -> onnx.ModelProto:
    """Make a model of another graph."""
    return helper.make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
        producer_name=model.producer_name,
    )


def _rounding(half: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model so that the runtime must round every value of type float16."""
    graph = onnx.shape_inference.infer_shapes(half).graph
    halves = _names_of(graph, TensorProto.FLOAT16)
    nodes = []
    for node in graph.node:
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in halves:
                node.output[place] = f"{name}/unrounded"
                nodes.append(helper.make_node("Identity", [node.output[place]], [name]))
    return _with(
        half, helper.make_graph(nodes, graph.name, graph.input, graph.output, graph.initializer)
    )


def _names_of(graph: Any, kind: int) -> set[str]:
    return {
        one.name
        for one in (*graph.value_info, *graph.input, *graph.output)
        if one.type.tensor_type.elem_type == kind
    }
