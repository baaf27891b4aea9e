"""The networks of N. ten Dijke's thesis (Leiden, 2017), as scans."""

from collections.abc import Sequence
from math import gcd
from typing import Any

import keras
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.errors import InputError
from tfbind.networks.entries import entries
from tfbind.networks.heads import CONVOLUTION, each
from tfbind.networks.layers import AtrousMaxPool, BinRows, PerBin


def shallow(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    filters: int = 32,
    width: int = 20,
    pool: int = 35,
    dense: int = 100,
    signal_pool: int = 20,
    joint: int = 1000,
    dropout: float = 0.5,
    track_filters: int = 16,
    track_width: int = 10,
    track_step: int = 5,
    track_dense: int = 16,
    vector: int = 32,
) -> keras.Model:
    """Build the shallow network: one convolution over the sequence, pooled signals beside it.

    With the published sizes and one signal it has 246,559 trainable parameters. Tracks of which
    the text says no more than that they have a convolution and a pool of their own (shape), and
    vectors of cell types (expression), have sizes that were chosen here.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    filters, width : int
        Of the convolution; bases.
    pool, signal_pool : int
        Widths of the max-pools; bases.
    dense, joint : int
        Units that the sequence is brought down to, and of the layer that joins all inputs.
    dropout : float
    track_filters, track_width, track_step, track_dense : int
        Of the convolution over each other input that is convolved: filters, bases, bases from one
        row to the next (their greatest common divisor with the stride); and the units behind it.
    vector : int
        Units that a cell type's vector is brought to.

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, tasks) probabilities.
    """
    ends, entered = entries(inputs, geometry)
    stride = geometry.stride
    parts, vectors = [], []
    for entry in entered:
        if entry.enters == "joined":
            vectors.append(_block(entry.rows, vector, dropout))
        elif entry.enters == "pooled":
            # What a graph makes has scores of any size, and there may be hundreds of them: a few
            # rows of each, the best in as many bases as a bin has.
            own = min(geometry.size, entry.width) if entry.made else signal_pool
            rows = AtrousMaxPool(own, stride)(entry.rows)
            rows = layers.BatchNormalization()(rows) if entry.made else rows
            parts.append(BinRows(own, stride, entry.width)(rows))
        elif entry.source == "sequence":
            rows = layers.Conv1D(filters, width, name=CONVOLUTION)(entry.rows)
            rows = layers.BatchNormalization()(AtrousMaxPool(pool, stride)(rows))
            features = BinRows(pool, stride, entry.width - width + 1)(layers.ReLU()(rows))
            parts.append(_block(layers.Dropout(dropout)(features), dense, dropout))
        else:
            # A few channels, a row for a few bases, a rectifier that costs nothing: a track like
            # shape is smooth, and must not slow scoring much.
            step = gcd(track_step, stride)
            conv = layers.Conv1D(track_filters, track_width, strides=step, activation="relu")
            own, held = max(pool // step, 1), (entry.width - track_width) // step + 1
            rows = AtrousMaxPool(own, stride // step)(conv(entry.rows))
            features = BinRows(own, stride // step, held)(rows)
            parts.append(_block(layers.Dropout(dropout)(features), track_dense, dropout))
    if not parts:
        raise InputError("found inputs of the cell type alone, expected the sequence or a signal")
    parts += [PerBin()([one, parts[0]]) for one in vectors]
    joined = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    scores = each(_block(joined, joint, dropout), tasks, normalised=True)
    return keras.Model(ends, scores, name="shallow")


def _block(features: Any, units: int, dropout: float) -> Any:
    hidden = layers.BatchNormalization()(layers.Dense(units)(features))
    return layers.Dropout(dropout)(layers.ReLU()(hidden))
