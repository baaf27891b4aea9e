"""What only a GPU shows: rates, agreement with the processor, want of memory, several devices.

python benchmarks/gpu.py ctcf.onnx half.onnx --fasta hg19.chrX.fa.gz --signal dnase=K562.dnase.bw

Prints Markdown. A variant of the first model, in half precision for example, is compared with it,
too. Each part is a process of its own, and its rows appear as they are measured, so that neither a
crash nor a part that is stopped for its time costs the rest. `--device cpu` tries the script.
"""

import argparse
import hashlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
from gpu_parts import GENOME, Cells, Options, agreement, attempt, head, memory, network, used

from tfbind.bins import grid
from tfbind.genome import contig_sizes
from tfbind.model import Model

TFBIND = shlex.join([sys.executable, "-P", "-m", "tfbind"])  # -P: not the folder it is run in


def piped(options: Options, env: dict[str, str], bins: str, score: str) -> tuple[float, str, str]:
    """Run the pipe: seconds, what the device held and did, processor time of the stages."""
    command = f"{TFBIND} bin -q {bins} | {TFBIND} score --device {options.device} {score}"
    samples: list[tuple[int, int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.3) and (found := used(options)):
            samples.append(found)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    words = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(words, env=env, stderr=subprocess.PIPE, text=True)
    spent = time.perf_counter() - began
    ended.set()
    watcher.join()
    if done.returncode:
        raise RuntimeError(f"status {done.returncode}: {done.stderr[-300:]}")
    held, busy = max((one[0] for one in samples), default=0), [one[1] for one in samples]
    device = f"{held:,} MiB, {sum(busy) / len(busy):.0f} % busy" if samples else ""
    return spent, device, done.stderr.partition("processor time: ")[2].partition("\n")[0]


def environment(fasta: str, track: str) -> dict[str, str]:
    env = os.environ | {"TFBIND_FASTA": fasta, "TFBIND_SIGNAL": track}
    return {name: value for name, value in env.items() if name != "TFBIND_BLACKLIST"}


def pipes(options: Options, env: dict[str, str], where: str, ways: dict[str, str]) -> None:
    """Time the pipe over a FASTA, from its start to its last byte."""
    sizes = contig_sizes(env["TFBIND_FASTA"])
    bins = len(grid(sizes, 200, 50))
    if where:
        counted = ["bash", "-c", f"{TFBIND} bin -q {where} | wc -l"]
        bins = int(subprocess.check_output(counted, env=env))
    columns = ("s", "bins/s", "a genome, s", "device, peak and mean", "processor time")
    head(f"End to end, {bins:,} bins, `--device {options.device}`", "", *columns)
    start = 0.0

    def cells(where: str, words: str, folder: str) -> Cells:
        spent, *seen = piped(options, env, where, words.replace("FOLDER", folder))
        whole = f"{start + (spent - start) * GENOME / bins:.0f}" if start else ""
        return f"{spent:.1f}", f"{bins / spent:,.0f}", whole, *seen

    def one_bin(words: str) -> Cells:
        nonlocal start
        start = piped(options, env, f"--region {next(iter(sizes))}:1-200", words)[0]
        return f"{start:.1f}", "", "", "", ""

    with tempfile.TemporaryDirectory() as folder:
        attempt(("one bin",), lambda: one_bin(next(iter(ways.values()))))
        for title, words in ways.items():
            attempt((title,), partial(cells, where, words, folder))


def pipe(options: Options) -> None:
    """Time the pipe over the FASTA given; hash what it writes in several ways."""
    env = environment(options.fasta, options.signal)
    first, name = options.models[0], Path(options.models[0]).name
    where = f"--region {options.region}" if options.region else ""
    ways = {f"{Path(path).name}, bedGraph": f"{path} > /dev/null" for path in options.models}
    ways[f"{name}, bedGraph, TF32"] = f"{first} --tf32 > /dev/null"
    ways[f"{name}, bigWig"] = f"{first} --force -o FOLDER/preds.bw"
    pipes(options, env, where, ways)
    head("The same bytes from `tfbind score`", "", "sha256")
    twice = f"--device {options.device},{options.device}"

    def cells(words: str) -> Cells:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "preds.bedGraph"
            piped(options, env, where or "--shard 8/14", f"{first} {words} > {out}")
            return (hashlib.sha256(out.read_bytes()).hexdigest()[:16],)

    for words in ("--threads 1", "--threads 8", twice):
        attempt((f"`{words}`",), partial(cells, words))


def genome(options: Options) -> None:
    """Time the pipe over a whole genome."""
    first, name = options.models[0], Path(options.models[0]).name
    ways = {
        f"{name}, bedGraph": f"{first} > /dev/null",
        f"{name}, bigWig": f"{first} --force -o FOLDER/preds.bw",
    }
    pipes(options, environment(options.genome_fasta, options.genome_signal), "", ways)


PARTS: dict[str, tuple[Callable[[Options], None], float]] = {
    "agreement": (agreement, 100),
    "network": (network, 270),
    "memory": (memory, 90),
    "pipe": (pipe, 120),
    "genome": (genome, 200),
}
"""What is measured, and the seconds that it may take."""


def in_process(name: str, seconds: float) -> None:
    """Measure a part in a process of its own, for so long at most."""
    began = time.monotonic()
    words = [sys.executable, *sys.argv, "--only", name]
    with subprocess.Popen(words, start_new_session=True) as child:
        try:
            if status := child.wait(seconds):
                print(f"\n{name}: ended with status {status}")
        except BaseException as error:  # its children go with it, also at Ctrl-C
            os.killpg(child.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            print(f"\n{name}: stopped after {seconds:.0f} s")
    print(f"\n{name} took {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help=".onnx files with a contract of tfbind")
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--place", default="chrX:38500000", help="where 7 Mb of bases begin")
    parser.add_argument("--region", help="only this one end to end")
    parser.add_argument("--genome-fasta", help="a whole genome, as of genome.py --work")
    parser.add_argument("--genome-signal", help="NAME=BIGWIG")
    parser.add_argument("--seconds", type=float, default=0.7, help="of measuring, for each rate")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all; later parts are cut")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--only", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        PARTS[options.only][0](options)
        return
    for path in options.models:
        Model(path, device="cpu")  # what is no model ends it here, before it costs time
    end = time.monotonic() + 60 * options.minutes
    card = subprocess.run("nvidia-smi -L", shell=True, capture_output=True, text=True).stdout
    print(f"{card.strip()}; {len(os.sched_getaffinity(0))} processors", end="; ")
    print(f"ONNX Runtime {onnxruntime.__version__}, {onnxruntime.get_available_providers()}")
    for name in options.parts:
        left = end - time.monotonic()
        if left < 1:
            print(f"\n{name}: no time left")
        elif name != "genome" or options.genome_fasta:
            in_process(name, min(PARTS[name][1], left))


if __name__ == "__main__":
    main()
