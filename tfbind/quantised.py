"""Features of bins as xgboost holds them, told apart at a few levels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from tfbind.errors import InputError
from tfbind.networks.trees import GRID, Trees
from tfbind.tabular import Floats, Rows, Table

NOISE = 0.05
"""Of the steps that features lie on: how far from its place the sum of a mean may be."""

FARTHEST = 1 << 22
"""Steps from 0 up to which half a step is told apart."""

FEWEST = 8
"""Steps of `GRID` that a signal reaches somewhere, or rounding leaves too little of it."""

BYTES, MOST_BYTES = 6, 2 * 10**9
"""What xgboost holds for a feature of a bin, rounded up (3.8 to 5.5 were measured); in all."""


class _Reader(xgboost.DataIter):
    """Give xgboost the features batch by batch, as often as it wants, and keep the truth."""

    def __init__(self, rows: Callable[[], Rows]) -> None:
        super().__init__()
        self._rows = rows
        self._left: Rows = iter(())
        self._read: list[Floats] = []
        self.truth: list[Floats] = []
        self.stopped: BaseException | None = None

    def reset(self) -> None:
        """Begin again."""
        self._left, self._read = self._rows(), []

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over a batch, if there is one."""
        # Whatever is raised here would be lost on its way through the library.
        try:
            features, truth = next(self._left)
        except StopIteration:
            self.truth = self._read
            return False
        except BaseException as stop:
            self.stopped = stop
            return False
        self._read.append(truth)
        input_data(data=features)
        return True


@dataclass
class Bins:
    """Bins as xgboost holds them, and their truth.

    Attributes
    ----------
    matrix : xgboost.QuantileDMatrix
    labels, weights : ndarray, shape (bins, tasks), float32
    """

    matrix: Any
    labels: Floats
    weights: Floats

    @property
    def labelled(self) -> int:
        """Labels with a weight, of all tasks; 1 where there are none."""
        return max(int((self.weights > 0).sum()), 1)

    def of(self, task: int) -> Any:
        """Give the matrix with a task's labels."""
        self.matrix.set_info(label=self.labels[:, task], weight=self.weights[:, task])
        return self.matrix


def require_room(bins: int, layer: Trees) -> None:
    """Check that the features of so many bins are not too many to hold.

    Raises
    ------
    InputError
        If they take more than `MOST_BYTES`.
    """
    features = len(layer.steps)
    taken = bins * features * BYTES
    if taken > MOST_BYTES:
        raise InputError(
            f"{bins:,} bins of {features:,} features take about {taken / 1e9:.1f} GB, expected at "
            f"most {MOST_BYTES / 1e9:.0f} GB; sample fewer background bins, or give a larger step "
            "in [network]"
        )


def held_on_grid(
    table: Table, layer: Trees, on_step: Callable[[int, float], None]
) -> tuple[Bins, Bins]:
    """Read the bins to learn from and to choose by, and check what rounding does to them.

    Parameters
    ----------
    table : Table
    layer : Trees
        That takes the features.
    on_step : callable
        Called between batches with no bins and no loss, so that Ctrl-C is seen.

    Raises
    ------
    InputError
        If a signal is too small or too large to be rounded.
    """
    steps = np.array(layer.steps)
    highest = np.zeros(len(steps))

    def checked(rows: Rows) -> Rows:
        for features, truth in rows:
            on_step(0, math.nan)
            np.maximum(highest, np.abs(features).max(axis=0, initial=0), out=highest)
            _require_on_steps(features, steps, layer.names)
            yield features, truth

    learnt = held(lambda: checked(table.learnt()))
    for spec in table.inputs:
        mine = np.array([name == spec.name for name in layer.names])
        if spec.source == "signal" and (most := highest[mine].max()) < FEWEST * GRID:
            raise InputError(
                f"the signal {spec.name!r} is {most:g} at most behind its transform, expected "
                f"{FEWEST * GRID:g} or more, as it is rounded to 1/{1 / GRID:.0f}; give it a "
                "--transform that makes more of it, such as percentile:99, or leave it out of "
                "--inputs"
            )
    return learnt, held(lambda: checked(table.chosen_by()), learnt)


def _require_on_steps(
    features: Floats, steps: npt.NDArray[np.float64], names: Sequence[str]
) -> None:
    """Check that features are what `half_way` takes them for."""
    places = features / np.where(steps > 0, steps, np.inf)
    far = np.abs(places - np.round(places)).max(axis=0, initial=0) > NOISE
    far |= np.abs(places).max(axis=0, initial=0) > FARTHEST
    if far.any():
        first = int(np.argmax(far))
        most = np.abs(features[:, first]).max()
        raise InputError(
            f"the input {names[first]!r} reaches {most:g}, where sums in steps of "
            f"1/{1 / GRID:.0f} are not exact; give a signal another --transform, such as log1p"
        )


def held(rows: Callable[[], Rows], like: Bins | None = None) -> Bins:
    """Read the features of bins into xgboost; `like` says at which levels they are told apart."""
    reader = _Reader(rows)
    try:
        matrix = xgboost.QuantileDMatrix(reader, ref=like and like.matrix)
    finally:
        if reader.stopped is not None:
            raise reader.stopped
    truth = np.concatenate(reader.truth)
    tasks = truth.shape[1] // 2
    return Bins(matrix, truth[:, :tasks], truth[:, tasks:])
