"""Hits of motifs as text: columns behind bins, or BED."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import Intervals, bed_lines
from tfbind.lines import with_columns
from tfbind.motifs import Motif
from tfbind.scanning import Best, Hits, Run, Scanner, best_hits, hits_of_runs

CELLS = 1 << 20
"""Best hits that are held at once: of that many bins for one motif, of fewer for more."""

LEAST = 1 << 8
"""Bins that are scanned at once however many the motifs."""

NOTHING = "."


def column_names(motifs: Iterable[Motif]) -> list[str]:
    """Name the columns that `best_lines` appends."""
    return [f"{motif.title}_{what}" for motif in motifs for what in ("score", "start", "strand")]


def best_of_batches(
    checked: Iterable[tuple[Intervals, list[str]]],
    genome: Genome,
    scanners: Sequence[Scanner],
    thresholds: Sequence[float],
    pool: Executor | None = None,
) -> Iterator[tuple[Intervals, Best]]:
    """Find the best hit of each motif in each interval.

    Parameters
    ----------
    checked : iterable of (Intervals, list of str)
        Batches, each with the genome's names of its contigs.
    genome : Genome
    scanners : sequence of Scanner
    thresholds : sequence of float, bits
        One a motif: a hit with a lower score is none.
    pool : Executor, optional
        Threads to score in.

    Yields
    ------
    batch : Intervals
        As it came, or a part of it where the motifs are many.
    best : Best
    """
    most = max(CELLS // max(len(scanners), 1), LEAST)
    least = np.array(thresholds)[:, None]
    for batch, names in checked:
        for part in batch.parts(most):
            best = Best.none(len(scanners), len(part))
            for rows in _by_contig(part):
                name = names[part.codes[rows[0]]]
                here = best_hits(genome, name, part.starts[rows], part.ends[rows], scanners, pool)
                best.scores[:, rows] = here.scores
                best.starts[:, rows] = here.starts
                best.strands[:, rows] = here.strands
            best.strands[best.scores < least] = 0
            yield part, best


def _by_contig(batch: Intervals) -> list[npt.NDArray[np.intp]]:
    """Tell which intervals lie on each contig; those of one need not be neighbours."""
    order = np.argsort(batch.codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(batch.codes[order])) + 1)


def best_lines(batch: Intervals, best: Best) -> bytes:
    """Write intervals as they were read, each with its best hits behind it.

    Three columns a motif: the score in bits, as the shortest text that reads back to the same
    float32; where the hit begins, counted from 0; + or -. Three dots where there is no hit.
    """
    columns = []
    for scores, starts, strands in zip(*best, strict=True):
        numbers = (pa.array(column, mask=strands == 0) for column in (scores, starts))
        columns += [number.cast(pa.string()).fill_null(NOTHING) for number in numbers]
        columns.append(_signs(strands))
    return with_columns(batch.text, *columns)


def hit_lines(contig: str, hits: Hits, motifs: Sequence[Motif]) -> bytes:
    """Write hits on a contig as BED of six columns: the name is the motif's, the score in bits."""
    widths = np.array([len(motif) for motif in motifs])
    titles = pa.array([motif.title for motif in motifs])
    return bed_lines(
        contig,
        hits.starts,
        hits.starts + widths[hits.motifs],
        pc.take(titles, pa.array(hits.motifs)),
        hits.scores,
        _signs(hits.strands),
    )


def _signs(strands: npt.NDArray[np.int8]) -> pa.Array:
    return pc.take(pa.array(["-", NOTHING, "+"]), pa.array(strands + 1))


def hits_of_batches(
    checked: Iterable[tuple[Intervals, list[str]]],
    path: str | Path,
    genome: Genome,
    scanners: Sequence[Scanner],
    thresholds: Sequence[float],
    pool: Executor | None = None,
    *,
    pvalue: float = 1.0,
) -> Iterator[tuple[str, Hits]]:
    """Find every hit inside intervals, each once.

    Parameters
    ----------
    path : str or Path
        The name of the intervals, for messages.
    checked, genome, scanners, thresholds, pool
        As in `best_of_batches`.
    pvalue : float
        What the thresholds stand for, as in `tfbind.scanning.all_hits`.

    Yields
    ------
    contig : str
        As the intervals name it.
    hits : Hits
        In ascending order on each contig.

    Raises
    ------
    InputError
        At the first interval that begins before the one above it, or whose contig was left.
    """
    called: dict[str, str] = {}
    runs = _runs_in_order(checked, path, called)
    for contig, hits in hits_of_runs(genome, runs, scanners, thresholds, pool, pvalue=pvalue):
        yield called[contig], hits


def _runs_in_order(
    checked: Iterable[tuple[Intervals, list[str]]], path: str | Path, called: dict[str, str]
) -> Iterator[Run]:
    """Give intervals by contig, and note the first name that each contig has in the input."""
    here, last = "", 0
    for batch, names in checked:
        for contig, run in batch.runs():
            name = names[batch.codes[run.start]]
            left = name != here and name in called
            if name != here:
                here, last = name, 0
            called.setdefault(name, contig)
            starts = batch.starts[run]
            back = np.flatnonzero(np.diff(starts, prepend=last) < 0)
            if left or len(back):
                at = run.start + (0 if left else int(back[0]))
                raise InputError(
                    f"found a bin on {contig} at {batch.starts[at]}, behind one that comes after "
                    "it; hits in order need bins in order: LC_ALL=C sort -k1,1 -k2,2n",
                    path=path,
                    line=int(batch.numbers[at]),
                )
            last = int(starts[-1])
            yield Run(name, starts, batch.ends[run])
