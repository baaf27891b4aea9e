"""What the help says, and in what order."""

import re
from collections.abc import Iterator

import pytest
from conftest import ROOT
from typer import Context
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tfbind.cli import app

TOP = get_command(app)
assert isinstance(TOP, TyperGroup)


def leaves(command: object, path: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from leaves(below, f"{path} {name}")
    elif isinstance(command, TyperCommand):
        yield path, command


@pytest.mark.parametrize(("path", "command"), list(leaves(TOP, "tfbind")), ids=lambda one: str(one))
def test_no_help_shows_types_of_python(path: str, command: TyperCommand) -> None:
    text = command.get_help(Context(command, info_name=path))
    assert not re.findall(r"<\w+(?:\[\w+\])?>|\b(?:list|tuple|dict)\[", text)


def test_commands_come_in_the_order_of_the_readme() -> None:
    table = re.findall(r"^\| `tfbind (\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert isinstance(TOP, TyperGroup)
    assert list(TOP.commands) == table
