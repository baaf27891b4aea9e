"""What every kind of input can do, and what it is made from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from tfbind.contract import Distribution, Input
from tfbind.errors import InputError, RequestError, three
from tfbind.genome import UNKNOWN, ContigNames, Genome
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
    cell : str
        The cell type.
    files : mapping of str to str
        Paths that other kinds of input are read from, by the names that a contract uses.
    """

    genome: Genome
    signals: Mapping[str, Signal] = field(default_factory=dict)
    names: Callable[[tuple[str, ...], str], ContigNames] = ContigNames
    cell: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

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

    def file(self, name: str) -> str:
        """Give the path that an input is read from.

        Raises
        ------
        InputError
            If it is not there.
        """
        if name not in self.files:
            raise InputError(
                f"no file for the input {name!r}: found {three(self.files)}; give --channel "
                f"{name}=FILE"
            )
        return self.files[name]

    def where(self, signal: Signal) -> tuple[Mapping[str, int], ContigNames]:
        """Give the genome's contigs with their sizes, and what finds them in a signal."""
        return self.genome.sizes, self.names(tuple(signal.sizes), signal.path)

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


@dataclass(frozen=True)
class Lookup:
    """A table of what the graph puts in the place of each k-mer.

    Attributes
    ----------
    rows : ndarray, shape (5**k, channels), float32
        By the k-mer's base codes, read as the digits of a number of base 5.
    """

    rows: npt.NDArray[np.float32]

    @property
    def width(self) -> int:
        """The k of the k-mers, bases."""
        return int(np.round(np.log(len(self.rows)) / np.log(UNKNOWN + 1)))


@dataclass(frozen=True)
class Matrices:
    """Matrices that the graph slides over both strands, keeping the better score of the two.

    Attributes
    ----------
    forward, reverse : ndarray, shape (channels, width, 4), float32
        What each base adds to the score of a place, on either strand.
    """

    forward: npt.NDArray[np.float32]
    reverse: npt.NDArray[np.float32]

    @property
    def width(self) -> int:
        """The matrices' width, bases."""
        return int(self.forward.shape[1])


class TrainingCells(Protocol):
    """What a channel may fit its transform to: the training part of tiles."""

    @property
    def cells(self) -> Sequence[str]:
        """The cell types."""

    def distributions(self, name: str) -> Sequence[Distribution]:
        """Give those of a signal, one for each cell type."""

    def values(self, name: str) -> Iterable[tuple[Array, Distribution]]:
        """Give raw values of a signal, tile by tile, with the distribution that they are of."""


class Channel(ABC):
    """One input: how it is stored, read and prepared.

    Parameters
    ----------
    spec : Input

    Attributes
    ----------
    complement : ndarray or None
        What each raw value becomes on the other strand, where raw values are codes.
    enters : 'convolved', 'pooled' or 'joined'
        How a network that has no plan of its own for this kind takes it in: through convolutions,
        by its largest values, or as a vector beside what it makes of the rest.
    graph : Lookup, Matrices or None
        What the graph makes it by, if it does.
    """

    complement: npt.NDArray[np.uint8] | None = None
    enters: ClassVar[Literal["convolved", "pooled", "joined"]]

    def __init__(self, spec: Input) -> None:
        self.spec = spec

    @classmethod
    def described(cls, argument: str | None) -> Input:
        """Describe the input that `--channel KIND=ARGUMENT` asks for.

        Raises
        ------
        RequestError
            If that is not how it is asked for.
        InputError
            If its file is wrong.
        """
        raise NotImplementedError(f"{cls.__name__} has options of its own")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of raw values."""
        return np.dtype(self.spec.stored)

    @property
    @abstractmethod
    def blank(self) -> int:
        """The raw value of a base of which nothing is known."""

    @property
    def graph(self) -> Lookup | Matrices | None:
        """What the graph makes it by; None if it is fed."""
        return None

    def of_cell(self, cell: str) -> Array:
        """Give the vector of a cell type, shape (values,), by the contract's own table.

        Raises
        ------
        InputError
            If the table lacks the cell type.
        """
        raise NotImplementedError(f"the input {self.spec.name!r} has a value a base")

    def blanks(self, bases: int) -> Array:
        """Make raw values, shape (bases,), of which nothing is known, or a vector of the cell's."""
        length = len(self.spec.features) if self.spec.along == "cell" else bases
        return np.full(length, self.blank, self.dtype)

    @abstractmethod
    def reader(self, sources: Sources) -> Reader:
        """Open the files and give the function that reads raw values, shape (bases,) or (values,).

        Raises
        ------
        InputError
            If a file is missing or holds what cannot be stored.
        """

    @abstractmethod
    def prepare(self, raw: Array) -> Array:
        """Turn raw values into what the graph takes, of the same shape."""

    def aligned(self, raw: Array, found: Distribution | None) -> Array:
        """Bring raw values of a signal to the distribution that was trained on, if that is asked.

        Parameters
        ----------
        raw : ndarray, shape (..., bases)
        found : Distribution or None
            Of the track that they are from.
        """
        return raw

    def fitted(self, training: TrainingCells, wanted: str) -> Input:
        """Fit the transform to the training cells.

        Parameters
        ----------
        training : TrainingCells
        wanted : str
            What `--transform` says of this input; empty if nothing.
        """
        if wanted:
            raise RequestError(
                f"the input {self.spec.name!r} has no transform to choose, found {wanted!r}"
            )
        return self.spec

    def reverse_complement(self, raw: Array) -> Array:
        """Turn raw values, shape (..., bases), into those of the other strand."""
        turned = raw[..., ::-1]
        return turned if self.complement is None else self.complement[turned]


class GraphChannel(Channel):
    """An input that the graph makes from base codes, so that nothing is read for it."""

    blank = 0

    @property
    @abstractmethod
    def graph(self) -> Lookup | Matrices:
        """What the graph makes it by."""

    def reader(self, sources: Sources) -> Reader:
        """Refuse: there is nothing to read."""
        raise NotImplementedError(f"the graph makes the input {self.spec.name!r}")

    def prepare(self, raw: Array) -> Array:
        """Refuse, as there is nothing to prepare."""
        raise NotImplementedError(f"the graph makes the input {self.spec.name!r}")
