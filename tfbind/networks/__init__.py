"""Networks by name, in Keras."""

from collections.abc import Callable
from dataclasses import dataclass, field

import keras

from tfbind.contract import Geometry
from tfbind.errors import RequestError
from tfbind.networks.best import best
from tfbind.networks.boosted import boosted
from tfbind.networks.naive import naive
from tfbind.networks.published import basset, danq, deepbind, deepchrome, deepsea, zeng
from tfbind.networks.thesis import deep, multitask, shallow
from tfbind.networks.tss import tss, tss_lstm


@dataclass(frozen=True)
class Architecture:
    """A kind of network, and the sizes that it was published with.

    Attributes
    ----------
    build : callable
        From inputs, geometry, count of tasks and, by keyword, hyper-parameters to a network. It
        scans if the lengths of its inputs are not fixed; else it takes one window a bin.
    about : str
        One line for those who choose.
    inputs : tuple of str
        Sources of the inputs that it was published with, such as sequence and signal.
    geometry : Geometry
    tasks : int
    by_gradient : bool
        It is fitted by gradient descent, step by step. `tfbind.fits` knows what fits the others.
    """

    build: Callable[..., keras.Model]
    about: str
    inputs: tuple[str, ...] = ("sequence", "signal")
    geometry: Geometry = field(default_factory=Geometry)
    tasks: int = 1
    by_gradient: bool = True


ARCHITECTURES: dict[str, Architecture] = {
    "best": Architecture(
        best,
        "an ensemble of wide and deep networks over motifs and signals, several factors at once",
        ("sequence", "motif", "signal"),
    ),
    "shallow": Architecture(shallow, "one convolution, signals pooled beside it (thesis, 2017)"),
    "multitask": Architecture(
        multitask, "shared layers, then layers of each factor's own (thesis, 2017)", tasks=32
    ),
    "deep": Architecture(deep, "small convolutions with residual links, in the thesis's spirit"),
    "tss": Architecture(
        tss,
        "sharp and broad transcription start sites (thesis, 2017)",
        ("sequence",),
        Geometry(200, 200, 1),
        tasks=2,
    ),
    "tss-lstm": Architecture(
        tss_lstm,
        "the same, read by a recurrent layer from both ends",
        ("sequence",),
        Geometry(200, 200, 1),
        tasks=2,
    ),
    "deepbind": Architecture(
        deepbind,
        "the best match of each filter (Alipanahi et al. 2015)",
        ("sequence",),
        Geometry(101, 101, 50),
    ),
    "zeng": Architecture(
        zeng,
        "the best match of each of 128 filters (Zeng et al. 2016)",
        ("sequence",),
        Geometry(101, 101, 50),
    ),
    "basset": Architecture(
        basset,
        "three convolutions, two dense layers (Kelley et al. 2016)",
        ("sequence",),
        Geometry(600, 200, 50),
        tasks=164,
    ),
    "deepsea": Architecture(
        deepsea,
        "three wide convolutions (Zhou and Troyanskaya 2015)",
        ("sequence",),
        tasks=919,
    ),
    "danq": Architecture(
        danq,
        "a convolution read by a recurrent layer (Quang and Xie 2016)",
        ("sequence",),
        tasks=919,
    ),
    "deepchrome": Architecture(
        deepchrome,
        "means of histone marks over 10 kb (Singh et al. 2016)",
        ("signal",) * 5,
        Geometry(10_000, 200, 50),
    ),
    "naive": Architecture(
        naive,
        "logistic regression on known motifs and signal of open bins (ENCODE-DREAM, 2016)",
        ("sequence", "motif", "signal"),
        by_gradient=False,
    ),
    "boosted": Architecture(
        boosted,
        "gradient-boosted trees on motifs, signal, G+C and shape in steps of 50 bp",
        ("sequence", "motif", "signal", "shape"),
        by_gradient=False,
    ),
}


def architecture(name: str) -> Architecture:
    """Give an architecture by its name.

    Raises
    ------
    RequestError
        If there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise RequestError(f"no architecture {name!r}: there is {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def scans(model: keras.Model) -> bool:
    """Say whether a network takes stretches of any length, or one window a bin."""
    return any(end.shape[1] is None for end in model.inputs)


__all__ = ["ARCHITECTURES", "Architecture", "architecture", "scans", "shallow"]
