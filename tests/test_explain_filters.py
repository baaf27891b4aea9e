"""`tfbind explain filters`, on real data."""

import csv
import gzip
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")
pytest.importorskip("logomaker", reason="pip install 'tfbind[explain]'")

import h5py
import keras
from conftest import Tfbind, ok, said

from tfbind.contract import Contract, Geometry, Input
from tfbind.interpret.matches import best_matches, core
from tfbind.motifs import read_motifs
from tfbind.networks import ARCHITECTURES
from tfbind.networks.files import Network, load_network, save_network

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")


@pytest.fixture(scope="module")
def labelled_bins(tfbind: Tfbind, data: Path, sources_env: dict[str, str]) -> bytes:
    """Give the bound bins of a megabase, and one in twenty others."""
    bins = ok(tfbind("bin", "--region", "chrX:48500001-49500000", env=sources_env))
    peaks = data / "K562.CTCF.conservative.narrowPeak.gz"
    lines = ok(tfbind("label", "--conservative", peaks, stdin=bins)).splitlines(keepends=True)
    return b"".join(
        line for i, line in enumerate(lines) if line.rstrip().endswith(b"B") or i % 20 == 0
    )


@pytest.fixture(scope="module")
def with_ctcf(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a network of four filters, the second of which is the motif of CTCF."""
    contract = Contract(Geometry(), (SEQUENCE, DNASE), ("CTCF",))
    sizes = {"filters": 4, "width": 15, "dense": 4, "joint": 8}
    keras.utils.set_random_seed(1)
    model = ARCHITECTURES["shallow"].build(contract.inputs, contract.geometry, 1, **sizes)
    (ctcf,) = (one for one in read_motifs(data / "motifs.meme") if one.name == "MA0139.2")
    convolution = model.get_layer("convolution")
    kernel, bias = convolution.get_weights()
    kernel[..., 1] = ctcf.log_odds
    convolution.set_weights([kernel, bias])
    path = tmp_path_factory.mktemp("filters") / "four.keras"
    save_network(Network(model, contract, b""), path)
    return path


def test_command(
    tfbind: Tfbind,
    data: Path,
    sources_env: dict[str, str],
    with_ctcf: Path,
    labelled_bins: bytes,
    tmp_path: Path,
) -> None:
    combined = tmp_path / "combined.meme"
    text = (data / "motifs.meme").read_text()
    combined.write_text(text.replace("MOTIF MA0139.2 CTCF", "MOTIF 1-CCASYAGRKGGC STREME-1"))
    files = [tmp_path / name for name in ("filters.meme", "filters.html", "filters.png")]
    command: list[str | Path] = ["explain", "filters", with_ctcf, "--motifs", data / "motifs.meme"]
    command += ["--meme", files[0], "--html", files[1], "--plot", files[2], "--top", "2"]
    command += ["--beside", combined, "--sample", "20"]
    done = tfbind(*command, stdin=labelled_bins, env=sources_env)
    rows = list(csv.DictReader(ok(done).decode().splitlines(), delimiter="\t"))
    assert len(rows) == 4
    influence = [float(row["influence"]) for row in rows]
    assert influence == sorted(influence, reverse=True)
    assert len(set(influence)) > 1
    bound, ambiguous = labelled_bins.count(b"B\n"), labelled_bins.count(b"A\n")
    others = labelled_bins.count(b"\n") - bound - ambiguous
    assert f"4 filters in {bound} bound and {others} other bins" in done.stderr.decode()
    (ctcf,) = (row for row in rows if row["filter"] == "filter_2")
    assert ctcf["weights_match"] == ctcf["sites_match"] == "MA0139.2_CTCF"
    assert ctcf["beside_match"] == "1-CCASYAGRKGGC_STREME-1"
    assert ctcf["sites_strand"] == "+"
    assert float(ctcf["bound"]) > 2 * float(ctcf["unbound"])
    assert max(float(ctcf[f"{kind}_p"]) for kind in ("weights", "sites", "beside")) < 1e-10
    assert float(ctcf["sites_p"]) <= float(ctcf["sites_q"])
    written = {one.name: one for one in read_motifs(files[0])}
    for row in rows:
        assert f"{row['filter']}_weights" in written
        assert (f"{row['filter']}_sites" in written) == (int(row["sites"]) >= 20)
        assert (row["bits"] == "NA") == (int(row["sites"]) < 20)
    page = files[1].read_text()
    assert page.count("data:image/png;base64,") == 4 + 4
    assert not re.search(r"(src|href)=.?http", page)
    assert "1-CCASYAGRKGGC_STREME-1" in page
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_the_labels_of_a_task_are_those_that_the_header_names(
    tfbind: Tfbind, sources_env: dict[str, str], with_ctcf: Path, labelled_bins: bytes
) -> None:
    some = labelled_bins.splitlines(keepends=True)[::3]
    lines = [line.split() for line in some]
    swapped = {b"B": b"U", b"U": b"B", b"A": b"U"}
    rows = b"".join(b"\t".join([*line[:3], swapped[line[3]], line[3]]) + b"\n" for line in lines)
    command = ("explain", "filters", with_ctcf)
    header = b"#contig\tstart\tend\tMAX\tCTCF\n"
    alone = tfbind(*command, stdin=b"".join(some), env=sources_env)
    assert ok(tfbind(*command, stdin=header + rows, env=sources_env)) == ok(alone)
    message = said(tfbind(*command, stdin=rows, env=sources_env))
    assert "has labels in several columns, of which none is known to be of CTCF" in message


def test_wrong_requests(
    tfbind: Tfbind,
    sources_env: dict[str, str],
    with_ctcf: Path,
    labelled_bins: bytes,
    tmp_path: Path,
) -> None:
    command: list[str | Path] = ["explain", "filters", with_ctcf]
    done = tfbind(*command, "--label", "sharp", stdin=labelled_bins, env=sources_env)
    assert "has no bin with 'sharp' in column 4, but U, B, A; give --label WORD" in said(done)
    png = tmp_path / "x.png"
    png.touch()
    done = tfbind(*command, "--plot", png, stdin=labelled_bins, env=sources_env)
    assert "exists already; give --force" in said(done)
    done = tfbind(*command, "--meme", "a", "--html", "a", stdin=labelled_bins, env=sources_env)
    assert "two outputs have one name" in said(done, 2)
    done = tfbind("explain", "filters", tmp_path / "no.keras", stdin=b"", env=sources_env)
    assert "no.keras: cannot be read" in said(done)


class Learnt(NamedTuple):
    """A network that learnt CTCF from real sites, its labelled bins, and what it reads."""

    network: Path
    bins: bytes
    env: dict[str, str]


@pytest.fixture(scope="module")
def learnt(
    tfbind: Tfbind,
    data: Path,
    sources_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Learnt:
    """Train without knowledge of motifs."""
    folder = tmp_path_factory.mktemp("learnt")
    tiles, network = folder / "hela.tiles", folder / "ctcf.keras"
    env = sources_env | {"TFBIND_SIGNAL": f"dnase={data / 'HeLa-S3.dnase.bw'}"}
    peaks = [data / f"HeLa-S3.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]
    accessible = data / "HeLa-S3.dnase.narrowPeak.gz"
    bins = ok(tfbind("bin", "--region", "chrX:1-50000000", "--skip-n", "0", env=env))
    bins = ok(tfbind("label", "--conservative", peaks[0], "--relaxed", peaks[1], stdin=bins))
    bins = ok(tfbind("sample", "--accessible", accessible, "--background", "4000", stdin=bins))
    ok(tfbind("features", "-o", tiles, stdin=bins, env=env))
    fold = ["--validate", "chrX:44000001-47000000", "--seed", "1"]
    ok(tfbind("train", tiles, *fold, "--epochs", "10", "-o", network, env=env))
    return Learnt(network, bins, env)


def test_the_filters_that_learnt_from_real_sites_lead(
    tfbind: Tfbind, data: Path, learnt: Learnt, tmp_path: Path
) -> None:
    made = load_network(learnt.network)
    keras.utils.set_random_seed(1)
    unlearnt = ARCHITECTURES["shallow"].build(made.contract.inputs, made.contract.geometry, 1)
    save_network(replace(made, model=unlearnt), tmp_path / "random.keras")

    def are_ctcf(path: Path) -> list[bool]:
        """Tell of the four most influential filters whether their sites are like CTCF's."""
        known = data / "motifs.meme"
        done = tfbind(
            *("explain", "filters", path, "--motifs", known), stdin=learnt.bins, env=learnt.env
        )
        assert "--motifs has 4 motif(s): p and q are rough below 25" in done.stderr.decode()
        rows = list(csv.DictReader(ok(done).decode().splitlines(), delimiter="\t"))[:4]
        return [
            row["sites_match"].endswith("_CTCF") and float(row["sites_p"]) < 1e-5 for row in rows
        ]

    assert all(are_ctcf(learnt.network))
    assert not any(are_ctcf(tmp_path / "random.keras"))


def test_modisco_finds_the_motif_in_the_rows(
    tfbind: Tfbind, data: Path, learnt: Learnt, tmp_path: Path
) -> None:
    with gzip.open(data / "HeLa-S3.CTCF.conservative.narrowPeak.gz", "rt") as stream:
        summits = [int(f[1]) + int(f[9]) for f in (line.split("\t") for line in stream)]
    sites = "".join(f"chrX\t{s - 100}\t{s + 100}\n" for s in summits if s < 50_000_000)
    command = ("explain", "attribute", learnt.network, "-o", tmp_path / "rows.npz")
    ok(tfbind(*command, stdin=sites, env=learnt.env))
    modisco = [sys.executable, "-c", "from modiscolite.cli import cli; cli()", "motifs"]
    if found := shutil.which("modisco", path=str(Path(sys.executable).parent)):
        modisco = [found, "motifs"]
    options = "-s rows.onehot.npz -a rows.npz -n 500 -w 400 -o motifs.h5"
    done = subprocess.run(
        [*modisco, *options.split()],
        capture_output=True, cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    with h5py.File(tmp_path / "motifs.h5") as file:
        first = file["pos_patterns/pattern_0/sequence"][:]
    known = read_motifs(data / "motifs.meme")
    (match,) = best_matches([first[core(first)]], known)
    assert match.motif.name in ("MA0139.2", "MA1930.2")
    assert match.pvalue < 1e-5
