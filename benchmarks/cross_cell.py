"""Learn a factor in one cell type, measure it in another, beside two baselines without a network.

The network goes through the program's own pipes, once a seed, from sequence and DNase and from
sequence alone. Both baselines are judged by the same `tfbind evaluate` on the same bins:

- motif: the best log-odds of the motif, on either strand, with its hit inside the bin;
- motif x DNase: logistic regression on that score, log1p of the highest DNase in the bin and their
  product, learnt from all bins that the first seed's tiles hold, ambiguous ones left out. A bin
  without any DNase gets one constant below all others, whatever its motif.

AUPRC is that of Davis and Goadrich: a trapezoid over the tied bins without DNase would flatter.

A folder of work belongs to one set of options, and what it holds already is kept: more seeds or
inputs cost only themselves. In one line:

    python benchmarks/cross_cell.py --genome hg19.fa.gz --motifs JASPAR.meme --motif MA0139.2 \
        --train-cell HeLa-S3 HeLa.dnase.bw HeLa.dnase.narrowPeak.gz HeLa.ctcf.gz HeLa.relaxed.gz \
        --target-cell K562 K562.dnase.bw K562.ctcf.gz K562.relaxed.gz \
        --train-region chrX:1-55000000 --validate chrX:55000001-60000000 \
        --test chrX:60000001-69999930 --seeds 1,2,3 --work ctcf --json ctcf.json
"""

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfbind.genome import Genome
from tfbind.intervals import Intervals, bed_lines, read_intervals
from tfbind.labels import AMBIGUOUS, BOUND
from tfbind.matching import labels_of
from tfbind.signal import Signal

Floats = npt.NDArray[np.float32]
Metrics = dict[str, Any]

PIECE = 1 << 22  # base pairs read at once
PSEUDOCOUNT = 0.01  # added to each column of the motif, which sums to 1
FLOOR = -1e6  # log-odds of a bin without DNase
COLUMNS = {
    "AUROC": "auroc",
    "AUPRC": "auprc_davis_goadrich",
    "recall, 10 % FDR": "recall_at_10_fdr",
    "recall, 50 % FDR": "recall_at_50_fdr",
}
INPUTS = ("sequence+dnase", "sequence")
FREE = ("seeds", "inputs", "work", "json")  # options that do not change what a file holds


class TrainCell(NamedTuple):
    """A cell type to learn from."""

    name: str
    dnase: str
    accessible: str
    conservative: str
    relaxed: str


class TargetCell(NamedTuple):
    """A cell type to measure in."""

    name: str
    dnase: str
    conservative: str
    relaxed: str


# The network, through the program.


def tfbind(*words: object) -> str:
    """Give a command of the program as this Python would run it, quoted for a shell."""
    return shlex.join([sys.executable, "-P", "-m", "tfbind", *map(str, words)])


def pipe(*commands: str, out: int | IO[bytes] = subprocess.PIPE) -> bytes:
    """Run a pipe and give what it writes; its messages go on to standard error."""
    line = ["bash", "-o", "pipefail", "-c", " | ".join(commands)]
    return subprocess.run(line, stdout=out, check=True).stdout or b""


def make(path: Path, *commands: str) -> Path:
    """Make a file by a pipe, if it is not there; it gets its name once the whole pipe is through.

    The last command's own -o would not do: it cannot know that one before it has failed.
    """
    if not path.exists():
        part = path.with_name(path.name + ".part")
        with open(part, "wb") as out:
            pipe(*commands, out=out)
        part.replace(path)
    return path


def label(cell: TrainCell | TargetCell) -> str:
    return tfbind("label", "--conservative", cell.conservative, "--relaxed", cell.relaxed)


def test_labels(asked: argparse.Namespace) -> Path:
    """Label the bins that every method is measured on."""
    bins = tfbind("bin", asked.genome, "--region", asked.test)
    return make(asked.work / "test.labels.bed", bins, label(asked.target_cell))


def sample(asked: argparse.Namespace, seed: int) -> Path:
    """Choose the bins of one seed's tiles."""
    regions = ("--region", asked.train_region, "--region", asked.validate)
    chosen = ("--accessible", asked.train_cell.accessible, "--background", asked.background)
    return make(
        asked.work / f"seed{seed}.sampled.bed",
        tfbind("bin", asked.genome, *regions),
        label(asked.train_cell),
        tfbind("sample", *chosen, "--holdout", asked.test, "--seed", seed),
    )


def train(asked: argparse.Namespace, seed: int, inputs: str) -> Path:
    """Make a model from tiles of one seed."""
    cell: TrainCell = asked.train_cell
    stem = asked.work / f"seed{seed}.{inputs}"
    keras, onnx = f"{stem}.keras", Path(f"{stem}.onnx")
    if onnx.exists():
        return onnx
    source = ("--fasta", asked.genome, "--signal", f"dnase={cell.dnase}", "--cell", cell.name)
    tiles = make(asked.work / f"seed{seed}.tiles", tfbind("features", sample(asked, seed), *source))
    options = ("--arch", asked.arch, "--inputs", inputs.replace("+", ","), "--seed", seed)
    length = ("--epochs", asked.epochs, "--validate", asked.validate)
    pipe(tfbind("train", tiles, *options, *length, "--force", "-o", keras))
    pipe(tfbind("export", keras, "--both-strands", "-o", onnx))
    return onnx


def network(asked: argparse.Namespace, seed: int, inputs: str, labels: Path) -> Metrics:
    """Train, score and evaluate one network."""
    model = train(asked, seed, inputs)
    signal = ("--signal", f"dnase={asked.target_cell.dnase}") if "dnase" in inputs else ()
    return measured(
        pipe(
            tfbind("bin", asked.genome, "--region", asked.test),
            tfbind("score", model, "--fasta", asked.genome, *signal, "--format", "bed"),
            tfbind("evaluate", "--labels", labels, "--json"),
        ),
        seed=seed,
    )


def measured(output: bytes, **more: object) -> Metrics:
    """Read what `tfbind evaluate --json` writes, without the names of files."""
    values = json.loads(output)
    return more | {name: value for name, value in values.items() if not isinstance(value, str)}


# The baselines.


def read_motif(path: Path, name: str) -> Floats:
    """Read a motif as log-odds against equal bases.

    Returns
    -------
    ndarray, shape (width, 5), float32, bits
        The columns are base codes; an unknown base counts as the worst one at its place.
    """
    sections = re.split(r"^MOTIF[ \t]+", path.read_text(), flags=re.MULTILINE)[1:]
    section = next((text for text in sections if text.split(maxsplit=1)[0] == name), None)
    if section is None:
        sys.exit(f"{path}: holds no motif {name!r} among {len(sections)}, expected its identifier")
    head, _, matrix = section.partition("letter-probability matrix")[2].partition("\n")
    width = re.search(r"\bw=\s*(\d+)", head)
    rows = matrix.splitlines()[: int(width[1]) if width else None]
    shares = np.array([row.split() for row in rows], float)
    odds = np.log2((shares + PSEUDOCOUNT / 4) / (1 + PSEUDOCOUNT) / 0.25)
    return np.column_stack([odds, odds.min(axis=1)]).astype(np.float32)


def hit_scores(codes: npt.NDArray[np.uint8], motif: Floats) -> Floats:
    """Score the better strand of every place where the motif fits.

    Returns
    -------
    ndarray, shape (len(codes) - width + 1,), float32, bits
    """
    count = len(codes) - len(motif) + 1
    other = motif[::-1, [3, 2, 1, 0, 4]]
    strands = []
    for table in (motif, other):
        total = np.zeros(count, np.float32)
        for shift, row in enumerate(table):
            total += row[codes[shift : shift + count]]
        strands.append(total)
    return np.maximum(*strands)


def highest(values: Floats, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> Floats:
    """Give the maximum of values[first:last] for each pair, none of them empty."""
    ends = np.stack([first, last], axis=1).ravel()
    # Every second stretch lies between two bins; the value behind the end lets `last` stand there.
    best: Floats = np.maximum.reduceat(np.append(values, np.float32(0)), ends)[::2]
    return best


def pieces(bins: Intervals) -> Iterator[tuple[str, slice]]:
    """Yield runs of bins that lie within a few megabases."""
    for contig, run in bins.runs():
        breaks = np.flatnonzero(np.diff(bins.starts[run] // PIECE)) + 1 + run.start
        for first, last in zip([run.start, *breaks], [*breaks, run.stop], strict=True):
            yield contig, slice(int(first), int(last))


def best_motif(bins: Intervals, genome: Genome, motif: Floats) -> Floats:
    """Give the best hit inside each bin, in bits."""
    best = np.zeros(len(bins), np.float32)
    for contig, part in pieces(bins):
        starts, ends = bins.starts[part], bins.ends[part]
        origin = int(starts.min())
        scores = hit_scores(genome.codes(contig, origin, int(ends.max())), motif)
        best[part] = highest(scores, starts - origin, ends - origin - len(motif) + 1)
    return best


def highest_signal(bins: Intervals, signal: Signal) -> Floats:
    """Give the highest value of a signal in each bin."""
    best = np.zeros(len(bins), np.float32)
    for contig, part in pieces(bins):
        starts, ends = bins.starts[part], bins.ends[part]
        origin = int(starts.min())
        values = signal.values(contig, origin, int(ends.max()))
        best[part] = highest(values, starts - origin, ends - origin)
    return best


def with_dnase(motif: Floats, dnase: Floats) -> Floats:
    """Put the features of a bin side by side, shape (n, 3)."""
    level = np.log1p(dnase)
    return np.column_stack([motif, level, motif * level])


def read_bins(path: Path) -> tuple[Intervals, npt.NDArray[np.uint8]]:
    """Read bins and their labels, as codes."""
    with open(path, "rb") as stream:
        bins = read_intervals(stream, path)
    return bins, labels_of(bins, str(path), 4)


def evaluate_scores(bins: Intervals, scores: Floats, path: Path, labels: Path) -> Metrics:
    """Write bins with scores, and measure them."""
    with open(path, "wb") as out:
        for contig, run in bins.runs():
            out.write(bed_lines(contig, bins.starts[run], bins.ends[run], scores[run]))
    return measured(pipe(tfbind("evaluate", path, "--labels", labels, "--json")))


def baselines(asked: argparse.Namespace, labels: Path) -> Iterator[tuple[str, Metrics]]:
    """Measure both baselines."""
    genome, motif = Genome(asked.genome), read_motif(asked.motifs, asked.motif)
    bins, _ = read_bins(labels)
    hits = best_motif(bins, genome, motif)
    yield "motif", evaluate_scores(bins, hits, asked.work / "motif.bed", labels)
    sampled, known_labels = read_bins(sample(asked, asked.seeds[0]))
    known = sampled.select(known_labels != AMBIGUOUS)
    dnase = highest_signal(known, Signal(asked.train_cell.dnase))
    model = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    )
    features = with_dnase(best_motif(known, genome, motif), dnase)
    model.fit(features, known_labels[known_labels != AMBIGUOUS] == BOUND)
    dnase = highest_signal(bins, Signal(asked.target_cell.dnase))
    odds = model.decision_function(with_dnase(hits, dnase))
    scores = np.where(dnase > 0, odds, FLOOR).astype(np.float32)
    path = asked.work / "motif_dnase.bed"
    yield "motif x DNase", evaluate_scores(bins, scores, path, labels)


# The table.


def measure(asked: argparse.Namespace) -> dict[str, list[Metrics]]:
    """Measure each method, once or once a seed; say each result as soon as it is there."""
    labels = test_labels(asked)
    results: dict[str, list[Metrics]] = {}
    for name, metrics in _measured(asked, labels):
        results.setdefault(name, []).append(metrics)
        shown = ", ".join(f"{title} {metrics[key]:.4f}" for title, key in COLUMNS.items())
        print(f"{name}: {shown}", file=sys.stderr, flush=True)
    return results


def _measured(asked: argparse.Namespace, labels: Path) -> Iterator[tuple[str, Metrics]]:
    yield from baselines(asked, labels)
    for seed in asked.seeds:
        for inputs in asked.inputs:
            yield f"{asked.arch}, {inputs}", network(asked, seed, inputs, labels)


def spread(values: list[float]) -> str:
    """Show a mean, and a sample's standard deviation where there are several values."""
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def table(asked: argparse.Namespace, results: dict[str, list[Metrics]]) -> str:
    """Lay out the results, a row a method."""
    first = next(iter(results.values()))[0]
    rows = [["method", *COLUMNS, "runs"]]
    for name, runs in results.items():
        shown = [spread([run[key] for run in runs]) for key in COLUMNS.values()]
        rows.append([name, *shown, str(len(runs))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(
        [
            f"{asked.train_cell.name} to {asked.target_cell.name}, {asked.test}: "
            f"{first['bound']:,} bound and {first['unbound']:,} unbound bins, "
            f"{first['ambiguous_dropped']:,} ambiguous left out",
            *lines,
        ]
    )


def keep_settings(asked: argparse.Namespace, free: Sequence[str] = FREE) -> dict[str, Any]:
    """Note the options in the folder of work; refuse one that was made with others."""
    settings = {name: value for name, value in vars(asked).items() if name not in free}
    text = json.dumps(settings, default=str, indent=2) + "\n"
    path = asked.work / "settings.json"
    asked.work.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() != text:
        sys.exit(f"{path}: was made with other options, expected the same; give another --work")
    path.write_text(text)
    return settings


def seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


def options() -> argparse.ArgumentParser:
    about, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--genome", required=True, metavar="FASTA", help="plain or BGZF")
    peaks = ("CONSERVATIVE", "RELAXED")
    train_files = ("NAME", "DNASE.bw", "DNASE.narrowPeak", *peaks)
    add("--train-cell", nargs=5, required=True, metavar=train_files, help="learn here")
    target_files = ("NAME", "DNASE.bw", *peaks)
    add("--target-cell", nargs=4, required=True, metavar=target_files, help="measure here")
    add("--motifs", type=Path, required=True, metavar="MEME", help="a file of motifs")
    add("--motif", required=True, metavar="NAME", help="the identifier of one, as MA0139.2")
    add("--train-region", required=True, metavar="REGION", help="regions, parted by commas")
    add("--validate", required=True, metavar="REGION", help="chooses the best epoch")
    add("--test", required=True, metavar="REGION", help="measured on, and never learnt from")
    add("--background", type=int, default=100_000, metavar="BINS", help="bins that are not open")
    add("--arch", default="shallow", metavar="NAME", help="default: %(default)s")
    add("--epochs", type=int, default=40, metavar="N", help="most passes; default: %(default)s")
    add("--seeds", type=seeds, default="1,2,3", metavar="A,B", help="default: %(default)s")
    add("--inputs", nargs="*", choices=INPUTS, default=INPUTS, help="of the networks; default: all")
    add("--work", type=Path, required=True, metavar="FOLDER", help="tiles and models are kept here")
    add("--json", type=Path, metavar="FILE", help="write every run's metrics here too")
    return parser


def main() -> None:
    asked = options().parse_args()
    asked.train_cell, asked.target_cell = (
        TrainCell(*asked.train_cell),
        TargetCell(*asked.target_cell),
    )
    settings = keep_settings(asked)
    try:
        results = measure(asked)
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with status {error.returncode}: {error.cmd[-1]}")
    print(table(asked, results))
    if asked.json:
        report = {"options": settings, "runs": results}
        asked.json.write_text(json.dumps(report, default=str, indent=2) + "\n")


if __name__ == "__main__":
    main()
