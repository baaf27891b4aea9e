"""The networks of N. ten Dijke's thesis (Leiden, 2017), as scans."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.errors import RequestError
from tfbind.networks.beside import Sizes, block, gathered
from tfbind.networks.entries import Entry, entries
from tfbind.networks.heads import CONVOLUTION, LOGITS, each, nodes
from tfbind.networks.layers import GroupedDense, glorot
from tfbind.networks.ranges import ranged
from tfbind.networks.rows import Rows


@ranged()
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

    def sequence(entry: Entry) -> Any:
        rows = Rows.of(entry.rows, entry.width, geometry.stride)
        rows = rows.convolved(filters, width, name=CONVOLUTION).pooled(pool)
        features = rows.through(layers.BatchNormalization(), layers.ReLU()).flattened()
        return block(layers.Dropout(dropout)(features), dense, dropout)

    sizes = Sizes(
        signal_pool, dropout, track_filters, track_width, track_step, pool, track_dense, vector
    )
    joined = gathered(entered, geometry, sequence, sizes)
    scores = each(block(joined, joint, dropout), tasks, normalised=True)
    return keras.Model(ends, scores, name="shallow")


@ranged()
def multitask(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    filters: int = 320,
    width: int = 30,
    pool: int = 15,
    sequence_dropout: float = 0.2,
    dense: int = 1000,
    signal_pool: int = 30,
    joint: int = 1000,
    private: int = 128,
    dropout: float = 0.5,
) -> keras.Model:
    """Build the multi-task network: shared layers, then for each factor layers of its own.

    Each factor has three nodes that exclude each other: unknown, unbound, bound. A bin of which a
    factor has no label weighs nothing there, so that the factor's own layers have a gradient of
    exactly 0 from it.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Factors.
    filters, width : int
        Of the convolution; bases.
    pool, signal_pool : int
        Widths of the max-pools; bases.
    sequence_dropout : float
        Behind the convolution.
    dense, joint, private : int
        Units that the sequence is brought down to, of the layer that all factors share, and of
        each factor's own.
    dropout : float

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, tasks) probabilities of bound.
    """
    ends, entered = entries(inputs, geometry)

    def sequence(entry: Entry) -> Any:
        rows = Rows.of(entry.rows, entry.width, geometry.stride)
        rows = rows.convolved(filters, width, name=CONVOLUTION).pooled(pool)
        features = rows.through(layers.ReLU(), layers.Dropout(sequence_dropout)).flattened()
        return layers.Dropout(dropout)(layers.Dense(dense, activation="relu")(features))

    joined = gathered(entered, geometry, sequence, Sizes(signal_pool, dropout))
    shared = block(joined, joint, dropout)
    # The factors' layers are one layer; each begins as it would alone.
    start = glorot(joint, private)
    own = layers.Dense(tasks * private, activation="relu", kernel_initializer=start)(shared)
    scores = nodes(GroupedDense(tasks, 3, name=LOGITS)(own), 3)
    return keras.Model(ends, scores, name="multitask")


@ranged()
def deep(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    filters: tuple[int, ...] = (32, 64, 96),
    pools: tuple[int, ...] = (5, 5, 2),
    width: int = 3,
    dense: int = 100,
    signal_pool: int = 20,
    joint: int = 1000,
    dropout: float = 0.5,
) -> keras.Model:
    """Build a deep network in the spirit of the thesis, whose own sizes are only in a picture.

    Small convolutions with batch normalisation, residual links, and pools whose product divides
    the usual stride, so that no pool is found for more places than the bins need.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    filters, pools : tuple of int
        Of each stage: a convolution, two with a link around them, a max-pool; rows.
    width : int
        Of all convolutions; rows.
    dense, joint : int
        Units that the sequence is brought down to, and of the layer that joins all inputs.
    signal_pool : int
        Width of the max-pools over signals; bases.
    dropout : float

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, tasks) probabilities.

    Raises
    ------
    RequestError
        If stages have no pool or no filters.
    """
    if len(filters) != len(pools):
        raise RequestError(
            f"found filters of {len(filters)} stages and pools of {len(pools)}, expected as many"
        )
    ends, entered = entries(inputs, geometry)

    def sequence(entry: Entry) -> Any:
        rows = Rows.of(entry.rows, entry.width, geometry.stride)
        for stage, (count, pool) in enumerate(zip(filters, pools, strict=True)):
            rows = rows.convolved(count, width, name=None if stage else CONVOLUTION)
            rows = rows.through(layers.BatchNormalization(), layers.ReLU())
            rows = _residual(rows, count, width).pooled(pool)
        features = layers.Dropout(dropout)(rows.flattened())
        return block(features, dense, dropout)

    joined = gathered(entered, geometry, sequence, Sizes(signal_pool, dropout))
    scores = each(block(joined, joint, dropout), tasks)
    return keras.Model(ends, scores, name="deep")


def _residual(rows: Rows, filters: int, width: int) -> Rows:
    """Convolve twice, and add what went in (He et al. 2016)."""
    inner = rows.convolved(filters, width).through(layers.BatchNormalization(), layers.ReLU())
    inner = inner.convolved(filters, width).through(layers.BatchNormalization())
    return inner.plus(rows).through(layers.ReLU())
