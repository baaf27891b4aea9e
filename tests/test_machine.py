"""What control groups grant, by files as Linux writes them."""

import os
from pathlib import Path

import pytest

from tfbind.cli import machine, run

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


@pytest.mark.parametrize("folder", ["", "job_7", "job_7/step_0"])
def test_the_older_control_groups(group: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / "own").write_text(
        "4:memory:/job_7/step_0\n3:cpu,cpuacct:/job_7/step_0\n1:name=systemd:/\n0::/\n"
    )
    for tree in ("memory", "cpu,cpuacct"):
        (group / tree / "job_7" / "step_0").mkdir(parents=True)
    (group / "memory" / folder / "memory.limit_in_bytes").write_text(f"{3 * GIB}\n")
    for name, value in (("cpu.cfs_quota_us", 100_000), ("cpu.cfs_period_us", 100_000)):
        (group / "cpu,cpuacct" / folder / name).write_text(f"{value}\n")
    assert machine.memory() == 3 * GIB
    assert machine.processors() == 1
    (group / "cpu,cpuacct" / folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert machine.processors() == len(os.sched_getaffinity(0))


def test_what_is_held_grows_and_falls() -> None:
    before = machine.held_memory()
    held = b"1" * (256 << 20)
    assert 240 << 20 < machine.held_memory() - before < 300 << 20
    assert len(held) == 256 << 20
    del held
    assert machine.held_memory() - before < 50 << 20


@pytest.mark.parametrize(("a_call", "threads"), [(1, 2), (1 << 30, 2), (9 << 30, 1), (40 << 30, 1)])
def test_memory_bounds_the_calls_at_a_time(
    a_call: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model:
        provider = "CPU"
        devices = 1

        def warm_up(self) -> None:
            monkeypatch.setattr(run, "held_memory", lambda: GIB + a_call)

    monkeypatch.setattr(run, "held_memory", lambda: GIB)
    monkeypatch.setattr(run, "memory", lambda: 32 * GIB)
    monkeypatch.setattr(run, "processors", lambda: 2)
    assert run._affordable(Model()) == threads
