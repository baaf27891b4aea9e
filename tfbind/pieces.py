"""Equal runs of bins, as training takes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfbind.channels.base import Array
from tfbind.contract import Distribution


@dataclass(frozen=True)
class Pieces:
    """Runs of consecutive bins, of tiles of any cell types.

    Attributes
    ----------
    weights : ndarray, shape (n, tasks, bins), uint8
        0 for what only fills, and for all bins of a task that a file has no labels for.
    labels : ndarray, shape (n, tasks, bins), uint8
    inputs : dict of str to ndarray, shape (n, bases) or (n, values)
        Raw values, copied.
    files : ndarray, shape (n,), int64
        Which of `signals` is a piece's.
    signals : sequence of mapping of str to Distribution
        Of each signal, in the cell type of a file.
    contigs : ndarray, shape (n,), int32
        Codes among those of the piece's file.
    starts : ndarray, shape (n,), int64
        Of each piece's first bin.
    """

    weights: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    inputs: dict[str, Array]
    files: npt.NDArray[np.int64]
    signals: Sequence[Mapping[str, Distribution]]
    contigs: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, some: slice) -> "Pieces":
        inputs = {name: values[some] for name, values in self.inputs.items()}
        return Pieces(
            self.weights[some],
            self.labels[some],
            inputs,
            self.files[some],
            self.signals,
            self.contigs[some],
            self.starts[some],
        )
