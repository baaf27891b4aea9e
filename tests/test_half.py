"""Half precision: the numbers of Keras within the error that export states."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, numpy_helper

pytest.importorskip("keras", reason="the reference is Keras: pip install 'tfbind[train]'")

from dataclasses import replace

import onnxruntime
from conftest import Tfbind, Trained

from tfbind.contract import METADATA_KEY, Contract
from tfbind.errors import InputError
from tfbind.export import converted, export, strands
from tfbind.half import to_half
from tfbind.networks.files import Network, load_network


@pytest.fixture(scope="module")
def network(trained: Trained) -> Network:
    return load_network(trained.keras)


@pytest.fixture(scope="module")
def half(tfbind: Tfbind, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export in half precision, and check what the command says of it."""
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    done = tfbind("export", trained.keras, "--half", "-o", path)
    assert done.returncode == 0, done.stderr.decode()
    told = re.fullmatch(
        r"tfbind: .*half\.onnx: half precision: largest difference from Keras (\S+) on (\d+) "
        r"validation bins, scanned and in windows\n",
        done.stderr.decode(),
    )
    assert told is not None, done.stderr.decode()
    assert float(told[1]) == pytest.approx(contract_of(onnx.load(path))[1], rel=0.1)
    assert int(told[2]) > 50
    return path


def contract_of(model: onnx.ModelProto) -> tuple[Contract, float]:
    (text,) = (one.value for one in model.metadata_props if one.key == METADATA_KEY)
    contract = Contract.from_json(text, "half.onnx")
    return contract, contract.training["half_difference"]


def constants(model: onnx.ModelProto, operation: str) -> list[npt.NDArray[np.generic]]:
    """Give the weights of all nodes of one kind."""
    by_name = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    return [
        by_name[name]
        for node in model.graph.node
        if node.op_type == operation
        for name in node.input
        if name in by_name
    ]


def scored(model: onnx.ModelProto, bases: int) -> npt.NDArray[np.float32]:
    """Score bases drawn by chance, as one stretch."""
    rng = np.random.default_rng(1)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {
        "sequence": rng.integers(0, 5, (1, bases)).astype(np.uint8),
        "dnase": rng.exponential(1, (1, bases)).astype(np.float32),
    }
    found: npt.NDArray[np.float32] = session.run(None, feeds)[0]
    return found


def test_layers_are_float16_but_for_the_last(half: Path) -> None:
    model = onnx.load(half)
    contract, difference = contract_of(model)
    assert contract.precision == "float16"
    assert 1e-6 < difference < 1e-2
    kinds = [one.type.tensor_type.elem_type for one in (*model.graph.input, *model.graph.output)]
    assert kinds == [TensorProto.UINT8, TensorProto.FLOAT, TensorProto.FLOAT]
    assert {str(one.dtype) for one in constants(model, "Conv")} == {"float16"}
    assert {str(one.dtype) for one in constants(model, "MatMul")} == {"float32"}


def test_exported_otherwise_is_float32(network: Network) -> None:
    model, _ = export(network, both_strands=False)
    assert '"precision": "float32"' in model.metadata_props[0].value
    assert {str(one.dtype) for one in constants(model, "Conv")} == {"float32"}


def test_track_of_half_is_that_of_float32_within_the_stated_error(
    half: Path, trained: Trained, tfbind: Tfbind
) -> None:
    bins = tfbind("bin", "--region", "chrX:48600001-48700000", env=trained.env).stdout

    def track(model: Path) -> npt.NDArray[np.float64]:
        done = tfbind(
            *("score", model, "--device", "cpu", "--format", "bed", "--no-header"),
            stdin=bins,
            env=trained.env,
        )
        assert done.returncode == 0, done.stderr.decode()
        return np.array([float(line.split(b"\t")[3]) for line in done.stdout.splitlines()])

    whole, halved = track(trained.onnx), track(half)
    assert len(whole) == len(bins.splitlines()) > 1900
    difference = contract_of(onnx.load(half))[1]
    assert 0 < np.abs(whole - halved).max() < 5 * difference
    assert np.corrcoef(whole, halved)[0, 1] > 0.9999


@pytest.mark.parametrize("both", [False, True], ids=["one strand", "both strands"])
@pytest.mark.parametrize("way", ["written", "converted"])
def test_places_are_not_rounded_however_long_the_stretch(
    network: Network, both: bool, way: str
) -> None:
    model, _ = export(network, both_strands=both)
    if way == "converted":
        function = strands(network.model, network.contract.inputs, both)
        other = converted(function, network.contract.inputs)
        other.metadata_props.extend(model.metadata_props)
        model = other
    halved, _, _ = to_half(model, network)
    bases = network.contract.geometry.length(4096)
    whole = scored(model, bases)
    assert whole.shape == (1, 4096, 1)
    np.testing.assert_allclose(scored(halved, bases), whole, atol=1e-2)


def test_what_overflows_on_a_gpu_is_refused(network: Network, trained: Trained) -> None:
    loud = load_network(trained.keras)
    for layer in loud.model.layers:
        if layer.name.startswith("convolution"):
            layer.set_weights([1e6 * one for one in layer.get_weights()])
    model, _ = export(loud, both_strands=False)
    with pytest.raises(InputError, match=r"in half precision .* differ from Keras by nan"):
        to_half(model, loud)


def test_signal_that_float16_may_not_hold_is_refused(network: Network) -> None:
    inputs = tuple(
        replace(one, stored="float32", transform="none") if one.name == "dnase" else one
        for one in network.contract.inputs
    )
    wide = replace(network, contract=replace(network.contract, inputs=inputs))
    model, _ = export(wide, both_strands=False)
    with pytest.raises(InputError, match=r"'dnase' was stored as float32.*export without --half"):
        to_half(model, wide)
