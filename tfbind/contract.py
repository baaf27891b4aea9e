"""What a model wants and gives, and what tiles hold, in words that travel inside their files."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from tfbind.errors import InputError

METADATA_KEY = "tfbind"
VERSION = 1
NAME = re.compile(r"[\w.+-]+")
RESERVED = ("contig", "start", "weights", "label")
"""Columns that every file of tiles has."""


Source = Literal["sequence", "signal"]
Stored = Literal["uint8", "float16", "float32"]
Transform = Literal["none", "log1p"]


@dataclass(frozen=True)
class Geometry:
    """How bins lie on the genome and how much of it a network sees for each, in base pairs.

    Attributes
    ----------
    window : int
        The stretch that decides one bin's score, centred on the bin.
    size : int
        A bin.
    stride : int
        From the start of a bin to the start of the next.
    """

    window: int = 1000
    size: int = 200
    stride: int = 50

    def __post_init__(self) -> None:
        if min(self.window, self.size, self.stride) < 1:
            raise InputError(f"found {self}, expected window, size and stride of 1 bp or more")
        if self.window < self.size or (self.window - self.size) % 2:
            raise InputError(
                f"found a window of {self.window} bp around bins of {self.size} bp, expected the "
                "same whole number of bases on both sides of a bin"
            )

    @property
    def flank(self) -> int:
        """Bases that the window has on each side of its bin."""
        return (self.window - self.size) // 2

    def length(self, bins: int) -> int:
        """Bases under the windows of a run of consecutive bins."""
        return self.window + self.stride * (bins - 1)


@dataclass(frozen=True)
class Input:
    """One input of a network: where it comes from and what is done to it.

    Attributes
    ----------
    name : str
        As in the graph, in tiles and in `--signal NAME=FILE`.
    source : 'sequence' or 'signal'
        The channel that makes it.
    stored : 'uint8', 'float16' or 'float32'
        Raw values are rounded to this before the transform, in tiles and in scoring alike.
    transform : 'none' or 'log1p'
        log1p is ln(x + 1).
    mean, deviation : float
        After the transform, x becomes (x - mean) / deviation.
    blank : str
        What unknown and uncovered bases, and those beyond the end of a contig, become.
    """

    name: str
    source: Source
    stored: Stored
    transform: Transform = "none"
    mean: float = 0.0
    deviation: float = 1.0
    blank: str = "zero"


@dataclass(frozen=True)
class _Metadata:
    """What is common to the contracts: a JSON text under one key of a file's metadata."""

    def to_json(self) -> str:
        """Write the contract as JSON text."""
        return json.dumps({"version": VERSION} | asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes | None, path: str | Path) -> Self:
        """Read a contract from JSON text.

        Raises
        ------
        InputError
            If there is none, or it lacks something, or a newer tfbind wrote it.
        """
        if text is None:
            raise InputError(f"holds no {cls._what()} of tfbind", path=path)
        try:
            values: dict[str, Any] = json.loads(text)
            if values.pop("version") > VERSION:
                raise InputError("was written by a newer tfbind: update this one", path=path)
            values["geometry"] = Geometry(**values["geometry"])
            values["inputs"] = tuple(Input(**one) for one in values["inputs"])
            for key, value in values.items():
                if isinstance(value, list):
                    values[key] = tuple(value)
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"holds a {cls._what()} that cannot be read ({error}); make the file again",
                path=path,
            ) from error

    @classmethod
    def _what(cls) -> str:
        return "contract"


@dataclass(frozen=True)
class Tiles(_Metadata):
    """What a file of tiles holds.

    Attributes
    ----------
    geometry : Geometry
    inputs : tuple of Input
        Raw values: transforms belong to a model.
    experiments : tuple of str
        Names of the label columns; none if the bins had no labels.
    cell : str
        The cell type.
    longest : int
        Most bins that a tile may hold.
    """

    geometry: Geometry
    inputs: tuple[Input, ...]
    experiments: tuple[str, ...]
    cell: str
    longest: int

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.inputs]
        for kind, some in (("input", names), ("experiment", list(self.experiments))):
            for name in some:
                if not NAME.fullmatch(name) or (kind == "input" and name in RESERVED):
                    raise InputError(
                        f"found the {kind} name {name!r}, expected letters, digits and . _ + - "
                        f"and none of {', '.join(RESERVED)}"
                    )
                if some.count(name) > 1:
                    raise InputError(f"found two {kind}s named {name!r}, expected different names")

    @classmethod
    def _what(cls) -> str:
        return "description of tiles"


@dataclass(frozen=True)
class Contract(_Metadata):
    """All that scoring with a model needs to know.

    Attributes
    ----------
    geometry : Geometry
    inputs : tuple of Input
        In the order of the graph.
    tasks : tuple of str
        Names of the outputs: each is a probability for each bin.
    scans : bool
        The network gives W + S*(n-1) bases n scores; otherwise it wants windows.
    both_strands : bool
        The graph averages the scores of both strands.
    architecture : str
    parameters : mapping of str to number or str
        What the architecture was built with.
    cells : tuple of str
        Cell types that it was trained on.
    trained_on : tuple of str
        Regions that hold the tiles it was fitted to.
    held_out : tuple of str
        Regions that its best epoch was chosen by; empty if that was done by other files.
    training : mapping
        How it was trained: optimiser, seed, counts of bins.
    versions : mapping of str to str
        Of the libraries that made it.
    """

    geometry: Geometry
    inputs: tuple[Input, ...]
    tasks: tuple[str, ...]
    scans: bool = True
    both_strands: bool = False
    architecture: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def signals(self) -> tuple[Input, ...]:
        """The inputs that are made from signal tracks."""
        return tuple(one for one in self.inputs if one.source == "signal")
