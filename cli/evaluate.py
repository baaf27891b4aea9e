"""`tfbind evaluate`."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .classes import class_names, evaluate_classes
from .measures import LABEL_COLUMN, Json, measures, read_labels, tell_unscored, write_metrics
from .options import Force, Output, Quiet
from .pictures import check_picture, kind_of
from .progress import advancing, progress
from .streams import STDIN_NAMES, reading, refuse_existing, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from tfbind.intervals import Intervals
    from tfbind.matching import Matched

Scores = Annotated[
    str,
    typer.Argument(
        metavar="SCORES",
        help="Bins with scores, BED, plain, gzip or BGZF; - is standard input.",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Bins with labels, from tfbind label, or a label table of the ENCODE-DREAM challenge.",
    ),
]
Cell = Annotated[
    str | None,
    typer.Option(
        "--cell",
        metavar="NAME",
        help="Take the labels from this column of --labels, by its name in the header; needed "
        "where there are several.",
    ),
]
ScoreColumn = Annotated[
    int | None,
    typer.Option(
        "--score-column", metavar="N", min=4, help="Column of the scores, from 1; default: last."
    ),
]
LabelColumn = Annotated[
    int | None,
    typer.Option(
        "--label-column",
        metavar="N",
        min=4,
        help="Column of the labels, from 1, in the file of --labels, else in SCORES; default: 4, "
        "where it is the only one of labels.",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="A,B,C",
        help="The scores are of these classes, of which the true one is named in column 4: in the "
        "columns of their names where a header line has these, else in the last, in this order.",
    ),
]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw precision-recall and ROC curves: .png, .svg or .pdf; needs tfbind[plot].",
    ),
]
ReliabilityPlot = Annotated[
    str | None,
    typer.Option(
        "--reliability",
        metavar="FILE",
        help="Draw the share of bound bins against the scores, likewise; for scores from 0 to 1.",
    ),
]


def evaluate(
    scores: Scores = "-",
    labels: Labels = None,
    score_column: ScoreColumn = None,
    label_column: LabelColumn = None,
    cell: Cell = None,
    classes: Classes = None,
    json: Json = False,
    plot: Plot = None,
    reliability: ReliabilityPlot = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure how well scores tell bound bins from unbound ones.

    SCORES is what tfbind score --format bed writes: contig, start, end, any columns, score. The
    labels, B, A or U as tfbind label writes them, come from --labels, or stand in column 4 of
    SCORES itself. Both files hold the same bins, in any order, each once; labels of contigs
    without any score are left out and counted. Scores are rounded to 32-bit floats, which those of
    tfbind score are; tfbind dream check keeps all digits, as the challenge's scorer does. A label
    table of the ENCODE-DREAM challenge, with the header chr start stop CELL..., does for --labels.

    Writes a table on a terminal, else lines of metric, tab, value:

    \b
        bins                  all that were matched, the sum of the next three
        bound, unbound        what the measures rest on
        ambiguous_dropped     A: left out
        auroc                 area under the ROC curve
        auprc_trapezoid       area under scikit-learn's precision-recall curve, by trapezoids
        auprc_davis_goadrich  the same, interpolated as by R's PRROC
        recall_at_10_fdr      recall at a false discovery rate of 10 %
        recall_at_50_fdr      and of 50 %
        brier                 mean squared difference of score and label, 1 or 0
        calibration_error     expected, over 15 groups of equally many bins by score: the mean
                              difference of a group's mean score and its share of bound bins

    The last two are NA where a score is not from 0 to 1. They hold for the mix of bins that was
    given: see tfbind calibrate.

    With --classes, for scores of start sites and other classes that exclude each other, a line is
    class, metric, tab-separated, value: the measures of each class against all others, and
    scored_as_OTHER, the row of the confusion matrix; --plot draws that too. Bins whose class is
    ambiguous are left out.

    60 million bins take 30 seconds on one core, and 1 GB of memory where both files have the same
    order, 3.5 GB where they do not.

    For example:

    \b
        tfbind bin --chroms chr1,chr8,chr21 | tfbind score ctcf.onnx --format bed \\
          | tfbind evaluate --labels labels.bed.gz --plot ctcf.png
        tfbind label --conservative idr.narrowPeak < bins.bed \\
          | tfbind score ctcf.onnx --format bed | tfbind evaluate --json
        tfbind score tss.onnx labelled.bed --format bed \\
          | tfbind evaluate --classes background,sharp,broad --plot tss.png
    """
    refuse_existing(output, force=force)
    _check_pictures(plot, reliability, force=force)
    others = (labels, score_column, label_column, cell, reliability)
    if classes is not None:
        names = class_names(classes, *others)
        evaluate_classes(
            scores, names, plot=plot, output=output, json=json, force=force, quiet=quiet
        )
        return
    _refuse_odd(scores, labels, label_column, cell)
    matched = _read(scores, labels, score_column, label_column, cell, quiet=quiet)
    ranking, reliable, metrics = measures(matched, _name(labels or scores))
    title = f"{Path(_name(scores)).name} against {Path(_name(labels or scores)).name}"
    with ExitStack() as stack:
        if plot is not None:
            from tfbind.plots import draw_curves

            part = stack.enter_context(replacing(plot, force=force))
            draw_curves(ranking, metrics, part, kind=kind_of(plot), title=title)
        if reliability is not None:
            from tfbind.plots import draw_reliability

            if reliable is None:
                raise InputError(
                    "holds scores that are not from 0 to 1, which --reliability cannot show as "
                    "probabilities; leave it out",
                    path=_name(scores),
                )
            part = stack.enter_context(replacing(reliability, force=force))
            draw_reliability(reliable, part, kind=kind_of(reliability), title=title)
    files = {"scores": _name(scores), "labels": _name(labels or scores)}
    write_metrics(metrics, files, matched.unscored, json=json, output=output, force=force)


def _check_pictures(plot: str | None, reliability: str | None, *, force: bool) -> None:
    for name, picture in (("--plot", plot), ("--reliability", reliability)):
        if picture is not None:
            check_picture(name, picture, force=force)
    if plot is not None and plot == reliability:
        raise typer.BadParameter("--plot and --reliability name one file: give two")


def _refuse_odd(
    scores: str, labels: str | None, label_column: int | None, cell: str | None
) -> None:
    if labels in STDIN_NAMES and scores in STDIN_NAMES:
        raise typer.BadParameter("scores and labels cannot both come from standard input")
    if cell is not None and labels is None:
        raise typer.BadParameter("--cell names a column of --labels: give both")
    if cell is not None and label_column is not None:
        raise typer.BadParameter("--cell and --label-column both choose the labels: give one")


def _name(path: str) -> str:
    return "standard input" if path in STDIN_NAMES else path


def _read(
    scores: str,
    labels: str | None,
    score_column: int | None,
    label_column: int | None,
    cell: str | None,
    *,
    quiet: bool,
) -> "Matched":
    from tfbind.matching import match, read_table, scores_of

    contigs: dict[str, int] = {}
    with ExitStack() as stack:
        # All is opened before anything is read: a missing file is told at once.
        score_stream, score_path = stack.enter_context(reading(scores, what="SCORES"))
        if labels is None:
            return _read_one(score_stream, score_path, score_column, label_column, quiet=quiet)
        label_stream, label_path = stack.enter_context(reading(labels, what="--labels FILE"))
        labelled = read_labels(label_stream, label_path, contigs, cell, label_column, quiet=quiet)
        with progress("scores", "bins", total=None, quiet=quiet) as advance:
            scored = read_table(
                advancing(_reader(score_stream, score_path), advance),
                score_path,
                contigs,
                [lambda batch: scores_of(batch, score_path, score_column)],
                like=labelled,
            )
    matched = match(scored, labelled)
    tell_unscored(matched, quiet=quiet)
    return matched


def _reader(stream: "BinaryIO", path: str) -> "Iterator[Intervals]":
    from tfbind.intervals import IntervalReader

    return iter(IntervalReader(stream, path))


def label_column_of(first: "Intervals", path: str) -> int:
    """Find labels beside scores, in the one column where they may stand unasked."""
    from tfbind.matching import holds_labels

    columns = len(first.extra) + 3
    labelled = [n for n in range(LABEL_COLUMN, columns + 1) if holds_labels(first, n)]
    if columns <= LABEL_COLUMN or LABEL_COLUMN not in labelled:
        raise InputError(
            f"found {columns} columns and no labels in column {LABEL_COLUMN}; give --labels FILE, "
            "or --label-column N",
            path=path,
        )
    if len(labelled) > 1:
        shown = ", ".join(map(str, labelled))
        raise InputError(
            f"found labels in the columns {shown}; choose one by --label-column", path=path
        )
    return LABEL_COLUMN


def _read_one(
    stream: "BinaryIO",
    path: str,
    score_column: int | None,
    label_column: int | None,
    *,
    quiet: bool,
) -> "Matched":
    """Read scores and labels that stand side by side in one file."""
    from itertools import chain

    from tfbind.matching import Matched, in_order, labels_of, read_table, scores_of

    batches = _reader(stream, path)
    head = [batch for batch in (next(batches, None),) if batch is not None]
    if label_column is None and head:
        label_column = label_column_of(head[0], path)
    with progress("scores and labels", "bins", total=None, quiet=quiet) as advance:
        table = read_table(
            advancing(chain(head, batches), advance),
            path,
            {},
            [
                lambda batch: scores_of(batch, path, score_column),
                lambda batch: labels_of(batch, path, label_column or LABEL_COLUMN),
            ],
        )
    in_order(table, "bins")
    values, codes = table.columns
    return Matched(values, codes)
