"""`tfbind explain fasta`."""

import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import typer

from tfbind.errors import InputError, three

from .explain_windows import with_label
from .inputs import open_sources
from .options import Alias, BedInput, ChrPrefix, Fasta, Force, Quiet
from .progress import advancing, progress, say
from .streams import reading, refuse_existing, writing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tfbind.channels import Sources
    from tfbind.intervals import Intervals


class Set(NamedTuple):
    """One of the two sets: its label, its file, and what was written of how many bins."""

    label: str
    path: str
    stream: BinaryIO
    counts: dict[str, int]


def fasta(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PREFIX",
            help="Write PREFIX.primary.fa and PREFIX.control.fa.",
        ),
    ],
    bed: BedInput = "-",
    primary: Annotated[
        str, typer.Option(metavar="WORD", help="What column 4 says of the primary bins.")
    ] = "B",
    control: Annotated[
        str, typer.Option(metavar="WORD", help="What column 4 says of the control bins.")
    ] = "U",
    window: Annotated[
        int | None,
        typer.Option(
            metavar="BP",
            min=8,
            help="The length of all sequences, around the middle of bins; default: the bins, which "
            "are to have one length.",
        ),
    ] = None,
    overlapping: Annotated[
        bool,
        typer.Option(
            "--overlapping", help="Keep sequences that share bases with others of their set."
        ),
    ] = False,
    genome: Fasta = None,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write the sequences of labelled bins for MEME-ChIP's discriminative mode.

    Reads BED with a label in column 4, such as B and U of tfbind label, or sharp, broad and
    background. Where column 6 holds strands, +, - or a dot, bins with - are reverse-complemented.

    Writes two files of FASTA, PREFIX.primary.fa and PREFIX.control.fa, of sequences of one length,
    as MEME-ChIP wants them, and tells the line that runs it. Bins overlap; of those of one set that
    share bases the first is kept, so that no base counts twice: sort the input. What MEME-ChIP
    finds, combined.meme, is set beside a network's filters by tfbind explain filters --beside.

    For example:

    \b
        tfbind label --conservative peaks.narrowPeak bins.bed \\
          | tfbind sample --accessible dnase.narrowPeak --background 0 \\
          | tfbind explain fasta --fasta hg19.fa -o ctcf
        meme-chip -oc ctcf.meme-chip -neg ctcf.control.fa -db JASPAR.meme ctcf.primary.fa
        tfbind explain filters ctcf.keras labelled.bed --beside ctcf.meme-chip/combined.meme
    """
    from tfbind.intervals import IntervalReader
    from tfbind.labels import labels_first

    if output in ("", "-") or output.endswith("/"):
        raise typer.BadParameter(f"found -o {output!r}, expected the beginning of two names")
    if primary == control:
        raise typer.BadParameter(f"--primary and --control are both {primary}")
    paths = [f"{output}.primary.fa", f"{output}.control.fa"]
    for path in paths:
        refuse_existing(path, force=force)
    with ExitStack() as stack:
        stream, name = stack.enter_context(reading(bed, what="BED"))
        sources = open_sources(genome, {}, alias, chr_prefix)
        sets = [
            Set(
                label,
                path,
                stack.enter_context(writing(path, force=force)),
                {"bins": 0, "sequences": 0},
            )
            for label, path in zip((primary, control), paths, strict=True)
        ]
        reader = labels_first(IntervalReader(stream, name), name, None)
        advance = stack.enter_context(progress("fasta", "bins", total=None, quiet=quiet))
        _write(advancing(reader, advance), name, sources, window, sets, overlapping=overlapping)
    for one in sets:
        say(
            f"{one.path}: {one.counts['sequences']:,} sequences of {one.counts['bins']:,} bins "
            f"labelled {one.label}",
            quiet=quiet,
        )
    run = ["meme-chip", "-oc", f"{output}.meme-chip", "-neg", paths[1], "-db", "JASPAR.meme"]
    say(f"now run: {shlex.join([*run, paths[0]])}", quiet=quiet)


def _write(
    batches: "Iterable[Intervals]",
    path: str,
    sources: "Sources",
    window: int | None,
    sets: list[Set],
    *,
    overlapping: bool,
) -> None:
    """Write the sequences of both sets."""
    from tfbind.interpret.sequences import Apart, fasta_records
    from tfbind.strands import told_strands
    from tfbind.tiles import BinCheck

    check = BinCheck(None, sources, path)
    others: dict[str, None] = {}
    chosen: dict[str, Apart] = {}
    size = window
    for whole in batches:
        batch, names = check(told_strands(whole, path))
        if not batch.extra:
            raise InputError(
                "has no column 4, expected labels there; tfbind label writes them", path=path
            )
        size = size or int(batch.ends[0] - batch.starts[0])
        if window is None:
            _refuse_other_sizes(batch, size, path)
        for one in sets:
            some = batch.select(with_label(batch, one.label, others))
            one.counts["bins"] += len(some)
            if not overlapping:
                some = some.select(chosen.setdefault(one.label, Apart(size))(some, names))
            one.stream.write(b"".join(fasta_records(some, names, sources.genome, size)))
            one.counts["sequences"] += len(some)
    for one in sets:
        if not one.counts["bins"]:
            raise InputError(
                f"has no bin with {one.label!r} in column 4, but {three(others)}; give --primary "
                "and --control",
                path=path,
            )


def _refuse_other_sizes(batch: "Intervals", size: int, path: str) -> None:
    """Refuse bins that differ in length, which MEME-ChIP's tests of place do not forgive."""
    import numpy as np

    other = np.flatnonzero(batch.ends - batch.starts != size)
    if len(other):
        found = batch.ends[other[0]] - batch.starts[other[0]]
        raise InputError(
            f"found a bin of {found} bp, expected {size} bp as the first; give --window BP",
            path=path,
            line=int(batch.numbers[other[0]]),
        )
