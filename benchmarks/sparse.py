"""What anchored chunks cost where bins are few: scattered bins, and many small scaffolds.

python benchmarks/sparse.py ctcf.onnx --fasta FASTA --signal dnase=BIGWIG --peaks dnase.narrowPeak

A chunk is computed whole, whatever is asked of it, so that a bin's score never depends on its
neighbours. Times are of `tfbind score` in memory, without the start of the program.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyBigWig

from tfbind.channels import Sources
from tfbind.genome import Genome
from tfbind.intervals import IntervalReader, Intervals, bed_lines, read_intervals
from tfbind.model import Model
from tfbind.regions import IntervalSet
from tfbind.scoring import score
from tfbind.signal import Signal
from tfbind.tiles import BinCheck, Stretches

THREADS = len(os.sched_getaffinity(0))
CHUNKS = (256, 64, 16, 4)


def seconds(options: argparse.Namespace, sources: Sources, text: bytes, chunk: int) -> float:
    """Time the scoring of some bins; the faster of two rounds."""
    model = Model(options.onnx, device="cpu", chunk=chunk)
    geometry = model.contract.geometry
    stretches = Stretches(geometry, model.contract.inputs, sources)

    def once() -> float:
        began = time.perf_counter()
        reader = IntervalReader(io.BytesIO(text), "bins")
        for _ in score(map(BinCheck(geometry, sources, "bins"), reader), model, stretches, THREADS):
            pass
        return time.perf_counter() - began

    return min(once(), once())


def batches_of(contig: str, size: int) -> Iterator[Intervals]:
    starts = np.arange(0, size - 199, 50)
    for first in range(0, len(starts), 50_000):
        some = starts[first : first + 50_000]
        yield from IntervalReader(io.BytesIO(bed_lines(contig, some, some + 200)), "bins")


def scattered(sources: Sources, peaks: str) -> dict[str, bytes]:
    """Make the whole of the first contig, its bins in open chromatin, and lone bins."""
    contig, size = next(iter(sources.genome.sizes.items()))
    with open(peaks, "rb") as stream:
        open_chromatin = IntervalSet(read_intervals(stream, peaks), peaks)
    whole, accessible = [], []
    for batch in batches_of(contig, size):
        whole.append(batch.lines())
        accessible.append(batch.select(open_chromatin.overlaps(batch)).lines())
    lone = np.arange(0, size - 200, 100_000)
    return {
        "every bin": b"".join(whole),
        "bins in open chromatin": b"".join(accessible),
        "a bin every 100 kb": bed_lines(contig, lone, lone + 200),
    }


def scaffolds(folder: Path, count: int, size: int) -> tuple[Sources, bytes]:
    """Make a genome of small scaffolds: only their number matters here, not their bases."""
    names = [f"scaffold{number}" for number in range(count)]
    letters = "ACGT" * (size // 4)
    (folder / "small.fa").write_text("".join(f">{name}\n{letters}\n" for name in names))
    with pyBigWig.open(str(folder / "small.bw"), "w") as bigwig:
        bigwig.addHeader([(name, size) for name in names])
        bigwig.addEntries([names[0]], [0], ends=[100], values=[1.0])
    starts = np.arange(0, size - 199, 50)
    text = b"".join(bed_lines(name, starts, starts + 200) for name in names)
    return Sources(Genome(folder / "small.fa"), {"dnase": Signal(folder / "small.bw")}), text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onnx")
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--peaks", required=True, help="open chromatin, plain text")
    parser.add_argument("--scaffolds", type=int, default=5_000)
    options = parser.parse_args()
    name, _, path = options.signal.partition("=")
    sources = Sources(Genome(options.fasta), {name: Signal(path)})
    inputs = {what: (sources, text) for what, text in scattered(sources, options.peaks).items()}
    with tempfile.TemporaryDirectory() as folder:
        small, text = scaffolds(Path(folder), options.scaffolds, 1_000)
        inputs[f"{options.scaffolds:,} scaffolds of 1 kb"] = (small, text)
        print(f"{'input':28}{'bins':>10}" + "".join(f"{f'--chunk {c}':>14}" for c in CHUNKS))
        for what, (some, text) in inputs.items():
            times = [seconds(options, some, text, chunk) for chunk in CHUNKS]
            count = len(text.splitlines())
            print(f"{what:28}{count:>10,}" + "".join(f"{t:>12.2f} s" for t in times))


if __name__ == "__main__":
    main()
