"""Inputs of every kind through the whole pipe: features, train, export, score."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from conftest import Tfbind

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import onnx

from tfbind.channels import CHANNELS, channel
from tfbind.channels.base import GraphChannel, Lookup
from tfbind.contract import METADATA_KEY, Contract, Geometry, Input
from tfbind.genome import Genome
from tfbind.model import Model
from tfbind.networks import shallow
from tfbind.networks.graphs import write_graph
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
HEAD = "#tfbind\t"


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
            *("--channel", "shape", "--channel", f"motif={folder / 'e-box.meme'}"),
            *("--expression", folder / "cells.tsv", "-o", folder / f"{cell}.tiles"),
            stdin=chosen,
        )
    tiles = [folder / f"{cell}.tiles" for cell in ("HeLa-S3", "K562")]
    steps = ("--transform", "dnase=clip:60,percentile:90,log1p,zscore")
    epochs = ("--epochs", "1", "--validate", "chrX:48000001-49000000")
    run("train", *tiles, *steps, *epochs, "-o", folder / "all.keras")
    run("export", folder / "all.keras", "-o", folder / "all.onnx")
    few = run("bin", "--region", "chrX:48500001-48600000")
    return Everything(folder, env | {"TFBIND_SIGNAL": f"dnase={data / 'K562.dnase.bw'}"}, few)


def scores(text: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return np.array([float(line.split("\t")[3]) for line in lines])


def contract(path: Path) -> Contract:
    props = {one.key: one.value for one in onnx.load(path).metadata_props}
    return Contract.from_json(props[METADATA_KEY], path)


def test_tiles_hold_by_the_base_only_what_must_be_read(everything: Everything) -> None:
    file = TileFile(everything.folder / "K562.tiles")
    assert [spec.name for spec in file.contents.inputs] == [
        "sequence", "dnase", "shape", "motif", "expression"
    ]  # fmt: skip
    tile = file.tile(0)
    assert set(tile.inputs) == {"sequence", "dnase", "expression"}
    assert tile.inputs["expression"].tolist() == [3, 2]
    assert 0 < file.contents.signals["dnase"].covered < 0.1
    assert len(file.contents.signals["dnase"].quantiles) == 101


def test_the_contract_holds_every_transform(everything: Everything) -> None:
    inputs = {spec.name: spec for spec in contract(everything.model).inputs}
    dnase = inputs["dnase"]
    files = [TileFile(everything.folder / f"{cell}.tiles") for cell in ("HeLa-S3", "K562")]
    quantiles = np.mean([one.contents.signals["dnase"].quantiles for one in files], axis=0)
    assert dnase.trained is not None
    np.testing.assert_allclose(dnase.trained.quantiles, quantiles)
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


def test_the_cell_type_decides(tfbind: Tfbind, everything: Everything, tmp_path: Path) -> None:
    def of(*options: str | Path) -> bytes:
        done = tfbind(
            "score", everything.model, *options, stdin=everything.bins, env=everything.env
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    known = scores(of("--cell", "K562"))
    assert (known != scores(of("--cell", "A549"))).any()
    (tmp_path / "other.tsv").write_text("cell\tMYC\tJUN\nmine\t3\t2\n")
    mine = of("--cell", "mine", "--expression", tmp_path / "other.tsv")
    np.testing.assert_array_equal(scores(mine), known)
    assert b"\tcell=mine\ttable:expression=other.tsv" in mine.splitlines()[0]


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


def test_a_table_for_a_model_that_wants_none(
    tfbind: Tfbind, trained: object, everything: Everything
) -> None:
    model = getattr(trained, "onnx")  # noqa: B009
    done = tfbind("score", model, "--expression", everything.table, stdin=b"", env=everything.env)
    assert done.returncode == 2
    assert b"the model has 0 inputs of cell types" in done.stderr


def test_a_signal_on_another_scale_is_told_in_one_line(
    tfbind: Tfbind, everything: Everything, data: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "scaled.bw")
    with pyBigWig.open(str(data / "K562.dnase.bw")) as plain, pyBigWig.open(path, "w") as scaled:
        scaled.addHeader(list(plain.chroms().items()))
        for contig in plain.chroms():
            starts, ends, values = zip(*plain.intervals(contig), strict=True)
            ten = [10.0 * value for value in values]
            scaled.addEntries([contig] * len(starts), list(starts), ends=list(ends), values=ten)
    done = tfbind(
        *("score", everything.model, "--cell", "K562", "--signal", f"dnase={path}"),
        stdin=everything.bins,
        env=everything.env,
    )
    assert done.returncode == 0
    (told,) = [line for line in done.stderr.decode().splitlines() if "unlike" in line]
    assert re.search(
        r"the signal 'dnase' of .*scaled.bw is unlike the training's: its (median|\d+% quantile) "
        r"of covered bases is [\d.]+, in training [\d.]+; scores may be off", told
    )  # fmt: skip


def test_ranks_make_scale_meaningless(
    tfbind: Tfbind, everything: Everything, data: Path, tmp_path: Path
) -> None:
    """A network trained on ranks gives the same scores to a track of ten times the height."""
    network, model = tmp_path / "rank.keras", tmp_path / "rank.onnx"
    tiles = everything.folder / "HeLa-S3.tiles"
    epochs = ("--epochs", "1", "--validate", "chrX:48000001-49000000")
    chosen = ("--inputs", "sequence,dnase", "--transform", "rank,log1p")
    assert tfbind("train", tiles, *chosen, *epochs, "-o", network).returncode == 0
    assert tfbind("export", network, "-o", model).returncode == 0
    path = str(tmp_path / "scaled.bw")
    with pyBigWig.open(str(data / "K562.dnase.bw")) as plain, pyBigWig.open(path, "w") as scaled:
        scaled.addHeader(list(plain.chroms().items()))
        for contig in plain.chroms():
            starts, ends, values = zip(*plain.intervals(contig), strict=True)
            eight = [8.0 * value for value in values]
            scaled.addEntries([contig] * len(starts), list(starts), ends=list(ends), values=eight)
    plainly = tfbind("score", model, stdin=everything.bins, env=everything.env)
    times = tfbind(
        "score", model, "--signal", f"dnase={path}", stdin=everything.bins, env=everything.env
    )
    assert b"unlike" not in times.stderr
    np.testing.assert_allclose(scores(plainly.stdout), scores(times.stdout), atol=1e-6)


class PurineChannel(GraphChannel):
    """Whether a base is a purine."""

    enters = "pooled"

    @classmethod
    def described(cls, argument: str | None) -> Input:
        return Input("purine", "purine", "float32", along="sequence", of="sequence")

    @property
    def graph(self) -> Lookup:
        return Lookup(np.array([[1], [0], [1], [0], [0]], np.float32))


def test_a_new_kind_of_input_is_a_class_and_a_line_in_the_registry(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(CHANNELS, "purine", PurineChannel)
    geometry = Geometry()
    inputs = (Input("sequence", "sequence", "uint8"), PurineChannel.described(None))
    network = shallow(inputs, geometry)
    graph = write_graph(network, ["sequence"], "scores")
    made = Contract(geometry, inputs, ("bound",))
    onnx.helper.set_model_props(graph, {METADATA_KEY: made.to_json()})
    onnx.save(graph, tmp_path / "purine.onnx")
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    codes = genome.codes(next(iter(genome.sizes)), 47_000_000, 47_000_000 + geometry.length(16))
    given = Model(tmp_path / "purine.onnx", chunk=16, device="cpu").scores({"sequence": codes}, 1)
    expected = np.asarray(network({"sequence": codes[None]}))[0]
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert channel(inputs[1]).graph is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--transform", "sequence=log1p"), "'sequence' has no transform to choose"),
        (("--transform", "log1p,rank"), "found rank behind log1p"),
        (("--inputs", "dnase,shape"), "'shape' is made from 'sequence', which is not among"),
    ],
)
def test_train_refuses_what_cannot_be(
    tfbind: Tfbind, everything: Everything, options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    tiles = everything.folder / "HeLa-S3.tiles"
    done = tfbind("train", tiles, *options, "-o", tmp_path / "no.keras")
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert not list(tmp_path.iterdir())
