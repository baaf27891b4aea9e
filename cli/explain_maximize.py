"""`tfbind explain maximize`."""

import math
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .explain_windows import (
    Label,
    Marks,
    data_of,
    inside,
    labelled_windows,
    marks_in,
    require_extra,
    stretch_in,
)
from .explained import NetworkFile, Task, bins_of, opened, tell_unused
from .options import (
    Alias,
    Cell,
    ChrPrefix,
    Expression,
    Fasta,
    Files,
    Force,
    Missing,
    Output,
    Quiet,
    Seed,
    Signals,
    Threads,
)
from .pictures import check_picture, kind_of
from .progress import progress, say
from .streams import refuse_existing, refuse_same, replacing, writing
from .unread import refuse_unread

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from tfbind.channels.base import Array
    from tfbind.contract import Contract
    from tfbind.interpret.maximization import Ascent, Maximum
    from tfbind.interpret.maximum_pictures import Shown
    from tfbind.interpret.profiles import Span
    from tfbind.networks.files import Network

LARGE = 60
"""Base pairs that are drawn large."""

OF_BINS = ("label", "fasta", "signal", "channel", "expression", "missing", "alias", "chr_prefix")


def maximize(
    context: typer.Context,
    model: NetworkFile,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A network of another seed, to climb on too; may be repeated.",
        ),
    ] = None,
    task: Task = None,
    starts: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=1000, help="Starts; all but the first have noise."),
    ] = 16,
    noise: Annotated[
        float,
        typer.Option(
            metavar="SD",
            min=0,
            help="Standard deviation of the noise; that of one-hot bases is 0.433.",
        ),
    ] = 0.433,
    start: Annotated[
        float,
        typer.Option(
            metavar="VALUE",
            help="What all bases are in the first start: 0.25, each as likely as the others, or "
            "0.025 as in the source's experiment.",
        ),
    ] = 0.25,
    rate: Annotated[float, typer.Option(metavar="RATE", help="Of the gradient, in each step.")] = (
        0.01
    ),
    penalty: Annotated[
        float, typer.Option("--lambda", metavar="WEIGHT", min=0, help="Of the sum of squares.")
    ] = 0.01,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps.")] = 1000,
    hold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Hold a signal at this value, in the unit of its track; repeatable. Default: 0, "
            "as uncovered bases are.",
        ),
    ] = None,
    bins: Annotated[
        str | None,
        typer.Option(
            metavar="BED",
            help="Hold the other inputs at their mean over the windows of these bins; - is "
            "standard input.",
        ),
    ] = None,
    label: Label = "B",
    percentile: Annotated[
        float,
        typer.Option(
            metavar="P",
            min=0,
            max=100,
            help="In the logo and the motif, what is below this percentile is 0.",
        ),
    ] = 85,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="FROM:TO",
            help="Draw this stretch large, bp from the centre, ends included; default: the "
            "strongest 60 bp.",
        ),
    ] = None,
    mark: Marks = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw here: .png, .svg or .pdf.")
    ] = None,
    meme: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the stretch that is drawn large as a motif."),
    ] = None,
    fasta: Fasta = None,
    signal: Signals = None,
    channel: Files = None,
    cell: Cell = None,
    expression: Expression = None,
    missing: Missing = "error",
    alias: Alias = None,
    chr_prefix: ChrPrefix = None,
    seed: Seed = 1,
    output: Output = "-",
    force: Force = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Find the sequence that an output answers to most: activation maximization.

    Reads a network, and changes the bases of one window, as real numbers in the place of one-hot
    bases, so that f - lambda * (sum of squares) climbs, where f is the output before its
    activation. The first start is 0.25 everywhere, and the others have normal noise around that.
    Where a network's rectifiers are shut for such rows, a start has no gradient: it is left out,
    and told. With --also the starts of several networks are put together.

    Signals are held at 0 unless --hold or --bins say otherwise; vectors of the cell type at the
    mean of the training cells, or with --cell at the cell's own. Shape, which is looked up by
    pentamers, has no gradient, and is held at that of unknown bases.

    Writes a table with a header, parted by tabs: position (bp from the window's centre, which is
    the start of base 0), the mean over starts of A, C, G and T, and their standard deviations. The
    picture shows the mean along the window, a logo of the strongest stretch, and the spread there.

    For example:

    \b
        tfbind explain maximize tss.keras --task sharp --mark -35:-20 --plot sharp.png > sharp.tsv
        tfbind label --conservative peaks.narrowPeak bins.bed \\
          | tfbind explain maximize ctcf.keras --bins - --signal dnase=HeLa-S3.bw --plot ctcf.png
    """
    from tfbind.interpret.profiles import Span

    require_extra()
    refuse_same(output, meme, plot)
    for path in (output, meme):
        if path is not None:
            refuse_existing(path, force=force)
    if plot is not None:
        check_picture("--plot", plot, force=force)
    marks = [(Span(*where), name) for where, name in marks_in(mark)]
    wanted = None if show is None else Span(*stretch_in("--show", show))
    values = _values(hold or [])
    if hold and bins:
        raise typer.BadParameter("--hold and --bins both say what signals are held at: give one")
    _refuse_unread_of(context, plot, meme, bins)
    networks = [opened(path, threads) for path in (model, *(also or []))]
    _refuse_unlike(networks, also or [])
    contract = networks[0].contract
    from tfbind.interpret.held import constants, means
    from tfbind.interpret.logits import chosen_task
    from tfbind.interpret.maximization import Ascent
    from tfbind.interpret.maximum_pictures import draw_maximum

    chosen = chosen_task(contract.tasks, task)
    window = contract.geometry.window
    wanted = None if wanted is None else Span(*inside("--show", wanted, window))
    marks = [(Span(*inside("--mark", where, window)), name) for where, name in marks]
    if bins is None:
        tell_unused(contract, cell, quiet=quiet)
        held = constants(contract, values, cell or "")
        told = _held_told(contract, values)
    else:
        with bins_of(
            bins,
            contract,
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
        ) as opened_bins:
            windows = labelled_windows(opened_bins, label, chosen)
            some = (one for one in windows if one.chosen.any())
            held = means(_only(one.inputs, one.chosen) for one in some)
        told = f", other inputs at their mean in {label} bins of {data_of(bins)}"
    ascent = Ascent(rate, penalty, steps, start, noise, seed)
    rows = _climbed(networks, chosen, held, starts, ascent, quiet=quiet)
    shown = _shown(rows, percentile, wanted, marks)
    title = f"{Path(model).name}, output {chosen}{told}\n{_how(ascent, len(rows), len(networks))}"
    with ExitStack() as stack:
        if plot is not None:
            target = stack.enter_context(replacing(plot, force=force))
            draw_maximum(shown, target, kind=kind_of(plot), title=title)
        if meme is not None:
            stack.enter_context(writing(meme, force=force)).write(_motif(shown, chosen).encode())
        stack.enter_context(writing(output, force=force)).write(_table(shown).encode())


def _refuse_unread_of(
    context: typer.Context, plot: str | None, meme: str | None, bins: str | None
) -> None:
    """Refuse options of the picture, the motif and the bins where there are none."""
    if plot is None:
        refuse_unread(context, ["mark"], "is of the picture: give --plot")
        if meme is None:
            both = "is of the picture and the motif: give --plot or --meme"
            refuse_unread(context, ["show", "percentile"], both)
    if bins is None:
        refuse_unread(context, OF_BINS, "says how bins are read: give --bins BED, too")


def _values(hold: list[str]) -> dict[str, float]:
    """Read NAME=VALUE."""
    values = {}
    for text in hold:
        name, _, value = text.partition("=")
        if name in values:
            raise typer.BadParameter(f"found --hold {text}, but {name} is held already: give one")
        try:
            values[name] = float(value)
        except ValueError:
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise typer.BadParameter(f"found --hold {text}, expected NAME=VALUE, a finite number")
    return values


def _held_told(contract: "Contract", values: dict[str, float]) -> str:
    return "".join(
        f", {spec.name} held at {values.get(spec.name, 0.0):g}" for spec in contract.signals
    )


def _refuse_unlike(networks: "list[Network]", also: list[str]) -> None:
    first = networks[0].contract
    for network, path in zip(networks[1:], also, strict=True):
        other = network.contract
        if (other.geometry, other.fed, other.tasks) != (first.geometry, first.fed, first.tasks):
            raise InputError(
                "has another window, other inputs or other outputs than the first network; give "
                "networks that differ in their seed alone",
                path=path,
            )


def _only(inputs: "dict[str, Array]", chosen: "npt.NDArray[np.bool_]") -> "dict[str, Array]":
    return {name: values[chosen] for name, values in inputs.items()}


def _climbed(
    networks: "list[Network]",
    task: str,
    held: "dict[str, Array]",
    starts: int,
    ascent: "Ascent",
    *,
    quiet: bool,
) -> "npt.NDArray[np.float32]":
    """Climb on all networks; leave out, and tell of, the starts that had no gradient."""
    import numpy as np

    from tfbind.interpret.maximization import maximized

    total = ascent.steps * len(networks)
    with progress("climb", "steps", total=total, quiet=quiet) as advance:
        found = [
            maximized(one.model, one.contract, task, held, starts, ascent, advance)
            for one in networks
        ]
    moved = np.concatenate([one.moved for one in found])
    if not moved.any():
        raise InputError(
            f"none of {len(moved)} start(s) has a gradient: the network is shut for such rows; "
            "give more --starts, a larger --noise, another --start such as 0.025, or open "
            "chromatin by --hold or --bins"
        )
    _tell(found, moved, quiet=quiet)
    rows: npt.NDArray[np.float32] = np.concatenate([one.rows for one in found])[moved]
    return rows


def _tell(found: "Sequence[Maximum]", moved: "npt.NDArray[np.bool_]", *, quiet: bool) -> None:
    import numpy as np

    before, behind = (
        np.concatenate([getattr(one, name) for one in found])[moved]
        for name in ("before", "behind")
    )
    left = np.flatnonzero(~moved) + 1
    shut = f"; without a gradient, and left out: start(s) {', '.join(map(str, left))}"
    ends = [f"{one.mean():.2f}" for one in (before, behind)]
    if len(before) > 1:
        spread = (f"standard deviation over {len(before)} starts ", "")
        ends = [
            f"{end} ({what}{one.std():.2f})"
            for end, what, one in zip(ends, spread, (before, behind), strict=True)
        ]
    say(
        f"the output before its activation rose from {ends[0]} to {ends[1]}"
        + (shut if len(left) else ""),
        quiet=quiet,
    )


def _shown(
    rows: "npt.NDArray[np.float32]",
    percentile: float,
    near: "Span | None",
    marks: "list[tuple[Span, str]]",
) -> "Shown":
    """Choose what is drawn large."""
    from tfbind.interpret.maximum_pictures import Shown
    from tfbind.interpret.profiles import Span, strongest, thresholded

    if near is None:
        window = rows.shape[1]
        width = min(LARGE, window)
        found = strongest(thresholded(rows.mean(axis=0), percentile), width) - window // 2
        near = Span(found, found + width)
    return Shown(rows, percentile, near, marks)


def _how(ascent: "Ascent", starts: int, networks: int) -> str:
    of = f" of {networks} networks" if networks > 1 else ""
    return (
        f"{starts} start{'s' * (starts > 1)}{of}, {ascent.steps} steps, rate {ascent.rate:g}, "
        f"lambda {ascent.penalty:g}"
    )


def _table(shown: "Shown") -> str:
    import numpy as np

    names = ["position", *(f"{kind}_{base}" for kind in ("mean", "sd") for base in "ACGT")]
    values = np.concatenate([shown.rows.mean(axis=0), shown.spread], axis=1)
    lines = [
        "\t".join([str(place), *(f"{value:.6g}" for value in row)])
        for place, row in zip(shown.positions.tolist(), values.tolist(), strict=True)
    ]
    return "\n".join(["\t".join(names), *lines]) + "\n"


def _motif(shown: "Shown", task: str) -> str:
    from tfbind.interpret.filters import positive_frequencies
    from tfbind.meme import Counted, meme_text

    inside = (shown.positions >= shown.near.start) & (shown.positions < shown.near.end)
    name = f"{task}_{shown.near.start}:{shown.near.end - 1}"
    return meme_text([Counted(name, "", positive_frequencies(shown.mean[inside]))])
