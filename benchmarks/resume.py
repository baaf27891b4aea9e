"""Kill `tfbind score --resume` at random moments, fill its disk, and compare what it ends with.

python benchmarks/resume.py ctcf.onnx --fasta hg19.chrX.fa.gz --signal dnase=K562.dnase.bw

Each run goes on where a killed one was, and must end with the file of a run that was left alone,
byte for byte; exit status 1 if one does not. A small disk is a tmpfs, which takes root to mount.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfbind.journal import HEAD

TFBIND = [sys.executable, "-m", "tfbind"]
NAMES = ("preds.bedGraph", "preds.bw")


@dataclass(frozen=True)
class Job:
    """What is scored, and what comes out of it."""

    command: list[str]
    env: dict[str, str]
    whole: bytes
    seconds: float
    """Of a run that was left alone, with `--resume`."""
    begins: float
    """Seconds of a run without bins."""
    longest: float
    """Seconds after which a run is taken to hang."""

    def start(self, output: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, "--resume", "-o", str(output)],
            env=self.env,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, output: Path) -> tuple[int, str, float]:
        """Run to the end; give the status, standard error and seconds."""
        began = time.perf_counter()
        process = self.start(output)
        try:
            _, told = process.communicate(timeout=self.longest)
        except subprocess.TimeoutExpired:
            process.kill()
            told = f"no end after {self.longest:.0f} s\n" + process.communicate()[1]
        return process.returncode, told, time.perf_counter() - began

    def kill(self, output: Path, moment: float) -> bool:
        """Kill a run at a moment, seconds; tell whether that was before its end."""
        process = self.start(output)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        return process.returncode < 0

    def is_whole(self, output: Path) -> bool:
        """Tell whether a file is as it should be, and nothing else was left beside it."""
        return os.listdir(output.parent) == [output.name] and output.read_bytes() == self.whole


def journalled(output: Path) -> int:
    """Count the bins in the whole records of a journal of one task."""
    try:
        data = Path(f"{output}.journal").read_bytes()
    except FileNotFoundError:
        return 0
    at, bins = data.find(b"\n") + 1, 0
    while at and at + HEAD.size <= len(data):
        count = HEAD.unpack_from(data, at)[0]
        at += HEAD.size + 4 * count
        if at <= len(data):
            bins += count
    return bins


def timed(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def prepared(options: argparse.Namespace, folder: Path, name: str, bins: Path) -> Job:
    """Score once without and once with `--resume`, and tell what that costs."""
    env = os.environ | {"TFBIND_FASTA": options.fasta, "TFBIND_SIGNAL": options.signal}
    command = [*TFBIND, "score", options.model, str(bins), "-q"]
    plain, kept = folder / f"plain.{name}", folder / f"kept.{name}"
    alone = timed([*command, "-o", str(plain)], env)
    with_journal = timed([*command, "--resume", "-o", str(kept)], env)
    begins = timed([*TFBIND, "score", options.model, os.devnull, "-q"], env)
    whole = plain.read_bytes()
    same = kept.read_bytes() == whole
    print(f"\n### {name}\n\nLeft alone: {alone:.1f} s; with `--resume`: {with_journal:.1f} s.\n")
    if not same:
        sys.exit("with --resume the file is another")
    return Job(command, env, whole, with_journal, begins, options.longest)


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def yes(right: bool, told: str = "") -> str:
    return "yes" if right else " ".join(["NO", *told.split()])


def killed_once(job: Job, folder: Path, name: str, kills: int, dice: random.Random) -> bool:
    """Kill a run at each of several moments, and finish it."""
    row("killed at", "bins in the journal", "finished in", "identical")
    print("|---:|---:|---:|---|")
    right = True
    for number in range(kills):
        output = folder / f"{number}" / name
        output.parent.mkdir()
        moment = (number + dice.random()) / kills * job.seconds
        while not job.kill(output, moment):  # it was faster this time
            output.unlink()
            moment *= dice.random()
        bins = journalled(output)
        status, told, seconds = job.finish(output)
        same = status == 0 and job.is_whole(output)
        right &= same
        row(f"{moment:.2f} s", f"{bins:,}", f"{seconds:.2f} s", yes(same, told))
        shutil.rmtree(output.parent)
    return right


def killed_again(job: Job, folder: Path, name: str, kills: int, dice: random.Random) -> bool:
    """Kill a run, and the one that goes on, and the next; then let one finish."""
    output = folder / "again" / name
    output.parent.mkdir()
    found: list[str] = []
    share = (job.seconds - job.begins) / kills
    while len(found) < kills:
        if job.kill(output, dice.uniform(job.begins / 2, job.begins + 2 * share)):
            found.append(f"{journalled(output):,}")
        else:  # it was done before all kills were: once more from the start
            output.unlink()
    status, told, seconds = job.finish(output)
    same = status == 0 and job.is_whole(output)
    print(f"\nKilled {len(found)} times in a row, with {', '.join(found)} bins in the journal;")
    print(f"finished in {seconds:.2f} s, identical: {yes(same, told)}")
    shutil.rmtree(output.parent)
    return same


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a disk in memory, if that is allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def filled(job: Job, folder: Path, name: str, bins: int, shares: list[float]) -> bool:
    """Fill a disk at several places of a run, make room, and go on."""
    # Journal 4 bytes a bin, scores on their way to a bigWig 8 more.
    needed = len(job.whole) + bins * (12 if name.endswith(".bw") else 4)
    right = True
    print()
    row("disk", "status", "standard error", "bins in the journal", "then identical")
    print("|---:|---:|---|---:|---|")
    for share in shares:
        with small_disk(folder / "disk") as disk:
            if disk is None:
                print("no disk could be mounted: not tried")
                return True
            resize(disk, int(share * needed) // 4096 * 4096)
            output = disk / name
            status, told, _ = job.finish(output)
            kept = journalled(output)
            one_line = status == 1 and told.count("\n") == 1 and not output.exists()
            resize(disk, 2 * needed + (64 << 20))
            same = one_line and job.finish(output)[0] == 0 and job.is_whole(output)
            told = " ".join(told.replace(str(disk), "DISK").split())
            row(f"{share:.0%} of the need", status, told, f"{kept:,}", yes(same))
            right &= same
        (folder / "disk").rmdir()
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="an .onnx file of one task")
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--region", help="only its bins, for a try")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.2, 0.5, 0.8, 0.95])
    parser.add_argument("--format", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--what", nargs="+", choices=["kill", "fill"], default=["kill", "fill"])
    parser.add_argument("--longest", type=float, default=600, help="seconds until a run hangs")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    right = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bins = folder / "bins.bed"
        region = ["--region", options.region] if options.region else []
        subprocess.run([*TFBIND, "bin", options.fasta, "-q", *region, "-o", str(bins)], check=True)
        count = bins.read_bytes().count(b"\n")
        print(f"{count:,} bins")
        for name in options.format:
            job = prepared(options, folder, name, bins)
            if "kill" in options.what:
                right &= killed_once(job, folder, name, options.kills, dice)
                right &= killed_again(job, folder, name, options.kills, dice)
            if "fill" in options.what:
                right &= filled(job, folder, name, count, options.shares)
    sys.exit(not right)


if __name__ == "__main__":
    main()
