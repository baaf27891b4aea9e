"""Where a network that `tfbind train` makes starts from: motifs, ChIP signal."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .places import Prefix, alias_in, comma_list
from .progress import progress, say
from .streams import STDIN_NAMES, reading

if TYPE_CHECKING:
    import keras

    from tfbind.motifs import Motif
    from tfbind.pretraining import Pass, Tracks
    from tfbind.settings import Settings

    from .learning import Material

JASPAR = "jaspar:"

Init = Annotated[
    str | None,
    typer.Option(
        metavar="jaspar:ID,ID|FILE[:ID,ID]",
        help="Start the first filters of the first convolution from motifs and their reverse "
        "complements: accessions, or names if only one motif has it, in --motifs; or a file in the "
        "format of MEME or JASPAR.",
    ),
]
Motifs = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        envvar="TFBIND_MOTIFS",
        help="The motifs that --init jaspar:... names, in the format of MEME or JASPAR; default: "
        "those of pyjaspar, if it is installed.",
    ),
]
Pretrain = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[[CELL:]NAME=]BIGWIG",
        help="Learn ChIP signal first: ln(1 + x) of its mean in each bin, by regression; then "
        "bound bins, with new last layers. NAME is the experiment, CELL the cell type of the "
        "tiles; either may be left out where there is one. Repeatable.",
    ),
]
PretrainEpochs = Annotated[
    int, typer.Option(metavar="N", min=1, help="Most passes over the tiles for --pretrain.")
]


@dataclass(frozen=True)
class Start:
    """What a network starts from.

    Attributes
    ----------
    motifs : list of Motif
    motifs_of : str
        The file that they are from, or the release of JASPAR.
    tracks : mapping of (str, str) to Signal
        ChIP signal by cell type and task.
    epochs : int
        Most passes over it.
    alias, prefix
        How contigs of the tiles are found in the tracks, as in `genome.ContigNames`.
    """

    motifs: "list[Motif]"
    motifs_of: str
    tracks: "Tracks"
    epochs: int
    alias: Mapping[str, str] = field(default_factory=dict)
    prefix: Prefix = None

    def told(self) -> dict[str, Any]:
        """Say what is to stand in the contract."""
        tracks = {
            f"{cell}:{task}": Path(one.path).name for (cell, task), one in self.tracks.items()
        }
        motifs = {"init": [one.title for one in self.motifs], "init_from": self.motifs_of}
        return {
            **(motifs if self.motifs else {}),
            **({"pretrain": tracks, "pretrain_epochs": self.epochs} if tracks else {}),
        }

    def weigh(
        self,
        model: "keras.Model",
        arch: str,
        learnt: "Material",
        settings: "Settings",
        *,
        resumed: bool,
        quiet: bool,
    ) -> None:
        """Give a new network its first weights; where it goes on from others, only check it."""
        from tfbind.networks import architecture
        from tfbind.starts import start_from_motifs

        if self.tracks and not architecture(arch).by_gradient:
            raise typer.BadParameter(
                f"{arch} is not fitted step by step, so --pretrain is nothing to it: leave it out"
            )
        if self.motifs:
            networks = start_from_motifs(model, self.motifs, arch)
            if not resumed:
                names = ", ".join(one.title for one in self.motifs)
                each = f" of each of {networks} members" if networks > 1 else ""
                say(
                    f"{2 * len(self.motifs)} filters{each} start from {names}, both strands",
                    quiet=quiet,
                )
        if self.tracks and not resumed:
            _pretrain(self, model, learnt, settings, quiet=quiet)


def start_of(
    init: str | None,
    motifs: str | None,
    pretrain: list[str] | None,
    epochs: int,
    learnt: "Material",
    alias: str | None = None,
    prefix: Prefix = None,
) -> Start:
    """Read what the options say, before there is a network."""
    found, source = ([], "") if init is None else initial_motifs(init, motifs)
    tracks = chip_tracks(pretrain or [], learnt)
    return Start(found, source, tracks, epochs, alias_in(alias), prefix)


def files_of(
    init: str | None, motifs: str | None, pretrain: Sequence[str] | None
) -> dict[str, str]:
    """Fingerprint the files that a start depends on, each by its name."""
    from tfbind.journal import fingerprint

    parts = [init or "", _parted(init or "")[0], motifs or ""]
    for text in pretrain or []:
        parts += [text, text.partition("=")[2]]
    return {f"the file {path}": fingerprint(path) for path in parts if Path(path).is_file()}


def initial_motifs(init: str, motifs: str | None) -> "tuple[list[Motif], str]":
    """Read the motifs that `--init` names, jaspar:ID,ID or FILE[:ID,ID], and tell their source."""
    from tfbind.jaspar import jaspar_motifs
    from tfbind.motifs import choose, motifs_in

    path, names = (motifs, init.removeprefix(JASPAR)) if init.startswith(JASPAR) else _parted(init)
    chosen = comma_list([names])
    if not chosen and (init.startswith(JASPAR) or names):
        raise typer.BadParameter(f"--init {init} names no motif, expected such as jaspar:MA0139.2")
    if path is None:
        return jaspar_motifs(chosen)
    with ExitStack() as stack:
        stream, name = stack.enter_context(reading(path, what="motifs"))
        found = motifs_in(stream, name)
        return choose(found, chosen, name) if chosen else found, Path(name).name


def _parted(init: str) -> tuple[str, str]:
    """Part FILE:ID,ID; a file may have a colon in its name."""
    path, colon, names = init.rpartition(":")
    if not colon or init in STDIN_NAMES or Path(init).exists():
        return init, ""
    return path, names or ","


def chip_tracks(given: Sequence[str], learnt: "Material") -> "Tracks":
    """Open the bigWigs that `--pretrain` names, by cell type and task."""
    from tfbind.signal import Signal

    tasks = learnt.training.tasks
    cells = tuple(dict.fromkeys([*learnt.training.cells, *learnt.validation.cells]))
    files: dict[tuple[str, str], str] = {}
    if given and learnt.training.stranded:
        raise typer.BadParameter(
            "--pretrain learns ChIP signal, which has no strands: it goes with tiles without them"
        )
    for text in given:
        named, equals, path = ("", "", text) if Path(text).exists() else text.partition("=")
        if not equals:
            named, path = "", text
        cell, _, task = named.rpartition(":")
        key = (
            _one_of(cell, cells, text, "cell type", "CELL:NAME=FILE"),
            _one_of(task, tasks, text, "experiment", "NAME=FILE"),
        )
        if key in files:
            raise typer.BadParameter(
                f"--pretrain {text}: {key[1]} in {key[0]} has {files[key]} already"
            )
        files[key] = path
    return {key: Signal(path) for key, path in files.items()}


def _one_of(name: str, known: Sequence[str], text: str, what: str, form: str) -> str:
    """Find a name, or the only one if none is given."""
    if name in known:
        return name
    if not name and len(known) == 1:
        return known[0]
    found = f"no {what} {name!r}" if name else f"it names no {what}"
    raise typer.BadParameter(
        f"--pretrain {text}: {found}, but the tiles are of {', '.join(known)}; give {form}"
    )


def _pretrain(
    start: Start, model: "keras.Model", learnt: "Material", settings: "Settings", *, quiet: bool
) -> None:
    """Learn ChIP signal, with a line for each pass."""
    from tfbind.pretraining import pretrain

    done: list[Pass] = []

    def tell(one: "Pass") -> None:
        done.append(one)
        say(
            f"pretraining {one.number}: {one.seconds:.0f} s, squared error {one.error:.4f}, of "
            f"validation {one.validation_error:.4f}",
            quiet=quiet,
        )

    training = learnt.training
    total = training.pieces * training.bins * start.epochs
    with progress("pretraining", "bins", total=total, quiet=quiet) as advance:

        def step(bins: int, error: float) -> None:
            advance(bins, f"{len(done) + 1}, squared error {error:.4f}")

        made = pretrain(
            model,
            learnt.inputs,
            training,
            learnt.validation,
            start.tracks,
            settings,
            start.epochs,
            step,
            tell,
            alias=start.alias,
            prefix=start.prefix,
        )
    say(
        f"starts from pretraining {made.best.number}, whose squared error of ChIP signal is "
        f"{made.best.validation_error:.4f} of its variance",
        quiet=quiet,
    )
    if made.best.validation_error >= 1:
        say(
            "pretraining learnt nothing that holds for validation: who always gives the mean has "
            "an error of 1; --pretrain may do harm here: give it more --pretrain-epochs, another "
            "--learning-rate, or leave it out",
            quiet=False,
        )
