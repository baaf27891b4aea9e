"""Layers next to a network's inputs, as nodes of an ONNX graph."""

from collections.abc import Mapping

import numpy as np
from keras import layers
from onnx import TensorProto

from tfbind.genome import UNKNOWN
from tfbind.networks.graph_values import (
    ROWS,
    LayerWriter,
    UnsupportedError,
    Value,
    Writer,
    across,
)
from tfbind.networks.layers import BothStrands, Flanks, Kept, KmerRows, OneHot, PerBin


def _one_hot(writer: Writer, layer: OneHot, codes: Value) -> Value:
    # Four comparisons give channels first; a look-up in a table would have to be transposed.
    indices = writer.node("Cast", codes.name, to=TensorProto.INT32)
    indices = writer.node("Unsqueeze", indices, writer.integers(1, 2))
    bases = writer.constant(np.arange(UNKNOWN).reshape(1, -1, 1, 1), np.int32)
    return Value(writer.node("Cast", writer.node("Equal", indices, bases), to=TensorProto.FLOAT))


def _kept(writer: Writer, layer: Kept, values: Value) -> Value:
    dtype = layer.input.dtype
    shape = (1, -1) if len(layer.input.shape) == 2 else (1, 1, 1, -1)
    keep = writer.constant(layer.kept(layer.input.shape[1]).reshape(shape), np.bool_)
    blank = writer.constant(layer.blank(dtype), dtype)
    return Value(writer.node("Where", keep, values.name, blank))


def _reshape(writer: Writer, layer: layers.Reshape, signal: Value) -> Value:
    shape = tuple(layer.target_shape)
    if shape == (-1, 1):
        return Value(writer.node("Unsqueeze", signal.name, writer.integers(1, 2)))
    if len(shape) == 2 and shape[0] == 1:  # a vector: one row of many channels
        return Value(writer.node("Unsqueeze", signal.name, writer.integers(2, 3)))
    raise UnsupportedError(f"a Reshape to {shape}")


def _kmer_rows(writer: Writer, layer: KmerRows, codes: Value) -> Value:
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
    return Value(writer.node("Transpose", rows, perm=[0, 3, 1, 2]))  # (batch, channels, 1, rows)


def _motifs(writer: Writer, layer: BothStrands, rows: Value) -> Value:
    strands = [
        writer.node("Conv", rows.name, writer.constant(across(kernel)))
        for kernel in (layer.forward, layer.reverse)
    ]
    return Value(writer.node("Max", *strands))


def _per_bin(writer: Writer, layer: PerBin, vector: Value, bins: Value) -> Value:
    rows = writer.node("Shape", bins.name, start=ROWS)
    shape = writer.node("Concat", writer.integers(1, 1, 1), rows, axis=0)
    return Value(writer.node("Expand", vector.name, shape))


def _flanks(writer: Writer, layer: Flanks, rows: Value) -> Value:
    widths = writer.integers(0, 0, 0, layer.before, 0, 0, 0, layer.behind)
    return Value(writer.node("Pad", rows.name, widths, writer.constant(layer.value)))


WRITERS: Mapping[type, LayerWriter] = {
    OneHot: _one_hot,
    Kept: _kept,
    KmerRows: _kmer_rows,
    BothStrands: _motifs,
    PerBin: _per_bin,
    Flanks: _flanks,
    layers.Reshape: _reshape,
}
FROM_BASES = (OneHot, KmerRows, layers.Reshape)
