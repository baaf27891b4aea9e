"""What `tfbind train` learns from: tiles, parted, and the inputs among them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .places import regions_in
from .progress import say
from .streams import on_disk

if TYPE_CHECKING:
    from tfbind.contract import Input
    from tfbind.regions import Region
    from tfbind.tilefiles import TileFile
    from tfbind.tilesets import TileSet

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Material:
    """What is learnt from and chosen by.

    Attributes
    ----------
    files : list of TileFile
        To learn from.
    training, validation : TileSet
    regions : list of Region
        That were held out of the files; empty if validation has files of its own.
    inputs : list of Input
        With transforms fitted to the training part.
    """

    files: "list[TileFile]"
    training: "TileSet"
    validation: "TileSet"
    regions: "list[Region]"
    inputs: "list[Input]"

    def tell(self, *, quiet: bool) -> None:
        """Say what each part holds."""
        say(summary("training", self.training), quiet=quiet)
        say(summary("validation", self.validation), quiet=quiet)
        if left := self._left_out():
            shown = ", ".join(left)
            say(f"--tasks leaves out {shown}: bins of that class count as background", quiet=quiet)
        held_out = self.validation.tiles if self.regions else 0
        dropped = sum(map(len, self.files)) - self.training.tiles - held_out
        for name in self._unmeasured():
            say(
                f"{name} lacks bound or unbound bins in the validation part, and has no say in "
                "which epoch is the best",
                quiet=quiet,
            )
        if dropped:
            say(f"{dropped} tiles near the edge of a held-out region are in neither", quiet=quiet)

    def _left_out(self) -> "list[str]":
        """Name the classes that are not learnt; of bins with strands they exclude each other."""
        from tfbind.tilesets import tasks_of

        if not self.training.stranded:
            return []
        return [name for name in tasks_of(self.files) if name not in self.training.tasks]

    def _unmeasured(self) -> "list[str]":
        """Name the experiments that cannot be measured, if others can."""
        from tfbind.training import measurable

        found = measurable(self.validation)
        return [name for name in self.validation.tasks if name not in found] if found else []


def material(
    files: "list[TileFile]",
    validate: list[str],
    tasks: str | None,
    inputs: str | None,
    transform: list[str],
    seed: int,
    stack: ExitStack,
) -> Material:
    """Part tiles, choose inputs and fit their transforms, as options say."""
    from tfbind.trained import fitted

    training, validation, regions = parts(files, validate, tasks, seed, stack)
    chosen = chosen_inputs(files[0].contents.inputs, inputs)
    wanted = fitted(chosen, training, transforms(transform, chosen))
    return Material(files, training, validation, regions, wanted)


def tile_file(path: str, stack: ExitStack) -> "TileFile":
    """Map a file of tiles; what comes from a pipe is first kept in a file."""
    from tfbind.tilefiles import TileFile

    return TileFile(stack.enter_context(on_disk(path)))


def parts(
    files: "list[TileFile]", validate: list[str], names: str | None, seed: int, stack: ExitStack
) -> "tuple[TileSet, TileSet, list[Region]]":
    """Part tiles into those to learn from and those to choose by."""
    from tfbind.errors import InputError, three
    from tfbind.heldout import draw_regions
    from tfbind.tilesets import (
        TileSet,
        part_by_regions,
        refuse_overlap,
        require_alike,
        tasks_of,
    )

    held = [tile_file(text, stack) for text in validate if Path(text).is_file()]
    require_alike([*files, *held])
    if held and len(held) < len(validate):
        raise typer.BadParameter("found regions and files in --validate, expected one of the two")
    for file in held:
        refuse_overlap(files, file)
    tasks = _chosen_tasks(tasks_of([*files, *held]), names)
    if held:
        return TileSet(files, tasks=tasks), TileSet(held, tasks=tasks), []
    regions = regions_in("--validate", validate, {}) or draw_regions(
        files, VALIDATION_SHARE, seed, tasks
    )
    contigs = list(dict.fromkeys(name for file in files for name in file.contigs))
    for region in regions:
        if region.contig not in contigs:
            raise InputError(
                f"--validate {region} is neither a file nor on a contig of the tiles, which lie on "
                f"{three(contigs)}"
            )
    training, validation = part_by_regions(files, regions, tasks)
    if not validation.tiles:
        raise InputError(
            f"--validate {','.join(map(str, regions))} holds no tile; tiles lie in "
            f"{three(list(map(str, TileSet(files).regions([]))))}"
        )
    return training, validation, regions


def _chosen_tasks(held: "Sequence[str]", names: str | None) -> "Sequence[str]":
    """Give the experiments that are named, in that order, or all."""
    wanted = names.split(",") if names else held
    for name in wanted:
        if list(wanted).count(name) > 1:
            raise typer.BadParameter(f"--tasks names {name!r} twice")
        if name not in held:
            raise typer.BadParameter(f"no experiment {name!r}: the tiles hold {', '.join(held)}")
    return wanted


def chosen_inputs(held: "Sequence[Input]", names: str | None) -> "list[Input]":
    """Find the inputs that are named, or give all."""
    wanted = names.split(",") if names else [spec.name for spec in held]
    known = {spec.name: spec for spec in held}
    for name in wanted:
        if wanted.count(name) > 1:
            raise typer.BadParameter(f"--inputs names {name!r} twice")
        if name not in known:
            raise typer.BadParameter(f"no input {name!r}: the tiles hold {', '.join(known)}")
    return [known[name] for name in wanted]


def transforms(given: list[str], inputs: "Sequence[Input]") -> dict[str, str]:
    """Read the steps of each input's transform; those without a name are of all signals."""
    names = [spec.name for spec in inputs]
    signals = [spec.name for spec in inputs if spec.source == "signal"]
    told: dict[str, str] = {}  # by name, or by none
    for text in given:
        name, equals, steps = text.rpartition("=")
        if name in told:
            raise typer.BadParameter(f"--transform {text}: told already, {told[name]}")
        if not steps:
            raise typer.BadParameter(f"--transform {text!r}: found no step; give none for none")
        if equals and name not in names:
            raise typer.BadParameter(
                f"--transform {text}: no input {name!r}, but {', '.join(names)}"
            )
        if not equals and not signals:
            raise typer.BadParameter(f"--transform {text}: there is no signal among the inputs")
        told[name] = steps
    common = told.pop("", None)
    return ({} if common is None else dict.fromkeys(signals, common)) | told


def summary(part: str, tiles: "TileSet") -> str:
    """Say how many tiles and bins a part holds."""
    counts = ", ".join(
        f"{name}: {bound} bound, {ambiguous} ambiguous, {unbound} unbound"
        for name, (unbound, ambiguous, bound) in zip(
            tiles.tasks, tiles.label_counts().tolist(), strict=True
        )
    )
    known = dict.fromkeys(file.contents.cell for file in tiles.files)
    cells = ", ".join(name for name in known if name)
    return f"{part}: {tiles.tiles} tiles{cells and f' of {cells}'}; bins of {counts}"
