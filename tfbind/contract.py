"""What a model wants and gives, and what tiles hold, in words that travel inside their files."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from tfbind.errors import InputError

METADATA_KEY = "tfbind"
IN_KERAS = "tfbind/contract.json"
VERSION = 5
NAME = re.compile(r"[\w.+-]+")
RESERVED = ("contig", "start", "strand", "weights", "label")
"""Columns that every file of tiles has."""


Along = Literal["bases", "cell", "sequence"]
Stored = Literal["uint8", "float16", "float32"]
Transform = Literal["none", "log1p"]
Blank = Literal["zero", "quarter"]
Layout = Literal["channels-last", "channels-first"]
Order = Literal["bins, tasks", "tasks, bins"]
Method = Literal["isotonic", "platt"]


@dataclass(frozen=True)
class Geometry:
    """How bins lie on the genome and how much of it a network sees for each, in base pairs.

    Attributes
    ----------
    window : int
        The stretch that decides one bin's score, centred on the bin; where a window gives several
        bins their scores, centred on them all.
    size : int
        A bin.
    stride : int
        From the start of a bin to the start of the next.
    outputs : int
        Bins that a window gives scores to. Where there are several, windows lie side by side: each
        bin is in one only.
    """

    window: int = 1000
    size: int = 200
    stride: int = 50
    outputs: int = 1

    def __post_init__(self) -> None:
        if min(self.window, self.size, self.stride, self.outputs) < 1:
            raise InputError(
                f"found {self}, expected window, size and stride of 1 bp or more and 1 output or "
                "more"
            )
        if self.window < self._covered or (self.window - self._covered) % 2:
            bins = (
                f"bins of {self.size} bp"
                if self.outputs == 1
                else f"{self.outputs} bins of {self.size} bp, {self.stride} bp apart"
            )
            wanted = "the same whole number of bases on both sides of a bin"
            if self.window < self._covered:
                wanted = f"a window of {self._covered} bp or more"
            raise InputError(f"found a window of {self.window} bp around {bins}, expected {wanted}")

    @property
    def _covered(self) -> int:
        """Base pairs from the start of a window's first bin to the end of its last."""
        return self.stride * (self.outputs - 1) + self.size

    @property
    def flank(self) -> int:
        """Bases that the window has before its first bin and behind its last."""
        return (self.window - self._covered) // 2

    def length(self, bins: int) -> int:
        """Bases under the windows of a run of consecutive bins, the first of which begins one."""
        windows = -(-bins // self.outputs)
        return self.window + self.stride * self.outputs * (windows - 1)


@dataclass(frozen=True)
class Distribution:
    """How the values of a signal are distributed, by a sample of the genome's bases.

    Attributes
    ----------
    covered : float
        The share of bases with a value other than 0.
    quantiles : tuple of float
        Of those values, evenly from the least to the largest, in the unit of the track; empty if
        there are none.
    """

    covered: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Input:
    """One input of a network: where it comes from and what is done to it.

    Values of a signal x become, in this order: what has their rank in `ranks`; at most `clip`;
    x / `scale`; ln(x + 1), if that is the transform; (x - `mean`) / `deviation`.

    Attributes
    ----------
    name : str
        As in the graph, in tiles and in `--signal NAME=FILE`.
    source : str
        The channel that makes it: sequence, signal and so on.
    stored : 'uint8', 'float16' or 'float32'
        Raw values are rounded to this before the transform, in tiles and in scoring alike.
    transform : 'none' or 'log1p'
    mean, deviation : float or tuple of float
        One for each value where the input is a vector.
    blank : 'zero' or 'quarter'
        What unknown and uncovered bases, and those beyond the end of a contig, become; quarter:
        each channel of a one-hot base becomes 0.25.
    along : 'bases', 'cell' or 'sequence'
        What it has raw values for: each base, or each cell type a vector; 'sequence': it has none,
        as the graph makes it from the base codes of the input `of`.
    of : str
    features : tuple of str
        Names of a vector's values, or of the channels that the graph makes.
    table : mapping
        What the channel's own file held: vectors by cell type, or matrices by motif.
    clip : float, optional
    scale : float
    ranks : tuple of float
        Quantiles of the values other than 0 that every track is brought to; empty: none.
    trained : tuple of Distribution
        Of the signal in each training cell, before all of the above.
    """

    name: str
    source: str
    stored: Stored
    transform: Transform = "none"
    mean: float | tuple[float, ...] = 0.0
    deviation: float | tuple[float, ...] = 1.0
    blank: Blank = "zero"
    along: Along = "bases"
    of: str = ""
    features: tuple[str, ...] = ()
    table: Mapping[str, Any] = field(default_factory=dict)
    clip: float | None = None
    scale: float = 1.0
    ranks: tuple[float, ...] = ()
    trained: tuple[Distribution, ...] = ()


@dataclass(frozen=True)
class Tensor:
    """One input of a graph that was not made here: inputs stacked as channels.

    Attributes
    ----------
    name : str
        As in the graph.
    parts : tuple of str
        Names of the inputs, in the order of their channels.
    bases : str
        The order of the sequence's four one-hot channels; empty if its codes are one channel.
    layout : 'channels-last' or 'channels-first'
        (batch, window, channels) or (batch, channels, window).
    """

    name: str
    parts: tuple[str, ...]
    bases: str = "ACGT"
    layout: Layout = "channels-last"


@dataclass(frozen=True)
class Calibration:
    """How scores of a task become probabilities: straight lines between knots, flat beyond.

    Attributes
    ----------
    method : 'isotonic' or 'platt'
    scores : tuple of float
        Of the knots, ascending.
    probabilities : tuple of float
        Likewise.
    bound, unbound : int
        Bins that it was fitted to.
    sha256 : str
        Of the model file that gave their scores.
    """

    method: Method
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    bound: int
    unbound: int
    sha256: str

    def __post_init__(self) -> None:
        for values in (self.scores, self.probabilities):
            if len(values) < 2 or any(b <= a for a, b in pairwise(values)):
                raise ValueError("the knots of a calibration do not ascend")
        if len(self.scores) != len(self.probabilities):
            raise ValueError("a calibration has more of scores or of probabilities")


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
            values = {key: _frozen(value) for key, value in values.items()}
            values["geometry"] = Geometry(**values["geometry"])
            values["inputs"] = tuple(_input(one) for one in values["inputs"])
            if "graph" in values:
                values["graph"] = tuple(Tensor(**one) for one in values["graph"])
            if "signals" in values:
                values["signals"] = {
                    name: Distribution(**one) for name, one in values["signals"].items()
                }
            if "calibration" in values:
                values["calibration"] = {
                    name: Calibration(**one) for name, one in values["calibration"].items()
                }
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"holds a {cls._what()} that cannot be read ({error}); make the file again",
                path=path,
            ) from error

    @classmethod
    def _what(cls) -> str:
        return "contract"


def _frozen(value: Any) -> Any:
    """Turn JSON's lists, however deep, into tuples."""
    if isinstance(value, list):
        return tuple(_frozen(one) for one in value)
    if isinstance(value, dict):
        return {key: _frozen(one) for key, one in value.items()}
    return value


def _input(values: dict[str, Any]) -> Input:
    trained = tuple(Distribution(**one) for one in values.get("trained", ()))
    return Input(**values | {"trained": trained})


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
    signals : mapping of str to Distribution
        Of each signal, over the genome.
    stranded : bool
        Bins have strands, and each tile comes as the strand of its bins has it.
    """

    geometry: Geometry
    inputs: tuple[Input, ...]
    experiments: tuple[str, ...]
    cell: str
    longest: int
    signals: Mapping[str, Distribution] = field(default_factory=dict)
    stranded: bool = False

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
        In the order of the graph, which makes some of them itself.
    tasks : tuple of str
        Names of what each bin has a score of.
    scans : bool
        The network gives W + S*(n-1) bases n scores; otherwise it wants windows.
    graph : tuple of Tensor
        The inputs of a graph that was not made here; empty: each of `inputs` is one, of shape
        (batch, bases).
    output : str
        The graph's output to take; empty: its only one.
    order : 'bins, tasks' or 'tasks, bins'
        Of the output's axes, behind that of the batch.
    both_strands : bool
        The graph averages the scores of both strands.
    stranded : bool
        A bin's score is that of its own strand: what lies under a bin of the reverse strand is
        turned round before the graph sees it.
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
    precision : str
        What the graph computes in: float32, or float16 between inputs and outputs of float32.
    calibration : mapping of str to Calibration
        By task: what turns the graph's scores into probabilities; others are left as they are.
    """

    geometry: Geometry
    inputs: tuple[Input, ...]
    tasks: tuple[str, ...]
    scans: bool = True
    graph: tuple[Tensor, ...] = ()
    output: str = ""
    order: Order = "bins, tasks"
    both_strands: bool = False
    stranded: bool = False
    architecture: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    precision: str = "float32"
    calibration: Mapping[str, Calibration] = field(default_factory=dict)

    @property
    def signals(self) -> tuple[Input, ...]:
        """The inputs that are made from signal tracks."""
        return tuple(one for one in self.inputs if one.source == "signal")

    @property
    def wants_cell(self) -> bool:
        """Whether scores depend on the name of the cell type."""
        return any(one.along == "cell" for one in self.inputs)

    @property
    def fed(self) -> tuple[Input, ...]:
        """The inputs that the graph takes, other than those that it makes itself."""
        return fed(self.inputs)


def fed(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """Leave out the inputs that a graph makes itself."""
    return tuple(one for one in inputs if one.along != "sequence")
