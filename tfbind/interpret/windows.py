"""Windows of bins, as a network is fed them, one a bin."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import Contract
from tfbind.intervals import Intervals
from tfbind.tiles import Stretches


def minus_of(batch: Intervals) -> npt.NDArray[np.bool_]:
    """Tell which intervals are read on the reverse strand, shape (n,), bool; by default none."""
    return np.zeros(len(batch), np.bool_) if batch.minus is None else batch.minus


def read_windows(
    batch: Intervals, names: Sequence[str], contract: Contract, stretches: Stretches
) -> dict[str, Array]:
    """Read the windows of bins and prepare them as the network's inputs.

    Parameters
    ----------
    batch : Intervals
        Bins of `contract.geometry.size`, not empty, as `tiles.BinCheck` gives them.
    names : sequence of str
        For each of `batch.contigs`, the genome's name.
    contract : Contract
    stretches : Stretches
        Over the contract's inputs.

    Returns
    -------
    dict of str to ndarray, shape (n, window) or (n, values)
        By the name of each input that is fed: base codes, uint8, and others, float32; those of the
        reverse strand as that strand has them.

    Raises
    ------
    InputError
        If a signal holds what cannot be stored or transformed.
    """
    rows: dict[str, list[Array]] = {spec.name: [] for spec in contract.fed}
    places = zip(batch.codes, batch.starts.tolist(), minus_of(batch), strict=True)
    for code, start, minus in places:
        for name, values in stretches.read(names[code], start, 1, minus=bool(minus)).items():
            rows[name].append(values)
    channels = {spec.name: channel(spec) for spec in contract.fed}
    return {name: kind.prepare(np.stack(rows[name])) for name, kind in channels.items()}
