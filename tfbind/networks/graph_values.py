"""Values of an ONNX graph, and the nodes that make them.

Between the inputs and the scores every value has the shape (batch, channels, 1, rows).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfbind.networks.layers import BinRows
from tfbind.nodes import Nodes

ACTIVATIONS = {"linear": "", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}

ROWS, CHANNELS = 3, 1
"""Axes."""


class UnsupportedError(Exception):
    """The network has something in it that cannot be written here."""


@dataclass(frozen=True)
class Value:
    """What a layer gives: a value of the graph, of which `bins`, if any, are still to be cut."""

    name: str
    bins: BinRows | None = None


class Writer(Nodes):
    """Nodes and constants of a network."""

    def activated(self, activation: Any, end: str) -> Value:
        """Add an activation function of Keras.

        Raises
        ------
        UnsupportedError
            If it is none of `ACTIVATIONS`.
        """
        name = getattr(activation, "__name__", "")
        if name not in ACTIVATIONS:
            raise UnsupportedError(f"the activation {name or activation}")
        return Value(self.node(ACTIVATIONS[name], end) if ACTIVATIONS[name] else end)


LayerWriter = Callable[..., Value]
"""From a writer, a layer and its values to what it gives."""


def over_bins(writer: Writer, rows: Value, *weights: str, **attributes: Any) -> str:
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


def cut(writer: Writer, value: Value) -> str:
    """Give each bin's rows as channels of its own, by a convolution that picks them."""
    bins = value.bins
    if bins is None or bins.one == bins.count == bins.step == 1:
        return value.name
    if bins.count == 1:
        behind = 1 - bins.one or np.iinfo(np.int64).max
        picked = map(writer.integers, (0, behind, ROWS, bins.step))
        return writer.node("Slice", value.name, *picked)
    channels = bins.input.shape[-1]
    picks = np.tile(np.eye(bins.count)[:, None, None], (channels, 1, 1, 1))
    end = over_bins(writer, value, writer.constant(picks), group=channels)
    if channels > 1:  # row after row, not channel after channel
        end = writer.node("Reshape", end, writer.integers(0, channels, bins.count, -1))
        end = writer.node("Transpose", end, perm=[0, 2, 1, 3])
        end = writer.node("Reshape", end, writer.integers(0, channels * bins.count, 1, -1))
    return end


def bias(writer: Writer, layer: Any, shape: tuple[int, ...] = (-1,)) -> list[str]:
    """Keep a layer's bias, if it has one."""
    return [writer.constant(np.asarray(layer.bias).reshape(shape))] if layer.use_bias else []


def across(kernel: Any) -> npt.NDArray[np.float32]:
    """Turn a kernel of Keras, (width, channels, filters), into one of ONNX with an axis more."""
    return np.asarray(kernel).transpose(2, 1, 0)[:, :, None]
