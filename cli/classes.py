"""What `tfbind evaluate --classes` does."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tfbind.errors import InputError

from .measures import TITLES
from .pictures import kind_of
from .progress import advancing, progress
from .streams import STDIN_NAMES, reading, replacing, writing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.multiclass import ClassReport

WHERE = "scores of classes stand in the columns that the header names, or else in the last ones"
KEPT = ("auroc", "auprc_trapezoid", "auprc_davis_goadrich", "recall_at_10_fdr", "recall_at_50_fdr")


def class_names(text: str, *others: object) -> list[str]:
    """Read the names of classes; refuse other options that say where scores and labels stand."""
    if any(one is not None for one in others):
        raise typer.BadParameter(
            "--classes goes without --labels, --cell, --score-column, --label-column and "
            "--reliability"
        )
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise typer.BadParameter(f"found --classes {text!r}, expected two names or more: A,B,C")
    return names


def evaluate_classes(
    scores: str,
    names: Sequence[str],
    *,
    json: bool,
    plot: str | None,
    output: str,
    force: bool,
    quiet: bool,
) -> None:
    """Measure scores of classes that stand, in this order, in the last columns of one file."""
    report = _report(scores, names, quiet=quiet)
    name = "standard input" if scores in STDIN_NAMES else scores
    if plot is not None:
        from tfbind.classplots import draw_classes

        with replacing(plot, force=force) as part:
            draw_classes(report, part, kind=kind_of(plot), title=Path(name).name)
    _write(report, name, json=json, output=output, force=force)


def _report(scores: str, names: Sequence[str], *, quiet: bool) -> "ClassReport":
    import numpy as np

    from tfbind.classes import words_of
    from tfbind.intervals import IntervalReader
    from tfbind.matching import scores_of
    from tfbind.multiclass import class_report
    from tfbind.strands import Once

    columns: list[int] = []
    once = Once()
    words, values = [np.zeros(0, np.int64)], [np.zeros((0, len(names)), np.float32)]
    with (
        reading(scores, what="SCORES") as (stream, path),
        progress("scores", "bins", total=None, quiet=quiet) as advance,
    ):
        reader = IntervalReader(stream, path)
        for batch in advancing(reader, advance):
            columns = columns or _columns(reader, names, path)
            words.append(words_of(batch, names, path, "name all classes by --classes"))
            _refuse_background(words[-1], batch, names, path)
            once.add(batch, path)
            values.append(np.stack([scores_of(batch, path, n, WHERE) for n in columns], axis=1))
    once.end(path)
    truth, found = np.concatenate(words), np.concatenate(values)
    known = truth < len(names)
    try:
        return class_report(names, truth[known], found[known], int((~known).sum()))
    except InputError as error:
        raise InputError(error.message, path=path) from error


def _columns(reader: "IntervalReader", names: Sequence[str], path: str) -> list[int]:
    """Find the scores of each class: by the header that names columns, or else the last ones."""
    from tfbind.labels import column_names

    named = column_names(reader.header, reader.columns) or []
    if set(names) <= set(named):
        return [4 + named.index(name) for name in names]
    first = reader.columns - len(names) + 1
    if first <= 4:
        raise InputError(
            f"found {reader.columns} columns, expected a class in column 4 and behind it scores of "
            f"{', '.join(names)}, as tfbind score --format bed writes them",
            path=path,
        )
    return list(range(first, reader.columns + 1))


def _refuse_background(
    truth: "npt.NDArray[np.int64]", batch: "Intervals", names: Sequence[str], path: str
) -> None:
    """Refuse bins of the background where no score is named after it."""
    if len(rows := (truth == len(names)).nonzero()[0]):
        raise InputError(
            "found a bin of the class background, for which --classes names no score",
            path=path,
            line=int(batch.numbers[rows[0]]),
        )


def _write(report: "ClassReport", name: str, *, json: bool, output: str, force: bool) -> None:
    """Write tables on a terminal, else lines or JSON."""
    import sys
    from json import dumps

    if output == "-" and not json and sys.stdout.isatty():
        _show(report, name)
        return
    text = dumps(_as_json(report, name), indent=2) + "\n" if json else "".join(_lines(report))
    with writing(output, force=force) as stream:
        stream.write(text.encode())


def _as_json(report: "ClassReport", name: str) -> dict[str, Any]:
    measured = zip(report.classes, report.metrics, strict=True)
    return {
        "scores": name,
        "bins": int(report.confusion.sum()),
        "ambiguous_dropped": report.ambiguous,
        "accuracy": report.accuracy,
        "classes": {one: {"bins": m.bound, **_kept(asdict(m))} for one, m in measured},
        "confusion": {
            true: dict(zip(report.classes, row.tolist(), strict=True))
            for true, row in zip(report.classes, report.confusion, strict=True)
        },
    }


def _kept(values: dict[str, Any]) -> dict[str, float]:
    return {key: values[key] for key in KEPT}


def _lines(report: "ClassReport") -> Iterator[str]:
    """Write lines of class, metric, value."""
    yield f"all\tbins\t{int(report.confusion.sum())}\n"
    yield f"all\tambiguous_dropped\t{report.ambiguous}\n"
    yield f"all\taccuracy\t{report.accuracy:.6f}\n"
    for name, metrics, row in zip(report.classes, report.metrics, report.confusion, strict=True):
        yield f"{name}\tbins\t{metrics.bound}\n"
        for key, value in _kept(asdict(metrics)).items():
            yield f"{name}\t{key}\t{value:.6f}\n"
        for other, count in zip(report.classes, row.tolist(), strict=True):
            yield f"{name}\tscored_as_{other}\t{count}\n"


def _show(report: "ClassReport", name: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{name}: each class against all others", title_justify="left")
    table.add_column("metric")
    for one in report.classes:
        table.add_column(one, justify="right")
    table.add_row("bins", *(f"{one.bound:,}" for one in report.metrics), end_section=True)
    for key in KEPT:
        row = (f"{getattr(one, key):.6f}" for one in report.metrics)
        table.add_row(TITLES.get(key, key.replace("_", " ")), *row, end_section=key == KEPT[-1])
    for column, one in enumerate(report.classes):
        counts = (f"{int(count):,}" for count in report.confusion[:, column])
        table.add_row(f"scored highest as {one}", *counts)
    console = Console()
    console.print(table)
    console.print(f"accuracy {report.accuracy:.4f}; {report.ambiguous:,} ambiguous bins left out")
