"""What control groups grant, by files as Linux writes them."""

import os
from pathlib import Path

import pytest

from tfbind.cli import machine

GIB = 1 << 30


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put this process into a group of a group, under a root of our own."""
    (tmp_path / "own").write_text("0::/job/step\n")
    (tmp_path / "meminfo").write_text("MemTotal: 64 kB\nMemAvailable: 33554432 kB\n")
    groups = tmp_path / "groups"
    (groups / "job" / "step").mkdir(parents=True)
    monkeypatch.setattr(machine, "CGROUPS", groups)
    monkeypatch.setattr(machine, "OWN", tmp_path / "own")
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    return groups


def test_without_limits_the_machine_counts(group: Path) -> None:
    assert machine.processors() == len(os.sched_getaffinity(0))
    assert machine.memory() == 32 * GIB


def test_no_limit_is_no_limit(group: Path) -> None:
    (group / "memory.max").write_text("max\n")
    (group / "cpu.max").write_text("max 100000\n")
    assert machine.memory() == 32 * GIB
    assert machine.processors() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("folder", ["", "job", "job/step"])
def test_the_smallest_limit_around_counts(group: Path, folder: str) -> None:
    (group / folder / "memory.max").write_text(f"{2 * GIB}\n")
    (group / "job" / "step" / "memory.current").write_text("7\n")
    (group / folder / "cpu.max").write_text("50000 100000\n")
    assert machine.memory() == 2 * GIB
    assert machine.processors() == 1


def test_the_older_control_groups(group: Path, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("4:memory:/docker/1\n")
    (group / "memory").mkdir()
    (group / "memory" / "memory.limit_in_bytes").write_text(f"{3 * GIB}\n")
    assert machine.memory() == 3 * GIB


def test_the_peak_grows_with_what_is_held() -> None:
    before = machine.peak_memory()
    held = bytearray(os.urandom(1)) * (256 << 20)
    assert machine.peak_memory() - before > 100 << 20
    assert len(held) == 256 << 20
