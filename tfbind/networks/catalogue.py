"""The architectures with the sizes that they were published with."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from tfbind.channels import described
from tfbind.contract import Input
from tfbind.networks import ARCHITECTURES, scans
from tfbind.networks.heads import Learnt, learnt_of
from tfbind.settings import RECIPES

MOTIF_WIDTH = 10
"""Of the motif that stands for those that an architecture reads; bases."""


@dataclass(frozen=True)
class Listed:
    """One architecture.

    Attributes
    ----------
    name : str
    parameters : int
        That are learnt, counted from the network.
    inputs : tuple of str
        Sources of its inputs.
    window, bin, stride : int
        Of its geometry, base pairs.
    tasks : int
    way : 'scan' or 'windows'
        It reads any stretch, or one window at a time.
    learns : str
        What is compared with the labels.
    recipe : mapping
        Settings that it is trained by where others are not given, and the defaults are not best.
    about : str
    sizes : mapping
        Keywords that it is built with, and their defaults.
    """

    name: str
    parameters: int
    inputs: tuple[str, ...]
    window: int
    bin: int
    stride: int
    tasks: int
    way: Literal["scan", "windows"]
    learns: str
    recipe: Mapping[str, Any]
    about: str
    sizes: Mapping[str, Any]


def catalogue() -> Iterator[Listed]:
    """Build each architecture at its published sizes, and describe it.

    One motif of `MOTIF_WIDTH` bases stands for those that an architecture would read. The weights
    are counted, not made, so that the largest takes no time or memory. Keras would
    make them as soon as another network is built in the process.
    """
    for name, kind in ARCHITECTURES.items():
        with keras.StatelessScope(initialize_variables=False):
            model = kind.build(_inputs(kind.inputs), kind.geometry, kind.tasks)
            mark = learnt_of(model)[1]
        yield Listed(
            name,
            sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
            kind.inputs,
            kind.geometry.window,
            kind.geometry.size,
            kind.geometry.stride,
            kind.tasks,
            "scan" if scans(model) else "windows",
            _learnt(mark, kind.tasks),
            RECIPES.get(name, {}),
            kind.about,
            _sizes(kind.build),
        )


def _sizes(build: Callable[..., keras.Model]) -> dict[str, Any]:
    options = inspect.signature(build).parameters.values()
    return {one.name: one.default for one in options if one.kind is one.KEYWORD_ONLY}


def _inputs(sources: Sequence[str]) -> list[Input]:
    """Describe one input of each source; names are numbered where there are several."""
    made = []
    for place, source in enumerate(sources):
        several = sources.count(source) > 1
        number = sources[: place + 1].count(source)
        made.append(_input(source, f"{source}{number}" if several else source))
    return made


def _input(name_of_source: str, name: str) -> Input:
    match name_of_source:
        case "sequence":
            return Input(name, "sequence", "uint8")
        case "signal":
            return Input(name, "signal", "float16", "log1p")
        case "motif":
            table = {"motif": ((0.0,) * 4,) * MOTIF_WIDTH}
            return Input(
                name,
                "motif",
                "float32",
                along="sequence",
                of="sequence",
                features=("motif",),
                table=table,
            )
        case _:
            return described(name_of_source)[0]


def _learnt(mark: Learnt, tasks: int) -> str:
    match mark.kind:
        case "each":
            return "each task: bound"
        case "nodes":
            names = ("unknown", "unbound", "bound")[-mark.count :]
            return f"each task: {', '.join(names)}"
        case "exclusive":
            return f"one of {1 + tasks} classes"
        case "members":
            return f"each task: bound, by {mark.count} networks"
