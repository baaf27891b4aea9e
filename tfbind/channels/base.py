"""What every kind of input can do, and what it is made from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tfbind.contract import Input
from tfbind.errors import InputError, three
from tfbind.genome import ContigNames, Genome
from tfbind.signal import Signal

Array = npt.NDArray[Any]
Reader = Callable[[str, int, int], Array]
"""Read raw values: contig of the genome, start, end (which may lie beyond the contig's ends)."""


@dataclass(frozen=True)
class Sources:
    """The files that inputs are made from.

    Attributes
    ----------
    genome : Genome
    signals : mapping of str to Signal
        By the names that a contract uses.
    names : callable
        Makes the finder of a file's contigs from (names, path): aliases and prefixes are its
        business.
    """

    genome: Genome
    signals: Mapping[str, Signal] = field(default_factory=dict)
    names: Callable[[tuple[str, ...], str], ContigNames] = ContigNames

    def signal(self, name: str) -> Signal:
        """Give a signal by its name.

        Raises
        ------
        InputError
            If it is not there.
        """
        if name not in self.signals:
            raise InputError(
                f"no signal named {name!r}: found {three(self.signals)}; give --signal {name}=FILE"
            )
        return self.signals[name]

    def longer_contigs(self) -> list[str]:
        """Tell where a signal's contig is longer than the genome's: a cut, or another assembly.

        Raises
        ------
        InputError
            If one is shorter.
        """
        longer = []
        for signal in self.signals.values():
            find = self.names(tuple(signal.sizes), signal.path).find
            for contig, size in self.genome.sizes.items():
                there = find(contig)
                if there is None or signal.sizes[there] == size:
                    continue
                message = (
                    f"ends {there} at {signal.sizes[there]:,}, but {self.genome.path} at {size:,}: "
                    "are both of one assembly?"
                )
                if signal.sizes[there] < size:
                    raise InputError(message, path=signal.path)
                longer.append(f"{signal.path} {message}")
        return longer

    def lacking(self, contig: str) -> list[Signal]:
        """Name the signals that lack a contig of the genome."""
        return [
            signal
            for signal in self.signals.values()
            if self.names(tuple(signal.sizes), signal.path).find(contig) is None
        ]


class Channel(ABC):
    """One input: how it is stored, read and prepared.

    Parameters
    ----------
    spec : Input

    Attributes
    ----------
    complement : ndarray or None
        What each raw value becomes on the other strand, where raw values are codes.
    """

    complement: npt.NDArray[np.uint8] | None = None

    def __init__(self, spec: Input) -> None:
        self.spec = spec

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of raw values."""
        return np.dtype(self.spec.stored)

    @property
    @abstractmethod
    def blank(self) -> int:
        """The raw value of a base of which nothing is known."""

    @abstractmethod
    def reader(self, sources: Sources) -> Reader:
        """Open the files and give the function that reads raw values, shape (bases,).

        Raises
        ------
        InputError
            If a file is missing or holds what cannot be stored.
        """

    @abstractmethod
    def prepare(self, raw: Array) -> Array:
        """Turn raw values into what the graph takes; shape (..., bases) is kept."""

    def reverse_complement(self, raw: Array) -> Array:
        """Turn raw values, shape (..., bases), into those of the other strand."""
        turned = raw[..., ::-1]
        return turned if self.complement is None else self.complement[turned]
