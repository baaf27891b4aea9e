"""`tfbind scan`."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from .inputs import open_sources
from .machine import processors
from .options import Alias, BedInput, ChrPrefix, Fasta, Force, Output, Quiet, Threads
from .places import comma_list, refuse_stdin_twice
from .progress import advancing, progress, say
from .streams import reading, refuse_existing, writing

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.intervals import IntervalReader
    from tfbind.motifs import Motif
    from tfbind.scanning import Scanner

USUAL_PVALUE = 1e-4
BASES = 4


def scan(
    motifs: Annotated[
        str,
        typer.Argument(
            metavar="MOTIFS",
            help="Motifs in the format of MEME or JASPAR, plain or gzip; - is standard input.",
        ),
    ],
    bed: BedInput = "-",
    fasta: Fasta = None,
    motif: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this motif, MA0139.2 or MA0139, or all of a factor, CTCF; repeat for more.",
        ),
    ] = None,
    pvalue: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Only hits that a random word of the background is as good as with this "
            "probability or less, to within the rounding, at one place on one strand; default: "
            "1e-4 with --hits, else every hit.",
        ),
    ] = None,
    hits: Annotated[
        bool, typer.Option("--hits", help="Write every hit as BED instead of the best a bin.")
    ] = False,
    background: Annotated[
        str,
        typer.Option(
            metavar="uniform|file|A,C,G,T",
            help="What motifs are compared with: equal bases, the frequencies that a MEME file "
            "states, or four shares, made the same for both strands.",
        ),
    ] = "uniform",
    pseudocount: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="What is added to a position, which sums to 1, before the log."
        ),
    ] = 0.01,
    threads: Threads = None,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Look for motifs in bins, on both strands.

    Reads BED. Writes each line with three more columns for each motif: the score of its best hit
    that lies wholly inside, the sum of log-odds in bits; where that hit begins on the forward
    strand, counted from 0, for - too; its strand, + or -. Of equal hits the first counts. Three
    dots stand where no hit fits (a bin narrower than the motif, an unknown base under every hit) or
    none is good enough. A line #contig start end MOTIF_score MOTIF_start MOTIF_strand ... comes
    first.

    With --hits it writes BED of six columns instead, a line for each hit, once however many bins
    hold it, in order; bins must be in order. The fifth column is the score.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa
        tfbind bin | tfbind scan JASPAR.meme --motif MA0139.2 | awk '$4 >= 12' > ctcf.bed
        tfbind scan JASPAR.meme --motif CTCF --hits --pvalue 1e-5 peaks.bed > sites.bed
    """
    from tfbind.intervals import IntervalReader
    from tfbind.motifs import LEAST_PSEUDOCOUNT
    from tfbind.scanning import Scanner

    if pvalue is not None and not 0 < pvalue <= 1:
        raise typer.BadParameter(f"found --pvalue {pvalue}, expected more than 0, up to 1")
    if not LEAST_PSEUDOCOUNT <= pseudocount <= 1:
        raise typer.BadParameter(
            f"found --pseudocount {pseudocount}, expected {LEAST_PSEUDOCOUNT} to 1"
        )
    if nameless := [text for text in motif or [] if not comma_list([text])]:
        raise typer.BadParameter(f"found --motif {nameless[0]!r}, expected a name")
    if hits and pvalue is None:
        pvalue = USUAL_PVALUE
    shares = _background(background)
    refuse_existing(output, force=force)
    refuse_stdin_twice(motifs, bed)
    sources = open_sources(fasta, {}, alias, chr_prefix)
    chosen = _motifs(motifs, comma_list(motif), shares, pseudocount)
    thresholds = _thresholds(chosen, pvalue, quiet)
    scanners = [Scanner(one) for one in chosen]
    with (
        reading(bed, what="BED") as (stream, path),
        writing(output, force=force) as out,
        ThreadPoolExecutor(threads or processors()) as pool,
    ):
        reader = IntervalReader(stream, path)
        write = partial(_write_hits, pvalue=pvalue or 1) if hits else _write_best
        summary = write(reader, sources, scanners, thresholds, pool, out, quiet)
    say(f"{reader.count:,} bins, {len(chosen):,} motif(s): {summary}", quiet=quiet)


def _background(text: str) -> "tuple[float, ...] | Literal['file']":
    """Read --background."""
    from tfbind.motifs import number

    if text == "uniform":
        return (1 / BASES,) * BASES
    if text == "file":
        return "file"
    shares = tuple(number(share.strip()) for share in text.split(","))
    if len(shares) != BASES or not all(0 < share < 1 for share in shares):
        raise typer.BadParameter(
            f"found --background {text!r}, expected uniform, file or four shares above 0, such as "
            "0.3,0.2,0.2,0.3"
        )
    if abs(sum(shares) - 1) > 0.01:
        raise typer.BadParameter(
            f"found --background {text!r}, shares that add up to {sum(shares):g}, expected 1"
        )
    return tuple(share / sum(shares) for share in shares)


def _motifs(
    path: str,
    names: list[str],
    background: "tuple[float, ...] | Literal['file']",
    pseudocount: float,
) -> "list[Motif]":
    from tfbind.motifs import choose, motifs_in

    with reading(path, what="MOTIFS") as (stream, name):
        found = motifs_in(stream, name, background=background, pseudocount=pseudocount)
        return choose(found, names, name) if names else found


def _thresholds(motifs: "list[Motif]", pvalue: float | None, quiet: bool) -> list[float]:
    """Give the least score of each motif's hits; say which motifs can have none."""
    import math

    from tfbind.errors import three
    from tfbind.pvalues import ScoreDistribution

    if pvalue is None:
        return [-math.inf] * len(motifs)
    thresholds = [ScoreDistribution(one).threshold(pvalue) for one in motifs]
    short = [one.title for one, least in zip(motifs, thresholds, strict=True) if least == math.inf]
    if short:
        say(
            f"too short for p <= {pvalue:g}, so without hits: {three(short)} "
            f"({len(short)} of {len(motifs)} motifs)",
            quiet=quiet,
        )
    return thresholds


def _write_best(
    reader: "IntervalReader",
    sources: "Sources",
    scanners: "list[Scanner]",
    thresholds: list[float],
    pool: ThreadPoolExecutor,
    out: BinaryIO,
    quiet: bool,
) -> str:
    """Write the best hits of each bin; tell how many bins have one."""
    from tfbind.hits import best_lines, best_of_batches, column_names
    from tfbind.labels import labelled_header
    from tfbind.pipeline import ahead
    from tfbind.tables import refuse_twins
    from tfbind.tiles import BinCheck

    check = BinCheck(None, sources, reader.path)
    batches = iter(reader)
    first = next(batches, None)
    names = column_names(scanner.motif for scanner in scanners)
    header = labelled_header(reader.header, reader.columns or 3, names)
    refuse_twins(header[-1].split("\t"))
    for line in header:
        out.write(f"{line}\n".encode())
    checked = map(check, chain([] if first is None else [first], batches))
    found = best_of_batches(checked, sources.genome, scanners, thresholds, pool)
    with_one = 0
    with (
        progress("scan", "bins", total=None, quiet=quiet) as advance,
        ahead(found) as made,
    ):
        for batch, best in made:
            out.write(best_lines(batch, best))
            with_one += int((best.strands != 0).any(axis=0).sum())
            advance(len(batch))
    return f"{with_one:,} bins with a hit"


def _write_hits(
    reader: "IntervalReader",
    sources: "Sources",
    scanners: "list[Scanner]",
    thresholds: list[float],
    pool: ThreadPoolExecutor,
    out: BinaryIO,
    quiet: bool,
    *,
    pvalue: float,
) -> str:
    """Write every hit; tell how many there are."""
    from tfbind.hits import hit_lines, hits_of_batches
    from tfbind.pipeline import ahead
    from tfbind.tiles import BinCheck

    check = BinCheck(None, sources, reader.path)
    motifs = [scanner.motif for scanner in scanners]
    count = 0
    with progress("scan", "bins", total=None, quiet=quiet) as advance:
        checked = map(check, advancing(reader, advance))
        found = hits_of_batches(
            checked, reader.path, sources.genome, scanners, thresholds, pool, pvalue=pvalue
        )
        with ahead(found) as made:
            for contig, hits in made:
                out.write(hit_lines(contig, hits, motifs))
                count += len(hits.starts)
    return f"{count:,} hits"
