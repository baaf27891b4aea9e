"""`tfbind features`."""

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .inputs import default_cell, open_sources, signal_files
from .options import (
    Alias,
    BedInput,
    Channels,
    ChrPrefix,
    Expression,
    Fasta,
    Force,
    Missing,
    Output,
    Quiet,
    Signals,
)
from .progress import advancing, progress, say
from .streams import reading, refuse_terminal, writing
from .table import Wanted, columns_behind, for_want_of_signal, is_table, write_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tfbind.intervals import Intervals
    from tfbind.tiles import BinCheck

TILE = 64
STRIDE = 50


def features(
    bed: BedInput = "-",
    fasta: Fasta = None,
    signal: Signals = None,
    channel: Channels = None,
    expression: Expression = None,
    cell: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The cell type; default: the first signal's file name."),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Names of the label columns, where no header line says them; of classes, where "
            "bins have strands: default sharp,broad.",
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="BINS",
            min=1,
            help="Most bins in a tile; default: 64, or 1 where bins have strands.",
        ),
    ] = None,
    window: Annotated[
        int,
        typer.Option(
            metavar="BP",
            min=1,
            help="What a network sees for one bin; in a table it counts for --set baseline only.",
        ),
    ] = 1000,
    size: Annotated[
        int,
        typer.Option(
            metavar="BP",
            min=1,
            help="A bin; in a table, whose bins may have any size, it counts for --set baseline "
            "only.",
        ),
    ] = 200,
    stride: Annotated[
        int | None,
        typer.Option(metavar="BP", min=1, help="From one bin's start to the next; default: 50."),
    ] = None,
    float32: Annotated[
        bool, typer.Option("--float32", help="Store signals in 32 bits instead of 16.")
    ] = False,
    tsv: Annotated[
        bool,
        typer.Option("--tsv", help="Write a table instead of tiles; -o FILE.tsv means it too."),
    ] = False,
    set_: Annotated[
        Literal["bin", "baseline"] | None,
        typer.Option(
            "--set", metavar="bin|baseline", help="What the table tells of a bin; default: bin."
        ),
    ] = None,
    uncovered: Annotated[
        Literal["zero", "skip"] | None,
        typer.Option(
            metavar="zero|skip",
            help="In the table, bases that a signal does not cover are 0 (mean0 of "
            "bigWigAverageOverBed) or are left out (its mean); default: zero.",
        ),
    ] = None,
    missing: Missing = "error",
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Put the genome and signals under labelled bins into tiles, to learn from.

    Reads BED with a column of labels (U, A or B) for each experiment behind the third, as tfbind
    label writes it; without labels the tiles can be scored but not learnt from.

    Writes an Arrow IPC stream: a row for each run of bins, with the base codes (A 0, C 1, G 2,
    T 3, other 4) and the raw values of each signal under the windows of all its bins. Every bin
    is in exactly one tile. Shape and motif scores are made from the bases by the network itself,
    so tiles only name them; expression is joined by the name of the cell type.

    Bins of six columns with + or - in the sixth are read along that strand. They have one label, a
    word in column 4 that names one of several classes, as tfbind label --cage writes it.

    For example:

    \b
        tfbind bin hg19.fa | tfbind label --conservative ctcf.narrowPeak \\
          | tfbind sample --accessible dnase.narrowPeak \\
          | tfbind features --fasta hg19.fa --signal dnase=K562.bw --cell K562 > K562.tiles

    With --tsv it writes a table for other learners instead: a line that names the columns, then a
    line for each interval, of any size, in order: its columns as they were read, and behind them
    gc (the share of G and C among the known bases), NAME.mean and NAME.max of each signal,
    NAME.score of each motif (--channel motif=FILE: log-odds, the best of both strands of the hits
    wholly inside, with the background and pseudocount that tfbind scan has by default) and
    MGW.mean, ProT.mean, Roll.mean, HelT.mean (--channel shape: angstrom, degrees). --set baseline
    tells of each signal, motif and feature of shape the mean, max and quantiles .99 .95 .90 .75 .50
    (q99 to q50) over the window: the bin and (--window - --size) / 2 = 400 bp on each side, inside
    the contig. The organisers of the ENCODE-DREAM challenge took these of motif scores. NA stands
    where nothing is known. Values are raw: to standardise them is the learner's business.

    \b
        tfbind bin hg19.fa | tfbind label --conservative ctcf.narrowPeak \\
          | tfbind features --tsv --fasta hg19.fa --signal dnase=K562.bw > K562.tsv
        Rscript -e 't <- read.delim("K562.tsv"); glm(label == "B" ~ gc + dnase.max, binomial, t)'
        python -c 'import pandas; print(pandas.read_csv("K562.tsv", sep="\\t").describe())'
    """
    from tfbind.channels import described
    from tfbind.classes import without_words
    from tfbind.contract import Geometry, Input, Tiles
    from tfbind.distribution import sampled
    from tfbind.intervals import IntervalReader
    from tfbind.strands import has_strands
    from tfbind.tilefiles import write_tiles
    from tfbind.tiles import BinCheck, Stretches, cut_tiles

    options = {"--tile": tile, "--stride": stride, "--float32": float32 or None, "--cell": cell}
    only_tiles = [option for option, value in options.items() if value is not None]
    geometry = Geometry(window, size, stride or STRIDE)
    asked = [*(channel or []), *([f"expression={expression}"] if expression else [])]
    wanted = Wanted(set_, uncovered, asked, geometry.flank)
    files = signal_files(signal)
    if is_table(output, wanted, asked=tsv, only_tiles=only_tiles):
        sources = open_sources(fasta, files, alias, chr_prefix)
        write_table(bed, sources, wanted, names, missing, output, force=force, quiet=quiet)
        return
    refuse_terminal(output, "tiles are binary")
    others = [described(text) for text in asked]
    read = {name: path for _, paths in others for name, path in paths.items()}
    sources = open_sources(fasta, files, alias, chr_prefix, cell or default_cell(files), read)
    stored: Literal["float16", "float32"] = "float32" if float32 else "float16"
    inputs = (
        Input("sequence", "sequence", "uint8"),
        *(Input(name, "signal", stored) for name in files),
        *(spec for spec, _ in others),
    )
    with reading(bed, what="BED") as (stream, path), writing(output, force=force) as out:
        reader = IntervalReader(stream, path)
        batches = iter(reader)
        first = next(batches, None)
        strands = first is not None and has_strands(first, path)
        if first is not None and strands:
            experiments = _class_names(first, names)
        else:
            experiments = _experiment_names(first, reader.header, names, path)
        longest = tile or (1 if strands else TILE)
        signals = {name: sampled(one, *sources.where(one)) for name, one in sources.signals.items()}
        contents = Tiles(geometry, inputs, experiments, sources.cell, longest, signals, strands)
        check = BinCheck(geometry, sources, path, missing, strands=strands)
        stretches = Stretches(geometry, inputs, sources)
        with progress("tiles", "bins", total=None, quiet=quiet) as advance:
            whole: Iterable[Intervals] = chain([] if first is None else [first], batches)
            if strands and not experiments:
                whole = without_words(whole, path)
            checked = (check(batch) for batch in advancing(whole, advance))
            tiles = cut_tiles(checked, stretches, geometry, longest, experiments, path)
            counts = write_tiles(tiles, contents, out)
    say(_summary(counts, contents.cell, check), quiet=quiet)
    if not experiments:
        say("the bins had no labels: these tiles cannot be learnt from", quiet=quiet)


def _experiment_names(
    first: "Intervals | None", header: list[str], names: str | None, path: str
) -> tuple[str, ...]:
    """Name the label columns: as told, or as the header line says; a single one is `bound`."""
    from tfbind.errors import InputError
    from tfbind.labels import column_names

    columns = columns_behind(first, header)
    named = names.split(",") if names else column_names(header, columns + 3) or []
    if not names and not named and columns == 1:
        return ("bound",)
    if len(named) != columns and first is not None:
        raise InputError(
            f"found {columns} column(s) behind the third and {len(named)} name(s) for them; give "
            "--names A,B with a name for each, or cut the columns that are no labels",
            path=path,
        )
    return tuple(named)


def _class_names(first: "Intervals", names: str | None) -> tuple[str, ...]:
    """Name the classes of bins with strands: as told, or as `label --cage` does; of dots, none."""
    from tfbind.cage import KINDS
    from tfbind.classes import BACKGROUND, UNCLEAR

    if names:
        told = tuple(names.split(","))
        if odd := [name for name in told if name in (BACKGROUND, UNCLEAR) or told.count(name) > 1]:
            raise typer.BadParameter(
                f"found --names {names}, expected the classes once each without {BACKGROUND} and "
                f"{UNCLEAR}, which are known: {odd[0]!r}"
            )
        return told
    return () if set(first.extra[0].to_pylist()) == {b"."} else KINDS


def _summary(counts: dict[str, Any], cell: str, check: "BinCheck") -> str:
    bound = ", ".join(f"{count} bound in {name}" for name, count in counts["bound"].items())
    parts = [
        f"{cell or 'no cell named'}: {counts['tiles']} tiles of {counts['bins']} bins",
        f"{counts['fillers']} more fill gaps",
        *([bound] if bound else []),
        *for_want_of_signal(check),
    ]
    return "; ".join(parts)
