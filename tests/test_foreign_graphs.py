"""Graphs of any shapes that were not made here, by weights that tell where each value stood."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="graphs are made by it: pip install 'tfbind[train]'")

import onnx
from by_hand import CONTIG_SIZE, Array, Files, Starts, scores_of, window_starts
from onnx import TensorProto, helper, numpy_helper

from tfbind.channels import Sources
from tfbind.contract import Contract, Geometry, Input
from tfbind.errors import InputError
from tfbind.foreign import Foreign
from tfbind.genome import Genome
from tfbind.model import Model
from tfbind.signal import Signal


@pytest.fixture(scope="module")
def files(data: Path) -> Files:
    return Files(data / "hg19.chrX_cut.fa.gz", data / "K562.dnase.bw")


@pytest.fixture(scope="module")
def sources(files: Files) -> Sources:
    return Sources(Genome(files.fasta), {"atac": Signal(files.bigwig)})


def weighing(
    path: Path,
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    outputs: Mapping[str, Sequence[int]],
    batch: int | str = "batch",
) -> dict[str, Array]:
    """Write a graph that weighs every value of its inputs, each at its place, for every output.

    Returns the weights of each output, shape (values, scores): without them no order of axes,
    channels or bases could be told from another.
    """
    nodes, weights = [], {}
    initializers = []
    flat = []
    values = 0
    for name, (_, shape) in inputs.items():
        sizes = [axis if isinstance(axis, int) else {"W": 60, "C": 4}[axis] for axis in shape]
        values += int(np.prod(sizes))
        nodes.append(helper.make_node("Cast", [name], [f"{name}.cast"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Flatten", [f"{name}.cast"], [f"{name}.flat"]))
        flat.append(f"{name}.flat")
    nodes.append(helper.make_node("Concat", flat, ["all"], axis=1))
    for number, (name, shape) in enumerate(outputs.items()):
        rng = np.random.default_rng(number)
        weights[name] = rng.normal(size=(values, int(np.prod(shape)))).astype(np.float32)
        rows = -1 if isinstance(batch, str) else batch
        initializers += [
            numpy_helper.from_array(weights[name], f"{name}.weights"),
            numpy_helper.from_array(np.array([rows, *shape], np.int64), f"{name}.shape"),
        ]
        nodes.append(helper.make_node("MatMul", ["all", f"{name}.weights"], [f"{name}.scores"]))
        nodes.append(helper.make_node("Reshape", [f"{name}.scores", f"{name}.shape"], [name]))
    graph = helper.make_graph(
        nodes,
        "weighing",
        [
            helper.make_tensor_value_info(name, kind, [batch, *shape])
            for name, (kind, shape) in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape])
            for name, shape in outputs.items()
        ],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return weights


FLOAT, HALF, INT64, UINT8 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT64,
    TensorProto.UINT8,
)
Cut = Callable[[Files, int, int], Array]


def codes(files: Files, start: int, end: int) -> Array:
    return np.array(["ACGT".find(one) % 5 for one in files.letters(start, end)])


@dataclass(frozen=True)
class Case:
    """A graph, what is said of it, and how a window of it is cut by hand, in its own axes."""

    inputs: Mapping[str, tuple[int, Sequence[int | str]]]
    foreign: Foreign
    geometry: Geometry
    cut: Cut
    output: Sequence[int] = (1,)
    batch: int | str = "batch"
    order: str = "bins, tasks"


CASES = {
    "channels first": Case(
        {"x": (FLOAT, (4, 60))},
        Foreign(stride=10, size=20),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end).T,
    ),
    "channels last": Case(
        {"x": (FLOAT, (60, 4))},
        Foreign(stride=10, size=20),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end),
    ),
    "AGCT, quarters for N": Case(
        {"x": (FLOAT, (4, 60))},
        Foreign(stride=10, size=20, inputs=("AGCT:quarter",)),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end, "AGCT", 0.25).T,
    ),
    "axes of length 1": Case(
        {"x": (FLOAT, (4, 1, 60))},
        Foreign(stride=10, size=20),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end).T,
    ),
    "free axes": Case(
        {"x": (FLOAT, ("C", "W"))},
        Foreign(stride=10, size=20, window=60, layout="channels-first", inputs=("x=TGCA",)),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end, "TGCA").T,
    ),
    "one window a call": Case(
        {"x": (FLOAT, (60, 4))},
        Foreign(stride=10, size=20),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end),
        batch=1,
    ),
    "three windows a call": Case(
        {"x": (FLOAT, (60, 4))},
        Foreign(step=10),
        Geometry(60, 10, 10, outputs=4),
        lambda files, start, end: files.one_hot(start, end),
        output=(4,),
        batch=3,
    ),
    "codes of 64 bits": Case(
        {"x": (INT64, (60,))},
        Foreign(stride=10, size=20, inputs=("codes",)),
        Geometry(60, 20, 10),
        codes,
    ),
    "one-hot bytes": Case(
        {"x": (UINT8, (60, 4))},
        Foreign(stride=10, size=20),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end),
    ),
    "half precision": Case(
        {"x": (HALF, (60, 5))},
        Foreign(stride=10, size=20, inputs=("ACGT+atac",)),
        Geometry(60, 20, 10),
        lambda files, start, end: np.column_stack(
            [files.one_hot(start, end), files.signal(start, end)]
        ),
    ),
    "signal first, transformed": Case(
        {"x": (FLOAT, (5, 60))},
        Foreign(stride=10, size=20, inputs=("x=atac:log1p:0.5:2+CATG",)),
        Geometry(60, 20, 10),
        lambda files, start, end: np.vstack(
            [(np.log1p(files.signal(start, end)) - 0.5) / 2, files.one_hot(start, end, "CATG").T]
        ),
    ),
    "tasks, then bins": Case(
        {"x": (FLOAT, (4, 60))},
        Foreign(step=10, tasks=("a", "b", "c")),
        Geometry(60, 10, 10, outputs=4),
        lambda files, start, end: files.one_hot(start, end).T,
        output=(3, 4),
        order="tasks, bins",
    ),
    "bins, then more tasks than fit": Case(
        {"x": (FLOAT, (4, 60))},
        Foreign(step=10),
        Geometry(60, 10, 10, outputs=4),
        lambda files, start, end: files.one_hot(start, end).T,
        output=(4, 7),
    ),
    "tasks of one bin": Case(
        {"x": (FLOAT, (60, 4))},
        Foreign(stride=10, size=20),
        Geometry(60, 20, 10),
        lambda files, start, end: files.one_hot(start, end),
        output=(7,),
    ),
}


def weighed(case: Case, files: Files, weights: Array, starts: Starts, geometry: Geometry) -> Array:
    """Weigh each bin's window: shape (bins, tasks)."""
    firsts, place = window_starts(starts, geometry)
    rows = [
        np.asarray(case.cut(files, first, first + geometry.window), np.float32).ravel()
        for first in firsts.tolist()
    ]
    scores = (np.stack(rows) @ weights).reshape(len(starts), *case.output)
    if len(case.output) == 1 and geometry.outputs > 1:
        scores = scores[..., None]
    if case.order == "tasks, bins":
        scores = scores.swapaxes(1, 2)
    scores = scores.reshape(len(starts), geometry.outputs, -1)
    return scores[np.arange(len(starts)), place]


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_graph(name: str, files: Files, sources: Sources, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "net.onnx"
    weights = weighing(path, case.inputs, {"y": case.output}, case.batch)["y"]
    model = Model(path, device="cpu", contract=case.foreign, chunk=24)
    geometry = model.contract.geometry
    assert geometry == case.geometry
    assert model.contract.order == case.order
    peak = 48_648_000
    starts = np.concatenate(
        [np.arange(0, 200, 10), 37_999_900 + np.arange(0, 300, 10), peak + np.arange(0, 900, 10)]
    )
    starts = np.append(starts, CONTIG_SIZE // 10 * 10 - np.arange(100, 10, -10))
    found = scores_of(model, sources, starts)
    expected = weighed(case, files, weights, starts, geometry)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    assert expected.min() < -1  # what the graph gives, whatever its range
    assert expected.max() > 1


def test_several_inputs_and_outputs(files: Files, sources: Sources, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    inputs = {"dna": (FLOAT, (60, 4)), "open:0": (FLOAT, (60,))}
    weights = weighing(path, inputs, {"counts": (1,), "bound": (2,)})
    foreign = Foreign(
        stride=10,
        size=20,
        inputs=("open:0=atac:log1p", "dna=ACGT"),
        output="bound",
        tasks=("CTCF", "MAX"),
    )
    model = Model(path, device="cpu", contract=foreign)
    assert model.contract.tasks == ("CTCF", "MAX")
    assert [spec.name for spec in model.contract.signals] == ["atac"]
    case = Case(
        inputs,
        foreign,
        model.contract.geometry,
        lambda files, start, end: np.concatenate(
            [files.one_hot(start, end).ravel(), np.log1p(files.signal(start, end))]
        ),
        output=(2,),
    )
    starts = 48_648_000 + np.arange(0, 900, 10)
    expected = weighed(case, files, weights["bound"], starts, model.contract.geometry)
    np.testing.assert_allclose(scores_of(model, sources, starts), expected, atol=1e-3)


def test_windows_lie_side_by_side() -> None:
    geometry = Geometry(1024, 32, 32, outputs=16)
    assert geometry.flank == 256
    assert [geometry.length(bins) for bins in (16, 32, 160)] == [1024, 1536, 1024 + 9 * 512]
    whole = Geometry(1024, 32, 32, outputs=32)
    assert (whole.flank, whole.length(64)) == (0, 2048)


@pytest.mark.parametrize("numbers", [(1000, 32, 32, 32), (1025, 32, 32, 32), (1024, 32, 32, 0)])
def test_windows_that_do_not_lie_around_their_bins(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="expected"):
        Geometry(*numbers)


def test_a_contract_from_before_there_were_other_graphs() -> None:
    contract = Contract(Geometry(), (Input("sequence", "sequence", "uint8"),), ("CTCF",))
    values = json.loads(contract.to_json()) | {"version": 1}
    del values["geometry"]["outputs"]
    for name in ("graph", "output", "order"):
        del values[name]
    assert Contract.from_json(json.dumps(values), "m.onnx") == contract


def test_bins_of_the_usual_grid_unless_told_otherwise(tmp_path: Path) -> None:
    weighing(tmp_path / "net.onnx", {"x": (FLOAT, (600, 4))}, {"y": (1,)})
    contract = Model(tmp_path / "net.onnx", device="cpu", contract=Foreign(window=600)).contract
    assert contract.geometry == Geometry(600, 200, 50)
    assert contract.tasks == ("score",)
    weighing(tmp_path / "tiny.onnx", {"x": (FLOAT, (60, 4))}, {"y": (1,)})
    contract = Model(tmp_path / "tiny.onnx", device="cpu", contract=Foreign(stride=20)).contract
    assert contract.geometry == Geometry(60, 20, 20)


def test_long_windows_come_few_at_a_time(tmp_path: Path) -> None:
    weighing(tmp_path / "net.onnx", {"x": (UINT8, (8192, 4))}, {"y": (4,)})
    model = Model(tmp_path / "net.onnx", device="cpu", contract=Foreign(step=128))
    assert model.chunk == 4 * 4


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"stride": 50, "step": 32}, "both --stride and --step"),
        ({"tasks": ("CTCF", "CTCF")}, "different names"),
        ({"tasks": ("CT/CF",)}, "'CT/CF', expected different names of letters"),
        ({"inputs": ("x=ACGT", "x=atac")}, "each name once"),
        ({"inputs": ("ACGT", "x=atac")}, "'x=atac', expected NAME=PARTS"),
        ({"inputs": ("x=ACGT+codes",)}, "expected each part once"),
        ({"inputs": ("x=ACGT:half",)}, "found the part 'ACGT:half'"),
        ({"inputs": ("x=atac:sqrt",)}, "found the part 'atac:sqrt'"),
        ({"inputs": ("x=atac:1",)}, "found the part 'atac:1'"),
        ({"inputs": ("x=atac:0:0",)}, "found the part 'atac:0:0'"),
        ({"inputs": ("x=",)}, "found the part ''"),
    ],
)
def test_what_contradicts_itself_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Foreign(**said)


@pytest.mark.parametrize(
    ("inputs", "output", "said", "message"),
    [
        ({"x": (FLOAT, ("W", 4))}, (1,), {}, "windows of any length: give --window BP"),
        ({"x": (FLOAT, (4, 4))}, (1,), {}, "give --layout channels-last or channels-first"),
        ({"x": (FLOAT, (60, 4))}, (4, 3), {}, "expected one axis, of tasks, or with --step BP two"),
        ({"x": (FLOAT, (60, 4))}, (4, 3), {"step": 10}, "either axis may be .* name the tasks"),
        ({"x": (FLOAT, (60, 4))}, (9, 8), {"step": 10}, "expected bins and tasks: 10 bp a bin"),
        ({"x": (FLOAT, (61, 4))}, (1,), {"stride": 20}, "61 bp around bins of 20 bp.* --size"),
        ({"x": (INT64, (60, 4))}, (1,), {"inputs": ("ACGT:quarter",)}, "whole numbers, but seque"),
        (
            {"x": (FLOAT, (60, 4)), "y": (FLOAT, (60, 4))},
            (1,),
            {"inputs": ("x=ACGT", "y=ACGT:quarter")},
            "sequence made in two ways",
        ),
        (
            {"x": (FLOAT, (60, 4)), "y": (FLOAT, (50, 4))},
            (1,),
            {"inputs": ("x=ACGT", "y=TGCA")},
            r"windows of 60 \(x\), 50 \(y\), expected one length",
        ),
    ],
)
def test_graphs_that_leave_something_open(
    tmp_path: Path, inputs: Any, output: Any, said: dict[str, Any], message: str
) -> None:
    weighing(tmp_path / "net.onnx", inputs, {"out": output})
    with pytest.raises(InputError, match=message):
        Model(tmp_path / "net.onnx", device="cpu", contract=Foreign(**said))


def test_of_several_outputs_one_is_to_be_named(tmp_path: Path) -> None:
    weighing(tmp_path / "net.onnx", {"x": (FLOAT, (60, 4))}, {"counts": (1,), "bound": (1,)})
    with pytest.raises(InputError, match="gives counts, bound: give --graph-output NAME"):
        Model(tmp_path / "net.onnx", device="cpu", contract=Foreign(stride=20))


def test_a_window_that_cannot_be_computed_is_told_at_once(tmp_path: Path) -> None:
    weighing(tmp_path / "net.onnx", {"x": (FLOAT, ("W", 4))}, {"y": (1,)})
    with pytest.raises(InputError, match=r"cannot compute a blank window: .*MatMul"):
        Model(tmp_path / "net.onnx", device="cpu", contract=Foreign(window=50, stride=20, size=20))
