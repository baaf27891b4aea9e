"""What inputs are held at while others are changed."""

from collections.abc import Iterable, Mapping

import numpy as np

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import Contract
from tfbind.errors import RequestError


def constants(contract: Contract, values: Mapping[str, float], cell: str) -> dict[str, Array]:
    """Give each input other than the sequence one value in the whole window.

    Parameters
    ----------
    contract : Contract
    values : mapping of str to float
        Of signals, in the unit of the track, or where the contract has `ranks`, in that of these;
        others are 0, as uncovered bases are.
    cell : str
        The cell type, whose vectors are given; empty: the mean of the training cells.

    Returns
    -------
    dict of str to ndarray, shape (window,) or (values,), float32
        Prepared, by the input's name.

    Raises
    ------
    RequestError
        If a value is of an input that is no signal of the contract.
    InputError
        If the contract does not know the cell type, or a value is too low for its transform.
    """
    names = [spec.name for spec in contract.signals]
    for name in values:
        if name not in names:
            raise RequestError(
                f"found --hold {name}, expected a signal of the network: {', '.join(names)}"
                if names
                else f"found --hold {name}, but the network reads no signal"
            )
    held: dict[str, Array] = {}
    for spec in contract.fed:
        kind = channel(spec)
        if spec.along == "cell" and not cell:
            held[spec.name] = np.zeros(len(spec.features), np.float32)
        elif spec.along == "cell":
            held[spec.name] = kind.prepare(kind.of_cell(cell))
        elif spec.source != "sequence":
            value = values.get(spec.name, 0.0)
            if not abs(value) <= np.finfo(kind.dtype).max:
                raise RequestError(
                    f"found --hold {spec.name}={value:g}, expected a value that {spec.stored} "
                    "holds, as the signals that were learnt from"
                )
            held[spec.name] = kind.prepare(np.full(contract.geometry.window, value, kind.dtype))
    return held


def means(windows: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Give the mean of prepared inputs over windows, each with as many rows as the others.

    Parameters
    ----------
    windows : iterable of mapping of str to ndarray, shape (n, window) or (n, values)
        By input; n may differ from one mapping to the next.

    Returns
    -------
    dict of str to ndarray, shape (window,) or (values,), float32
        By input, base codes too, whose mean says nothing; empty if there are no windows.
    """
    sums: dict[str, Array] = {}
    count = 0
    for one in windows:
        count += len(next(iter(one.values())))
        for name, values in one.items():
            sums[name] = sums.get(name, 0) + values.sum(axis=0, dtype=np.float64)
    return {name: (total / count).astype(np.float32) for name, total in sums.items()}
