"""ONNX Runtime on one device or several.

A call has buffers of its own on its device, so that calls of one shape allocate nothing.
"""

import contextlib
import ctypes
import io
import queue
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from tfbind.errors import InputError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FATAL = 4

CALLS_ON_CUDA = 2
"""Calls at a time on a GPU: one is copied while the other is computed."""

CALLS_ON_CPU = 4096
"""More than any pool of threads makes: there the pool decides."""

OUT_OF_MEMORY = re.compile(
    r"out of memory|failed to allocate memory|cudaErrorMemoryAlloc|ALLOC(ATION)?_FAILED"
    r"|smaller than requested bytes",
    re.I,
)

Array = npt.NDArray[Any]


class DeviceMemoryError(Exception):
    """A call was too large for the device."""


class Runtime:
    """An ONNX graph, ready to be called from any number of threads.

    Parameters
    ----------
    content : bytes
        An ONNX file.
    device : str
        `cpu`, `cuda`, `cuda:N`, several of one kind parted by commas, or `auto`: the first CUDA
        device if there is one.
    path : str
        The file's name, for messages.
    tf32 : bool
        Let a GPU round the factors of products to 10 bits of mantissa.

    Attributes
    ----------
    provider : str
        What computes: `CPU` or `CUDA`.
    devices : int
    inputs, outputs : list of onnxruntime.NodeArg
        With `name`, `shape` and `type`.
    metadata : dict of str to str

    Raises
    ------
    InputError
        If the file is no ONNX model, or a device cannot be used.
    """

    def __init__(self, content: bytes, device: str, path: str, *, tf32: bool = False) -> None:
        sessions = [
            (name, _session(content, name, path, tf32=tf32)) for name in device_names(device)
        ]
        first = sessions[0][1]
        self.provider: str = first.get_providers()[0].removesuffix("ExecutionProvider")
        self.devices = len(sessions)
        self.inputs: list[Any] = first.get_inputs()
        self.outputs: list[Any] = first.get_outputs()
        self.metadata: dict[str, str] = first.get_modelmeta().custom_metadata_map
        self._free: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        at_a_time = CALLS_ON_CPU if self.provider == "CPU" else CALLS_ON_CUDA
        for _ in range(at_a_time):  # devices take turns
            for name, session in sessions:
                self._free.put(_Call(session, self.provider.lower(), _number(name)))

    def run(self, feeds: Mapping[str, Array], output: str) -> Array:
        """Compute one output.

        Parameters
        ----------
        feeds : mapping of str to ndarray
            Each input of the graph.
        output : str

        Raises
        ------
        DeviceMemoryError
            If the device's memory does not suffice.
        """
        call = self._free.get()
        try:
            return call(feeds, output)
        except Exception as error:  # the runtime's exceptions have no base of their own
            if OUT_OF_MEMORY.search(str(error)):
                raise DeviceMemoryError(str(error)) from error
            raise
        finally:
            self._free.put(call)


class _Call:
    """One call at a time, with its buffers."""

    def __init__(self, session: onnxruntime.InferenceSession, kind: str, number: int) -> None:
        self._session = session
        self._place = (kind, number)
        self._values: dict[str, onnxruntime.OrtValue] = {}

    def __call__(self, feeds: Mapping[str, Array], output: str) -> Array:
        if self._place[0] != "cpu":
            return self.bound(feeds, output)
        # Measured: on a processor, where nothing is copied, binding gains nothing.
        found: Array = self._session.run([output], dict(feeds))[0]
        return found

    def bound(self, feeds: Mapping[str, Array], output: str) -> Array:
        """Copy to the device, compute, copy back."""
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_ortvalue_input(name, self._on_device(name, np.ascontiguousarray(array)))
        binding.bind_output(output, *self._place)
        self._session.run_with_iobinding(binding)
        copied: Array = binding.get_outputs()[0].numpy()
        return copied

    def _on_device(self, name: str, array: Array) -> onnxruntime.OrtValue:
        """Copy an array into the buffer that the call before left, if it has the same shape."""
        kept = self._values.get(name)
        if kept is not None and tuple(kept.shape()) == array.shape:
            kept.update_inplace(array)
            return kept
        made = onnxruntime.OrtValue.ortvalue_from_numpy(array, *self._place)
        self._values[name] = made
        return made


def device_names(device: str) -> Sequence[str]:
    """Part a list of devices by its commas.

    Raises
    ------
    InputError
        If one is none, or they are of several kinds.
    """
    names = device.split(",")
    kinds = {name.partition(":")[0] for name in names}
    known = all(re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) for name in names)
    if not known or len(kinds) > 1 or (len(names) > 1 and "auto" in kinds):
        raise InputError(
            f"found --device {device}, expected auto, cpu, or cuda:N, or several of one kind "
            "such as cuda:0,cuda:1"
        )
    return names


def _number(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _session(content: bytes, device: str, path: str, *, tf32: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Calls run in parallel; threads inside a call would only wait for each other.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = _providers(device, tf32=tf32)
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # the runtime's exceptions have no base of their own
        if "CUDA" not in str(error) or device == "cpu":
            raise InputError(
                f"is no ONNX model that can be loaded ({error}); tfbind export writes one",
                path=path,
            ) from error
        if device == "auto":
            return _session(content, "cpu", path, tf32=tf32)
        raise _no_cuda(device, str(error)) from error
    if device.startswith("cuda") and CUDA not in session.get_providers():
        raise _no_cuda(device, "ONNX Runtime found no CUDA device or its libraries")
    return session


def _no_cuda(device: str, why: str) -> InputError:
    return InputError(
        f"--device {device} cannot be used: {why}; see the README on GPUs, or give --device cpu"
    )


def _providers(device: str, *, tf32: bool) -> list[Any]:
    # The runtime writes what it lacks on both streams of the process; `_session` says it instead.
    onnxruntime.set_default_logger_severity(FATAL)
    has_cuda = CUDA in onnxruntime.get_available_providers()
    if device == "cpu" or not has_cuda or (device == "auto" and not _cuda_driver()):
        return [CPU]
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
    options = {
        "device_id": str(_number(device)),
        # Calls have one shape, but searching through all algorithms for it takes seconds.
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": str(int(tf32)),
    }
    return [(CUDA, options), CPU]


def _cuda_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
