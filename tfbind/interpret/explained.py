"""Contributions to the outputs of bins, a row each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfbind.contract import Contract

BASES = 4


@dataclass(frozen=True)
class Explained:
    """A row for each of some bins.

    Attributes
    ----------
    contigs : list of str
        The genome's names, one a bin.
    starts : ndarray, shape (n,), int64
        Of the bins, base pairs.
    minus : ndarray, shape (n,), bool
        The rows run along the minus strand.
    codes : ndarray, shape (n, window), uint8
        The bases of each window; unknown ones where the network reads no sequence.
    contributions : mapping of str to ndarray, shape (n, window) or (n, values), float32
    hypothetical : mapping of str to ndarray, shape (n, window, 4), float32
    outputs, reference_outputs : ndarray, shape (n,), float32
        What is explained, before the activation. Of a reference that all bins share there may be
        one number; in mutagenesis and in gradient times input there is no reference: 0.
    """

    contigs: list[str]
    starts: npt.NDArray[np.int64]
    minus: npt.NDArray[np.bool_]
    codes: npt.NDArray[np.uint8]
    contributions: Mapping[str, npt.NDArray[np.float32]]
    hypothetical: Mapping[str, npt.NDArray[np.float32]]
    outputs: npt.NDArray[np.float32]
    reference_outputs: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.starts)


def no_rows(contract: Contract, names: Sequence[str]) -> Explained:
    """Give the rows of no bins: arrays of length 0, in the shapes that those of bins have.

    Parameters
    ----------
    contract : Contract
    names : sequence of str
        The inputs that have a contribution a base.
    """
    window = contract.geometry.window
    none = np.zeros(0, np.float32)
    vectors = {
        spec.name: np.zeros((0, len(spec.features)), np.float32)
        for spec in contract.inputs
        if spec.along == "cell"
    }
    bases = [one.name for one in contract.inputs if one.name in names and one.source == "sequence"]
    return Explained(
        [],
        np.zeros(0, np.int64),
        np.zeros(0, np.bool_),
        np.zeros((0, window), np.uint8),
        {name: np.zeros((0, window), np.float32) for name in names} | vectors,
        {name: np.zeros((0, window, BASES), np.float32) for name in bases},
        none,
        none,
    )
