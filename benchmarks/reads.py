"""Reads turned into a track: `tfbind signal`, and what it could be made of.

python benchmarks/reads.py --peaks K562.dnase.narrowPeak.gz --work FOLDER

The reads are simulated: half of them cut around the peaks given, each as often as its signalValue
tells, the others anywhere on chrX:1-69,999,930; 36 bases, on both strands, random bases and
qualities, a tenth of them duplicates. Their places are real, they are no experiment. Each way runs
in turn with the others, several times, and its fastest round counts; before, the text of tfbind is
compared with that of bedtools, byte for byte.
"""

import argparse
import functools
import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import cast

import numpy as np
import pysam

CONTIG, SIZE, LENGTH = "chrX", 69_999_930, 36
RECORD = np.dtype(
    [
        ("size", "<i4"),
        ("contig", "<i4"),
        ("start", "<i4"),
        ("name_length", "u1"),
        ("quality", "u1"),
        ("bin", "<u2"),
        ("operations", "<u2"),
        ("flag", "<u2"),
        ("length", "<i4"),
        ("mate", "<i4"),
        ("mate_start", "<i4"),
        ("insert", "<i4"),
        ("name", "S12"),
        ("cigar", "<u4"),
        ("bases", "u1", LENGTH // 2),
        ("qualities", "u1", LENGTH),
        ("tag", "S4"),
    ]
)
TFBIND = [sys.executable, "-m", "tfbind", "signal", "--quiet"]


def simulate(peaks: Path, count: int, path: Path) -> None:
    """Write a sorted BAM of reads around peaks, and its index."""
    rng = np.random.default_rng(0)
    with gzip.open(peaks, "rt") as lines:
        rows = [line.split("\t") for line in lines]
    centres = np.array([(int(row[1]) + int(row[2])) // 2 for row in rows])
    weights = np.array([float(row[6]) for row in rows])
    near = rng.choice(centres, count // 2, p=weights / weights.sum())
    cuts = np.concatenate(
        [near + rng.normal(0, 60, len(near)), rng.integers(0, SIZE, count - len(near))]
    ).astype(np.int64)
    reverse = rng.random(count) < 0.5
    starts = np.clip(np.where(reverse, cuts - LENGTH + 1, cuts), 0, SIZE - LENGTH)
    order = np.argsort(starts)
    text = f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:{CONTIG}\tLN:{SIZE}\n".encode()
    with pysam.BGZFile(str(path), "wb") as out:  # type: ignore[call-arg]
        out.write(b"BAM\1" + struct.pack("<i", len(text)) + text + struct.pack("<i", 1))
        out.write(struct.pack("<i", 5) + CONTIG.encode() + b"\0" + struct.pack("<i", SIZE))
        for first in range(0, count, 1 << 18):
            some = order[first : first + (1 << 18)]
            out.write(records(starts[some], reverse[some], first, rng).tobytes())
    pysam.index(str(path))


def records(
    starts: np.ndarray, reverse: np.ndarray, first: int, rng: np.random.Generator
) -> np.ndarray:
    """Lay out reads as a BAM stores them."""
    some = np.zeros(len(starts), RECORD)
    some["size"] = RECORD.itemsize - 4
    some["start"], some["bin"] = starts, 4681 + (starts >> 14)
    some["flag"] = np.where(reverse, 16, 0) | np.where(rng.random(len(starts)) < 0.1, 1024, 0)
    some["quality"] = rng.choice(np.array([0, 20, 30, 42], np.uint8), len(starts))
    some["length"], some["operations"], some["cigar"] = LENGTH, 1, LENGTH << 4
    some["mate"] = some["mate_start"] = -1
    some["name"] = [f"r{number:010d}".encode() for number in range(first, first + len(starts))]
    some["name_length"] = RECORD["name"].itemsize
    letters = np.array([1, 2, 4, 8], np.uint8)
    pairs = letters[rng.integers(0, 4, (2, len(starts), LENGTH // 2))]
    some["bases"] = pairs[0] << 4 | pairs[1]
    some["qualities"] = rng.choice(
        np.array([2, 20, 30, 37, 40], np.uint8),
        (len(starts), LENGTH),
        p=[0.05, 0.1, 0.2, 0.3, 0.35],
    )
    some["tag"] = b"NMC"
    return some


def pysam_alone(path: Path) -> None:
    """Take the fields of each read in a loop, as is usually written."""
    with pysam.AlignmentFile(str(path)) as reads:
        for read in reads:
            if not read.is_unmapped:
                _ = read.reference_end if read.is_reverse else read.reference_start


def digest(command: list[str]) -> str:
    """Take the digest of what a command writes."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process:
        found = hashlib.file_digest(cast(BufferedReader, process.stdout), "sha256").hexdigest()
    assert process.returncode == 0, command
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peaks", type=Path, required=True, help="narrowPeak, gzip, of chrX")
    parser.add_argument("--work", type=Path, required=True, help="a folder for the reads")
    parser.add_argument("--reads", type=int, default=16_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    path, track = asked.work / f"simulated.{asked.reads}.bam", asked.work / "track.bw"
    if not path.exists():
        simulate(asked.peaks, asked.reads, path)
    bam = str(path)
    bedtools = ["bedtools", "genomecov", "-5", "-bg", "-ibam", bam]
    all_reads = [*TFBIND, bam, "--exclude-flags", "0"]
    commands = {
        "tfbind signal": all_reads,
        "tfbind signal --smooth 150": [*all_reads, "--smooth", "150"],
        "tfbind signal --scale cpm": [*all_reads, "--scale", "cpm"],
        "tfbind signal --smooth 150 -o FILE.bw": [
            *all_reads, "--smooth", "150", "--force", "-o", str(track),
        ],
    }  # fmt: skip
    if shutil.which("bedtools"):
        assert digest(all_reads) == digest(bedtools), "the bytes differ"
        print("the text of tfbind and of bedtools: the same bytes", flush=True)
        commands["bedtools genomecov -5 -bg"] = bedtools
    ways: dict[str, Callable[[], object]] = {
        name: functools.partial(run, command) for name, command in commands.items()
    }
    ways["a loop over pysam's reads, nothing written"] = lambda: pysam_alone(path)
    best: dict[str, tuple[float, float]] = dict.fromkeys(ways, (float("inf"), 0.0))
    for _ in range(asked.rounds):
        for name, way in ways.items():
            began, used = time.perf_counter(), processor_time()
            way()
            best[name] = min(best[name], (time.perf_counter() - began, processor_time() - used))
    print(f"\n| {asked.reads:,} reads | reads/s | processor seconds |\n|---|---:|---:|")
    for name, (took, used) in best.items():
        print(f"| `{name}` | {asked.reads / took:,.0f} | {used:.1f} |")


def run(command: list[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def processor_time() -> float:
    """Give the seconds that this process and its children have used."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
