"""`tfbind train`."""

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .keras_backend import load_keras
from .options import Force, Quiet, Seed
from .places import regions_in
from .progress import progress, say
from .streams import on_disk, replacing, writing

if TYPE_CHECKING:
    import keras

    from tfbind.contract import Input
    from tfbind.regions import Region
    from tfbind.tilefiles import TileFile
    from tfbind.tilesets import TileSet
    from tfbind.training import History, Settings

VALIDATION_SHARE = 0.1


def train(
    tiles: Annotated[
        list[str], typer.Argument(metavar="TILES", help="Files from tfbind features.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the .keras file here.")
    ],
    arch: Annotated[
        str, typer.Option(metavar="NAME", help="The architecture: shallow.")
    ] = "shallow",
    inputs: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Inputs to learn from; default: all that the tiles hold."),
    ] = None,
    transform: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]STEPS",
            help="Of signals, or of the one named: none, or some of rank (as the training cells "
            "have it), clip:VALUE, percentile:P (divide by it; of covered bases), log1p, zscore "
            "(of all bases of the training tiles), in this order, parted by commas; repeatable. "
            "Default: log1p.",
        ),
    ] = None,
    validate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGIONS|TILES",
            help="What to choose the best epoch by: regions held out of the training, such as "
            "chr9,chr10:1-20000000, or files of tiles; repeatable. Default: a tenth of the bins, "
            "in whole megabases.",
        ),
    ] = None,
    ambiguous: Annotated[
        Literal["drop", "unbound"],
        typer.Option(metavar="drop|unbound", help="What ambiguous bins are in training."),
    ] = "drop",
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Most passes.")] = 50,
    patience: Annotated[
        int, typer.Option(metavar="N", min=1, help="Passes without a better AUPRC before the end.")
    ] = 10,
    batch: Annotated[int, typer.Option(metavar="BINS", min=8, help="Bins in a step.")] = 256,
    learning_rate: Annotated[
        float, typer.Option(metavar="RATE", min=0, help="Of the Adam optimiser.")
    ] = 1e-3,
    focal: Annotated[
        float,
        typer.Option(
            metavar="GAMMA",
            min=0,
            help="Learn by the focal loss of this gamma, such as 2; 0: cross-entropy.",
        ),
    ] = 0.0,
    one_strand: Annotated[
        bool, typer.Option("--one-strand", help="Do not show reverse complements in training.")
    ] = False,
    seed: Seed = 1,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Train a network on tiles, of one or many cell types.

    Every batch mixes cell types and regions. Bound bins weigh as much as all unbound ones
    together. The epoch with the best AUPRC on the validation part is kept; Ctrl-C and SIGTERM stop
    early, with status 130, and keep the best so far.

    Writes a .keras file with the model's contract inside, and beside it a .history.tsv of the
    same name with a line for each epoch.

    For example:

        tfbind train hela.tiles gm12878.tiles --validate chr9 -o ctcf.keras
    """
    if Path(output).suffix != ".keras":
        raise typer.BadParameter(f"found -o {output}, expected a name that ends in .keras")
    if batch % 8:
        raise typer.BadParameter(f"found --batch {batch}, expected a multiple of 8 bins")
    record = str(Path(output).with_suffix(".history.tsv"))
    # A batch system ends a job by SIGTERM; the best network so far is kept then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load_keras()
    import keras

    from tfbind.networks import architecture
    from tfbind.networks.files import Network, save_network
    from tfbind.trained import check_tiles, contract_of, fitted
    from tfbind.training import Settings, history_tsv

    settings = Settings(
        epochs, patience, batch, learning_rate, ambiguous, not one_strand, focal, seed
    )
    build = architecture(arch).build
    with ExitStack() as stack:
        # Both are claimed before the work is done for them.
        part = stack.enter_context(replacing(output, force=force))
        table = stack.enter_context(writing(record, force=force))
        files = [_tile_file(path, stack) for path in tiles]
        training, validation, regions = _parts(files, validate or [], seed, stack)
        contents = files[0].contents
        chosen = _chosen_inputs(contents.inputs, inputs)
        wanted = fitted(chosen, training, _transforms(transform or [], chosen))
        keras.utils.set_random_seed(seed)
        model = build(wanted, contents.geometry, len(training.tasks))
        say(_summary("training", training), quiet=quiet)
        say(_summary("validation", validation), quiet=quiet)
        dropped = sum(map(len, files)) - training.tiles - (validation.tiles if regions else 0)
        if dropped:
            say(f"{dropped} tiles near the edge of a held-out region are in neither", quiet=quiet)
        history = _fit(model, wanted, training, validation, settings, quiet)
        contract = contract_of(
            model, arch, wanted, training, validation, regions, settings, history
        )
        save_network(Network(model, contract, check_tiles(validation)), part)
        table.write(history_tsv(history).encode())
    best = history.epochs[history.best - 1]
    kept = f"{history.ended}; kept" if history.ended else "kept"
    say(
        f"{kept} epoch {best.number} with a validation AUPRC of {best.validation_auprc:.4f} in "
        f"{output}",
        quiet=quiet,
    )
    if history.ended == "interrupted":
        raise KeyboardInterrupt


def _tile_file(path: str, stack: ExitStack) -> "TileFile":
    """Map a file of tiles; what comes from a pipe is first kept in a file."""
    from tfbind.tilefiles import TileFile

    return TileFile(stack.enter_context(on_disk(path)))


def _parts(
    files: "list[TileFile]", validate: list[str], seed: int, stack: ExitStack
) -> "tuple[TileSet, TileSet, list[Region]]":
    """Part tiles into those to learn from and those to choose by."""
    from tfbind.errors import InputError, three
    from tfbind.tilesets import (
        TileSet,
        draw_regions,
        part_by_regions,
        refuse_overlap,
        require_alike,
        tasks_of,
    )

    held = [_tile_file(text, stack) for text in validate if Path(text).is_file()]
    require_alike([*files, *held])
    if held and len(held) < len(validate):
        raise typer.BadParameter("found regions and files in --validate, expected one of the two")
    for file in held:
        refuse_overlap(files, file)
    tasks = tasks_of([*files, *held])
    if held:
        return TileSet(files, tasks=tasks), TileSet(held, tasks=tasks), []
    regions = regions_in("--validate", validate, {}) or draw_regions(files, VALIDATION_SHARE, seed)
    contigs = list(dict.fromkeys(name for file in files for name in file.contigs))
    for region in regions:
        if region.contig not in contigs:
            raise InputError(
                f"--validate {region} is neither a file nor on a contig of the tiles, which lie on "
                f"{three(contigs)}"
            )
    return *part_by_regions(files, regions), regions


def _chosen_inputs(held: "Sequence[Input]", names: str | None) -> "list[Input]":
    wanted = names.split(",") if names else [spec.name for spec in held]
    known = {spec.name: spec for spec in held}
    for name in wanted:
        if wanted.count(name) > 1:
            raise typer.BadParameter(f"--inputs names {name!r} twice")
        if name not in known:
            raise typer.BadParameter(f"no input {name!r}: the tiles hold {', '.join(known)}")
    return [known[name] for name in wanted]


def _transforms(given: list[str], inputs: "Sequence[Input]") -> dict[str, str]:
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


def _summary(part: str, tiles: "TileSet") -> str:
    counts = ", ".join(
        f"{name}: {bound} bound, {ambiguous} ambiguous, {unbound} unbound"
        for name, (unbound, ambiguous, bound) in zip(
            tiles.tasks, tiles.label_counts().tolist(), strict=True
        )
    )
    cells = ", ".join(dict.fromkeys(file.contents.cell for file in tiles.files))
    return f"{part}: {tiles.tiles} tiles of {cells}; bins of {counts}"


def _fit(
    model: "keras.Model",
    inputs: "list[Input]",
    training: "TileSet",
    validation: "TileSet",
    settings: "Settings",
    quiet: bool,
) -> "History":
    """Fit, showing steps on a terminal and a line for each epoch anywhere."""
    from tfbind.tiles import PIECE
    from tfbind.training import Epoch, fit

    done: list[Epoch] = []

    def tell(epoch: Epoch) -> None:
        done.append(epoch)
        say(
            f"epoch {epoch.number}: {epoch.seconds:.0f} s, loss {epoch.loss:.4f}, validation loss "
            f"{epoch.validation_loss:.4f}, validation AUPRC {epoch.validation_auprc:.4f}",
            quiet=quiet,
        )

    total = training.pieces * PIECE * settings.epochs
    with progress("training", "bins", total=total, quiet=quiet) as advance:

        def step(bins: int, loss: float) -> None:
            advance(bins, f"epoch {len(done) + 1}, loss {loss:.4f}")

        return fit(model, inputs, training, validation, settings, step, tell)
