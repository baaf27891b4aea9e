"""Start sites learnt from CAGE peaks, whole and with parts of the window blank (Table 10).

Windows around the peaks of one part of the genome, and nine of background for each, are learnt
from; those of another part are scored. A row of the table is a network: the thesis', the same with
a recurrent layer, and the thesis' learnt and tested with all blank but the TATA box, the centre, or
the stretch from the one to the other. Also told: how many bins a second are scored at every base of
both strands, six tracks, beside one window a bin.

A folder of work belongs to one set of options, and what it holds already is kept. In one line:

    python benchmarks/tss.py --genome hg19.fa.gz --cage cage.bed.gz --learn chrX:1-60000000 \
        --test chrX:60000001-69999930 --rate chrX:65000001-65500000 --seeds 1,2,3 --work tss
"""

import argparse
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from cross_cell import make, pipe, seeds, spread, tfbind

ROWS: dict[str, tuple[str, str]] = {
    "entire input": ("tss", ""),
    "TATA box, -35 to -20": ("tss", "-35:-20"),
    "centre, -10 to +10": ("tss", "-10:10"),
    "TATA box + centre, -35 to +10": ("tss", "-35:10"),
    "both, between them blank": ("tss", "-35:-20,-10:10"),
    "entire input, recurrent": ("tss-lstm", ""),
}
"""By name: the architecture, and what is kept of the window."""

THESIS = {
    "entire input": (0.954, 0.944, 0.798, 0.545, 0.889, 0.806),
    "TATA box, -35 to -20": (0.813, 0.787, 0.680, 0.362, 0.769, 0.671),
    "centre, -10 to +10": (0.909, 0.898, 0.750, 0.479, 0.844, 0.740),
    "TATA box + centre, -35 to +10": (0.937, 0.925, 0.788, 0.540, 0.870, 0.780),
}
"""Table 10: AUROC and AUPRC of background, sharp and broad, each against the others."""

CLASSES = ("background", "sharp", "broad")
MEASURES = ("auroc", "auprc_davis_goadrich")

Metrics = dict[str, Any]


def windows(asked: argparse.Namespace, part: str, seed: int) -> Path:
    """Lay labelled windows in a part of the genome."""
    region = asked.learn if part == "learn" else asked.test
    cage, where = ("--cage", asked.cage), ("--fasta", asked.genome, "--region", region)
    return make(
        asked.work / f"{part}.seed{seed}.bed",
        tfbind("sample", *cage, *where, "--seed", seed),
        tfbind("label", *cage),
    )


def model(asked: argparse.Namespace, row: str, seed: int) -> Path:
    """Train and export."""
    arch, keep = ROWS[row]
    stem = asked.work / f"seed{seed}.{arch}{keep.replace(':', '_').replace(',', '+')}"
    onnx = Path(f"{stem}.onnx")
    if not onnx.exists():
        tiles = make(
            asked.work / f"learn.seed{seed}.tiles",
            tfbind(
                *("features", windows(asked, "learn", seed), "--fasta", asked.genome),
                *("--window", 200, "--stride", 1),
            ),
        )
        kept = (f"--keep={keep}",) if keep else ()
        options = ("--arch", arch, "--seed", seed, *kept, "--force", "-o", f"{stem}.keras")
        pipe(tfbind("train", tiles, *options))
        pipe(tfbind("export", f"{stem}.keras", "-o", onnx))
    return onnx


def measure(asked: argparse.Namespace, row: str, seed: int) -> Metrics:
    """Score the windows that were held out."""
    scored = make(
        model(asked, row, seed).with_suffix(".bed"),
        tfbind(
            *("score", model(asked, row, seed), windows(asked, "test", seed)),
            *("--fasta", asked.genome, "--format", "bed"),
        ),
    )
    told = pipe(tfbind("evaluate", scored, "--classes", ",".join(CLASSES), "--json"))
    found: Metrics = json.loads(told)
    return found


def rates(asked: argparse.Namespace) -> list[str]:
    """Score every base of both strands to six tracks, scanned and by windows, in turn."""
    onnx = model(asked, "entire input", asked.seeds[0])
    bins = tfbind("bin", asked.genome, "--region", asked.rate, "--stride", 1, "--strand", "both")
    told = []
    for how in ((), ("--windows",)):
        out = asked.work / "rate.{task}.{strand}.bw"
        score = tfbind("score", onnx, "--fasta", asked.genome, "--force", "-o", out, *how)
        line = ["bash", "-o", "pipefail", "-c", f"{bins} | {score}"]
        scored = subprocess.run(line, stderr=subprocess.PIPE, text=True, check=True)
        rate = re.search(r"([\d,]+) bins in .* s, ([\d,]+) bins/s", scored.stderr)
        if rate is None:
            raise ValueError(f"no rate in {scored.stderr!r}")
        told.append(f"{'windows' if how else 'scan'}: {rate[1]} bins, {rate[2]} bins/s")
    return told


def shown(row: str, found: list[Metrics]) -> str:
    """Write a row: here, and in the thesis."""
    here = [
        spread([one["classes"][name][measure] for one in found])
        for name in CLASSES
        for measure in MEASURES
    ]
    there = [f"{one:.3f}" for one in THESIS[row]] if row in THESIS else ["-"] * len(here)
    cells = (f"{one} ({other})" for one, other in zip(here, there, strict=True))
    return f"| {row} | {' | '.join(cells)} |"


def main() -> None:
    """Run all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("genome", "cage", "learn", "test", "rate"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seeds", type=seeds, default=[1, 2, 3])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    heads = (f"{name}: {what}" for name in CLASSES for what in ("AUROC", "AUPRC"))
    print(f"| kept, here (thesis) | {' | '.join(heads)} |")
    print("|---|" + "---:|" * (len(CLASSES) * len(MEASURES)))
    results = {}
    for row in ROWS:
        results[row] = [measure(asked, row, seed) for seed in asked.seeds]
        print(shown(row, results[row]), flush=True)
    first = results["entire input"][0]["classes"]
    print(f"\nheld out, seed {asked.seeds[0]}: {[(n, first[n]['bins']) for n in CLASSES]}")
    print("\n".join(rates(asked)))
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
