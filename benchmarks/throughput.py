"""Bins scored in a second: the pipe, and the ways that it replaces, side by side in one run.

python benchmarks/throughput.py ctcf.keras ctcf.onnx --fasta FASTA --signal dnase=BIGWIG

The pipe runs over the whole genome given; windows, which are slow, over less of it. Each
way is timed several times, in turn with the others, and its fastest round counts.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from tfbind.channels import Sources, channel
from tfbind.cli.keras_backend import load_keras
from tfbind.genome import Genome
from tfbind.model import CHUNK, Model
from tfbind.signal import Signal
from tfbind.tiles import Stretches

TFBIND = f"{sys.executable} -m tfbind"
THREADS = len(os.sched_getaffinity(0))
Timed = tuple[int, Callable[[], object]]


def pipe(options: argparse.Namespace, region: str, *score_options: str) -> Timed:
    """Time the shell's own pipe, starts of both programs included."""
    env = os.environ | {"TFBIND_FASTA": options.fasta, "TFBIND_SIGNAL": options.signal}
    bins = f"{TFBIND} bin {region}"
    command = f"{bins} | {TFBIND} score {options.onnx} -q {' '.join(score_options)} > /dev/null"
    counted = subprocess.run(
        f"{bins} | wc -l", shell=True, env=env, capture_output=True, check=True
    )
    return int(counted.stdout), lambda: subprocess.run(command, shell=True, env=env, check=True)


def scan_alone(model: Model, stretches: Stretches, contig: str, start: int) -> Timed:
    """Time the network on chunks that are in memory, the runtime's calls in parallel."""
    chunks = 8
    raw = stretches.read(contig, start, chunks * CHUNK)
    rounds = 4 * THREADS

    def run() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: model.scores(raw, chunks), range(rounds)))

    return rounds * chunks * CHUNK, run


def windows_alone(
    options: argparse.Namespace, model: Model, stretches: Stretches, contig: str, start: int
) -> tuple[Timed, Timed]:
    """Time ONNX Runtime and Keras on ready-made windows in memory."""
    load_keras()
    from tfbind.networks.files import load_network

    network = load_network(options.keras)
    count = 32 * CHUNK
    raw = stretches.read(contig, start, count)
    geometry = model.contract.geometry
    windows = {
        spec.name: np.ascontiguousarray(
            np.lib.stride_tricks.sliding_window_view(
                channel(spec).prepare(raw[spec.name]), geometry.window
            )[:: geometry.stride]
        )
        for spec in model.contract.inputs
    }
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        options.onnx, one_thread, providers=["CPUExecutionProvider"]
    )

    def onnx() -> None:
        def call(first: int) -> None:
            some = {name: array[first : first + CHUNK] for name, array in windows.items()}
            session.run(None, some)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(call, range(0, count, CHUNK)))

    def keras() -> None:
        network.model.predict(windows, batch_size=CHUNK, verbose=0)

    return (count, onnx), (count, keras)


def fastest(ways: dict[str, Timed], rounds: int) -> dict[str, float]:
    """Run every way in turn, several times, and give the best rate of each, bins/s."""
    for _, run in ways.values():
        run()
    best = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for name, (bins, run) in ways.items():
            began = time.perf_counter()
            run()
            best[name] = max(best[name], bins / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keras", help="the network, a .keras file")
    parser.add_argument("onnx", help="the same network, exported without --both-strands")
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--place", default="chrX:48000001-48500000", help="where windows are cut")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    model = Model(options.onnx, device="cpu")
    name, _, path = options.signal.partition("=")
    sources = Sources(Genome(options.fasta), {name: Signal(path)})
    stretches = Stretches(model.contract.geometry, model.contract.inputs, sources)
    contig, _, span = options.place.partition(":")
    start = int(span.split("-")[0]) - 1
    onnx, keras = windows_alone(options, model, stretches, contig, start)
    rates = fastest(
        {
            "tfbind bin | tfbind score": pipe(options, ""),
            "the scanned network alone, in memory": scan_alone(model, stretches, contig, start),
            "tfbind score --windows": pipe(options, f"--region {options.place}", "--windows"),
            "ONNX Runtime on windows in memory": onnx,
            "Keras predict on windows in memory": keras,
        },
        options.rounds,
    )
    first = rates["tfbind bin | tfbind score"]
    print(f"{'way':40}{'bins/s':>10}{'the pipe is':>14}")
    for way, rate in rates.items():
        print(f"{way:40}{rate:>10,.0f}{first / rate:>12.2f} x")


if __name__ == "__main__":
    main()
