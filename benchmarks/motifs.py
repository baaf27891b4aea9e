"""Scanning for a motif: lightmotif, memelite and plain numpy, side by side, and `tfbind scan`.

pip install memelite
python benchmarks/motifs.py --fasta hg19.fa.gz --motifs JASPAR.meme --motif MA0139.2 --contig chrX

Each scores the same bases on both strands with the same log-odds, one thread each, after a round
that compiles what is compiled. memelite gives only hits under a p-value, so the hits are what is
compared: places, strands and scores.

Why tfbind scans with lightmotif: it gives the score of every place, which the best hit of a bin
needs, memelite only hits; its matrix has a column for the unknown base, so that minus infinity
there keeps hits off it, where memelite lets such a base count 0; and it is compiled ahead, without
numba, and knows no pandas.
"""

import argparse
import functools
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfbind.genome import UNKNOWN, Genome
from tfbind.motifs import Motif, choose, read_motifs
from tfbind.pvalues import ScoreDistribution
from tfbind.scanning import Scanner, all_hits, best_hits

Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Hits = dict[tuple[int, int], float]

EPS = 1e-4  # what memelite adds to a frequency
PVALUE = 1e-4
PIECE = 1 << 22  # bases for plain numpy
LINE = 1 << 16


def timed(name: str, work: Callable[[], Any], bases: int, reference: float | None = None) -> Any:
    """Print the time that some work takes, its rate, and how often the reference's it is."""
    began, cpu = time.perf_counter(), time.process_time()
    made = work()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    times = "" if reference is None else f", {cpu / reference:.1f} times lightmotif's"
    print(f"{name}: {wall:.2f} s, processor {cpu:.2f} s, {bases / cpu / 1e6:.0f} Mbp/s{times}")
    return made, cpu


def by_numpy(codes: Codes, motif: Motif) -> Floats:
    """Score both strands, shape (2, places), the odds added base by base."""
    places = len(codes) - len(motif) + 1
    strands = np.zeros((2, places), np.float32)
    for row, odds in zip(strands, (motif.log_odds, motif.reverse_complement()), strict=True):
        table = np.column_stack([odds, np.full(len(odds), -np.inf, np.float32)])
        for shift, scores in enumerate(table):
            row += scores[codes[shift : shift + places]]
    return strands


def by_memelite(fasta: str, motif: Motif) -> Hits:
    from memelite import fimo

    shares = (0.25 * 2.0 ** motif.log_odds.astype(float) - EPS).T
    (found,) = fimo({motif.name: shares}, fasta, threshold=PVALUE, eps=EPS)
    strands = np.where(found["strand"] == "+", 1, -1)
    return dict(
        zip(zip(found["start"], strands.tolist(), strict=True), found["score"], strict=True)
    )


def by_tfbind(genome: Genome, contig: str, size: int, scanner: Scanner, least: float) -> Hits:
    hits: Hits = {}
    whole = np.array([0]), np.array([size])
    for some in all_hits(genome, contig, *whole, [scanner], [least], pvalue=PVALUE):
        keys = zip(some.starts.tolist(), some.strands.tolist(), strict=True)
        hits |= dict(zip(keys, some.scores.tolist(), strict=True))
    return hits


def write_fasta(path: Path, codes: Codes) -> None:
    letters = np.frombuffer(b"ACGTN", np.uint8)[codes].tobytes()
    lines = (letters[first : first + LINE] for first in range(0, len(letters), LINE))
    path.write_bytes(b">one\n" + b"\n".join(lines) + b"\n")


def compare_scores(codes: Codes, motif: Motif) -> None:
    """Time the scores of every place, and count where the two ways differ in a bit."""
    scanner = Scanner(motif)
    steps = range(0, len(codes) - len(motif) + 1, PIECE)
    pieces = [codes[first : first + PIECE + len(motif) - 1] for first in steps]

    def each(score: Callable[[Codes], Floats]) -> list[Floats]:
        return [score(piece) for piece in pieces]

    mine, reference = timed("lightmotif, every score", lambda: each(scanner.scores), len(codes))
    plain, _ = timed(
        "numpy, every score", lambda: each(lambda c: by_numpy(c, motif)), len(codes), reference
    )
    differ = sum(int((a != b).sum()) for a, b in zip(mine, plain, strict=True))
    count = sum(a.size for a in mine)
    print(f"{count:,} scores, {differ} differ")


def compare_hits(genome: Genome, contig: str, codes: Codes, motif: Motif) -> None:
    """Time the hits under a p-value, and compare them where no base is unknown."""
    least = ScoreDistribution(motif).threshold(PVALUE)
    scanner = Scanner(motif)
    mine, reference = timed(
        f"lightmotif, hits at p <= {PVALUE}, reading included",
        lambda: by_tfbind(genome, contig, len(codes), scanner, least),
        len(codes),
    )
    with tempfile.TemporaryDirectory() as folder:
        small, whole = Path(folder) / "small.fa", Path(folder) / "whole.fa"
        write_fasta(small, codes[len(codes) // 2 :][:10_000])
        write_fasta(whole, codes)
        by_memelite(str(small), motif)
        theirs, _ = timed(
            f"memelite, hits at p <= {PVALUE}, reading included",
            lambda: by_memelite(str(whole), motif),
            len(codes),
            reference,
        )
    unknown = np.concatenate([[0], np.cumsum(codes == UNKNOWN)])
    width = len(motif)
    known = {hit: s for hit, s in theirs.items() if unknown[hit[0] + width] == unknown[hit[0]]}
    shared = mine.keys() & known.keys()
    apart = max((abs(mine[hit] - known[hit]) for hit in shared), default=0.0)
    over_unknown = len(theirs) - len(known)
    print(f"{len(mine):,} hits of lightmotif, {len(theirs):,} of memelite")
    print(f"of memelite's {over_unknown:,} lie over an unknown base")
    print(f"{len(shared):,} are shared; their scores differ by {apart:.1g} at most")
    for name, some, other in (("lightmotif", mine, known), ("memelite", known, mine)):
        alone = [score for hit, score in some.items() if hit not in other]
        if alone:
            print(f"only {name}: {len(alone):,}, scores {min(alone):.3f} to {max(alone):.3f}")
    print(f"the threshold here is {least:.3f}")


def bins(genome: Genome, contig: str, size: int, scanner: Scanner) -> None:
    """Time the best hits of all bins of a contig, by the threads."""
    starts = np.arange(0, size - 199, 50)
    for threads in (1, len(os.sched_getaffinity(0))):
        with ThreadPoolExecutor(threads) as pool:
            work = functools.partial(
                best_hits, genome, contig, starts, starts + 200, [scanner], pool
            )
            name = f"best hits of {len(starts):,} bins, {threads} thread(s), reading included"
            timed(name, work, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--motifs", required=True, metavar="MEME")
    parser.add_argument("--motif", default="MA0139.2", metavar="NAME")
    parser.add_argument("--contig", default="chrX")
    options = parser.parse_args()
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    genome = Genome(options.fasta)
    motif = choose(read_motifs(options.motifs), [options.motif], options.motifs)[0]
    size = genome.sizes[options.contig]
    print(f"{motif.title}, {len(motif)} bases, on {options.contig}, {size:,} bp")
    bins(genome, options.contig, size, Scanner(motif))
    print(f"most memory so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    codes = genome.codes(options.contig, 0, size)
    compare_scores(codes, motif)
    compare_hits(genome, options.contig, codes, motif)


if __name__ == "__main__":
    main()
