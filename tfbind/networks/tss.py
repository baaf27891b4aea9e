"""Networks of transcription start sites: that of N. ten Dijke's thesis (2017), and one with memory.

Positions are those of the window's bases along its strand: 0 is base n // 2 of n, which is where
the start site may be; what lies before it is negative.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from tfbind.contract import Geometry, Input
from tfbind.errors import RequestError
from tfbind.networks.beside import Sizes, gathered
from tfbind.networks.entries import Entry, entries
from tfbind.networks.heads import CONVOLUTION, exclusive
from tfbind.networks.ranges import ranged
from tfbind.networks.rows import Rows
from tfbind.regions import parse_stretch

Layer = Callable[[Any], Any]


@ranged()
def tss(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 2,
    *,
    filters: int = 16,
    width: int = 10,
    pool: int = 4,
    dense: int = 128,
    signal_pool: int = 20,
    dropout: float = 0.5,
    keep: str = "",
) -> keras.Model:
    """Build the network that tells sharp and broad transcription start sites from background.

    With the published sizes, 200 bp of sequence and two kinds of sites, it has 97,427 trainable
    parameters (Table 9).

    Parameters
    ----------
    inputs : sequence of Input
        The sequence and any number of others.
    geometry : Geometry
    tasks : int
        Kinds of sites, which exclude each other.
    filters, width : int
        Of the convolution; bases.
    pool, signal_pool : int
        Widths of the max-pools; bases.
    dense : int
        Units of the layer behind it.
    dropout : float
    keep : str
        Stretches of the window such as -35:-20,-10:10, both ends included: all else is blank, in
        training and in scoring (Table 10). It takes one window at a time then, as a base that is
        blank to one is not to the next. Empty: the whole window.

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, 1 + tasks) probabilities, of background first.

    Raises
    ------
    RequestError
        If a stretch to keep is none of the window.
    """
    kept = stretches(keep, geometry.window) if keep else None
    sizes = Sizes(signal_pool, dropout)
    built = _built(inputs, geometry, filters, width, pool, (), sizes, kept, windows=bool(keep))
    return _headed("tss", *built, dense, dropout, tasks)


@ranged()
def tss_lstm(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 2,
    *,
    filters: int = 16,
    width: int = 10,
    pool: int = 4,
    recurrent: int = 16,
    dense: int = 128,
    signal_pool: int = 20,
    dropout: float = 0.5,
    keep: str = "",
) -> keras.Model:
    """Build the same with a recurrent layer that reads the pooled rows from both ends.

    The thesis tells that such layers help a little, not how large they were. It takes one window at
    a time.

    Parameters
    ----------
    inputs, geometry, tasks, filters, width, pool, dense, signal_pool, dropout, keep
        As those of `tss`.
    recurrent : int
        Units of the LSTM that reads forwards, and of that which reads backwards.

    Returns
    -------
    keras.Model
        From (batch, W) bases to (batch, 1, 1 + tasks) probabilities, of background first.

    Raises
    ------
    RequestError
        If a stretch to keep is none of the window.
    """
    kept = stretches(keep, geometry.window) if keep else None
    both = layers.Bidirectional(layers.LSTM(recurrent, return_sequences=True))
    sizes = Sizes(signal_pool, dropout)
    built = _built(inputs, geometry, filters, width, pool, (both,), sizes, kept, windows=True)
    return _headed("tss-lstm", *built, dense, dropout, tasks)


def stretches(text: str, window: int) -> list[tuple[int, int]]:
    """Read stretches of a window, such as -35:-20,-10:10, both ends included.

    Parameters
    ----------
    text : str
    window : int
        Base pairs; 0 is base window // 2.

    Returns
    -------
    list of (int, int)
        Indices of the first base of each, and of the one behind its last.

    Raises
    ------
    RequestError
        If one is not in the window, or is no stretch.
    """
    found = []
    centre = window // 2
    for part in text.split(","):
        stretch = parse_stretch(part)
        if stretch is None or stretch[0] < -centre or stretch[1] > window - centre:
            raise RequestError(
                f"found keep = {part.strip()!r}, expected FROM:TO between {-centre} and "
                f"{window - centre - 1}, in base pairs from the centre, such as -35:-20"
            )
        found.append((centre + stretch[0], centre + stretch[1]))
    return found


def _built(
    inputs: Sequence[Input],
    geometry: Geometry,
    filters: int,
    width: int,
    pool: int,
    stack: Sequence[Layer],
    sizes: Sizes,
    kept: Sequence[tuple[int, int]] | None,
    *,
    windows: bool,
) -> tuple[dict[str, Any], Any]:
    """Convolve and pool the sequence, and join it with what is beside it."""
    ends, entered = entries(inputs, geometry, windows=windows, kept=kept)

    def sequence(entry: Entry) -> Any:
        # Of a single window no row is needed but its own, wherever the next would begin.
        stride = pool if windows else geometry.stride
        rows = Rows.of(entry.rows, entry.width, stride)
        rows = rows.convolved(filters, width, name=CONVOLUTION).pooled(pool)
        return rows.through(layers.ReLU(), *stack).flattened()

    return ends, gathered(entered, geometry, sequence, sizes)


def _headed(
    name: str, ends: dict[str, Any], features: Any, dense: int, dropout: float, tasks: int
) -> keras.Model:
    hidden = layers.Dropout(dropout)(layers.Dense(dense, activation="relu")(features))
    return keras.Model(ends, exclusive(hidden, tasks), name=name)
