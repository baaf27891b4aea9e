"""Tiles of many files as one set of equal pieces, and how to part it by region."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import Distribution, Geometry, fed
from tfbind.errors import InputError
from tfbind.intervals import merged
from tfbind.labels import AMBIGUOUS, BOUND, UNBOUND
from tfbind.regions import IntervalSet, Region, RegionSet, Spans
from tfbind.tilefiles import TileFile
from tfbind.tiles import PIECE

BLOCK = 1_000_000
"""Base pairs of the regions that are drawn for validation."""


@dataclass(frozen=True)
class Piece:
    """Consecutive bins of one tile.

    Attributes
    ----------
    weights : ndarray, shape (tasks, PIECE), uint8
        0 for what only fills, and for all bins of a task that the file has no labels for.
    labels : ndarray, shape (tasks, PIECE), uint8
    inputs : dict of str to ndarray, shape (bases,) or (values,)
        Raw values, copied.
    signals : mapping of str to Distribution
        Of each signal, in the cell type that the piece is of.
    """

    weights: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    inputs: dict[str, Array]
    signals: Mapping[str, Distribution]


def spans(file: TileFile) -> Spans:
    """Give the bases from the first bin's start to the last bin's end, tile by tile.

    Parameters
    ----------
    file : TileFile
    """
    names = tuple(dict.fromkeys(file.contigs))
    places = {name: code for code, name in enumerate(names)}
    codes = np.fromiter((places[name] for name in file.contigs), np.int32, len(file))
    geometry = file.contents.geometry
    ends = file.starts + geometry.size + geometry.stride * (file.bins - 1)
    return Spans(names, codes, file.starts, ends)


class TileSet:
    """Chosen tiles of several files, cut into pieces of `PIECE` bins.

    A tile whose bins are no multiple of `PIECE` gives a last piece that begins earlier, in which
    the bins that an earlier piece held weigh nothing; a shorter tile is filled up with blanks.

    Parameters
    ----------
    files : sequence of TileFile
        Of one geometry, with the same inputs. A file need not have all tasks.
    chosen : sequence of ndarray, shape (tiles of the file,), bool
        Which tiles of each file; all, if left out.
    tasks : sequence of str, optional
        The experiments to learn, in this order; default: all of the files'.

    Attributes
    ----------
    pieces : int
    tasks : tuple of str
    """

    def __init__(
        self,
        files: Sequence[TileFile],
        chosen: Sequence[npt.NDArray[np.bool_]] | None = None,
        tasks: Sequence[str] | None = None,
    ) -> None:
        self.files = tuple(files)
        self.tasks = tasks_of(files) if tasks is None else tuple(tasks)
        self.chosen = tuple(chosen or (np.ones(len(file), np.bool_) for file in files))
        parts = [
            _piece_places(number, file, tiles)
            for number, (file, tiles) in enumerate(zip(self.files, self.chosen, strict=True))
        ]
        self._file, self._tile, self._first = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return len(self._tile)

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return int(sum(chosen.sum() for chosen in self.chosen))

    def regions(self, held_out: Sequence[Region]) -> list[Region]:
        """Give the stretches that hold the tiles.

        Gaps of less than 10 Mb are passed over, unless something was held out there.

        Parameters
        ----------
        held_out : sequence of Region
        """
        parts: dict[str, list[npt.NDArray[np.int64]]] = {}
        for file, chosen in zip(self.files, self.chosen, strict=True):
            where = spans(file)
            for code, contig in enumerate(where.contigs):
                of = chosen & (where.codes == code)
                parts.setdefault(contig, []).append(np.stack([where.starts[of], where.ends[of]]))
        found = []
        for contig, ends in parts.items():
            starts, stops = merged(*np.concatenate(ends, axis=1))
            if len(starts):
                gaps = Spans((contig,), np.zeros(len(starts) - 1, np.int32), stops[:-1], starts[1:])
                wide = gaps.ends - gaps.starts >= 10 * BLOCK
                apart = wide | RegionSet(held_out).overlaps(gaps)
                firsts = starts[np.concatenate([[True], apart])].tolist()
                lasts = stops[np.concatenate([apart, [True]])].tolist()
                found += [Region(contig, *one) for one in zip(firsts, lasts, strict=True)]
        return found

    def label_counts(self) -> npt.NDArray[np.int64]:
        """Count labels.

        Returns
        -------
        ndarray, shape (tasks, 3), int64
            Unbound, ambiguous and bound bins of each task.
        """
        counts = np.zeros((len(self.tasks), 3), np.int64)
        for file, chosen in zip(self.files, self.chosen, strict=True):
            weights, *labels = file.labels()
            used = np.repeat(chosen, file.bins) & (weights > 0)
            for name, column in zip(file.contents.experiments, labels, strict=True):
                if name in self.tasks:
                    found = np.bincount(column[used], minlength=3)
                    counts[self.tasks.index(name)] += found[[UNBOUND, AMBIGUOUS, BOUND]]
        return counts

    def piece(self, index: int) -> Piece:
        """Read one piece."""
        file = self.files[self._file[index]]
        tile = file.tile(int(self._tile[index]))
        geometry, first = file.contents.geometry, int(self._first[index])
        bins = slice(first, first + PIECE)
        weights = np.zeros((len(self.tasks), PIECE), np.uint8)
        labels = np.zeros((len(self.tasks), PIECE), np.uint8)
        held = len(tile.weights[bins])
        for row, name in enumerate(self.tasks):
            if name in file.contents.experiments:
                weights[row, :held] = tile.weights[bins]
                labels[row, :held] = tile.labels[file.contents.experiments.index(name), bins]
        weights[:, : -first % PIECE] = 0  # an earlier piece held them
        base, length = first * geometry.stride, geometry.length(PIECE)
        inputs: dict[str, Array] = {}
        for spec in fed(file.contents.inputs):
            raw = channel(spec).blanks(length)
            there = tile.inputs[spec.name]
            there = there[base : base + length] if spec.along == "bases" else there
            raw[: len(there)] = there
            inputs[spec.name] = raw
        return Piece(weights, labels, inputs, file.contents.signals)

    @property
    def cells(self) -> tuple[str, ...]:
        """The cell types, each once."""
        return tuple(dict.fromkeys(file.contents.cell for file in self.files))

    def distributions(self, name: str) -> list[Distribution]:
        """Give those of a signal, one for each cell type that has tiles.

        Raises
        ------
        InputError
            If an older tfbind made the tiles, which did not look.
        """
        found: dict[str, Distribution] = {}
        for file, chosen in zip(self.files, self.chosen, strict=True):
            if name not in file.contents.signals:
                raise InputError(
                    f"does not tell how the signal {name!r} is distributed, as an older tfbind "
                    "made it; run tfbind features again",
                    path=file.path,
                )
            if chosen.any():
                found.setdefault(file.contents.cell, file.contents.signals[name])
        return list(found.values())

    def values(self, name: str) -> Iterator[tuple[Array, Distribution]]:
        """Give raw values of a signal, tile by tile, with the distribution that they are of."""
        for file, chosen in zip(self.files, self.chosen, strict=True):
            for index in np.flatnonzero(chosen).tolist():
                yield file.tile(index).inputs[name], file.contents.signals[name]


def tasks_of(files: Iterable[TileFile]) -> tuple[str, ...]:
    """Name all experiments of some files, each once."""
    return tuple(dict.fromkeys(name for file in files for name in file.contents.experiments))


def _piece_places(
    number: int, file: TileFile, chosen: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    tiles = np.flatnonzero(chosen)
    counts = -(-file.bins[tiles] // PIECE)
    tile = np.repeat(tiles, counts)
    begins = np.cumsum(counts) - counts
    place = np.arange(len(tile)) - np.repeat(begins, counts)
    first = np.minimum(place * PIECE, np.maximum(file.bins[tile] - PIECE, 0))
    return np.full(len(tile), number, np.int32), tile, first


def require_alike(files: Sequence[TileFile]) -> None:
    """Check that files of tiles can be learnt from together.

    Raises
    ------
    InputError
        If one has another geometry or other inputs than the first, or no labels.
    """
    first = files[0]
    for file in files:
        for what in ("geometry", "inputs"):
            one, other = getattr(first.contents, what), getattr(file.contents, what)
            if one != other:
                _refuse_other_inputs(first, file)
                raise InputError(
                    f"has the {what} {_shown(other)}, but {first.path} {_shown(one)}; make both "
                    "with the same options of tfbind features",
                    path=file.path,
                )
        if not file.contents.experiments:
            raise InputError(
                "holds no labels; pass the bins through tfbind label first", path=file.path
            )


def refuse_overlap(files: Sequence[TileFile], validation: TileFile) -> None:
    """Check that tiles to choose by are not among those to learn from.

    Raises
    ------
    InputError
        If a tile of the same cell type lies on one of them.
    """
    for file in files:
        if file.contents.cell == validation.contents.cell and len(file) and len(validation):
            shared = IntervalSet(spans(file), file.path).overlaps(spans(validation))
            if shared.any():
                raise InputError(
                    f"{int(shared.sum())} of its {len(validation)} tiles lie on tiles of "
                    f"{file.path}: a network is not chosen by what it learnt; hold out regions",
                    path=validation.path,
                )


def _refuse_other_inputs(one: TileFile, other: TileFile) -> None:
    """Say of two files' inputs of the same names and kinds in what they differ."""
    for here, there in zip(one.contents.inputs, other.contents.inputs, strict=False):
        if here != there and _shown((here,)) == _shown((there,)):
            raise InputError(
                f"has the input {there.name!r} from another table than {one.path}; give the same "
                "file to tfbind features for all cell types",
                path=other.path,
            )


def _shown(value: object) -> str:
    if isinstance(value, Geometry):
        return f"window {value.window}, bin {value.size}, stride {value.stride} bp"
    if not isinstance(value, tuple):
        return str(value)
    return ", ".join(one if isinstance(one, str) else f"{one.name} ({one.stored})" for one in value)


def part_by_regions(
    files: Sequence[TileFile], regions: Sequence[Region]
) -> tuple[TileSet, TileSet]:
    """Hold out regions: a tile belongs to one part, and no base is under the windows of both.

    Returns
    -------
    training : TileSet
        Tiles that lie so far outside of all regions that no window reaches into one of the other
        part.
    validation : TileSet
        Tiles whose bins lie inside. Those near an edge are in neither.
    """
    held_out = RegionSet(regions)
    outside, inside = [], []
    for file in files:
        where, flank = spans(file), file.contents.geometry.flank
        outside.append(~held_out.overlaps(where.widened(2 * flank)))
        first = Spans(where.contigs, where.codes, where.starts, where.starts + 1)
        last = Spans(where.contigs, where.codes, where.ends - 1, where.ends)
        inside.append(held_out.overlaps(first) & held_out.overlaps(last))
    tasks = tasks_of(files)
    return TileSet(files, outside, tasks), TileSet(files, inside, tasks)


def draw_regions(files: Sequence[TileFile], share: float, seed: int) -> list[Region]:
    """Draw whole regions of a megabase until they hold a share of all bins and some bound ones.

    Parameters
    ----------
    files : sequence of TileFile
    share : float
        Of bins, and of the bound bins of each experiment.
    seed : int

    Returns
    -------
    list of Region
        In the order of contigs and places.

    Raises
    ------
    InputError
        If the tiles lie in fewer than two such regions.
    """
    counts: dict[tuple[str, int], npt.NDArray[np.int64]] = {}
    tasks = tasks_of(files)
    for file in files:
        weights, *labels = file.labels()
        ends = np.cumsum(file.bins)
        bound = {
            name: (label == BOUND) & (weights > 0)
            for name, label in zip(file.contents.experiments, labels, strict=True)
        }
        nowhere = np.zeros(len(weights), np.bool_)
        columns = [weights, *(bound.get(name, nowhere) for name in tasks)]
        sums = np.stack([np.concatenate([[0], np.cumsum(one, dtype=np.int64)]) for one in columns])
        each = (sums[:, ends] - sums[:, ends - file.bins]).T
        for contig, start, count in zip(file.contigs, file.starts, each, strict=True):
            place = (contig, int(start) // BLOCK)
            counts[place] = counts.get(place, 0) + count
    if len(counts) < 2:
        raise InputError(
            f"the tiles lie in {len(counts)} megabase(s), too few to hold one out; give "
            "--validate REGIONS or --validate TILES"
        )
    places = sorted(counts)
    wanted = share * sum(counts.values(), np.zeros(1, np.int64))
    drawn: list[tuple[str, int]] = []
    have = np.zeros_like(wanted)
    for index in np.random.default_rng(seed).permutation(len(places))[:-1]:
        if (have >= wanted).all():
            break
        drawn.append(places[index])
        have = have + counts[places[index]]
    return [Region(contig, at * BLOCK, (at + 1) * BLOCK) for contig, at in sorted(drawn)]
