"""What stands beside the sequence: signals, tracks and vectors as features of each bin."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from keras import layers

from tfbind.contract import Geometry
from tfbind.networks.entries import Entry
from tfbind.networks.layers import PerBin, joined
from tfbind.networks.rows import Rows


@dataclass(frozen=True)
class Sizes:
    """How much of each input a bin gets to see.

    Attributes
    ----------
    signal_pool : int
        Width of the max-pools over signals; bases.
    dropout : float
    track_filters, track_width, track_step : int
        Of the convolution over an input that is convolved, such as shape: filters, bases, bases
        from one row to the next (their greatest common divisor with the stride).
    track_pool, track_dense : int
        Of the max-pool behind it, bases; units that it is brought down to.
    vector : int
        Units that a cell type's vector is brought to.
    """

    signal_pool: int = 20
    dropout: float = 0.5
    track_filters: int = 16
    track_width: int = 10
    track_step: int = 5
    track_pool: int = 35
    track_dense: int = 16
    vector: int = 32


def gathered(
    entered: Sequence[Entry],
    geometry: Geometry,
    sequence: Callable[[Entry], Any],
    sizes: Sizes,
) -> Any:
    """Bring every input to features of each bin, and join them in the order of the inputs.

    Parameters
    ----------
    entered : sequence of Entry
    geometry : Geometry
    sequence : callable
        From the entry of the sequence to its features, shape (batch, bins, features).
    sizes : Sizes
    """
    parts, vectors = [], []
    for entry in entered:
        if entry.enters == "joined":
            vectors.append(block(entry.rows, sizes.vector, sizes.dropout))
        elif entry.enters == "pooled":
            parts.append(_pooled(entry, geometry, sizes))
        elif entry.source == "sequence":
            parts.append(sequence(entry))
        else:
            parts.append(_convolved(entry, geometry, sizes))
    parts += [PerBin()([one, parts[0]]) for one in vectors]
    return joined(parts)


def block(features: Any, units: int, dropout: float) -> Any:
    """Bring features down: dense, batch normalisation, rectifier, dropout."""
    hidden = layers.BatchNormalization()(layers.Dense(units)(features))
    return layers.Dropout(dropout)(layers.ReLU()(hidden))


def _pooled(entry: Entry, geometry: Geometry, sizes: Sizes) -> Any:
    # What a graph makes has scores of any size, and there may be hundreds of them: a few rows of
    # each, the best in as many bases as a bin has.
    pool = min(geometry.size, entry.width) if entry.made else sizes.signal_pool
    rows = Rows.of(entry.rows, entry.width, geometry.stride).pooled(pool)
    return (rows.through(layers.BatchNormalization()) if entry.made else rows).flattened()


def _convolved(entry: Entry, geometry: Geometry, sizes: Sizes) -> Any:
    # A few channels, a row for a few bases, a rectifier that costs nothing: a track like shape is
    # smooth, and must not slow scoring much.
    step = gcd(sizes.track_step, geometry.stride)
    rows = Rows.of(entry.rows, entry.width, geometry.stride).thinned(
        sizes.track_filters, sizes.track_width, step, activation="relu"
    )
    features = rows.pooled(max(sizes.track_pool // step, 1)).flattened()
    return block(layers.Dropout(sizes.dropout)(features), sizes.track_dense, sizes.dropout)
