"""Windows of bins, as a network is fed them, one a bin."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import Contract
from tfbind.intervals import Intervals
from tfbind.tiles import Stretches

STRAND = 6
"""The column of BED that holds the strand."""


def minus_strand(batch: Intervals) -> npt.NDArray[np.bool_]:
    """Tell which intervals lie on the minus strand: those with `-` in column 6.

    Returns
    -------
    ndarray, shape (n,), bool
    """
    column = STRAND - 4
    if len(batch.extra) <= column:
        return np.zeros(len(batch), bool)
    return np.asarray(pc.equal(batch.extra[column], b"-"))


def read_windows(
    batch: Intervals, names: Sequence[str], contract: Contract, stretches: Stretches
) -> dict[str, Array]:
    """Read the windows of bins and prepare them as the network's inputs.

    Parameters
    ----------
    batch : Intervals
        Bins of `contract.geometry.size`, not empty. The windows of those on the minus strand are
        reverse-complemented.
    names : sequence of str
        For each of `batch.contigs`, the genome's name.
    contract : Contract
    stretches : Stretches
        Over the contract's inputs.

    Returns
    -------
    dict of str to ndarray, shape (n, window) or (n, values)
        By the name of each input that is fed.
    """
    minus = minus_strand(batch)
    channels = {spec.name: channel(spec) for spec in contract.fed}
    rows: dict[str, list[Array]] = {name: [] for name in channels}
    for code, start, turned in zip(batch.codes, batch.starts, minus, strict=True):
        raw = stretches.read(names[code], int(start), 1)
        for name, kind in channels.items():
            turn = turned and kind.spec.along == "bases"
            rows[name].append(kind.reverse_complement(raw[name]) if turn else raw[name])
    return {name: kind.prepare(np.stack(rows[name])) for name, kind in channels.items()}
