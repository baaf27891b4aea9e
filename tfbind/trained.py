"""What a network carries with it once it is trained: its contract, and tiles to check it by."""

import inspect
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

import tfbind
from tfbind.channels import channel
from tfbind.contract import Contract, Input
from tfbind.labels import BOUND
from tfbind.networks import architecture, scans
from tfbind.networks.heads import learnt_of
from tfbind.regions import Region
from tfbind.tilefiles import write_tiles
from tfbind.tiles import Tile
from tfbind.tilesets import TileSet
from tfbind.training import History, Settings


def fitted(inputs: Sequence[Input], training: TileSet, wanted: Mapping[str, str]) -> list[Input]:
    """Fit the transforms of inputs to the training part.

    Parameters
    ----------
    inputs : sequence of Input
    training : TileSet
    wanted : mapping of str to str
        What `--transform` says, by input.

    Raises
    ------
    InputError
        If a transform cannot be understood or fitted.
    """
    return [channel(spec).fitted(training, wanted.get(spec.name, "")) for spec in inputs]


def check_tiles(validation: TileSet, most: int = 8) -> bytes:
    """Keep a few validation tiles to check an exported network by, half of them with bound bins.

    All are of one file, as they share its cell type.

    Returns
    -------
    bytes
        As `tilefiles.write_tiles` writes them.
    """
    most_tiles = int(np.argmax([chosen.sum() for chosen in validation.chosen]))
    file, chosen = validation.files[most_tiles], validation.chosen[most_tiles]
    kept: dict[bool, list[Tile]] = {True: [], False: []}
    for index in np.flatnonzero(chosen):
        tile = file.tile(int(index))
        alike = kept[bool((tile.labels == BOUND).any())]
        if len(alike) < most // 2:
            alike.append(tile)
        elif all(len(some) == most // 2 for some in kept.values()):
            break
    sink = io.BytesIO()
    write_tiles([*kept[True], *kept[False]], file.contents, sink)
    return sink.getvalue()


def contract_of(
    model: keras.Model,
    arch: str,
    inputs: Sequence[Input],
    training: TileSet,
    validation: TileSet,
    regions: Sequence[Region],
    settings: Settings,
    history: History,
    network: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Contract:
    """Write down what a trained network wants and gives, and where it comes from.

    Parameters
    ----------
    model : keras.Model
        Fitted.
    arch : str
        The architecture's name.
    inputs : sequence of Input
        With the model's transforms.
    training, validation : TileSet
    regions : sequence of Region
        That were held out for validation.
    settings : Settings
    history : History
        With at least one epoch.
    network : mapping, optional
        Keywords that the architecture was built with in place of its defaults.
    notes : mapping, optional
        What else there is to tell of the training.
    """
    contents = training.files[0].contents
    best = history.epochs[history.best - 1]
    return Contract(
        geometry=contents.geometry,
        inputs=tuple(inputs),
        tasks=score_names(model, training.tasks),
        scans=scans(model),
        stranded=contents.stranded,
        architecture=arch,
        parameters=hyperparameters(arch)
        | dict(network or {})
        | {"trainable": model.count_params() - _fixed(model)},
        cells=tuple(dict.fromkeys(file.contents.cell for file in training.files)),
        held_out=tuple(str(region) for region in regions),
        trained_on=tuple(str(region) for region in training.regions(regions)),
        training=asdict(settings)
        | {
            "both_strands": settings.both_strands and not contents.stranded,
            "labels": training.label_counts().tolist(),
            "validation_labels": validation.label_counts().tolist(),
            "epoch": best.number,
            "validation_auprc": best.validation_auprc,
        }
        | dict(notes or {}),
        versions={
            "tfbind": tfbind.__version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
            keras.backend.backend(): version(keras.backend.backend()),
            "numpy": np.__version__,
        },
    )


def score_names(model: keras.Model, tasks: Sequence[str]) -> tuple[str, ...]:
    """Name a network's scores: its tasks, behind the background where classes exclude each other.

    Parameters
    ----------
    model : keras.Model
    tasks : sequence of str
        That it learns.
    """
    _, mark = learnt_of(model)
    return ("background", *tasks) if mark.kind == "exclusive" else tuple(tasks)


def hyperparameters(name: str) -> dict[str, Any]:
    """Give what an architecture is built with beside inputs and geometry."""
    options = inspect.signature(architecture(name).build).parameters.values()
    return {one.name: one.default for one in options if one.kind is one.KEYWORD_ONLY}


def _fixed(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights)
