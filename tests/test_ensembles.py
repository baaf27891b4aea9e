"""Several models as one file: the mean of their log-odds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
from baseline_parts import DNASE, SEQUENCE, arrays_of
from by_hand import disturb, run, windows_of
from conftest import Tfbind, Trained, ok, said

from tfbind.contract import METADATA_KEY, Contract, Distribution, Geometry, Input, Tensor
from tfbind.ensembles import Member, contract_of, ensemble
from tfbind.errors import InputError
from tfbind.networks import architecture
from tfbind.networks.graphs import write_graph

Array = npt.NDArray[Any]

HELA, K562 = Distribution(0.1, (1.0, 2.0)), Distribution(0.2, (1.0, 3.0))
WIDE, NARROW = Geometry(600, 200, 50), Geometry(400, 200, 50)
CELL = Input("expression", "expression", "float32", along="cell", features=("a", "b"))
SIZES = {"filters": 4, "dense": 6, "joint": 12, "width": 9, "pool": 15}


def member(
    tasks: str,
    weight: float = 1.0,
    *,
    inputs: tuple[Input, ...] = (SEQUENCE, DNASE),
    geometry: Geometry = WIDE,
    **more: Any,
) -> Member:
    """Build a small network with weights of chance, as a file."""
    names = tuple(tasks.split())
    keras.utils.set_random_seed(len(tasks) + geometry.window + int(weight % 1000))
    model = architecture("shallow").build(list(inputs), geometry, len(names), **SIZES)
    disturb(model)
    contract = Contract(geometry, inputs, names, architecture="shallow", cells=("HeLa-S3",), **more)
    graph = write_graph(model, [spec.name for spec in contract.fed], "scores")
    onnx.helper.set_model_props(graph, {METADATA_KEY: contract.to_json()})
    return Member(f"{tasks}.onnx", graph.SerializeToString(), contract, "0" * 64, weight)


def scores_of(one: Member, arrays: dict[str, Array]) -> Array:
    """Score by a member alone, in the middle of what is wider than its windows."""
    cut = (WIDE.window - one.contract.geometry.window) // 2
    given = {
        spec.name: arrays[spec.name]
        if spec.along == "cell"
        else arrays[spec.name][:, cut : arrays[spec.name].shape[1] - cut]
        for spec in one.contract.fed
    }
    return run(onnx.load_model_from_string(one.content), given)


def odds(scores: Array) -> Array:
    wide = scores.astype(float)
    return np.asarray(np.log(wide / (1 - wide)))


def test_scores_are_the_mean_of_log_odds_of_those_who_give_any() -> None:
    vector = member("MAX", 2, inputs=(SEQUENCE, CELL))
    members = [member("CTCF MAX", 3), member("MAX", geometry=NARROW), vector]
    model, difference = ensemble(members)
    assert difference < 1e-6
    contract = Contract.from_json(model.metadata_props[0].value, "e.onnx")
    assert contract.tasks == ("CTCF", "MAX")
    assert contract.geometry == WIDE
    assert [spec.name for spec in contract.inputs] == ["sequence", "dnase", "expression"]
    assert [one.name for one in model.graph.input] == ["sequence", "dnase", "expression"]

    arrays = arrays_of(20) | {"expression": np.array([[0.5, -2]], np.float32)}
    all_odds = [odds(scores_of(one, arrays)) for one in members]
    both, narrow, cell = all_odds
    assert max(np.ptp(one) for one in all_odds) > 0.1
    found = run(model, arrays)
    assert found.shape == (1, 20, 2)
    np.testing.assert_allclose(odds(found[..., 0]), both[..., 0], atol=1e-4)
    mean = (3 * both[..., 1] + narrow[..., 0] + 2 * cell[..., 0]) / 6
    np.testing.assert_allclose(odds(found[..., 1]), mean, atol=1e-4)


def test_it_scans_as_it_takes_windows() -> None:
    model, _ = ensemble([member("CTCF"), member("CTCF", geometry=NARROW)])
    arrays = arrays_of(12)
    windows = run(model, windows_of(arrays, WIDE))[:, 0]
    np.testing.assert_allclose(windows, run(model, arrays)[0], atol=1e-6)


def test_it_takes_windows_if_a_member_does() -> None:
    model, difference = ensemble([member("CTCF"), member("CTCF", 2, scans=False)])
    assert difference < 1e-6
    contract = Contract.from_json(model.metadata_props[0].value, "e.onnx")
    assert not contract.scans
    shape = model.graph.input[0].type.tensor_type.shape
    assert [shape.dim[0].dim_param, shape.dim[1].dim_value] == ["batch", 600]


def test_certain_scores_stay_finite() -> None:
    """A floor of 0 and a ceiling of 1 are log-odds of 16, not of infinity."""
    one = member("CTCF")
    graph = onnx.load_model_from_string(one.content)
    (last,) = (node for node in graph.graph.node if "scores" in node.output)
    last.output[0] = "before"
    graph.graph.node.append(onnx.helper.make_node("Floor", ["before"], ["scores"]))
    never = replace(one, content=graph.SerializeToString())
    graph.graph.node[-1].op_type = "Ceil"
    always = replace(one, content=graph.SerializeToString())
    arrays = arrays_of(5)
    assert {scores_of(never, arrays).max(), scores_of(always, arrays).min()} == {0, 1}
    model, _ = ensemble([never, always])
    np.testing.assert_allclose(run(model, arrays), 0.5, atol=1e-6)


def test_huge_weights_are_weights() -> None:
    members = [member("CTCF", 1e308), member("CTCF MAX", 1e308)]
    arrays = arrays_of(6)
    model, _ = ensemble(members)
    mean = np.mean([odds(scores_of(one, arrays))[..., 0] for one in members], axis=0)
    np.testing.assert_allclose(odds(run(model, arrays)[..., 0]), mean, atol=1e-4)


def test_an_ensemble_can_join_another() -> None:
    one, two, three = member("CTCF"), member("MAX CTCF", 2), member("CTCF MAX")
    inner, _ = ensemble([one, two])
    contract = Contract.from_json(inner.metadata_props[0].value, "e.onnx")
    outer, _ = ensemble(
        [Member("e.onnx", inner.SerializeToString(), contract, "1" * 64, 3.0), three]
    )
    arrays = arrays_of(6)
    ends = [odds(scores_of(each, arrays)) for each in (one, two, three)]
    found = odds(run(outer, arrays))  # of CTCF, MAX
    ctcf = (ends[0][..., 0] + 2 * ends[1][..., 1] + ends[2][..., 0]) / 4
    np.testing.assert_allclose(found[..., 0], ctcf, atol=1e-4)
    maximum = (3 * ends[1][..., 0] + ends[2][..., 1]) / 4
    np.testing.assert_allclose(found[..., 1], maximum, atol=1e-4)


def test_the_contract_holds_all_that_members_were_trained_on() -> None:
    some = member(
        "CTCF", trained_on=("chr1:1-50",), held_out=("chr2:1-9", "chr3:1-50"), both_strands=True
    )
    other = member(
        "MAX",
        trained_on=("chr1:1-50", "chr3:1-50"),
        held_out=("chr2:1-9",),
        precision="float16",
        inputs=(SEQUENCE, replace(DNASE, trained=(HELA, K562))),
    )
    some = replace(
        some, contract=replace(some.contract, inputs=(SEQUENCE, replace(DNASE, trained=(HELA,))))
    )
    found = contract_of([some, replace(other, weight=2.0)])
    assert found.trained_on == ("chr1:1-50", "chr3:1-50")
    assert found.held_out == ("chr2:1-9",)
    assert found.inputs[1].trained == (HELA, K562)
    assert (found.precision, found.both_strands) == ("float16", False)
    silent = replace(other, contract=replace(other.contract, trained_on=()))
    assert contract_of([some, silent]).trained_on == ()
    told = found.training["members"]
    assert [one["weight"] for one in told] == [1.0, 2.0]
    assert [one["tasks"] for one in told] == [("CTCF",), ("MAX",)]


LOG = replace(DNASE, transform="none")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (None, "found 1 model, expected two or more"),
        ({"geometry": Geometry(600, 200, 100)}, "scores bins of 200 bp, 100 bp apart, but CTCF"),
        ({"inputs": (SEQUENCE, LOG)}, "prepares the input 'dnase' otherwise than CTCF.onnx"),
        ({"graph": (Tensor("x", ("sequence",)),)}, "was not exported by tfbind"),
    ],
    ids=["alone", "stride", "transform", "foreign"],
)
def test_what_does_not_fit_is_refused(other: dict[str, Any] | None, message: str) -> None:
    members = [member("CTCF"), *([] if other is None else [member("MAX", **other)])]
    with pytest.raises(InputError, match=message):
        ensemble(members)


def test_other_opsets_are_refused() -> None:
    one = member("CTCF")
    graph = onnx.load_model_from_string(one.content)
    graph.opset_import[0].version = 17
    other = replace(one, path="old.onnx", content=graph.SerializeToString())
    with pytest.raises(InputError, match=r"is of opset 17 of ONNX, others of 18; export all"):
        ensemble([one, other])


def test_models_are_joined_and_scored_from_the_shell(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    path, twice = tmp_path / "e.onnx", [trained.onnx, trained.onnx]
    done = tfbind("ensemble", *twice, "--weights", "3,1", "-o", path)
    ok(done)
    assert "2 models of " in done.stderr.decode()
    bins = b"chrX\t48000000\t48000200\nchrX\t48000050\t48000250\n"
    alone, joined = (
        [
            float(line.split(b"\t")[3])
            for line in ok(tfbind("score", one, stdin=bins, env=trained.env)).splitlines()
            if line.startswith(b"chrX")
        ]
        for one in (trained.onnx, path)
    )
    assert len(joined) == 2
    told = json.loads(ok(tfbind("info", path)))["training"]["members"]
    assert [one["weight"] for one in told] == [3, 1]
    assert joined == pytest.approx(alone, rel=1e-3)
    assert "exists" in said(tfbind("ensemble", *twice, "-o", path))


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--weights", "1"], 2, "found --weights 1, expected 2 numbers over 0"),
        (["--weights", "1,x"], 2, "found --weights 1,x, expected 2 numbers over 0"),
        (["--weights", "1,0"], 2, "found --weights 1,0, expected 2 numbers over 0"),
        (["--weights", "1,inf"], 2, "found --weights 1,inf, expected 2 numbers over 0"),
    ],
)
def test_weights_that_are_none_are_refused(
    tfbind: Tfbind, trained: Trained, tmp_path: Path, words: list[str], status: int, message: str
) -> None:
    path = tmp_path / "e.onnx"
    line = said(tfbind("ensemble", trained.onnx, trained.onnx, *words, "-o", path), status)
    assert message in line
    assert not path.exists()


def test_files_that_are_no_models_are_named(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    path = tmp_path / "e.onnx"
    for other, message in (
        (trained.keras, "is no ONNX file, but seems to be a Keras network"),
        (trained.tiles, "is no ONNX model that can be loaded"),
        (tmp_path / "no.onnx", "cannot be read: No such file"),
    ):
        line = said(tfbind("ensemble", trained.onnx, other, "-o", path))
        assert f"{other}: {message}" in line
        assert not path.exists()
