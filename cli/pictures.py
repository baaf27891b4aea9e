"""Files of pictures, whose names say what kind they are."""

from importlib.util import find_spec
from pathlib import Path

import typer

from tfbind.errors import InputError

from .streams import refuse_existing

PICTURES = ("png", "svg", "pdf")


def kind_of(path: str) -> str:
    """Give the kind of a picture by its name: png, svg or pdf."""
    return Path(path).suffix.removeprefix(".").lower()


def check_picture(option: str, path: str, *, force: bool) -> None:
    """Refuse what cannot be drawn before anything is read."""
    if kind_of(path) not in PICTURES:
        raise typer.BadParameter(
            f"found {path}, expected a name in .png, .svg or .pdf for {option}"
        )
    if find_spec("matplotlib") is None:
        raise InputError(f"{option} needs matplotlib; install it with: pip install 'tfbind[plot]'")
    refuse_existing(path, force=force)
