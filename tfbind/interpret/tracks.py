"""Means at bases as tracks and tables."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.interpret.covering import Bases
from tfbind.intervals import bed_lines

LETTERS = pa.array(["A", "C", "G", "T", "N"])


def runs(
    bases: Bases, column: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Put neighbouring bases of equal value together.

    Parameters
    ----------
    bases : Bases
        At least one.
    column : int
        Of the means.

    Returns
    -------
    starts, ends : ndarray, shape (n,), int64, base pairs
    values : ndarray, shape (n,), float32
    """
    values = bases.means[:, column]
    firsts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    starts = bases.start + firsts
    return starts, np.append(starts[1:], bases.start + len(values)), values[firsts]


def bedgraph(bases: Bases, column: int) -> bytes:
    """Write one column as bedGraph.

    Parameters
    ----------
    bases : Bases
        At least one.
    column : int
        Of the means.

    Returns
    -------
    bytes
        A line for each of `runs`.
    """
    return bed_lines(bases.contig, *runs(bases, column))


def table_header(inputs: Sequence[str], *, bases: bool) -> bytes:
    """Name the columns of a table: bases, contributions of inputs, what each base would have.

    Parameters
    ----------
    inputs : sequence of str
        Those that have a contribution a base.
    bases : bool
        The network reads bases as such, so that others have contributions too.

    Returns
    -------
    bytes
        A line that begins with `#`.
    """
    letters = [f"hypothetical_{letter}" for letter in "ACGT"] if bases else []
    return "\t".join(["#contig", "start", "end", "base", *inputs, *letters]).encode() + b"\n"


def table_lines(bases: Bases) -> bytes:
    """Write a line a base: contig, start, end, letter and all means, parted by tabs."""
    starts = bases.start + np.arange(len(bases.codes))
    columns = [np.ascontiguousarray(column) for column in bases.means.T]
    return bed_lines(
        bases.contig, starts, starts + 1, LETTERS.take(pa.array(bases.codes)), *columns
    )
