"""What `tfbind features --tsv` runs: a table of what is under each bin."""

from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from .progress import advancing, progress, say
from .streams import reading, writing

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.intervals import Intervals
    from tfbind.measures import Measure, SetName, Uncovered
    from tfbind.tiles import BinCheck

SUFFIX = ".tsv"
COMPRESSED = (".gz", ".bgz")


class Wanted(NamedTuple):
    """What a table holds, as the options say it; None is the default."""

    set: "SetName | None"
    uncovered: "Uncovered | None"
    channels: list[str]
    flank: int


def is_table(output: str, wanted: Wanted, *, asked: bool) -> bool:
    """Tell whether a table is to be written: it is asked for, or the file's name tells."""
    plain = output.lower()
    for suffix in COMPRESSED:
        plain = plain.removesuffix(suffix)
    table = asked or plain.endswith(SUFFIX)
    if table and output.lower().endswith(COMPRESSED):
        raise typer.BadParameter(f"{output} would not be compressed: pipe into gzip > {output}")
    if not table and (wanted.set or wanted.uncovered):
        raise typer.BadParameter("--set and --uncovered are for tables: give --tsv too")
    return table


def write_table(
    bed: str,
    sources: "Sources",
    wanted: Wanted,
    names: str | None,
    missing: Literal["error", "skip", "zero"],
    output: str,
    *,
    force: bool,
    quiet: bool,
) -> None:
    """Write a line for each interval, in order."""
    from tfbind.intervals import IntervalReader
    from tfbind.pipeline import ahead
    from tfbind.tables import Table, table_lines
    from tfbind.tiles import BinCheck

    flank = wanted.flank if wanted.set == "baseline" else 0
    table = Table(sources.genome, _measures(sources, wanted), flank)
    with reading(bed, what="BED") as (stream, path), writing(output, force=force) as out:
        reader = IntervalReader(stream, path)
        batches = iter(reader)
        first = next(batches, None)
        out.write(table.header(_carried(first, reader.header, names, path)))
        check = BinCheck(None, sources, path, missing)
        with progress("table", "bins", total=None, quiet=quiet) as advance:
            whole = chain([] if first is None else [first], batches)
            checked = (check(batch) for batch in advancing(whole, advance))
            # The text of some bins is made while the next are summarised.
            with ahead(table.summarised(checked, path)) as made:
                for batch, rows in made:
                    out.write(table_lines(batch, rows))
    say(_summary(reader.count, len(table.columns), check), quiet=quiet)


def _measures(sources: "Sources", wanted: Wanted) -> "list[Measure]":
    from tfbind.channels import described
    from tfbind.measures import measures
    from tfbind.motifs import read_motifs

    kinds = [described(text)[0].source for text in wanted.channels]
    files = [text.partition("=")[2] for text in wanted.channels if text.startswith("motif=")]
    if "expression" in kinds:
        raise typer.BadParameter(
            "expression is the same for all bins of a cell type: join it to the table by the name "
            "of the cell type"
        )
    if kinds.count("shape") > 1:
        raise typer.BadParameter("--channel shape is given twice")
    found = measures(
        wanted.set or "bin",
        sources,
        uncovered=wanted.uncovered or "zero",
        motifs=[motif for path in files for motif in read_motifs(path)],
        shape="shape" in kinds,
    )
    if not found:
        raise typer.BadParameter("nothing to summarise: give --signal or --channel")
    return found


def _carried(
    first: "Intervals | None", header: list[str], names: str | None, path: str
) -> list[str]:
    """Name the columns that are carried through: as told, or as the header line says.

    Else a single one of labels is `label`, and any other is told by its number.
    """
    from tfbind.errors import InputError
    from tfbind.labels import UNKNOWN, codes_of, column_names

    # Without a bin the last comment that has more than three fields names the columns.
    fields = [len(line.split("\t")) for line in header]
    columns = len(first.extra) if first else next((n - 3 for n in fields[::-1] if n > 3), 0)
    named = names.split(",") if names else column_names(header, columns + 3)
    if named is not None:
        if len(named) != columns and first is not None:
            raise InputError(
                f"found {columns} column(s) behind the third, expected {len(named)}, as --names "
                f"has: {', '.join(named)}",
                path=path,
            )
        return named
    if first is not None and columns == 1 and (codes_of(first.extra[0]) != UNKNOWN).all():
        return ["label"]
    return [f"column{number}" for number in range(4, columns + 4)]


def _summary(count: int, columns: int, check: "BinCheck") -> str:
    parts = [
        f"{count - check.skipped:,} bins, {columns} values each",
        *([f"{check.skipped:,} skipped on contigs without signal"] if check.skipped else []),
        *([f"{check.zeroed:,} with a signal of zero for want of a contig"] if check.zeroed else []),
    ]
    return "; ".join(parts)
