"""Learn the strength of ChIP signal first, as a start for learning which bins are bound.

A bin's label throws away how high its peak is. The network is first fitted to the mean signal of
each bin, and then, with new last layers, to labels.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tfbind.batches import Batch, Batcher, training_batches, validation_batches
from tfbind.channels.base import Array
from tfbind.contract import Input
from tfbind.errors import InputError, three
from tfbind.genome import ContigNames
from tfbind.losses import Loss
from tfbind.networks import scans
from tfbind.networks.heads import LOGITS, Learnt, learnt_of
from tfbind.pieces import Pieces
from tfbind.settings import Settings
from tfbind.signal import Signal
from tfbind.tilesets import TileSet
from tfbind.training import DivergedError, compiled, one_epoch

Key = tuple[str, str]
"""A cell type and a task."""

Tracks = Mapping[Key, Signal]

Values = npt.NDArray[np.float32]

SAMPLE = 8192
"""Pieces that mean and deviation of signals are taken from."""

READ_AT_ONCE = 512

LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class Pass:
    """One pass over the training tiles.

    Attributes
    ----------
    number : int
        Counted from one.
    seconds : float
    error, validation_error : float
        Mean squared error, in units of the training bins' variance: who always gives the mean
        reaches 1.
    """

    number: int
    seconds: float
    error: float
    validation_error: float


@dataclass(frozen=True)
class Pretrained:
    """What happened, pass by pass, and which of them the network has its weights of."""

    passes: Sequence[Pass]
    best: Pass


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of a track's strengths over the training bins."""

    mean: float = 0.0
    deviation: float = 1.0


class Strengths:
    """How strongly bins are bound: ln(1 + x) of the mean ChIP signal x of each, standardised.

    Parameters
    ----------
    tiles : TileSet
    tracks : mapping of (str, str) to Signal
        By cell type and task.
    scales : mapping of (str, str) to Scale, optional
        Of these tracks, by which they are standardised.
    alias, prefix
        How contigs of the tiles are found in the tracks, as in `genome.ContigNames`.

    Raises
    ------
    InputError
        If a track has none of the contigs of the tiles of its cell type.
    """

    def __init__(
        self,
        tiles: TileSet,
        tracks: Tracks,
        scales: Mapping[Key, Scale] | None = None,
        *,
        alias: Mapping[str, str] | None = None,
        prefix: Literal["add", "strip"] | None = None,
    ) -> None:
        self._tiles, self._tracks, self._scales = tiles, tracks, scales or {}
        # A piece is read once for all passes: a seek in a bigWig for each would cost a fifth of a
        # step. Its pages come to be as they are filled.
        self._values = np.zeros((tiles.pieces, len(tiles.tasks), tiles.bins), np.float32)
        self._rows: dict[int, int] = {}
        self._names = {
            key: ContigNames(tuple(signal.sizes), signal.path, alias or {}, prefix)
            for key, signal in tracks.items()
        }
        for (cell, _), names in self._names.items():
            contigs = [
                name for file in tiles.files if file.contents.cell == cell for name in file.contigs
            ]
            if contigs and not any(map(names.find, contigs)):
                raise InputError(
                    f"has none of the contigs of the tiles of {cell}: they name {three(contigs)}, "
                    f"this file {three(names.known)}; give --alias FILE or --chr-prefix add|strip",
                    path=names.path,
                )

    def __call__(self, pieces: Pieces) -> tuple[Values, Values]:
        """Read the bins of some pieces.

        Returns
        -------
        strengths, weights : ndarray, shape (n, tasks, bins), float32
            Ambiguous bins weigh as much as all others; 0 weigh what only fills, tasks without a
            track and contigs that a track lacks.
        """
        weights = np.zeros(pieces.weights.shape, np.float32)
        present = pieces.weights.max(axis=1)
        places = (pieces.files.astype(np.int64) << 24 | pieces.contigs) << 32 | pieces.starts
        rows = np.array([self._rows.get(place, -1) for place in places.tolist()], np.int64)
        for piece in range(len(pieces)):
            covered = self._covered(pieces, piece)
            weights[piece, [task for task, _, _ in covered]] = present[piece]
            if rows[piece] < 0:
                place = int(places[piece])
                rows[piece] = row = self._rows.setdefault(place, len(self._rows))
                for task, key, contig in covered:
                    self._values[row, task] = self._read(key, contig, pieces, piece)
        return self._values[rows], weights

    def _covered(self, pieces: Pieces, piece: int) -> list[tuple[int, Key, str]]:
        """Give the tasks of a piece of which there is a track, its key and its contig's name."""
        file = self._tiles.files[pieces.files[piece]]
        contig = file.contigs[pieces.contigs[piece]]
        found = []
        for task, name in enumerate(self._tiles.tasks):
            key = (file.contents.cell, name)
            known = self._names[key].find(contig) if key in self._names else None
            if known is not None:
                found.append((task, key, known))
        return found

    def _read(self, key: Key, contig: str, pieces: Pieces, piece: int) -> Values:
        signal, scale = self._tracks[key], self._scales.get(key, Scale())
        geometry = self._tiles.files[pieces.files[piece]].contents.geometry
        firsts = geometry.stride * np.arange(pieces.weights.shape[2])
        start = int(pieces.starts[piece])
        values = signal.values(contig, start, start + int(firsts[-1]) + geometry.size)
        sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        means = (sums[firsts + geometry.size] - sums[firsts]) / geometry.size
        if not means.min() > -1:
            raise InputError(
                f"holds a mean of {means.min():g} in a bin near {contig}:{start + 1}, expected "
                "ChIP signal of 0 or more, such as fold change over control",
                path=signal.path,
            )
        return np.asarray((np.log1p(means) - scale.mean) / scale.deviation, np.float32)


def fitted_scales(
    tiles: TileSet,
    tracks: Tracks,
    *,
    alias: Mapping[str, str] | None = None,
    prefix: Literal["add", "strip"] | None = None,
) -> dict[Key, Scale]:
    """Take mean and deviation of each track over a sample of the training bins.

    Parameters
    ----------
    tiles : TileSet
    tracks : mapping of (str, str) to Signal
    alias, prefix
        As `Strengths` takes them.

    Raises
    ------
    InputError
        If a track does not vary there.
    """
    strengths_of = Strengths(tiles, tracks, alias=alias, prefix=prefix)
    index = np.unique(np.linspace(0, tiles.pieces - 1, SAMPLE).astype(np.int64))
    sums = {key: np.zeros(3) for key in tracks}
    for first in range(0, len(index), READ_AT_ONCE):
        pieces = tiles.read(index[first : first + READ_AT_ONCE])
        strengths, weights = strengths_of(pieces)
        cells = np.array([tiles.files[number].contents.cell for number in pieces.files])
        for cell, task in tracks:
            row = tiles.tasks.index(task)
            of = weights[:, row] * (cells == cell)[:, None]
            values = strengths[:, row].astype(np.float64)
            sums[cell, task] += [of.sum(), (of * values).sum(), (of * values**2).sum()]
    tiles.release()
    scales = {}
    for (cell, task), (count, total, squares) in sums.items():
        mean = total / max(count, 1)
        deviation = np.sqrt(max(squares / max(count, 1) - mean**2, 0.0))
        if deviation < LEAST_DEVIATION:
            raise InputError(
                f"has the same value in all training bins of {cell}, and so nothing to learn",
                path=tracks[cell, task].path,
            )
        scales[cell, task] = Scale(float(mean), float(deviation))
    return scales


@dataclass(frozen=True, kw_only=True)
class StrengthBatcher(Batcher):
    """As a `Batcher`, but the truth is strengths and their weights."""

    strengths: Strengths

    def __call__(self, pieces: Pieces, flipped: npt.NDArray[np.bool_]) -> Batch:
        """Make one batch."""
        inputs, truth = super().__call__(pieces, flipped)
        made = np.concatenate(self.strengths(pieces), axis=1)
        made[flipped] = made[flipped][..., ::-1]
        return inputs, np.ascontiguousarray(made.transpose(0, 2, 1)).reshape(truth.shape)


def squared_error(learnt: Learnt) -> Loss:
    """Make the loss of strengths: the mean squared error of each task's logit of bound.

    Parameters
    ----------
    learnt : Learnt
        Says what the network's logits are.

    Returns
    -------
    callable
        From truth, shape (batch, bins, 2 * tasks), float32 (strengths, then weights), and logits
        to a scalar: the weighted mean.
    """

    def loss(truth: Any, given: Any) -> Any:
        wanted, weights = ops.split(truth, 2, axis=-1)
        if learnt.kind == "exclusive":
            given = given[..., 1:]
        elif learnt.kind == "nodes":
            given = given[..., learnt.count - 1 :: learnt.count]
        elif learnt.kind == "members":
            wanted = ops.tile(wanted, (1, 1, learnt.count))
            weights = ops.tile(weights, (1, 1, learnt.count))
        return ops.sum(weights * ops.square(wanted - given)) / ops.maximum(ops.sum(weights), 1.0)

    return loss


def pretrain(
    model: keras.Model,
    inputs: Sequence[Input],
    training: TileSet,
    validation: TileSet,
    tracks: Tracks,
    settings: Settings,
    epochs: int,
    on_step: Callable[[int, float], None] = lambda bins, error: None,
    on_pass: Callable[[Pass], None] = lambda one: None,
    *,
    alias: Mapping[str, str] | None = None,
    prefix: Literal["add", "strip"] | None = None,
) -> Pretrained:
    """Fit a network to ChIP signal, and leave it with the weights of the best pass.

    What gives the logits starts anew: its weights are those from before. It ends before `epochs`
    if the validation error falls no more for as many passes as `settings` has patience.

    Parameters
    ----------
    model : keras.Model
    inputs : sequence of Input
        With the model's transforms.
    training, validation : TileSet
    tracks : mapping of (str, str) to Signal
        ChIP signal by cell type and task. Where there is none, nothing is learnt.
    settings : Settings
        Of these the batch, the rate, strands, patience, clip and seed.
    epochs : int
        Most passes.
    on_step : callable
        Told the bins of each step and the pass's error so far.
    on_pass : callable
        Told each pass.
    alias, prefix
        As `Strengths` takes them.

    Raises
    ------
    InputError
        If a track cannot be learnt, or validation has none of it, or the error is no number.
    """
    scales = fitted_scales(training, tracks, alias=alias, prefix=prefix)
    windows = None if scans(model) else training.files[0].contents.geometry
    ones = np.ones(len(training.tasks), np.float32)

    def batcher(tiles: TileSet) -> StrengthBatcher:
        strengths = Strengths(tiles, tracks, scales, alias=alias, prefix=prefix)
        return StrengthBatcher(inputs, ones, "drop", windows, strengths=strengths)

    learner, fresh = _learner(model, settings)
    rng = np.random.default_rng([settings.seed, 1])
    made, chooser = batcher(training), batcher(validation)
    passes: list[Pass] = []
    best, weights = Pass(0, 0.0, np.inf, np.inf), model.get_weights()
    for number in range(1, epochs + 1):
        began = time.monotonic()
        batches = training_batches(training, made, settings.batch, settings.both_strands, rng)
        error = _fitted_error(learner, batches, on_step)
        measured = _error(learner, validation_batches(validation, chooser, settings.batch))
        if not np.isfinite(measured):
            raise _no_number()
        one = Pass(number, time.monotonic() - began, error, measured)
        passes.append(one)
        if measured < best.validation_error:
            best, weights = one, model.get_weights()
        on_pass(one)
        if number - best.number >= settings.patience:
            break
    model.set_weights(weights)
    for layer, values in fresh:
        layer.set_weights(values)
    return Pretrained(passes, best)


def _learner(
    model: keras.Model, settings: Settings
) -> tuple[keras.Model, list[tuple[keras.Layer, list[Array]]]]:
    """Give the network up to its logits, and the layers that make these, as they are now."""
    layer = model.get_layer(LOGITS)
    mark = learnt_of(model)[1]
    learner = keras.Model(model.inputs, layer.output)
    optimiser = keras.optimizers.Adam(settings.learning_rate, global_clipnorm=settings.clip or None)
    learner.compile(optimiser, squared_error(mark), jit_compile=compiled())
    return learner, [(one, one.get_weights()) for one in _last(layer)]


def _last(layer: Any) -> list[Any]:
    """Find what makes a layer's values: itself or, where it only joins others, these."""
    if layer.weights or isinstance(layer, keras.layers.InputLayer):
        return [layer]
    ends = layer.input if isinstance(layer.input, list) else [layer.input]
    return [one for end in ends for one in _last(end._keras_history.operation)]


def _fitted_error(
    learner: keras.Model, batches: Iterator[Batch], on_step: Callable[[int, float], None]
) -> float:
    try:
        return one_epoch(learner, batches, on_step)[0]
    except DivergedError:
        raise _no_number() from None


def _no_number() -> InputError:
    return InputError("the error is no number in pretraining; give a smaller --learning-rate")


def _error(learner: keras.Model, batches: Iterable[Batch]) -> float:
    """Measure the mean squared error of validation bins."""
    total, counted = 0.0, 0.0
    for inputs, truth in batches:
        weight = float(truth[..., truth.shape[-1] // 2 :].sum())
        total += weight * float(learner.test_on_batch(inputs, truth))
        counted += weight
    if not counted:
        raise InputError(
            "no validation bin has ChIP signal to choose by; give --pretrain a track of its cell "
            "type and contigs, or other regions to --validate"
        )
    return total / counted
