"""`tfbind explain attribute`."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from .contributions import Files, Rows, Table, Tracks, kept, tracks_asked, written
from .explained import (
    Asked,
    Bins,
    Frequencies,
    MethodName,
    NetworkFile,
    ReferenceName,
    Shuffles,
    Steps,
    Task,
    about_numbers,
    bins_of,
    head_of,
    method_of,
    opened,
    reference_of,
    refuse_unread_of,
    tracks_of,
)
from .options import (
    Alias,
    BedInput,
    Cell,
    ChrPrefix,
    Expression,
    Fasta,
    Force,
    Missing,
    Quiet,
    Seed,
    Signals,
    Threads,
)
from .options import Files as InputFiles
from .progress import Tally, progress, say

if TYPE_CHECKING:
    from tfbind.interpret.attribution import Attributor
    from tfbind.interpret.covering import Bases
    from tfbind.interpret.explained import Explained
    from tfbind.interpret.mutagenesis import Mutagenesis


CLOSE = 1e-2
"""Sums of integrated gradients that are farther off are worth more steps."""


def attribute(
    context: typer.Context,
    model: NetworkFile,
    bed: BedInput = "-",
    task: Task = None,
    method: MethodName = "deeplift",
    reference: ReferenceName = "background",
    frequencies: Frequencies = None,
    shuffles: Shuffles = None,
    steps: Steps = 50,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Write the contributions of this input, such as sequence or dnase; default: the "
            "model's first.",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write a line for each base: what it contributes, and what A, C, G and T "
            "would in its place.",
        ),
    ] = None,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows", help="Explain each bin in a window of its own: slow, the same numbers."
        ),
    ] = False,
    fasta: Fasta = None,
    signal: Signals = None,
    channel: InputFiles = None,
    cell: Cell = None,
    expression: Expression = None,
    missing: Missing = "error",
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    seed: Seed = 1,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write here: a bigWig if the name ends in .bw, rows for modisco-lite if in .npz, "
            "else bedGraph; - is standard output; {input} in the name stands for each input.",
        ),
    ] = "-",
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Say what each base, and each value of a signal, contributes to a network's output.

    Reads bins, as tfbind score does. What is explained is the output of a task before its
    activation: the log-odds of a sigmoid; of a task with a node for bound and one for unbound, the
    first less the second; of classes that exclude each other, the class's own logit; of an
    ensemble, the mean of its members' log-odds.

    By default writes a bedGraph of the sequence, for IGV: at each base the mean contribution over
    the bins whose window covers it. Such a bin is 1000 bp wide in most models, so that a base has
    20 of them, and needs them all there for a track without edges.

    --method deeplift, the rescale rule of DeepLIFT (Shrikumar et al. 2017): contributions of all
    inputs sum to the difference from the reference. In a max-pool all goes to the first input that
    has the maximum; where the reference differs within a pool and its maximum is the higher one,
    to the first that has the maximum of the reference, so that the sum is kept for shuffles too.
    gradient: the gradient times the input. integrated: gradients along the straight line from the
    reference; they sum to the difference the better the more --steps. mutagenesis: what the three
    other bases would change; the contribution is minus their mean, and signals have none. The
    reference of a signal is a base without coverage, that of shape and expression the mean.

    With -o NAME.npz it writes a row for each bin instead, and a second file NAME.onehot.npz, as
    modisco-lite wants them. NAME.npz holds the hypothetical contributions (arr_0), those of each
    input (contributions.NAME), the outputs, where the bins are, and of what model and reference the
    numbers are (about.NAME). Where the network reads strands, rows of bins with - in column 6 run
    along the minus strand.

    For example:

    \b
        export TFBIND_FASTA=hg19.fa TFBIND_SIGNAL=dnase=HeLa-S3.bw
        tfbind bin --region chrX:48000001-49000000 \\
          | tfbind explain attribute ctcf.keras -o 'ctcf.{input}.bw'
        tfbind explain attribute ctcf.keras bound.bed --shuffles 10 -o bound.npz
        modisco motifs -s bound.onehot.npz -a bound.npz -n 2000 -o bound.modisco.h5
    """
    asked = Asked(task, method, reference, frequencies, shuffles, steps, seed)
    asked.check()
    refuse_unread_of(context, asked)
    Files(output, (), table, force).check()
    network = opened(model, threads)
    from tfbind.interpret.attribution import Attributor
    from tfbind.interpret.explained import no_rows
    from tfbind.interpret.logits import chosen_task

    contract = network.contract
    chosen = chosen_task(contract.tasks, task)
    known = tracks_of(contract, method)
    files = Files(output, tracks_asked(track, output, known), table, force)
    files.check()
    with (
        bins_of(
            bed,
            contract,
            fasta=fasta,
            signal=signal,
            channel=channel,
            cell=cell,
            expression=expression,
            missing=missing,
            alias=alias,
            chr_prefix=chr_prefix,
            twice=asked.counts(contract),
            quiet=quiet,
        ) as bins,
        ExitStack() as stack,
    ):
        measured_from = reference_of(asked, bins, quiet=quiet)
        explainer = method_of(network, model, chosen, asked, measured_from)
        about = about_numbers(model, chosen, asked, measured_from, bins)
        sizes, flank = bins.sources.genome.sizes, contract.geometry.flank
        rows = Rows(stack, files, about, flank, sizes) if files.rows else None
        sinks = _sinks(stack, files, bins, known, explainer, head_of(about))
        began = time.monotonic()
        tally = Tally(stack.enter_context(progress("explain", "bins", total=None, quiet=quiet)))
        alone = windows or not contract.scans or shuffles is not None
        if rows is None and not alone and isinstance(explainer, Attributor):
            done = Done(tally, "a bin, in the mean of its tile")
            written(_summed(bins, explainer, done), sinks)
        else:
            done = Done(tally, "a bin")
            told = kept(_explained(bins, explainer, done, alone=alone, ordered=bool(sinks)), rows)
            written(_means(told, bins, wanted=bool(sinks)), sinks)
        if rows is not None and not done.bins:
            rows.add(no_rows(contract, known))
    _tell(done, asked, time.monotonic() - began, quiet=quiet)


class Done:
    """What has been explained, and how well contributions sum to what they explain."""

    def __init__(self, advance: Tally, of: str) -> None:
        self._advance = advance
        self.of = of
        self.bins = 0
        self.error = 0.0

    def add(self, bins: int, error: float) -> None:
        """Add bins, and the largest error of one, or that of a tile over its bins."""
        self.bins += bins
        self.error = max(self.error, error)
        self._advance(bins)


def _sinks(
    stack: ExitStack,
    files: Files,
    bins: Bins,
    known: list[str],
    explainer: "Attributor | Mutagenesis",
    head: bytes,
) -> list[Tracks | Table]:
    from tfbind.interpret.attribution import Attributor
    from tfbind.interpret.tracks import table_header

    from .streams import writing

    sinks: list[Tracks | Table] = []
    if not files.rows:
        tracks = Tracks(files, known, head, dict(bins.sources.genome.sizes))
        tracks.open(stack)
        sinks.append(tracks)
    if files.table is not None:
        stream = stack.enter_context(writing(files.table, force=files.force))
        bases = not isinstance(explainer, Attributor) or any(
            one.kind == "bases" for one in explainer.entrances
        )
        sinks.append(Table(stream, head + table_header(known, bases=bases)))
    return sinks


def _summed(bins: Bins, explainer: "Attributor", done: Done) -> "Iterator[Bases]":
    """Explain tile by tile, and give means at bases."""
    from tfbind.interpret.covering import Covering
    from tfbind.interpret.explanation import ascending, cut, one_strand, summed_tiles

    covering = Covering(bins.sources.genome.sizes)
    batches = one_strand(ascending(bins.read(), bins.name), bins.name)
    tiles = cut(batches, bins.contract, bins.stretches, bins.name)
    for one in summed_tiles(tiles, explainer, bins.contract):
        done.add(one.bins, abs(one.total - one.difference) / max(one.bins, 1))
        yield from covering.add(one.stretch)
    yield from covering.end()


def _explained(
    bins: Bins, explainer: "Attributor | Mutagenesis", done: Done, *, alone: bool, ordered: bool
) -> "Iterator[Explained]":
    """Explain bin by bin."""
    import numpy as np

    from tfbind.interpret import explanation as ways
    from tfbind.interpret.mutagenesis import Mutagenesis

    stranded = bins.contract.stranded
    batches = ways.ascending(bins.read(), bins.name) if ordered else bins.read()
    # Tiles part the strands, and rows are in the order of the bins.
    tiled = isinstance(explainer, Mutagenesis) and not alone and (ordered or not stranded)
    if ordered or tiled:
        batches = ways.one_strand(batches, bins.name)
    rows: Iterator[Explained]
    if isinstance(explainer, Mutagenesis) and tiled:
        tiles = ways.cut(batches, bins.contract, bins.stretches, bins.name)
        rows = ways.explained_tiles(tiles, explainer, bins.contract)
    else:
        made = ways.explained_windows(batches, ways.by(explainer), bins.contract, bins.stretches)
        rows = (explained for _, explained in made)
    for one in rows:
        total = sum(values.sum(1, dtype=np.float64) for values in one.contributions.values())
        error = np.abs(total - (one.outputs - one.reference_outputs)).max(initial=0)
        done.add(len(one), float(error))
        yield one


def _means(rows: "Iterator[Explained]", bins: Bins, *, wanted: bool) -> "Iterator[Bases]":
    """Give means at bases, if they are wanted."""
    from tfbind.interpret.covering import Covering
    from tfbind.interpret.explanation import stretches_of

    covering = Covering(bins.sources.genome.sizes)
    for one in rows:
        if wanted:
            for stretch in stretches_of(one, bins.contract):
                yield from covering.add(stretch)
    yield from covering.end()


def _tell(done: Done, asked: Asked, took: float, *, quiet: bool) -> None:
    say(f"{done.bins:,} bins in {took:,.1f} s, {done.bins / took:,.0f} bins/s", quiet=quiet)
    if asked.method in ("deeplift", "integrated") and done.bins:
        more = asked.method == "integrated" and done.error > CLOSE
        say(
            f"contributions sum to the difference from the reference within {done.error:.1e} "
            f"{done.of}" + more * f"; more --steps than {asked.steps} bring them closer",
            quiet=quiet,
        )
