"""What every test may ask for: the example data and the program itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from fake_portal import Site, serving

ROOT = Path(__file__).parent.parent


class Tfbind(Protocol):
    """Run the program and wait for it; the status is the test's to check."""

    def __call__(
        self, *args: str | Path, stdin: bytes | str = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Give `stdin` to `tfbind ARGS`, with `env` over the environment."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give this environment without what would change the program's defaults."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TFBIND_", "_TFBIND")) and name != "PYTHONUNBUFFERED"
    }
    # Help is folded to the terminal's width, which tests must not depend on.
    return kept | {"COLUMNS": "100"} | dict(extra or {})


def _seed() -> None:
    """Let networks begin with the same weights in each run, where there are any."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(1)


@pytest.fixture(scope="module", autouse=True)
def _seeded_module() -> None:
    """Seed what a module's fixtures build."""
    _seed()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seed what a test builds, whichever tests ran before."""
    _seed()


@pytest.fixture(scope="session")
def data() -> Path:
    """Find the folder of example data."""
    return ROOT / "examples" / "data"


@pytest.fixture(scope="session")
def tfbind(tmp_path_factory: pytest.TempPathFactory) -> Tfbind:
    """Run the real program, away from the checkout so that only the installed one is found."""
    folder = tmp_path_factory.mktemp("work")

    def run(
        *args: str | Path, stdin: bytes | str = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "tfbind", *map(str, args)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=environment(env),
            cwd=folder,
            timeout=240,
            check=False,
        )

    return run


def ok(done: subprocess.CompletedProcess[bytes]) -> bytes:
    """Give what a run wrote that went well."""
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def said(done: subprocess.CompletedProcess[bytes], status: int = 1) -> str:
    """Give the one line of a run that failed; wrong usage has a frame around it, and more lines."""
    assert done.returncode == status, done.stderr.decode()
    text = done.stderr.decode()
    assert "Traceback" not in text
    assert status == 2 or text.count("\n") == 1
    return " ".join(text.replace("│", "").split())


@pytest.fixture(scope="session")
def content(data: Path) -> bytes:
    """Give what the portal of `site` holds: a real file."""
    return (data / "HeLa-S3.dnase.narrowPeak.gz").read_bytes()


@pytest.fixture
def site(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve a file as the ENCODE portal does, with no proxy between."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving(Site(content)) as site:
        site.tell()
        yield site


@pytest.fixture(scope="session")
def two_megabases(tfbind: Tfbind, data: Path) -> bytes:
    """Give 39,997 bins of the example genome."""
    region = "chrX:48000001-50000000"
    return ok(tfbind("bin", data / "hg19.chrX_cut.fa.gz", "--region", region))


@pytest.fixture(scope="session")
def labelled(tfbind: Tfbind, data: Path, two_megabases: bytes) -> bytes:
    """Label these bins by the CTCF peaks of two cell types."""
    experiments = []
    for cell in ("HeLa-S3", "K562"):
        peaks = [data / f"{cell}.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]
        experiments += ["--experiment", f"{cell}={peaks[0]},{peaks[1]}"]
    return ok(tfbind("label", *experiments, stdin=two_megabases))


@pytest.fixture(scope="session")
def label_table(tfbind: Tfbind, labelled: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write these labels as a table of the ENCODE-DREAM challenge."""
    path = tmp_path_factory.mktemp("table") / "CTCF.train.labels.tsv.gz"
    ok(tfbind("dream", "table", "-o", path, stdin=labelled))
    return path


@dataclass(frozen=True)
class Trained:
    """A network trained for two epochs on a little real data, and what it was made from."""

    tiles: Path
    keras: Path
    onnx: Path
    env: Mapping[str, str]


@pytest.fixture(scope="session")
def sources_env(data: Path) -> dict[str, str]:
    """Name the example genome and the DNase of K562, as a user's shell would."""
    return {
        "TFBIND_FASTA": str(data / "hg19.chrX_cut.fa.gz"),
        "TFBIND_SIGNAL": f"dnase={data / 'K562.dnase.bw'}",
    }


@pytest.fixture(scope="session")
def trained(
    tfbind: Tfbind,
    data: Path,
    sources_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """Run the pipe from bins to an ONNX file on 5 Mb of HeLa-S3."""
    folder = tmp_path_factory.mktemp("trained")

    def run(*args: str | Path, stdin: bytes = b"") -> bytes:
        done = tfbind(*args, stdin=stdin, env=sources_env)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    bins = run("bin", "--region", "chrX:45000001-50000000")
    peaks = [data / f"HeLa-S3.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]
    labelled = run("label", "--conservative", peaks[0], "--relaxed", peaks[1], stdin=bins)
    open_chromatin = data / "HeLa-S3.dnase.narrowPeak.gz"
    chosen = run("sample", "--accessible", open_chromatin, "--background", "4000", stdin=labelled)
    tiles, network, model = (folder / name for name in ("hela.tiles", "ctcf.keras", "ctcf.onnx"))
    dnase = f"dnase={data / 'HeLa-S3.dnase.bw'}"
    run("features", "--signal", dnase, "--cell", "HeLa-S3", "-o", tiles, stdin=chosen)
    run("train", tiles, "--validate", "chrX:48000001-50000000", "--epochs", "2", "-o", network)
    run("export", network, "-o", model)
    return Trained(tiles, network, model, sources_env)


def wait_until_idle(pid: int) -> None:
    """Wait until a process has slept for a second: Ctrl-C may be lost while pyarrow is imported."""
    stat = Path(f"/proc/{pid}/stat")
    before, quiet = "", 0
    while quiet < 10:
        time.sleep(0.1)
        if not stat.exists():  # not Linux
            quiet += 1
            continue
        state, *fields = stat.read_text().rpartition(")")[2].split()
        spent = " ".join(fields[10:12])  # processor time, in user and system mode
        quiet = quiet + 1 if (state, spent) == ("S", before) else 0
        before = spent
