"""What a fresh interpreter loads: help is instant, and only training and export need TensorFlow."""

import pkgutil
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

import tfbind

TRAINING = tuple(
    f"tfbind.{name}"
    for name in (
        "networks",
        "interpret",
        "training",
        "trained",
        "losses",
        "starts",
        "pretraining",
        "tabular",
        "logistic",
        "boosting",
        "quantised",
        "fits",
        "export",
        "half",
    )
)
TENSORFLOW = ("tensorflow", "keras", "tf2onnx")
TERMINAL = ("typer", "rich", "tfbind.cli")
HEAVY = (*TENSORFLOW, "onnxruntime", "onnx", "numpy", "pyarrow", "pysam", "pyBigWig", "matplotlib")


def library_modules() -> list[str]:
    """List the library's modules, but for those that are about training."""
    found = pkgutil.walk_packages(tfbind.__path__, "tfbind.", onerror=lambda _: None)
    names = (module.name for module in found)
    return [
        name
        for name in names
        if not name.startswith((*TRAINING, "tfbind.cli")) and name != "tfbind.__main__"
    ]


def command_modules() -> list[str]:
    """List the modules of the command line; an import hook may hide the folder from pkgutil."""
    import tfbind.cli

    return [f"tfbind.cli.{module.name}" for module in pkgutil.iter_modules(tfbind.cli.__path__)]


def first_to_load(unwanted: tuple[str, ...], modules: list[str], folder: Path) -> str:
    """Import modules in turn in a fresh interpreter; give the first that loads what it must not."""
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = [each for each in {unwanted!r} if each in sys.modules]\n"
        "    if loaded:\n"
        "        sys.exit(print(name, 'loads', *loaded))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_loaded_by(*args: str, stdin: str = "", folder: Path) -> set[str]:
    """Run the program, and list all that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tfbind", *args],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    said = [line for line in done.stderr.splitlines() if line not in lines]
    assert done.returncode == 0, said
    return {line.rpartition("|")[2].strip() for line in lines}


def test_the_modules_are_found() -> None:
    assert {"tfbind.intervals", "tfbind.genome", "tfbind.channels.sequence"} <= set(
        library_modules()
    )
    assert {"tfbind.cli.bin", "tfbind.cli.edge"} <= set(command_modules())


@pytest.mark.parametrize("args", [["--help"], ["bin", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(args: list[str], tmp_path: Path) -> None:
    loaded = modules_loaded_by(*args, folder=tmp_path)
    assert "tfbind.cli" in loaded
    assert not loaded & {*HEAVY, "rich"}


def test_no_command_module_loads_the_library(tmp_path: Path) -> None:
    assert first_to_load((*HEAVY, "rich"), command_modules(), tmp_path) == ""


def test_the_library_never_loads_tensorflow_but_to_train(tmp_path: Path) -> None:
    assert first_to_load(TENSORFLOW, library_modules(), tmp_path) == ""


def test_the_library_does_not_know_the_terminal(tmp_path: Path) -> None:
    assert first_to_load(TERMINAL, library_modules(), tmp_path) == ""


@pytest.mark.parametrize("command", ["bin", "label", "sample", "evaluate"])
def test_filters_run_without_tensorflow(command: str, data: Path, tmp_path: Path) -> None:
    peaks = str(data / "K562.CTCF.conservative.narrowPeak.gz")
    labelled = "chrX\t38000000\t38000200\tU\nchrX\t38000050\t38000250\tB\n"
    (tmp_path / "labels.bed").write_text(labelled)
    (tmp_path / "sizes").write_text("chrX\t1000\n")
    args, stdin = {
        "bin": (["sizes"], ""),
        "label": (["--conservative", peaks], "chrX\t38000000\t38000200\n"),
        "sample": (["--accessible", peaks, "--background", "1"], labelled),
        "evaluate": (
            ["--labels", "labels.bed", "--json"],
            "chrX\t38000000\t38000200\t0.25\nchrX\t38000050\t38000250\t0.75\n",
        ),
    }[command]
    loaded = modules_loaded_by(command, *args, stdin=stdin, folder=tmp_path)
    assert f"tfbind.cli.{command}" in loaded
    assert not loaded & set(TENSORFLOW)


def test_help_is_instant(tmp_path: Path) -> None:
    def seconds() -> float:
        """Give the processor's time, which does not hang on what else the machine does."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "tfbind", "--help"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3
