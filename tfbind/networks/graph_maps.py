"""Layers over a map along the genome, as nodes of an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import layers

from tfbind.networks.graph_values import (
    CHANNELS,
    ROWS,
    LayerWriter,
    UnsupportedError,
    Value,
    Writer,
    across,
    bias,
)
from tfbind.networks.layers import AtrousMaxPool, AtrousMeanPool, BinRows


def _convolution(writer: Writer, layer: layers.Conv1D, rows: Value) -> Value:
    if layer.padding != "valid" or layer.data_format != "channels_last":
        raise UnsupportedError(f"a Conv1D with {layer.padding} padding, {layer.data_format}")
    given = writer.node(
        "Conv",
        rows.name,
        writer.constant(across(layer.kernel)),
        *bias(writer, layer),
        strides=[1, *layer.strides],
        dilations=[1, *layer.dilation_rate],
        group=layer.groups,
    )
    return writer.activated(layer.activation, given)


def _maxima(writer: Writer, layer: AtrousMaxPool, rows: Value) -> Value:
    sizes: dict[str, Any] = {"kernel_shape": [1, layer.pool], "strides": [1, layer.step]}
    # A dilation, even of one, keeps the runtime from its fast layout.
    sizes |= {"dilations": [1, layer.gap]} if layer.gap > 1 else {}
    return Value(writer.node("MaxPool", rows.name, **sizes))


def _means(writer: Writer, layer: AtrousMeanPool, rows: Value) -> Value:
    sizes: dict[str, Any] = {"kernel_shape": [1, layer.pool], "strides": [1, layer.step]}
    if layer.gap == 1:
        return Value(writer.node("AveragePool", rows.name, **sizes))
    # An average pool has no dilation in this version of the format; a convolution has.
    channels = layer.output.shape[-1]
    weights = writer.constant(np.full((channels, 1, 1, layer.pool), 1 / layer.pool))
    sizes |= {"dilations": [1, layer.gap], "group": channels}
    return Value(writer.node("Conv", rows.name, weights, **sizes))


def _bin_rows(writer: Writer, layer: BinRows, rows: Value) -> Value:
    return Value(rows.name, layer)


def _cropping(writer: Writer, layer: layers.Cropping1D, rows: Value) -> Value:
    before, behind = layer.cropping
    end = -behind or np.iinfo(np.int64).max
    return Value(writer.node("Slice", rows.name, *map(writer.integers, (before, end, ROWS))))


def _elementwise(operation: str) -> LayerWriter:
    def write(writer: Writer, layer: layers.Layer, *ends: Value) -> Value:
        made, *rest = (end.name for end in ends)
        for end in rest:
            made = writer.node(operation, made, end)
        return Value(made)

    return write


def _normalisation(writer: Writer, layer: layers.BatchNormalization, end: Value) -> Value:
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
    return Value(
        writer.node("BatchNormalization", end.name, *constants, epsilon=float(layer.epsilon))
    )


def _relu(writer: Writer, layer: layers.ReLU, end: Value) -> Value:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise UnsupportedError("a ReLU with options")
    return Value(writer.node("Relu", end.name))


def _activation(writer: Writer, layer: layers.Activation, end: Value) -> Value:
    return writer.activated(layer.activation, end.name)


def _dropout(writer: Writer, layer: layers.Dropout, end: Value) -> Value:
    return end


def _concatenation(writer: Writer, layer: layers.Concatenate, *ends: Value) -> Value:
    if layer.axis not in (-1, 2):
        raise UnsupportedError(f"a Concatenate of axis {layer.axis}")
    return Value(writer.node("Concat", *(end.name for end in ends), axis=CHANNELS))


WRITERS: Mapping[type, LayerWriter] = {
    AtrousMaxPool: _maxima,
    AtrousMeanPool: _means,
    BinRows: _bin_rows,
    layers.Conv1D: _convolution,
    layers.Cropping1D: _cropping,
    layers.Add: _elementwise("Add"),
    layers.Multiply: _elementwise("Mul"),
    layers.BatchNormalization: _normalisation,
    layers.ReLU: _relu,
    layers.Activation: _activation,
    layers.Dropout: _dropout,
    layers.Concatenate: _concatenation,
}
