"""Classes that exclude each other, as words in the fourth column of bins with strands."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tfbind.errors import InputError
from tfbind.intervals import Intervals
from tfbind.labels import AMBIGUOUS, BOUND, UNBOUND

BACKGROUND, UNCLEAR = "background", "ambiguous"
"""The words for bins of no class, and for those of which nobody knows."""


TOLD_BY = "tfbind label --cage writes sharp and broad, others are named by --names"


def words_of(
    batch: Intervals, names: Sequence[str], path: str | Path, told_by: str = TOLD_BY
) -> npt.NDArray[np.int64]:
    """Read the class of each bin.

    Parameters
    ----------
    batch : Intervals
    names : sequence of str
        The classes.
    path : str or Path
        The file, for messages.
    told_by : str
        Of the message: where classes are named.

    Returns
    -------
    ndarray, shape (n,), int64
        Indices into `names`, behind which come background and ambiguous.

    Raises
    ------
    InputError
        At the first line whose fourth column is none of these.
    """
    known = [*names, BACKGROUND, UNCLEAR]
    if not len(batch):
        return np.zeros(0, np.int64)
    column = batch.extra[0]
    values = pa.array([word.encode() for word in known], pa.binary())
    codes = pc.index_in(column, value_set=values).fill_null(len(known)).to_numpy()
    if len(wrong := np.flatnonzero(codes == len(known))):
        found = column[int(wrong[0])].as_py().decode("utf-8", "replace")
        raise InputError(
            f"found {found[:60]!r} in column 4, expected a class: "
            f"{', '.join(dict.fromkeys(known))}; {told_by}",
            path=path,
            line=int(batch.numbers[wrong[0]]),
        )
    return np.asarray(codes, np.int64)


def without_words(batches: Iterable[Intervals], path: str | Path) -> Iterator[Intervals]:
    """Pass bins without a class on; `InputError` names the first line that has one.

    What a file holds is written down before its first bin, and cannot change behind it.
    """
    for batch in batches:
        words = np.flatnonzero(~np.asarray(pc.equal(batch.extra[0], b".")))
        if len(words):
            found = batch.extra[0][int(words[0])].as_py().decode("utf-8", "replace")
            raise InputError(
                f"found {found[:60]!r} in column 4 behind bins with a dot, which have no class; "
                "label all bins by tfbind label --cage, or none",
                path=path,
                line=int(batch.numbers[words[0]]),
            )
        yield batch


def class_codes(batch: Intervals, names: Sequence[str], path: str | Path) -> npt.NDArray[np.uint8]:
    """Turn the class of each bin into a label for each class; errors are those of `words_of`.

    Returns
    -------
    ndarray, shape (n, classes), uint8
        `BOUND` for the bin's own class, `UNBOUND` for others; `AMBIGUOUS` for all where nobody
        knows.
    """
    words = words_of(batch, names, path)
    codes = np.where(words[:, None] == np.arange(len(names)), BOUND, UNBOUND).astype(np.uint8)
    codes[words == len(names) + 1] = AMBIGUOUS
    return codes
