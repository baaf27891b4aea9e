"""Runs of consecutive bins, and the genome under them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfbind.channels import Sources, channel
from tfbind.channels.base import Array, Reader
from tfbind.classes import class_codes, words_of
from tfbind.contract import Geometry, Input, fed
from tfbind.errors import InputError
from tfbind.genome import ContigNames
from tfbind.intervals import Intervals, concatenate
from tfbind.labels import label_codes
from tfbind.strands import stranded

Missing = Literal["error", "skip", "zero"]
PIECE = 8
"""Training reads tiles in pieces of this many bins, so tiles are filled up to a multiple of it."""


@dataclass(frozen=True)
class Tile:
    """A run of bins on one grid, some of which may only fill a gap, and the genome under it.

    Attributes
    ----------
    contig : str
        The genome's name for it.
    start : int
        Of the first bin along the contig, base pairs.
    weights : ndarray, shape (bins,), uint8
        1 for a bin of the input, 0 for one that fills a gap.
    labels : ndarray, shape (experiments, bins), uint8
        `labels.UNBOUND`, `AMBIGUOUS` or `BOUND`; unbound where the weight is 0.
    inputs : mapping of str to ndarray, shape (bases,) or (values,)
        Raw values of each input that a graph is fed, from `flank` before the first bin to `flank`
        behind the last; or the vector of the cell type.
    minus : bool
        Bins and bases come as the reverse strand has them; `start` is that of the last bin then.
    """

    contig: str
    start: int
    weights: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    inputs: Mapping[str, Array]
    minus: bool = False

    @property
    def bins(self) -> int:
        """How many bins the tile holds, fillers included."""
        return len(self.weights)


class BinCheck:
    """Check that batches are bins of one geometry on one genome, and give them the genome's names.

    Parameters
    ----------
    geometry : Geometry or None
        None: the bins may be of any size.
    sources : Sources
    path : str or Path
        The name of the input, for messages.
    missing : 'error', 'skip' or 'zero'
        What to do with a contig that a signal lacks.
    strands : bool
        Bins have strands, in column 6, which are read into `Intervals.minus`.

    Attributes
    ----------
    skipped, zeroed : int
        Bins dropped, and bins kept with zeros, because a signal lacks their contig.
    """

    def __init__(
        self,
        geometry: Geometry | None,
        sources: Sources,
        path: str | Path,
        missing: Missing = "error",
        *,
        strands: bool = False,
    ) -> None:
        self.skipped = 0
        self.zeroed = 0
        self._size = None if geometry is None else geometry.size
        self._sources = sources
        self._path = path
        self._missing = missing
        self._strands = strands
        self._names: ContigNames = sources.names(tuple(sources.genome.sizes), sources.genome.path)
        self._found: dict[str, str] = {}
        self._lacking: dict[str, bool] = {}

    def __call__(self, batch: Intervals) -> tuple[Intervals, list[str]]:
        """Check a batch.

        Returns
        -------
        batch : Intervals
            Without what is skipped.
        names : list of str
            For each of `batch.contigs`, the genome's name.

        Raises
        ------
        InputError
            At the first bin of another size, or beyond the end of its contig, or on a contig that
            the genome, or (unless told otherwise) a signal, lacks; or without a strand.
        """
        self._refuse_other_sizes(batch)
        if self._strands:
            batch = stranded(batch, self._path)
        names = [self._resolve(batch, code) for code in range(len(batch.contigs))]
        sizes = np.array([self._sources.genome.sizes[name] for name in names], np.int64)
        beyond = np.flatnonzero(batch.ends > sizes[batch.codes])
        if len(beyond):
            contig = batch.contigs[batch.codes[beyond[0]]]
            self._refuse(
                batch,
                beyond[0],
                f"found a bin that ends at {batch.ends[beyond[0]]}, expected at most "
                f"{sizes[batch.codes[beyond[0]]]}, where {contig} ends; are bins and genome of one "
                "assembly?",
            )
        return self._without_missing(batch, names), names

    def _refuse_other_sizes(self, batch: Intervals) -> None:
        if self._size is None:
            return
        wrong = np.flatnonzero(batch.ends - batch.starts != self._size)
        if len(wrong):
            found = batch.ends[wrong[0]] - batch.starts[wrong[0]]
            self._refuse(
                batch,
                wrong[0],
                f"found a bin of {found} bp, expected {self._size} bp; bedtools intersect needs "
                "-wa (or -u) to leave bins whole",
            )

    def _refuse(self, batch: Intervals, index: int, message: str) -> None:
        raise InputError(message, path=self._path, line=int(batch.numbers[index]))

    def _resolve(self, batch: Intervals, code: int) -> str:
        name = batch.contigs[code]
        if name not in self._found:
            try:
                self._found[name] = self._names.resolve(name, batch.contigs)
            except InputError as error:
                line = int(batch.numbers[np.argmax(batch.codes == code)])
                raise InputError(
                    f"{error.path} {error.message}", path=self._path, line=line
                ) from error
        return self._found[name]

    def _without_missing(self, batch: Intervals, names: Sequence[str]) -> Intervals:
        lacking = [self._lacks(name) for name in names]
        affected = np.array(lacking, bool)[batch.codes]
        if not affected.any():
            return batch
        if self._missing == "error":
            index = int(np.argmax(affected))
            name = names[batch.codes[index]]
            self._refuse(
                batch,
                index,
                f"{self._sources.lacking(name)[0].path} has no contig {name!r}; "
                "give --missing skip or --missing zero, or name it by --alias",
            )
        if self._missing == "zero":
            self.zeroed += int(affected.sum())
            return batch
        self.skipped += int(affected.sum())
        return batch.select(~affected)

    def _lacks(self, name: str) -> bool:
        if name not in self._lacking:
            self._lacking[name] = bool(self._sources.lacking(name))
        return self._lacking[name]


class Stretches:
    """Read the genome under runs of bins.

    Parameters
    ----------
    geometry : Geometry
    inputs : sequence of Input
    sources : Sources
    """

    def __init__(self, geometry: Geometry, inputs: Sequence[Input], sources: Sources) -> None:
        self._geometry = geometry
        self._channels = {spec.name: channel(spec) for spec in fed(inputs)}
        self._readers: dict[str, Reader] = {
            name: one.reader(sources) for name, one in self._channels.items()
        }

    def read(self, contig: str, start: int, bins: int, *, minus: bool = False) -> dict[str, Array]:
        """Read raw values from `flank` before a run's first bin to `flank` behind its last.

        Parameters
        ----------
        contig : str
            The genome's name.
        start : int
            Of the first bin along the contig, base pairs.
        bins : int
        minus : bool
            Give the bases as the reverse strand has them, so that the first bin comes last.

        Returns
        -------
        dict of str to ndarray, shape (bases,) or (values,)
            By input; blank beyond the ends of the contig.
        """
        first = start - self._geometry.flank
        last = first + self._geometry.length(bins)
        raw = {name: reader(contig, first, last) for name, reader in self._readers.items()}
        return self._turned(raw) if minus else raw

    def _turned(self, raw: Mapping[str, Array]) -> dict[str, Array]:
        """Turn what has a value a base to the other strand."""
        kinds = self._channels
        return {
            name: values
            if kinds[name].spec.along == "cell"
            else kinds[name].reverse_complement(values)
            for name, values in raw.items()
        }


def tile_breaks(
    batch: Intervals, geometry: Geometry, longest: int, origin: int | None = None
) -> tuple[npt.NDArray[np.int64], int]:
    """Find where tiles begin in a batch of bins.

    Bins share a tile where they lie on one grid, in order, less than a window apart: filling such
    a gap reads fewer bases than a second tile would.

    Parameters
    ----------
    batch : Intervals
        Not empty.
    geometry : Geometry
    longest : int
        Most bins in a tile, fillers included.
    origin : int, optional
        The start of the run that the batch goes on with, if it does.

    Returns
    -------
    firsts : ndarray, shape (tiles,), int64
        Index of each tile's first bin.
    origin : int
        The start of the run that the batch ends in.
    """
    step = np.diff(batch.starts)
    joined = (
        (step > 0)
        & (step % geometry.stride == 0)
        & (step < geometry.window)
        & (np.diff(batch.codes) == 0)
    )
    run_firsts = np.concatenate([[0], np.flatnonzero(~joined) + 1])
    origins = batch.starts[run_firsts]
    if origin is not None:
        origins[0] = origin
    lengths = np.diff([*run_firsts, len(batch)])
    place = (batch.starts - np.repeat(origins, lengths)) // geometry.stride // longest
    begins = np.concatenate([[True], ~joined | (np.diff(place) > 0)])
    return np.flatnonzero(begins), int(origins[-1])


def cut_tiles(
    batches: Iterable[tuple[Intervals, list[str]]],
    stretches: Stretches,
    geometry: Geometry,
    longest: int,
    experiments: Sequence[str],
    path: str | Path,
) -> Iterator[Tile]:
    """Cut a stream of bins into tiles, in order; each bin is in exactly one.

    Bins of the two strands are in tiles of their own, and in order among themselves.

    Parameters
    ----------
    batches : iterable of (Intervals, names)
        As `BinCheck` gives them. Where the stream is cut into batches changes no tile; where bins
        are of both strands, it changes their order.
    stretches : Stretches
    geometry : Geometry
    longest : int
        Most bins in a tile.
    experiments : sequence of str
        Names of the label columns, or where bins have strands of the classes; empty if there are
        none.
    path : str or Path
        For messages.

    Yields
    ------
    Tile
    """
    cutters = [
        _Cutter(stretches, geometry, longest, experiments, str(path), minus=minus)
        for minus in (False, True)
    ]
    for batch, names in batches:
        if batch.minus is not None and experiments:
            words_of(batch, experiments, path)  # before strands are parted: the first wrong line
        for cutter, part in zip(cutters, _by_strand(batch), strict=True):
            if len(part):
                yield from cutter.add(part, names)
    for cutter in cutters:
        yield from cutter.end()


def _by_strand(batch: Intervals) -> tuple[Intervals, Intervals]:
    if batch.minus is None:
        return batch, batch.select(np.zeros(len(batch), np.bool_))
    return batch.select(~batch.minus), batch.select(batch.minus)


class _Cutter:
    """Cut the bins of one strand, of which the last tile waits for bins that may join it."""

    def __init__(
        self,
        stretches: Stretches,
        geometry: Geometry,
        longest: int,
        experiments: Sequence[str],
        path: str,
        *,
        minus: bool,
    ) -> None:
        self._stretches = stretches
        self._geometry = geometry
        self._longest = longest
        self._experiments = experiments
        self._path = path
        self._minus = minus
        self._held: Intervals | None = None
        self._origin: int | None = None
        self._names: dict[str, str] = {}

    def add(self, batch: Intervals, names: Sequence[str]) -> Iterator[Tile]:
        """Yield the tiles that bins, at least one, and those before complete."""
        self._names |= dict(zip(batch.contigs, names, strict=True))
        whole = batch if self._held is None else concatenate([self._held, batch])
        firsts, self._origin = tile_breaks(whole, self._geometry, self._longest, self._origin)
        before, self._held = _split(whole, int(firsts[-1]))
        yield from self._tiles(before, firsts[:-1])

    def end(self) -> Iterator[Tile]:
        """Yield the last tile."""
        if self._held is not None:
            yield from self._tiles(self._held, np.zeros(1, int))

    def _tiles(self, batch: Intervals, firsts: npt.NDArray[np.int64]) -> Iterator[Tile]:
        if not len(firsts):
            return
        codes = self._codes(batch).T
        stride, along = self._geometry.stride, slice(None, None, -1 if self._minus else 1)
        for first, last in zip(firsts, [*firsts[1:], len(batch)], strict=True):
            starts = batch.starts[first:last]
            places = (starts - starts[0]) // stride
            bins = min(-(-(int(places[-1]) + 1) // PIECE) * PIECE, self._longest)
            weights = np.zeros(bins, np.uint8)
            weights[places] = 1
            labels = np.zeros((len(self._experiments), bins), np.uint8)
            labels[:, places] = codes[:, first:last]
            contig = self._names[batch.contigs[batch.codes[first]]]
            start = int(starts[0])
            inputs = self._stretches.read(contig, start, bins, minus=self._minus)
            yield Tile(contig, start, weights[along], labels[:, along], inputs, self._minus)

    def _codes(self, batch: Intervals) -> npt.NDArray[np.uint8]:
        """Read labels: of columns, or of classes where bins have strands."""
        if batch.minus is None:
            return label_codes(batch, self._path)
        if not self._experiments:
            return np.zeros((len(batch), 0), np.uint8)
        return class_codes(batch, self._experiments, self._path)


def _split(batch: Intervals, at: int) -> tuple[Intervals, Intervals]:
    before = np.arange(len(batch)) < at
    return batch.select(before), batch.select(~before)
