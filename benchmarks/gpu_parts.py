"""The parts of gpu.py that compute in their own process: rates, agreement, want of memory."""

import argparse
import ctypes
import gc
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnxruntime

from tfbind import runtime
from tfbind.channels import Sources, channel
from tfbind.genome import Genome
from tfbind.model import Model, Scores
from tfbind.signal import Signal
from tfbind.tiles import Stretches

CALLS = runtime.CALLS_ON_CUDA
CHUNKS = (256, 1024, 4096, 16384, 65536)
CHUNK, CHUNKS_COMPARED = 4096, 25
LARGE, SPARE = 65536, (4096, 1024, 256)
GENOME = 60_700_000
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "I/O binding": {"plain": False},
    "`session.run`": {"plain": True},
    "`session.run`, 4 calls at a time": {"plain": True, "calls": 4},
    "1 call at a time": {"calls": 1},
    "4 calls at a time": {"calls": 4},
    "`prefer_nhwc`": {"provider": {"prefer_nhwc": "1"}},
    "`fuse_conv_bias`": {"provider": {"fuse_conv_bias": "1"}},
    "small workspace": {"provider": {"cudnn_conv_use_max_workspace": "0"}},
    "search `DEFAULT`": {"provider": {"cudnn_conv_algo_search": "DEFAULT"}},
    "as it is, again: what noise does": {},
    "search `EXHAUSTIVE`": {"provider": {"cudnn_conv_algo_search": "EXHAUSTIVE"}},
}
THREADS = min(len(os.sched_getaffinity(0)), 8)
Options = argparse.Namespace
Raw = dict[str, Any]
Cells = tuple[object, ...]


def row(*cells: object) -> None:
    print(f"| {' | '.join(str(cell) for cell in cells)} |", flush=True)


def head(title: str, *columns: str) -> None:
    print(f"\n### {title}\n")
    row(*columns)
    print("|---|" + "---:|" * (len(columns) - 1), flush=True)


def attempt(first: Cells, measure: Callable[[], Cells]) -> None:
    """Print a row, or why there is none."""
    try:
        row(*first, *measure())
    except Exception as error:  # the next row must be measured, whatever happened in this one
        said = " ".join(f"{type(error).__name__}: {error} {error.__cause__ or ''}".split())
        row(*first, "failed: " + said.replace("|", "/")[:400])
    gc.collect()  # sessions hold the memory of the device


def reader(options: Options, model: Model) -> Callable[[int, int], Raw]:
    """Give a function from a chunk's number and its bins to what lies under it."""
    name, _, path = options.signal.partition("=")
    sources = Sources(Genome(options.fasta), {name: Signal(path)})
    stretches = Stretches(model.contract.geometry, model.contract.inputs, sources)
    stride = model.contract.geometry.stride
    contig, _, first = options.place.partition(":")
    return lambda number, bins: stretches.read(contig, int(first) + number * bins * stride, bins)


def feeds_of(model: Model, raw: Raw) -> Raw:
    specs = model.contract.inputs
    return model._feeds({spec.name: channel(spec).prepare(raw[spec.name]) for spec in specs})


def is_half(model: Model) -> bool:
    return model.contract.precision != "float32"


@contextmanager
def setting(
    calls: int = CALLS, plain: bool | None = None, provider: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Make runtimes with so many calls at a time, and other options of the CUDA provider."""
    usual, more = runtime._providers, provider or {}

    def providers(device: str, *, tf32: bool) -> list[Any]:
        found = usual(device, tf32=tf32)
        return [(one[0], one[1] | more) if isinstance(one, tuple) else one for one in found]

    def run(self: runtime._Call, feeds: Raw, output: str) -> Any:
        return self._session.run([output], feeds)[0]

    with ExitStack() as stack:
        for name in ("CALLS_ON_CUDA", "CALLS_ON_CPU"):
            stack.enter_context(mock.patch.object(runtime, name, calls))
        stack.enter_context(mock.patch.object(runtime, "_providers", providers))
        if plain is not None:
            way = run if plain else runtime._Call.bound
            stack.enter_context(mock.patch.object(runtime._Call, "__call__", way))
        yield


def used(options: Options) -> tuple[int, int] | None:
    """Ask for the device's memory in use, MiB, and how busy it is, percent."""
    number = options.device.partition(":")[2].partition(",")[0] or "0"
    query = "--query-gpu=memory.used,utilization.gpu"
    words = ["nvidia-smi", f"--id={number}", query, "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10)
        held, busy = found.stdout.split(",")
        return int(held), int(busy)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def rate(options: Options, path: str, chunk: int, tf32: bool, **how: Any) -> tuple[float, str]:
    """Time the network on a chunk in memory: bins/s; and what memory the device then holds."""
    calls = how.get("calls", CALLS)
    with setting(**how):
        model = Model(path, chunk=chunk, device=options.device, tf32=tf32)
        feeds = feeds_of(model, reader(options, model)(0, model.chunk))

        def run(until: float) -> int:
            count = 0
            while count == 0 or time.perf_counter() < until:
                model._runtime.run(feeds, model._output)
                count += 1
            return count

        with ThreadPoolExecutor(2 * calls) as pool:
            list(pool.map(run, [time.perf_counter() + options.seconds / 4] * 2 * calls))
            began = time.perf_counter()
            count = sum(pool.map(run, [began + options.seconds] * 2 * calls))
            spent = time.perf_counter() - began
    held = used(options)
    return count * model.chunk / spent, f"{held[0]:,}" if held else ""


def rate_row(
    options: Options, title: object, path: str, chunk: int, tf32: bool = False, **how: Any
) -> float:
    """Print a row with a rate, and give that."""
    found = 0.0

    def cells() -> Cells:
        nonlocal found
        found, held = rate(options, path, chunk, tf32, **how)
        return f"{found:,.0f}", f"{GENOME / found:.1f}", held

    attempt((title,), cells)
    return found


def network(options: Options) -> None:
    """Time the network alone: chunks, then what else could be set, at the best chunk."""
    columns = ("bins/s", "a genome, s", "device memory, MiB")
    for path in options.models:
        head(f"{(name := Path(path).name)}, network alone", "chunk", *columns)
        rates = {chunk: rate_row(options, chunk, path, chunk) for chunk in CHUNKS}
        best = max(rates, key=lambda chunk: rates[chunk])
        if not is_half(Model(path, device="cpu")):
            head(f"{name}, network alone, TF32", "chunk", *columns)
            for chunk in CHUNKS:
                rate_row(options, chunk, path, chunk, tf32=True)
        head(f"{name}, chunks of {best} bins, TF32 off", "", *columns)
        for title, how in WAYS.items() if rates[best] else ():
            rate_row(options, title, path, best, **how)


def scores_of(model: Model, raws: list[Raw], threads: int = THREADS) -> Scores:
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(lambda raw: model.scores(raw, 1), raws)))


def most(found: Scores, expected: Scores) -> str:
    return f"{np.abs(found - expected).max():.1e}"


def on_processor(options: Options, path: str, chunks: int) -> tuple[Model, list[Raw], Scores]:
    """Score on the processor; give what was scored, too."""
    model = Model(path, device="cpu", chunk=CHUNK)
    read = reader(options, model)
    raws = [read(number, CHUNK) for number in range(chunks)]
    return model, raws, scores_of(model, raws)


def elsewhere(options: Options, model: Model, feeds: Raw) -> str:
    """List the nodes that do not run on the device; the runtime does not tell."""
    with tempfile.TemporaryDirectory() as folder:
        settings = onnxruntime.SessionOptions()
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "profile")
        providers = runtime._providers(options.device, tf32=False)
        session = onnxruntime.InferenceSession(model.path, settings, providers=providers)
        session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [one["args"] for one in events if "provider" in one.get("args", {})]
    wanted = f"{model.provider}ExecutionProvider"
    others = sorted({one["op_name"] for one in nodes if one["provider"] != wanted})
    return f"{', '.join(others) or 'none'} of {len(nodes)}"


def agreement(options: Options) -> None:
    """Compare scores of the device with those of the processor, and with themselves."""
    first, raws, reference = on_processor(options, options.models[0], CHUNKS_COMPARED)
    columns = ("spread", "most from the CPU", "most from the first model on the CPU")
    head(f"Differences of {len(reference):,} scores", "model", "", *columns, "nodes elsewhere")

    def compared(path: str, tf32: bool) -> Cells:
        truth, mine, expected = on_processor(options, path, CHUNKS_COMPARED)
        model = Model(path, device=options.device, chunk=CHUNK, tf32=tf32)
        found = scores_of(model, mine)
        others = elsewhere(options, model, feeds_of(model, mine[0]))
        one, two = (replace(it.contract, precision="", training={}) for it in (truth, first))
        from_first = most(found, reference) if replace(one, versions=two.versions) == two else ""
        return f"{found.std():.2f}", most(found, expected), from_first, others

    for path in options.models:
        attempt((Path(path).name, "TF32 off"), partial(compared, path, False))
        if not is_half(Model(path, device="cpu")):
            attempt((Path(path).name, "TF32 on"), partial(compared, path, True))

    head("The same scores again, of the first model", "", "same bytes", "most", "devices")
    model = Model(options.models[0], device=options.device, chunk=CHUNK)
    once = scores_of(model, raws, 1)

    def again(device: str | None, threads: int) -> Cells:
        other = Model(options.models[0], device=device, chunk=CHUNK) if device else model
        found = scores_of(other, raws, threads)
        same = "yes" if found.tobytes() == once.tobytes() else "NO"
        return same, most(found, once), other.devices

    twice = f"{options.device},{options.device}"
    for device, threads in ((None, 1), (None, 8), (options.device, 8), (twice, 8)):
        title = f"{f'new, `--device {device}`' if device else 'same session'}, {threads} threads"
        attempt((title,), partial(again, device, threads))


@contextmanager
def crowded(options: Options, spare: int) -> Iterator[None]:
    """Take the device's memory but for so many MiB."""
    found = re.search(r"/\S*libcudart\.so\S*", Path("/proc/self/maps").read_text())
    if found is None:
        raise RuntimeError("libcudart is not loaded: no CUDA device")
    cuda = ctypes.CDLL(found[0])
    cuda.cudaSetDevice(int(options.device.partition(":")[2] or 0))
    free, total, taken = ctypes.c_size_t(), ctypes.c_size_t(), []
    try:
        while not cuda.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)):
            size = min(free.value - spare * 2**20, 1024 * 2**20)
            block = ctypes.c_void_p()
            if size < 4 * 2**20 or cuda.cudaMalloc(ctypes.byref(block), ctypes.c_size_t(size)):
                break
            taken.append(block)
        yield
    finally:
        for block in taken:
            cuda.cudaFree(block)


def memory(options: Options) -> None:
    """Give a chunk that is far too large, by a limit of the arena and on a full device."""
    for path in options.models:
        _, _, expected = on_processor(options, path, 2 * LARGE // CHUNK)
        read = reader(options, Model(path, device="cpu"))
        raws = [read(number, LARGE) for number in range(2)]

        def cells(path: str, raws: list[Raw], expected: Scores, limit: int, spare: int) -> Cells:
            provider = {"gpu_mem_limit": str(limit * 2**20)} if limit else {}
            with setting(provider=provider), ExitStack() as stack:
                model = Model(path, device=options.device, chunk=LARGE)
                if spare:
                    stack.enter_context(crowded(options, spare))
                away = most(scores_of(model, raws), expected)
                return model.calls, away  # in this order: scoring is what parts the calls

        title = f"{Path(path).name}, chunks of {LARGE:,} bins, want of memory"
        head(title, "", "calls a chunk", "most from the CPU")
        trial = partial(cells, path, raws, expected)
        attempt(("all memory",), partial(trial, 0, 0))
        for mib in SPARE:
            attempt((f"`gpu_mem_limit` of {mib} MiB",), partial(trial, mib, 0))
            attempt((f"{mib} MiB of the device free",), partial(trial, 0, mib))
