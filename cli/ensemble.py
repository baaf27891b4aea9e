"""`tfbind ensemble`."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import three

from .models import ModelOutput, opened
from .options import Force, Quiet
from .progress import say
from .streams import refuse_existing, refuse_terminal, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfbind.ensembles import Member


def ensemble(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Two or more .onnx files of export.")
    ],
    output: ModelOutput,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="What each model counts, in their order; default: all the same.",
        ),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Join models that learnt different things into one, which averages their log-odds.

    Writes one ONNX file that scores as tfbind export's do: the score of a task is the sigmoid of
    the weighted mean of the log-odds of the scores that models give it. Tasks are matched by name;
    one that a few models score is the mean of these, so that networks of one factor each can join
    one of all. Models have the same bins and prepare their inputs in the same way; where windows
    differ, narrower ones look at the middle of the widest. If all scan, the ensemble does.

    It is slower than its slowest model by the time of all others. Calibrations do not hold for a
    mean, and are left out: calibrate the ensemble. Scores of classes that exclude each other no
    longer add up to 1. It is compared with its members before it is written; a difference over 1e-5
    is an error.

    For example:

    \b
        tfbind ensemble best.onnx shallow.onnx boosted.onnx --weights 3,1,1 -o ctcf.onnx
        tfbind bin | tfbind score ctcf.onnx > preds.bedGraph
    """
    refuse_existing(output, force=force)
    refuse_terminal(output, "a model is binary")
    members = _members(models, _numbers(weights, len(models)))
    from tfbind.ensembles import ensemble as joined

    if any(member.contract.calibration for member in members):
        say("calibrations are left out: calibrate the ensemble", quiet=quiet)
    model, difference = joined(members)
    with writing(output, force=force) as stream:
        stream.write(model.SerializeToString())
    tasks = list(dict.fromkeys(task for one in members for task in one.contract.tasks))
    say(
        f"{output}: {len(members)} models of {three(tasks)}; differs from their mean by at most "
        f"{difference:.1e}",
        quiet=quiet,
    )


def _numbers(text: str | None, count: int) -> list[float]:
    """Read the weights, one for each model."""
    if text is None:
        return [1.0] * count
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count or not all(0 < one < math.inf for one in found):
        raise typer.BadParameter(
            f"found --weights {text}, expected {count} numbers over 0 parted by commas, one for "
            "each model"
        )
    return found


def _members(models: "Sequence[str]", weights: "Sequence[float]") -> "list[Member]":
    files = [opened(path) for path in models]  # tells of a missing onnx, too
    from tfbind.ensembles import Member

    together = zip(models, files, weights, strict=True)
    return [Member(path, *file, weight) for path, file, weight in together]
