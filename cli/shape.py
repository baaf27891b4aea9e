"""`tfbind shape`."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from .machine import processors
from .options import Alias, Chroms, ChrPrefix, Fasta, Force, Quiet, Regions, Threads
from .outputs import is_bigwig
from .places import comma_list, places
from .progress import progress, say
from .streams import refuse_existing, replacing, writing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Values = npt.NDArray[np.float32]
    Make = Callable[[str, int, Values], list[Any]]
    Sink = Callable[[Any], object]

FEATURE = "{feature}"
TEXT_LENGTH = 1 << 17
"""Bases that become text at once: a line is some 25 bytes."""


def shape(
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MGW|ProT|Roll|HelT",
            help="Minor groove width (angstrom), propeller twist, roll or helix twist (degrees); "
            "may be repeated. Default: all, where the output has {feature}.",
        ),
    ] = None,
    fasta: Fasta = None,
    chroms: Chroms = None,
    region: Regions = None,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Begin bedGraph with a line on what it is.")
    ] = True,
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write here, a bigWig if the name ends in .bw or .bigwig; - is standard output; "
            "{feature} in the name stands for each feature.",
        ),
    ] = "-",
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Tell the shape of the double helix at each base, from the bases around it.

    Reads the genome. The figures are those of DNAshape (Zhou et al. 2013) for each five bases: the
    width of the minor groove and the propeller twist of the third, and the roll and helix twist of
    the steps on both sides of it, of which each is the mean of the two pentamers that have it in
    their middle.

    Writes bedGraph, a line for each base, or a bigWig, in the genome's order. The value of a step
    stands on its first base. A base that is not A, C, G or T, or lies so close to one or to an end
    of the chromosome that no pentamer tells of it, is left out.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa
        tfbind shape --feature MGW --region chrX:48,000,000-48,010,000 > MGW.bedGraph
        tfbind shape --feature ProT --region chrX:48,000,000-48,010,000 | awk '$4 < -14' | head
        tfbind shape -o '{feature}.bw'
    """
    from tfbind.bins import grid
    from tfbind.dense import CHUNK
    from tfbind.genome import Genome
    from tfbind.shape import along

    if fasta is None:
        raise typer.BadParameter("no genome: give --fasta FILE or set TFBIND_FASTA")
    bigwig = _is_bigwig(output)
    features = _features(feature, output)
    paths = [output.replace(FEATURE, name) for name in features]
    for path in paths:
        refuse_existing(path, force=force)
    genome = Genome(fasta)
    sizes, regions = places(fasta, chroms, region, alias, chr_prefix)
    bases = grid(sizes, 1, 1, regions=regions)
    began, known = time.monotonic(), 0
    with ExitStack() as stack:
        if bigwig:
            make, sinks = _bigwigs(stack, paths, sizes, force)
        else:
            lines = _first_lines(features, genome.path) if header else []
            make, sinks = _texts(stack, paths, lines, force)
        advance = stack.enter_context(progress("shape", "bases", total=len(bases), quiet=quiet))
        length = CHUNK if bigwig else TEXT_LENGTH
        made = along(
            genome, bases.runs, features, make, length=length, threads=threads or processors()
        )
        for asked, told, parts in stack.enter_context(closing(made)):
            for sink, part in zip(sinks, parts, strict=True):
                sink(part)
            known += told
            advance(asked)
    took = time.monotonic() - began
    say(
        f"{', '.join(features)} of {known:,} bases, of {len(bases):,} asked for, in {took:,.1f} s",
        quiet=quiet,
    )


def _is_bigwig(output: str) -> bool:
    """Take the format that the name of the output tells."""
    if odd := re.search(r"\{(?!feature\})\w*\}", output):
        raise typer.BadParameter(f"found {odd[0]} in {output}, expected {FEATURE} or nothing")
    return is_bigwig(output)


def _features(given: list[str] | None, output: str) -> list[str]:
    """Read the names of features, in any case, each once."""
    from tfbind.shape import FEATURES

    known = {name.lower(): name for name in FEATURES}
    asked = comma_list(given)
    for name in asked:
        if name.lower() not in known:
            raise typer.BadParameter(
                f"found --feature {name}, expected one of {', '.join(FEATURES)}"
            )
    features = list(dict.fromkeys(known[name.lower()] for name in asked))
    if FEATURE in output:
        return features or list(FEATURES)
    if len(features) != 1:
        raise typer.BadParameter(
            f"{len(features) or 'no'} features for one output: give --feature with one of "
            f"{', '.join(FEATURES)}, or a file to each by -o '{FEATURE}.bw'"
        )
    return features


def _first_lines(features: list[str], genome: str) -> list[bytes]:
    """Say what each file holds, of which genome."""
    import tfbind
    from tfbind.shape import UNITS

    return [
        "\t".join(
            [
                "#tfbind",
                f"version={tfbind.__version__}",
                f"shape={name}",
                f"unit={UNITS[name]}",
                f"genome={Path(genome).name}\n",
            ]
        ).encode()
        for name in features
    ]


def _texts(
    stack: ExitStack, paths: list[str], lines: list[bytes], force: bool
) -> "tuple[Make, list[Sink]]":
    """Open files of bedGraph; give what makes text of values, and what takes it."""
    from tfbind.shape import bedgraph_lines

    outs = [stack.enter_context(writing(path, force=force)) for path in paths]
    for out, line in zip(outs, lines or [b""] * len(outs), strict=True):
        out.write(line)
    stack.enter_context(_flushed(outs))

    def make(contig: str, start: int, values: "Values") -> list[Any]:
        return [bedgraph_lines(contig, start, column) for column in values.T]

    return make, [out.write for out in outs]


@contextmanager
def _flushed(outs: Sequence[BinaryIO]) -> Iterator[None]:
    """Write what is held back to all files before the first takes its name."""
    yield
    for out in outs:
        out.flush()


def _bigwigs(
    stack: ExitStack, paths: list[str], sizes: dict[str, int], force: bool
) -> "tuple[Make, list[Sink]]":
    """Open bigWigs; give what encodes values, and what takes them."""
    from tfbind.dense import DenseBigWig

    # All are finished before the first takes its name: of a run that fails none is left.
    parts = [stack.enter_context(replacing(path, force=force)) for path in paths]
    writers = [
        stack.enter_context(DenseBigWig(part, sizes, name=path))
        for part, path in zip(parts, paths, strict=True)
    ]

    def make(contig: str, start: int, values: "Values") -> list[Any]:
        return [
            writer.encode(contig, start, column)
            for writer, column in zip(writers, values.T, strict=True)
        ]

    return make, [writer.add for writer in writers]
