"""Networks by name, in Keras."""

from collections.abc import Callable
from dataclasses import dataclass, field

import keras

from tfbind.contract import Geometry
from tfbind.errors import InputError
from tfbind.networks.thesis import shallow


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
    """

    build: Callable[..., keras.Model]
    about: str
    inputs: tuple[str, ...] = ("sequence", "signal")
    geometry: Geometry = field(default_factory=Geometry)
    tasks: int = 1


ARCHITECTURES: dict[str, Architecture] = {
    "shallow": Architecture(shallow, "one convolution, signals pooled beside it (thesis, 2017)"),
}


def architecture(name: str) -> Architecture:
    """Give an architecture by its name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"no architecture {name!r}: there is {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def scans(model: keras.Model) -> bool:
    """Say whether a network takes stretches of any length, or one window a bin."""
    return any(end.shape[1] is None for end in model.inputs)


__all__ = ["ARCHITECTURES", "Architecture", "architecture", "scans", "shallow"]
