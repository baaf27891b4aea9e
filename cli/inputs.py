"""From options to the files that inputs are made from."""

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from .places import alias_in
from .progress import say

if TYPE_CHECKING:
    from tfbind.channels import Sources


def signal_files(given: list[str] | None) -> dict[str, str]:
    """Read NAME=FILE pairs from the options, or else from TFBIND_SIGNAL.

    A file without a name is named `signal`.
    """
    pairs = given or [pair for pair in os.environ.get("TFBIND_SIGNAL", "").split(",") if pair]
    files: dict[str, str] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals:
            name, path = "signal", pair
        if not name or not path:
            raise typer.BadParameter(f"found --signal {pair!r}, expected NAME=FILE")
        if name in files:
            raise typer.BadParameter(f"two signals are named {name!r}: name each NAME=FILE")
        files[name] = path
    return files


def default_cell(files: dict[str, str]) -> str:
    """Take the cell type's name from the first signal's file."""
    return next((Path(path).stem for path in files.values()), "")


def open_sources(
    fasta: str | None,
    signals: dict[str, str],
    alias: str | None,
    prefix: Literal["add", "strip"] | None,
    cell: str = "",
    others: dict[str, str] | None = None,
) -> "Sources":
    """Open a genome and signals, with the ways to find a contig under another name."""
    from tfbind.channels import Sources
    from tfbind.genome import ContigNames, Genome
    from tfbind.signal import Signal

    if fasta is None:
        raise typer.BadParameter("no genome: give --fasta FILE or set TFBIND_FASTA")
    names = functools.partial(ContigNames, alias=alias_in(alias), prefix=prefix)
    sources = Sources(
        Genome(fasta),
        {name: Signal(path) for name, path in signals.items()},
        names,
        cell,
        others or {},
    )
    for doubt in sources.longer_contigs()[:1]:
        say(doubt, quiet=False)
    return sources
