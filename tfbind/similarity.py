"""How alike cell types are, by their open chromatin and by their expression.

Tracks are compared by the rank correlation of their means in bins of 1,000 bp, in those bins that
any of them shows open: what is closed everywhere is most of a genome and tells nothing. It is a
correlation of ranks since heights of signals differ between experiments.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from tfbind.cells import CellTable
from tfbind.errors import InputError, three
from tfbind.genome import ContigNames
from tfbind.signal import Signal
from tfbind.tilefiles import TileFile
from tfbind.tilesets import spans

BIN = 1000
STRETCH = 100 * BIN
"""Bases that are read at once."""

STRETCHES = 1000
"""Most stretches that are looked at: 100 Mb of a longer genome."""

CONTIGS = 1000
"""The largest contigs, on which they lie."""

OPEN = 0.1
"""The share of bins that a track shows open, at most: those with the highest means, over 0."""

FEWEST = 100
"""Open bins that a correlation needs."""

Bins = npt.NDArray[np.int64]
Means = npt.NDArray[np.float64]


class CellTrack(ABC):
    """The signal of a cell type.

    Attributes
    ----------
    cell : str
    path : str
        For messages.
    sizes : mapping of str to int
        Base pairs of each contig that it tells of.
    whole : bool
        It tells of all bases, and knows where contigs end.
    """

    cell: str
    path: str
    sizes: Mapping[str, int]
    whole: ClassVar[bool]

    @abstractmethod
    def means(self, contig: str, bins: Bins) -> Means:
        """Give means in bins.

        Parameters
        ----------
        contig : str
            A key of `sizes`.
        bins : ndarray, shape (n,), int64
            Ascending numbers of bins, each from number * `BIN` on.

        Returns
        -------
        ndarray, shape (n,), float64
            NaN where nothing is known.
        """


class SignalTrack(CellTrack):
    """A bigWig of a cell type; a base that it does not cover has the value 0.

    Parameters
    ----------
    cell : str
    signal : Signal
    """

    whole = True

    def __init__(self, cell: str, signal: Signal) -> None:
        self.cell = cell
        self.path = signal.path
        self._signal = signal
        # A contig without values, as chrY of a female, says nothing of where chromatin is open.
        self.sizes = {name: size for name, size in signal.sizes.items() if signal.has_values(name)}

    def means(self, contig: str, bins: Bins) -> Means:
        """Give means in bins, as `CellTrack` says."""
        breaks = np.flatnonzero(np.diff(bins) != 1) + 1
        parts = [
            self._run(contig, int(run[0]) * BIN, int(run[-1] + 1) * BIN)
            for run in np.split(bins, breaks)
            if len(run)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _run(self, contig: str, start: int, end: int) -> Means:
        found = [
            self._signal.values(contig, at, min(at + STRETCH, end))
            .reshape(-1, BIN)
            .mean(axis=1, dtype=np.float64)
            for at in range(start, end, STRETCH)
        ]
        means = np.concatenate(found)
        if not np.isfinite(means).all():
            raise InputError(
                f"holds a value in {contig}:{start + 1}-{end} that is no finite number; make it "
                "again",
                path=self.path,
            )
        return means


class TileTrack(CellTrack):
    """A signal in the tiles of a cell type.

    Parameters
    ----------
    files : sequence of TileFile
        Of one cell type.
    name : str
        Of the signal.
    """

    whole = False

    def __init__(self, files: Sequence[TileFile], name: str) -> None:
        self.cell = files[0].contents.cell
        self.path = files[0].path
        self._files = files
        self._name = name
        sizes: dict[str, int] = {}
        for file in files:
            where = spans(file)
            for code, contig in enumerate(where.contigs):
                ends = where.ends[where.codes == code] + file.contents.geometry.flank
                sizes[contig] = max(sizes.get(contig, 0), int(ends.max()))
        self.sizes = sizes

    def means(self, contig: str, bins: Bins) -> Means:
        """Give means in bins, as `CellTrack` says, of those half under tiles or more."""
        size = -(-self.sizes[contig] // BIN)
        sums, counts = np.zeros(size), np.zeros(size, np.int64)
        done = 0
        for start, values in self._tiles(contig, bins):
            # Neighbours overlap, and files may: each base counts once.
            values = values[max(done - start, 0) :]
            if not len(values):
                continue
            start = max(start, done)
            done = start + len(values)
            first, last = start // BIN, -(-done // BIN)
            cuts = np.maximum(np.arange(first, last) * BIN - start, 0)
            sums[first:last] += np.add.reduceat(values, cuts, dtype=np.float64)
            counts[first:last] += np.diff(cuts, append=len(values))
        means = np.full(len(bins), np.nan)
        held = bins[bins < size]
        known = 2 * counts[held] >= BIN
        means[: len(held)][known] = sums[held][known] / counts[held][known]
        return means

    def _tiles(self, contig: str, bins: Bins) -> Iterator[tuple[int, npt.NDArray[np.floating]]]:
        """Give where the values of each tile that reaches into some bin begin, and the values.

        They ascend by where they begin.
        """
        found: list[tuple[int, int, int]] = []
        for number, file in enumerate(self._files):
            where, flank = spans(file), file.contents.geometry.flank
            if contig not in where.contigs:
                continue
            first = np.searchsorted(bins, (where.starts - flank) // BIN)
            reaching = first < np.searchsorted(bins, (where.ends + flank) // BIN, "right")
            here = np.flatnonzero(reaching & (where.codes == where.contigs.index(contig)))
            starts = (where.starts[here] - flank).tolist()
            found += zip(starts, [number] * len(here), here.tolist(), strict=True)
        for start, number, index in sorted(found):
            values = self._files[number].tile(index).inputs[self._name]
            yield max(start, 0), values[max(-start, 0) :]


@dataclass(frozen=True)
class Similarity:
    """How alike a cell type is to the target.

    Attributes
    ----------
    cell : str
    signal : float
        The rank correlation of their signals, from -1 to 1.
    expression : float or None
        Pearson's correlation of their expression, each value standardised over all cell types of
        the table.
    """

    cell: str
    signal: float
    expression: float | None

    @property
    def combined(self) -> float:
        """The mean of both, or what there is."""
        return self.signal if self.expression is None else (self.signal + self.expression) / 2


def ranked_cells(
    target: CellTrack,
    cells: Sequence[CellTrack],
    expression: CellTable | None = None,
    *,
    seed: int = 1,
    alias: Mapping[str, str] | None = None,
    prefix: Literal["add", "strip"] | None = None,
    advance: Callable[[float], None] | None = None,
) -> tuple[list[Similarity], int]:
    """Rank cell types by how alike they are to a target.

    Parameters
    ----------
    target : CellTrack
    cells : sequence of CellTrack
        Of other cell types. Where some are of tiles only bins under tiles count, and those of a
        tile track that another one holds are 0: tiles hold what is open in their own cell type.
    expression : CellTable, optional
    seed : int
        Of the choice of stretches, in a genome of more than 100 Mb.
    alias, prefix
        How contigs of the target are found in other tracks, as in `genome.ContigNames`.
    advance : callable, optional
        Told how many bins more were read.

    Returns
    -------
    ranked : list of Similarity
        The most alike first.
    bins : int
        How many open ones were compared.

    Raises
    ------
    InputError
        If the tracks share no contig or too few open bins, or lie on different assemblies, or a
        cell type is twice among them or not in the table.
    """
    tracks = [target, *cells]
    names = [one.cell for one in tracks]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"found two tracks of the cell type {name!r}, expected one each")
    by_expression = expression and _expression(expression, names)
    finders = [ContigNames(tuple(one.sizes), one.path, alias or {}, prefix) for one in tracks]
    profiles = _profiles(tracks, finders, seed, advance or (lambda bins: None))
    # Bins of tiles were chosen before.
    opened = _open(profiles, OPEN if all(one.whole for one in tracks) else 1.0)
    if np.count_nonzero(opened) < FEWEST:
        raise InputError(
            f"found {np.count_nonzero(opened)} bins of {BIN} bp that any of the tracks shows open, "
            f"expected {FEWEST} or more; are they of the same chromosomes?",
            path=target.path,
        )
    ranks = [_ranks(one[opened]) for one in profiles]
    found = []
    for number, track in enumerate(tracks):
        if not np.ptp(ranks[number]):
            raise InputError("has one value in all bins that are compared", path=track.path)
        if number:
            signal = float(np.corrcoef(ranks[0], ranks[number])[0, 1])
            shared = by_expression[number] if by_expression else None
            found.append(Similarity(track.cell, signal, shared))
    found.sort(key=lambda one: -one.combined)
    return found, int(np.count_nonzero(opened))


def _profiles(
    tracks: Sequence[CellTrack],
    finders: Sequence[ContigNames],
    seed: int,
    advance: Callable[[float], None],
) -> Means:
    """Give the means of all tracks in the same bins, shape (tracks, bins)."""
    sizes = _shared_sizes(tracks, finders)
    places = [
        (contig, first)
        for contig, size in sizes.items()
        for first in range(0, size // BIN, STRETCH // BIN)
    ]
    if len(places) > STRETCHES:
        drawn = np.random.default_rng(seed).choice(len(places), STRETCHES, replace=False)
        places = [places[place] for place in np.sort(drawn)]
    parts = []
    for contig in dict.fromkeys(contig for contig, _ in places):
        firsts = np.array([first for there, first in places if there == contig])
        bins = (firsts[:, None] + np.arange(STRETCH // BIN)).ravel()
        bins = bins[bins < sizes[contig] // BIN]
        rows = []
        for track, finder in zip(tracks, finders, strict=True):
            rows.append(track.means(finder.resolve(contig), bins))
            advance(len(bins))
        parts.append(np.stack(rows))
    profiles = np.concatenate(parts, axis=1)
    parted = [not one.whole for one in tracks]
    if any(parted):
        profiles = profiles[:, ~np.isnan(profiles[parted]).all(axis=0)]
    return np.nan_to_num(profiles)


def _shared_sizes(tracks: Sequence[CellTrack], finders: Sequence[ContigNames]) -> dict[str, int]:
    """Give the contigs that all tracks have, the largest, with as much as tracks tell of."""
    sizes: dict[str, int] = {}
    for contig in tracks[0].sizes:
        found = [one.find(contig) for one in finders]
        there = [
            (track, track.sizes[name])
            for track, name in zip(tracks, found, strict=True)
            if name is not None
        ]
        if len(there) < len(tracks):
            continue
        ends = [(one.path, size) for one, size in there if one.whole]
        for path, size in ends[1:]:
            if size != ends[0][1]:
                raise InputError(
                    f"ends {contig} at {size:,}, but {ends[0][0]} at {ends[0][1]:,}: are both of "
                    "one assembly?",
                    path=path,
                )
        sizes[contig] = ends[0][1] if ends else max(size for _, size in there)
    if not sizes:
        lacking = min(finders, key=lambda one: sum(map(bool, map(one.find, tracks[0].sizes))))
        raise InputError(
            f"has values on {three(lacking.known)}, but {tracks[0].path} on "
            f"{three(tracks[0].sizes)}, and no contig has some in all tracks; give --alias FILE or "
            "--chr-prefix add|strip",
            path=lacking.path,
        )
    largest = sorted(sizes, key=lambda name: -sizes[name])[:CONTIGS]
    return {name: size for name, size in sizes.items() if name in set(largest)}


def _open(profiles: Means, share: float) -> npt.NDArray[np.bool_]:
    """Mark the bins that any track shows open: over 0, among the highest of this share."""
    if not profiles.size:
        return np.zeros(0, np.bool_)
    least = np.quantile(profiles, 1 - share, axis=1, keepdims=True)
    return np.asarray(np.any((profiles > 0) & (profiles >= least), axis=0))


def _ranks(values: Means) -> Means:
    """Give ranks, those of ties their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _expression(table: CellTable, names: Sequence[str]) -> list[float]:
    """Correlate the expression of the first cell type with that of each."""
    for name in names:
        if name not in table.rows:
            raise InputError(
                f"has no cell type {name!r}: there is {three(sorted(table.rows))}; name tracks "
                "CELL=FILE after its first column, or leave this one out",
                path=table.path,
            )
    values = np.array(list(table.rows.values()), np.float64)
    varied = np.ptp(values, axis=0) > 0
    spread = (values - values.mean(axis=0))[:, varied] / values.std(axis=0)[varied]
    rows = spread[[list(table.rows).index(name) for name in names]]
    if rows.shape[1] < 2 or not np.ptp(rows, axis=1).all():
        raise InputError(
            f"has {rows.shape[1]} values that differ between cell types, expected 2 or more",
            path=table.path,
        )
    return [float(one) for one in np.corrcoef(rows)[0]]
