"""`tfbind explain average`."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from tfbind.errors import InputError, three

from .explain_windows import Marks, data_of, inside, marks_in, stretch_in
from .explained import (
    WITHOUT_REFERENCE,
    Asked,
    Bins,
    Frequencies,
    MethodName,
    NetworkFile,
    ReferenceName,
    Shuffles,
    Steps,
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
    Output,
    Quiet,
    Seed,
    Signals,
    Threads,
)
from .options import Files as InputFiles
from .pictures import check_picture, kind_of
from .places import comma_list
from .progress import Advance, progress, say
from .streams import refuse_existing, refuse_same, replacing, writing
from .unread import refuse_unread

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tfbind.interpret.average import Moments
    from tfbind.interpret.average_pictures import Mark
    from tfbind.interpret.explanation import Explain
    from tfbind.intervals import Intervals
    from tfbind.networks.files import Network

ALL = "all"
"""The group of bins without a word in column 4."""

MOST_GROUPS = 8

HEADER = ("group", "task", "position", "input", "mean", "standard_error", "sites")


def average(
    context: typer.Context,
    model: NetworkFile,
    bed: BedInput = "-",
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The output to explain; default: the only one, or for each group the one of its "
            "name.",
        ),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Of the words in column 4 only these, in this order; may be repeated.",
        ),
    ] = None,
    method: MethodName = "deeplift",
    reference: ReferenceName = "background",
    frequencies: Frequencies = None,
    shuffles: Shuffles = None,
    steps: Steps = 50,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Draw the contributions of this input; default: the model's first.",
        ),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw a panel for each group, as .png, .svg or .pdf."),
    ] = None,
    mark: Marks = None,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="FROM:TO", help="Draw this stretch only, ends included; default: the window."
        ),
    ] = None,
    fasta: Fasta = None,
    signal: Signals = None,
    channel: InputFiles = None,
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
    """Average contributions over many sites, aligned at the centre of their bins.

    Reads bins, grouped by the word in column 4 if there is one, such as sharp and broad. Where the
    network reads strands, windows of bins with - in column 6 are reverse-complemented; others read
    all bins forward, as tfbind score does. Methods and references are those of tfbind explain
    attribute.

    Writes a line #tfbind on the model and the reference, a header, and a line for each group,
    position and input, parted by tabs: group, task, position (base pairs from the window's centre;
    the base right of it is 0), input, mean, standard_error, sites. --plot draws the means, a panel
    for each group.

    For example:

    \b
        tfbind explain average tss.keras sites.bed --groups sharp,broad --mark -35:-20=TATA \\
          --plot tss.contributions.png > tss.contributions.tsv
    """
    asked = Asked(task, method, reference, frequencies, shuffles, steps, seed)
    asked.check()
    refuse_unread_of(context, asked)
    if plot is None:
        refuse_unread(context, ["show"], "is of the picture: give --plot")
    marks = marks_in(mark)
    shown = None if show is None else stretch_in("--show", show)
    refuse_existing(output, force=force)
    refuse_same(output, plot)
    if plot is not None:
        check_picture("--plot", plot, force=force)
    network = opened(model, threads)
    known = tracks_of(network.contract, method)
    window = network.contract.geometry.window
    shown = None if shown is None else inside("--show", shown, window)
    marks = [(inside("--mark", where, window), name) for where, name in marks]
    if track is not None and track not in known:
        raise typer.BadParameter(f"found --track {track}, expected one of {', '.join(known)}")
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
        twice=asked.counts(network.contract),
        quiet=quiet,
    ) as bins:
        averages = _Averages(network, model, asked, bins, comma_list(groups), quiet)
        with progress("explain", "sites", total=None, quiet=quiet) as advance:
            averages.run(advance)
    with ExitStack() as stack:
        if plot is not None:
            part = stack.enter_context(replacing(plot, force=force))
            drawn = track or known[0]
            title = (
                f"{Path(model).name}: contributions of {drawn} by {averages.how}, {data_of(bed)}"
            )
            averages.draw(part, plot, drawn, [_made(one) for one in marks], shown, title)
        averages.write(stack.enter_context(writing(output, force=force)))
    averages.tell(track or known[0], marks)


Marked = tuple[tuple[int, int], str]


def _made(one: Marked) -> "Mark":
    from tfbind.interpret.average_pictures import Mark

    return Mark(*one)


@dataclass
class _Group:
    """What is known of one group of sites."""

    task: str
    explain: "Explain"
    moments: "Moments"


class _Averages:
    """Average the contributions of groups of sites."""

    def __init__(
        self,
        network: "Network",
        path: str,
        asked: Asked,
        bins: Bins,
        wanted: list[str],
        quiet: bool,
    ) -> None:
        self._network = network
        self._path = path
        self._asked = asked
        self._bins = bins
        self._wanted = wanted
        self._quiet = quiet
        self._reference = reference_of(asked, bins, quiet=quiet)
        measured = asked.method not in WITHOUT_REFERENCE
        self.how = f"{asked.method} from {self._reference}" if measured else asked.method
        self._groups: dict[str, _Group] = {}

    def run(self, advance: Advance) -> None:
        """Read all sites."""
        from tfbind.interpret.explanation import explained_windows

        tasks = self._network.contract.tasks
        task = tasks[0] if len(tasks) == 1 else self._asked.task
        for batch, names in self._bins.labelled(task):
            for word, chosen in self._parts(batch):
                group = self._group(word)
                some = [(batch.select(chosen), names)]
                bins = self._bins
                for part, explained in explained_windows(
                    some, group.explain, bins.contract, bins.stretches
                ):
                    group.moments.add(explained.contributions)
                    advance(len(part))
        if lacking := [word for word in self._wanted if word not in self._groups]:
            raise InputError(
                f"holds no bin with {lacking[0]!r} in column 4, which --groups asks for",
                path=self._bins.name,
            )
        if not self._groups:
            raise InputError("holds no bins to average over", path=self._bins.name)
        if self._wanted:
            self._groups = {word: self._groups[word] for word in self._wanted}

    def _parts(self, batch: "Intervals") -> "list[tuple[str, npt.NDArray[np.bool_]]]":
        """Part a batch by the words in column 4."""
        import numpy as np
        import pyarrow.compute as pc

        if not batch.extra:
            return [(ALL, np.ones(len(batch), bool))] if len(batch) else []
        words = [one.decode("utf-8", "replace") for one in pc.unique(batch.extra[0]).to_pylist()]
        chosen = [word for word in words if not self._wanted or word in self._wanted]
        return [(word, np.asarray(pc.equal(batch.extra[0], word.encode()))) for word in chosen]

    def _group(self, word: str) -> _Group:
        """Make ready what explains a group, on the task of its name if none is asked for."""
        from tfbind.interpret.average import Moments
        from tfbind.interpret.explanation import by
        from tfbind.interpret.logits import chosen_task

        if word in self._groups:
            return self._groups[word]
        if len(self._groups) == MOST_GROUPS:
            raise InputError(
                f"holds more than {MOST_GROUPS} words in column 4; choose some by --groups",
                path=self._bins.name,
            )
        tasks = self._network.contract.tasks
        wanted = self._asked.task
        wanted = word if wanted is None and word in tasks else wanted
        if wanted is None and word != ALL and len(tasks) > 1:
            raise InputError(
                f"holds bins with {word!r} in column 4, which is none of the outputs "
                f"{three(tasks)}; choose groups by --groups, or an output by --task",
                path=self._bins.name,
            )
        task = chosen_task(tasks, wanted)
        explain = next((one.explain for one in self._groups.values() if one.task == task), None)
        if explain is None:
            made = method_of(self._network, self._path, task, self._asked, self._reference)
            explain = by(made)
        self._groups[word] = _Group(task, explain, Moments())
        return self._groups[word]

    def write(self, stream: BinaryIO) -> None:
        """Write the table."""
        from tfbind.interpret.average import positions
        from tfbind.interpret.explanation import names_along

        tasks = ",".join(dict.fromkeys(group.task for group in self._groups.values()))
        about = about_numbers(self._path, tasks, self._asked, self._reference, self._bins)
        stream.write(head_of(about) + "\t".join(HEADER).encode() + b"\n")
        places = positions(self._network.contract.geometry.window)
        for word, group in self._groups.items():
            for name in names_along(self._network.contract):
                if name not in group.moments.mean:
                    continue
                profile = group.moments.profile(name)
                for place, mean, error in zip(places, profile.mean, profile.error, strict=True):
                    row = (word, group.task, place, name, f"{mean:.6g}", f"{error:.6g}")
                    line = "\t".join(map(str, (*row, profile.sites)))
                    stream.write(line.replace("\tnan\t", "\tNA\t").encode() + b"\n")

    def draw(
        self,
        part: Path,
        picture: str,
        name: str,
        marks: "list[Mark]",
        shown: tuple[int, int] | None,
        title: str,
    ) -> None:
        """Draw the panels."""
        from tfbind.interpret.average_pictures import draw_profiles

        profiles = {
            f"{word}: output {group.task} before its activation": group.moments.profile(name)
            for word, group in self._groups.items()
        }
        draw_profiles(profiles, marks, part, kind=kind_of(picture), title=title, shown=shown)

    def tell(self, name: str, marks: list[Marked]) -> None:
        """Say how many sites there were, and what the marked regions contribute."""
        from tfbind.interpret.average import inside

        for word, group in self._groups.items():
            profile = group.moments.profile(name)
            shares = [f"{word}: {profile.sites:,} sites, {profile.mean.sum():.3f} in all"]
            for region, called in marks:
                own = profile.mean[inside(len(profile.mean), region)]
                shares.append(f"{called} {own.sum():.3f}")
            say("; ".join(shares), quiet=self._quiet)
