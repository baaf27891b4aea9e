"""What the commands of `tfbind explain` open: a network, and bins with what they are read from."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tfbind.errors import InputError, RequestError

from .inputs import default_cell, open_sources, signal_files
from .keras_backend import load_keras
from .places import Prefix
from .progress import Tally, advancing, progress, say
from .run import wanted_files, wanted_signals
from .streams import STDIN_NAMES, on_disk, reading
from .unread import refuse_unread

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.contract import Contract
    from tfbind.interpret.attribution import Attributor
    from tfbind.interpret.explanation import Batches
    from tfbind.interpret.mutagenesis import Mutagenesis
    from tfbind.interpret.references import Reference
    from tfbind.networks.files import Network
    from tfbind.tiles import BinCheck, Stretches

NetworkFile = Annotated[str, typer.Argument(metavar="MODEL", help="A .keras file of tfbind train.")]
Task = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The output to explain, where the network has several."),
]
Method = Literal["deeplift", "gradient", "integrated", "mutagenesis"]
MethodName = Annotated[
    Method,
    typer.Option(
        metavar="deeplift|gradient|integrated|mutagenesis",
        help="DeepLIFT by its rescale rule; gradient times input; integrated gradients; or all "
        "three other bases in the place of each.",
    ),
]
ReferenceName = Annotated[
    Literal["background", "zeros"],
    typer.Option(
        metavar="background|zeros",
        help="What contributions are measured from: the frequencies of the bases, at every base; "
        "or no base.",
    ),
]
Frequencies = Annotated[
    str | None,
    typer.Option(
        metavar="A,C,G,T",
        help="The background; default: counted under the windows of all bins first, for which "
        "standard input is kept in a temporary file.",
    ),
]
Shuffles = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Measure from N shuffles of each window, which keep its counts of neighbouring bases, "
        "and average.",
    ),
]
Steps = Annotated[
    int, typer.Option(metavar="N", min=1, help="Points of the path of integrated gradients.")
]

WITHOUT_REFERENCE = ("gradient", "mutagenesis")


@dataclass(frozen=True)
class Asked:
    """How contributions are to be found."""

    task: str | None
    method: Method
    reference: Literal["background", "zeros"]
    frequencies: str | None
    shuffles: int | None
    steps: int
    seed: int

    def counts(self, contract: "Contract") -> bool:
        """Tell whether the background is to be counted, for which the bins are read twice."""
        flat = self.reference == "background" and self.frequencies is None
        reads = any(spec.source == "sequence" for spec in contract.inputs)
        return flat and reads and self.shuffles is None and self.method not in WITHOUT_REFERENCE

    def check(self) -> None:
        """Refuse options that do not go together, before anything is read."""
        if self.shuffles is not None and (self.frequencies or self.reference == "zeros"):
            raise typer.BadParameter("--shuffles is a reference of its own: drop the other")
        if self.frequencies and self.reference == "zeros":
            raise typer.BadParameter("--frequencies are those of --reference background")
        odd = self.shuffles is not None or self.frequencies or self.reference == "zeros"
        if odd and self.method in WITHOUT_REFERENCE:
            raise typer.BadParameter(f"--method {self.method} has no reference to choose")


def refuse_unread_of(context: typer.Context, asked: Asked) -> None:
    """Refuse options that the method or the reference does not read."""
    if asked.method != "integrated":
        refuse_unread(context, ["steps"], "is of --method integrated")
    if asked.shuffles is None:
        refuse_unread(context, ["seed"], "is of --shuffles")
    else:
        refuse_unread(context, ["reference"], "goes without --shuffles, a reference of its own")


@dataclass(frozen=True)
class Bins:
    """Bins, and what their windows are read from."""

    file: str
    name: str
    contract: "Contract"
    check: "BinCheck"
    sources: "Sources"
    stretches: "Stretches"

    def read(self) -> "Batches":
        """Read and check them, from the first on."""
        from tfbind.intervals import IntervalReader

        with reading(self.file, what="BED") as (stream, _):
            yield from map(self.check, IntervalReader(stream, self.name))

    def labelled(self, task: str | None) -> "Batches":
        """Read and check them, with the labels of a task in front of their further columns."""
        from tfbind.intervals import IntervalReader
        from tfbind.labels import labels_first

        with reading(self.file, what="BED") as (stream, _):
            reader = IntervalReader(stream, self.name)
            labelled = labels_first(reader, self.name, task, self.contract.tasks)
            yield from map(self.check, labelled)


@contextmanager
def bins_of(
    bed: str,
    contract: "Contract",
    *,
    fasta: str | None,
    signal: list[str] | None,
    channel: list[str] | None,
    cell: str | None,
    expression: str | None,
    missing: Literal["error", "skip", "zero"],
    alias: str | None,
    chr_prefix: Prefix,
    twice: bool,
    quiet: bool,
) -> Iterator[Bins]:
    """Open bins; those of a pipe that are to be read twice are kept in a temporary file."""
    from tfbind.tiles import BinCheck, Stretches

    given = signal_files(signal)
    files = wanted_signals(contract, given, quiet)
    others = wanted_files(contract, channel, expression, quiet=quiet)
    tell_unused(contract, cell, quiet=quiet)
    with ExitStack() as stack:
        file = str(stack.enter_context(on_disk(bed))) if twice else bed
        sources = open_sources(fasta, files, alias, chr_prefix, cell or default_cell(given), others)
        name = "standard input" if bed in STDIN_NAMES else bed
        check = BinCheck(contract.geometry, sources, name, missing, strands=contract.stranded)
        stretches = Stretches(contract.geometry, contract.inputs, sources)
        yield Bins(file, name, contract, check, sources, stretches)
    if check.skipped:
        say(f"{check.skipped:,} bins skipped on contigs without signal", quiet=quiet)
    if check.zeroed:
        say(f"{check.zeroed:,} bins with a signal of 0 for want of a contig", quiet=quiet)


def tell_unused(contract: "Contract", cell: str | None, *, quiet: bool) -> None:
    """Say that a cell type was named to a network that asks for none."""
    if cell is not None and not contract.wants_cell:
        say("the model does not use the cell type", quiet=quiet)


def opened(path: str, threads: int | None) -> "Network":
    """Read a network, quietly."""
    load_keras(threads=threads)
    import keras

    from tfbind.networks.files import load_network

    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"explaining takes gradients with TensorFlow, found KERAS_BACKEND="
            f"{keras.backend.backend()}; unset KERAS_BACKEND"
        )
    return load_network(path)


def method_of(
    network: "Network", path: str, task: str, asked: Asked, reference: "Reference"
) -> "Attributor | Mutagenesis":
    """Make ready what explains a task of a network."""
    from tfbind.interpret.attribution import Attributor
    from tfbind.interpret.mutagenesis import Mutagenesis

    try:
        if asked.method == "mutagenesis":
            return Mutagenesis(network, task)
        return Attributor(network, task, asked.method, reference, asked.steps)
    except InputError as error:
        if error.path is not None or type(error) is not InputError:
            raise
        raise InputError(error.message, path=path) from error


def reference_of(asked: Asked, bins: Bins, *, quiet: bool) -> "Reference":
    """Make the reference that is asked for."""
    from tfbind.interpret.references import Reference, background, nothing, zeros

    if asked.shuffles is not None:
        return Reference("shuffles", shuffles=asked.shuffles, seed=asked.seed)
    if asked.frequencies is not None:
        return background(_numbers(asked.frequencies))
    if not asked.counts(bins.contract):
        return zeros()
    shares = _counted(bins, quiet=quiet)
    if shares is None:  # no bins, which are explained all the same
        return nothing()
    shown = ",".join(f"{share:.4f}" for share in shares)
    say(f"background, counted under the windows: --frequencies {shown}", quiet=quiet)
    return background([float(one) for one in shown.split(",")])


def about_numbers(
    model: str, task: str, asked: Asked, reference: "Reference", bins: Bins
) -> dict[str, str]:
    """Say what the numbers are of, and what they hang on."""
    from hashlib import file_digest

    import tfbind

    with open(model, "rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    measured = {} if asked.method in WITHOUT_REFERENCE else {"reference": str(reference)}
    steps = {"steps": str(asked.steps)} if asked.method == "integrated" else {}
    signals = bins.sources.signals.items()
    return {
        "version": tfbind.__version__,
        "model": Path(model).name,
        "sha256": digest,
        "method": asked.method,
        "task": task,
        **measured,
        **steps,
        "genome": Path(bins.sources.genome.path).name,
        **{f"signal:{name}": Path(one.path).name for name, one in signals},
    }


def head_of(about: dict[str, str]) -> bytes:
    """Write it as the line above numbers."""
    parts = ["#tfbind", *(f"{name}={value}" for name, value in about.items())]
    return "\t".join(parts).encode() + b"\n"


def _numbers(text: str) -> list[float]:
    try:
        return [float(one) for one in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"found --frequencies {text}, expected four numbers A,C,G,T"
        ) from None


def _counted(bins: Bins, *, quiet: bool) -> list[float] | None:
    """Count the bases under the windows of all bins; None if there are none."""
    from tfbind.interpret.explanation import covering, cut
    from tfbind.interpret.references import counted
    from tfbind.tiles import Stretches

    sequences = [spec for spec in bins.contract.inputs if spec.source == "sequence"]
    stretches = Stretches(bins.contract.geometry, sequences, bins.sources)
    seen = Tally(lambda amount, note="": None)
    with progress("count bases", "bins", total=None, quiet=quiet) as advance:
        batches = advancing(bins.read(), advance, lambda one: len(one[0]))
        tiles = cut(batches, bins.contract, stretches, bins.name)
        counts = counted(
            tile.inputs[sequences[0].name][covering(tile.weights, bins.contract.geometry) > 0]
            for tile in advancing(tiles, seen, lambda one: one.bins)
        )
    bins.check.skipped = bins.check.zeroed = 0  # they are read again, and told then
    if not seen.total:
        return None
    if not counts.sum():
        raise InputError(
            "holds no bin with a known base under its window to count the background by; give "
            "--frequencies A,C,G,T",
            path=bins.name,
        )
    return [float(one) for one in counts / counts.sum()]


def tracks_of(contract: "Contract", method: str) -> list[str]:
    """Name the inputs that a method tells contributions of, base by base.

    Mutations are of bases alone.
    """
    from tfbind.interpret.explanation import names_along

    known = names_along(contract)
    if method == "mutagenesis":
        bases = [spec.name for spec in contract.inputs if spec.source == "sequence"]
        known = [name for name in known if name in bases]
        if not known:
            raise RequestError("--method mutagenesis changes bases, but the network reads none")
    return known
