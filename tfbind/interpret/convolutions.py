"""The convolutions of a network that see the bases themselves."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from tfbind.errors import InputError
from tfbind.networks.layers import Flanks, Kept, OneHot

BASES = 4


@dataclass(frozen=True)
class Convolution:
    """A convolution over one-hot rows.

    Attributes
    ----------
    layer : keras.layers.Conv1D
    kernel : ndarray, shape (width, 4, filters), float32
        The weights of A, C, G and T; those of other channels are left out.
    bias : ndarray, shape (filters,), float32
    names : tuple of str
        Of its filters, counted from 1; in an ensemble behind the number of the member.
    """

    layer: Any
    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    names: tuple[str, ...]

    @property
    def width(self) -> int:
        """Bases that a filter looks at."""
        return int(self.kernel.shape[0])


def convolutions(model: keras.Model) -> list[Convolution]:
    """Find the convolutions over the sequence; an ensemble has one in each member.

    Parameters
    ----------
    model : keras.Model
        That turns base codes into rows by `OneHot`.

    Returns
    -------
    list of Convolution
        In the order of the model's layers.

    Raises
    ------
    InputError
        If there is none.
    """
    found = []
    for layer in model.layers:
        if isinstance(layer, layers.Conv1D):
            first = _first_base(layer.input)
            if first is not None:
                found.append((layer, first))
    if not found:
        raise InputError(
            f"the network, {model.name}, has no convolution over the sequence, whose filters could "
            "be shown; give one such as shallow, deepbind or basset"
        )
    return [
        _convolution(layer, first, f"member_{number}_" if len(found) > 1 else "")
        for number, (layer, first) in enumerate(found, 1)
    ]


def _convolution(layer: Any, first: int, prefix: str) -> Convolution:
    kernel = np.asarray(layer.get_weights()[0][:, first : first + BASES])
    bias = layer.get_weights()[1] if layer.use_bias else np.zeros(kernel.shape[2], np.float32)
    names = tuple(f"{prefix}filter_{i}" for i in range(1, kernel.shape[2] + 1))
    return Convolution(layer, kernel, np.asarray(bias), names)


def _first_base(tensor: Any) -> int | None:
    """Give the channel of A, if a tensor holds one-hot rows; there may be others beside them."""
    made = tensor._keras_history.operation
    if isinstance(made, OneHot):
        return 0
    if isinstance(made, Flanks | Kept | layers.Dropout | layers.Cropping1D):
        return _first_base(made.input)
    if isinstance(made, layers.Concatenate):
        before = 0
        for part in made.input:
            first = _first_base(part)
            if first is not None:
                return before + first
            before += int(part.shape[-1])
    return None
