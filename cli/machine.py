"""What this machine lets the process use."""

import math
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MEMORY = Path("/proc/meminfo")
HELD = Path("/proc/self/statm")


def processors() -> int:
    """Count the processors that the scheduler and the control groups grant."""
    if hasattr(os, "sched_getaffinity"):
        granted = len(os.sched_getaffinity(0))
    else:
        granted = os.cpu_count() or 1
    newer = (limit.split() for limit in _limits("", "cpu.max"))
    older = zip(*(_limits("cpu", f"cpu.cfs_{one}_us") for one in ("quota", "period")), strict=False)
    for quota, period in chain(newer, older):
        if quota.isdigit():  # else "max", or -1
            granted = min(granted, math.ceil(int(quota) / int(period)))
    return max(granted, 1)


def memory() -> int:
    """Find the memory, bytes, that the machine has free and the control groups grant."""
    found = [*_limits("", "memory.max"), *_limits("memory", "memory.limit_in_bytes")]
    limits = [int(one) for one in found if one.isdigit()]
    try:
        fields = dict(line.split(":") for line in MEMORY.read_text().splitlines())
        limits.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits)


def held_memory() -> int:
    """Find the memory, bytes, that this process holds; where that is not told, its most."""
    try:
        return int(HELD.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _limits(controller: str, name: str) -> Iterator[str]:
    """Read a limit of this process's control group and of all groups around it.

    The older groups have a tree for each controller; in the newer ones its name is empty.
    """
    for line in _lines(OWN):
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        root = CGROUPS / controllers
        folder = root / path.strip("/")
        while True:
            with suppress(OSError):
                yield (folder / name).read_text().strip()
            if folder == root:
                break
            folder = folder.parent


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
