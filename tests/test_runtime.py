"""The runtime: devices, buffers, and memory that does not suffice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tfbind.contract import METADATA_KEY, Contract, Geometry, Input
from tfbind.errors import InputError
from tfbind.model import Model
from tfbind.runtime import DeviceMemoryError, Runtime, _Call

GEOMETRY = Geometry(window=8, size=4, stride=2)


def mean_model(path: Path) -> Path:
    """Write a network that scans: each bin's score is the mean of its window."""
    contract = Contract(GEOMETRY, (Input("height", "signal", "float32"),), ("mean",))
    nodes = [
        helper.make_node("Unsqueeze", ["height", "one"], ["rows"]),
        helper.make_node("AveragePool", ["rows"], ["means"], kernel_shape=[8], strides=[2]),
        helper.make_node("Transpose", ["means"], ["scores"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("height", TensorProto.FLOAT, ["batch", "bases"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "bins", 1])],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mean_model(tmp_path_factory.mktemp("runtime") / "mean.onnx")


def heights(bins: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).random(GEOMETRY.length(bins), np.float32)


def means(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    windows = np.lib.stride_tricks.sliding_window_view(values, 8)[::2]
    found: npt.NDArray[np.float32] = windows.mean(axis=1)
    return found


def test_bound_buffers_give_what_a_plain_call_gives(path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    call = _Call(session, "cpu", 0)
    for bins in (5, 5, 9, 5):  # the second call finds the buffer of the first
        values = heights(bins)[None] * bins
        plain = call({"height": values}, "scores")
        assert np.array_equal(call.bound({"height": values}, "scores"), plain)
        assert np.allclose(plain[0, :, 0], means(values[0]))


def test_what_a_call_gave_is_kept_when_its_buffers_are_used_again(path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    call = _Call(session, "cpu", 0)
    first = call.bound({"height": np.ones((1, 16), np.float32)}, "scores")
    call.bound({"height": np.zeros((1, 16), np.float32)}, "scores")
    assert (first == 1).all()


def test_devices_take_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(path.read_bytes(), "cpu,cpu", "mean.onnx")
    used = []

    def noted(self: _Call, feeds: Mapping[str, Any], output: str) -> Any:
        used.append(self._session)
        return self._session.run([output], dict(feeds))[0]

    monkeypatch.setattr(_Call, "__call__", noted)
    values = heights(5)[None]
    for _ in range(4):
        assert np.allclose(runtime.run({"height": values}, "scores")[0, :, 0], means(values[0]))
    assert runtime.devices == 2
    assert used[0] is used[2] is not used[1]
    assert used[1] is used[3]


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu,cuda:0", "auto,auto", "cpu,", ""])
def test_devices_that_make_no_sense(path: Path, device: str) -> None:
    with pytest.raises(InputError, match="expected auto, cpu, or cuda:N"):
        Runtime(path.read_bytes(), device, "mean.onnx")


def small_memory(model: Model, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let calls of more bins than that fail as a GPU's do; list the bins of all calls."""
    asked = []
    real = model._runtime.run

    def run(feeds: Mapping[str, npt.NDArray[Any]], output: str) -> npt.NDArray[Any]:
        bins = (feeds["height"].shape[1] - 8) // 2 + 1
        asked.append(bins)
        if bins > most:
            raise DeviceMemoryError
        return real(feeds, output)

    monkeypatch.setattr(model._runtime, "run", run)
    return asked


def test_memory_that_does_not_suffice_halves_the_calls(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(path, chunk=16, device="cpu")
    values = heights(32)
    whole = model.scores({"height": values}, 2)
    asked = small_memory(model, 5, monkeypatch)
    halved = model.scores({"height": values}, 2)
    assert np.allclose(halved, whole)
    assert np.allclose(halved[:, 0], means(values))
    assert asked == [16, 8, *[4] * 8]
    assert model.calls == 4


def test_memory_for_no_call_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(path, chunk=12, device="cpu")
    asked = small_memory(model, 0, monkeypatch)
    with pytest.raises(InputError, match="does not fit into the memory of the machine"):
        model.scores({"height": heights(12)}, 1)
    assert asked == [12, 6, 3]


@pytest.mark.parametrize(
    "said",
    [
        "Failed to allocate memory for requested buffer of size 1234",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUDNN failure ... cudaErrorMemoryAllocation",
        "Available memory of 10 is smaller than requested bytes of 20",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
    ],
)
def test_the_runtimes_words_for_want_of_memory(
    path: Path, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(path.read_bytes(), "cpu", "mean.onnx")

    def fail(self: _Call, feeds: Mapping[str, Any], output: str) -> Any:
        raise RuntimeError(said)

    monkeypatch.setattr(_Call, "__call__", fail)
    with pytest.raises(DeviceMemoryError):
        runtime.run({}, "scores")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("cuda:0", "--device cuda:0 cannot be used: CUDA failure 35: driver version"),
        ("cpu", "is no ONNX model that can be loaded"),
    ],
)
def test_a_driver_that_is_too_old(
    path: Path, device: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("CUDA failure 35: driver version is insufficient")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(InputError, match=said):
        Runtime(path.read_bytes(), device, "mean.onnx")
