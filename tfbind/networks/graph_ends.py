"""Layers over the features of bins, up to their scores, as nodes of an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import layers

from tfbind.networks.graph_values import (
    CHANNELS,
    LayerWriter,
    Value,
    Writer,
    bias,
    over_bins,
)
from tfbind.networks.heads import Last, Learnt, MeanOfMembers, Softmax
from tfbind.networks.layers import GroupedDense

FEW = 16
"""Units below which a dense layer is a plain product: convolutions compute 16 channels at once."""


def _dense(writer: Writer, layer: layers.Dense, features: Value) -> Value:
    kernel = np.asarray(layer.kernel)
    if features.bins is None and layer.units < FEW:
        given = _product(writer, kernel, bias(writer, layer, (-1, 1)), features.name)
    else:
        count = features.bins.count if features.bins else 1
        kernel = kernel.reshape(count, -1, layer.units).transpose(2, 1, 0)[:, :, None]
        given = over_bins(writer, features, writer.constant(kernel), *bias(writer, layer))
    return writer.activated(layer.activation, given)


def _product(writer: Writer, kernel: npt.NDArray[Any], bias: list[str], end: str) -> str:
    rows = writer.node("Squeeze", end, writer.integers(2))
    given = writer.node("MatMul", writer.constant(kernel.T), rows)
    for one in bias:
        given = writer.node("Add", given, one)
    return writer.node("Unsqueeze", given, writer.integers(2))


def _grouped_dense(writer: Writer, layer: GroupedDense, features: Value) -> Value:
    kernel = np.asarray(layer.kernel).transpose(0, 2, 1)  # (groups, units, features)
    kernel = kernel.reshape(layer.groups * layer.units, -1, 1, 1)
    weights = (writer.constant(kernel), writer.constant(np.ravel(layer.bias)))
    return Value(writer.node("Conv", features.name, *weights, group=layer.groups))


def _learnt(writer: Writer, layer: Learnt, end: Value) -> Value:
    return end


def _softmax(writer: Writer, layer: Softmax, end: Value) -> Value:
    groups = layer.output.shape[-1] // layer.count
    grouped = writer.node("Reshape", end.name, writer.integers(0, groups, layer.count, -1))
    given = writer.node("Softmax", grouped, axis=2)
    flat = writer.integers(0, groups * layer.count, 1, -1)
    return Value(writer.node("Reshape", given, flat))


def _last(writer: Writer, layer: Last, end: Value) -> Value:
    first, last = writer.integers(layer.count - 1), writer.integers(np.iinfo(np.int64).max)
    axis, step = writer.integers(CHANNELS), writer.integers(layer.count)
    return Value(writer.node("Slice", end.name, first, last, axis, step))


def _mean_of_members(writer: Writer, layer: MeanOfMembers, end: Value) -> Value:
    tasks = layer.output.shape[-1]
    grouped = writer.node("Reshape", end.name, writer.integers(0, layer.count, tasks, -1))
    mean = writer.node("ReduceMean", grouped, writer.integers(1), keepdims=0)
    return Value(writer.node("Unsqueeze", mean, writer.integers(2)))


WRITERS: Mapping[type, LayerWriter] = {
    layers.Dense: _dense,
    GroupedDense: _grouped_dense,
    Learnt: _learnt,
    Softmax: _softmax,
    Last: _last,
    MeanOfMembers: _mean_of_members,
}
