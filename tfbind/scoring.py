"""Scores of bins by ONNX Runtime, chunk by chunk.

A chunk is a fixed count of bins at fixed places on the contig: chunk k of length c holds those
that begin at phase + stride * k * c and up to c - 1 strides behind. It is always computed whole,
with the genome that is there, however few of its bins are asked for. So every call of the runtime
has one shape, and a bin's score depends on its coordinate and the chunk length alone: neither on
the other bins of the input nor on the threads.
"""

import contextlib
import ctypes
import hashlib
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import METADATA_KEY, Contract
from tfbind.errors import InputError
from tfbind.intervals import Intervals
from tfbind.tiles import Stretches

CHUNK = 256
"""Bins in a chunk: so many that flanks cost little, so few that a processor's cache holds them."""

CHUNK_OF_WINDOWS = 32
"""Bins in a chunk for a network that takes windows: nothing is shared, so a few are enough."""

CHUNKS_READ = 16
"""Most neighbouring chunks for which the genome is read at once."""

BATCHES_AHEAD = 2
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FATAL = 4
CHUNKS_KEPT = 64

Scores = npt.NDArray[np.float32]
Key = tuple[str, int, int]
"""A chunk: contig of the genome, phase, number."""


class Model:
    """An ONNX model with a contract, ready to score chunks.

    Parameters
    ----------
    path : str or Path
    chunk : int, optional
        Bins in a chunk; default: 256 where the network scans, 32 for windows.
    device : str
        `cpu`, `cuda`, `cuda:N`, or `auto`: CUDA where there is one.
    windows : bool
        Give the network one window a bin, though it could scan: slower, for comparison.

    Attributes
    ----------
    contract : Contract
    sha256 : str
        Of the file.
    provider : str
        What the runtime computes with.
    scans : bool

    Raises
    ------
    InputError
        If the file is no ONNX model, or has no contract, or the device cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        chunk: int | None = None,
        device: str = "auto",
        windows: bool = False,
    ) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from error
        self.path = str(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._session = _session(content, device, self.path)
        self.provider = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.contract = Contract.from_json(metadata.get(METADATA_KEY), path)
        self.scans = self.contract.scans and not windows
        self.chunk = chunk or (CHUNK if self.scans else CHUNK_OF_WINDOWS)
        found = [one.name for one in self._session.get_inputs()]
        if found != [spec.name for spec in self.contract.inputs]:
            raise InputError(
                f"has the inputs {', '.join(found)}, which its contract does not describe; "
                "export it again",
                path=path,
            )
        (outputs,) = (one.shape[-1] for one in self._session.get_outputs())
        if outputs != len(self.contract.tasks):
            raise InputError(
                f"gives {outputs} scores a bin, but its contract names "
                f"{len(self.contract.tasks)} task(s); export it again",
                path=path,
            )
        self._channels = {spec.name: channel(spec) for spec in self.contract.inputs}

    @property
    def span(self) -> int:
        """Base pairs from one chunk's start to the next."""
        return self.chunk * self.contract.geometry.stride

    def scores(self, raw: Mapping[str, Array], chunks: int) -> Scores:
        """Score neighbouring chunks.

        Parameters
        ----------
        raw : mapping of str to ndarray, shape (bases,)
            Raw values under all windows of the chunks.
        chunks : int

        Returns
        -------
        ndarray, shape (chunks * chunk length, tasks), float32
        """
        length = self.contract.geometry.length(self.chunk)
        prepared = {name: self._channels[name].prepare(raw[name]) for name in self._channels}
        parts = []
        for first in range(0, chunks * self.span, self.span):
            bases = {name: one[first : first + length] for name, one in prepared.items()}
            scores = self._session.run(None, self._shaped(bases))[0]
            parts.append(scores.reshape(self.chunk, -1))
        return np.concatenate(parts)

    def _shaped(self, bases: Mapping[str, Array]) -> dict[str, Array]:
        if self.scans:
            return {name: one[None] for name, one in bases.items()}
        window, stride = self.contract.geometry.window, self.contract.geometry.stride
        return {
            name: np.ascontiguousarray(
                np.lib.stride_tricks.sliding_window_view(one, window)[::stride]
            )
            for name, one in bases.items()
        }


def _session(content: bytes, device: str, path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Calls run in parallel; threads inside a call would only wait for each other.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = _providers(device)
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # the runtime's exceptions have no base of their own
        if device == "auto" and "CUDA" in str(error):
            return _session(content, "cpu", path)
        raise InputError(f"is no ONNX model that can be loaded: {error}", path=path) from error
    if device.startswith("cuda") and CUDA not in session.get_providers():
        raise InputError(
            f"--device {device} cannot be used: ONNX Runtime found no CUDA device or its "
            "libraries; see the README on GPUs, or give --device cpu"
        )
    return session


def _providers(device: str) -> list[Any]:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"found --device {device}, expected auto, cpu, cuda or cuda:N")
    # The runtime writes what it lacks on both streams of the process; `_session` says it instead.
    onnxruntime.set_default_logger_severity(FATAL)
    has_cuda = CUDA in onnxruntime.get_available_providers()
    if device == "cpu" or not has_cuda or (device == "auto" and not _cuda_driver()):
        return [CPU]
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
    number = device.partition(":")[2] or "0"
    return [(CUDA, {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC"}), CPU]


def _cuda_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class _Part:
    """One chunk among those of a task."""

    task: "Future[Scores]"
    first: int


@dataclass(frozen=True)
class _Pending:
    """A batch whose chunks are being computed."""

    batch: Intervals
    parts: list[_Part]
    chunk_of_bin: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]

    def scores(self, chunk: int) -> Scores:
        """Wait for the chunks and pick the bins."""
        parts = [part.task.result()[part.first : part.first + chunk] for part in self.parts]
        picked: Scores = np.concatenate(parts)[self.chunk_of_bin * chunk + self.place]
        return picked


def score(
    batches: Iterable[tuple[Intervals, list[str]]],
    model: Model,
    stretches: Stretches,
    threads: int,
) -> Iterator[tuple[Intervals, Scores]]:
    """Score a stream of bins, in order.

    Parameters
    ----------
    batches : iterable of (Intervals, names)
        As `tiles.BinCheck` gives them.
    model : Model
    stretches : Stretches
        That read the model's inputs.
    threads : int
        Chunks computed at a time.

    Yields
    ------
    batch : Intervals
    scores : ndarray, shape (n, tasks), float32
        One row a bin, the same for a bin whatever else the input holds.
    """
    pool = ThreadPoolExecutor(threads)
    pending: deque[_Pending] = deque()
    known: dict[Key, _Part] = {}
    wrong: InputError | None = None
    try:
        upstream = iter(batches)
        while True:
            try:
                batch, names = next(upstream)
            except StopIteration:
                break
            except InputError as error:
                wrong = error  # what came before it is scored all the same
                break
            if not len(batch):
                continue
            pending.append(_begin(batch, names, model, stretches, pool, known))
            if len(pending) > BATCHES_AHEAD:
                done = pending.popleft()
                yield done.batch, done.scores(model.chunk)
        for done in pending:
            yield done.batch, done.scores(model.chunk)
        if wrong is not None:
            raise wrong
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(
    batch: Intervals,
    names: list[str],
    model: Model,
    stretches: Stretches,
    pool: ThreadPoolExecutor,
    known: dict[Key, _Part],
) -> _Pending:
    """Hand the chunks of a batch to the pool, but for those that a batch before has begun."""
    stride = model.contract.geometry.stride
    index, phase = np.divmod(batch.starts, stride)
    number, place = np.divmod(index, model.chunk)
    group = batch.codes.astype(np.int64) * stride + phase
    packed, chunk_of_bin = np.unique(group << 32 | number, return_inverse=True)
    keys: list[Key] = [
        (names[(one >> 32) // stride], (one >> 32) % stride, one & 0xFFFFFFFF)
        for one in packed.tolist()
    ]
    for run in _neighbours([key for key in keys if key not in known]):
        contig, run_phase, first = run[0]
        start = run_phase + first * model.span

        def compute(contig: str = contig, start: int = start, count: int = len(run)) -> Scores:
            raw = stretches.read(contig, start, count * model.chunk)
            return model.scores(raw, count)

        task = pool.submit(compute)
        known |= {key: _Part(task, at * model.chunk) for at, key in enumerate(run)}
    parts = [known[key] for key in keys]
    for old in list(known)[:-CHUNKS_KEPT]:
        del known[old]
    return _Pending(batch, parts, chunk_of_bin, place)


def _neighbours(keys: list[Key]) -> Iterator[list[Key]]:
    """Group sorted chunks into runs that are read at once."""
    run: list[Key] = []
    for key in keys:
        if run and (len(run) == CHUNKS_READ or key != (run[-1][0], run[-1][1], run[-1][2] + 1)):
            yield run
            run = []
        run.append(key)
    if run:
        yield run
