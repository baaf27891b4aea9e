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


def has_strands(batch: Intervals, path: str | Path) -> bool:
    """Tell whether bins have strands: + or - in the last of six columns.

    Raises
    ------
    InputError
        If some have and others have not, or there are more columns.
    """
    symbols = pa.array(SYMBOLS, pa.binary())
    if len(batch.extra) < COLUMN - 3 or not len(batch):
        return False
    if not pc.any(pc.is_in(batch.extra[COLUMN - 4], value_set=symbols)).as_py():
        return False
    if len(batch.extra) > COLUMN - 3:
        raise InputError(
            f"found {len(batch.extra) + 3} columns, expected 6 where column 6 holds strands; keep "
            "these by: cut -f 1-6",
            path=path,
            line=int(batch.numbers[0]),
        )
    minus_of(batch, path)
    return True


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


def told_strands(batch: Intervals, path: str | Path) -> Intervals:
    """Read the strands of intervals where column 6 holds them; a dot is read forward.

    Parameters
    ----------
    batch : Intervals
        With any columns.
    path : str or Path
        The file, for messages.

    Returns
    -------
    Intervals
        With `minus`, or as they were, if nothing in column 6 is a strand.

    Raises
    ------
    InputError
        At the first line without a strand in column 6, if others have one.
    """
    if len(batch.extra) < COLUMN - 3:
        return batch
    symbols = pa.array([*SYMBOLS, b"."], pa.binary())
    found = pc.index_in(batch.extra[COLUMN - 4], value_set=symbols)
    codes = found.fill_null(len(symbols)).to_numpy()
    if not (codes < len(SYMBOLS)).any():
        return batch
    if len(wrong := np.flatnonzero(codes == len(symbols))):
        text = batch.extra[COLUMN - 4][int(wrong[0])].as_py().decode("utf-8", "replace")
        raise InputError(
            f"found {text[:60]!r} in column 6, expected +, - or a dot as in other lines",
            path=path,
            line=int(batch.numbers[wrong[0]]),
        )
    return replace(batch, minus=np.asarray(codes == SYMBOLS.index(b"-")))


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


class Once:
    """Refuse bins that come twice on one strand; where there is no strand, on either."""

    def __init__(self) -> None:
        self._contigs: dict[str, int] = {}
        self._seen: list[npt.NDArray[np.int64]] = []
        self._numbers: list[npt.NDArray[np.int64]] = []

    def add(self, batch: Intervals, path: str | Path) -> None:
        """Take in bins; errors are those of `told_strands`."""
        batch = told_strands(batch, path)
        minus = np.zeros(len(batch), np.bool_) if batch.minus is None else batch.minus
        contigs = [self._contigs.setdefault(name, len(self._contigs)) for name in batch.contigs]
        codes = np.array(contigs, np.int64)[batch.codes]
        self._seen.append(np.stack([codes, batch.starts, batch.ends, minus]))
        self._numbers.append(batch.numbers)

    def end(self, path: str | Path) -> None:
        """Tell the first line that repeats another, by an `InputError`."""
        if not self._seen:
            return
        places, numbers = np.concatenate(self._seen, axis=1), np.concatenate(self._numbers)
        order = np.lexsort((numbers, *places))
        same = (places[:, order[1:]] == places[:, order[:-1]]).all(axis=0)
        if same.any():
            raise InputError(
                "found a bin that came before, expected each once",
                path=path,
                line=int(numbers[order[1:][same]].min()),
            )
