"""What may be summarised of a bin: values along the genome, and the statistics taken of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfbind.channels import Sources
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.motifs import Motif
from tfbind.scanning import Scanner
from tfbind.shape import BEFORE, BEHIND, FEATURES, shape_values
from tfbind.summaries import Floats

Statistic = Literal["mean", "max"] | float
"""A quantile is told by its probability."""

SetName = Literal["bin", "baseline"]
Uncovered = Literal["zero", "skip"]

BASELINE: Mapping[str, Statistic] = {
    "mean": "mean",
    "max": "max",
    "q99": 0.99,
    "q95": 0.95,
    "q90": 0.90,
    "q75": 0.75,
    "q50": 0.50,
}
"""Statistics by the names of their columns, of the bin with its flanks: those that the organisers
of the ENCODE-DREAM challenge took of motif scores."""

_GC = np.array([0, 1, 1, 0, np.nan], np.float32)


@dataclass(frozen=True)
class Stretch:
    """A stretch of a contig.

    Attributes
    ----------
    genome : Genome
    contig : str
        The genome's name for it.
    start, end : int, base pairs
    margin : int, base pairs
        How far beyond either end codes may be asked for.
    """

    genome: Genome
    contig: str
    start: int
    end: int
    margin: int = 0

    def codes(self, before: int = 0, behind: int = 0) -> npt.NDArray[np.uint8]:
        """Give the codes of the stretch and of some bases before and behind it."""
        return self._codes[self.margin - before : len(self._codes) - self.margin + behind]

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint8]:
        return self.genome.codes(self.contig, self.start - self.margin, self.end + self.margin)


@dataclass(frozen=True)
class Measure:
    """Values along the genome, and what is told of those in a bin.

    Attributes
    ----------
    names : tuple of str
        Of each kind of values, for the columns.
    statistics : mapping of str to Statistic
        By the names of their columns, which follow the value's name and a dot; a column that has
        no name of its own bears the value's.
    read : callable
        Give the values of each kind in a stretch, each of shape (bases,), float32; NaN where
        nothing is known.
    width : int
        Bases that a value tells of, its own the first: all must lie in the bin.
    margin : int
        Bases beyond the stretch that `read` asks for.
    """

    names: tuple[str, ...]
    statistics: Mapping[str, Statistic]
    read: Callable[[Stretch], Sequence[Floats]]
    width: int = 1
    margin: int = 0

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        return [
            f"{name}.{what}" if what else name for name in self.names for what in self.statistics
        ]


def gc_content() -> Measure:
    """Tell the share of G and C among the known bases."""
    return Measure(("gc",), {"": "mean"}, lambda stretch: [_GC[stretch.codes()]])


def signal_values(
    name: str, sources: Sources, uncovered: Uncovered, statistics: Mapping[str, Statistic]
) -> Measure:
    """Tell of a signal's values.

    Parameters
    ----------
    name : str
        The signal's.
    sources : Sources
    uncovered : 'zero' or 'skip'
        What a base is that the track does not cover: 0, or not known. Means are then the `mean0`
        or the `mean` of bigWigAverageOverBed. A contig that the track lacks is 0 by either.
    statistics : mapping of str to Statistic

    Raises
    ------
    InputError
        By `read`, where the track holds an infinite value.
    """
    signal = sources.signal(name)
    find = sources.names(tuple(signal.sizes), signal.path).find
    found = {contig: find(contig) for contig in sources.genome.sizes}
    blank = 0 if uncovered == "zero" else np.nan

    def read(stretch: Stretch) -> list[Floats]:
        there = found[stretch.contig]
        if there is None:
            return [np.zeros(stretch.end - stretch.start, np.float32)]
        values = signal.values(there, stretch.start, stretch.end, uncovered=blank)
        if (infinite := np.isinf(values)).any():
            at = int(infinite.argmax())
            raise InputError(
                f"holds {values[at]:g} at {there}:{stretch.start + at + 1}, expected finite "
                "values; make it again without",
                path=signal.path,
            )
        return [values]

    return Measure((name,), statistics, read)


def shape_features(statistics: Mapping[str, Statistic]) -> Measure:
    """Tell of the shape of the helix, angstrom and degrees."""

    def read(stretch: Stretch) -> list[Floats]:
        return list(shape_values(stretch.codes(BEFORE, BEHIND)).T)

    return Measure(FEATURES, statistics, read, margin=max(BEFORE, BEHIND))


def motif_scores(motif: Motif, statistics: Mapping[str, Statistic]) -> Measure:
    """Tell of a motif's log-odds, of the better strand at each place where a hit may begin."""
    scanner = Scanner(motif)
    width = len(scanner)

    def read(stretch: Stretch) -> list[Floats]:
        best = scanner.scores(stretch.codes(0, width - 1)).max(axis=0)
        best[np.isneginf(best)] = np.nan  # over an unknown base
        return [best]

    return Measure((motif.title,), statistics, read, width, margin=width - 1)


def measures(
    name: SetName,
    sources: Sources,
    *,
    uncovered: Uncovered = "zero",
    motifs: Sequence[Motif] = (),
    shape: bool = False,
) -> list[Measure]:
    """Give a named set of measures of all signals, motifs and features of shape.

    Parameters
    ----------
    name : 'bin' or 'baseline'
        bin: the share of G and C, the mean and the largest value of each signal, the best score of
        each motif, the mean of each feature of shape, to be taken of a bin alone. baseline: the
        statistics of `BASELINE` of all but GC, to be taken of a bin with 400 bp on each side.
    sources : Sources
    uncovered : 'zero' or 'skip'
        As in `signal_values`.
    motifs : sequence of Motif
    shape : bool
        Add the shape of the helix.
    """
    baseline = name == "baseline"
    of_signals = BASELINE if baseline else {"mean": BASELINE["mean"], "max": BASELINE["max"]}
    return [
        *([] if baseline else [gc_content()]),
        *(signal_values(signal, sources, uncovered, of_signals) for signal in sources.signals),
        *(motif_scores(motif, BASELINE if baseline else {"score": "max"}) for motif in motifs),
        *([shape_features(BASELINE if baseline else {"mean": "mean"})] if shape else []),
    ]
