"""What `tfbind evaluate` and `tfbind dream check` share: labels to read, measures to write."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .progress import advancing, progress, say
from .streams import writing

if TYPE_CHECKING:
    from typing import BinaryIO

    from tfbind.evaluation import Metrics, Ranking
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.matching import Matched, Table

LABEL_COLUMN = 4
TITLES = {
    "auroc": "AUROC",
    "auprc_trapezoid": "AUPRC, trapezoid",
    "auprc_davis_goadrich": "AUPRC, Davis-Goadrich",
    "recall_at_10_fdr": "recall at 10 % FDR",
    "recall_at_50_fdr": "recall at 50 % FDR",
}

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]


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

    Of several that is the `likely` cell type, unless one is chosen.
    """
    from itertools import chain

    from tfbind.dream import choose_cell, table_as_bed
    from tfbind.intervals import IntervalReader
    from tfbind.matching import labels_of, read_table

    text, cells = table_as_bed(stream, path)
    reader = IntervalReader(text, path)
    batches = iter(reader)
    first = next(batches, None)
    if column is None and cells:
        column = LABEL_COLUMN + choose_cell(cells, cell or likely, path)
    elif column is None and first is not None:
        column = _column(reader, first, cell, likely)
    with progress("labels", "bins", total=None, quiet=quiet) as advance:
        return read_table(
            advancing(chain([] if first is None else [first], batches), advance),
            path,
            contigs,
            [lambda batch: labels_of(batch, path, column or LABEL_COLUMN)],
        )


def _column(
    reader: "IntervalReader", first: "Intervals", cell: str | None, likely: str | None
) -> int:
    """Choose the column of the labels of labelled BED, where it is not the only one."""
    from tfbind.dream import choose_cell
    from tfbind.labels import column_names
    from tfbind.matching import holds_labels

    columns = range(LABEL_COLUMN, reader.columns + 1)
    labelled = [column for column in columns if holds_labels(first, column)]
    if cell is None and len(labelled) < 2:
        return LABEL_COLUMN
    names = column_names(reader.header, reader.columns)
    if names is None:
        raise InputError(
            f"found {len(labelled)} column(s) of labels and no header that names them; keep one, "
            "as cut -f 1-3,5 does, or name them by a line #contig start end NAME...",
            path=reader.path,
        )
    if cell is not None:
        return LABEL_COLUMN + choose_cell(names, cell, reader.path)
    chosen = choose_cell([names[column - LABEL_COLUMN] for column in labelled], likely, reader.path)
    return labelled[chosen]


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
