"""Options that describe a model that was not made here."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tfbind.foreign import Foreign

Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        metavar="BP",
        min=1,
        help="Of a foreign model: what its graph takes at a time, where the axes do not say it.",
    ),
]
Stride = Annotated[
    int | None,
    typer.Option(
        "--stride",
        metavar="BP",
        min=1,
        help="Of a foreign model whose windows give one bin, in their centre, its scores: from "
        "window to window. Default: 50.",
    ),
]
Step = Annotated[
    int | None,
    typer.Option(
        "--step",
        metavar="BP",
        min=1,
        help="Of a foreign model whose windows give several bins, around their centre, their "
        "scores: from bin to bin.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="BP",
        min=1,
        help="Of a foreign model: a bin. Default: the step; or else 200, or in shorter windows the "
        "stride.",
    ),
]
GraphInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=PART+PART",
        help="Of a foreign model: the channels of its graph's input NAME; repeat for several. A "
        "part is an order of ACGT, one-hot (ACGT:quarter: 0.25 each where the base is unknown), "
        "codes (A 0, C 1, G 2, T 3, other 4), or a signal: NAME, NAME:log1p, NAME:MEAN:SD or "
        "NAME:log1p:MEAN:SD. Default for four channels: ACGT.",
    ),
]
InputLayout = Annotated[
    Literal["channels-last", "channels-first"] | None,
    typer.Option(
        "--layout",
        metavar="channels-last|channels-first",
        help="Of a foreign model: its inputs are (batch, window, channels) or (batch, channels, "
        "window); where the axes do not tell.",
    ),
]
GraphOutput = Annotated[
    str | None,
    typer.Option(
        "--graph-output",
        metavar="NAME",
        help="Of a foreign model: of several outputs of its graph, take this one.",
    ),
]
TaskNames = Annotated[
    str | None,
    typer.Option(
        "--task-names",
        metavar="A,B",
        help="Of a foreign model: names of a bin's scores. Default: score, or task1, task2 and "
        "so on.",
    ),
]


def foreign_model(
    *,
    window: int | None,
    stride: int | None,
    step: int | None,
    size: int | None,
    inputs: list[str] | None,
    layout: Literal["channels-last", "channels-first"] | None,
    output: str | None,
    tasks: str | None,
) -> "Foreign | None":
    """Make a description of what was given, or None of nothing."""
    from tfbind.errors import InputError
    from tfbind.foreign import Foreign

    if all(
        one in (None, []) for one in (window, stride, step, size, inputs, layout, output, tasks)
    ):
        return None
    try:
        return Foreign(
            window=window,
            stride=stride,
            step=step,
            size=size,
            inputs=tuple(inputs or ()),
            layout=layout,
            output=output or "",
            tasks=tuple(tasks.split(",")) if tasks else (),
        )
    except InputError as error:
        raise typer.BadParameter(error.message) from error


def described(foreign: "Foreign | None") -> list[str]:
    """Write what was given as fields of the line that tells where scores come from."""
    if foreign is None:
        return []
    fields = {
        "window": foreign.window,
        "stride": foreign.stride,
        "step": foreign.step,
        "size": foreign.size,
        "layout": foreign.layout,
        "graph-output": foreign.output,
        "task-names": ",".join(foreign.tasks),
    }
    given = [f"{name}={value}" for name, value in fields.items() if value]
    return [*(f"input={text}" for text in foreign.inputs), *given]
