"""The state of training between two epochs, in a file that a later run goes on from.

It is a file of NumPy arrays with a text beside them that says what was trained on and how. It
appears under its name only when it is whole.
"""

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfbind.channels.base import Array
from tfbind.errors import InputError

NO_CHECKPOINT = "is no checkpoint of training, where one is to be written; move it away"
GROUPS = ("variables", "optimiser", "best")


@dataclass(frozen=True)
class State:
    """Where training stands.

    Attributes
    ----------
    variables : list of ndarray
        Of the network, its random states among them.
    optimiser : list of ndarray
    best : list of ndarray
        Weights of the best epoch.
    random : mapping
        The state of the generator that mixes batches.
    history : mapping
        The epochs so far, as plain values.
    """

    variables: Sequence[Array]
    optimiser: Sequence[Array]
    best: Sequence[Array]
    random: Mapping[str, Any]
    history: Mapping[str, Any]


class Checkpoint:
    """A file for the state of one run.

    Parameters
    ----------
    path : str or Path
    about : mapping of str to str
        All that the outcome depends on, each by a name that a user knows.
    """

    def __init__(self, path: str | Path, about: Mapping[str, str]) -> None:
        self.path = Path(path)
        self.about = dict(about)

    def refuse_other(self) -> None:
        """Check that the file, if there is one, is of this run.

        Raises
        ------
        InputError
            If it is of another, or cannot be read.
        """
        with self._held():
            pass

    def read(self) -> State | None:
        """Read the state; None if there is no file.

        Raises
        ------
        InputError
            If it is of another run, or cannot be read.
        """
        with self._held() as (told, arrays):
            if not told:
                return None
            groups = {
                name: [arrays[f"{name}{number}"] for number in range(told[name])] for name in GROUPS
            }
            return State(**groups, random=told["random"], history=told["history"])

    @contextmanager
    def _held(self) -> Iterator[tuple[dict[str, Any], Mapping[str, Array]]]:
        """Open the file, and give its text and its arrays; nothing if it is not there."""
        try:
            if not self.path.exists():
                yield {}, {}
                return
            with zipfile.ZipFile(self.path), np.load(self.path) as arrays:
                told = json.loads(str(arrays["about"]))
                self._refuse_other(told["about"])
                yield told, arrays
        except OSError as error:
            raise InputError(
                f"cannot be read: {error.strerror or error}", path=self.path
            ) from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(NO_CHECKPOINT, path=self.path) from error

    def _refuse_other(self, found: Mapping[str, str]) -> None:
        wanted = self.about
        other = next((key for key in {**wanted, **found} if found.get(key) != wanted.get(key)), "")
        if other:
            raise InputError(
                f"was begun with {other} {found.get(other, 'unknown')}, but now {other} is "
                f"{wanted.get(other, 'unknown')}; go on with what it was begun with, or give "
                "--force without --resume to start afresh",
                path=self.path,
            )

    def keep(self, state: State) -> None:
        """Write the state in place of the one before it.

        Raises
        ------
        InputError
            If there is no room; the one before it stays.
        """
        told: dict[str, Any] = {name: len(getattr(state, name)) for name in GROUPS}
        told |= {"about": self.about, "random": state.random, "history": state.history}
        arrays = {
            f"{name}{number}": array
            for name in GROUPS
            for number, array in enumerate(getattr(state, name))
        }
        try:
            self._write({"about": np.array(json.dumps(told)), **arrays})
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}; make room and give --resume",
                path=self.path,
            ) from error

    def _write(self, arrays: Mapping[str, Any]) -> None:
        part = Path(f"{self.path}.part")  # a run after a kill finds and replaces it
        try:
            with part.open("wb") as stream:
                np.savez(stream, **arrays)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take the file away: the run is done."""
        self.path.unlink(missing_ok=True)
