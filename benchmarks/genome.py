"""Score a whole genome: how long, in how much memory, where the time goes, and is it linear.

python benchmarks/genome.py ctcf.onnx --fasta hg19.chrX.fa.gz --signal dnase=K562.dnase.bw
    --sizes hg19.chrom.sizes --work FOLDER

The genome has the chromosomes and sizes that are given. Its bases are those of the first contig
of the FASTA, over and over, and so is its signal: real bases, but no real genome. It is kept in
the folder for the next run. `--shrink 100` makes all chromosomes 100 times shorter, for a try.
"""

import argparse
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyBigWig
from repeated_genome import Sizes, repeated

from tfbind.bins import grid
from tfbind.genome import contig_sizes
from tfbind.intervals import IntervalReader, bed_lines
from tfbind.model import Model
from tfbind.tracks import Centres, bedgraph_lines

TFBIND = shlex.join([sys.executable, "-m", "tfbind"])
SAMPLED = 0.1
PARTS = (1, 4, 16)


def whole_genome(options: argparse.Namespace, work: Path) -> tuple[dict[str, str], Sizes]:
    """Make the genome; give the environment that tells tfbind of it, and its sizes."""
    sizes = {name: -(-size // options.shrink) for name, size in contig_sizes(options.sizes).items()}
    signal, _, bigwig = options.signal.partition("=")
    stem = f"{Path(options.sizes).stem}.{Path(bigwig).stem}.{options.shrink}"
    fasta, track = repeated(options.fasta, bigwig, sizes, work / stem)
    env = os.environ | {"TFBIND_FASTA": str(fasta), "TFBIND_SIGNAL": f"{signal}={track}"}
    env.pop("TFBIND_BLACKLIST", None)
    return env, sizes


@dataclass
class Watched:
    """What a pipe did."""

    seconds: float = 0
    told: str = ""
    samples: list[tuple[float, int]] = field(default_factory=list)
    """Progress, and the memory that `score` uses, bytes."""
    peaks: dict[str, int] = field(default_factory=dict)
    """The most memory that each program used, bytes."""

    def at(self, share: float) -> float:
        """Give the memory of `score`, MB, when this share was done."""
        last = self.samples[-1][0]
        return next(held for done, held in self.samples if done >= share * last) / 1e6


def pipe(bin_options: str, score_options: str) -> list[str]:
    text = f"{TFBIND} bin -q {bin_options} | {TFBIND} score {score_options}"
    return ["bash", "-o", "pipefail", "-c", text]


def memory(process: str) -> tuple[str, int, int]:
    """Tell a program's name, the memory that it uses and the most that it used, bytes."""
    words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    status = Path(f"/proc/{process}/status").read_text()
    now, most = (int(re.findall(rf"{key}:\s+(\d+) kB", status)[0]) for key in ("VmRSS", "VmHWM"))
    return "score" if b"score" in words else "bin", now * 1024, most * 1024


def watch(command: list[str], env: dict[str, str], grows: Path | None) -> Watched:
    """Run a pipe in a shell; progress is the size of a file, or else the time."""
    found = Watched()
    with tempfile.TemporaryFile("w+") as told:
        began = time.perf_counter()
        with subprocess.Popen(command, env=env, stderr=told) as shell:
            children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children")
            while shell.poll() is None:
                with suppress(OSError, IndexError):  # one has ended meanwhile
                    seen = {name: some for name, *some in map(memory, children.read_text().split())}
                    found.peaks |= {name: most for name, (_, most) in seen.items()}
                    done = time.perf_counter() - began if grows is None else grows.stat().st_size
                    if "score" in seen:
                        found.samples.append((done, seen["score"][0]))
                time.sleep(SAMPLED)
        found.seconds = time.perf_counter() - began
        told.seek(0)
        found.told = told.read()
    if shell.returncode:
        sys.exit(found.told)
    return found


def check_text(path: Path, bins: int, contig: str, end: int) -> None:
    """Expect a header, a line a bin and the last bin last."""
    lines = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 24):
            lines += block.count(b"\n")
        stream.seek(-200, os.SEEK_END)
        last = stream.read().split(b"\n")[-2].split(b"\t")
    assert lines == bins + 1, f"{lines - 1:,} lines of scores, expected {bins:,}"
    assert last[:3] == [contig.encode(), b"%d" % (end - 50), b"%d" % end], last


def check_bigwig(path: Path, bins: int, contig: str, end: int) -> None:
    with pyBigWig.open(str(path)) as track:
        covered, levels = (track.header()[key] for key in ("nBasesCovered", "nLevels"))
        last = track.intervals(contig, end - 50, end)
    assert covered == 50 * bins, f"{covered:,} bp covered, expected {50 * bins:,}"
    assert last
    assert last[0][:2] == (end - 50, end), last
    assert levels, "no zoom levels"


def genome_run(
    options: argparse.Namespace, env: dict[str, str], sizes: Sizes, output: Path
) -> None:
    """Score all bins into a file, and print a table."""
    is_text = output.suffix == ".bedgraph"
    command = pipe("", f"{options.model} {'>' if is_text else '-o'} {output}")
    found = watch(command, env, output if is_text else None)
    bins = grid(sizes, 200, 50)
    contig, _, last = bins.runs[-1]
    check = check_text if is_text else check_bigwig
    check(output, len(bins), contig, (last - 1) * 50 + 125)
    print(f"\n### {output.suffix[1:]}: {len(bins):,} bins on {len(sizes)} chromosomes\n")
    print("| | |\n|---|---:|")
    print(f"| time | {found.seconds:,.1f} s |")
    print(f"| rate | {len(bins) / found.seconds:,.0f} bins/s |")
    for name, peak in found.peaks.items():
        print(f"| peak memory of `{name}` | {peak / 1e6:,.0f} MB |")
    print(f"| output, checked | {output.stat().st_size / 1e6:,.0f} MB |")
    for stage, spent in re.findall(r"(\w+) ([\d.]+) s\b", found.told.partition("time:")[2]):
        print(f"| processor time, {stage} | {spent} s |")
    shares = range(10, 101, 10)
    cells = (f"{share} %" for share in shares)
    print(f"\n| share of the {'output' if is_text else 'time'} | {' | '.join(cells)} |")
    print("|---|" + "---:|" * len(shares))
    cells = (f"{found.at(share / 100):,.0f}" for share in shares)
    print(f"| memory of `score`, MB | {' | '.join(cells)} |")
    output.unlink()


def linearity(options: argparse.Namespace, env: dict[str, str], sizes: Sizes) -> None:
    """Score parts of the genome, each twice in turn; the faster round counts."""
    bins = grid(sizes, 200, 50)
    contig = next(iter(sizes))
    shards = {f"{part} x": options.smallest // part for part in PARTS}
    asked = {"one bin": f"--region {contig}:1-200"}
    asked |= {name: f"--shard 1/{count}" for name, count in shards.items()}
    counts = {name: len(bins.shard(1, count)) for name, count in shards.items()}
    best = dict.fromkeys(asked, float("inf"))
    for _ in range(options.rounds):
        for name, option in asked.items():
            began = time.perf_counter()
            command = pipe(option, f"-q {options.model} > /dev/null")
            subprocess.run(command, env=env, check=True)
            best[name] = min(best[name], time.perf_counter() - began)
    start = best["one bin"]
    costs = {n: (best[n] / counts[n], (best[n] - start) / counts[n]) for n in shards}
    first = costs[f"{PARTS[0]} x"]
    print("\n### Time for 1, 4 and 16 times the input\n")
    print("| input | bins | time | time a bin | without the start: time a bin |")
    print("|---|---:|---:|---:|---:|")
    print(f"| one bin | 1 | {start:.2f} s | | |")
    for name, cost in costs.items():
        shown = (f"{c * 1e6:.2f} µs, {c / f:.2f} x" for c, f in zip(cost, first, strict=True))
        print(f"| {name} | {counts[name]:,} | {best[name]:.2f} s | {' | '.join(shown)} |")


def stages(options: argparse.Namespace, env: dict[str, str], sizes: Sizes) -> None:
    """Time the stages that are text alone; from here on, all is done on one core."""
    geometry = Model(options.model, device="cpu").contract.geometry
    starts = np.arange(2_000_000, dtype=np.int64) * 50
    text = bed_lines("chr10", starts, starts + 200)
    batches = list(IntervalReader(io.BytesIO(text), "bins"))
    scores = np.random.default_rng(1).random(len(starts), np.float32) ** 4

    def parse() -> int:
        return sum(len(batch) for batch in IntervalReader(io.BytesIO(text), "bins"))

    def write() -> int:
        centres = Centres(geometry, "bins")
        for batch in batches:
            bedgraph_lines(batch, scores[: len(batch)], centres)
        return len(starts)

    def lay() -> int:
        words = [*shlex.split(TFBIND), "bin", "-q"]
        subprocess.run(words, env=env, stdout=subprocess.DEVNULL, check=True)
        return len(grid(sizes, 200, 50))

    print("\n### Stages alone, on one core\n\n| stage | lines/s | goal |\n|---|---:|---:|")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name, run, goal in (
        ("parse BED, in memory", parse, 5),
        ("write bedGraph, in memory", write, 3),
        ("`tfbind bin > /dev/null`, its start included", lay, 5),
    ):
        rates = []
        for _ in range(1 + options.rounds):
            began = time.perf_counter()
            rates.append(run() / (time.perf_counter() - began))
        print(f"| {name} | {max(rates):,.0f} | {goal},000,000 |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="an .onnx file of one task and one signal")
    parser.add_argument("--fasta", required=True, help="its first contig is repeated")
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--sizes", required=True, help="names and sizes of the chromosomes")
    parser.add_argument("--work", type=Path, help="where 1 GB of genome is kept")
    parser.add_argument("--shrink", type=int, default=1, help="times that chromosomes are shorter")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--smallest", type=int, default=32, help="1 x is so small a part")
    what = ["genome", "linearity", "stages"]
    parser.add_argument("--measure", nargs="+", choices=what, default=what)
    formats = ["bedgraph", "bigwig"]
    parser.add_argument("--format", nargs="+", choices=formats, default=formats)
    options = parser.parse_args()
    if options.work:
        options.work.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        env, sizes = whole_genome(options, options.work or Path(scratch))
        if "genome" in options.measure:
            for kind in options.format:
                genome_run(options, env, sizes, Path(scratch) / f"preds.{kind}")
        if "linearity" in options.measure:
            linearity(options, env, sizes)
        if "stages" in options.measure:
            stages(options, env, sizes)


if __name__ == "__main__":
    main()
