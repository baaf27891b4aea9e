"""`tfbind dream`: the files of the ENCODE-DREAM challenge."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from .edge import at_the_edge
from .measures import Json, measures, read_labels, tell_unscored, write_metrics
from .options import BedInput, Force, Output, Quiet
from .places import comma_list, refuse_stdin_twice
from .progress import Advance, advancing, progress, say
from .streams import STDIN_NAMES, reading, refuse_existing, refuse_terminal, writing

if TYPE_CHECKING:
    from tfbind.intervals import IntervalReader, Intervals
    from tfbind.matching import Matched, Table
    from tfbind.submissions import Submission

app = typer.Typer(
    name="dream",
    help="""Read, write and check the files of the ENCODE-DREAM challenge.

    Its bins are those of tfbind bin, 200 bp long and 50 bp apart, less some at the ends of
    chromosomes and those on ENCODE's DAC blacklist; its official regions files hold them in order.

    For example:

    \b
        tfbind dream labels CTCF.train.labels.tsv.gz --cell K562 --name CTCF | tfbind sample \\
          --accessible dnase.narrowPeak | tfbind features --cell K562 > K562.tiles
        tfbind score ctcf.onnx ladder_regions.bed.gz -o L.CTCF.GM12878.tab.gz
        tfbind dream check L.CTCF.GM12878.tab.gz --regions ladder_regions.bed.gz
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)


def check(
    submission: Annotated[
        str,
        typer.Argument(metavar="SUBMISSION", help="Gzip text; - is standard input, without name."),
    ],
    regions: Annotated[
        str | None,
        typer.Option(metavar="BED", help="The official regions, which the lines must follow."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A label table, or labelled BED: measure the probabilities by it."
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The column of the labels; default: the cell type in the submission's name, or "
            "the only one, if it is not of another cell type.",
        ),
    ] = None,
    chroms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Measure on these; may be repeated. Default: chr1,chr8,chr21, as the challenge "
            "did, or all chromosomes where labels of those are lacking.",
        ),
    ] = None,
    any_name: Annotated[
        bool,
        typer.Option("--any-name", help="Accept any file name, and factors of your own."),
    ] = False,
    json: Json = False,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Check a submission as the challenge's scorer would, and score it.

    A submission is named {L,F,B}.FACTOR.CELL.tab.gz, after the leaderboard, the final or the
    within-cell-type round and what that asked for. It is gzip text without a header, parted by
    tabs: chromosome, start, stop and a probability, from 0 to 1. Its bins are those of --regions,
    line by line, or else bins of the grid in ascending order. The first line that is wrong is told.

    With --labels it writes the measures of tfbind evaluate, of which the challenge took AUROC,
    AUPRC by Davis and Goadrich, and recall at 10 % and 50 % FDR. Probabilities keep all their
    digits, as in the challenge's scorer; tfbind evaluate rounds them to 32-bit floats.

    The leaderboard's 8.8 million bins take 5 seconds on one core.

    For example:

    \b
        tfbind score ctcf.onnx test_regions.bed.gz -o F.CTCF.PC-3.tab.gz
        tfbind dream check F.CTCF.PC-3.tab.gz --regions test_regions.bed.gz \\
          --labels CTCF.train.labels.tsv.gz
    """
    from tfbind.dream import check_name
    from tfbind.intervals import IntervalReader
    from tfbind.submissions import Submission, SubmissionReader

    if labels is None and (cell or chroms or json or output != "-"):
        raise typer.BadParameter(
            "--cell, --chroms, --json and --output are about --labels: give that too"
        )
    refuse_stdin_twice(submission, regions, labels)
    refuse_existing(output, force=force)
    name = None if any_name or submission in STDIN_NAMES else check_name(submission)
    with ExitStack() as stack:
        stream, path = stack.enter_context(reading(submission, what="SUBMISSION"))
        wanted = None
        if regions is not None:
            wanted = IntervalReader(*stack.enter_context(reading(regions, what="--regions BED")))
        checked = Submission(path, wanted)
        reader = SubmissionReader(stream, path)
        if labels is None:
            with progress("check", "bins", total=None, quiet=quiet) as advance:
                for batch in checked.checked(reader):
                    advance(len(batch))
            _tell(checked, regions, quiet=quiet)
            return
        label_stream, label_path = stack.enter_context(reading(labels, what="--labels FILE"))
        labelled = read_labels(
            label_stream, label_path, {}, cell, None, quiet=quiet, likely=name and name.cell
        )
        measured = _measured(comma_list(chroms), labelled)
        with progress("check", "bins", total=None, quiet=quiet) as advance:
            matched = _match(checked, reader, labelled, measured, advance)
    _tell(checked, regions, quiet=quiet)
    if chroms or len(measured) == len(labelled.contigs):
        tell_unscored(matched, quiet=quiet)
    else:
        say(f"measured on {', '.join(measured)} alone, as the challenge did", quiet=quiet)
    _, _, metrics = measures(matched, label_path)
    files = {"scores": path, "labels": label_path}
    write_metrics(metrics, files, matched.unscored, json=json, output=output, force=force)


def _tell(checked: "Submission", regions: str | None, *, quiet: bool) -> None:
    compared = "" if regions else "; not compared with the official regions: give --regions"
    say(
        f"{checked.path}: {checked.bins:,} bins on {len(checked.contigs)} contig(s), probabilities "
        f"from {checked.lowest:g} to {checked.highest:g}{compared}",
        quiet=quiet,
    )


def _measured(asked: list[str], labelled: "Table") -> list[str]:
    """Choose the chromosomes to measure on, of those that hold labels."""
    from tfbind.dream import HELD_OUT
    from tfbind.errors import InputError, three

    if lacking := [contig for contig in asked if contig not in labelled.contigs]:
        raise InputError(
            f"holds no labels on {three(lacking)}, which --chroms asks for, but on "
            f"{three(labelled.contigs)}",
            path=labelled.path,
        )
    held_out = [contig for contig in labelled.contigs if contig in HELD_OUT]
    return asked or held_out or list(labelled.contigs)


def _match(
    checked: "Submission",
    reader: "IntervalReader",
    labelled: "Table",
    measured: list[str],
    advance: Advance,
) -> "Matched":
    """Check all bins, and bring those that are measured together with their labels."""
    from tfbind.errors import InputError, three
    from tfbind.matching import match, read_table
    from tfbind.submissions import probabilities_of

    batches = checked.checked(reader)
    chosen = _on(advancing(batches, advance), measured)
    if (first := next(chosen, None)) is None:
        raise InputError(
            f"holds no bin on {three(measured)}, where labels are; give the labels of its "
            "chromosomes",
            path=checked.path,
        )
    scored = read_table(
        chain([first], chosen), checked.path, labelled.contigs, [probabilities_of], like=labelled
    )
    return match(scored, labelled)


def _on(batches: "Iterable[Intervals]", contigs: list[str]) -> "Iterator[Intervals]":
    """Keep the bins that lie on some contigs."""
    import numpy as np

    for batch in batches:
        keep = np.array([contig in contigs for contig in batch.contigs])[batch.codes]
        if keep.any():
            yield batch if keep.all() else batch.select(keep)


def labels(
    table: Annotated[
        str,
        typer.Argument(metavar="TABLE", help="A label table, gzip or plain; - is standard input."),
    ] = "-",
    cell: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="Only these cell types; may be repeated. Default: all."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="FACTOR",
            help="Name the labels of the one cell type so, not by the cell type: as an experiment "
            "must be that is learnt from in several cell types.",
        ),
    ] = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Turn a label table of the challenge into labelled BED.

    Reads gzip text with the header chr start stop CELL..., and U, A or B for each cell type.

    Writes each bin with a column of labels for each cell type below a line #contig start end
    CELL..., as tfbind label --experiment does.

    For example:

    \b
        tfbind dream labels CTCF.train.labels.tsv.gz --cell HeLa-S3 --name CTCF \\
          | tfbind sample --accessible dnase.narrowPeak \\
          | tfbind features --signal dnase=HeLa-S3.bw --cell HeLa-S3 > HeLa-S3.tiles
    """
    from tfbind.dream import choose_cell, is_name, labelled_lines, table_as_bed
    from tfbind.errors import InputError
    from tfbind.intervals import IntervalReader

    chosen = comma_list(cell)
    if name is not None and not is_name(name):
        raise typer.BadParameter(f"found --name {name!r}, expected a word without spaces or commas")
    if len(set(chosen)) < len(chosen):
        raise typer.BadParameter("--cell names a cell type twice")
    refuse_existing(output, force=force)
    with ExitStack() as stack:
        stream, path = stack.enter_context(reading(table, what="TABLE"))
        text, cells = table_as_bed(stream, path)
        if not cells:
            raise InputError(
                "is no label table, expected the header chr start stop CELL..., parted by tabs",
                path=path,
                line=1,
            )
        columns = [choose_cell(cells, one, path) for one in chosen or cells]
        if name is not None and len(columns) > 1:
            raise typer.BadParameter(
                f"--name names the labels of one cell type: choose it by --cell, of "
                f"{', '.join(cells)}"
            )
        names = [name] if name is not None else [cells[column] for column in columns]
        out = stack.enter_context(writing(output, force=force))
        advance = stack.enter_context(progress("labels", "bins", total=None, quiet=quiet))
        out.write("\t".join(["#contig", "start", "end", *names]).encode() + b"\n")
        for batch in advancing(IntervalReader(text, path), advance):
            out.write(labelled_lines(batch, columns, path))


def table(
    bed: BedInput = "-",
    names: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="The cell types, one for each column of labels; default: those of the header.",
        ),
    ] = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Turn labelled BED into a label table of the challenge.

    Reads BED with a column of labels (U, A or B) for each cell type behind the third.

    Writes gzip text with the header chr start stop CELL...; the same labels give the same bytes.

    For example:

    \b
        tfbind bin hg19.fa | tfbind label --experiment K562=k562.narrowPeak \\
          --experiment HeLa-S3=hela.narrowPeak | tfbind dream table -o CTCF.train.labels.tsv.gz
    """
    from tfbind.dream import gzipped, table_header
    from tfbind.intervals import IntervalReader
    from tfbind.labels import label_codes

    refuse_terminal(output, "a label table is compressed")
    refuse_existing(output, force=force)
    with ExitStack() as stack:
        stream, path = stack.enter_context(reading(bed, what="BED"))
        reader = IntervalReader(stream, path)
        batches = iter(reader)
        first = next(batches, None)
        columns = reader.columns if first is not None else None
        head = table_header(reader.header, columns, names and names.split(","), path)
        out = stack.enter_context(gzipped(stack.enter_context(writing(output, force=force))))
        advance = stack.enter_context(progress("table", "bins", total=None, quiet=quiet))
        out.write(head)
        for batch in advancing(chain([] if first is None else [first], batches), advance):
            label_codes(batch, path)
            out.write(batch.lines())


app.command("check")(at_the_edge(check))
app.command("labels")(at_the_edge(labels))
app.command("table")(at_the_edge(table))
