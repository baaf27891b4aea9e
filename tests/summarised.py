"""A small genome with a track and motifs, and rows of tables, for the tests of summaries."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyBigWig
from by_hand import motif_scores
from conftest import environment

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
    """Give the better strand's score at each place where a hit fits."""
    best = motif_scores(codes, odds).max(axis=0)
    found: list[float] = best[best > -np.inf].tolist()
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


MEMORY = """import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A child counts the memory of the process that it was forked from too: here a small one."""


def most_memory(folder: Path, text: bytes, env: dict[str, str], *args: str | Path) -> float:
    """Run the program on some bins, and tell how much memory it took at most, in MB."""
    bed = folder / "bins.bed"
    bed.write_bytes(text)
    command = [sys.executable, "-c", MEMORY, sys.executable, "-m", "tfbind", *map(str, args)]
    with bed.open("rb") as stdin:
        done = subprocess.run(
            command, stdin=stdin, capture_output=True, env=environment(env), check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout) / (1 << 20 if sys.platform == "darwin" else 1 << 10)
