"""What `tfbind features --tsv` runs: a table of what is under each bin."""

from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from .outputs import COMPRESSED, refuse_compressed
from .progress import advancing, progress, say
from .streams import reading, writing

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.intervals import Intervals
    from tfbind.measures import Measure, SetName, Uncovered
    from tfbind.tiles import BinCheck

SUFFIX = ".tsv"


class Wanted(NamedTuple):
    """What a table holds, as the options say it; None is the default."""

    set: "SetName | None"
    uncovered: "Uncovered | None"
    channels: list[str]
    flank: int


def is_table(output: str, wanted: Wanted, *, asked: bool, only_tiles: list[str]) -> bool:
    """Tell whether a table is to be written: it is asked for, or the file's name tells.

    `only_tiles` are options given that a table has no use for.
    """
    plain = output.lower()
    for suffix in COMPRESSED:
        plain = plain.removesuffix(suffix)
    table = asked or plain.endswith(SUFFIX)
    if table:
        refuse_compressed(output, by="gzip")
    if table and only_tiles:
        raise typer.BadParameter(
            f"a table has no use for {', '.join(only_tiles)}: that is for tiles"
        )
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
    told = f"{reader.count - check.skipped:,} bins, {len(table.columns)} values each"
    say("; ".join([told, *for_want_of_signal(check)]), quiet=quiet)


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

    columns = columns_behind(first, header)
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


def columns_behind(first: "Intervals | None", header: list[str]) -> int:
    """Count the columns of bins beyond the third.

    Without a bin they are those that the last comment of more than three fields names.
    """
    if first is not None:
        return len(first.extra)
    fields = [len(line.split("\t")) for line in header]
    return next((count - 3 for count in fields[::-1] if count > 3), 0)


def for_want_of_signal(check: "BinCheck") -> list[str]:
    """Tell of bins on contigs that a signal lacks, in parts of a summary."""
    return [
        *([f"{check.skipped:,} skipped on contigs without signal"] if check.skipped else []),
        *([f"{check.zeroed:,} with a signal of zero for want of a contig"] if check.zeroed else []),
    ]
