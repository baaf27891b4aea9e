"""`tfbind explain filters`."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .explain_windows import Label, Windows, data_of, labelled_windows, require_extra
from .explained import NetworkFile, Task, bins_of, opened
from .machine import processors
from .options import (
    Alias,
    BedInput,
    Cell,
    ChrPrefix,
    Expression,
    Fasta,
    Files,
    Force,
    Missing,
    Output,
    Quiet,
    Signals,
    Threads,
)
from .pictures import check_picture, kind_of
from .places import refuse_stdin_twice
from .progress import advancing, progress, say
from .streams import reading, refuse_existing, refuse_same, replacing, writing
from .unread import refuse_unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from tfbind.interpret.convolutions import Convolution
    from tfbind.interpret.filter_pictures import Beside
    from tfbind.interpret.learnt import Learnt, Scan
    from tfbind.interpret.matches import Match
    from tfbind.motifs import Motif
    from tfbind.networks.files import Network

HEADER = (
    *("filter", "width", "influence", "sites", "bits", "bound", "unbound"),
    *("sites_match", "sites_strand", "sites_p", "sites_q"),
    *("weights_match", "weights_strand", "weights_p", "weights_q"),
)
BESIDE = ("beside_match", "beside_strand", "beside_p", "beside_q")


def filters(
    context: typer.Context,
    model: NetworkFile,
    bed: BedInput = "-",
    motifs: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Known motifs to name filters by, MEME or JASPAR.",
        ),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Motifs that were found otherwise, such as combined.meme of MEME-ChIP, to set "
            "beside the filters.",
        ),
    ] = None,
    task: Task = None,
    label: Label = "B",
    threshold: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="A site is where a filter's activation is at least this share of its highest in "
            "any of the windows.",
        ),
    ] = 0.5,
    least: Annotated[
        int,
        typer.Option("--least", metavar="SITES", min=1, help="Of fewer sites no motif is made."),
    ] = 20,
    sample: Annotated[
        int,
        typer.Option(
            metavar="WINDOWS",
            min=1,
            help="Measure influence on so many bound bins at least, evenly spaced.",
        ),
    ] = 200,
    meme: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the filters' motifs here, for MEME.")
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page with all logos here.")
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw the first filters here: .png, .svg or .pdf."),
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, max=60, help="Filters in the picture.")
    ] = 12,
    fasta: Fasta = None,
    signal: Signals = None,
    channel: Files = None,
    cell: Cell = None,
    expression: Expression = None,
    missing: Missing = "error",
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    output: Output = "-",
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Show the filters of a network's first convolution as motifs, and name them.

    Reads a network and labelled bins: BED, B in column 4 for bound, as of tfbind label; those with
    A, ambiguous, are left out. Bins without a column 4 are all bound.

    A filter becomes a motif in two ways. By its weights: the negative ones are nothing, and every
    position is filled up evenly to the sum of the strongest. By its sites, as DeepBind does: its
    best place in each window of a bound bin, if it is over --threshold; each place on the genome
    counts once, and its bases are counted. Both are compared with --motifs by TOMTOM, with their
    cores, as long even parts would be like any vague filter; q is the false discovery rate
    (Benjamini and Hochberg) over all filters and all known motifs. By weights alone one in six
    shuffled filters has a match with q < .05: believe sites first.

    Filters are ordered by influence, the most influential first: how much the output, before its
    activation, falls in bound bins when the filter's map is set to its mean everywhere (Basset's
    way). Below 0: the filter speaks against binding. A filter that has sites in nearly all bins,
    bound or not, is unspecific, and so is what it is like.

    Writes a table with a header, parted by tabs, NA for what is not there: filter, width (bp),
    influence, sites, bits (of the motif of sites), the share of bound and of unbound bins that have
    a site, and for both ways the best match, its strand, p and q. With --beside also the most like
    of those motifs.

    For example:

    \b
        tfbind bin | tfbind label --conservative peaks.narrowPeak \\
          | tfbind sample --accessible dnase.narrowPeak \\
          | tfbind explain filters ctcf.keras --motifs JASPAR.meme --html ctcf.html --plot ctcf.png
    """
    require_extra()
    if plot is None:
        refuse_unread(context, ["top"], "is of the picture: give --plot")
    _check_outputs([output, *(one for one in (meme, html) if one)], plot, force=force)
    refuse_stdin_twice(bed, motifs, beside)
    known, others = (_motifs(path) for path in (motifs, beside))
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads or processors()))  # of TOMTOM
    network = opened(model, threads)
    _tell_few(len(known), quiet=quiet)
    from tfbind.interpret.learnt import as_motifs, described, set_beside
    from tfbind.interpret.logits import chosen_task
    from tfbind.meme import meme_text

    chosen = chosen_task(network.contract.tasks, task)
    with bins_of(
        bed,
        network.contract,
        fasta=fasta,
        signal=signal,
        channel=channel,
        cell=cell,
        expression=expression,
        missing=missing,
        alias=alias,
        chr_prefix=chr_prefix,
        twice=False,
        quiet=quiet,
    ) as bins:
        scan = _scan(network, labelled_windows(bins, label, chosen), sample, quiet=quiet)
    found = list(scan.sites(threshold))
    influence = _influence(network, chosen, scan, [one for one, _ in found], quiet=quiet)
    learnt = described(found, influence, known, others, least)
    rows = set_beside(others, learnt, known, least)
    title = f"{Path(model).name}, output {chosen}, {scan.bound:,} {label} bins of {data_of(bed)}"
    other = Path(beside).name if beside else ""
    with ExitStack() as stack:
        if html:
            stream = stack.enter_context(writing(html, force=force))
            stream.write(_page(learnt, rows, title, scan, least, other, quiet=quiet).encode())
        if plot:
            _draw(learnt[:top], rows[:top], stack, plot, title, least, other, force=force)
        if meme:
            stream = stack.enter_context(writing(meme, force=force))
            stream.write(meme_text(as_motifs(learnt, least)).encode())
        stream = stack.enter_context(writing(output, force=force))
        stream.write(_table(learnt, least, beside=bool(others)).encode())
    _tell(learnt, scan, least, quiet=quiet)


def _check_outputs(texts: list[str], picture: str | None, *, force: bool) -> None:
    """Refuse outputs that cannot be written before anything is read."""
    for path in texts:
        refuse_existing(path, force=force)
    if picture:
        check_picture("--plot", picture, force=force)
    refuse_same(*texts, picture)


def _motifs(path: str | None) -> "list[Motif]":
    from tfbind.motifs import motifs_in

    if path is None:
        return []
    with reading(path) as (stream, name):
        return motifs_in(stream, name)


def _tell_few(known: int, *, quiet: bool) -> None:
    from tfbind.interpret.matches import FEW

    if 0 < known < FEW:
        say(
            f"--motifs has {known} motif(s): p and q are rough below {FEW}; a whole database, such "
            "as JASPAR's, tells better what is expected by chance",
            quiet=quiet,
        )


def _scan(network: "Network", windows: "Iterator[Windows]", sample: int, *, quiet: bool) -> "Scan":
    """Slide the filters over all windows."""
    from tfbind.interpret.convolutions import convolutions
    from tfbind.interpret.learnt import Scan

    found = convolutions(network.model)
    width, window = max(one.width for one in found), network.contract.geometry.window
    if width > window:
        raise InputError(f"the window of {window} bp is smaller than its filters, {width} bp")
    (sequence,) = (one.name for one in network.contract.fed if one.source == "sequence")
    scan = Scan(found, sequence, sample)
    with progress("scan", "bins", total=None, quiet=quiet) as advance:
        for one in advancing(windows, advance, lambda one: len(one.batch)):
            scan.add(*one)
    return scan


def _influence(
    network: "Network",
    task: str,
    scan: "Scan",
    found: "list[Convolution]",
    *,
    quiet: bool,
) -> "list[npt.NDArray[np.float64]]":
    """Measure the influence of each filter on the kept windows."""
    from tfbind.interpret.influence import influences
    from tfbind.interpret.outputs import before_activation

    wanted = before_activation(network.model, network.contract, task)
    windows = scan.sample
    total = sum(len(one.names) for one in found) * len(next(iter(windows.values())))
    with progress("influence", "windows", total=total, quiet=quiet) as advance:
        return [influences(network.model, wanted, one, windows, advance) for one in found]


def _page(
    learnt: "list[Learnt]",
    rows: "Beside",
    title: str,
    scan: "Scan",
    least: int,
    other: str,
    *,
    quiet: bool,
) -> str:
    from tfbind.interpret.page import page

    explained = (
        f"{scan.bound:,} bins were taken as bound and {scan.unbound:,} as unbound. Influence is "
        "how much the output, before its activation, falls in bound bins when a filter says the "
        f"same everywhere. Logos of sites are of {least} sites or more. Motifs are compared by "
        "TOMTOM; q is the false discovery rate over all filters and known motifs. A filter that "
        "has sites in nearly all bins, bound or not, is unspecific, and so is what it is like."
    )
    with progress("draw", "logos", total=len(learnt) + len(rows), quiet=quiet) as advance:
        return page(
            learnt,
            rows,
            title=title,
            explained=explained,
            least=least,
            other=other,
            advance=advance,
        )


def _draw(
    learnt: "list[Learnt]",
    rows: "Beside",
    stack: ExitStack,
    path: str,
    title: str,
    least: int,
    other: str,
    *,
    force: bool,
) -> None:
    from tfbind.interpret.filter_pictures import draw_filters

    target = stack.enter_context(replacing(path, force=force))
    draw_filters(learnt, rows, target, kind=kind_of(path), title=title, least=least, other=other)


def _table(learnt: "list[Learnt]", least: int, *, beside: bool) -> str:
    header = (*HEADER, *(BESIDE if beside else ()))
    lines = ["\t".join(header)]
    for one in learnt:
        sites = one.sites
        enough = sites.count >= least
        cells = [one.name, str(len(one.weights)), f"{one.influence:.6g}", str(sites.count)]
        cells.append(f"{one.bits:.3f}" if enough else "NA")
        cells += [_number(sites.bound, ".4f"), _number(sites.unbound, ".4f")]
        cells += [*_match(one.by_sites), *_match(one.by_weights)]
        if beside:
            cells += _match(one.beside)
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _number(value: float, form: str) -> str:
    return "NA" if value != value else format(value, form)


def _match(match: "Match | None") -> list[str]:
    if match is None:
        return ["NA"] * 4
    return [match.motif.title, match.strand, f"{match.pvalue:.3g}", f"{match.qvalue:.3g}"]


def _tell(learnt: "list[Learnt]", scan: "Scan", least: int, *, quiet: bool) -> None:
    few = sum(one.sites.count < least for one in learnt)
    first = learnt[0]
    like = f", like {first.by_sites.motif.title}" if first.by_sites else ""
    say(
        f"{len(learnt)} filters in {scan.bound:,} bound and {scan.unbound:,} other bins; the most "
        f"influential is {first.name}, {first.influence:+.3f}{like}; {few} with fewer than {least} "
        "sites",
        quiet=quiet,
    )
