"""What a file says of itself."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from conftest import Tfbind, Trained, ok, said

from tfbind.contract import IN_KERAS


def damaged() -> bytes:
    """Make an archive that opens, and whose contract does not."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(IN_KERAS, "{}" * 100)
    content = bytearray(whole.getvalue())
    start = 30 + len(IN_KERAS)
    content[start : start + 6] = b"\xff" * 6
    return bytes(content)


DAMAGED = damaged()


def test_a_model_its_network_and_its_tiles_tell_what_they_are(
    tfbind: Tfbind, trained: Trained
) -> None:
    model, network, tiles = (
        json.loads(ok(tfbind("info", path)))
        for path in (trained.onnx, trained.keras, trained.tiles)
    )
    assert model["architecture"] == network["architecture"] == "shallow"
    assert model["tasks"] == tiles["experiments"] == ["bound"]
    assert model["geometry"] == tiles["geometry"]
    assert model["training"]["seed"] == network["training"]["seed"]
    assert [spec["name"] for spec in tiles["inputs"]] == ["sequence", "dnase"]
    assert tiles["cell"] == "HeLa-S3"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"PK\x03\x04", "is no .keras file, or is damaged"),
        (DAMAGED, "is no .keras file, or is damaged"),
        (b"chr1\t0\t200\n", "is no ONNX model that can be loaded"),
        (b"\xff\xff\xff\xff\x00", "is no file of tiles"),
    ],
    ids=["missing", "zip", "damaged", "bed", "arrow"],
)
def test_other_files_are_refused(
    tfbind: Tfbind, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "a.file"
    if content is not None:
        path.write_bytes(content)
    assert f"{path}: {message}" in said(tfbind("info", path))
