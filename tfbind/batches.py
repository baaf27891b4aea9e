"""Pieces of tiles, mixed and stacked into what a network is fitted to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfbind.channels import Channel, channel
from tfbind.channels.base import Array
from tfbind.contract import Geometry, Input, fed
from tfbind.labels import AMBIGUOUS, BOUND
from tfbind.pieces import Pieces
from tfbind.tilesets import TileSet

Batch = tuple[dict[str, Array], npt.NDArray[np.float32]]
"""Inputs, each of shape (batch, bases) or (batch, values), and truth, shape
(batch, bins, 2 * tasks): labels of 0 or 1 for each task, then their weights."""

PREFETCHED = 8
"""Batches that are made ahead of their use."""

BLOCK = 1 << 20
"""Bytes of tiles that lie together and are shuffled as one."""

WINDOW = 1 << 28
"""Bytes of tiles whose pieces are shuffled among each other; so much of the files is in memory."""

STEPS_AT_ONCE = 8
"""Batches whose pieces are read together."""


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

    def __call__(self, pieces: Pieces, flipped: npt.NDArray[np.bool_]) -> Batch:
        """Make one batch.

        Parameters
        ----------
        pieces : Pieces
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
            raw = _aligned(kind, pieces)
            raw[flipped] = kind.reverse_complement(raw[flipped])
            made[spec.name] = kind.prepare(raw)
        labels, bound = pieces.labels, pieces.labels == BOUND
        weights = np.where(bound, self.weights[None, :, None], np.float32(1)) * pieces.weights
        if self.ambiguous == "drop":
            weights[labels == AMBIGUOUS] = 0
        truth = np.concatenate([bound, weights], axis=1, dtype=np.float32)
        truth[flipped] = truth[flipped][..., ::-1]
        truth = np.ascontiguousarray(truth.transpose(0, 2, 1))
        if self.windows is None:
            return made, truth
        bins = truth.shape[1]
        return self._parted(made, self.windows, bins), truth.reshape(-1, 1, truth.shape[-1])

    def _parted(self, made: dict[str, Array], geometry: Geometry, bins: int) -> dict[str, Array]:
        """Cut the windows of all bins of each piece; a vector is repeated for each."""
        parted = {}
        for spec in fed(self.inputs):
            values = made[spec.name]
            if spec.along == "cell":
                parted[spec.name] = np.repeat(values, bins, axis=0)
                continue
            windows = np.lib.stride_tricks.sliding_window_view(values, geometry.window, axis=1)
            cut = windows[:, :: geometry.stride][:, :bins]
            parted[spec.name] = cut.reshape(-1, geometry.window)
        return parted


def _aligned(kind: Channel, pieces: Pieces) -> Array:
    """Give raw values, copied; of a signal that wants it, by the cell's own distribution."""
    name = kind.spec.name
    raw = pieces.inputs[name]
    if not kind.spec.ranks:
        return raw.copy()
    aligned = np.empty(raw.shape, np.float32)
    for number in np.unique(pieces.files).tolist():
        which = pieces.files == number
        aligned[which] = kind.aligned(raw[which], pieces.signals[number].get(name))
    return aligned


def training_batches(
    tiles: TileSet, batcher: Batcher, bins: int, both_strands: bool, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield the batches of one epoch: pieces of all files and regions, shuffled.

    Tiles that lie together on the disk are read together: runs of about a megabyte are shuffled,
    then the pieces of `WINDOW` bytes of these. What is smaller than that is shuffled throughout.

    Parameters
    ----------
    tiles : TileSet
    batcher : Batcher
    bins : int
        In a batch; a multiple of those of a piece.
    both_strands : bool
        Turn each piece to the other strand at random, half of the time; never where bins have a
        strand.
    rng : numpy.random.Generator
    """
    a_step = max(bins // tiles.bins, 1)
    for pieces in _read(tiles, _shuffled(tiles, rng), a_step, batcher.inputs):
        flipped = rng.random(len(pieces)) < (0.5 if both_strands and not tiles.stranded else 0.0)
        for first in range(0, len(pieces), a_step):
            step = slice(first, first + a_step)
            yield batcher(pieces[step], flipped[step])


def validation_batches(tiles: TileSet, batcher: Batcher, bins: int) -> Iterator[Batch]:
    """Yield all pieces in order, as they are; parameters are those of `training_batches`."""
    a_step = max(bins // tiles.bins, 1)
    for pieces in _read(tiles, _windows(tiles), a_step, batcher.inputs):
        for first in range(0, len(pieces), a_step):
            step = pieces[first : first + a_step]
            yield batcher(step, np.zeros(len(step), np.bool_))


def _windows(
    tiles: TileSet, rng: np.random.Generator | None = None
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the pieces of as much of the tiles as is looked at at once."""
    blocks = np.array(tiles.blocks(BLOCK), np.int64).reshape(-1, 2)
    if rng is not None:
        blocks = blocks[rng.permutation(len(blocks))]
    for first in range(0, len(blocks), WINDOW // BLOCK):
        some = blocks[first : first + WINDOW // BLOCK]
        yield np.concatenate([np.arange(*block) for block in some.tolist()])
        tiles.release()


def _shuffled(tiles: TileSet, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    for window in _windows(tiles, rng):
        yield rng.permutation(window)


def _read(
    tiles: TileSet,
    windows: Iterable[npt.NDArray[np.int64]],
    a_step: int,
    inputs: Sequence[Input],
) -> Iterator[Pieces]:
    """Read pieces of some steps at once, as one by one takes longer; all but the last are whole."""
    left = np.zeros(0, np.int64)
    at_once = a_step * STEPS_AT_ONCE
    for window in windows:
        left = np.concatenate([left, window])
        whole = len(left) - len(left) % a_step
        for first in range(0, whole, at_once):
            yield tiles.read(left[first : min(first + at_once, whole)], inputs)
        left = left[whole:]
    if len(left):
        yield tiles.read(left, inputs)
