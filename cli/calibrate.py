"""`tfbind calibrate`."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tfbind.errors import InputError, three

from .evaluate import LabelColumn, ScoreColumn, Scores, label_column_of
from .leakage import check_training_bins
from .measures import LABEL_COLUMN, LabelFile, tell_unscored
from .models import opened
from .options import Force, Quiet
from .progress import advancing, progress, say
from .streams import STDIN_NAMES, reading, refuse_existing, refuse_terminal, writing

if TYPE_CHECKING:
    from typing import BinaryIO

    from tfbind.contract import Calibration, Contract, Method
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.matching import Table
    from tfbind.reliability import Reliability


def calibrate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The .onnx file that gave the scores.")
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Write the calibrated .onnx file."),
    ],
    scores: Scores = "-",
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Bins with labels, from tfbind label, or a label table of the ENCODE-DREAM "
            "challenge. Of several columns those named after the tasks are taken.",
        ),
    ] = None,
    method: Annotated[
        Literal["isotonic", "platt"],
        typer.Option(
            metavar="isotonic|platt",
            help="Any rising line, for a hundred bound bins or more; or a sigmoid, for fewer.",
        ),
    ] = "isotonic",
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a model's several tasks, calibrate this one."),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The cell type of the bins, and the column of --labels that has its name, if any.",
        ),
    ] = None,
    score_column: ScoreColumn = None,
    label_column: LabelColumn = None,
    trained_too: Annotated[
        bool,
        typer.Option(
            "--allow-training-bins", help="Take bins of regions that the model was trained on."
        ),
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make a model's scores probabilities, by labels of bins that it was not trained on.

    SCORES is what tfbind score --raw --format bed writes with MODEL; labels are given as to tfbind
    evaluate. Writes MODEL with the calibration in its contract, which tfbind score applies from
    then on, but for --raw. Scores of a calibrated model must be raw ones too: what they give
    replaces what it holds for their tasks. The .keras file and other exports of it know nothing of
    it.

    isotonic pools neighbouring scores until the share of bound bins rises from pool to pool, and
    joins the pools' mean scores by straight lines, or nearly level ones across a pool in which many
    bins share a score, so that the order of scores is kept: scores from 0 to 1 that differ still
    differ, but for rounding; of others those beyond the given ones become one. platt fits a sigmoid
    to the log-odds of scores from 0 to 1, and to others as they are.

    Probabilities hold for the mix of bins that was given. Of bins from tfbind sample more are bound
    than of the genome: calibrate with all bins of a held-out region instead. Each task is
    calibrated by itself, so that scores of classes that exclude each other no longer add up to 1.

    Bins whose windows reach into those that MODEL was trained on are refused, as their scores are
    too good, unless --cell names a cell type that it was not trained on, and so does a column of
    the labels, or the line #tfbind above the scores, by its cell or a signal's file such as
    K562.bw.

    For example:

    \b
        tfbind bin --region chrX:55000001-60000000 | tfbind score ctcf.onnx --raw --format bed \\
          | tfbind calibrate ctcf.onnx --labels labels.bed.gz -o calibrated.onnx
        tfbind bin --chroms chr1 | tfbind score calibrated.onnx > probabilities.bedGraph
    """
    if labels in STDIN_NAMES and scores in STDIN_NAMES:
        raise typer.BadParameter("scores and labels cannot both come from standard input")
    refuse_existing(output, force=force)
    refuse_terminal(output, "a model is binary")
    content, contract, sha256 = opened(model)
    if task is not None and task not in contract.tasks:
        raise typer.BadParameter(f"no task {task!r}: there is {', '.join(contract.tasks)}")
    asked = _Asked(contract, sha256, task, cell, score_column, label_column)
    with ExitStack() as stack:
        # All is opened before anything is read: a missing file is told at once.
        score_stream, score_path = stack.enter_context(reading(scores, what="SCORES"))
        truth = None
        if labels is not None:
            label_stream, label_path = stack.enter_context(reading(labels, what="--labels FILE"))
            truth = LabelFile.of(label_stream, label_path)
        read = _read(score_stream, score_path, truth, asked, quiet=quiet)
    check_training_bins(read.scores, read.named, contract, cell, allowed=trained_too, quiet=quiet)
    fits = {name: _fitted(read, name, method, quiet=quiet) for name in read.tasks}
    changed = replace(contract, calibration={**contract.calibration, **fits})
    from tfbind.calibration import with_contract

    with writing(output, force=force) as stream:
        stream.write(with_contract(content, changed))


@dataclass(frozen=True)
class _Asked:
    """The model, and what was said of the columns."""

    contract: "Contract"
    sha256: str
    task: str | None
    cell: str | None
    score_column: int | None
    label_column: int | None


@dataclass(frozen=True)
class _Read:
    """Scores and labels, each with a column for each of the tasks, and what file scored.

    `named` is what scores and labels call themselves, cell types among it.
    """

    scores: "Table"
    labels: "Table"
    tasks: tuple[str, ...]
    sha256: str
    named: frozenset[str]


def _read(
    stream: "BinaryIO", path: str, truth: LabelFile | None, asked: _Asked, *, quiet: bool
) -> _Read:
    """Read the scores and the labels of each task."""
    from itertools import chain

    from tfbind.intervals import IntervalReader
    from tfbind.matching import labels_of, read_table, scores_of

    reader = IntervalReader(stream, path)
    batches = iter(reader)
    first = next(batches, None)
    if first is None:
        raise InputError("holds no interval, expected one bin a line", path=path)
    columns = _score_columns(reader, asked)
    sha256 = _scored_by(reader, asked, columns, quiet=quiet)
    contigs: dict[str, int] = {}
    labelled = None
    if truth is None:
        label_columns = _beside(first, path, list(columns), asked)
    else:
        label_columns = _label_columns(truth, list(columns), asked)
        labelled = truth.read(contigs, list(label_columns.values()), quiet=quiet)
    tasks = tuple(label_columns)
    parsers = [partial(scores_of, path=path, column=columns[task]) for task in tasks]
    beside = [partial(labels_of, path=path, column=n) for n in label_columns.values()]
    with progress("scores", "bins", total=None, quiet=quiet) as advance:
        table = read_table(
            advancing(chain([first], batches), advance),
            path,
            contigs,
            [*parsers, *(beside if labelled is None else [])],
            like=labelled,
        )
    if labelled is None:
        labelled = replace(table, columns=table.columns[len(tasks) :])
    table = replace(table, columns=table.columns[: len(tasks)])
    return _Read(table, labelled, tasks, sha256, _named(reader, truth))


def _told(reader: "IntervalReader") -> dict[str, str]:
    """Read the fields of the line that tells what the scores are of; none if there is no line."""
    for line in reader.header:
        name, *fields = line.split("\t")
        if name == "#tfbind":
            return dict(field.partition("=")[::2] for field in fields)
    return {}


def _named(reader: "IntervalReader", truth: LabelFile | None) -> frozenset[str]:
    """Collect the names that scores and labels give to what they are of."""
    told = _told(reader)
    files = [Path(path).name for field, path in told.items() if field.startswith("signal:")]
    names = {told.get("cell", ""), *(name.partition(".")[0] for name in files)}
    if truth is not None:
        names |= set(_label_names(truth))
    return frozenset(names)


def _label_names(truth: LabelFile) -> list[str]:
    """Give the names of the columns of a file of labels, if it has them."""
    from tfbind.labels import column_names

    reader = truth.reader
    return list(truth.cells) or column_names(reader.header, reader.columns) or []


def _score_columns(reader: "IntervalReader", asked: _Asked) -> dict[str, int]:
    """Find the column, from 1, of each task that is scored."""
    from tfbind.labels import column_names

    tasks = asked.contract.tasks
    names = column_names(reader.header, reader.columns) or []
    found = {task: LABEL_COLUMN + names.index(task) for task in tasks if task in names}
    alone = asked.task or (tasks[0] if len(tasks) == 1 else _told(reader).get("task"))
    if asked.task is None and len(tasks) > 1 and found:
        return found
    if alone not in tasks:
        raise InputError(
            f"does not tell which of the model's tasks {', '.join(tasks)} the scores are of; give "
            "--task NAME",
            path=reader.path,
        )
    return {alone: asked.score_column or found.get(alone, reader.columns)}


def _scored_by(
    reader: "IntervalReader", asked: _Asked, tasks: Iterable[str], *, quiet: bool
) -> str:
    """Give the sha256 of the file that scored; refuse another model's scores, and calibrated ones.

    Of a calibrated model the scores of the file that it was calibrated from will do as well.
    """
    told = _told(reader)
    known = [asked.sha256, *(one.sha256 for one in asked.contract.calibration.values())]
    scored_by = told.get("sha256", asked.sha256)
    if not told:
        say(
            "the scores have no #tfbind line: nothing tells whether they are raw ones of this "
            "model",
            quiet=quiet,
        )
    if scored_by not in known:
        raise InputError(
            f"holds scores of {told.get('model', 'a model')} with the sha256 {scored_by[:12]}, "
            f"expected {known[0][:12]}; score the bins with the model that is to be calibrated",
            path=reader.path,
        )
    if "calibrated" in told:
        raise InputError(
            "holds calibrated scores, expected raw ones; score the bins with tfbind score --raw",
            path=reader.path,
        )
    return scored_by


def _beside(first: "Intervals", path: str, tasks: list[str], asked: _Asked) -> dict[str, int]:
    """Find the column of labels in the file of the scores."""
    if len(tasks) > 1:
        raise InputError(
            f"holds scores of {len(tasks)} tasks; give their labels by --labels FILE, or choose "
            "one by --task",
            path=path,
        )
    return {tasks[0]: asked.label_column or label_column_of(first, path)}


def _label_columns(truth: LabelFile, tasks: list[str], asked: _Asked) -> dict[str, int]:
    """Find the column, from 1, of each task's labels."""
    if asked.label_column is not None:
        if len(tasks) > 1:
            raise typer.BadParameter("--label-column is of one task: choose that by --task")
        return {tasks[0]: asked.label_column}
    labelled = truth.labelled()
    names = _label_names(truth)
    places = {name: LABEL_COLUMN + place for place, name in enumerate(names)}
    found = {task: places[task] for task in tasks if places.get(task) in labelled}
    if len(tasks) == 1 and not found:
        if asked.cell is not None and places.get(asked.cell) in labelled:
            return {tasks[0]: places[asked.cell]}
        if len(labelled) <= 1:
            return {tasks[0]: (labelled or [LABEL_COLUMN])[0]}
    if not found:
        raise InputError(
            f"found {len(labelled)} column(s) of labels, named {three(names)}, expected one of the "
            f"name of a task, {three(tasks)}; choose one by --task and --label-column",
            path=truth.reader.path,
        )
    return found


def _fitted(read: _Read, task: str, method: "Method", *, quiet: bool) -> "Calibration":
    """Fit the calibration of one task, and tell what it does."""
    from tfbind.calibration import calibrated, fit
    from tfbind.evaluation import ordered
    from tfbind.labels import BOUND, UNBOUND
    from tfbind.matching import match
    from tfbind.reliability import reliability

    place = read.tasks.index(task)
    scores, labels = (
        replace(table, columns=(table.columns[place],)) for table in (read.scores, read.labels)
    )
    matched = match(scores, labels)
    if place == 0:
        tell_unscored(matched, quiet=quiet)
    try:
        bound, unbound = ordered(
            *(matched.scores[matched.labels == code] for code in (BOUND, UNBOUND))
        )
        found = fit(bound, unbound, method, read.sha256)
    except InputError as error:
        raise InputError(f"{task}: {error.message}", path=read.labels.path) from error
    before = reliability(bound, unbound)
    after = reliability(calibrated(bound, found), calibrated(unbound, found))
    say(
        f"{task}: {method}, from {found.bound:,} bound and "
        f"{found.unbound:,} unbound bins; on these: Brier score {_change(before, after, 'brier')}, "
        f"calibration error {_change(before, after, 'error')}",
        quiet=quiet,
    )
    return found


def _change(
    before: "Reliability | None", after: "Reliability | None", what: Literal["brier", "error"]
) -> str:
    shown = ["NA" if one is None else f"{getattr(one, what):.5f}" for one in (before, after)]
    return " to ".join(shown)
