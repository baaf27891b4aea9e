"""`tfbind explain fasta`."""

import shlex
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

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
    from tfbind.genome import Genome
    from tfbind.intervals import Intervals
    from tfbind.sites import Sites


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
            max=100_000,
            help="The length of all sequences, around the middle of bins; default: the bins, which "
            "are to have one length.",
        ),
    ] = None,
    overlapping: Annotated[
        bool,
        typer.Option(
            "--overlapping", help="Keep sequences that share bases with others, of either set."
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
    as MEME-ChIP wants them, in the genome's order, and tells the line that runs it. Bins overlap:
    of those of one set that share bases the first is kept, so that no base counts twice, and no
    control sequence shares bases with a primary bin's. Sequences that reach beyond a contig are
    left out. What MEME-ChIP finds, combined.meme, is set beside a network's filters by tfbind
    explain filters --beside. Holds 17 bytes for each labelled bin.

    For example:

    \b
        tfbind label --conservative peaks.narrowPeak bins.bed \\
          | tfbind sample --accessible dnase.narrowPeak --background 0 \\
          | tfbind explain fasta --fasta hg19.fa -o ctcf
        meme-chip -oc ctcf.meme-chip -neg ctcf.control.fa -db JASPAR.meme ctcf.primary.fa
        tfbind explain filters ctcf.keras labelled.bed --beside ctcf.meme-chip/combined.meme
    """
    from tfbind.interpret.sequences import fasta_records
    from tfbind.intervals import IntervalReader
    from tfbind.labels import labels_first

    if output in ("", "-") or output.endswith("/"):
        raise typer.BadParameter(f"found -o {output!r}, expected the beginning of two names")
    if primary == control:
        raise typer.BadParameter(f"--primary and --control are both {primary}")
    paths = [f"{output}.primary.fa", f"{output}.control.fa"]
    for path in paths:
        refuse_existing(path, force=force)
    labels = primary, control
    with ExitStack() as stack:
        stream, name = stack.enter_context(reading(bed, what="BED"))
        sources = open_sources(genome, {}, alias, chr_prefix)
        reader = labels_first(IntervalReader(stream, name), name, None)
        advance = stack.enter_context(progress("fasta", "bins", total=None, quiet=quiet))
        found, size = _read(advancing(reader, advance), name, sources, window, labels)
    sets, told = _chosen(found, labels, size, sources.genome, overlapping=overlapping)
    for one, counts in zip(sets, told, strict=True):
        if not len(one):
            raise InputError(f"leaves {counts}", path=name)
    with ExitStack() as stack:
        streams = [stack.enter_context(writing(path, force=force)) for path in paths]
        for one, stream in zip(sets, streams, strict=True):
            stream.writelines(fasta_records(one, size, sources.genome))
    for path, counts in zip(paths, told, strict=True):
        say(f"{path}: {counts}", quiet=quiet)
    run = ["meme-chip", "-oc", f"{output}.meme-chip", "-neg", paths[1], "-db", "JASPAR.meme"]
    say(f"now run: {shlex.join([*run, paths[0]])}", quiet=quiet)


def _read(
    batches: "Iterable[Intervals]",
    path: str,
    sources: "Sources",
    window: int | None,
    labels: tuple[str, str],
) -> "tuple[list[Sites], int]":
    """Read the windows of both labels, and their size."""
    import numpy as np

    from tfbind.cage import central_bases, window_starts
    from tfbind.sites import Sites, joined
    from tfbind.strands import told_strands
    from tfbind.tiles import BinCheck

    check = BinCheck(None, sources, path)
    contigs = {name: code for code, name in enumerate(sources.genome.sizes)}
    others: dict[str, None] = {}
    none = Sites(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    parts: list[list[Sites]] = [[none], [none]]
    size = window
    for whole in batches:
        batch, names = check(told_strands(whole, path))
        if not batch.extra:
            raise InputError(
                "has no column 4, expected labels there; tfbind label writes them", path=path
            )
        if batch.minus is None:
            batch = replace(batch, minus=np.zeros(len(batch), np.bool_))
        size = size or int(batch.ends[0] - batch.starts[0])
        if window is None:
            _refuse_other_sizes(batch, size, path)
        assert batch.minus is not None
        starts = window_starts(central_bases(batch), batch.minus, size)
        codes = np.array([contigs[name] for name in names], np.int64)[batch.codes]
        for part, label in zip(parts, labels, strict=True):
            chosen = with_label(batch, label, others)
            part.append(Sites(codes[chosen], starts[chosen], batch.minus[chosen]))
    found = [joined(part) for part in parts]
    for one, label in zip(found, labels, strict=True):
        if not len(one):
            raise InputError(
                f"has no bin with {label!r} in column 4, but {three(others)}; give --primary "
                "and --control",
                path=path,
            )
    return found, size or 0


def _chosen(
    found: "list[Sites]", labels: tuple[str, str], size: int, genome: "Genome", *, overlapping: bool
) -> "tuple[list[Sites], list[str]]":
    """Choose windows on the genome that share no base; tell what is left of each set, and why."""
    from tfbind.interpret.sequences import apart, clear_of, inside

    lengths = list(genome.sizes.values())
    sets, told = [], []
    for number, (one, label) in enumerate(zip(found, labels, strict=True)):
        some = one.select(inside(one, size, lengths))
        beyond = f", {len(one) - len(some):,} beyond a contig's end" if len(some) < len(one) else ""
        clear = some
        if number and not overlapping:
            clear = some.select(clear_of(some, found[0], size))
        kept = clear.select(clear.order()) if overlapping else apart(clear, size)
        near = f", {len(some) - len(clear):,} that share bases with primary ones"
        shared = f", {len(clear) - len(kept):,} with others of their set"
        left = beyond + near * (len(clear) < len(some)) + shared * (len(kept) < len(clear))
        counts = f"{len(kept):,} sequence(s) of {len(one):,} bin(s) labelled {label}"
        told.append(f"{counts}; left out{left[1:]}" if left else counts)
        sets.append(kept)
    return sets, told


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
