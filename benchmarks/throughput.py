"""Bins scored in a second: the pipe, and the ways that it replaces, side by side in one run.

python benchmarks/throughput.py ctcf.keras ctcf.onnx --fasta FASTA --signal dnase=BIGWIG

The network given, and a wide one of two layers of 256 filters with random weights. The pipe runs
over the whole genome given (the wide network over --part of it); windows, which are slow, over
less. Each way is timed several times, in turn with the others, and its fastest round counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyBigWig
import pysam

from tfbind.channels import Sources, channel
from tfbind.cli.keras_backend import load_keras
from tfbind.genome import Genome
from tfbind.model import CHUNK, Model
from tfbind.signal import Signal
from tfbind.tiles import Stretches

TFBIND = f"{sys.executable} -m tfbind"
THREADS = len(os.sched_getaffinity(0))
Timed = tuple[int, Callable[[], object]]


@dataclass(frozen=True)
class Bench:
    """A network, and where it is timed."""

    keras: str
    onnx: str
    fasta: str
    signal: str
    place: str

    @property
    def start(self) -> tuple[str, int]:
        """Where the place begins."""
        contig, _, span = self.place.partition(":")
        return contig, int(span.split("-")[0]) - 1

    def raw(self, model: Model, bins: int) -> dict[str, Any]:
        """Read the genome under bins."""
        name, _, path = self.signal.partition("=")
        sources = Sources(Genome(self.fasta), {name: Signal(path)})
        stretches = Stretches(model.contract.geometry, model.contract.inputs, sources)
        return stretches.read(*self.start, bins)


def pipe(bench: Bench, region: str, *score_options: str) -> Timed:
    """Time the shell's own pipe, starts of both programs included."""
    env = os.environ | {"TFBIND_FASTA": bench.fasta, "TFBIND_SIGNAL": bench.signal}
    bins = f"{TFBIND} bin {region}"
    command = f"{bins} | {TFBIND} score {bench.onnx} -q {' '.join(score_options)} > /dev/null"
    counted = subprocess.run(
        f"{bins} | wc -l", shell=True, env=env, capture_output=True, check=True
    )
    return int(counted.stdout), lambda: subprocess.run(command, shell=True, env=env, check=True)


def scan_alone(bench: Bench) -> Timed:
    """Time the runtime alone on a prepared chunk in memory, its calls in parallel."""
    model = Model(bench.onnx, device="cpu")
    raw = bench.raw(model, CHUNK)
    feeds = {
        spec.name: channel(spec).prepare(raw[spec.name])[None] for spec in model.contract.inputs
    }
    session = one_thread_session(bench.onnx)
    calls = 32 * THREADS

    def run() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: session.run(None, feeds), range(calls)))

    return calls * CHUNK, run


def one_thread_session(path: str | bytes) -> onnxruntime.InferenceSession:
    """Open a model whose calls take one thread each."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def windows_alone(bench: Bench, count: int) -> tuple[Timed, Timed, Timed]:
    """Time ready-made windows in memory: ONNX Runtime, on two graphs of the network, and Keras."""
    from tfbind.export import converted, strands
    from tfbind.networks.files import load_network

    network = load_network(bench.keras)
    model = Model(bench.onnx, device="cpu")
    raw = bench.raw(model, count)
    geometry = model.contract.geometry
    windows = {
        spec.name: np.ascontiguousarray(
            np.lib.stride_tricks.sliding_window_view(
                channel(spec).prepare(raw[spec.name]), geometry.window
            )[:: geometry.stride]
        )
        for spec in model.contract.inputs
    }
    inputs = model.contract.inputs
    plain = converted(strands(network.model, inputs, False), inputs).SerializeToString()

    def by_runtime(graph: str | bytes) -> Timed:
        session = one_thread_session(graph)

        def call(first: int) -> None:
            some = {name: array[first : first + CHUNK] for name, array in windows.items()}
            session.run(None, some)

        def run() -> None:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(call, range(0, count, CHUNK)))

        return count, run

    def by_keras() -> None:
        network.model.predict(windows, batch_size=CHUNK, verbose=0)

    return by_runtime(plain), by_runtime(bench.onnx), (count, by_keras)


def windowed_pipe(bench: Bench, count: int) -> Timed:
    """Time what is usually written: cut each bin's window, one-hot it, and predict in batches.

    The network is the same one behind its one-hot layer, and the batch holds as many windows as a
    machine's memory easily does.
    """
    import keras

    from tfbind.networks.files import load_network
    from tfbind.networks.layers import OneHot

    network = load_network(bench.keras)
    (one_hot,) = (one for one in network.model.layers if isinstance(one, OneHot))
    others = [end for end in network.model.inputs if end.name != "sequence"]
    behind = keras.Model([one_hot.output, *others], network.model.outputs)
    letters = np.frombuffer(b"ACGT", np.uint8)
    contig, start = bench.start
    signal = bench.signal.partition("=")[2]

    def run() -> None:
        with pysam.FastaFile(bench.fasta) as fasta, pyBigWig.open(signal) as bigwig:
            for first in range(0, count, 4096):
                some = range(first, min(first + 4096, count))
                bases = np.zeros((len(some), 1000, 4), np.float32)
                heights = np.zeros((len(some), 1000), np.float32)
                for row, place in enumerate(start + 50 * number - 400 for number in some):
                    window = fasta.fetch(contig, place, place + 1000).upper().encode()
                    bases[row] = np.frombuffer(window, np.uint8)[:, None] == letters
                    values = bigwig.values(contig, place, place + 1000, numpy=True)
                    heights[row] = np.log1p(np.nan_to_num(values))
                feeds = [bases, heights] if others else [bases]
                behind.predict(feeds, batch_size=CHUNK, verbose=0)

    return count, run


def save_wide(bench: Bench, folder: Path) -> Bench:
    """Make the wide network, and export it."""
    from hot_path import wide

    from tfbind.export import export
    from tfbind.networks.files import Network, load_network, save_network

    known = load_network(bench.keras)
    sequence = tuple(spec for spec in known.contract.inputs if spec.source == "sequence")
    contract = replace(known.contract, inputs=sequence, architecture="wide", parameters={})
    network = Network(wide(), contract, known.tiles)
    save_network(network, folder / "wide.keras")
    model, _ = export(network, both_strands=False)
    onnx.save(model, str(folder / "wide.onnx"))
    return replace(bench, keras=str(folder / "wide.keras"), onnx=str(folder / "wide.onnx"))


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


def table(title: str, rates: dict[str, float]) -> None:
    """Print rates, and how the pipe compares."""
    first = rates["tfbind bin \\| tfbind score"]
    print(f"\n| {title} | bins/s | the pipe is |\n|---|---:|---:|")
    for way, rate in rates.items():
        print(f"| {way} | {rate:,.0f} | {first / rate:.2f} x |", flush=True)


def ways_of(bench: Bench, region: str, place: str, windows: int) -> dict[str, Timed]:
    """List the ways to score with one network."""
    plain_windows, onnx_windows, keras_windows = windows_alone(bench, windows)
    return {
        "tfbind bin \\| tfbind score": pipe(bench, region),
        "the scanned network alone, in memory": scan_alone(bench),
        "tfbind score --windows": pipe(bench, f"--region {place}", "--windows"),
        "ONNX Runtime on windows in memory, graph of tfbind export": onnx_windows,
        "ONNX Runtime on windows in memory, graph of tf2onnx": plain_windows,
        "Keras predict on windows in memory": keras_windows,
        "windows cut from FASTA and bigWig, one-hot, Keras predict": windowed_pipe(bench, windows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keras", help="the network, a .keras file")
    parser.add_argument("onnx", help="the same network, exported without --both-strands")
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True, help="NAME=BIGWIG")
    parser.add_argument("--place", default="chrX:48000001-48500000", help="where windows are cut")
    parser.add_argument("--small", default="chrX:48000001-48100000", help="for the wide network")
    parser.add_argument("--part", default="chrX:40000001-60000000", help="for the wide network")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    load_keras()
    bench = Bench(options.keras, options.onnx, options.fasta, options.signal, options.place)
    rates = fastest(ways_of(bench, "", options.place, 32 * CHUNK), options.rounds)
    table("the network given", rates)
    with tempfile.TemporaryDirectory() as folder:
        wide = save_wide(bench, Path(folder))
        ways = ways_of(wide, f"--region {options.part}", options.small, 8 * CHUNK)
        table("the wide network", fastest(ways, options.rounds))


if __name__ == "__main__":
    main()
