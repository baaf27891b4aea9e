"""The Snakemake study of examples/study, run for real on a little of the example data."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="the study trains: pip install 'tfbind[train]'")

from conftest import ROOT, Tfbind, environment

from tfbind.tilefiles import TileFile

STUDY = ROOT / "examples" / "study"
TEST = "chrX:52900001-53400000"
VALIDATE = "chrX:47000001-48000000"
TRACK = "chrX:53300001-53500000"
SMALL = {
    # What is measured lies within what could be learnt from.
    "regions": {
        "train": ["chrX:46000001-49000000", "chrX:52000001-54000000"],
        "validate": [VALIDATE],
        "test": [TEST],
        "track": [TRACK],
    },
    "targets": ["K562", "unknown"],
    "background": 1000,
    "epochs": 1,
    "shards": 3,
    "threads": {"train": 1, "score": 1},
}


@dataclass(frozen=True)
class Study:
    """Where a study ran, and how to run Snakemake there again."""

    folder: Path
    fasta: Path

    def snakemake(self, *args: str) -> str:
        """Run Snakemake in the folder; the test fails with its words where it does."""
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        # Jobs find the program that belongs to this Python, whatever else is installed.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        program = [sys.executable, "-m", "snakemake", "--cores", "2"]
        done = subprocess.run(
            [*program, "--snakefile", str(STUDY / "workflow" / "Snakefile"), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(cache) | {"PATH": path},
            cwd=self.folder,
            timeout=280,
            check=False,
        )
        logs = "".join(log.read_text() for log in (self.folder / "logs").rglob("*.log"))
        assert done.returncode == 0, f"{done.stdout}\n{logs}"
        return done.stdout


def samples_of_the_example(data: Path) -> list[dict[str, str]]:
    """Read the study's own table, its files seen from anywhere."""
    with open(STUDY / "config" / "samples.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        {name: text.replace("../data", str(data)) for name, text in row.items()} for row in rows
    ]


def lay_out(folder: Path, data: Path) -> Study:
    """Write a smaller configuration than the example's, with a cell of which no peaks are known."""
    rows = samples_of_the_example(data)
    unknown = rows[1] | {"cell": "unknown", "conservative": "", "relaxed": ""}
    (folder / "config").mkdir()
    with open(folder / "config" / "samples.tsv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0], delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows([*rows, unknown])
    fasta = data / "hg19.chrX_cut.fa.gz"
    settings = SMALL | {"samples": "config/samples.tsv", "fasta": str(fasta)}
    # JSON is YAML.
    (folder / "config" / "config.yaml").write_text(json.dumps(settings))
    return Study(folder, fasta)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Study:
    done = lay_out(tmp_path_factory.mktemp("study"), data)
    done.snakemake()
    return done


@pytest.fixture(scope="module")
def table(study: Study) -> list[dict[str, str]]:
    with open(study.folder / "results" / "table.tsv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def scored(tfbind: Tfbind, study: Study, data: Path, region: str, form: str) -> bytes:
    """Score CTCF in K562 at one go."""
    model = study.folder / "results" / "models" / "CTCF" / "without-K562.onnx"
    bins = tfbind("bin", study.fasta, "--region", region).stdout
    signal = f"dnase={data / 'K562.dnase.bw'}"
    done = tfbind(
        *("score", model, "--fasta", study.fasta, "--signal", signal),
        *("--format", form, "--device", "cpu"),
        stdin=bins,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_a_row_for_each_cell_and_factor_with_peaks(table: list[dict[str, str]]) -> None:
    assert [(row["factor"], row["cell"], row["learnt_in"]) for row in table] == [
        ("CTCF", "K562", "HeLa-S3"),
        ("TAF1", "K562", "HeLa-S3"),
    ]
    # (500,000 - 200) / 50 + 1 bins lie wholly inside.
    assert [row["bins"] for row in table] == ["9997"] * 2
    # Open promoters bind TAF1: one epoch is enough to see it.
    assert float(table[1]["auroc"]) > 0.9


def test_a_row_is_what_evaluate_says_of_the_cell(
    study: Study, table: list[dict[str, str]], tfbind: Tfbind, data: Path
) -> None:
    peaks = [data / f"K562.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]
    scores = scored(tfbind, study, data, TEST, "bed").split(b"\n", 1)[1]
    bins = b"".join(line.rpartition(b"\t")[0] + b"\n" for line in scores.splitlines())
    labelled = tfbind("label", "--conservative", peaks[0], "--relaxed", peaks[1], stdin=bins)
    values = [line.rpartition(b"\t")[2] for line in scores.splitlines()]
    lines = zip(labelled.stdout.splitlines(), values, strict=True)
    told = tfbind("evaluate", "--json", stdin=b"".join(b"%b\t%b\n" % line for line in lines))
    measures = json.loads(told.stdout)
    row = next(row for row in table if (row["factor"], row["cell"]) == ("CTCF", "K562"))
    assert {name: float(row[name]) for name in list(row)[3:]} == {
        name: measures[name] for name in list(row)[3:]
    }


@pytest.mark.parametrize(("form", "region"), [("bed", TEST), ("bedgraph", TRACK)])
def test_shards_joined_are_the_whole(
    study: Study, tfbind: Tfbind, data: Path, form: str, region: str
) -> None:
    joined = (study.folder / "results" / "scores" / "CTCF" / f"K562.{form}").read_bytes()
    assert joined == scored(tfbind, study, data, region, form)


def test_a_network_never_saw_the_cell_it_is_measured_in(study: Study) -> None:
    import onnx

    from tfbind.contract import METADATA_KEY, Contract

    contracts = {}
    for path in (study.folder / "results" / "models").rglob("*.onnx"):
        kept = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        contracts[path.parent.name, path.stem] = Contract.from_json(kept[METADATA_KEY], path)
    assert {name: (model.tasks, model.cells) for name, model in contracts.items()} == {
        ("CTCF", "without-K562"): (("CTCF",), ("HeLa-S3",)),
        ("CTCF", "without-none"): (("CTCF",), ("HeLa-S3", "K562")),
        ("TAF1", "without-K562"): (("TAF1",), ("HeLa-S3",)),
    }
    assert {model.held_out for model in contracts.values()} == {(VALIDATE,)}


def test_tiles_leave_out_what_is_measured(data: Path, tmp_path: Path) -> None:
    study = lay_out(tmp_path, data)
    study.snakemake("--notemp", "results/tiles/TAF1/HeLa-S3.tiles")
    tiles = TileFile(tmp_path / "results" / "tiles" / "TAF1" / "HeLa-S3.tiles")
    numbers = np.concatenate([np.arange(bins) for bins in tiles.bins])
    starts = np.repeat(tiles.starts, tiles.bins) + 50 * numbers
    learnt = starts[tiles.labels()[0] > 0]
    assert len(learnt) > 1000
    assert not np.any((learnt < 53_400_000) & (learnt + 200 > 52_900_000))


def test_a_cell_without_peaks_is_predicted(study: Study) -> None:
    scores = (study.folder / "results" / "scores" / "CTCF" / "unknown.bed").read_text()
    first, *lines = scores.splitlines()
    assert "model=without-none.onnx" in first.split("\t")
    assert len(lines) == 9997


def test_what_is_big_does_not_stay(study: Study) -> None:
    kept = {path.name for path in (study.folder / "results").iterdir()}
    assert kept == {"table.tsv", "evaluation", "models", "networks", "scores"}


def test_a_second_run_does_nothing(study: Study) -> None:
    assert "Nothing to be done" in study.snakemake()


def test_lint_finds_nothing(study: Study) -> None:
    assert "your workflow is in a good condition" in study.snakemake("--lint")


def test_the_example_as_it_stands_can_be_planned(data: Path, tmp_path: Path) -> None:
    """The configuration that the README runs names only files that there are."""
    shutil.copytree(STUDY / "config", tmp_path / "study" / "config")
    (tmp_path / "data").symlink_to(data)
    plan = Study(tmp_path / "study", data).snakemake("--dry-run")
    assert re.search(r"^train +4$", plan, re.MULTILINE)
