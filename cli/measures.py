"""What `tfbind evaluate` and `tfbind dream check` share: labels to read, measures to write."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .progress import advancing, progress, say
from .streams import writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from tfbind.evaluation import Metrics, Ranking
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.matching import Matched, Table
    from tfbind.reliability import Reliability

LABEL_COLUMN = 4
TITLES = {
    "auroc": "AUROC",
    "auprc_trapezoid": "AUPRC, trapezoid",
    "auprc_davis_goadrich": "AUPRC, Davis-Goadrich",
    "recall_at_10_fdr": "recall at 10 % FDR",
    "recall_at_50_fdr": "recall at 50 % FDR",
    "brier": "Brier score",
    "calibration_error": "expected calibration error",
}

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]


@dataclass(frozen=True)
class LabelFile:
    """Labels that were begun to read.

    Attributes
    ----------
    reader : IntervalReader
    cells : tuple of str
        The columns, of a label table of the challenge.
    first : Intervals or None
        The first batch; None if there is no bin.
    batches : iterator of Intervals
        The others.
    """

    reader: "IntervalReader"
    cells: tuple[str, ...]
    first: "Intervals | None"
    batches: "Iterator[Intervals]"

    @classmethod
    def of(cls, stream: "BinaryIO", path: str) -> "LabelFile":
        """Read the first batch of labelled BED or of a label table of the challenge."""
        from tfbind.dream import table_as_bed
        from tfbind.intervals import IntervalReader

        text, cells = table_as_bed(stream, path)
        reader = IntervalReader(text, path)
        batches = iter(reader)
        return cls(reader, cells, next(batches, None), batches)

    def labelled(self) -> list[int]:
        """Tell which columns, counted from 1, are of labels."""
        from tfbind.matching import holds_labels

        columns = range(LABEL_COLUMN, self.reader.columns + 1)
        return [n for n in columns if self.first is not None and holds_labels(self.first, n)]

    def read(self, contigs: dict[str, int], columns: "Sequence[int]", *, quiet: bool) -> "Table":
        """Read some columns to the end."""
        from functools import partial
        from itertools import chain

        from tfbind.matching import labels_of, read_table

        path = str(self.reader.path)
        with progress("labels", "bins", total=None, quiet=quiet) as advance:
            return read_table(
                advancing(chain([] if self.first is None else [self.first], self.batches), advance),
                path,
                contigs,
                [partial(labels_of, path=path, column=column) for column in columns],
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

    Of several that is the `likely` cell type, unless one is chosen.
    """
    from tfbind.dream import choose_cell

    file = LabelFile.of(stream, path)
    if column is None and file.cells:
        column = LABEL_COLUMN + choose_cell(file.cells, cell or likely, path)
    elif column is None and file.first is not None:
        column = _column(file, cell, likely)
    return file.read(contigs, [column or LABEL_COLUMN], quiet=quiet)


def _column(file: LabelFile, cell: str | None, likely: str | None) -> int:
    """Choose the column of the labels of labelled BED, where it is not the only one."""
    from tfbind.dream import choose_cell
    from tfbind.labels import column_names

    labelled, reader = file.labelled(), file.reader
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


def measures(matched: "Matched", path: str) -> "tuple[Ranking, Reliability | None, Metrics]":
    """Measure the scores of bound and unbound bins; `path` holds the labels."""
    import numpy as np

    from tfbind.evaluation import ordered, ranking_of, summary
    from tfbind.labels import AMBIGUOUS, BOUND, UNBOUND
    from tfbind.reliability import reliability

    try:
        bound, unbound = ordered(
            *(matched.scores[matched.labels == code] for code in (BOUND, UNBOUND))
        )
    except InputError as error:
        raise InputError(error.message, path=path) from error
    ranking, found = ranking_of(bound, unbound), reliability(bound, unbound)
    ambiguous = int(np.count_nonzero(matched.labels == AMBIGUOUS))
    return ranking, found, summary(ranking, ambiguous, found)


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


def _shown(value: float | None, thousands: str) -> str:
    if value is None:
        return "NA"
    return f"{value:{thousands}}" if isinstance(value, int) else f"{value:.6f}"


def _show(values: dict[str, float | None], files: dict[str, str]) -> None:
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
