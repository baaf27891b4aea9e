"""Write a row for each cell and factor that was measured; Snakemake gives the files."""
# ruff: noqa: F821 - snakemake is put into this script when it runs

import csv
import json
from pathlib import Path

MEASURES = [
    "bins",
    "bound",
    "unbound",
    "ambiguous_dropped",
    "auroc",
    "auprc_davis_goadrich",
    "recall_at_10_fdr",
    "recall_at_50_fdr",
]

rows = [
    row | json.loads(Path(path).read_text())
    for row, path in zip(snakemake.params.rows, snakemake.input, strict=True)
]
with open(snakemake.output[0], "w", newline="") as file:
    table = csv.DictWriter(
        file,
        ["factor", "cell", "learnt_in", *MEASURES],
        delimiter="\t",
        lineterminator="\n",
        extrasaction="ignore",
    )
    table.writeheader()
    table.writerows(rows)
