"""Tiles of many files as one set of equal pieces, and how to part it by region."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import Distribution, Geometry, Input, fed
from tfbind.errors import InputError
from tfbind.intervals import merged
from tfbind.labels import AMBIGUOUS, BOUND, UNBOUND
from tfbind.pieces import Pieces
from tfbind.regions import IntervalSet, Region, RegionSet, Spans
from tfbind.tilefiles import TileFile
from tfbind.tiles import PIECE

BLOCK = 1_000_000
"""Base pairs of the regions that are drawn for validation."""

TILES_HELD = 1 << 14
"""Tiles that are looked at one by one before their pages are given back."""


def spans(file: TileFile) -> Spans:
    """Give the bases from the first bin's start to the last bin's end, tile by tile.

    Parameters
    ----------
    file : TileFile
    """
    geometry = file.contents.geometry
    ends = file.starts + geometry.size + geometry.stride * (file.bins - 1)
    return Spans(file.contigs, file.codes, file.starts, ends)


class TileSet:
    """Chosen tiles of several files, cut into pieces of as many bins each.

    A tile whose bins are no multiple of a piece's gives a last piece that begins earlier, in which
    the bins that an earlier piece held weigh nothing; a shorter tile is filled up with blanks.

    Memory is that of 16 bytes a tile, whatever the tiles hold.

    Parameters
    ----------
    files : sequence of TileFile
        Of one geometry, with the same inputs. A file need not have all tasks.
    chosen : sequence of ndarray, shape (tiles of the file,), bool
        Which tiles of each file; all, if left out.
    tasks : sequence of str, optional
        The experiments to learn, in this order; default: all of the files'.
    bins : int, optional
        In a piece; default: `tiles.PIECE`, or what the longest tile may hold where that is less.

    Attributes
    ----------
    pieces, tiles, bins : int
    tasks : tuple of str
    stranded : bool
        Bins have strands.
    """

    def __init__(
        self,
        files: Sequence[TileFile],
        chosen: Sequence[npt.NDArray[np.bool_]] | None = None,
        tasks: Sequence[str] | None = None,
        bins: int | None = None,
    ) -> None:
        self.files = tuple(files)
        self.tasks = tasks_of(files) if tasks is None else tuple(tasks)
        longest = max((file.contents.longest for file in files), default=PIECE)
        self.bins = bins = min(PIECE, longest) if bins is None else bins
        self.stranded = any(file.contents.stranded for file in files)
        self.chosen = tuple(chosen or (np.ones(len(file), np.bool_) for file in files))
        self._tiles = [np.flatnonzero(tiles) for tiles in self.chosen]
        # How many pieces there are up to the end of each tile, file by file.
        self._ends = [
            np.cumsum(-(-file.bins[tiles] // bins))
            for file, tiles in zip(self.files, self._tiles, strict=True)
        ]
        self._firsts = np.cumsum([0, *(int(ends[-1]) if len(ends) else 0 for ends in self._ends)])

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return int(self._firsts[-1])

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
        return self._label_counts.copy()

    @cached_property
    def _label_counts(self) -> npt.NDArray[np.int64]:
        counts = np.zeros((len(self.tasks), 3), np.int64)
        for file, chosen in zip(self.files, self.chosen, strict=True):
            rows = {name: row for row, name in enumerate(self.tasks)}
            for tiles, (weights, *labels) in file.label_parts():
                used = np.repeat(chosen[tiles], file.bins[tiles]) & (weights > 0)
                for name, column in zip(file.contents.experiments, labels, strict=True):
                    if name in rows:
                        found = np.bincount(column[used], minlength=3)
                        counts[rows[name]] += found[[UNBOUND, AMBIGUOUS, BOUND]]
            file.release()
        return counts

    def read(self, index: npt.NDArray[np.int64], inputs: Iterable[Input] | None = None) -> Pieces:
        """Read some pieces.

        Parameters
        ----------
        index : ndarray, shape (n,), int64
            Which, in any order.
        inputs : iterable of Input, optional
            Which of the files' to read, by name; default: all.
        """
        contents, count = self.files[0].contents, len(index)
        weights = np.zeros((count, len(self.tasks), self.bins), np.uint8)
        labels = np.zeros_like(weights)
        names = {spec.name for spec in (contents.inputs if inputs is None else inputs)}
        specs = [spec for spec in fed(contents.inputs) if spec.name in names]
        length = contents.geometry.length(self.bins)
        values = {
            spec.name: np.repeat(channel(spec).blanks(length)[None], count, axis=0)
            for spec in specs
        }
        files = np.searchsorted(self._firsts, index, side="right") - 1
        contigs, starts = np.zeros(count, np.int32), np.zeros(count, np.int64)
        for number in np.unique(files).tolist():
            file, which = self.files[number], np.flatnonzero(files == number)
            tiles, firsts = self._places(number, index[which] - self._firsts[number])
            contigs[which] = file.codes[tiles]
            starts[which] = file.starts[tiles] + firsts * contents.geometry.stride
            present = file.weights(tiles, firsts, self.bins)
            # An earlier piece held these.
            present[np.arange(self.bins) < (-firsts % self.bins)[:, None]] = 0
            for row, name in enumerate(self.tasks):
                if name in file.contents.experiments:
                    weights[which, row] = present
                    labels[which, row] = file.labels_of(name, tiles, firsts, self.bins)
            for spec in specs:
                values[spec.name][which] = file.values(spec, tiles, firsts, self.bins)
        signals = [file.contents.signals for file in self.files]
        return Pieces(weights, labels, values, files, signals, contigs, starts)

    def _places(
        self, number: int, index: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give the tile of each of a file's pieces, and the bin in it that the piece begins at."""
        ends, file = self._ends[number], self.files[number]
        at = np.searchsorted(ends, index, side="right")
        tiles = self._tiles[number][at]
        place = index - np.where(at > 0, ends[at - 1], 0)
        return tiles, np.minimum(place * self.bins, np.maximum(file.bins[tiles] - self.bins, 0))

    def blocks(self, size: int) -> list[tuple[int, int]]:
        """Part the pieces into runs that lie together on the disk.

        Parameters
        ----------
        size : int, bytes
            Of a run, about.

        Returns
        -------
        list of (int, int)
            The first piece of each, and the one behind its last.
        """
        found = []
        for file, first, last in zip(
            self.files, self._firsts[:-1].tolist(), self._firsts[1:].tolist(), strict=True
        ):
            pieces = last - first
            held = max(size * pieces // max(file.size, 1), 1)
            found += [(at, min(at + held, last)) for at in range(first, last, held)]
        return found

    def release(self) -> None:
        """Give back the memory of the tiles that were read."""
        for file in self.files:
            file.release()

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
            for count, index in enumerate(np.flatnonzero(chosen).tolist()):
                yield file.tile(index).inputs[name], file.contents.signals[name]
                if count % TILES_HELD == 0:
                    file.release()


def tasks_of(files: Iterable[TileFile]) -> tuple[str, ...]:
    """Name all experiments of some files, each once."""
    return tuple(dict.fromkeys(name for file in files for name in file.contents.experiments))


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
        if first.contents.stranded != file.contents.stranded:
            one, other = (
                "strands" if held.contents.stranded else "no strands" for held in (file, first)
            )
            raise InputError(
                f"holds bins with {one}, but {first.path} with {other}; learn from one kind",
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
    files: Sequence[TileFile], regions: Sequence[Region], tasks: Sequence[str] | None = None
) -> tuple[TileSet, TileSet]:
    """Hold out regions: a tile belongs to one part, and no base is under the windows of both.

    Parameters
    ----------
    files : sequence of TileFile
    regions : sequence of Region
    tasks : sequence of str, optional
        As `TileSet` takes them.

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
        inside.append(held_out.covers(where))
    tasks = tasks_of(files) if tasks is None else tasks
    return TileSet(files, outside, tasks), TileSet(files, inside, tasks)
