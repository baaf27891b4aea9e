"""Learn a factor with one input more each time, as in Table 4 of the thesis.

Sequence; with DNase; with shape; with the cell types' expression. Tiles of all cells are learnt
from together on one part of the genome; each cell is then measured on another part, by the
program's own pipes, once a seed. The same tiles serve all rows of a seed.

A folder of work belongs to one set of options, and what it holds already is kept: more seeds cost
only themselves. In one line:

    python benchmarks/ablation.py --genome hg19.fa.gz --expression cells.tsv \
        --cell HeLa-S3 HeLa.dnase.bw HeLa.dnase.narrowPeak.gz HeLa.ctcf.gz HeLa.relaxed.gz \
        --cell K562 K562.dnase.bw K562.dnase.narrowPeak.gz K562.ctcf.gz K562.relaxed.gz \
        --train-region chrX:1-55000000 --validate chrX:55000001-60000000 \
        --test chrX:60000001-69999930 --seeds 1,2 --work ctcf --json ctcf.json
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from cross_cell import (
    COLUMNS,
    Metrics,
    TrainCell,
    label,
    make,
    measured,
    pipe,
    seeds,
    spread,
    tfbind,
)

ROWS = {
    "sequence": "sequence",
    "+ DNase": "sequence,dnase",
    "+ shape": "sequence,dnase,shape",
    "+ expression": "sequence,dnase,shape,expression",
}


def tiles(asked: argparse.Namespace, cell: TrainCell, seed: int) -> Path:
    """Make one cell's tiles, which hold all inputs."""
    regions = ("--region", asked.train_region, "--region", asked.validate)
    chosen = ("--accessible", cell.accessible, "--background", asked.background)
    inputs = ("--signal", f"dnase={cell.dnase}", "--channel", "shape")
    return make(
        asked.work / f"{cell.name}.seed{seed}.tiles",
        tfbind("bin", asked.genome, *regions),
        label(cell),
        tfbind("sample", *chosen, "--holdout", asked.test, "--seed", seed),
        tfbind(
            *("features", "--fasta", asked.genome, *inputs, "--cell", cell.name),
            *("--expression", asked.expression),
        ),
    )


def model(asked: argparse.Namespace, inputs: str, seed: int) -> Path:
    """Train on the tiles of all cells, and export."""
    stem = asked.work / f"seed{seed}.{inputs.replace(',', '+')}"
    onnx = Path(f"{stem}.onnx")
    if not onnx.exists():
        files = [tiles(asked, cell, seed) for cell in asked.cells]
        options = ("--inputs", inputs, "--seed", seed, "--epochs", asked.epochs)
        keras = f"{stem}.keras"
        validate = ("--validate", asked.validate)
        pipe(tfbind("train", *files, *options, *validate, "--force", "-o", keras))
        pipe(tfbind("export", keras, "--both-strands", "-o", onnx))
    return onnx


def measure(asked: argparse.Namespace, cell: TrainCell, inputs: str, seed: int) -> Metrics:
    """Score and evaluate one cell's bins of the part that was held out."""
    bins = tfbind("bin", asked.genome, "--region", asked.test)
    labels = make(asked.work / f"{cell.name}.test.bed", bins, label(cell))
    signal = ("--signal", f"dnase={cell.dnase}") if "dnase" in inputs else ()
    named = ("--cell", cell.name) if "expression" in inputs else ()
    scored = ("score", model(asked, inputs, seed), "--fasta", asked.genome, *signal, *named)
    return measured(
        pipe(
            bins,
            tfbind(*scored, "--format", "bed"),
            tfbind("evaluate", "--labels", labels, "--json"),
        ),
        seed=seed,
    )


def table(results: dict[str, dict[str, list[Metrics]]]) -> str:
    """Lay out the results as Markdown, a table a cell and a row for each set of inputs."""
    lines = []
    for cell, rows in results.items():
        first = next(iter(rows.values()))[0]
        lines += [
            f"{cell}: {first['bound']:,} bound and {first['unbound']:,} unbound bins, "
            f"{first['ambiguous_dropped']:,} ambiguous left out",
            "",
            f"| inputs | {' | '.join(COLUMNS)} | seeds |",
            "|---|" + "---:|" * (len(COLUMNS) + 1),
        ]
        for name, runs in rows.items():
            shown = [spread([run[key] for run in runs]) for key in COLUMNS.values()]
            lines.append(f"| {name} | {' | '.join(shown)} | {len(runs)} |")
        lines.append("")
    return "\n".join(lines)


def options() -> argparse.ArgumentParser:
    about, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    files = ("NAME", "DNASE.bw", "DNASE.narrowPeak", "CONSERVATIVE", "RELAXED")
    add("--genome", required=True, metavar="FASTA", help="plain or BGZF")
    add("--expression", required=True, metavar="TSV", help="a line for each cell")
    add("--cell", nargs=5, action="append", required=True, metavar=files, help="two or more")
    add("--train-region", required=True, metavar="REGION", help="regions, parted by commas")
    add("--validate", required=True, metavar="REGION", help="chooses the best epoch")
    add("--test", required=True, metavar="REGION", help="measured on, and never learnt from")
    add("--background", type=int, default=50_000, metavar="BINS", help="a cell, not open")
    add("--epochs", type=int, default=40, metavar="N", help="most passes; default: %(default)s")
    add("--seeds", type=seeds, default="1,2", metavar="A,B", help="default: %(default)s")
    add("--work", type=Path, required=True, metavar="FOLDER", help="tiles and models are kept here")
    add("--json", type=Path, metavar="FILE", help="write every run's metrics here too")
    return parser


def main() -> None:
    asked = options().parse_args()
    asked.cells = [TrainCell(*one) for one in asked.cell]
    asked.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, list[Metrics]]] = {cell.name: {} for cell in asked.cells}
    try:
        for seed in asked.seeds:
            for name, inputs in ROWS.items():
                for cell in asked.cells:
                    found = measure(asked, cell, inputs, seed)
                    results[cell.name].setdefault(name, []).append(found)
                    shown = ", ".join(f"{one} {found[key]:.4f}" for one, key in COLUMNS.items())
                    print(f"seed {seed}, {cell.name}, {name}: {shown}", file=sys.stderr, flush=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with status {error.returncode}: {error.cmd[-1]}")
    print(table(results))
    if asked.json:
        asked.json.write_text(json.dumps(results, default=str, indent=2) + "\n")


if __name__ == "__main__":
    main()
