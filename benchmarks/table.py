"""Bins a second of `tfbind features --tsv`, beside what else tells GC and signal of bins.

python benchmarks/table.py --fasta FASTA --signal dnase=BIGWIG [--motif MOTIFS]

All bins of the first contig only, each way in turn, the best of some rounds, from files to a file,
the start of programs included; the slow one gets a part of the bins. What they tell is compared.
bedtools wants plain FASTA: it is unpacked before.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pybigtools
import pyBigWig
import pysam

SLOW = 50_000
"""Bins that the slow way gets."""

Way = Callable[[Path, Path], None]
"""Read bins from one file, write what is told of them to another."""


class Seconds(NamedTuple):
    """What a way took, by the clock and by the processor."""

    wall: float
    cpu: float


def tfbind(fasta: str, signal: str, *options: str) -> Way:
    command = [sys.executable, "-m", "tfbind", "features", "--tsv", "--quiet", "--force"]

    def run(bed: Path, out: Path) -> None:
        files = ["--fasta", fasta, "--signal", signal, "-o", str(out)]
        subprocess.run([*command, *files, *options, str(bed)], check=True)

    return run


def bedtools_nuc(fasta: Path) -> Way:
    def run(bed: Path, out: Path) -> None:
        with out.open("wb") as stream:
            command = ["bedtools", "nuc", "-fi", str(fasta), "-bed", str(bed)]
            subprocess.run(command, stdout=stream, check=True)

    return run


def bigwig_average(track: str) -> Way:
    def run(bed: Path, out: Path) -> None:
        with pybigtools.open(track) as bigwig, out.open("w") as stream:
            for mean, largest in bigwig.average_over_bed(str(bed), stats=["mean0", "max"]):
                stream.write(f"{mean}\t{largest}\n")

    return run


def bin_by_bin(fasta: str, track: str) -> Way:
    def run(bed: Path, out: Path) -> None:
        lines = bed.read_text().splitlines()
        with pysam.FastaFile(fasta) as genome, pyBigWig.open(track) as signal, out.open("w") as to:
            for line in lines:
                contig, start, end = line.split("\t")[:3]
                bases = genome.fetch(contig, int(start), int(end)).upper()
                gc, at = (sum(map(bases.count, letters)) for letters in ("GC", "AT"))
                values = np.nan_to_num(signal.values(contig, int(start), int(end), numpy=True))
                share = gc / (gc + at) if gc + at else np.nan
                to.write(f"{line}\t{share}\t{values.mean()}\t{values.max()}\n")

    return run


def columns(path: Path, *wanted: int, header: int = 0) -> npt.NDArray[np.float64]:
    table = pyarrow.csv.read_csv(
        path,
        pyarrow.csv.ReadOptions(skip_rows=header, autogenerate_column_names=True),
        pyarrow.csv.ParseOptions(delimiter="\t"),
        pyarrow.csv.ConvertOptions(
            null_values=["NA", "nan"], column_types={f"f{i}": pa.float64() for i in wanted}
        ),
    )
    return np.column_stack([table[f"f{i}"].to_numpy() for i in wanted])


def compare(folder: Path) -> None:
    ours = columns(folder / "tfbind", 4, 5, 6, header=1)
    slow = columns(folder / "bin by bin", 4, 5, 6)
    np.testing.assert_allclose(ours[-len(slow) :], slow, rtol=1e-6)
    average = np.nan_to_num(columns(folder / "pybigtools", 0, 1))
    np.testing.assert_allclose(ours[:, 1:], average, rtol=1e-6)
    nuc = columns(folder / "bedtools nuc", 5, 10, header=1)  # GC of all bases, and how many are N
    known = nuc[:, 1] == 0
    np.testing.assert_allclose(ours[-len(nuc) :][known, 0], nuc[known, 0], atol=1e-6)
    print(f"\nall tell the same: {len(ours):,} means and maxima, {known.sum():,} of GC")


def timed(way: Way, bed: Path, out: Path) -> Seconds:
    began, before = time.perf_counter(), os.times()
    way(bed, out)
    spent = sum(os.times()[:4]) - sum(before[:4])
    return Seconds(time.perf_counter() - began, spent)


def show(counts: dict[str, int], times: dict[str, list[Seconds]]) -> None:
    """Tell the best of each way; the processor's time is the surer where others use it too."""
    print(f"{'way':30}{'bins':>10}{'s':>8}{'bins/s':>10}{'CPU s':>8}{'bins/CPU s':>12}")
    for what, count in counts.items():
        wall, cpu = (min(some) for some in zip(*times[what], strict=True))
        print(f"{what:30}{count:>10,}{wall:>8.1f}{count / wall:>10,.0f}", end="")
        print(f"{cpu:>8.1f}{count / cpu:>12,.0f}")


def write_bins(fasta: str, folder: Path) -> tuple[Path, Path]:
    """Write all bins, with names as pybigtools wants them, and a part of them."""
    with pysam.FastaFile(fasta) as genome:
        contig, size = genome.references[0], genome.lengths[0]
        plain = folder / "plain.fa"
        plain.write_text(f">{contig}\n{genome.fetch(contig)}\n")
    lines = [f"{contig}\t{at}\t{at + 200}\t{at}\n" for at in range(0, size - 199, 50)]
    whole, part = folder / "bins.bed", folder / "some.bed"
    whole.write_text("".join(lines))
    part.write_text("".join(lines[-SLOW:]))
    return whole, part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--motif", help="a file of motifs; its first is used")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    track = options.signal.partition("=")[2]
    files = (options.fasta, options.signal)
    motif = ["--channel", f"motif={options.motif}"] if options.motif else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, part = write_bins(options.fasta, folder)
        ways: dict[str, tuple[Way, Path]] = {
            "tfbind": (tfbind(*files), whole),
            "tfbind --channel shape": (tfbind(*files, "--channel", "shape"), whole),
            "tfbind --set baseline": (tfbind(*files, "--set", "baseline"), whole),
            "pybigtools": (bigwig_average(track), whole),
            "bedtools nuc": (bedtools_nuc(folder / "plain.fa"), whole),
            "bin by bin": (bin_by_bin(str(folder / "plain.fa"), track), part),
        }
        if motif:
            ways |= {
                "tfbind --channel motif": (tfbind(*files, *motif), whole),
                "tfbind --set baseline, motif": (
                    tfbind(*files, *motif, "--set", "baseline"),
                    whole,
                ),
            }
        times: dict[str, list[Seconds]] = {what: [] for what in ways}
        for _ in range(options.rounds):
            for what, (way, bed) in ways.items():
                times[what].append(timed(way, bed, folder / what))
        counts = {bed: bed.read_bytes().count(b"\n") for bed in (whole, part)}
        show({what: counts[bed] for what, (_, bed) in ways.items()}, times)
        compare(folder)


if __name__ == "__main__":
    main()
