"""Networks of the literature, with the published sizes as defaults.

All were published as classifiers of windows of sequence, but for DeepChrome, which reads signals.
Here they scan wherever that gives the same numbers, and take further inputs, of which each bin's
features stand beside those of the sequence in front of the first dense layer.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.errors import RequestError
from tfbind.networks.beside import Sizes, gathered
from tfbind.networks.entries import Entry, entries
from tfbind.networks.heads import CONVOLUTION, LOGITS, each, nodes
from tfbind.networks.layers import Flanks, joined
from tfbind.networks.ranges import ranged
from tfbind.networks.rows import Rows

Edges = Literal["padded", "real"]
ANY_BASE = 0.25


@ranged(hidden=0)
def deepbind(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    filters: int = 16,
    width: int = 24,
    hidden: int = 0,
    flanks: Edges = "padded",
    signal_pool: int = 20,
    dropout: float = 0.5,
) -> keras.Model:
    """Build DeepBind: the best match of each filter in a window (Alipanahi et al. 2015).

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    filters, width : int
        Of the convolution; bases.
    hidden : int
        Units of a hidden layer, published with 32, and dropout behind it; 0: none.
    flanks : 'padded' or 'real'
        Let filters reach over the window's ends, where any base is as likely, as published; such a
        network takes one window at a time. Or keep them inside the window, and scan.
    signal_pool : int
        Width of the max-pools over signals; bases.
    dropout : float
    """
    return _highest(
        "deepbind",
        inputs,
        geometry,
        (filters, width),
        flanks,
        (width - 1, width - 1, ANY_BASE),
        Sizes(signal_pool, dropout),
        lambda features: each(_hidden(features, hidden, dropout) if hidden else features, tasks),
    )


@ranged()
def zeng(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    filters: int = 128,
    width: int = 24,
    hidden: int = 32,
    flanks: Edges = "padded",
    signal_pool: int = 20,
    dropout: float = 0.5,
) -> keras.Model:
    """Build the best of the networks that Zeng et al. (2016) compared.

    With the published sizes it has 16,610 trainable parameters.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Each with two nodes, unbound and bound.
    filters, width : int
        Of the convolution; bases.
    hidden : int
        Units of the hidden layer.
    flanks : 'padded' or 'real'
        Let filters reach over the window's ends, where there is nothing, as published; such a
        network takes one window at a time. Or keep them inside the window, and scan.
    signal_pool : int
        Width of the max-pools over signals; bases.
    dropout : float
    """
    before = (width - 1) // 2
    return _highest(
        "zeng",
        inputs,
        geometry,
        (filters, width),
        flanks,
        (before, width - 1 - before, 0.0),
        Sizes(signal_pool, dropout),
        lambda features: _two_nodes(_hidden(features, hidden, dropout), tasks),
    )


def _highest(
    name: str,
    inputs: Sequence[Input],
    geometry: Geometry,
    convolution: tuple[int, int],
    flanks: Edges,
    padding: tuple[int, int, float],
    sizes: Sizes,
    head: Callable[[Any], Any],
) -> keras.Model:
    """Build a convolution, a rectifier and the maximum over the window."""
    if flanks not in ("padded", "real"):
        raise RequestError(f"found flanks {flanks!r}, expected padded or real")
    padded = flanks == "padded"
    ends, entered = _entered(name, inputs, geometry, windows=padded)

    def sequence(entry: Entry) -> Any:
        before, behind, value = padding if padded else (0, 0, 0.0)
        bases = Flanks(before, behind, value)(entry.rows) if padded else entry.rows
        rows = Rows.of(bases, entry.width + before + behind, geometry.stride)
        rows = rows.convolved(*convolution, activation="relu", name=CONVOLUTION)
        return rows.highest()

    return keras.Model(ends, head(gathered(entered, geometry, sequence, sizes)), name=name)


@ranged()
def basset(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 164,
    *,
    filters: tuple[int, ...] = (300, 200, 200),
    widths: tuple[int, ...] = (19, 11, 7),
    pools: tuple[int, ...] = (3, 4, 4),
    dense: tuple[int, ...] = (1000, 1000),
    signal_pool: int = 20,
    dropout: float = 0.3,
) -> keras.Model:
    """Build Basset: three convolutions, two dense layers (Kelley et al. 2016).

    With the published sizes, 600 bp and 164 cell types, it has 4,135,064 trainable parameters.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    filters, widths, pools : tuple of int
        Of each convolution, and of the max-pool behind it; rows.
    dense : tuple of int
        Units of each dense layer.
    signal_pool : int
        Width of the max-pools over signals; bases.
    dropout : float
    """
    stages = _stages(filters=filters, widths=widths, pools=pools)
    ends, entered = _entered("basset", inputs, geometry)

    def sequence(entry: Entry) -> Any:
        rows = Rows.of(entry.rows, entry.width, geometry.stride)
        for stage, (count, width, pool) in enumerate(stages):
            rows = rows.convolved(count, width, name=None if stage else CONVOLUTION)
            rows = rows.through(layers.BatchNormalization(), layers.ReLU()).pooled(pool)
        return rows.flattened()

    features = gathered(entered, geometry, sequence, Sizes(signal_pool, dropout))
    for units in dense:
        features = layers.BatchNormalization()(layers.Dense(units)(features))
        features = layers.Dropout(dropout)(layers.ReLU()(features))
    return keras.Model(ends, each(features, tasks), name="basset")


@ranged()
def deepsea(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 919,
    *,
    filters: tuple[int, ...] = (320, 480, 960),
    widths: tuple[int, ...] = (8, 8, 8),
    pools: tuple[int, ...] = (4, 4, 1),
    dropouts: tuple[float, ...] = (0.2, 0.2, 0.5),
    dense: int = 925,
    signal_pool: int = 20,
) -> keras.Model:
    """Build DeepSEA: three convolutions, one dense layer (Zhou and Troyanskaya 2015).

    With the published sizes, 1000 bp and 919 features, it has 52,843,119 trainable parameters.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    filters, widths, pools : tuple of int
        Of each convolution, and of the max-pool behind it; rows.
    dropouts : tuple of float
        Behind each.
    dense : int
        Units.
    signal_pool : int
        Width of the max-pools over signals; bases.
    """
    stages = _stages(filters=filters, widths=widths, pools=pools, dropouts=dropouts)
    ends, entered = _entered("deepsea", inputs, geometry)

    def sequence(entry: Entry) -> Any:
        rows = Rows.of(entry.rows, entry.width, geometry.stride)
        for stage, (count, width, pool, dropout) in enumerate(stages):
            rows = rows.convolved(
                count, width, activation="relu", name=None if stage else CONVOLUTION
            )
            rows = rows.pooled(pool) if pool > 1 else rows
            rows = rows.through(layers.Dropout(dropout))
        return rows.flattened()

    features = gathered(entered, geometry, sequence, Sizes(signal_pool))
    features = layers.Dense(dense, activation="relu")(features)
    return keras.Model(ends, each(features, tasks), name="deepsea")


@ranged()
def danq(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 919,
    *,
    filters: int = 320,
    width: int = 26,
    pool: int = 13,
    recurrent: int = 320,
    dense: int = 925,
    dropouts: tuple[float, float] = (0.2, 0.5),
    signal_pool: int = 20,
) -> keras.Model:
    """Build DanQ: a recurrent layer over a pooled convolution (Quang and Xie 2016).

    It takes one window at a time, as what comes from both ends of a window is no other window's.
    With the published sizes, 1000 bp and 919 features, it has 46,926,479 trainable parameters.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    filters, width, pool : int
        Of the convolution and of the max-pool behind it; bases.
    recurrent : int
        Units of the LSTM that reads forwards, and of that which reads backwards.
    dense : int
        Units.
    dropouts : tuple of float
        Behind the pool and behind the recurrent layer.
    signal_pool : int
        Width of the max-pools over signals; bases.
    """
    if len(dropouts) != 2:
        raise RequestError(f"danq: found {len(dropouts)} dropouts, expected 2")
    before, behind = dropouts
    ends, entered = _entered("danq", inputs, geometry, windows=True)

    def sequence(entry: Entry) -> Any:
        # There is no next bin: one that lay a pool's width on would need no more rows.
        rows = Rows.of(entry.rows, entry.width, pool)
        rows = rows.convolved(filters, width, activation="relu", name=CONVOLUTION).pooled(pool)
        both = layers.Bidirectional(layers.LSTM(recurrent, return_sequences=True))
        return rows.through(layers.Dropout(before), both, layers.Dropout(behind)).flattened()

    features = gathered(entered, geometry, sequence, Sizes(signal_pool))
    features = layers.Dense(dense, activation="relu")(features)
    return keras.Model(ends, each(features, tasks), name="danq")


@ranged()
def deepchrome(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    resolution: int = 100,
    filters: int = 50,
    width: int = 10,
    pool: int = 5,
    dense: tuple[int, ...] = (625, 125),
    dropout: float = 0.5,
) -> keras.Model:
    """Build DeepChrome: a convolution over the means of signals (Singh et al. 2016).

    With the published sizes, five signals over 10 kb, it has 644,177 trainable parameters.

    Parameters
    ----------
    inputs : sequence of Input
        Signals only.
    geometry : Geometry
    tasks : int
        Each with two nodes, low and high as published, here unbound and bound.
    resolution : int
        What a signal is averaged over; bases.
    filters, width, pool : int
        Of the convolution and of the max-pool behind it; rows.
    dense : tuple of int
        Units of each dense layer.
    dropout : float
        Behind the pool.
    """
    others = [spec.name for spec in inputs if spec.source != "signal"]
    if others or not inputs:
        raise RequestError(
            f"deepchrome reads signals only, and found {', '.join(others) or 'none'}; name signals "
            "by --inputs"
        )
    ends, entered = entries(inputs, geometry)
    signals = [entry.rows for entry in entered]
    means = Rows.of(joined(signals), geometry.window, geometry.stride).pooled(resolution, mean=True)
    rows = means.convolved(filters, width, activation="relu").pooled(pool)
    features = rows.through(layers.Dropout(dropout)).flattened()
    for units in dense:
        features = layers.Dense(units, activation="relu")(features)
    return keras.Model(ends, _two_nodes(features, tasks), name="deepchrome")


def _entered(
    name: str, inputs: Sequence[Input], geometry: Geometry, *, windows: bool = False
) -> tuple[dict[str, keras.KerasTensor], list[Entry]]:
    """Enter inputs, of which one is to be the sequence."""
    if not any(spec.source == "sequence" for spec in inputs):
        found = ", ".join(spec.name for spec in inputs) or "none"
        raise RequestError(f"{name} reads the sequence, which is not among the inputs {found}")
    return entries(inputs, geometry, windows=windows)


def _stages(**sizes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Put together what belongs to one convolution."""
    if len({len(one) for one in sizes.values()}) > 1:
        counts = ", ".join(f"{len(one)} {name}" for name, one in sizes.items())
        raise RequestError(f"found {counts}, expected as many of each")
    return list(zip(*sizes.values(), strict=True))


def _hidden(features: Any, units: int, dropout: float) -> Any:
    return layers.Dropout(dropout)(layers.Dense(units, activation="relu")(features))


def _two_nodes(features: Any, tasks: int) -> Any:
    return nodes(layers.Dense(2 * tasks, name=LOGITS)(features), 2)
