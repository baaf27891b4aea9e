"""`tfbind sample`."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .cage import CageSample, sample_cage
from .hard import COUNT, wanted
from .options import (
    Alias,
    BedInput,
    Cell,
    Chroms,
    ChrPrefix,
    Expression,
    Fasta,
    Files,
    Force,
    Output,
    Quiet,
    Regions,
    Seed,
    Signals,
    Threads,
)
from .places import Prefix, alias_in, read_interval_set, refuse_stdin_twice, regions_in
from .progress import advancing, progress, say
from .streams import reading, refuse_existing, writing
from .unread import refuse_unread

if TYPE_CHECKING:
    from tfbind.intervals import IntervalReader
    from tfbind.regions import RegionSet
    from tfbind.sampling import Sampler

BACKGROUND = 100_000
"""Bins that are drawn of those that are not kept for certain."""

OF_BINS = (
    *("bed", "accessible", "block", "holdout", "hard", "hard_count", "signal", "channel"),
    *("expression", "cell", "missing", "threads"),
)
"""Parameters of bins that are read, which --cage does not."""


def sample(
    context: typer.Context,
    bed: BedInput = "-",
    accessible: Annotated[
        str | None,
        typer.Option(metavar="PEAKS", help="Keep all bins that overlap these, such as DNase."),
    ] = None,
    background: Annotated[
        int | None,
        typer.Option(
            metavar="BINS",
            min=0,
            help="How many of the other bins to draw; default: 100,000, or 9 for each peak of "
            "--cage.",
        ),
    ] = None,
    block: Annotated[
        int,
        typer.Option(
            metavar="BINS",
            min=1,
            max=1_000_000,
            help="Draw up to so many consecutive bins together.",
        ),
    ] = 16,
    holdout: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Drop the bins that overlap these chromosomes or regions (chr:from-to, 1-based, "
            "inclusive); may be repeated.",
        ),
    ] = None,
    hard: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Keep also the unbound bins that this .onnx model scores highest.",
        ),
    ] = None,
    hard_count: Annotated[
        int | None,
        typer.Option(metavar="BINS", min=1, help=f"How many --hard keeps; default: {COUNT:,}."),
    ] = None,
    cage: Annotated[
        str | None,
        typer.Option(
            metavar="PEAKS",
            help="Read no bins: lay windows around these CAGE peaks and far from them.",
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="BP", min=1, help="Of those windows; default: 200.")
    ] = None,
    away: Annotated[
        int | None,
        typer.Option(
            metavar="BP",
            min=0,
            help="How far from any peak background has its centre; default: 100.",
        ),
    ] = None,
    chroms: Chroms = None,
    region: Regions = None,
    fasta: Fasta = None,
    signal: Signals = None,
    channel: Files = None,
    expression: Expression = None,
    cell: Cell = None,
    missing: Annotated[
        Literal["error", "zero"],
        typer.Option(
            metavar="error|zero",
            help="Bins to score on a contig that a signal lacks: refuse, or take the signal as 0.",
        ),
    ] = "error",
    threads: Threads = None,
    seed: Seed = 0,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Choose the bins to learn from.

    Reads BED with a label (U, A or B) in each column behind the third, as tfbind label writes it,
    or without labels.

    Writes the lines that it keeps, in input order: the bins that overlap an accessible place, those
    that are bound in any experiment, and random others, drawn in blocks of consecutive bins. Lines
    that begin with # above the first bin are kept. The same seed and input give the same bins.
    Says on standard error how many bins have each label.

    With --hard it scores the bins that it would not keep for certain and that are unbound, as
    tfbind score does, with --fasta, --signal, --channel, --expression, --cell, --missing and
    --threads, and adds those with the highest scores; those that were drawn as well count once.
    Label columns are matched to the model's tasks by name, one column to one task by itself; of
    several the highest score counts in a column where the bin is unbound, never one where it is
    ambiguous. Give the regions of train --validate to --holdout, so that bins are mined where the
    network learns only.

    With --cage it reads no bins, but writes windows of BED with 6 columns in the genome's order:
    one around the middle of each CAGE peak, on its strand, and --background places, drawn
    uniformly from both strands of --chroms and --region (default: all of --fasta), --away bp or
    more from any peak and without an unknown base in their window. Peaks outside of --chroms and
    --region are left out. tfbind label --cage labels them.

    For example:

    \b
        tfbind bin hg19.fa | tfbind label --conservative ctcf.narrowPeak \\
          | tfbind sample --accessible dnase.narrowPeak --holdout chr1,chr8,chr21 --seed 1
        tfbind sample --hard ctcf.onnx --fasta hg19.fa --signal dnase=K562.bw labelled.bed.gz \\
          | tfbind features --fasta hg19.fa --signal dnase=K562.bw > harder.tiles
        tfbind sample --cage cage.bed.gz --fasta hg19.fa | tfbind label --cage cage.bed.gz
    """
    from tfbind.intervals import IntervalReader
    from tfbind.sampling import Sampler, common_step

    sites = CageSample(cage, size, away, background, seed)
    if sites.asked_for(chroms, region):
        refuse_unread(context, OF_BINS, "is nothing to --cage, which lays its own windows")
        where = (fasta, chroms, region, alias, chr_prefix)
        sample_cage(sites, *where, output, force=force, quiet=quiet)
        return
    background = BACKGROUND if background is None else background
    asked = wanted(hard, hard_count, fasta, signal, channel, expression, cell, missing, threads)
    refuse_existing(output, force=force)
    refuse_stdin_twice(bed, accessible)
    held_out = _held_out(holdout, alias_in(alias), chr_prefix)
    places = None
    if accessible is not None:
        places = read_interval_set(accessible, alias_in(alias), chr_prefix)
    with ExitStack() as stack:
        stream, path = stack.enter_context(reading(bed, what="BED"))
        out = stack.enter_context(writing(output, force=force))
        reader = IntervalReader(stream, path)
        advance = stack.enter_context(progress("sample", "bins", total=None, quiet=quiet))
        step, batches = common_step(reader)
        miner = None
        if asked is not None and reader.columns:
            miner = asked.open(reader, alias, chr_prefix, seed, stack, quiet=quiet)
        sampler = Sampler(
            background,
            seed,
            step,
            block=block,
            accessible=places,
            holdout=held_out,
            hardest=miner.hardest if miner else None,
        )
        if miner is not None:
            miner.mine(batches, sampler, path, advance)
        else:
            for batch in advancing(batches, advance):
                sampler.add(batch, path)
        if places is not None:
            places.axis.require_shared()
        out.writelines(line.encode() + b"\n" for line in reader.header)
        out.writelines(sampler.lines())
    for line in _summary(sampler, reader, background):
        say(line, quiet=quiet)
    if miner is not None:
        say(miner.summary(sampler.counts()[1]), quiet=quiet)
    if held_out is not None and sampler.read and held_out.unmet():
        # Told even if quiet: a name that is misspelt would let the held-out bins through.
        say(_not_held_out(held_out), quiet=False)


def _held_out(
    holdout: list[str] | None, alias: dict[str, str], prefix: Prefix
) -> "RegionSet | None":
    from tfbind.regions import RegionSet

    if not holdout:
        return None
    return RegionSet(regions_in("--holdout", holdout, {}), alias=alias, prefix=prefix)


def _not_held_out(held_out: "RegionSet") -> str:
    from tfbind.errors import three

    return (
        f"--holdout {three(held_out.unmet())}: no bin is on it; the bins name "
        f"{three(held_out.axis.asked)}"
    )


def _summary(sampler: "Sampler", reader: "IntervalReader", background: int) -> list[str]:
    """Say what was kept, drawn and dropped, and how many bins have each label."""
    from tfbind.labels import LETTERS, column_names

    columns = max(reader.columns, 3)
    drawn, hard, classes = sampler.counts()
    fewer = f" (all there are; {background:,} were asked for)" if drawn < background else ""
    lines = [
        f"{sampler.kept:,} bins kept, {drawn:,} of {sampler.others:,} others drawn{fewer}, "
        f"{sampler.dropped:,} held out"
    ]
    names = column_names(reader.header, columns)
    if names is None:
        names = ["label"] if columns == 4 else [f"column {i + 4}" for i in range(columns - 3)]
    if not names:
        lines.append(f"{sampler.kept + drawn + hard:,} unlabelled")
    for name, counts in zip(names, classes, strict=True):
        shown = ", ".join(f"{n:,} {letter}" for letter, n in zip(LETTERS, counts, strict=True))
        lines.append(f"{name}: {shown}")
    return lines
