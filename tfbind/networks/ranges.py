"""Which hyper-parameters make a network."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfbind.errors import RequestError

Build = Callable[..., keras.Model]


def ranged(**least: int) -> Callable[[Build], Build]:
    """Check the keywords of a function that builds a network, before Keras finds fault with them.

    Whole numbers are to be 1 or more, and dropouts 0 or more and below 1; so is each of several.

    Parameters
    ----------
    least
        By its name, what a whole number is to be at least in the place of 1.
    """

    def checked(build: Build) -> Build:
        parameters = inspect.signature(build).parameters.values()
        defaults = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}

        @functools.wraps(build)
        def made(*given: Any, **sizes: Any) -> keras.Model:
            for name, value in sizes.items():
                if name in defaults:
                    _require(build.__name__, name, value, least.get(name, 1))
            return build(*given, **sizes)

        return made

    return checked


def _require(arch: str, name: str, value: Any, least: int) -> None:
    several: Sequence[Any] = value if isinstance(value, tuple | list) else (value,)
    if "dropout" in name:
        fits, expected = all(0 <= one < 1 for one in several), "0 or more and below 1"
    else:
        numbers = [one for one in several if isinstance(one, int)]
        fits, expected = all(one >= least for one in numbers), f"{least} or more"
    if not fits:
        raise RequestError(f"{arch}: found {name} = {value}, expected {expected}")
