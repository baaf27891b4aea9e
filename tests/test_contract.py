"""What a model wants and gives, to text and back."""

import json

import pytest

from tfbind.contract import Contract, Geometry, Input
from tfbind.errors import InputError

CONTRACT = Contract(
    Geometry(),
    (Input("sequence", "sequence", "uint8"), Input("dnase", "signal", "float16", "log1p", 0.5, 2)),
    ("CTCF",),
    cells=("HeLa-S3",),
    held_out=("chrX:1-100",),
    training={"seed": 1},
)


def test_geometry_of_the_thesis() -> None:
    geometry = Geometry()
    assert geometry.flank == 400
    assert [geometry.length(bins) for bins in (1, 2, 64)] == [1000, 1050, 4150]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1000, 201, 50), "expected the same whole number of bases on both sides of a bin"),
        ((100, 200, 50), "around bins of 200 bp, expected a window of 200 bp or more"),
        ((1000, 200, 0), "expected window, size and stride of 1 bp or more"),
    ],
)
def test_impossible_geometry_is_refused(numbers: tuple[int, int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Geometry(*numbers)


def test_contract_survives_as_text() -> None:
    assert Contract.from_json(CONTRACT.to_json(), "m.onnx") == CONTRACT


def test_signals_are_the_inputs_from_tracks() -> None:
    assert [spec.name for spec in CONTRACT.signals] == ["dnase"]


def test_no_contract_says_so() -> None:
    with pytest.raises(InputError, match=r"^m\.onnx: holds no contract of tfbind$"):
        Contract.from_json(None, "m.onnx")


def test_incomplete_contract_names_what_lacks() -> None:
    values = json.loads(CONTRACT.to_json())
    del values["tasks"]
    with pytest.raises(InputError, match="tasks"):
        Contract.from_json(json.dumps(values), "m.onnx")


def test_newer_contract_asks_for_an_update() -> None:
    values = json.loads(CONTRACT.to_json()) | {"version": 99}
    with pytest.raises(InputError, match="update"):
        Contract.from_json(json.dumps(values), "m.onnx")
