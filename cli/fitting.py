"""How `tfbind train` builds a network, fits it and leaves it behind."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfbind.errors import InputError, RequestError

from .checkpoint import Outputs, digest, leave_complete
from .config import Told
from .epochs import display, stopping
from .learning import Material
from .pictures import kind_of
from .progress import say
from .starting import Start
from .streams import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from tfbind.checkpoints import Checkpoint
    from tfbind.history import History


def keywords_of(wanted: Told, keep: str | None) -> dict[str, Any]:
    """Give what the file of configuration and `--keep` say of the network, checked."""
    import inspect

    from tfbind.configuration import keywords
    from tfbind.networks import architecture

    build = architecture(wanted.arch).build
    told = keywords(wanted.configuration, wanted.arch, build)
    if keep is None:
        return told
    if "keep" not in inspect.signature(build).parameters:
        raise RequestError(f"--keep is nothing to {wanted.arch}: give --arch tss or tss-lstm")
    if not keep.strip():
        raise RequestError("found an empty --keep, expected FROM:TO,... such as -35:-20,-10:10")
    return told | {"keep": keep}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes
    ----------
    wanted : Told
    network : mapping
        Keywords of the architecture.
    about : mapping of str to str
        All that the network depends on.
    notes : mapping
        What else is to stand in the contract.
    outputs : Outputs
    quiet : bool
    """

    wanted: Told
    network: Mapping[str, Any]
    about: Mapping[str, str]
    notes: Mapping[str, Any]
    outputs: Outputs
    quiet: bool

    def __call__(
        self, material_of: Callable[[], Material], start_of: Callable[[Material], Start]
    ) -> None:
        """Train, write what is to be written, and say what was kept."""
        from tfbind.checkpoints import Checkpoint

        outputs = self.outputs
        checkpoint = Checkpoint(outputs.checkpoint, self.about)
        if outputs.resume:
            checkpoint.refuse_other()
        # The picture's place is claimed before the work, and drawn in once the network is in its
        # own: whatever is wrong with the one takes nothing from the other.
        with outputs.writing_picture() as picture:
            try:
                history, tasks = self._learn(checkpoint, material_of, start_of)
            except KeyboardInterrupt:
                kept = "--resume goes on" if checkpoint.path.exists() else "nothing is kept"
                say(f"interrupted before a network was written; {kept}", quiet=self.quiet)
                raise
            if history.ended != "interrupted":
                checkpoint.remove()
            if picture is not None:
                _draw(history, tasks, outputs, picture)
        _end(history, outputs.network, resumable=checkpoint.path.exists(), quiet=self.quiet)

    def _learn(
        self,
        checkpoint: "Checkpoint",
        material_of: Callable[[], Material],
        start_of: Callable[[Material], Start],
    ) -> "tuple[History, Sequence[str]]":
        """Build a network, fit it, and write it with its history; give that and the tasks."""
        import keras

        from tfbind.history import history_csv

        outputs, wanted, quiet = self.outputs, self.wanted, self.quiet
        with ExitStack() as stack:
            # Both are made before the work is done for them.
            part = stack.enter_context(outputs.writing_network())
            table = stack.enter_context(outputs.writing_history())
            learnt = material_of()
            start = start_of(learnt)
            keras.utils.set_random_seed(wanted.settings.seed)
            model = _built(learnt, self.network, wanted)
            learnt.tell(quiet=quiet)
            _tell_unlike(wanted.arch, learnt, quiet=quiet)
            resumed = outputs.resume and outputs.checkpoint.exists()
            start.weigh(model, wanted.arch, learnt, wanted.settings, resumed=resumed, quiet=quiet)
            history = _fit(model, learnt, wanted, checkpoint, quiet=quiet)
            notes = {**self.notes, **start.told()}
            if history.ended != "interrupted":
                notes["run"] = digest(self.about)
            _save(model, learnt, wanted, history, self.network, notes, part)
            table.write(history_csv(history, learnt.training.tasks).encode())
        return history, learnt.training.tasks


def leave(outputs: Outputs, about: Mapping[str, str], *, quiet: bool) -> None:
    """Leave a network that is done as it is; only its picture is drawn, if one is wanted."""
    from tfbind.history import read_history

    best = leave_complete(outputs.network, about, quiet=quiet)
    with outputs.writing_picture() as picture:
        if picture is not None:
            with reading(outputs.history) as (stream, path):
                history, tasks = read_history(stream, path, best)
            _draw(history, tasks, outputs, picture)


def _tell_unlike(arch: str, learnt: Material, *, quiet: bool) -> None:
    """Say where bins are not those that a network of start sites is made for."""
    from tfbind.networks import architecture

    contents, made_for = learnt.files[0].contents, architecture(arch).geometry
    if arch.startswith("tss") and not (contents.stranded and contents.geometry == made_for):
        strands = "" if contents.stranded else ", and no strands"
        say(
            f"{arch} is made for windows of {made_for.window} bp with strands, as those of sample "
            f"--cage and features --window {made_for.window} --stride {made_for.stride}; these "
            f"have {contents.geometry.window:,} bp{strands}",
            quiet=quiet,
        )


def _built(learnt: Material, network: Mapping[str, Any], wanted: Told) -> "keras.Model":
    """Build the network, and say what in a file of configuration makes none."""
    from tfbind.networks import architecture

    build = architecture(wanted.arch).build
    geometry, tasks = learnt.files[0].contents.geometry, len(learnt.training.tasks)
    try:
        return build(learnt.inputs, geometry, tasks, **network)
    except (ValueError, TypeError, ArithmeticError, RequestError) as error:
        if not wanted.configuration.path:
            raise
        said = " ".join(str(error).split()).removeprefix(f"{wanted.arch}: ")
        raise InputError(
            f"[network] makes no network of {wanted.arch}: {said}", path=wanted.configuration.path
        ) from error


def _fit(
    model: "keras.Model", learnt: Material, wanted: Told, checkpoint: "Checkpoint", *, quiet: bool
) -> "History":
    """Fit, and show it."""
    from tfbind.fits import fit_of

    fit = fit_of(wanted.arch)
    parts = learnt.training, learnt.validation
    bins = learnt.training.pieces * learnt.training.bins
    tasks = len(learnt.training.tasks)
    with display(bins, wanted.settings.epochs, tasks, quiet=quiet) as shown, stopping() as look:

        def step(bins: int, loss: float) -> None:
            shown.step(bins, loss)
            look()

        return fit(model, learnt.inputs, *parts, wanted.settings, step, shown.epoch, checkpoint)


def _save(
    model: "keras.Model",
    learnt: Material,
    wanted: Told,
    history: "History",
    network: Mapping[str, Any],
    notes: Mapping[str, Any],
    part: Path,
) -> None:
    """Write the network with its contract, and tiles to check it by."""
    from tfbind.networks.files import Network, save_network
    from tfbind.trained import check_tiles, contract_of

    contract = contract_of(
        model,
        wanted.arch,
        learnt.inputs,
        learnt.training,
        learnt.validation,
        learnt.regions,
        wanted.settings,
        history,
        network,
        notes,
    )
    save_network(Network(model, contract, check_tiles(learnt.validation)), part)


def _draw(history: "History", tasks: "Sequence[str]", outputs: Outputs, picture: Path) -> None:
    from tfbind.curves import draw_history

    title = f"{Path(outputs.network).name}: training"
    draw_history(history, picture, kind=kind_of(str(picture)), tasks=tasks, title=title)


def _end(history: "History", output: str, *, resumable: bool, quiet: bool) -> None:
    """Say what was kept."""
    best = history.epochs[history.best - 1]
    kept = f"{history.ended}; kept" if history.ended else "kept"
    on = "; --resume goes on" if history.ended == "interrupted" and resumable else ""
    say(
        f"{kept} epoch {best.number} with a validation AUPRC of {best.validation_auprc:.4f} in "
        f"{output}{on}",
        quiet=quiet,
    )
    if history.ended == "interrupted":
        raise KeyboardInterrupt
