"""Tiles as rows of features, one a bin, for what is not fitted by gradient descent."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import numpy.typing as npt

from tfbind.batches import PREFETCHED, Batch, Batcher, training_batches, validation_batches
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.history import Epoch
from tfbind.networks.heads import LOGITS
from tfbind.pipeline import ahead
from tfbind.settings import Settings
from tfbind.tilesets import TileSet
from tfbind.training import Measured, class_weights, validate

Floats = npt.NDArray[np.float32]
Rows = Iterator[tuple[Floats, Floats]]
"""Features, shape (bins, features), and truth, shape (bins, 2 * tasks)."""

BINS = 4096
"""In a batch: as nothing is learnt batch by batch, more than a network's."""


@dataclass(frozen=True)
class Table:
    """The features of a network's bins, as its own layers make them.

    Parameters
    ----------
    model : keras.Model
        With a layer `LOGITS` that takes the features.
    inputs : sequence of Input
    training, validation : TileSet
    settings : Settings
    """

    model: keras.Model
    inputs: Sequence[Input]
    training: TileSet
    validation: TileSet
    settings: Settings

    def __post_init__(self) -> None:
        if self.settings.focus:
            raise InputError(
                "found a focal loss, which only networks learn by that are fitted by gradient "
                "descent; leave --focal out"
            )

    def learnt(self) -> Rows:
        """Yield the bins that have a weight in training, in the same order each time."""
        settings = self.settings
        rng = np.random.default_rng(settings.seed)
        batcher = Batcher(self.inputs, self._weights(), settings.ambiguous)
        return self._rows(
            training_batches(self.training, batcher, BINS, settings.both_strands, rng)
        )

    def chosen_by(self) -> Rows:
        """Yield the bins of the validation tiles that have a weight; ambiguous ones have none."""
        return self._rows(self._validation_batches())

    def measured(self, model: keras.Model) -> Measured:
        """Compare a network's scores with the labels of the validation tiles."""
        return validate(model, self._validation_batches())

    def epoch(self, began: float, learnt: float, loss: float, measured: Measured) -> Epoch:
        """Describe the only epoch, which began then and learnt for so many seconds."""
        return Epoch(
            1,
            time.monotonic() - began,
            loss,
            measured.loss,
            measured.auprc,
            self.training.pieces * self.training.bins / max(learnt, 1e-9),
            measured.areas,
        )

    def _validation_batches(self) -> Iterator[Batch]:
        batcher = Batcher(self.inputs, self._weights(), "drop")
        return validation_batches(self.validation, batcher, BINS)

    def _weights(self) -> Floats:
        settings = self.settings
        counts = self.training.label_counts()
        return class_weights(counts, settings.ambiguous, settings.bound_weight)

    @cached_property
    def _looker(self) -> keras.Model:
        return keras.Model(self.model.inputs, self.model.get_layer(LOGITS).input)

    def _rows(self, batches: Iterable[Batch]) -> Rows:
        for inputs, truth in ahead(batches, PREFETCHED):
            features = self._looker.predict_on_batch(inputs)
            truth = truth.reshape(-1, truth.shape[-1])
            counts = (truth[:, truth.shape[1] // 2 :] > 0).any(axis=1)
            yield features.reshape(len(truth), -1)[counts], truth[counts]
