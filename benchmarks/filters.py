"""What the filters of networks that were given no motif have learnt, beside shuffled weights.

Networks learn a factor in one cell type as the row `shallow` of `quality.py` does, of this factor's
peaks alone, once a seed, of tiles and of weights. `tfbind explain filters` then compares the
filters of each with known motifs, on the bins that it learnt from. A row of the table is a network:
the filters that are most like a motif named as the factor both by their sites and by their weights,
at a false discovery rate below `Q` in both, and the ranks these have in the order of influence.

The control is the weights of the first network, shuffled `DRAWS` times: of each filter the
positions are permuted, then the four bases at each position by itself, and they become motifs as
weights do. What such a filter is like, it is like by chance. Were p-values uniform and independent,
the median of the best of N motifs would be 1 - .5 ** (1 / N). Told are, with whole motifs and with
their cores alone, which `tfbind explain filters` takes: the least and the highest median of a draw,
the smallest p-value of all, the filters with a match, and those among them that are like the
factor.

A folder of work belongs to one set of options, and the networks that it holds already are kept; the
filters are compared anew each time. In one line:

    python benchmarks/filters.py --genome hg19.fa.gz --motifs JASPAR.meme \
        --train-cell HeLa-S3 HeLa.dnase.bw HeLa.dnase.narrowPeak.gz HeLa.ctcf.gz HeLa.relaxed.gz \
        --train-region chrX:1-55000000 --validate chrX:55000001-60000000 --work filters
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from contestants import ROWS
from cross_cell import TrainCell, keep_settings, label, make, pipe, seeds, tfbind
from memelite import tomtom

from tfbind.interpret.convolutions import convolutions
from tfbind.interpret.filters import positive_frequencies
from tfbind.interpret.matches import best_matches, false_discovery_rates
from tfbind.motifs import Motif, read_motifs
from tfbind.networks.files import load_network

Q = 0.05
"""A match is one whose false discovery rate is below."""

DRAWS = 5
"""Of permutations of the control."""

WAYS = ("sites", "weights")
FREE = ("factor", "motifs", "seeds", "jobs", "work")  # do not change what a file holds

Filter = dict[str, str]
"""A line of the table of `tfbind explain filters`."""

Floats = npt.NDArray[np.float64]

Chance = tuple[float, float, str]
"""The best match of a query: p, q and the motif's title."""


def sampled(asked: argparse.Namespace, part: str, seed: int) -> Path:
    """Choose the bins of a seed's tiles; no file is shared by seeds, which run side by side."""
    region = asked.train_region if part == "train" else asked.validate
    drawn = asked.background if part == "train" else asked.background // 10
    chosen = ("--accessible", asked.train_cell.accessible, "--background", drawn, "--seed", seed)
    return make(
        asked.work / f"seed{seed}.{part}.bed",
        tfbind("bin", asked.genome, "--region", region),
        label(asked.train_cell),
        tfbind("sample", *chosen),
    )


def source(asked: argparse.Namespace) -> tuple[str, ...]:
    """Name the genome and the signal."""
    return ("--fasta", asked.genome, "--signal", f"dnase={asked.train_cell.dnase}")


def tiles(asked: argparse.Namespace, part: str, seed: int) -> Path:
    """Put the genome and the signal under the bins."""
    bins = sampled(asked, part, seed)
    words = (bins, *source(asked), "--cell", asked.train_cell.name)
    return make(bins.with_suffix(".tiles"), tfbind("features", *words))


def network(asked: argparse.Namespace, seed: int) -> Path:
    """Train a network; it gets its name once it is done."""
    path: Path = asked.work / f"seed{seed}.keras"
    if not path.exists():
        row, part = ROWS["shallow"], path.with_suffix(".part.keras")
        words: list[object] = [*row.options, "--arch", row.arch, "--inputs", row.inputs]
        # Another number of threads would make another network.
        words += ["--validate", tiles(asked, "validate", seed), "--seed", seed, "--threads", 1]
        pipe(tfbind("train", tiles(asked, "train", seed), *words, "--force", "-o", part))
        part.replace(path)
    return path


def explained(asked: argparse.Namespace, seed: int) -> list[Filter]:
    """Compare the filters of a network with known motifs; the most influential filter is first."""
    table = asked.work / f"seed{seed}.filters.tsv"
    words = [network(asked, seed), sampled(asked, "train", seed), *source(asked)]
    pipe(tfbind("explain", "filters", *words, "--motifs", asked.motifs, "--force", "-o", table))
    with open(table, newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def is_like(one: Filter, factor: str) -> bool:
    """Tell whether a filter is most like a motif of the factor, in both ways."""
    return all(
        # A title is that of an accession and a name; CTCFL, for one, is not CTCF.
        one[f"{way}_match"].partition("_")[2] == factor and float(one[f"{way}_q"]) < Q
        for way in WAYS
    )


def runs(ranks: Sequence[int]) -> str:
    """Write rising ranks, those that follow each other as one: 1 to 12, 31."""
    firsts = (rank for rank in ranks if rank - 1 not in ranks)
    lasts = (rank for rank in ranks if rank + 1 not in ranks)
    pairs = zip(firsts, lasts, strict=True)
    return ", ".join(f"{a} to {b}" if a < b else f"{a}" for a, b in pairs)


def shown(seed: int, filters: Sequence[Filter], factor: str) -> str:
    """Write a row of the table."""
    ranks = [rank for rank, one in enumerate(filters, 1) if is_like(one, factor)]
    cells = [str(seed), f"{len(ranks)} of {len(filters)}", runs(ranks) or "-"]
    for way in WAYS:
        match, p, q = (filters[0][f"{way}_{what}"] for what in ("match", "p", "q"))
        cells.append(f"{match}, p = {p}, q = {q}")
    return f"| {' | '.join(cells)} |"


def shuffled(path: Path, seed: int) -> list[Floats]:
    """Give the motifs of a network's filters whose weights are permuted."""
    chance = np.random.default_rng(seed)
    (first,) = convolutions(load_network(path).model)
    weights = np.moveaxis(first.kernel, 2, 0)
    mixed = (chance.permuted(chance.permutation(one), axis=1) for one in weights)
    return [positive_frequencies(one) for one in mixed]


def whole_matches(queries: Sequence[Floats], known: Sequence[Motif]) -> list[Chance]:
    """Match queries with motifs that are not cut."""
    both = (queries, [one.frequencies for one in known])
    pvalues = tomtom(*([np.ascontiguousarray(one.T) for one in some] for some in both))[0]
    best = pvalues.argmin(axis=1)
    rates = false_discovery_rates(pvalues)
    return [
        (float(pvalues[row, at]), float(rates[row, at]), known[at].title)
        for row, at in enumerate(best.tolist())
    ]


def core_matches(queries: Sequence[Floats], known: Sequence[Motif]) -> list[Chance]:
    """Match queries with the cores of motifs."""
    return [(one.pvalue, one.qvalue, one.motif.title) for one in best_matches(queries, known)]


def control(path: Path, known: Sequence[Motif], factor: str) -> list[str]:
    """Write the table of the matches of shuffled weights."""
    draws = [shuffled(path, seed) for seed in range(1, DRAWS + 1)]
    count = sum(map(len, draws))
    head = f"{count} shuffled filters, {len(known):,} motifs"
    lines = [
        f"| {head} | median of best p | smallest | with q < {Q} | of them like {factor} |",
        "|---|---:|---|---:|---:|",
    ]
    for name, way in (("whole motifs", whole_matches), ("their cores", core_matches)):
        found = [way(queries, known) for queries in draws]
        medians = [float(np.median([one[0] for one in draw])) for draw in found]
        every = [one for draw in found for one in draw]
        smallest, _, title = min(every)
        matched = [title.partition("_")[2] for _, q, title in every if q < Q]
        cells = [name, f"{min(medians):.1e} to {max(medians):.1e}", f"{smallest:.1e}, {title}"]
        cells += [str(len(matched)), str(matched.count(factor))]
        lines.append(f"| {' | '.join(cells)} |")
    expected = f"{1 - 0.5 ** (1 / len(known)):.1e}"
    return [*lines, f"| expected, were p-values uniform | {expected} | | | |"]


def options() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("--genome", required=True, metavar="FASTA", help="plain or BGZF")
    files = ("NAME", "DNASE.bw", "DNASE.narrowPeak", "CONSERVATIVE", "RELAXED")
    add("--train-cell", nargs=5, required=True, metavar=files, help="learn here")
    add("--motifs", type=Path, required=True, metavar="MEME", help="known motifs")
    add("--factor", default="CTCF", metavar="NAME", help="its motifs' name; default: %(default)s")
    add("--train-region", required=True, metavar="REGION", help="learnt from")
    add("--validate", required=True, metavar="REGION", help="chooses the best epoch")
    add("--background", type=int, default=60_000, metavar="BINS", help="bins that are not open")
    add("--seeds", type=seeds, default="1,2,3", metavar="A,B", help="default: %(default)s")
    add("--jobs", type=int, default=2, metavar="N", help="networks at a time; default: 2")
    add("--work", type=Path, required=True, metavar="FOLDER", help="tiles and networks, kept")
    return parser


def main() -> None:
    asked = options().parse_args()
    asked.train_cell = TrainCell(*asked.train_cell)
    keep_settings(asked, FREE)
    try:
        with ThreadPoolExecutor(asked.jobs) as pool:
            networks = list(pool.map(partial(network, asked), asked.seeds))
        found = {seed: explained(asked, seed) for seed in asked.seeds}
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with status {error.returncode}: {error.cmd[-1]}")
    like = f"most like {asked.factor} by sites and by weights, q < {Q} in both"
    print(f"| seed | {like} | their ranks | the first filter, by its sites | by its weights |")
    print("|---|---:|---|---|---|")
    for seed, filters in found.items():
        print(shown(seed, filters, asked.factor))
    print("", *control(networks[0], read_motifs(asked.motifs), asked.factor), sep="\n")


if __name__ == "__main__":
    main()
