"""What finds the weights of each architecture."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras

from tfbind import boosting, logistic, training
from tfbind.checkpoints import Checkpoint
from tfbind.contract import Input
from tfbind.history import Epoch, History
from tfbind.settings import Settings
from tfbind.tilesets import TileSet


class Fit(Protocol):
    """Fits a network as `training.fit` does, which says what it is given."""

    def __call__(
        self,
        model: keras.Model,
        inputs: Sequence[Input],
        training: TileSet,
        validation: TileSet,
        settings: Settings,
        on_step: Callable[[int, float], None] = ...,
        on_epoch: Callable[[Epoch], None] = ...,
        checkpoint: Checkpoint | None = None,
    ) -> History:
        """Leave the network with its weights."""


FITS: Mapping[str, Fit] = {"naive": logistic.fit, "boosted": boosting.fit}
"""Of architectures that are not fitted by gradient descent, by their names."""


def fit_of(name: str) -> Fit:
    """Give what fits an architecture of this name."""
    return FITS.get(name, training.fit)
