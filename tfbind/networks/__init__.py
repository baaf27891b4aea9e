"""Networks by name, in Keras; each scans."""

from collections.abc import Callable

import keras

from tfbind.errors import InputError
from tfbind.networks.thesis import shallow

ARCHITECTURES: dict[str, Callable[..., keras.Model]] = {"shallow": shallow}


def architecture(name: str) -> Callable[..., keras.Model]:
    """Give the function that builds an architecture from inputs, geometry and count of tasks.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"no architecture {name!r}: there is {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


__all__ = ["ARCHITECTURES", "architecture", "shallow"]
