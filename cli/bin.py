"""`tfbind bin`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import Alias, Chroms, ChrPrefix, Force, Output, Quiet, Regions
from .places import (
    alias_in,
    places,
    read_interval_set,
    refuse_stdin_twice,
    shard_in,
)
from .progress import Advance, advancing, progress, say
from .streams import refuse_existing, writing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfbind.bins import Bins, Block
    from tfbind.regions import IntervalSet


def bin_(
    genome: Annotated[
        str | None,
        typer.Argument(
            metavar="GENOME",
            envvar="TFBIND_FASTA",
            help="FASTA, .fai, chrom.sizes, any text with names and sizes, or bigWig.",
        ),
    ] = None,
    size: Annotated[int, typer.Option(metavar="BP", min=1, help="A bin.")] = 200,
    stride: Annotated[
        int, typer.Option(metavar="BP", min=1, help="From one bin's start to the next.")
    ] = 50,
    chroms: Chroms = None,
    region: Regions = None,
    exclude: Annotated[
        str | None,
        typer.Option(
            metavar="BED", envvar="TFBIND_BLACKLIST", help="Drop the bins that overlap these."
        ),
    ] = None,
    skip_n: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION",
            min=0,
            max=1,
            help="Drop the bins of which more than this share is not A, C, G or T (needs FASTA).",
        ),
    ] = None,
    margin: Annotated[
        int,
        typer.Option(metavar="BP", min=0, help="Stay this far inside both ends of a chromosome."),
    ] = 0,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only part I of N; the parts concatenate to the whole."),
    ] = None,
    strand: Annotated[
        Literal["+", "-", "both"] | None,
        typer.Option(
            metavar="+|-|both",
            help="Write BED of 6 columns with this strand; both: each bin twice.",
        ),
    ] = None,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Lay bins over a genome.

    Reads the names and sizes of the chromosomes; sequence only for --skip-n.

    Writes BED: chromosome, start, end. Bins start at multiples of the stride and end inside the
    chromosome, in the genome's order; a chromosome shorter than a bin has none. The parts of
    --shard are cut before --exclude and --skip-n drop any bin. With --strand a line is contig,
    start, end, ., 0, strand, for models that read one strand, such as those of start sites.

    For example:

    \b
        tfbind bin hg19.fa --chroms chr1,chr8,chr21 --exclude blacklist.bed > bins.bed
        tfbind bin hg19.fa --region chrX:60,000,001-70,000,000 --skip-n 0.5 | head
        tfbind bin hg19.fa --stride 1 --strand both --skip-n 0.5 | tfbind score tss.onnx \\
          -o 'tss.{task}.{strand}.bw'
    """
    from tfbind.bins import grid
    from tfbind.intervals import bed_lines

    if genome is None:
        raise typer.BadParameter("no genome: give GENOME or set TFBIND_FASTA")
    refuse_existing(output, force=force)
    refuse_stdin_twice(genome, exclude)
    part = shard_in(shard)
    sizes, regions = places(genome, chroms, region, alias, chr_prefix)
    excluded = None if exclude is None else read_interval_set(exclude, alias_in(alias), chr_prefix)
    if excluded is not None:
        excluded.axis.origins(list(sizes))
        excluded.axis.require_shared("the genome")
    bins = grid(sizes, size, stride, margin=margin, regions=regions).shard(*part)
    written = 0
    with (
        writing(output, force=force) as out,
        progress("bins", "bins", total=len(bins), quiet=quiet) as advance,
    ):
        for contig, starts in _filtered(bins, advance, excluded, genome, skip_n):
            out.write(bed_lines(contig, *_columns(starts, size, strand)))
            written += len(starts)
    if excluded is not None or skip_n is not None:
        say(f"kept {written:,} of {len(bins):,} bins", quiet=quiet)


def _columns(starts: "npt.NDArray[np.int64]", size: int, strand: str | None) -> list[Any]:
    """Give what stands behind the contig: a bin of both strands comes as + and then as -."""
    import numpy as np

    from tfbind.strands import six_columns

    if strand is None:
        return [starts, starts + size]
    both = strand == "both"
    starts = np.repeat(starts, 2) if both else starts
    minus = np.arange(len(starts)) % 2 == 1 if both else np.full(len(starts), strand == "-")
    return six_columns(starts, starts + size, minus)


def _filtered(
    bins: "Bins",
    advance: Advance,
    excluded: "IntervalSet | None",
    genome: str,
    skip_n: float | None,
) -> "Iterator[Block]":
    """Give the bins that no filter drops."""
    from tfbind.bins import drop_overlapping, drop_unknown
    from tfbind.genome import Genome

    blocks = advancing(bins.blocks(), advance, lambda block: len(block[1]))
    if excluded is not None:
        blocks = drop_overlapping(blocks, bins.size, excluded)
    return blocks if skip_n is None else drop_unknown(blocks, bins.size, Genome(genome), skip_n)
