"""What this machine lets the process use."""

import math
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MEMORY = Path("/proc/meminfo")


def processors() -> int:
    """Count the processors that the scheduler and the control groups grant."""
    if hasattr(os, "sched_getaffinity"):
        granted = len(os.sched_getaffinity(0))
    else:
        granted = os.cpu_count() or 1
    for limit in _limits("cpu.max"):
        quota, _, period = limit.partition(" ")
        if quota.isdigit() and period.isdigit():
            granted = min(granted, math.ceil(int(quota) / int(period)))
    return max(granted, 1)


def memory() -> int:
    """Find the memory, bytes, that the machine has free and the control groups grant."""
    limits = [int(one) for one in _limits("memory.max") if one.isdigit()]
    limits += [int(one) for one in _limits("memory/memory.limit_in_bytes") if one.isdigit()]
    try:
        fields = dict(line.split(":") for line in MEMORY.read_text().splitlines())
        limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits)


def peak_memory() -> int:
    """Find the most memory, bytes, that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _limits(name: str) -> Iterator[str]:
    """Read a limit of this process's control group and of all groups around it."""
    try:
        lines = OWN.read_text().splitlines()
    except OSError:
        lines = []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    folder = CGROUPS / own
    while True:
        with suppress(OSError):
            yield (folder / name).read_text().strip()
        if folder == CGROUPS:
            return
        folder = folder.parent
