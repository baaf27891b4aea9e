"""Where the weights of a network start: filters that are motifs."""

import re
from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt

from tfbind.errors import RequestError
from tfbind.motifs import Motif
from tfbind.networks.heads import CONVOLUTION

Filters = npt.NDArray[np.float32]


def motif_filters(motifs: Sequence[Motif], width: int, spread: float) -> Filters:
    """Make filters of motifs and of their reverse complements.

    A filter holds a motif's log-odds, less the mean of each position, so that its response to
    random sequence has a mean of zero; and times what brings the deviation of this response to
    `spread`. A motif that is shorter than the filter stands in its middle between zeros; of a
    longer one the stretch with most information is taken.

    Parameters
    ----------
    motifs : sequence of Motif
    width : int
        Of the filters; bases.
    spread : float
        Standard deviation of a filter's response to independent bases, each as likely.

    Returns
    -------
    ndarray, shape (2 * motifs, width, 4), float32
        Each motif, then its reverse complement.
    """
    filters = []
    for motif in motifs:
        first, last = most_informative(motif, width)
        centred = motif.log_odds[first:last] - motif.log_odds[first:last].mean(
            axis=1, keepdims=True
        )
        # Bases at a position exclude each other: the variances of positions add up.
        deviation = np.sqrt((centred**2).mean(axis=1).sum())
        before = (width - len(centred)) // 2
        one = np.zeros((width, 4), np.float32)
        if deviation:
            one[before : before + len(centred)] = centred * (spread / deviation)
        filters += [one, one[::-1, ::-1]]
    return np.stack(filters)


def most_informative(motif: Motif, width: int) -> tuple[int, int]:
    """Find the first of the stretches of some width that hold most information.

    Parameters
    ----------
    motif : Motif
    width : int

    Returns
    -------
    first, last : int
        Half-open; the whole motif if it is no longer.
    """
    shares = motif.frequencies
    bits = np.where(shares > 0, shares * np.log2(np.maximum(shares, 1e-300) / 0.25), 0).sum(axis=1)
    sums = np.concatenate([[0], np.cumsum(bits)])
    length = min(width, len(motif))
    first = int((sums[length:] - sums[: len(sums) - length]).argmax())
    return first, first + length


def start_from_motifs(model: keras.Model, motifs: Sequence[Motif], architecture: str) -> int:
    """Set the first filters of a network's first convolution; the others stay as they are.

    Of an ensemble all members start so: what differs is their other filters and layers.

    Their response to random sequence is spread as Glorot's initialiser spreads that of the others
    (Glorot & Bengio 2010: weights of the variance 2 / (inputs + outputs)): none of the filters
    begins louder than the rest, and what is behind them finds values of the size that it was made
    for.

    Parameters
    ----------
    model : keras.Model
    motifs : sequence of Motif
    architecture : str
        The network's name, for messages.

    Returns
    -------
    int
        How many networks were set: the members of an ensemble, or 1.

    Raises
    ------
    RequestError
        If the network has no convolution over the sequence, or fewer filters than motifs and
        reverse complements.
    """
    first = re.compile(rf"{CONVOLUTION}(_\d+)?")
    kernels = [one.kernel for one in model.layers if first.fullmatch(one.name)]
    if not kernels or any(one.shape[1:-1] != (4,) for one in kernels):
        raise RequestError(
            f"the architecture {architecture!r} has no convolution over the sequence that could "
            "start from motifs; leave out --init"
        )
    width, _, count = kernels[0].shape
    if 2 * len(motifs) > count:
        raise RequestError(
            f"{len(motifs)} motif(s) and as many reverse complements make {2 * len(motifs)} "
            f"filters, but {architecture!r} has {count}; give fewer motifs or more filters"
        )
    glorot = 2 / (4 * width + count * width)
    # Of a weight's square about the mean of four, three quarters are left.
    filters = motif_filters(motifs, width, float(np.sqrt(0.75 * width * glorot)))
    for one in kernels:
        kernel = one.numpy().copy()
        kernel[..., : len(filters)] = filters.transpose(1, 2, 0)
        one.assign(kernel)
    return len(kernels)
