"""A small genome with a track and motifs, and rows of tables, for the tests of summaries."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyBigWig

from tfbind.channels import Sources
from tfbind.genome import Genome
from tfbind.intervals import IntervalReader, bed_lines
from tfbind.measures import Measure
from tfbind.signal import Signal
from tfbind.tables import Table
from tfbind.tiles import BinCheck

SEQUENCE = "ACGTNNGGCCAATTNNNNNNGCGCacgt"


def small_genome(folder: Path) -> Sources:
    """Write a genome of three contigs, and a track that lacks one of them."""
    fasta = folder / "small.fa"
    fasta.write_text(f">one\n{SEQUENCE}\n>two\n{'ACGGT' * 4000}\n>three\nNNNNN\n")
    track = folder / "small.bw"
    with pyBigWig.open(str(track), "w") as bigwig:
        bigwig.addHeader([("one", len(SEQUENCE)), ("two", 20_000)])
        bigwig.addEntries(["one", "one"], [2, 8], ends=[4, 12], values=[1.5, -2.0])
        bigwig.addEntries(["two"], [100], ends=[300], values=[7.0])
    return Sources(Genome(fasta), {"dnase": Signal(track)})


def two_motifs(folder: Path) -> Path:
    """Write two motifs, one wider than many bins of a test."""
    path = folder / "two.jaspar"
    wide = "\n".join(" ".join(str((i * k) % 7 + 1) for i in range(30)) for k in (1, 2, 3, 5))
    path.write_text(f">short.1 S\n8 0 1\n1 9 1\n1 1 0\n0 0 8\n>wide.1 W\n{wide}\n")
    return path


def best_scores(odds: npt.NDArray[np.float32], codes: npt.NDArray[np.uint8]) -> list[float]:
    """Score each place where a hit fits, one by one."""
    found = []
    for place in range(len(codes) - len(odds) + 1):
        some = codes[place : place + len(odds)]
        if (some < 4).all():
            strands = (odds, odds[::-1, ::-1])
            scores = [strand[np.arange(len(odds)), some].sum(dtype=float) for strand in strands]
            found.append(max(scores))
    return found


def rows_of(
    sources: Sources, wanted: list[Measure], text: bytes, flank: int = 0
) -> npt.NDArray[np.float32]:
    table = Table(sources.genome, wanted, flank)
    check = BinCheck(None, sources, "bins")
    found = [
        table.rows(*check(batch), "bins") for batch in IntervalReader(io.BytesIO(text), "bins")
    ]
    return np.concatenate(found) if found else np.zeros((0, len(table.columns)), np.float32)


def bins(start: int, count: int, size: int = 200, stride: int = 50) -> bytes:
    starts = start + stride * np.arange(count)
    return bed_lines("chrX", starts, starts + size)
