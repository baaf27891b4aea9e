"""What this machine lets the process use."""

import math
import os
from pathlib import Path

CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


def processors() -> int:
    """Count the processors that the scheduler and the control group grant."""
    if hasattr(os, "sched_getaffinity"):
        granted = len(os.sched_getaffinity(0))
    else:
        granted = os.cpu_count() or 1
    try:
        quota, period = CGROUP_CPU.read_text().split()
        return granted if quota == "max" else min(granted, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return granted
