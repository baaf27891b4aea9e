"""Inputs of every kind through the whole pipe: features, train, export, score."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from conftest import Tfbind, Trained
from typer.testing import CliRunner

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import onnx

from tfbind.channels import CHANNELS, Sources
from tfbind.channels.base import Array, Channel, GraphChannel, Lookup, Reader
from tfbind.contract import METADATA_KEY, Contract, Input
from tfbind.tilefiles import TileFile

EXPRESSION = "cell\tMYC\tJUN\nHeLa-S3\t1\t5\nK562\t3\t2\nA549\t8\t0\n"
MOTIF = """MEME version 4

ALPHABET= ACGT

MOTIF E-box
letter-probability matrix: alength= 4 w= 6
 0.01 0.97 0.01 0.01
 0.97 0.01 0.01 0.01
 0.01 0.97 0.01 0.01
 0.01 0.01 0.97 0.01
 0.01 0.01 0.01 0.97
 0.01 0.01 0.97 0.01
"""
OTHER = {"HeLa-S3": "K562", "K562": "HeLa-S3"}
"""A second real track: the DNase of the other cell type."""


@dataclass(frozen=True)
class Everything:
    """A network of all kinds of input, trained for an epoch on two cell types."""

    folder: Path
    env: dict[str, str]
    bins: bytes

    @property
    def model(self) -> Path:
        return self.folder / "all.onnx"

    @property
    def table(self) -> Path:
        return self.folder / "cells.tsv"


@pytest.fixture(scope="module")
def everything(
    tfbind: Tfbind,
    data: Path,
    sources_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Everything:
    folder = tmp_path_factory.mktemp("everything")
    env = {"TFBIND_FASTA": sources_env["TFBIND_FASTA"]}

    def run(*args: str | Path, stdin: bytes = b"") -> bytes:
        done = tfbind(*args, stdin=stdin, env=env)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    (folder / "cells.tsv").write_text(EXPRESSION)
    (folder / "e-box.meme").write_text(MOTIF)
    bins = run("bin", "--region", "chrX:46000001-49000000")
    for cell in ("HeLa-S3", "K562"):
        peaks = data / f"{cell}.CTCF.conservative.narrowPeak.gz"
        open_chromatin = data / f"{cell}.dnase.narrowPeak.gz"
        labelled = run("label", "--conservative", peaks, stdin=bins)
        chosen = run(
            *("sample", "--accessible", open_chromatin, "--background", "1000"), stdin=labelled
        )
        run(
            *("features", "--signal", f"dnase={data / f'{cell}.dnase.bw'}", "--cell", cell),
            *("--signal", f"other={data / f'{OTHER[cell]}.dnase.bw'}"),
            *("--channel", "shape", "--channel", f"motif={folder / 'e-box.meme'}"),
            *("--expression", folder / "cells.tsv", "-o", folder / f"{cell}.tiles"),
            stdin=chosen,
        )
    tiles = [folder / f"{cell}.tiles" for cell in ("HeLa-S3", "K562")]
    steps = ("--transform", "dnase=clip:60,percentile:90,log1p,zscore", "--transform", "other=rank")
    epochs = ("--epochs", "1", "--validate", "chrX:48000001-49000000")
    run("train", *tiles, *steps, *epochs, "-o", folder / "all.keras")
    run("export", folder / "all.keras", "-o", folder / "all.onnx")
    few = run("bin", "--region", "chrX:48500001-48600000")
    signals = f"dnase={data / 'K562.dnase.bw'},other={data / 'HeLa-S3.dnase.bw'}"
    return Everything(folder, env | {"TFBIND_SIGNAL": signals}, few)


def scores(text: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return np.array([float(line.split("\t")[3]) for line in lines])


def contract(path: Path) -> Contract:
    props = {one.key: one.value for one in onnx.load(path).metadata_props}
    return Contract.from_json(props[METADATA_KEY], path)


def test_tiles_hold_by_the_base_only_what_must_be_read(everything: Everything) -> None:
    file = TileFile(everything.folder / "K562.tiles")
    assert [spec.name for spec in file.contents.inputs] == [
        "sequence", "dnase", "other", "shape", "motif", "expression"
    ]  # fmt: skip
    tile = file.tile(0)
    assert set(tile.inputs) == {"sequence", "dnase", "other", "expression"}
    assert tile.inputs["expression"].tolist() == [3, 2]
    assert 0 < file.contents.signals["dnase"].covered < 0.1
    assert len(file.contents.signals["dnase"].quantiles) == 101


def test_the_contract_holds_every_transform(everything: Everything) -> None:
    inputs = {spec.name: spec for spec in contract(everything.model).inputs}
    dnase = inputs["dnase"]
    files = [TileFile(everything.folder / f"{cell}.tiles") for cell in ("HeLa-S3", "K562")]
    assert dnase.trained == tuple(one.contents.signals["dnase"] for one in files)
    quantiles = np.mean([one.quantiles for one in dnase.trained], axis=0)
    others = [one.quantiles for one in inputs["other"].trained]
    np.testing.assert_allclose(inputs["other"].ranks, np.mean(others, axis=0))
    assert inputs["other"].transform == "none"
    assert (dnase.clip, dnase.transform) == (60, "log1p")
    assert dnase.scale == pytest.approx(quantiles[90])
    assert isinstance(dnase.mean, float)
    assert dnase.deviation != 1
    assert (inputs["expression"].mean, inputs["expression"].deviation) == ((2, 3.5), (1, 1.5))
    assert inputs["expression"].table["A549"] == (8, 0)
    assert inputs["motif"].features == ("E-box",)
    assert inputs["shape"].of == "sequence"


def test_the_scan_equals_windows_with_every_channel_on(
    tfbind: Tfbind, everything: Everything
) -> None:
    common = ("score", everything.model, "--cell", "K562")
    scan = tfbind(*common, stdin=everything.bins, env=everything.env)
    windows = tfbind(*common, "--windows", stdin=everything.bins, env=everything.env)
    assert scan.returncode == windows.returncode == 0, scan.stderr
    assert len(scores(scan.stdout)) == everything.bins.count(b"\n")
    np.testing.assert_allclose(scores(scan.stdout), scores(windows.stdout), atol=1e-5)
    assert b"\tcell=K562" in scan.stdout.splitlines()[0]
    assert b"unlike" not in scan.stderr


def of(tfbind: Tfbind, everything: Everything, *options: str | Path) -> bytes:
    """Score the few bins with the model of all inputs."""
    done = tfbind("score", everything.model, *options, stdin=everything.bins, env=everything.env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options",
    [("--threads", "1"), ("--cluster", "local:2"), ("--resume",)],
    ids=["one thread", "cluster", "resume"],
)
def test_the_bytes_are_the_same_however_they_are_made(
    tfbind: Tfbind, everything: Everything, options: tuple[str, ...], tmp_path: Path
) -> None:
    common = ("--cell", "A549", "--expression", everything.table)
    whole = of(tfbind, everything, *common)
    if options == ("--resume",):
        of(tfbind, everything, *common, *options, "-o", tmp_path / "a.bedGraph")
        assert (tmp_path / "a.bedGraph").read_bytes() == whole
        return
    assert of(tfbind, everything, *common, *options) == whole


def test_few_bins_have_the_scores_they_have_among_many(
    tfbind: Tfbind, everything: Everything
) -> None:
    whole = of(tfbind, everything, "--cell", "K562", "--no-header").splitlines()
    few = b"".join(everything.bins.splitlines(keepends=True)[::7])
    done = tfbind(
        *("score", everything.model, "--cell", "K562", "--no-header"),
        stdin=few,
        env=everything.env,
    )
    assert done.stdout.splitlines() == whole[::7]


def test_half_precision_and_both_strands_take_every_input(
    tfbind: Tfbind, everything: Everything, tmp_path: Path
) -> None:
    network = everything.folder / "all.keras"
    for option, most in (("--half", 1e-2), ("--both-strands", 1.0)):
        model = tmp_path / f"{option}.onnx"
        assert tfbind("export", network, option, "-o", model).returncode == 0
        done = tfbind("score", model, "--cell", "K562", stdin=everything.bins, env=everything.env)
        assert done.returncode == 0, done.stderr
        plain = scores(of(tfbind, everything, "--cell", "K562"))
        apart = np.abs(scores(done.stdout) - plain)
        assert 0 < apart.max() < most


def test_the_cell_type_decides(tfbind: Tfbind, everything: Everything, tmp_path: Path) -> None:
    known = scores(of(tfbind, everything, "--cell", "K562"))
    apart = np.abs(known - scores(of(tfbind, everything, "--cell", "A549")))
    assert np.median(apart) > 1e-4
    (tmp_path / "other.tsv").write_text("cell\tMYC\tJUN\nmine\t3\t2\n")
    table = tmp_path / "other.tsv"
    mine = of(tfbind, everything, "--cell", "mine", "--expression", table)
    np.testing.assert_array_equal(scores(mine), known)
    assert b"\tcell=mine\tfile:expression=other.tsv" in mine.splitlines()[0]
    assert of(tfbind, everything, "--cell", "mine", "--channel", f"expression={table}") == mine


def test_a_missing_cell_type_lists_those_there_are(
    tfbind: Tfbind, everything: Everything, tmp_path: Path
) -> None:
    done = tfbind("score", everything.model, stdin=everything.bins, env=everything.env)
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.search(r"no cell type 'K562.dnase': there is A549, HeLa-S3, K562", str(done.stderr))
    (tmp_path / "other.tsv").write_text("cell\tMAX\nK562\t3\n")
    done = tfbind(
        *("score", everything.model, "--cell", "K562", "--expression", tmp_path / "other.tsv"),
        stdin=everything.bins,
        env=everything.env,
    )
    assert done.returncode == 1
    assert b"has the 1 values MAX, but the model learnt from 2, MYC, JUN" in done.stderr
    features = tfbind(
        *("features", "--cell", "HUVEC", "--expression", everything.table),
        stdin=everything.bins,
        env=everything.env,
    )
    assert features.returncode == 1
    assert b"no cell type 'HUVEC': there is A549, HeLa-S3, K562" in features.stderr


def test_what_a_model_does_not_use_is_told(
    tfbind: Tfbind, trained: Trained, everything: Everything, data: Path
) -> None:
    done = tfbind(
        *("score", trained.onnx, "--expression", everything.table, "--cell", "K562"),
        *("--signal", f"dnase={data / 'K562.dnase.bw'}"),
        stdin=everything.bins,
        env=everything.env,
    )
    assert done.returncode == 0, done.stderr
    assert b"the model does not use a file of 'expression'\n" in done.stderr
    assert b"the model does not use the cell type\n" in done.stderr


def scaled(track: Path, path: Path, times: float) -> Path:
    """Write a track again with its values multiplied."""
    with pyBigWig.open(str(track)) as plain, pyBigWig.open(str(path), "w") as out:
        out.addHeader(list(plain.chroms().items()))
        for contig in plain.chroms():
            starts, ends, values = zip(*plain.intervals(contig), strict=True)
            more = [times * value for value in values]
            out.addEntries([contig] * len(starts), list(starts), ends=list(ends), values=more)
    return path


def test_a_signal_on_another_scale_is_told_in_one_line(
    tfbind: Tfbind, everything: Everything, data: Path, tmp_path: Path
) -> None:
    """Of the signal that is only transformed; one of ranks gives the same scores on any scale."""
    path = scaled(data / "K562.dnase.bw", tmp_path / "dnase.bw", 10)
    other = scaled(data / "HeLa-S3.dnase.bw", tmp_path / "other.bw", 8)
    common = ("score", everything.model, "--cell", "K562")
    env = everything.env | {"TFBIND_SIGNAL": f"dnase={path},other={other}"}
    done = tfbind(*common, stdin=everything.bins, env=env)
    assert done.returncode == 0
    (told,) = [line for line in done.stderr.decode().splitlines() if "unlike" in line]
    assert re.search(
        r"the signal 'dnase' of .*dnase.bw is unlike the training's: its (median|\d+% quantile) "
        r"of covered bases is [\d.]+, in training [\d.]+; scores may be off", told
    )  # fmt: skip
    env = everything.env | {"TFBIND_SIGNAL": f"dnase={data / 'K562.dnase.bw'},other={other}"}
    ranked = tfbind(*common, stdin=everything.bins, env=env)
    assert b"unlike" not in ranked.stderr
    expected = scores(of(tfbind, everything, "--cell", "K562"))
    np.testing.assert_allclose(scores(ranked.stdout), expected, atol=1e-6)


class PurineChannel(GraphChannel):
    """Whether a base is a purine: made in the graph."""

    enters = "pooled"

    @classmethod
    def described(cls, argument: str | None) -> Input:
        return Input("purine", "purine", "float32", along="sequence", of="sequence")

    @property
    def graph(self) -> Lookup:
        return Lookup(np.array([[1], [0], [1], [0], [0]], np.float32))


class PeriodChannel(Channel):
    """A wave along the genome whose length stands in a file: read for each base."""

    blank = 0
    enters = "pooled"

    @classmethod
    def described(cls, argument: str | None) -> Input:
        assert argument is not None
        return Input("period", "period", "float32")

    def reader(self, sources: Sources) -> Reader:
        length = float(Path(sources.file("period")).read_text())
        return lambda contig, start, end: np.sin(np.arange(start, end) / length).astype(np.float32)

    def prepare(self, raw: Array) -> Array:
        return raw


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' saving
def test_a_new_kind_of_input_is_a_class_and_a_line_in_the_registry(
    monkeypatch: pytest.MonkeyPatch, everything: Everything, data: Path, tmp_path: Path
) -> None:
    """Two kinds that nothing else knows of go through features, train, export and score."""
    from tfbind.cli import app

    monkeypatch.setitem(CHANNELS, "purine", PurineChannel)
    monkeypatch.setitem(CHANNELS, "period", PeriodChannel)
    monkeypatch.setenv("TFBIND_FASTA", everything.env["TFBIND_FASTA"])
    monkeypatch.delenv("TFBIND_SIGNAL", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "length").write_text("70")
    (tmp_path / "bins.bed").write_bytes(everything.bins)
    labelled = b"".join(
        line + (b"\tB\n" if number % 5 == 0 else b"\tU\n")
        for number, line in enumerate(everything.bins.splitlines())
    )
    (tmp_path / "labelled.bed").write_bytes(labelled)
    for line in (
        "features labelled.bed --cell K562 --channel purine --channel period=length -o a.tiles",
        "train a.tiles --validate chrX:48550001-48600000 --epochs 1 -o a.keras",
        "export a.keras -o a.onnx",
        "score a.onnx bins.bed --channel period=length -o a.bedGraph",
        "score a.onnx bins.bed --channel period=length --windows -o windows.bedGraph",
    ):
        done = CliRunner().invoke(app, line.split(), catch_exceptions=False)
        assert done.exit_code == 0, (line, done.output)
    scan, windows = (
        scores((tmp_path / name).read_bytes()) for name in ("a.bedGraph", "windows.bedGraph")
    )
    assert np.ptp(scan) > 0
    np.testing.assert_allclose(scan, windows, atol=1e-5)
    done = CliRunner().invoke(app, ["score", "a.onnx", "bins.bed"])
    assert done.exit_code == 1
    assert "no file for the input 'period': found none; give --channel period=FILE" in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--transform sequence=log1p", "'sequence' has no transform to choose"),
        ("--transform log1p,rank", "found rank behind log1p"),
        ("--transform log1p --transform none", "--transform none: told already, log1p"),
        ("--transform dnase=none --transform dnase=zscore", "told already, none"),
        ("--transform dnase=", "found no step"),
        ("--transform tpm=zscore", "no input 'tpm', but sequence, dnase"),
        ("--inputs sequence,shape --transform zscore", "no signal among the inputs"),
    ],
)
def test_wrong_usage_of_train(
    tfbind: Tfbind, everything: Everything, options: str, message: str, tmp_path: Path
) -> None:
    tiles = everything.folder / "HeLa-S3.tiles"
    done = tfbind("train", tiles, *options.split(), "-o", tmp_path / "no.keras")
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--inputs dnase,shape", "'shape' is made from 'sequence', which is not among"),
        ("--inputs sequence,expression", "is the same in all training cells (HeLa-S3)"),
    ],
)
def test_train_refuses_what_cannot_be(
    tfbind: Tfbind, everything: Everything, options: str, message: str, tmp_path: Path
) -> None:
    tiles = everything.folder / "HeLa-S3.tiles"
    done = tfbind("train", tiles, *options.split(), "-o", tmp_path / "no.keras")
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert not list(tmp_path.iterdir())
