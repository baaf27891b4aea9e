"""From values along the genome to the tensors that a graph wants, and from its output to scores.

A graph that was made here takes each input by itself: all bases under a run of bins, or a window
for each bin. Others want windows in which inputs are stacked as channels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tfbind.channels.base import Array
from tfbind.contract import Contract, Geometry, Input, Tensor
from tfbind.errors import InputError
from tfbind.genome import UNKNOWN

Scores = npt.NDArray[np.float32]
Feeds = dict[str, Array]

BASES = "ACGT"
"""In the order of their codes."""

QUARTER = 0.25

DTYPES: Mapping[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(double)": np.dtype(np.float64),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
}
"""By ONNX Runtime's names."""


class GraphValue(Protocol):
    """An input or output of a graph, as ONNX Runtime describes it."""

    name: str
    type: str
    shape: list[int | str | None]


@dataclass(frozen=True)
class Slot:
    """A tensor, and how its graph wants it.

    Attributes
    ----------
    tensor : Tensor
    dtype : numpy.dtype
    shape : tuple of int
        Of one window: its axes of bases and channels, and any of length 1.
    batch : int or None
        Windows a call, if the graph has them fixed.
    """

    tensor: Tensor
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    batch: int | None


def channels_of(tensor: Tensor, inputs: Sequence[Input]) -> int:
    """Count the channels of a tensor."""
    sequences = {spec.name for spec in inputs if spec.source == "sequence"}
    return sum(4 if part in sequences and tensor.bases else 1 for part in tensor.parts)


def shape_text(value: GraphValue) -> str:
    """Write a value's name, shape and type, for a message."""
    axes = [str(axis) if isinstance(axis, int) else "?" for axis in value.shape]
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return f"{value.name} ({', '.join(axes)}) {kind}"


def fit(tensor: Tensor, value: GraphValue, contract: Contract) -> Slot:
    """Fit a tensor to a graph's input.

    Raises
    ------
    InputError
        If the input's axes are others, or its type cannot hold the values.
    """
    channels = channels_of(tensor, contract.inputs)
    sizes = [contract.geometry.window, channels]
    if tensor.layout == "channels-first":
        sizes.reverse()
    behind = value.shape[1:]
    free = sum(axis != 1 for axis in behind)
    if channels == 1 and free == 1:
        sizes = [contract.geometry.window]
    left = iter(sizes)
    shape = tuple(1 if axis == 1 else next(left, 0) for axis in behind)
    fixed = [
        isinstance(axis, int) and axis != size for axis, size in zip(behind, shape, strict=True)
    ]
    if free != len(sizes) or any(fixed):
        raise InputError(
            f"wants {shape_text(value)}, but {'+'.join(tensor.parts)} over a window makes "
            f"({', '.join(['batch', *map(str, sizes)])})"
        )
    return Slot(tensor, _dtype(tensor, value, contract), shape, _batch(value))


def _dtype(tensor: Tensor, value: GraphValue, contract: Contract) -> np.dtype[Any]:
    if value.type not in DTYPES:
        raise InputError(f"wants {shape_text(value)}, expected one of {', '.join(DTYPES)}")
    dtype = DTYPES[value.type]
    specs = [spec for spec in contract.inputs if spec.name in tensor.parts]
    broken = [one.name for one in specs if one.source == "signal" or one.blank == "quarter"]
    if dtype.kind in "iu" and broken:
        raise InputError(
            f"wants {shape_text(value)}, whole numbers, but {broken[0]} has broken ones"
        )
    return dtype


def _batch(value: GraphValue) -> int | None:
    batch = value.shape[0]
    return batch if isinstance(batch, int) else None


def stretch(
    prepared: Mapping[str, Array], contract: Contract, first: int, length: int
) -> dict[str, Array]:
    """Cut a stretch of bases out of each input that has a value a base.

    Parameters
    ----------
    prepared : mapping of str to ndarray, shape (bases,) or (values,)
    contract : Contract
    first, length : int
        Bases.
    """
    return {
        spec.name: prepared[spec.name][first : first + length]
        if spec.along == "bases"
        else prepared[spec.name]
        for spec in contract.fed
    }


def scanned(prepared: Mapping[str, Array]) -> Feeds:
    """Feed a network that reads any stretch: a batch of one."""
    return {name: one[None] for name, one in prepared.items()}


def windowed(prepared: Mapping[str, Array], contract: Contract) -> Feeds:
    """Feed a network of this house a window for each bin.

    Parameters
    ----------
    prepared : mapping of str to ndarray, shape (bases,) or (values,)
        Of each input; one at least has a value a base.
    contract : Contract

    Returns
    -------
    dict of str to ndarray, shape (bins, window) or (bins, values)
    """
    cut = {
        spec.name: np.ascontiguousarray(_cut(prepared[spec.name], contract.geometry, 0))
        for spec in contract.fed
        if spec.along == "bases"
    }
    bins = len(next(iter(cut.values())))
    return {
        spec.name: cut[spec.name]
        if spec.along == "bases"
        else np.tile(prepared[spec.name], (bins, 1))
        for spec in contract.fed
    }


def stacked(bases: Mapping[str, Array], slots: Sequence[Slot], contract: Contract) -> Feeds:
    """Feed another's network its windows, side by side where each gives several bins scores.

    Parameters
    ----------
    bases : mapping of str to ndarray, shape (bases,)
        Prepared values of each input.
    slots : sequence of Slot
    contract : Contract

    Returns
    -------
    dict of str to ndarray, shape (windows, ...)
        By the graph's names, in its shapes and types.
    """
    specs = {spec.name: spec for spec in contract.inputs}
    feeds = {}
    for slot in slots:
        last = slot.tensor.layout == "channels-last"
        cut = _cut(_stack(bases, slot, specs), contract.geometry, 0 if last else 1)
        cut = cut.swapaxes(1, 2) if last else cut.swapaxes(0, 1)
        feeds[slot.tensor.name] = np.ascontiguousarray(cut).reshape(-1, *slot.shape)
    return feeds


def _cut(values: Array, geometry: Geometry, axis: int) -> Array:
    """View the windows along an axis, which then counts them; the last axis is a window's bases."""
    view = np.lib.stride_tricks.sliding_window_view(values, geometry.window, axis=axis)
    step = geometry.stride * geometry.outputs
    return view[::step] if axis == 0 else view[:, ::step]


def _stack(bases: Mapping[str, Array], slot: Slot, specs: Mapping[str, Input]) -> Array:
    """Stack a tensor's channels: (bases, channels), or (channels, bases) if these go first."""
    channels: list[Array] = []
    for part in slot.tensor.parts:
        if specs[part].source == "sequence" and slot.tensor.bases:
            channels.extend(_one_hot(slot, specs[part])[:, bases[part]])
        else:
            channels.append(bases[part].astype(slot.dtype, copy=False))
    return np.stack(channels, axis=1 if slot.tensor.layout == "channels-last" else 0)


def _one_hot(slot: Slot, spec: Input) -> Array:
    """Make the table from a base's code to its channels, shape (4, codes)."""
    table = np.zeros((4, UNKNOWN + 1), slot.dtype)
    table[range(4), [BASES.index(base) for base in slot.tensor.bases]] = 1
    table[:, UNKNOWN] = QUARTER if spec.blank == "quarter" else 0
    return table


def in_batches(feeds: Feeds, batch: int | None) -> Iterator[Feeds]:
    """Part windows into calls of the size that a graph has fixed, which divides their number."""
    count = len(next(iter(feeds.values())))
    for first in range(0, count, batch or count):
        yield {name: one[first : first + (batch or count)] for name, one in feeds.items()}


def to_scores(output: Array, contract: Contract) -> Scores:
    """Turn a graph's output into scores.

    Parameters
    ----------
    output : ndarray
        Of axes for windows, bins and tasks, in the contract's order; those of length 1 may lack.
    contract : Contract

    Returns
    -------
    ndarray, shape (bins, tasks), float32
    """
    tasks = len(contract.tasks)
    if contract.order == "tasks, bins":
        output = output.reshape(-1, tasks, contract.geometry.outputs).swapaxes(1, 2)
    return output.reshape(-1, tasks).astype(np.float32, copy=False)
