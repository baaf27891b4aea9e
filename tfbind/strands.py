"""The strand that a bin is read on: the sixth column of BED."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tfbind.errors import InputError
from tfbind.intervals import Intervals

COLUMN = 6
SYMBOLS = (b"+", b"-")
READ_ALONG = (
    "along which bins are read: give those of tfbind bin --strand both, or BED of 6 columns"
)
NAMES = {False: "plus", True: "minus"}
"""What files are named by: a plus or a minus in a name is troublesome to shells."""


def has_strands(batch: Intervals) -> bool:
    """Tell whether a batch of bins has a strand each: + or - in the last of six columns."""
    if len(batch.extra) != COLUMN - 3 or not len(batch):
        return False
    symbols = pa.array(SYMBOLS, pa.binary())
    return bool(pc.all(pc.is_in(batch.extra[-1], value_set=symbols)).as_py())


def minus_of(
    batch: Intervals, path: str | Path, column: int = COLUMN, why: str = READ_ALONG
) -> npt.NDArray[np.bool_]:
    """Read the strands of bins.

    Parameters
    ----------
    batch : Intervals
    path : str or Path
        The file, for messages.
    column : int
        That holds them, from 1.
    why : str
        Of the message: what they are for.

    Returns
    -------
    ndarray, shape (n,), bool
        True for the reverse strand.

    Raises
    ------
    InputError
        If there is no such column, or at the first line that has neither + nor - there.
    """
    wanted = f"expected + or - in column {column}, {why}"
    if not len(batch):
        return np.zeros(0, np.bool_)
    if len(batch.extra) < column - 3:
        raise InputError(
            f"found {len(batch.extra) + 3} columns, {wanted}",
            path=path,
            line=int(batch.numbers[0]),
        )
    symbols = batch.extra[column - 4]
    codes = pc.index_in(symbols, value_set=pa.array(SYMBOLS, pa.binary())).fill_null(2).to_numpy()
    if len(wrong := np.flatnonzero(codes == 2)):
        found = symbols[int(wrong[0])].as_py().decode("utf-8", "replace")
        raise InputError(
            f"found {found[:60]!r}, {wanted}", path=path, line=int(batch.numbers[wrong[0]])
        )
    return np.asarray(codes == 1)


def six_columns(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], minus: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.int64] | pa.Array]:
    """Give the columns of BED from the second to the sixth, for bins without name and score."""
    dots = pc.take(pa.array(["."]), pa.array(np.zeros(len(starts), np.int8)))
    strands = pc.take(pa.array(["+", "-"]), pa.array(minus.astype(np.int8)))
    return [starts, ends, dots, np.zeros(len(starts), np.int64), strands]


def stranded(batch: Intervals, path: str | Path) -> Intervals:
    """Read the sixth column of a batch into its `minus`; errors are those of `minus_of`."""
    return replace(batch, minus=minus_of(batch, path))
