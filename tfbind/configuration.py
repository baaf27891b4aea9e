"""What a file in TOML says of a network and its training."""

import difflib
import inspect
import tomllib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Union, get_args, get_origin

from tfbind.errors import InputError, RequestError
from tfbind.settings import Settings


@dataclass(frozen=True)
class Configuration:
    """What a file says; None or nothing where it is silent.

    Attributes
    ----------
    arch : str or None
    inputs : tuple of str or None
        Names of those to learn from.
    network : mapping
        Keywords of the architecture; `keywords` checks them.
    training : mapping
        Fields of `Settings`.
    path : str
    """

    arch: str | None = None
    inputs: tuple[str, ...] | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""


TOP: dict[str, Any] = {
    "arch": str,
    "inputs": tuple[str, ...],
    "network": dict,
    "training": dict,
}


def read_configuration(stream: BinaryIO, path: str) -> Configuration:
    """Read a file in TOML.

    Parameters
    ----------
    stream : binary file
    path : str
        Its name, for messages.

    Raises
    ------
    InputError
        If it is no TOML, or has a key or a value that there is not.
    """
    try:
        held = tomllib.loads(stream.read().decode("utf-8-sig").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is no TOML: {error}", path=path) from error
    except UnicodeDecodeError as error:
        raise InputError("is no TOML: it is not text in UTF-8", path=path) from error
    held = _checked(held, TOP, "the top of the file", path)
    if "inputs" in held and not held["inputs"]:
        raise InputError("inputs names none; name one, or leave the key out", path=path)
    fields = inspect.signature(Settings, eval_str=True).parameters
    known = {name: one.annotation for name, one in fields.items()}
    held["training"] = _checked(held.get("training", {}), known, "[training]", path)
    try:
        Settings(**held["training"])
    except RequestError as error:
        raise InputError(f"[training]: {error.message}", path=path) from error
    return Configuration(**held, path=path)


def keywords(configuration: Configuration, arch: str, build: Callable[..., Any]) -> dict[str, Any]:
    """Check what a file says of a network against what its architecture takes.

    Parameters
    ----------
    configuration : Configuration
    arch : str
        The architecture's name.
    build : callable
        Whose keyword-only parameters are known, with their types.

    Returns
    -------
    dict
        Keywords for `build`.

    Raises
    ------
    InputError
        If there is no such keyword, or a value is of another type.
    """
    options = inspect.signature(build, eval_str=True).parameters.values()
    known = {one.name: one.annotation for one in options if one.kind is one.KEYWORD_ONLY}
    where = f"[network] of {arch}"
    return _checked(configuration.network, known, where, configuration.path)


def _checked(
    values: Mapping[str, Any], known: Mapping[str, Any], where: str, path: str
) -> dict[str, Any]:
    """Check the keys and values of a table; give lists as tuples."""
    made = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {near[0]}? " if near else ""
            there_is = ", ".join(sorted(known)) or "none"
            raise InputError(f"{where} has no key {key!r}; {meant}There is {there_is}", path=path)
        if not _fits(value, known[key]):
            raise InputError(
                f"{where}: found {key} = {_shown(value)}, expected {_named(known[key])}", path=path
            )
        made[key] = _frozen(value)
    return made


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value of TOML is of a type."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        if not isinstance(value, list):
            return False
        if parts[-1] is Ellipsis:
            return all(_fits(one, parts[0]) for one in value)
        return len(value) == len(parts) and all(map(_fits, value, parts))
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, hint) if isinstance(hint, type) else False


def _named(hint: Any) -> str:
    """Say what a type is, to those who write TOML."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_named(part) for part in parts if part is not type(None))
    if origin is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    if origin is tuple:
        count = "" if parts[-1] is Ellipsis else f"{len(parts)} "
        return f"a list of {count}values, each {_named(parts[0])}"
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text in quotes",
        dict: "a table",
    }
    return names.get(hint, str(hint))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
