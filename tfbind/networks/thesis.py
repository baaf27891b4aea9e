"""The networks of N. ten Dijke's thesis (Leiden, 2017), as scans."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.networks.layers import AtrousMaxPool, BinRows, OneHot


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
) -> keras.Model:
    """Build the shallow network: one convolution over the sequence, pooled signals beside it.

    With the published sizes and one signal it has 246,559 trainable parameters.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of signals.
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

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, tasks) probabilities.
    """
    ends: dict[str, Any] = {}
    parts = []
    for spec in inputs:
        end = ends[spec.name] = keras.Input((None,), name=spec.name, dtype=_dtype(spec))
        if spec.source == "sequence":
            rows = layers.Conv1D(filters, width, name="convolution")(OneHot()(end))
            rows = AtrousMaxPool(pool, geometry.stride)(rows)
            rows = layers.ReLU()(layers.BatchNormalization()(rows))
            features = BinRows(pool, geometry.stride, geometry.window - width + 1)(rows)
            features = layers.Dropout(dropout)(features)
            parts.append(_block(features, dense, dropout))
        else:
            rows = layers.Reshape((-1, 1))(end)
            rows = AtrousMaxPool(signal_pool, geometry.stride)(rows)
            parts.append(BinRows(signal_pool, geometry.stride, geometry.window)(rows))
    joined = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    logits = layers.Dense(tasks, name="logits")(_block(joined, joint, dropout))
    scores = layers.Activation("sigmoid", name="scores")(layers.BatchNormalization()(logits))
    return keras.Model(ends, scores, name="shallow")


def _block(features: Any, units: int, dropout: float) -> Any:
    hidden = layers.BatchNormalization()(layers.Dense(units)(features))
    return layers.Dropout(dropout)(layers.ReLU()(hidden))


def _dtype(spec: Input) -> str:
    return "uint8" if spec.source == "sequence" else "float32"
