"""`tfbind info`."""

import zipfile
import zlib
from pathlib import Path
from typing import Annotated

import typer

from tfbind.errors import InputError

from .options import Force, Output
from .streams import refuse_existing, writing

STREAM = b"\xff\xff\xff\xff"
"""What a stream of Arrow begins with."""


def info(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A model (.onnx), a network (.keras) or tiles.")
    ],
    output: Output = "-",
    force: Force = False,
) -> None:
    """Show what a file says of itself: its contract, as JSON.

    Of a model or a network: the window and its bins, the inputs and what is done to them, tasks,
    the architecture and what it was built with, how it was trained, on which cells and regions,
    versions, calibration. Of tiles: the window, inputs, experiments, cell type.

    For example:

    \b
        tfbind info ctcf.onnx | jq .training
        tfbind info HeLa-S3.tiles | jq -r '.experiments[]'
    """
    refuse_existing(output, force=force)
    from json import dumps, loads

    text = dumps(loads(_contract(file)), indent=2) + "\n"
    with writing(output, force=force) as stream:
        stream.write(text.encode())


def _contract(path: str) -> str:
    """Read the contract, whatever the file is, and check it."""
    from tfbind.contract import METADATA_KEY, Contract

    try:
        with open(path, "rb") as stream:
            first = stream.read(8)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    if not Path(path).is_file():  # a pipe's first bytes are gone now
        raise InputError("is no file on a disk; write it to one first", path=path)
    if first.startswith(STREAM):
        from tfbind.tilefiles import TileFile

        return TileFile(path).contents.to_json()
    if first.startswith(b"PK"):
        text = _in_keras(path)
    else:
        from tfbind.runtime import Runtime

        text = Runtime(Path(path).read_bytes(), "cpu", path).metadata.get(METADATA_KEY)
    return Contract.from_json(text, path).to_json()


def _in_keras(path: str) -> str | None:
    from tfbind.contract import IN_KERAS

    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(IN_KERAS).decode()
    except KeyError:
        return None
    except (zipfile.BadZipFile, zlib.error, RuntimeError, UnicodeDecodeError) as error:
        raise InputError("is no .keras file, or is damaged; train writes one", path=path) from error
