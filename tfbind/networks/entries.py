"""Where inputs enter a network: as rows along the genome, whatever they are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import layers

from tfbind.channels import channel
from tfbind.channels.base import Lookup, Matrices
from tfbind.contract import Geometry, Input
from tfbind.errors import InputError
from tfbind.networks.layers import BothStrands, Kept, KmerRows, OneHot


@dataclass(frozen=True)
class Entry:
    """An input as a network finds it.

    Attributes
    ----------
    source : str
        Of the input.
    enters : 'convolved', 'pooled' or 'joined'
        As its channel says.
    rows : KerasTensor, shape (batch, bases, channels), or (batch, 1, values) where it is joined
    width : int
        Rows under one window.
    made : bool
        The graph makes it.
    """

    source: str
    enters: Literal["convolved", "pooled", "joined"]
    rows: Any
    width: int
    made: bool = False


def entries(
    inputs: Sequence[Input],
    geometry: Geometry,
    *,
    windows: bool = False,
    kept: Sequence[tuple[int, int]] | None = None,
) -> tuple[dict[str, keras.KerasTensor], list[Entry]]:
    """Make a network's inputs, and bring each into the form of rows.

    Parameters
    ----------
    inputs : sequence of Input
    geometry : Geometry
    windows : bool
        Take one window at a time: the lengths of the inputs are fixed.
    kept : sequence of (int, int), optional
        Stretches of a window, which is taken by itself; all else along the genome is blank.

    Returns
    -------
    ends : dict of str to KerasTensor
        What is fed: base codes, shape (batch, bases), uint8; signals, float32; vectors, shape
        (batch, values), float32.
    entries : list of Entry
        In the order of `inputs`.

    Raises
    ------
    InputError
        If one is made from another that is not among them, or none is along the genome.
    """
    if all(spec.along == "cell" for spec in inputs):
        raise InputError("found inputs of the cell type alone, expected the sequence or a signal")
    bases = geometry.window if windows else None
    ends: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    one_hot: dict[str, Any] = {}
    for spec in inputs:
        if spec.along == "sequence":
            continue
        if spec.source == "sequence":
            ends[spec.name] = keras.Input((bases,), name=spec.name, dtype="uint8")
        else:
            length = len(spec.features) if spec.along == "cell" else bases
            ends[spec.name] = keras.Input((length,), name=spec.name, dtype="float32")
        along = spec.along == "bases"
        seen[spec.name] = Kept(kept)(ends[spec.name]) if kept and along else ends[spec.name]
        if spec.source == "sequence":
            # Rows are blanked, not codes, so that rules of attribution find the one-hot rows first.
            rows = OneHot()(ends[spec.name])
            one_hot[spec.name] = Kept(kept)(rows) if kept else rows
    made = [_entry(spec, seen, one_hot, geometry.window) for spec in inputs]
    return ends, made


def _entry(spec: Input, ends: dict[str, Any], one_hot: dict[str, Any], window: int) -> Entry:
    kind = channel(spec)
    if spec.source == "sequence":
        return Entry(spec.source, kind.enters, one_hot[spec.name], window)
    if spec.along != "sequence":
        shape = (1, len(spec.features)) if spec.along == "cell" else (-1, 1)
        rows = layers.Reshape(shape)(ends[spec.name])
        return Entry(spec.source, kind.enters, rows, window)
    if spec.of not in one_hot:
        raise InputError(
            f"the input {spec.name!r} is made from {spec.of!r}, which is not among the inputs "
            f"{', '.join(ends) or 'none'}; add it to --inputs"
        )
    graph = kind.graph
    if isinstance(graph, Lookup):
        rows = KmerRows(graph.width, graph.rows.shape[1], table=graph.rows)(ends[spec.of])
    elif isinstance(graph, Matrices):
        shape = graph.forward.shape
        rows = BothStrands(shape[0], shape[1], matrices=(graph.forward, graph.reverse))(
            one_hot[spec.of]
        )
    else:
        raise TypeError(f"{kind} has no graph")
    width = window - graph.width + 1
    if width < 1:
        raise InputError(
            f"the input {spec.name!r} looks at {graph.width} bases at once, more than the window "
            f"of {window} bp has"
        )
    return Entry(spec.source, kind.enters, rows, width, made=True)
