"""Which architecture finds bound bins best: within cell types, and from one to another.

Every network learns from the same bins of a training cell, chooses by bins of a second region, and
is measured on all bins of a third, in that cell and in every other that has the factor, by the
program's own pipes, once a seed. Those that learn one factor at a time are trained once a factor.
AUPRC is that of Davis and Goadrich, as floors are ties.

What differs between rows beside the architecture stands in `ROWS`: `naive` and `boosted` read the
motif of each factor, `best` some more; `best` alone learns besides from the peaks of its factors in
cell types that have no signal here, and from hard negatives, and stops as its recipe says;
`multitask` after the five passes of the thesis. `ensemble` is `best` with the models of `shallow`
and `boosted`, joined by `tfbind ensemble`. `--parts` takes `best` apart, one member of it.

The sheet is one that `tfbind train --samples` takes (cell, factor, peaks, relaxed, accessible,
signal). A second one (cell, factor, peaks) is of the other cell types.

A folder of work belongs to one set of options, files and sources of tfbind, and what it holds
already is kept. In one line:

    python benchmarks/quality.py --genome hg19.fa.gz --samples samples.tsv --elsewhere others.tsv \
        --motifs JASPAR.meme --own own.txt --all all.txt --train-region chrX:1-55000000 \
        --validate chrX:55000001-60000000 --test chrX:60000001-69999930 --work quality \
        --json quality.json

`--own` names the motif of each factor, one identifier a line, and `--all` those that `best` reads.
"""

import argparse
import csv
import gzip
import json
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from comparison import Result, table
from contestants import MINER, OURS, PARTS, PLAIN, ROWS, Row
from cross_cell import keep_settings, make, pipe, seeds, tfbind

import tfbind as tfbind_package
import tfbind.cli as tfbind_cli
from tfbind.evaluation import ranked
from tfbind.intervals import read_intervals
from tfbind.labels import BOUND, UNBOUND
from tfbind.matching import labels_of
from tfbind.motifs import choose, read_motifs

ELSEWHERE = ".elsewhere"
FREE = ("seeds", "jobs", "work", "json", "only", "parts", "train_in")
HARD = 10_000
"""Hard negatives, in the place of as many bins of the background."""

LOCKS: defaultdict[Path, Lock] = defaultdict(Lock)
"""One for each file that several rows may need."""


class Cell(NamedTuple):
    """A cell type of the sheet: its signal, its open chromatin, the peaks of each factor."""

    name: str
    signal: str
    accessible: str
    peaks: dict[str, str]


def cells_of(path: Path) -> dict[str, Cell]:
    """Read the sheet."""
    cells: dict[str, Cell] = {}
    for line in _lines(path):
        cell = cells.setdefault(
            line["cell"], Cell(line["cell"], line["signal"], line["accessible"], {})
        )
        both = [line["peaks"], *([line["relaxed"]] if line.get("relaxed") else [])]
        cell.peaks[line["factor"]] = ",".join(both)
    return cells


def refuse_shared(asked: argparse.Namespace) -> None:
    """Refuse peaks of a cell that is measured among those of other cells."""
    shared = {line["cell"] for line in _lines(asked.elsewhere)} & set(cells_of(asked.samples))
    if shared:
        sys.exit(f"{asked.elsewhere}: names {', '.join(shared)}, where networks are measured")


def _lines(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def digest_of(paths: Iterable[Path]) -> str:
    """Digest what files hold."""
    return sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()[:12]


def elsewhere(asked: argparse.Namespace, factor: str) -> Path | None:
    """Join the peaks of a factor in all cell types of the second sheet; None if there are none."""
    files = [line["peaks"] for line in _lines(asked.elsewhere) if line["factor"] == factor]
    joined: Path = asked.work / f"{factor}{ELSEWHERE}.narrowPeak"
    if files and not joined.exists():
        with open(joined.with_suffix(".part"), "wb") as out:
            for file in files:
                with gzip.open(file) as stream:
                    shutil.copyfileobj(stream, out)
        joined.with_suffix(".part").replace(joined)
    return joined if files else None


def experiments(asked: argparse.Namespace, cell: Cell, *, more: bool) -> dict[str, str]:
    """Name the columns of labels and their files: factors, then the same in other cell types."""
    columns = dict(cell.peaks)
    if more:
        others = {factor: elsewhere(asked, factor) for factor in cell.peaks}
        columns |= {f"{name}{ELSEWHERE}": str(path) for name, path in others.items() if path}
    return columns


def labelled(asked: argparse.Namespace, cell: Cell, part: str) -> Path:
    """Label all bins of a part: train, validate or test."""
    region = {"train": asked.train_region, "validate": asked.validate, "test": asked.test}[part]
    columns = experiments(asked, cell, more=part != "test")
    return make(
        asked.work / f"{cell.name}.{part}.bed",
        tfbind("bin", asked.genome, "--region", region),
        tfbind("label", *(w for n, f in columns.items() for w in ("--experiment", f"{n}={f}"))),
    )


def sampled(asked: argparse.Namespace, cell: Cell, part: str, seed: int, hard: Path | None) -> Path:
    """Choose the bins of a seed's tiles; hard negatives are of the training part alone."""
    drawn = asked.background if part == "train" else asked.background // 10
    words: list[object] = ["--accessible", cell.accessible, "--seed", seed]
    if hard is not None:
        drawn -= HARD
        words += ["--hard", hard, "--hard-count", HARD]
        words += ["--fasta", asked.genome, "--signal", cell.signal]
    name = f"{cell.name}.{part}.seed{seed}{'.' + hard.stem if hard else ''}.sampled.bed"
    words += ["--background", drawn]
    path: Path = asked.work / name
    with LOCKS[path]:
        return make(path, tfbind("sample", labelled(asked, cell, part), *words))


def tiles(
    asked: argparse.Namespace, cell: Cell, part: str, seed: int, motifs: str, hard: Path | None
) -> Path:
    """Put the genome under them, with the motifs that are wanted."""
    bins = sampled(asked, cell, part, seed, hard)
    names = ",".join(experiments(asked, cell, more=True))
    source = ("--fasta", asked.genome, "--signal", cell.signal, "--cell", cell.name)
    channels = ("--channel", f"motif={asked.work / f'{motifs}.meme'}", "--channel", "shape")
    path = bins.with_name(f"{bins.stem}.{motifs}.tiles")
    with LOCKS[path]:
        return make(path, tfbind("features", bins, *source, *channels, "--names", names))


def tasks_of(asked: argparse.Namespace, cell: Cell, row: Row) -> list[list[str]]:
    """Give the tasks of each network of a row."""
    more = [name for name in experiments(asked, cell, more=True) if name.endswith(ELSEWHERE)]
    groups = [[factor] for factor in cell.peaks] if row.each else [list(cell.peaks)]
    if row.elsewhere:
        groups = [[*one, *(name for name in more if name.split(".")[0] in one)] for one in groups]
    return groups


def trained(
    asked: argparse.Namespace, cell: Cell, row: Row, seed: int, tasks: Sequence[str]
) -> Path:
    """Train a network and export it."""
    alone = f".{tasks[0]}" if row.each else ""
    stem = f"{asked.work / cell.name}.seed{seed}.{row.arch}{alone}.{row.digest}"
    onnx = Path(f"{stem}.onnx")
    with LOCKS[onnx]:
        if not onnx.exists():
            make_model = _join if row.joins else _train
            make_model(asked, cell, row, seed, tasks, Path(f"{stem}.part.onnx"))
            Path(f"{stem}.part.onnx").replace(onnx)
    return onnx


def _join(
    asked: argparse.Namespace, cell: Cell, row: Row, seed: int, tasks: Sequence[str], part: Path
) -> None:
    models, weights = [], []
    for name, weight in row.joins:
        for some in tasks_of(asked, cell, ROWS[name]):
            models.append(trained(asked, cell, ROWS[name], seed, some))
            weights.append(str(weight))
    pipe(tfbind("ensemble", *models, "--weights", ",".join(weights), "--force", "-o", part))


def _train(
    asked: argparse.Namespace, cell: Cell, row: Row, seed: int, tasks: Sequence[str], part: Path
) -> None:
    stem = str(part).removesuffix(".part.onnx")
    hard = trained(asked, cell, MINER, seed, tasks_of(asked, cell, MINER)[0]) if row.hard else None
    network = dict(row.network)
    if row.elsewhere:
        network["from_sequence"] = sum(task.endswith(ELSEWHERE) for task in tasks)
    lines = [f"{key} = {json.dumps(value)}" for key, value in network.items()]
    config = Path(f"{stem}.toml")
    config.write_text("\n".join(["[network]", *lines, ""]))
    words = [asked.work / "own.meme" if word == "own" else word for word in row.options]
    words += ["--arch", row.arch, "--inputs", row.inputs, "--tasks", ",".join(tasks)]
    words += ["--config", config, "--seed", seed]
    words += ["--validate", tiles(asked, cell, "validate", seed, row.motifs, None)]
    words += ["--threads", 1, "--force", "-o", f"{stem}.keras"]
    pipe(tfbind("train", tiles(asked, cell, "train", seed, row.motifs, hard), *words))
    pipe(tfbind("export", f"{stem}.keras", "--both-strands", "--force", "-o", part))


def measured(
    asked: argparse.Namespace, cell: Cell, name: str, row: Row, seed: int
) -> Iterator[Result]:
    """Train the networks of a row, and measure them in each cell that has a factor of theirs."""
    cells = cells_of(asked.samples)
    for tasks in tasks_of(asked, cell, row):
        model = trained(asked, cell, row, seed, tasks)
        for target in cells.values():
            factors = [task for task in tasks if task in target.peaks]
            if not factors:
                continue
            scores = make(
                model.with_suffix(f".{target.name}.bed"),
                tfbind("bin", asked.genome, "--region", asked.test),
                tfbind(
                    *("score", model, "--fasta", asked.genome, "--signal", target.signal),
                    *("--format", "bed", "--threads", 1),
                ),
            )
            yield from compared(asked, scores, (name, cell, target, seed), tasks, factors)


def compared(
    asked: argparse.Namespace,
    scores: Path,
    what: tuple[str, Cell, Cell, int],
    tasks: Sequence[str],
    factors: Sequence[str],
) -> Iterator[Result]:
    """Compare scores with labels, both in the order of the bins."""
    name, cell, target, seed = what
    known = labelled(asked, target, "test")
    with open(known, "rb") as stream:
        bins = read_intervals(stream, known)
    given = np.loadtxt(scores, usecols=range(3, 3 + len(tasks)), ndmin=2, dtype=np.float32)
    for factor in factors:
        labels = labels_of(bins, str(known), 4 + list(target.peaks).index(factor))
        column = given[:, tasks.index(factor)]
        found = ranked(column[labels == BOUND], column[labels == UNBOUND])
        yield Result(
            *(name, cell.name, target.name, factor, seed, found.bound_total),
            *(found.auroc, found.auprc_davis_goadrich),
            *(found.recall_at_fdr(0.1), found.recall_at_fdr(0.5)),
        )


def options() -> argparse.ArgumentParser:
    about, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--genome", required=True, metavar="FASTA", help="plain or BGZF")
    add("--samples", type=Path, required=True, metavar="TSV", help="cells to learn and measure in")
    add("--elsewhere", type=Path, required=True, metavar="TSV", help="peaks of other cells")
    add("--motifs", type=Path, required=True, metavar="MEME", help="a file of motifs")
    add("--own", type=Path, required=True, metavar="FILE", help="identifiers, one a factor")
    add("--all", type=Path, required=True, metavar="FILE", help="identifiers for best")
    add("--train-region", required=True, metavar="REGION", help="learnt from")
    add("--validate", required=True, metavar="REGION", help="chooses the best epoch")
    add("--test", required=True, metavar="REGION", help="measured on, and never learnt from")
    add("--background", type=int, default=60_000, metavar="BINS", help="a cell, not open")
    add("--seeds", type=seeds, default="1,2,3", metavar="A,B", help="default: %(default)s")
    add("--parts", action="store_true", help="what each part of best brings")
    add("--train-in", nargs="*", metavar="CELL", help="learn in these alone; default: all")
    add("--only", nargs="*", metavar="ROW", help="these rows; default: all")
    add("--jobs", type=int, default=2, metavar="N", help="networks at a time; default: 2")
    add("--work", type=Path, required=True, metavar="FOLDER", help="tiles and models are kept here")
    add("--json", type=Path, metavar="FILE", help="write every result here too")
    return parser


def main() -> None:
    asked = options().parse_args()
    refuse_shared(asked)
    root = Path(tfbind_package.__file__).parent
    asked.files = digest_of([asked.samples, asked.elsewhere, asked.own, asked.all])
    cli, rows_of = Path(tfbind_cli.__file__).parent, Path(__file__).with_name("contestants.py")
    asked.sources = digest_of([*root.rglob("*.py"), *cli.glob("*.py"), rows_of, Path(__file__)])
    keep_settings(asked, FREE)
    for name in ("own", "all"):
        write_motifs(asked.motifs, getattr(asked, name).read_text().split(), asked.work, name)
    known = PARTS if asked.parts else ROWS
    rows = {name: row for name, row in known.items() if name in (asked.only or known)}
    work = [
        (cell, name, row, seed)
        for seed in asked.seeds
        for name, row in rows.items()
        for cell in cells_of(asked.samples).values()
        if cell.name in (asked.train_in or (cell.name,))
    ]
    for cell, _, row, seed in work:  # what several runs share is made before they begin
        labelled(asked, cell, "test")
        for part in ("train", "validate"):
            tiles(asked, cell, part, seed, row.motifs, None)

    def run(one: tuple[Cell, str, Row, int]) -> list[Result]:
        found = list(measured(asked, *one))
        mean = statistics.mean(result.auprc for result in found)
        print(f"{one[1]}, {one[0].name}, seed {one[3]}: {mean:.4f}", file=sys.stderr, flush=True)
        return found

    try:
        with ThreadPoolExecutor(asked.jobs) as pool:
            results = [result for found in pool.map(run, work) for result in found]
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with status {error.returncode}: {error.cmd[-1]}")
    print(table(results, list(rows), (PLAIN,) if asked.parts else OURS))
    if asked.json:
        listed: list[dict[str, Any]] = [one._asdict() for one in results]
        asked.json.write_text(json.dumps(listed, indent=1) + "\n")


def write_motifs(source: Path, names: Sequence[str], work: Path, name: str) -> None:
    """Write some motifs of a MEME file into one of their own, as they stand there."""
    chosen = {one.name for one in choose(read_motifs(source), names, source)}
    head, *sections = source.read_text().split("\nMOTIF ")
    kept = [part for part in sections if part.split(maxsplit=1)[0] in chosen]
    (work / f"{name}.meme").write_text("\nMOTIF ".join([head, *kept]) + "\n")


if __name__ == "__main__":
    main()
