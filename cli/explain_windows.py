"""Windows of labelled bins for the commands of `tfbind explain`, and what is told of them."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tfbind.errors import InputError, three

from .explained import Bins

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfbind.channels.base import Array
    from tfbind.intervals import Intervals

WINDOWS = 256
"""Windows that are read at a time."""

BOUND = "B"

Label = Annotated[
    str,
    typer.Option(
        metavar="WORD",
        help="What column 4, or the one that the header names by the task, says of the bins to "
        "explain, such as B, sharp or broad; without a column 4 all bins are.",
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


def labelled_windows(bins: Bins, label: str, task: str) -> Iterator[Windows]:
    """Read the windows of bins, but of those of which nobody knows whether they have the label."""
    from tfbind.interpret.windows import read_windows

    others: dict[str, None] = {}
    found = False
    for whole, names in bins.labelled(task):
        for batch in whole.parts(WINDOWS):
            kept = _without_ambiguous(batch, label)
            if not len(kept):
                continue
            chosen = with_label(kept, label, others)
            found = found or bool(chosen.any())
            inputs = read_windows(kept, names, bins.contract, bins.stretches)
            yield Windows(kept, names, inputs, chosen)
    if not found and not others:
        raise InputError("holds no bins to explain", path=bins.name)
    if not found:
        raise InputError(
            f"has no bin with {label!r} in column 4, but {three(others)}; give --label WORD, or "
            "bins without a column 4",
            path=bins.name,
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


def stretch_in(option: str, text: str) -> tuple[int, int]:
    """Read FROM:TO, both ends included; give the first position and the one behind the last."""
    from tfbind.regions import parse_stretch

    found = parse_stretch(text)
    if found is None:
        raise typer.BadParameter(f"found {option} {text}, expected FROM:TO in bp, such as -35:-20")
    return found


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
