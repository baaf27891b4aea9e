"""The network of this project's own: wide and deep, for several factors at once, an ensemble.

Its deep part reads rows of a stride each: learnt filters, scores of known motifs, means and maxima
of signals, brought together by residual dilated convolutions over the window. Its wide part hands
the best motif score and the signal of the bin itself, and their product, straight to the last
layer, as a logistic regression would have them: where a factor has few peaks, that is what can be
learnt of it (Cheng et al. 2016, on wide and deep learning).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.errors import InputError, RequestError
from tfbind.networks.entries import Entry, entries
from tfbind.networks.heads import CONVOLUTION, members
from tfbind.networks.layers import PerBin, joined
from tfbind.networks.ranges import ranged
from tfbind.networks.rows import Rows, beside

RARE = -4.0
"""Where logits start: few bins are bound."""

FARTHEST = 8
"""The widest dilation, rows."""


@dataclass(frozen=True)
class _Sizes:
    """Hyper-parameters, as `best` takes them, and the rows of a window and of its bin."""

    filters: int
    width: int
    units: int
    dense: int
    dropout: float
    wide_dropout: float
    window: int
    core: int


@dataclass(frozen=True)
class _Maps:
    """What all members read: maps of a row a stride, all of them over the same bases.

    Attributes
    ----------
    bases, composition : Rows
        The one-hot sequence, a row a base, and its means, as the others; None without a sequence.
    motifs, tracks : list of Rows
        Scores of motifs, the best in a row; other tracks, the mean.
    highest, means : list of Rows
        Of signals.
    vectors : list
        Of the cell type, shape (batch, 1, values).
    """

    bases: Rows | None
    composition: Rows | None
    motifs: list[Rows]
    tracks: list[Rows]
    highest: list[Rows]
    means: list[Rows]
    vectors: list[Any]


@ranged(filters=0, units=2, from_sequence=0)
def best(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    filters: int = 24,
    width: int = 15,
    units: int = 32,
    dense: int = 128,
    dropout: float = 0.5,
    wide_dropout: float = 0.2,
    ensemble: int = 3,
    from_sequence: int = 0,
) -> keras.Model:
    """Build an ensemble of wide and deep networks that learn all tasks together.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence or a signal at least; known motifs help most where a factor has few peaks.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    filters, width : int
        Of the convolution over the sequence, if `filters` is not 0; bases.
    units, dense : int
        Channels of the convolutions over rows, and units behind them.
    dropout, wide_dropout : float
        Behind layers, and of what the wide part hands on.
    ensemble : int
        Networks that learn side by side; the score is their mean.
    from_sequence : int
        So many of the last tasks are learnt from the sequence alone, and what is known of them
        helps the others: the peaks of a factor in cell types that have no signal here.

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, tasks) probabilities.

    Raises
    ------
    InputError
        If the window is too small.
    RequestError
        If no task is left, or there is no sequence, for `from_sequence`; or if a size is too small.
    """
    ends, entered = entries(inputs, geometry)
    if from_sequence and not (from_sequence < tasks and "sequence" in {e.source for e in entered}):
        raise RequestError(
            f"found from_sequence = {from_sequence} of {tasks} tasks, expected fewer than all, and "
            "the sequence among the inputs"
        )
    convolved = filters and any(entry.source == "sequence" for entry in entered)
    rows = _rows_of(geometry, [width if convolved else 1, *_lost(entered, geometry)])
    sizes = _Sizes(filters, width, units, dense, dropout, wide_dropout, *rows)
    maps = _maps(entered, geometry, sizes)
    learnt = [_member(maps, sizes, tasks, from_sequence, number) for number in range(ensemble)]
    return keras.Model(ends, members(learnt), name="best")


def _lost(entered: Sequence[Entry], geometry: Geometry) -> list[int]:
    """Give the bases that each map looks at from one row."""
    return [geometry.window - one.width + 1 for one in entered if one.enters != "joined"]


def _rows_of(geometry: Geometry, widths: Sequence[int]) -> tuple[int, int]:
    """Count the rows of a window, and those in its midst that hold the bin.

    Both are even or both are odd, so that the bin lies in the middle.
    """
    core = -(-geometry.size // geometry.stride)
    rows = (geometry.window - max(widths) + 1) // geometry.stride
    rows -= (rows - core) % 2
    if rows < core + 2:
        raise InputError(
            f"the window of {geometry.window} bp is too small for this network around bins of "
            f"{geometry.size} bp, {geometry.stride} bp apart; make tiles with a larger --window"
        )
    return rows, core


def _maps(entered: Sequence[Entry], geometry: Geometry, sizes: _Sizes) -> _Maps:
    maps = _Maps(None, None, [], [], [], [], [])
    for entry in entered:
        rows = Rows.of(entry.rows, entry.width, geometry.stride)
        if entry.enters == "joined":
            maps.vectors.append(entry.rows)
        elif entry.source == "sequence":
            maps = replace(maps, bases=rows, composition=_pooled(rows, sizes, mean=True))
        elif entry.made and entry.enters == "pooled":
            maps.motifs.append(_pooled(rows, sizes).through(layers.BatchNormalization()))
        elif entry.enters == "pooled":
            maps.highest.append(_pooled(rows, sizes))
            maps.means.append(_pooled(rows, sizes, mean=True))
        else:
            maps.tracks.append(_pooled(rows, sizes, mean=True).through(layers.BatchNormalization()))
    return maps


def _pooled(rows: Rows, sizes: _Sizes, *, mean: bool = False) -> Rows:
    """Pool the middle of a map into a row a stride."""
    return rows.middle(sizes.window * rows.stride).pooled(rows.stride, mean=mean)


def _member(maps: _Maps, sizes: _Sizes, tasks: int, from_sequence: int, number: int) -> Any:
    """Build one network over the maps, up to the logits of all tasks."""
    sequence = _sequence(maps, sizes, number)
    wide = _wide(maps, sizes)
    told = []
    if from_sequence:
        told = [_logits(_of_sequence(sequence, maps, sizes), from_sequence)]
        wide += [*told, *(_times(told[0], signal) for signal in _at_bin(maps.highest, sizes))]
    wide = [layers.Dropout(sizes.wide_dropout)(one) for one in wide]
    features = [_deep([*sequence, *_signals(maps, sizes)], sizes), *wide]
    vectors = [PerBin()([one, features[0]]) for one in maps.vectors]
    main = _logits(joined([*features, *vectors]), tasks - from_sequence)
    return joined([main, *told])


def _sequence(maps: _Maps, sizes: _Sizes, number: int) -> list[Rows]:
    """Give the rows that are made from bases: filters, motifs, composition, other tracks."""
    rows = [*maps.motifs, *maps.tracks]
    rows += [one.through(layers.Dense(sizes.units // 2, activation="relu")) for one in maps.motifs]
    if maps.bases is None or maps.composition is None:
        return rows
    if sizes.filters:
        # Names are unique in a network; a start from motifs is given to the first member.
        name = CONVOLUTION if number == 0 else f"{CONVOLUTION}_{number + 1}"
        found = maps.bases.convolved(sizes.filters, sizes.width, use_bias=False, name=name)
        behind = layers.BatchNormalization(), layers.ReLU(), layers.Dropout(sizes.dropout / 2)
        rows.insert(0, _pooled(found, sizes).through(*behind))
    return [*rows, maps.composition]


def _signals(maps: _Maps, sizes: _Sizes) -> list[Rows]:
    """Give the rows of signals, as they are and through a layer of their own."""
    rows = [*maps.highest, *maps.means]
    if not rows:
        return []
    own = layers.BatchNormalization(), layers.Dense(sizes.units, activation="relu")
    return [*rows, beside(rows).through(*own)]


def _deep(parts: Sequence[Rows], sizes: _Sizes) -> Any:
    """Bring rows together over the window: (batch, bins, dense)."""
    rows = beside(parts).convolved(sizes.units, min(4, sizes.window - 1))
    rows = rows.through(*_normal(sizes))
    dilation = 1
    while rows.width - 2 * dilation >= 3 and dilation <= FARTHEST:
        inner = rows.convolved(sizes.units, 3, dilation=dilation).through(*_normal(sizes))
        rows, dilation = inner.plus(rows), 2 * dilation
    features = layers.Dense(sizes.dense)(rows.flattened())
    for layer in _normal(sizes):
        features = layer(features)
    return features


def _normal(sizes: _Sizes) -> tuple[Any, ...]:
    return layers.BatchNormalization(), layers.ReLU(), layers.Dropout(sizes.dropout)


def _wide(maps: _Maps, sizes: _Sizes) -> list[Any]:
    """Give what a linear model of the bin would have, and products of motifs and signals."""
    core, signals = sizes.core, _at_bin(maps.highest, sizes)
    motifs = _at_bin(maps.motifs, sizes)
    around = [rows.middle(core + 2).highest() for rows in maps.motifs]
    given = [*motifs, *(layers.BatchNormalization()(one) for one in around)]
    given += [layers.ReLU()(one) for one in motifs]
    given += [layers.Activation("tanh")(one) for one in signals]  # open or not
    given += [_times(one, signal) for one in motifs for signal in signals]
    levels = [*signals, *_levels(maps, sizes)]
    hidden = layers.BatchNormalization()(joined(levels))
    for units in (sizes.units, sizes.units // 2):
        hidden = layers.Dense(units, activation="relu")(hidden)
    return [*given, *levels, hidden]


def _levels(maps: _Maps, sizes: _Sizes) -> list[Any]:
    """Give signals in and around the bin, and the composition of its bases."""
    core = sizes.core

    def wider(rows: Rows, by: int) -> Rows:
        return rows.middle(min(core + by, rows.width - (rows.width - core) % 2))

    given = [wider(rows, by).highest() for rows in maps.highest for by in (2, 8)]
    given += [wider(rows, by).mean() for rows in maps.means for by in (0, 4, 12)]
    if maps.composition is not None:
        given += [wider(maps.composition, by).mean() for by in (0, 8)]
    return given


def _at_bin(maps: Sequence[Rows], sizes: _Sizes) -> list[Any]:
    return [rows.middle(sizes.core).highest() for rows in maps]


def _of_sequence(sequence: Sequence[Rows], maps: _Maps, sizes: _Sizes) -> Any:
    """Give features of the sequence alone, the same in all cell types."""
    rows = beside(sequence).convolved(sizes.units, min(4, sizes.window - 1))
    rows = rows.through(*_normal(sizes))
    near = min(9, rows.width - (rows.width - 9) % 2)
    return joined(
        [
            rows.middle(2 - rows.width % 2).flattened(),
            rows.mean(),
            rows.middle(near).highest(),
            *_at_bin(maps.motifs, sizes),
        ]
    )


def _times(features: Any, signal: Any) -> Any:
    return layers.Multiply()([features, signal])


def _logits(features: Any, tasks: int) -> Any:
    return layers.Dense(tasks, bias_initializer=keras.initializers.Constant(RARE))(features)
