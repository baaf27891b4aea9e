"""`tfbind sample`."""

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Alias, BedInput, ChrPrefix, Force, Output, Quiet, Seed
from .places import Prefix, alias_in, read_interval_set, refuse_stdin_twice, regions_in
from .progress import advancing, progress, say
from .streams import reading, refuse_existing, writing

if TYPE_CHECKING:
    from tfbind.regions import RegionSet
    from tfbind.sampling import Sampler


def sample(
    bed: BedInput = "-",
    accessible: Annotated[
        str | None,
        typer.Option(metavar="PEAKS", help="Keep all bins that overlap these, such as DNase."),
    ] = None,
    background: Annotated[
        int, typer.Option(metavar="BINS", min=0, help="How many of the other bins to draw.")
    ] = 100_000,
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

    For example:

    \b
        tfbind bin hg19.fa | tfbind label --conservative ctcf.narrowPeak \\
          | tfbind sample --accessible dnase.narrowPeak --holdout chr1,chr8,chr21 --seed 1
    """
    from tfbind.intervals import IntervalReader
    from tfbind.sampling import Sampler, common_step

    refuse_existing(output, force=force)
    refuse_stdin_twice(bed, accessible)
    held_out = _held_out(holdout, alias_in(alias), chr_prefix)
    places = None
    if accessible is not None:
        places = read_interval_set(accessible, alias_in(alias), chr_prefix)
    with reading(bed, what="BED") as (stream, path), writing(output, force=force) as out:
        reader = IntervalReader(stream, path)
        with progress("sample", "bins", total=None, quiet=quiet) as advance:
            step, batches = common_step(reader)
            sampler = Sampler(
                background, seed, step, block=block, accessible=places, holdout=held_out
            )
            columns = 3
            for batch in advancing(batches, advance):
                sampler.add(batch, path)
                columns = 3 + len(batch.extra)
        if places is not None:
            places.axis.require_shared()
        out.writelines(line.encode() + b"\n" for line in reader.header)
        out.writelines(sampler.lines())
    for line in _summary(sampler, reader.header, columns, background):
        say(line, quiet=quiet)
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


def _summary(sampler: "Sampler", header: list[str], columns: int, background: int) -> list[str]:
    """Say what was kept, drawn and dropped, and how many bins have each label."""
    from tfbind.labels import LETTERS, column_names

    drawn, classes = sampler.counts()
    fewer = f" (all there are; {background:,} were asked for)" if drawn < background else ""
    lines = [
        f"{sampler.kept:,} bins kept, {drawn:,} of {sampler.others:,} others drawn{fewer}, "
        f"{sampler.dropped:,} held out"
    ]
    names = column_names(header, columns)
    if names is None:
        names = ["label"] if columns == 4 else [f"column {i + 4}" for i in range(columns - 3)]
    if not names:
        lines.append(f"{sampler.kept + drawn:,} unlabelled")
    for name, counts in zip(names, classes, strict=True):
        shown = ", ".join(f"{n:,} {letter}" for letter, n in zip(LETTERS, counts, strict=True))
        lines.append(f"{name}: {shown}")
    return lines
