"""What may be summarised of a bin: values along the genome, and the statistics taken of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfbind.channels import Sources
from tfbind.covered import Cover, Floats, Value
from tfbind.errors import InputError
from tfbind.genome import LONGEST, Genome
from tfbind.motifs import Motif
from tfbind.scanning import Scanner
from tfbind.shape import BEFORE, BEHIND, FEATURES, shape_values

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

APART = 2 * LONGEST
"""Base pairs from the start of a contig to that of the next, where all lie on one axis."""

_GC = np.array([0, 1, 1, 0, np.nan], np.float32)


@dataclass(frozen=True)
class Pieces:
    """Pieces of contigs that bins cover, one behind the other; what lies between is left out.

    Attributes
    ----------
    genome : Genome
    contigs : sequence of str
        The genome's names.
    cover : Cover
        On an axis on which contig i begins at `i * APART`. It may reach beyond the ends of contigs.
    """

    genome: Genome
    contigs: Sequence[str]
    cover: Cover

    @cached_property
    def codes(self) -> npt.NDArray[np.uint8]:
        """The bases, shape (len(cover),), as `tfbind.genome.base_codes`."""
        return self.values(self.genome.codes)

    def values(self, read: Callable[[str, int, int], npt.NDArray[Value]]) -> npt.NDArray[Value]:
        """Read values along the pieces.

        Parameters
        ----------
        read : callable
            Give the values of a contig from one place up to another.

        Returns
        -------
        ndarray, shape (len(cover),)
        """

        def on_axis(start: int, end: int) -> npt.NDArray[Value]:
            contig, last = divmod(end, APART)
            return read(self.contigs[contig], last - (end - start), last)

        return self.cover.values(on_axis, 0, len(self.cover))

    def place(self, along: int) -> tuple[str, int]:
        """Tell the contig of a value and its place there."""
        contig, place = divmod(int(self.cover.on_contig(np.array([along]))[0]), APART)
        return self.contigs[contig], place


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
        Give the values of each kind along pieces, each of shape (bases - width + 1,), or (0,) if
        that is negative, float32; NaN where nothing is known.
    width : int
        Bases that a value is made from, its place the first; all must lie in the bin.
    before, behind : int
        Bases by which they may reach beyond the start of the bin and beyond its end all the same.
    """

    names: tuple[str, ...]
    statistics: Mapping[str, Statistic]
    read: Callable[[Pieces], Sequence[Floats]]
    width: int = 1
    before: int = 0
    behind: int = 0

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        return [
            f"{name}.{what}" if what else name for name in self.names for what in self.statistics
        ]


def gc_content() -> Measure:
    """Tell the share of G and C among the known bases."""
    return Measure(("gc",), {"": "mean"}, lambda pieces: [_GC[pieces.codes]])


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

    def values(contig: str, start: int, end: int) -> Floats:
        there = found[contig]
        if there is None:
            return np.zeros(end - start, np.float32)
        return signal.values(there, start, end, uncovered=blank)

    def read(pieces: Pieces) -> list[Floats]:
        track = pieces.values(values)
        if (infinite := np.isinf(track)).any():
            at = int(infinite.argmax())
            contig, place = pieces.place(at)
            raise InputError(
                f"holds {track[at]:g} at {found[contig]}:{place + 1}, expected finite values; "
                "make it again without",
                path=signal.path,
            )
        return [track]

    return Measure((name,), statistics, read)


def shape_features(statistics: Mapping[str, Statistic]) -> Measure:
    """Tell of the shape of the helix, angstrom and degrees."""

    def read(pieces: Pieces) -> list[Floats]:
        return list(np.ascontiguousarray(shape_values(pieces.codes).T))

    return Measure(FEATURES, statistics, read, BEFORE + 1 + BEHIND, BEFORE, BEHIND)


def motif_scores(motif: Motif, statistics: Mapping[str, Statistic]) -> Measure:
    """Tell of a motif's log-odds, of the better strand at each place where a hit may begin."""
    scanner = Scanner(motif)

    def read(pieces: Pieces) -> list[Floats]:
        best = scanner.scores(pieces.codes).max(axis=0)
        best[np.isneginf(best)] = np.nan  # over an unknown base
        return [best]

    return Measure((motif.title,), statistics, read, len(scanner))


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
