"""`tfbind archs`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .keras_backend import load_keras
from .options import Force, Output
from .streams import writing

if TYPE_CHECKING:
    from tfbind.networks.catalogue import Listed

NAMES = (
    "best",
    "shallow",
    "multitask",
    "deep",
    "tss",
    "tss-lstm",
    "deepbind",
    "zeng",
    "basset",
    "deepsea",
    "danq",
    "deepchrome",
    "naive",
    "boosted",
)
"""Of all architectures, which help is to know without Keras."""

COLUMNS = (
    "name",
    "parameters",
    "inputs",
    "window",
    "bin",
    "stride",
    "tasks",
    "way",
    "learns",
    "recipe",
    "about",
)
"""As `--json` names them too."""


def archs(
    json: Annotated[bool, typer.Option("--json", help="Write one JSON array.")] = False,
    output: Output = "-",
    force: Force = False,
) -> None:
    """List the architectures that train knows, with the sizes that they were published with.

    A line each, tab-separated below a header: the name; trainable parameters, counted from the
    network; what its inputs are made from, where one motif stands for any number; base pairs of a
    window, of a bin and from one bin to the next; tasks; scan, if it reads any stretch at once, or
    windows, if it takes one at a time and scores slower; what it learns; its recipe, settings that
    train takes in place of the usual ones unless they are given, or -; a few words. --json also
    has sizes: what --config may set under [network], and what it is otherwise. What train builds
    has the geometry and the tasks of its tiles.

    For example:

        tfbind archs | cut -f 1,2 | sort -k 2,2n
    """
    load_keras("cpu")
    from tfbind.networks.catalogue import catalogue

    listed = list(catalogue())
    if output == "-" and not json and sys.stdout.isatty():
        _show(listed)
        return
    text = _json(listed) if json else _table(listed)
    with writing(output, force=force) as stream:
        stream.write(text.encode())


def _cells(one: "Listed") -> list[str]:
    """Write one architecture in the order of `COLUMNS`."""
    sizes = (one.window, one.bin, one.stride, one.tasks)
    recipe = ",".join(f"{name}={value}" for name, value in one.recipe.items()) or "-"
    counts = {source: one.inputs.count(source) for source in one.inputs}
    inputs = ",".join(f"{source}*{n}" if n > 1 else source for source, n in counts.items())
    cells = [one.name, str(one.parameters), inputs, *map(str, sizes), one.way, one.learns]
    return [*cells, recipe, one.about]


def _table(listed: "list[Listed]") -> str:
    lines = ["#" + "\t".join(COLUMNS), *("\t".join(_cells(one)) for one in listed)]
    return "\n".join(lines) + "\n"


def _json(listed: "list[Listed]") -> str:
    from dataclasses import asdict
    from json import dumps

    return dumps([asdict(one) for one in listed], indent=2) + "\n"


def _show(listed: "list[Listed]") -> None:
    """Draw a table on a terminal: what tells architectures apart, the rest is in the lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    shown = ("name", "parameters", "window", "tasks", "way", "about")
    for name in shown:
        number = name in ("parameters", "window", "tasks")
        table.add_column(name, justify="right" if number else "left", no_wrap=name != "about")
    for one in listed:
        cells = dict(zip(COLUMNS, _cells(one), strict=True))
        cells["parameters"] = f"{one.parameters:,}"
        table.add_row(*(cells[name] for name in shown))
    Console().print(table)
