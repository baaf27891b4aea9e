"""Bins scored in a second by the network alone: graphs, options and chunks, side by side.

python benchmarks/hot_path.py

Two networks with random weights and input: the thesis' shallow one, and a wide one of two layers of
256 filters. Two calls of ONNX Runtime go on at a time, each of one thread, over arrays in memory.
Each way is timed in turn with the others, several times, and its fastest round counts; time is
that of the processor, which other programs on the machine disturb less than the clock on the wall.
"""

import argparse
import importlib.util
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime

from tfbind.cli.keras_backend import load_keras

load_keras()

import keras  # noqa: E402
from keras import layers  # noqa: E402
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: E402

from tfbind.contract import Geometry, Input  # noqa: E402
from tfbind.export import OUTPUT, converted, strands  # noqa: E402
from tfbind.networks import graphs, shallow  # noqa: E402
from tfbind.networks.layers import AtrousMaxPool, BinRows, OneHot  # noqa: E402

GEOMETRY = Geometry()
CHUNK, CHUNKS = 256, (32, 64, 128, 256, 512, 1024)
CALLS, BINS = 2, 2**14
SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
CONVERTED, WRITTEN = "converted by tf2onnx", "written by export"
DENSE, CONVOLUTION = (graphs.WRITERS[kind] for kind in (layers.Dense, layers.Conv1D))
Session = Any
CPU = ["CPUExecutionProvider"]


def wide(filters: int = 256, width: int = 20, pool: int = 10, second: int = 8) -> keras.Model:
    ends = keras.Input((None,), name="sequence", dtype="uint8")
    rows = layers.Conv1D(filters, width, activation="relu")(OneHot()(ends))
    rows = AtrousMaxPool(pool, GEOMETRY.stride)(rows)
    rows = layers.Conv1D(filters, second, activation="relu")(rows)
    left = (GEOMETRY.window - width + 1) // pool - second + 1
    rows = BinRows(1, GEOMETRY.stride // pool, left)(rows)
    hidden = layers.Dense(32, activation="relu")(rows)
    return keras.Model({"sequence": ends}, layers.Dense(1, activation="sigmoid")(hidden))


def disturb(model: keras.Model) -> None:
    """Put numbers where an untrained network has zeros and ones, which a converter leaves out."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def gathered(writer: Any, layer: Any, features: Any) -> Any:
    """Write a dense layer on copies of each bin's rows."""
    bins = features.bins
    if bins is None:
        return DENSE(writer, layer, features)
    rows = writer.node("Transpose", features.name, perm=[0, 2, 3, 1])
    count = writer.node("Squeeze", writer.node("Shape", rows, start=2, end=3), writer.integers(0))
    first, one, step = (writer.constant(it, np.int64) for it in (0, bins.one - 1, bins.step))
    firsts = writer.node("Range", first, writer.node("Sub", count, one), step)
    places = writer.constant(np.arange(bins.count) * bins.dilation, np.int64)
    index = writer.node("Add", writer.node("Unsqueeze", firsts, writer.integers(1)), places)
    rows = writer.node("Gather", rows, index, axis=2)  # batch, 1, bins, rows of a bin, channels
    rows = writer.node("Reshape", rows, writer.integers(0, 1, -1, layer.kernel.shape[0]))
    given = writer.node("MatMul", rows, writer.constant(layer.kernel))
    given = writer.node("Add", given, writer.constant(layer.bias))
    return writer.activated(layer.activation, writer.node("Transpose", given, perm=[0, 3, 1, 2]))


def looked_up(writer: Any, layer: Any, codes: Any) -> Any:
    """Write one-hot rows as rows of a table."""
    indices = writer.node("Cast", codes.name, to=onnx.TensorProto.INT32)
    rows = writer.node("Gather", writer.constant(np.eye(5, 4)), indices)
    rows = writer.node("Unsqueeze", rows, writer.integers(1))
    return replace(codes, name=writer.node("Transpose", rows, perm=[0, 3, 1, 2]))


def words(writer: Any, layer: Any, codes: Any, k: int = 5) -> Any:
    """Write a convolution over bases as a sum of rows of tables, one for each k bases of it."""
    kernel = np.pad(np.asarray(layer.kernel), ((0, 0), (0, 1), (0, 0)))  # unknown: zeros
    if codes.name != "sequence" or len(kernel) % k:
        return CONVOLUTION(writer, layer, codes)
    scale = writer.constant(5.0 ** np.arange(k)[::-1].reshape(1, 1, k))
    given, one = writer.node("Cast", codes.name, to=onnx.TensorProto.FLOAT), writer.integers(1)
    given = writer.node("Conv", writer.node("Unsqueeze", given, one), scale)
    index = writer.node("Cast", writer.node("Squeeze", given, one), to=onnx.TensorProto.INT32)
    every = np.array(list(itertools.product(range(5), repeat=k)))
    total = writer.constant(layer.bias)
    for first in range(0, len(kernel), k):
        table = np.sum([kernel[first + at, every[:, at]] for at in range(k)], axis=0)
        ends = [writer.integers(at) for at in (first, first + k - len(kernel) or 2**62, 1)]
        part = writer.node("Slice", index, *ends)
        total = writer.node("Add", writer.node("Gather", writer.constant(table), part), total)
    total = writer.node("Unsqueeze", total, one)
    return writer.activated(layer.activation, writer.node("Transpose", total, perm=[0, 3, 1, 2]))


def session(graph: Any, level: str = "ALL", fixed: bool = False, **options: Any) -> Session:
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    chosen.graph_optimization_level = getattr(levels, f"ORT_ENABLE_{level}")
    if fixed:
        chosen.add_free_dimension_override_by_name("batch", 1)
        chosen.add_free_dimension_override_by_name("bases", GEOMETRY.length(CHUNK))
    for name, value in options.items():
        setattr(chosen, name, value)
    return onnxruntime.InferenceSession(graph.SerializeToString(), chosen, providers=CPU)


def arrays(session: Session, chunk: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (1, GEOMETRY.length(chunk))
    return {
        one.name: rng.integers(0, 5, shape, np.uint8)
        if one.type == "tensor(uint8)"
        else np.log1p(rng.exponential(1, shape)).astype(np.float32)
        for one in session.get_inputs()
    }


def int8(graph: onnx.ModelProto) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("float.onnx", "int8.onnx")]
        onnx.save(graph, paths[0])
        quantize_dynamic(*paths, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
        return onnx.load(paths[1])


def variants(before: Any, graph: Any, written: Callable[..., Any]) -> dict[str, Session]:
    by_words = {OneHot: lambda writer, layer, codes: codes, layers.Conv1D: words}
    found = {
        CONVERTED: session(before),
        "- sizes fixed": session(before, fixed=True),
        "- dense layers in int8": session(int8(before)),
        WRITTEN: session(graph),
        "- rows of bins gathered": session(written({layers.Dense: gathered})),
        "- bases looked up, then transposed": session(written({OneHot: looked_up})),
        "- first layer by tables of 5-mers": session(written(by_words)),
        "- runtime's blocked layout off": session(graph, level="EXTENDED"),
        "- sizes fixed ": session(graph, fixed=True),
        "- memory arena off": session(graph, enable_cpu_mem_arena=False),
    }
    if importlib.util.find_spec("onnxslim"):
        slim = importlib.import_module("onnxslim").slim
        found["converted, through onnxslim"] = session(slim(before))
    return found


def seconds(runs: Session, given: dict[str, Any], times: int) -> float:
    began = time.thread_time()
    for _ in range(times):
        runs.run(None, given)
    return time.thread_time() - began


def fastest(ways: dict[str, tuple[Session, int]], rounds: int) -> dict[str, float]:
    """Run every way in turn, several times, and give the best rate of each, bins/s."""
    best = dict.fromkeys(ways, 0.0)
    given = {name: arrays(runs, chunk) for name, (runs, chunk) in ways.items()}
    for name, (runs, _) in ways.items():
        seconds(runs, given[name], 1)
    for _, (name, (runs, chunk)) in itertools.product(range(rounds), ways.items()):
        times = BINS // chunk
        with ThreadPoolExecutor(CALLS) as pool:
            both = [pool.submit(seconds, runs, given[name], times) for _ in range(CALLS)]
        used = np.mean([one.result() for one in both])
        best[name] = max(best[name], CALLS * times * chunk / float(used))
    return best


def shares(graph: onnx.ModelProto, most: int = 7) -> str:
    """Tell what part of a graph's time each operator takes."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"{folder}/profile"
        runs = session(graph, enable_profiling=True, profile_file_prefix=prefix)
        given = arrays(runs, CHUNK)
        for _ in range(50):
            runs.run(None, given)
        events = json.loads(Path(runs.end_profiling()).read_text())
    took: dict[tuple[str, str], list[int]] = {}
    for event in events:
        if event["name"].endswith("_kernel_time"):
            took.setdefault((event["args"]["op_name"], event["name"]), []).append(event["dur"])
    kinds: Counter[str] = Counter()
    for (kind, _), times in took.items():
        kinds[kind] += int(np.median(times))
    total = kinds.total()
    return ", ".join(f"{kind} {part / total:.0%}" for kind, part in kinds.most_common(most))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keras.utils.set_random_seed(1)
    both, one = [SEQUENCE, DNASE], [SEQUENCE]
    networks = {"shallow": (shallow(both, GEOMETRY), both), "wide": (wide(), one)}
    for title, (model, inputs) in networks.items():
        disturb(model)
        before = converted(strands(model, inputs, False), inputs)

        def written(others: dict[type, Any], model: Any = model, inputs: Any = inputs) -> Any:
            with mock.patch.dict(graphs.WRITERS, others):
                return graphs.write_graph(model, [spec.name for spec in inputs], OUTPUT)

        report(title, before, written, options.rounds)


def report(title: str, before: Any, written: Callable[..., Any], rounds: int) -> None:
    graph = written({})
    found = variants(before, graph, written)
    given = arrays(found[WRITTEN], CHUNK)
    truth = found[CONVERTED].run(None, given)[0]
    rates = fastest({name: (runs, CHUNK) for name, runs in found.items()}, rounds)
    print(f"\n{title + f', chunks of {CHUNK} bins':40}{'bins/s':>9}{'ratio':>7}{'error':>9}")
    for name, rate in rates.items():
        error = np.abs(found[name].run(None, given)[0] - truth).max()
        print(f"{name:40}{rate:>9,.0f}{rate / rates[CONVERTED]:>7.2f}{error:>9.0e}")
    rates = fastest({f"{n}": (found[WRITTEN], n) for n in CHUNKS}, rounds)
    print("chunk  " + "".join(f"{name:>10}" for name in rates))
    print("bins/s " + "".join(f"{rate:>10,.0f}" for rate in rates.values()))
    print(f"{CONVERTED}: {shares(before)}")
    print(f"{WRITTEN}: {shares(graph)}")


if __name__ == "__main__":
    main()
