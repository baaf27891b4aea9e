"""How fast DNA shape is told, and what a bigWig with a value at each base takes.

python benchmarks/shape.py --fasta FASTA

Of the whole genome that is given: the look-up alone, the command with all that it starts, and
pyBigWig writing the same values of one feature from memory, the usual way. Each is a process of its
own, the faster of two rounds in turn; memory is its peak.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOOK_UP = """
import sys, time
from tfbind.genome import Genome
from tfbind.shape import shape_values

genome = Genome(sys.argv[1])
spent = 0.0
for contig, size in genome.sizes.items():
    for start in range(0, size, 1 << 18):
        codes = genome.codes(contig, start - 2, min(start + (1 << 18), size) + 3)
        began = time.perf_counter()
        shape_values(codes)
        spent += time.perf_counter() - began
print(spent)
"""

PYBIGWIG = """
import sys, time
import numpy as np
import pyBigWig
from tfbind.genome import Genome
from tfbind.shape import shape_values

genome = Genome(sys.argv[1])
spent = 0.0
bigwig = pyBigWig.open(sys.argv[2], "w")
bigwig.addHeader(list(genome.sizes.items()))
for contig, size in genome.sizes.items():
    for start in range(0, size, 1 << 19):
        codes = genome.codes(contig, start - 2, min(start + (1 << 19), size) + 3)
        values = shape_values(codes, ["MGW"])[:, 0].astype(np.float64)
        known = np.flatnonzero(~np.isnan(values))
        began = time.perf_counter()
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            if len(run):
                first = start + int(run[0])
                bigwig.addEntries(contig, first, values=values[run], span=1, step=1)
        spent += time.perf_counter() - began
began = time.perf_counter()
bigwig.close()
print(spent + time.perf_counter() - began)
"""


def measure(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Run a process: seconds, its own count of them if it prints one, and its peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    assert status == 0, command
    peak = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return float(printed or took), peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fasta", required=True)
    options = parser.parse_args()
    env = dict(os.environ) | {"TFBIND_FASTA": options.fasta}
    index = Path(f"{options.fasta}.fai").read_text().splitlines()
    bases = sum(int(line.split("\t")[1]) for line in index)
    shape = [sys.executable, "-m", "tfbind", "shape", "--quiet", "--force"]
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "the look-up alone, all features": [sys.executable, "-c", LOOK_UP, options.fasta],
            "one feature to a bigWig": [
                *shape,
                "--feature",
                "MGW",
                "-o",
                f"{folder}/{{feature}}.bw",
            ],
            "one feature to a bigWig, one thread": [
                *(*shape, "--feature", "MGW", "--threads", "1", "-o", f"{folder}/{{feature}}.bw")
            ],
            "all four features to bigWigs": [*shape, "-o", f"{folder}/{{feature}}.bw"],
            "one feature to bedGraph": [*shape, "--feature", "MGW", "-o", "/dev/null"],
            "pyBigWig, one feature, writing alone": [
                *(sys.executable, "-c", PYBIGWIG, options.fasta, f"{folder}/other.bw")
            ],
        }
        rounds = [{what: measure(way, env) for what, way in ways.items()} for _ in range(2)]
        print(f"{'':40}{'s':>8}{'Mbp/s':>8}{'MB':>8}")
        for what in ways:
            took = min(one[what][0] for one in rounds)
            peak = max(one[what][1] for one in rounds)
            print(f"{what:40}{took:>8.1f}{bases / took / 1e6:>8.0f}{peak:>8.0f}")
        for name in ("MGW", "other"):
            print(f"{name}.bw: {os.path.getsize(f'{folder}/{name}.bw') / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
