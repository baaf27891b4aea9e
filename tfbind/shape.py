"""The shape of the double helix at each base, told from the bases around it.

The figures are those of the DNAshape method: Zhou T. et al., DNAshape: a method for the
high-throughput prediction of DNA structural features on a genomic scale, Nucleic Acids Research 41,
W56-W62 (2013).
"""

import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tfbind.bins import Run
from tfbind.genome import UNKNOWN, Genome, base_codes
from tfbind.intervals import bed_lines
from tfbind.pipeline import in_order

Made = TypeVar("Made")
Stretch = tuple[str, list[tuple[int, int]]]

FEATURES = ("MGW", "ProT", "Roll", "HelT")
"""Minor groove width and propeller twist of a base; roll and helix twist of the step behind it."""

UNITS = {"MGW": "angstrom", "ProT": "degree", "Roll": "degree", "HelT": "degree"}

CODES = UNKNOWN + 1
"""Base codes: A 0, C 1, G 2, T 3, and 4 for any other."""

PENTAMER, HEXAMER = 5, 6
BEFORE, BEHIND = 2, 3
"""Bases before and behind a base that tell, with it, of its shape: together a hexamer."""

FIGURES = ("MGW", "ProT", "Roll1", "Roll2", "HelT1", "HelT2")
"""What the table has of each pentamer: of its third base, and of the steps to it (1) and on (2)."""


@functools.cache
def pentamer_table() -> npt.NDArray[np.float64]:
    """Read the figures of all pentamers.

    Returns
    -------
    ndarray, shape (CODES, CODES, CODES, CODES, CODES, 6), float64, angstrom and degrees
        By the codes of the five bases, then as `FIGURES`; NaN where a base is unknown. Not
        writable.
    """
    table = np.full((CODES,) * PENTAMER + (len(FIGURES),), np.nan)
    text = resources.files("tfbind").joinpath("pentamers.tsv").read_text("ascii")
    lines = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    if tuple(lines[0]) != ("pentamer", *FIGURES):
        raise ValueError(f"found columns {lines[0]} in pentamers.tsv")
    for pentamer, *figures in lines[1:]:
        table[tuple(base_codes(pentamer.encode()))] = [float(figure) for figure in figures]
    table.flags.writeable = False
    return table


@functools.cache
def hexamer_table() -> npt.NDArray[np.float32]:
    """Give the shape at the third base of each hexamer.

    MGW and ProT are what the pentamer says of which that base is the third. Roll and HelT are of
    the step to the next base: the mean of what the same pentamer says of its step on, and what the
    next one says of the step to its own third base. A pentamer with an unknown base says nothing;
    where only one of the two speaks, its word is the mean.

    Returns
    -------
    ndarray, shape (CODES ** 6, 4), float32, angstrom and degrees
        The row of bases with the codes c0, ..., c5 is the number that they write to the base of
        `CODES`, c0 first; columns as `FEATURES`. NaN where nothing is known. Not writable.
    """
    table = pentamer_table()
    here = table[..., None, :]  # of the hexamer's first five bases
    there = table[None]  # of its last five
    whole = np.empty((CODES,) * HEXAMER + (len(FEATURES),))
    whole[..., 0], whole[..., 1] = here[..., 0], here[..., 1]
    whole[..., 2] = _mean(here[..., 3], there[..., 2])
    whole[..., 3] = _mean(here[..., 5], there[..., 4])
    rows = whole.reshape(-1, len(FEATURES)).astype(np.float32)
    rows.flags.writeable = False
    return rows


def _mean(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Take the mean of two, or the one that is not NaN."""
    return np.where(
        np.isnan(first), second, np.where(np.isnan(second), first, (first + second) / 2)
    )


def hexamers(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """Find each base's row in the table of hexamers.

    Parameters
    ----------
    codes : ndarray, shape (BEFORE + n + BEHIND,), uint8
        As `base_codes` gives them; `UNKNOWN` beyond the ends of a contig.

    Returns
    -------
    ndarray, shape (n,), int16
        For each base but the padding, a row of `hexamer_table`.
    """
    count = max(len(codes) - BEFORE - BEHIND, 0)
    rows = codes[:count].astype(np.int16)
    for offset in range(1, HEXAMER):
        rows *= CODES
        rows += codes[offset : offset + count]
    return rows


def shape_values(
    codes: npt.NDArray[np.uint8], features: Sequence[str] = FEATURES
) -> npt.NDArray[np.float32]:
    """Give the shape at each base.

    Parameters
    ----------
    codes : ndarray, shape (BEFORE + n + BEHIND,), uint8
        As `base_codes` gives them; `UNKNOWN` beyond the ends of a contig.
    features : sequence of str
        Some of `FEATURES`.

    Returns
    -------
    ndarray, shape (n, len(features)), float32, angstrom and degrees
        The value of a step stands on its first base. NaN where nothing is known.
    """
    columns = [FEATURES.index(feature) for feature in features]
    # The rows of an array that is not contiguous are taken far more slowly.
    return np.ascontiguousarray(hexamer_table()[:, columns]).take(hexamers(codes), axis=0)


def stretches(runs: Iterable[Run], length: int) -> Iterator[Stretch]:
    """Cut runs of bases at the multiples of a length.

    Parameters
    ----------
    runs : iterable of Run
        Of bins of one base, in order, none of them empty.
    length : int, base pairs

    Yields
    ------
    contig : str
    parts : list of tuple of int, base pairs
        Starts and ends of all that is asked for between two multiples, in order.
    """
    cut = (
        (contig, low, min(low - low % length + length, last))
        for contig, first, last in runs
        for low in (first, *range(first - first % length + length, last, length))
    )
    for (contig, _), parts in itertools.groupby(cut, lambda part: (part[0], part[1] // length)):
        yield contig, [part[1:] for part in parts]


def along(
    genome: Genome,
    runs: Iterable[Run],
    features: Sequence[str],
    make: Callable[[str, int, npt.NDArray[np.float32]], Made],
    *,
    length: int,
    threads: int,
) -> Generator[tuple[int, int, Made], None, None]:
    """Tell the shape along a genome, and make something of it, in threads.

    Parameters
    ----------
    genome : Genome
    runs : iterable of Run
        Of bins of one base, in order.
    features : sequence of str
        Some of `FEATURES`.
    make : callable
        Takes a contig, a start in base pairs and values as `shape_values` gives them, NaN also
        where nothing was asked for. Called in threads.
    length : int, base pairs
        At its multiples runs are cut; what lies between two of them goes to one call.
    threads : int

    Yields
    ------
    asked, known : int
        How many bases were asked for, and of how many anything is known.
    made : what `make` gave
        In order.
    """

    def work(stretch: Stretch) -> tuple[int, int, Made]:
        contig, parts = stretch
        start, end = parts[0][0], parts[-1][1]
        values = shape_values(genome.codes(contig, start - BEFORE, end + BEHIND), features)
        for (_, low), (high, _) in itertools.pairwise(parts):
            values[low - start : high - start] = np.nan
        asked, known = sum(high - low for low, high in parts), ~np.isnan(values).all(1)
        return asked, int(known.sum()), make(contig, start, values)

    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(work, stretches(runs, length), pool, 2 * threads)


def bedgraph_lines(contig: str, start: int, values: npt.NDArray[np.float32]) -> bytes:
    """Write a line for each base that has a value.

    Parameters
    ----------
    contig : str
    start : int, base pairs
    values : ndarray, shape (n,), float32
        NaN where there is none.
    """
    known = np.flatnonzero(~np.isnan(values))
    return bed_lines(contig, start + known, start + known + 1, values[known])
