"""Pieces of tiles, mixed and stacked into what a network is fitted to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import Geometry, Input, fed
from tfbind.labels import AMBIGUOUS, BOUND
from tfbind.tiles import PIECE
from tfbind.tilesets import Piece, TileSet

Batch = tuple[dict[str, Array], npt.NDArray[np.float32]]
"""Inputs, each of shape (batch, bases) or (batch, values), and truth, shape
(batch, bins, 2 * tasks): labels of 0 or 1 for each task, then their weights."""

PREFETCHED = 8
"""Batches that are made ahead of their use."""


@dataclass(frozen=True)
class Batcher:
    """Turn pieces of tiles into what a network is fitted to.

    Attributes
    ----------
    inputs : sequence of Input
        With the model's transforms.
    weights : ndarray, shape (tasks,), float32
        Of bound bins.
    ambiguous : 'drop' or 'unbound'
    windows : Geometry or None
        Give each bin's window by itself, as a network that does not scan wants them.
    """

    inputs: Sequence[Input]
    weights: npt.NDArray[np.float32]
    ambiguous: Literal["drop", "unbound"]
    windows: Geometry | None = None

    def __call__(self, pieces: Sequence[Piece], flipped: npt.NDArray[np.bool_]) -> Batch:
        """Make one batch.

        Parameters
        ----------
        pieces : sequence of Piece
        flipped : ndarray, shape (len(pieces),), bool
            Which to turn to the other strand.

        Returns
        -------
        inputs : dict of str to ndarray, shape (batch, bases) or (batch, values)
        truth : ndarray, shape (batch, bins, 2 * tasks), float32
            As `losses.cross_entropy` takes it. A batch of windows has one bin in each.
        """
        made: dict[str, Array] = {}
        for spec in fed(self.inputs):
            kind = channel(spec)
            raw = np.stack(
                [kind.aligned(one.inputs[spec.name], one.signals.get(spec.name)) for one in pieces]
            )
            raw[flipped] = kind.reverse_complement(raw[flipped])
            made[spec.name] = kind.prepare(raw)
        present = np.stack([piece.weights for piece in pieces])
        labels = np.stack([piece.labels for piece in pieces])
        weights = np.where(labels == BOUND, self.weights[None, :, None], np.float32(1)) * present
        if self.ambiguous == "drop":
            weights[labels == AMBIGUOUS] = 0
        truth = np.concatenate([labels == BOUND, weights], axis=1).astype(np.float32)
        truth[flipped] = truth[flipped][..., ::-1]
        truth = truth.transpose(0, 2, 1)
        if self.windows is None:
            return made, truth
        return self._parted(made, self.windows), truth.reshape(-1, 1, truth.shape[-1])

    def _parted(self, made: dict[str, Array], geometry: Geometry) -> dict[str, Array]:
        """Cut the windows of all bins of each piece; a vector is repeated for each."""
        parted = {}
        for spec in fed(self.inputs):
            values = made[spec.name]
            if spec.along == "cell":
                parted[spec.name] = np.repeat(values, PIECE, axis=0)
                continue
            windows = np.lib.stride_tricks.sliding_window_view(values, geometry.window, axis=1)
            cut = windows[:, :: geometry.stride][:, :PIECE]
            parted[spec.name] = cut.reshape(-1, geometry.window)
        return parted


def training_batches(
    tiles: TileSet, batcher: Batcher, bins: int, both_strands: bool, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield the batches of one epoch: pieces of all files and regions, shuffled.

    Parameters
    ----------
    tiles : TileSet
    batcher : Batcher
    bins : int
        In a batch; a multiple of `PIECE`.
    both_strands : bool
        Turn each piece to the other strand at random, half of the time.
    rng : numpy.random.Generator
    """
    order = rng.permutation(tiles.pieces)
    flipped = rng.random(len(order)) < (0.5 if both_strands else 0.0)
    a_step = max(bins // PIECE, 1)
    for first in range(0, len(order), a_step):
        chosen = slice(first, first + a_step)
        yield batcher([tiles.piece(index) for index in order[chosen]], flipped[chosen])


def validation_batches(tiles: TileSet, batcher: Batcher, bins: int) -> Iterator[Batch]:
    """Yield all pieces in order, as they are; parameters are those of `training_batches`."""
    a_step = max(bins // PIECE, 1)
    for first in range(0, tiles.pieces, a_step):
        some = range(first, min(first + a_step, tiles.pieces))
        yield batcher([tiles.piece(index) for index in some], np.zeros(len(some), np.bool_))
