"""Windows of labelled bins for the commands of `tfbind explain`, and what is told of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import typer

from tfbind.errors import InputError, three

from .inputs import default_cell, open_sources, signal_files
from .places import Prefix
from .run import wanted_files, wanted_signals
from .streams import reading

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfbind.channels.base import Array
    from tfbind.contract import Contract
    from tfbind.intervals import Intervals
    from tfbind.tiles import BinCheck, Stretches

WINDOWS = 256
"""Windows that are read at a time."""

BOUND = "B"

Label = Annotated[
    str,
    typer.Option(
        metavar="WORD",
        help="What column 4 says of the bins to explain, such as B, sharp or broad; without a "
        "column 4 all bins are.",
    ),
]


class Windows(NamedTuple):
    """A batch of bins, the genome's names of its contigs, their windows, and which are chosen."""

    batch: "Intervals"
    names: list[str]
    inputs: "dict[str, Array]"
    chosen: "npt.NDArray[np.bool_]"


def require_extra() -> None:
    """Refuse to begin without the libraries that draw and compare motifs."""
    for module in ("matplotlib", "logomaker", "memelite"):
        if find_spec(module) is None:
            raise InputError(
                f"this needs {module}; install it with: pip install 'tfbind[train,explain]'"
            )


class Reading(NamedTuple):
    """Options that say what windows are read from."""

    fasta: str | None
    signal: list[str] | None
    channel: list[str] | None
    cell: str | None
    expression: str | None
    alias: str | None
    chr_prefix: Prefix
    quiet: bool


@contextmanager
def windows_of(
    bed: str,
    contract: "Contract",
    label: str,
    given: Reading,
) -> Iterator[Iterator[Windows]]:
    """Open bins and what their windows are read from."""
    from tfbind.tiles import BinCheck, Stretches

    signals = signal_files(given.signal)
    files = wanted_signals(contract, signals, given.quiet)
    others = wanted_files(contract, given.channel, given.expression, quiet=given.quiet)
    cell = given.cell or default_cell(signals)
    with reading(bed, what="BINS") as (stream, path):
        sources = open_sources(given.fasta, files, given.alias, given.chr_prefix, cell, others)
        check = BinCheck(contract.geometry, sources, path, strands=contract.stranded)
        stretches = Stretches(contract.geometry, contract.inputs, sources)
        yield _read(stream, path, contract, label, check, stretches)


def _read(
    stream: BinaryIO,
    path: str,
    contract: "Contract",
    label: str,
    check: "BinCheck",
    stretches: "Stretches",
) -> Iterator[Windows]:
    from tfbind.interpret.windows import read_windows
    from tfbind.intervals import IntervalReader

    others: dict[str, None] = {}
    found = False
    for batch in IntervalReader(stream, path):
        for part in batch.parts(WINDOWS):
            kept, names = check(_without_ambiguous(part, label))
            chosen = with_label(kept, label, others)
            if not len(kept):
                continue
            found = found or bool(chosen.any())
            yield Windows(kept, names, read_windows(kept, names, contract, stretches), chosen)
    if not found:
        raise InputError(
            f"has no bin with {label!r} in column 4, but {three(others)}; give --label WORD, or "
            "bins without a column 4",
            path=path,
        )


def _without_ambiguous(batch: "Intervals", label: str) -> "Intervals":
    """Leave out bins of which nobody knows whether they are what is asked for."""
    import numpy as np
    import pyarrow.compute as pc

    from tfbind.classes import UNCLEAR
    from tfbind.labels import AMBIGUOUS, LETTERS

    unclear = LETTERS[AMBIGUOUS] if label == BOUND else UNCLEAR
    if not batch.extra or label == unclear:
        return batch
    return batch.select(~np.asarray(pc.equal(batch.extra[0], unclear.encode())))


def with_label(batch: "Intervals", label: str, others: dict[str, None]) -> "npt.NDArray[np.bool_]":
    """Tell which bins have a word in column 4; all have it where there is no such column.

    Three other words are remembered in `others`, for a message.
    """
    import numpy as np
    import pyarrow.compute as pc

    if not batch.extra:
        return np.ones(len(batch), bool)
    chosen = np.asarray(pc.equal(batch.extra[0], label.encode()))
    if len(others) < 4:
        words = pc.unique(batch.extra[0]).to_pylist()
        others |= {word.decode("utf-8", "replace"): None for word in words[:4]}
    return chosen


_STRETCH = re.compile(r"([+-]?\d+):([+-]?\d+)")


def stretch_in(option: str, text: str) -> tuple[int, int]:
    """Read FROM:TO, both ends included; give the first position and the one behind the last."""
    found = _STRETCH.fullmatch(text.strip())
    if found is None or int(found[1]) > int(found[2]):
        raise typer.BadParameter(f"found {option} {text}, expected FROM:TO in bp, such as -35:-20")
    return int(found[1]), int(found[2]) + 1


def inside(option: str, stretch: tuple[int, int], window: int) -> tuple[int, int]:
    """Cut a stretch to the window; refuse one that lies outside."""
    first, last = -(window // 2), window - window // 2
    if stretch[1] <= first or stretch[0] >= last:
        raise typer.BadParameter(
            f"{option} {stretch[0]}:{stretch[1] - 1} lies outside of the window, {first}:{last - 1}"
        )
    return max(stretch[0], first), min(stretch[1], last)


Marks = Annotated[
    list[str] | None,
    typer.Option(
        "--mark",
        metavar="FROM:TO[=NAME]",
        help="Mark a stretch, bp from the centre, ends included, such as -35:-20=TATA; repeatable.",
    ),
]


def marks_in(texts: list[str] | None) -> list[tuple[tuple[int, int], str]]:
    """Read the stretches of `--mark` and their names."""
    parted = (text.partition("=") for text in texts or [])
    return [(stretch_in("--mark", where), name or where) for where, _, name in parted]


def data_of(bed: str) -> str:
    """Name the bins in a title."""
    return "bins of standard input" if bed == "-" else Path(bed).name
