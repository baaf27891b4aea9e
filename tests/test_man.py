"""The man pages say what the help says."""

import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

MAN = Path(__file__).parent.parent / "man"
BUILD = runpy.run_path(str(MAN / "build.py"))
PAGES: dict[Path, str] = dict(BUILD["pages"]())
set_block: Callable[[str], str] = BUILD["set_block"]

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def test_every_page_has_a_command_and_every_command_a_page() -> None:
    assert {path.name for path in MAN.glob("*.1")} == {path.name for path in PAGES}


@each_page
def test_page_is_in_step_with_the_help(path: Path) -> None:
    assert path.read_text() == PAGES[path], "run: python man/build.py"


@each_page
def test_page_has_a_worked_pipe(path: Path) -> None:
    _, found, example = PAGES[path].partition("For example:\n.PP\n.nf\n")
    assert found, "the docstring needs 'For example:' and an indented block"
    assert "tfbind" in example.partition(".fi")[0]


@each_page
def test_page_has_no_character_that_help_alone_understands(path: Path) -> None:
    assert PAGES[path].replace("\n", "").isprintable()
    assert PAGES[path].isascii()


@each_page
@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_page_is_sound(path: Path) -> None:
    lint = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True, check=False
    )
    # No date: the same help makes the same page on any day.
    assert [line for line in lint.stdout.splitlines() if "missing date" not in line] == []


def test_a_block_marked_as_typed_keeps_its_lines() -> None:
    marked = "\b\n    export A=b\n    tfbind bin | awk 'NR%3'"
    assert set_block(marked) == (
        ".nf\n.RS 4\nexport A=b\ntfbind bin | awk \\(aqNR%3\\(aq\n.RE\n.fi"
    )
    assert set_block("\b\n1  one\n2  two") == ".nf\n.RS 4\n1  one\n2  two\n.RE\n.fi"
    assert set_block("one\ntwo") == "one two"
    assert set_block("    .hidden") == ".nf\n.RS 4\n\\&.hidden\n.RE\n.fi"


def test_a_group_inside_a_group_has_pages() -> None:
    app, below = typer.Typer(name="top", help="Top."), typer.Typer(help="Group.")

    @below.command("leaf")
    def leaf(size: int = 1) -> None:
        """Do it."""

    @app.command("other")
    def other() -> None:
        """Do something else."""

    app.add_typer(below, name="group")
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    made = {p.name: text for p, text in BUILD["walk"](group, typer.Context(group, info_name="top"))}
    assert list(made) == ["top.1", "top-other.1", "top-group.1", "top-group-leaf.1"]
    assert "top\\-group\\-leaf(1)" in made["top-group.1"]
    assert "\\-\\-size" in made["top-group-leaf.1"]
