"""What `tfbind train` is told: by its file of configuration, and by flags, which win over it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from tfbind.errors import InputError, RequestError

from .archs import NAMES
from .streams import reading

if TYPE_CHECKING:
    from tfbind.configuration import Configuration
    from tfbind.settings import Settings

FLAGS = {
    "epochs": "epochs",
    "patience": "patience",
    "batch": "batch",
    "learning_rate": "learning_rate",
    "schedule": "schedule",
    "clip": "clip",
    "ambiguous": "ambiguous",
    "bound_weight": "bound_weight",
    "focal": "focus",
    "one_strand": "both_strands",
    "seed": "seed",
}
"""Flags by the name of their parameter, and the setting that each is."""


@dataclass(frozen=True)
class Told:
    """What was told.

    Attributes
    ----------
    arch : str
    inputs : str or None
        Names with commas between them; None: all.
    settings : Settings
    configuration : Configuration
        For the network's keywords.
    """

    arch: str
    inputs: str | None
    settings: "Settings"
    configuration: "Configuration"


def told(context: typer.Context, path: str | None) -> Told:
    """Read the file of configuration, if there is one, below the flags."""
    from tfbind.configuration import Configuration, read_configuration
    from tfbind.settings import RECIPES, Settings

    configuration = Configuration()
    if path is not None:
        with reading(path, what="--config FILE") as (stream, name):
            configuration = read_configuration(stream, name)
    given = _given(context)
    values = {FLAGS[name]: _setting(name, context.params[name]) for name in FLAGS}
    flags = {FLAGS[name]: values[FLAGS[name]] for name in FLAGS if given[name]}
    inputs = context.params["inputs"]
    if not given["inputs"] and configuration.inputs is not None:
        inputs = ",".join(configuration.inputs)
    arch = context.params["arch"]
    if not given["arch"] and configuration.arch is not None:
        arch = configuration.arch
    if arch not in NAMES:  # told before Keras is loaded
        message = f"no architecture {arch!r}: there is {', '.join(NAMES)}"
        if given["arch"]:
            raise RequestError(message)
        raise InputError(message, path=path)
    _refuse_unread(arch, flags, configuration)
    recipe = dict(RECIPES.get(arch, {}))
    settings = Settings(**(values | recipe | dict(configuration.training) | flags))
    return Told(arch, inputs, settings, configuration)


def _refuse_unread(arch: str, flags: Mapping[str, Any], configuration: "Configuration") -> None:
    """Refuse settings that the architecture is not fitted by."""
    from tfbind.settings import READ

    read = READ.get(arch, {*flags, *configuration.training})
    for flag, name in FLAGS.items():
        unread = f"is nothing to {arch}, which is not fitted step by step; leave it out"
        if name in flags and name not in read:
            raise typer.BadParameter(f"--{flag.replace('_', '-')} {unread}")
        if name in configuration.training and name not in read:
            raise InputError(f"[training] {name} {unread}", path=configuration.path)


def _given(context: typer.Context) -> Mapping[str, bool]:
    """Tell of each parameter whether it was given, rather than left at its default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name: one is not None and one.name != "DEFAULT" for name, one in sources.items()}


def _setting(flag: str, value: Any) -> Any:
    return not value if flag == "one_strand" else value
