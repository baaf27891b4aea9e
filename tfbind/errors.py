"""What is wrong with the data, said so that a user can mend it."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path


class InputError(Exception):
    """Bad data: what was found, what was expected and what to do, with the place where it stands.

    Parameters
    ----------
    message : str
        One line of text.
    path : str or Path, optional
        The file, or `standard input`.
    line : int, optional
        The line of the file, counted from one.
    """

    def __init__(
        self, message: str, *, path: str | Path | None = None, line: int | None = None
    ) -> None:
        self.message = message
        self.path = path
        self.line = line
        place = [] if path is None else [str(path)]
        if line is not None:
            place.append(f"line {line}")
        super().__init__(": ".join([*place, message]))

    def __reduce__(self) -> tuple[Callable[..., "InputError"], tuple[str]]:
        """Let it come back from another process as it was raised there."""
        return functools.partial(type(self), path=self.path, line=self.line), (self.message,)


class RequestError(InputError):
    """What was asked for cannot be, whatever the data: wrong usage of a command."""


def three(names: Iterable[object]) -> str:
    """Show up to three names of a collection, for a message that compares two sides."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "") if shown else "none"
