"""How much a scan of each architecture saves over windows, at published sizes, in ONNX Runtime.

    python benchmarks/architectures.py [NAME ...]

One thread, whose processor time counts, data in memory, one task; both in turn. Weights are random,
which changes no time. Networks that take windows are left out, but for those of real flanks.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnxruntime

from tfbind.contract import Input
from tfbind.networks import ARCHITECTURES, scans
from tfbind.networks.graphs import write_graph

BINS, WINDOWS, ROUNDS = 256, 16, 3
REAL_FLANKS = {"deepbind": {"flanks": "real"}, "zeng": {"flanks": "real"}}
SOURCES = {"sequence": "uint8", "signal": "float32"}


def measure(name: str) -> tuple[float, float, float]:
    """Give bins/s of a scan and of windows, and the largest difference of their scores."""
    kind = ARCHITECTURES[name]
    inputs = [
        Input(f"{source}{place}", source, "uint8" if source == "sequence" else "float16")
        for place, source in enumerate(kind.inputs)
    ]
    model = kind.build(inputs, kind.geometry, 1, **REAL_FLANKS.get(name, {}))
    if not scans(model):
        raise SystemExit(f"{name} does not scan")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = write_graph(model, [spec.name for spec in inputs], "scores").SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    rng, length = np.random.default_rng(1), kind.geometry.length(BINS)
    stretch = {
        spec.name: rng.integers(0, 4, (1, length)).astype(SOURCES[spec.source]) for spec in inputs
    }
    windows = {
        key: np.ascontiguousarray(
            np.lib.stride_tricks.sliding_window_view(one[0], kind.geometry.window)[
                :: kind.geometry.stride
            ][:WINDOWS]
        )
        for key, one in stretch.items()
    }
    scanned, apart = (session.run(None, feed)[0] for feed in (stretch, windows))
    times: dict[int, list[float]] = {BINS: [], WINDOWS: []}
    for _ in range(ROUNDS):
        for bins, feed in ((BINS, stretch), (WINDOWS, windows)):
            began = time.thread_time()
            session.run(None, feed)
            times[bins].append(time.thread_time() - began)
    scan, window = (bins / min(found) for bins, found in times.items())
    return scan, window, float(np.abs(scanned[0, :WINDOWS] - apart[:, 0]).max())


def main() -> None:
    """Print a line for each architecture."""
    names = sys.argv[1:] or [
        name
        for name in ARCHITECTURES
        if set(ARCHITECTURES[name].inputs) <= set(SOURCES) and name != "danq"
    ]
    print("architecture\tscan, bins/s\twindows, bins/s\tratio\tdifference")
    for name in names:
        scan, window, difference = measure(name)
        print(f"{name}\t{scan:,.0f}\t{window:,.0f}\t{scan / window:.1f}\t{difference:.0e}")


if __name__ == "__main__":
    main()
