"""Files of models, opened to be written again."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

if TYPE_CHECKING:
    from tfbind.contract import Contract

ModelOutput = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Write the .onnx file here.")
]


def opened(path: str) -> "tuple[bytes, Contract, str]":
    """Read a model file that has a contract; give what it holds, the contract and its sha256."""
    from hashlib import sha256

    from tfbind.contract import METADATA_KEY, Contract
    from tfbind.runtime import Runtime

    if find_spec("onnx") is None:
        raise InputError("this needs onnx; install it with: pip install onnx")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    if content.startswith(b"PK"):
        raise InputError(
            "is no ONNX file, but seems to be a Keras network: tfbind export makes one of it",
            path=path,
        )
    text = Runtime(content, "cpu", path).metadata.get(METADATA_KEY)
    if text is None:
        raise InputError(
            "holds no contract of tfbind, which goes into what is written; give a model of tfbind "
            "export",
            path=path,
        )
    return content, Contract.from_json(text, path), sha256(content).hexdigest()
