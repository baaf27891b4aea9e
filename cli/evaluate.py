"""`tfbind evaluate`."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .options import Force, Output, Quiet
from .progress import advancing, progress, say
from .streams import STDIN_NAMES, reading, refuse_existing, replacing, writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from tfbind.evaluation import Metrics, Ranking
    from tfbind.intervals import Intervals
    from tfbind.matching import Matched, Table

PICTURES = ("png", "svg", "pdf")
LABEL_COLUMN = 4
TITLES = {
    "auroc": "AUROC",
    "auprc_trapezoid": "AUPRC, trapezoid",
    "auprc_davis_goadrich": "AUPRC, Davis-Goadrich",
    "recall_at_10_fdr": "recall at 10 % FDR",
    "recall_at_50_fdr": "recall at 50 % FDR",
}

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
        help="Take the labels from this column of --labels, by its name in the header.",
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
        help="Column of the labels, from 1, in the file of --labels, else in SCORES; default: 4.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw precision-recall and ROC curves: .png, .svg or .pdf; needs tfbind[plot].",
    ),
]


def evaluate(
    scores: Scores = "-",
    labels: Labels = None,
    score_column: ScoreColumn = None,
    label_column: LabelColumn = None,
    cell: Cell = None,
    json: Json = False,
    plot: Plot = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure how well scores tell bound bins from unbound ones.

    SCORES is what tfbind score --format bed writes: contig, start, end, any columns, score. The
    labels, B, A or U as tfbind label writes them, come from --labels, or stand in column 4 of
    SCORES itself. Both files hold the same bins, in any order, each once; labels of contigs
    without any score are left out and counted. Scores are compared as 32-bit floats. A label table
    of the ENCODE-DREAM challenge, with the header chr start stop CELL..., does for --labels.

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

    60 million bins take 30 seconds on one core, and 1 GB of memory where both files have the same
    order, 3.5 GB where they do not.

    For example:

    \b
        tfbind bin --chroms chr1,chr8,chr21 | tfbind score ctcf.onnx --format bed \\
          | tfbind evaluate --labels labels.bed.gz --plot ctcf.png
        tfbind label --conservative idr.narrowPeak < bins.bed \\
          | tfbind score ctcf.onnx --format bed | tfbind evaluate --json
    """
    if labels in STDIN_NAMES and scores in STDIN_NAMES:
        raise typer.BadParameter("scores and labels cannot both come from standard input")
    if cell is not None and labels is None:
        raise typer.BadParameter("--cell names a column of --labels: give both")
    if cell is not None and label_column is not None:
        raise typer.BadParameter("--cell and --label-column both choose the labels: give one")
    refuse_existing(output, force=force)
    if plot is not None:
        _check_plot(plot, force=force)
    matched = _read(scores, labels, score_column, label_column, cell, quiet=quiet)
    ranking, metrics = measures(matched, _name(labels or scores))
    if plot is not None:
        from tfbind.plots import draw_curves

        with replacing(plot, force=force) as part:
            title = f"{Path(_name(scores)).name} against {Path(_name(labels or scores)).name}"
            draw_curves(ranking, metrics, part, kind=_suffix(plot), title=title)
    files = {"scores": _name(scores), "labels": _name(labels or scores)}
    write_metrics(metrics, files, matched.unscored, json=json, output=output, force=force)


def measures(matched: "Matched", path: str) -> "tuple[Ranking, Metrics]":
    """Rank the scores of bound and unbound bins; `path` holds the labels."""
    import numpy as np

    from tfbind.evaluation import ranked, summary
    from tfbind.labels import AMBIGUOUS, BOUND, UNBOUND

    bound, unbound = (matched.scores[matched.labels == code] for code in (BOUND, UNBOUND))
    try:
        ranking = ranked(bound, unbound)
    except InputError as error:
        raise InputError(error.message, path=path) from error
    return ranking, summary(ranking, int(np.count_nonzero(matched.labels == AMBIGUOUS)))


def _name(path: str) -> str:
    return "standard input" if path in STDIN_NAMES else path


def _suffix(path: str) -> str:
    return Path(path).suffix.removeprefix(".").lower()


def _check_plot(path: str, *, force: bool) -> None:
    """Refuse what cannot be drawn before anything is read."""
    from importlib.util import find_spec

    if _suffix(path) not in PICTURES:
        raise typer.BadParameter(f"found {path}, expected a name in .png, .svg or .pdf for --plot")
    if find_spec("matplotlib") is None:
        raise InputError("--plot needs matplotlib; install it with: pip install 'tfbind[plot]'")
    refuse_existing(path, force=force)


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


def tell_unscored(matched: "Matched", *, quiet: bool) -> None:
    """Say how many labels had no score, if any."""
    from tfbind.errors import three

    if matched.unscored:
        names = matched.unscored_contigs
        say(
            f"left out {matched.unscored:,} labels on {len(names):,} contig(s) without a score "
            f"({three(names)})",
            quiet=quiet,
        )


def read_labels(
    stream: "BinaryIO",
    path: str,
    contigs: dict[str, int],
    cell: str | None,
    column: int | None,
    *,
    quiet: bool,
    likely: str | None = None,
) -> "Table":
    """Read one column of labels, of labelled BED or of a label table of the challenge.

    Of a table that is the `likely` cell type, unless one is chosen.
    """
    from itertools import chain

    from tfbind.dream import choose_cell, table_as_bed
    from tfbind.intervals import IntervalReader
    from tfbind.labels import column_names
    from tfbind.matching import labels_of, read_table

    text, cells = table_as_bed(stream, path)
    if cells and column is None:
        column = LABEL_COLUMN + choose_cell(cells, cell or likely, path)
    reader = IntervalReader(text, path)
    batches = iter(reader)
    head = [batch for batch in (next(batches, None),) if batch is not None]
    if cell is not None and column is None:
        names = column_names(reader.header, reader.columns)
        if names is None:
            raise InputError(
                "found no header that names the columns, which --cell chooses by; give "
                "--label-column N",
                path=path,
            )
        column = LABEL_COLUMN + choose_cell(names, cell, path)
    with progress("labels", "bins", total=None, quiet=quiet) as advance:
        return read_table(
            advancing(chain(head, batches), advance),
            path,
            contigs,
            [lambda batch: labels_of(batch, path, column or LABEL_COLUMN)],
        )


def _reader(stream: "BinaryIO", path: str) -> "Iterator[Intervals]":
    from tfbind.intervals import IntervalReader

    return iter(IntervalReader(stream, path))


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

    from tfbind.matching import Matched, holds_labels, in_order, labels_of, read_table, scores_of

    batches = _reader(stream, path)
    head = [batch for batch in (next(batches, None),) if batch is not None]
    if label_column is None and head:
        if len(head[0].extra) < 2 or not holds_labels(head[0], LABEL_COLUMN):
            raise InputError(
                f"found {len(head[0].extra) + 3} columns and no labels in column {LABEL_COLUMN}; "
                "give --labels FILE, or --label-column N",
                path=path,
            )
        label_column = LABEL_COLUMN
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


def write_metrics(
    metrics: "Metrics",
    files: dict[str, str],
    unscored: int,
    *,
    json: bool,
    output: str,
    force: bool,
) -> None:
    """Write a table on a terminal, else lines or JSON."""
    import sys
    from json import dumps

    values = asdict(metrics)
    if output == "-" and not json and sys.stdout.isatty():
        _show(values, files)
        return
    if json:
        text = dumps({**files, **values, "labels_left_out": unscored}, indent=2) + "\n"
    else:
        text = "".join(f"{name}\t{_shown(value, '')}\n" for name, value in values.items())
    with writing(output, force=force) as stream:
        stream.write(text.encode())


def _shown(value: float, thousands: str) -> str:
    return f"{value:{thousands}}" if isinstance(value, int) else f"{value:.6f}"


def _show(values: dict[str, float], files: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    table = RichTable(title=f"{files['scores']} against {files['labels']}", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in values.items():
        table.add_row(
            TITLES.get(name, name.replace("_", " ")),
            _shown(value, ","),
            end_section=name.startswith("amb"),
        )
    Console().print(table)
