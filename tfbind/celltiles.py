"""Tiles of the cell types of a sheet: what bin, label, sample and features do, in one go."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.bins import Bins, drop_overlapping
from tfbind.channels import Sources
from tfbind.contract import Geometry, Input, Tiles
from tfbind.distribution import sampled
from tfbind.errors import InputError, three
from tfbind.genome import read_alias
from tfbind.intervals import IntervalReader, Intervals, bed_lines, read_intervals
from tfbind.labels import Labeller, Peaks, column_names, letters, read_peaks
from tfbind.lines import tabbed_lines, with_columns
from tfbind.regions import IntervalSet, RegionSet
from tfbind.samplesheet import CellType, Experiment, SampleSheet
from tfbind.sampling import Sampler, common_step
from tfbind.tilefiles import write_tiles
from tfbind.tiles import BinCheck, Missing, Stretches, cut_tiles

LABEL = "label"
"""What a column of labels is headed that names no factor."""

Advance = Callable[[float], None]
"""Is told how many more bins are done."""


@dataclass(frozen=True)
class Selection:
    """Which bins are learnt from, of all cell types.

    Attributes
    ----------
    bins : Bins
        Of those that are labelled by peaks.
    inside : RegionSet or None
        Where bins lie that come with labels; None: anywhere.
    excluded : IntervalSet or None
        Bins that overlap it are dropped.
    holdout : RegionSet or None
        Bins that overlap it are dropped as they are sampled.
    background, seed : int
        How many to draw that are neither accessible nor bound.
    missing : 'error', 'skip' or 'zero'
        What to do with a contig that a signal lacks.
    alias : str or None
        The file of contigs' other names.
    prefix : 'add', 'strip' or None
    """

    bins: Bins
    inside: RegionSet | None
    excluded: IntervalSet | None
    holdout: RegionSet | None
    background: int
    seed: int
    missing: Missing = "error"
    alias: str | None = None
    prefix: Literal["add", "strip"] | None = None

    @property
    def matching(self) -> dict[str, Any]:
        """How contigs are matched, as peaks and sets of intervals take it."""
        return {"alias": read_alias(self.alias) if self.alias else {}, "prefix": self.prefix}


@dataclass(frozen=True)
class Share:
    """The experiments of a cell type that go into one file: all of peaks, or those of one labels.

    Attributes
    ----------
    cell : CellType
    labels : str
        The path of the bins with their labels; empty: bins of the grid are labelled by peaks.
    experiments : tuple of Experiment
    """

    cell: CellType
    labels: str
    experiments: tuple[Experiment, ...]


def shares(cell: CellType) -> list[Share]:
    """Part a cell type's experiments into those whose bins are labelled together."""
    parts: dict[str, list[Experiment]] = {}
    for one in cell.experiments:
        parts.setdefault(one.labels, []).append(one)
    return [Share(cell, labels, tuple(some)) for labels, some in parts.items()]


class CellTiles:
    """Make the tiles of a share of a sheet.

    Parameters
    ----------
    sheet : SampleSheet
    share : Share
    selection : Selection
    sources : Sources
        Of the cell type.
    inputs : sequence of Input

    Raises
    ------
    InputError
        If a file of the sheet cannot be used.
    """

    def __init__(
        self,
        sheet: SampleSheet,
        share: Share,
        selection: Selection,
        sources: Sources,
        inputs: Sequence[Input],
    ) -> None:
        self._sheet = sheet
        self._share = share
        self._selection = selection
        self._sources = sources
        self._inputs = tuple(inputs)
        self._geometry = Geometry()
        self._names = tuple(one.factor for one in share.experiments)
        self._picked: list[int] = list(range(len(self._names)))

    def write(
        self, stream: BinaryIO, longest: int, advance: Advance = lambda bins: None
    ) -> dict[str, Any]:
        """Write the tiles.

        Parameters
        ----------
        stream : binary file
        longest : int
            Most bins in a tile.
        advance : callable
            Told how many bins were labelled.

        Returns
        -------
        dict
            The counts of `tilefiles.write_tiles`.
        """
        share, sheet, accessible = self._share, self._sheet, self._accessible()
        if share.labels:
            with sheet.told(share.experiments[0].line, "labels"), _opened(share.labels) as labels:
                labelled = self._from_labels(labels, advance)
                sampler = self._sampled(labelled, share.labels, accessible)
        else:
            self._refuse_missing()
            sampler = self._sampled(self._from_peaks(advance), sheet.path, accessible)
        if accessible is not None:
            with sheet.told(share.cell.lines["accessible"], "accessible"):
                accessible.axis.require_shared()
        signals = {
            name: sampled(one, *self._sources.where(one))
            for name, one in self._sources.signals.items()
        }
        geometry, path = self._geometry, sheet.path
        contents = Tiles(geometry, self._inputs, self._names, share.cell.name, longest, signals)
        check = BinCheck(geometry, self._sources, path, self._selection.missing)
        stretches = Stretches(geometry, self._inputs, self._sources)
        chosen = (check(batch) for batch in self._chosen(sampler))
        with sheet.told(share.cell.lines["cell"], "cell"):
            tiles = cut_tiles(chosen, stretches, geometry, longest, self._names, path)
            return write_tiles(tiles, contents, stream)

    def _from_peaks(self, advance: Advance) -> Iterator[Intervals]:
        """Lay bins, and label them by the peaks of every factor."""
        labellers = [self._labeller(one) for one in self._share.experiments]
        blocks = self._selection.bins.blocks()
        if self._selection.excluded is not None:
            blocks = drop_overlapping(blocks, self._geometry.size, self._selection.excluded)
        before = 0
        for contig, starts in blocks:
            bins = _intervals(contig, starts, starts + self._geometry.size, before)
            before += len(bins)
            columns = [letters(labeller.label(bins)) for labeller in labellers]
            text = tabbed_lines(with_columns(bins.text, *columns))
            yield replace(bins, extra=tuple(one.cast(pa.binary()) for one in columns), text=text)
            advance(len(bins))
        for labeller, one in zip(labellers, self._share.experiments, strict=True):
            with self._sheet.told(one.line, "peaks"):
                labeller.axis.require_shared()

    def _labeller(self, one: Experiment) -> Labeller:
        with self._sheet.told(one.line, "peaks"):
            peaks = _peaks(one.peaks)
        relaxed = None
        if one.relaxed:
            with self._sheet.told(one.line, "relaxed"):
                relaxed = _peaks(one.relaxed)
        return Labeller(peaks, relaxed, **self._selection.matching)

    def _from_labels(self, stream: BinaryIO, advance: Advance) -> Iterator[Intervals]:
        """Read bins that have labels, and leave out those that lie elsewhere."""
        path = self._share.labels
        reader = IntervalReader(stream, path)
        missing = self._selection.missing
        # Bins are dropped for want of a signal once they are sampled, as in a pipe.
        check = BinCheck(
            self._geometry, self._sources, path, "zero" if missing == "skip" else missing
        )
        for batch in reader:
            self._picked = self._columns(reader)
            bins = self._pick(batch)
            keep = np.ones(len(bins), np.bool_)
            if self._selection.inside is not None:
                keep &= self._selection.inside.covers(bins)
            if self._selection.excluded is not None:
                keep &= ~self._selection.excluded.overlaps(bins)
            bins = bins if keep.all() else bins.select(keep)
            # What lies elsewhere may be of another genome, or on a contig that a signal lacks.
            if len(bins):
                check(_with_own_contigs(bins))
            yield bins
            advance(len(batch))

    def _columns(self, reader: IntervalReader) -> list[int]:
        """Find the label column of each factor: by its name, or the only one if it has none."""
        names = column_names(reader.header, reader.columns)
        if len(self._names) == 1 and reader.columns == 4 and (names or [LABEL]) == [LABEL]:
            return [0]
        lacking = [name for name in self._names if name not in (names or ())]
        if lacking:
            raise InputError(
                f"has {reader.columns - 3} column(s) behind the third, named "
                f"{three(names or ())}, expected one of labels, or a # line that names them with "
                f"{lacking[0]} among them",
                path=self._share.labels,
            )
        return [(names or []).index(name) for name in self._names]

    def _pick(self, batch: Intervals) -> Intervals:
        return replace(batch, extra=tuple(batch.extra[column] for column in self._picked))

    def _accessible(self) -> IntervalSet | None:
        """Read the cell type's open chromatin, if there is any."""
        cell = self._share.cell
        if not cell.accessible:
            return None
        with (
            self._sheet.told(cell.lines["accessible"], "accessible"),
            _opened(cell.accessible) as stream,
        ):
            places = read_intervals(stream, cell.accessible)
            return IntervalSet(places, cell.accessible, **self._selection.matching)

    def _sampled(
        self, labelled: Iterable[Intervals], path: str, accessible: IntervalSet | None
    ) -> Sampler:
        """Choose bins; all of them are read."""
        selection = self._selection
        step, batches = common_step(labelled)
        sampler = Sampler(
            selection.background,
            selection.seed,
            step,
            accessible=accessible,
            holdout=selection.holdout,
        )
        for batch in batches:
            sampler.add(batch, path)
        return sampler

    def _chosen(self, sampler: Sampler) -> Iterator[Intervals]:
        for text in sampler.lines():
            if text:
                yield self._pick(read_intervals(io.BytesIO(text), self._sheet.path))

    def _refuse_missing(self) -> None:
        """Tell at once of a contig that a signal lacks, rather than once bins are chosen."""
        if self._selection.missing != "error":
            return
        for contig in dict.fromkeys(run.contig for run in self._selection.bins.runs):
            for signal in self._sources.lacking(contig):
                raise InputError(
                    f"column signal: {signal.path} has no contig {contig!r}; give --missing skip "
                    "or --missing zero, name it by --alias, or leave it out by --chroms",
                    path=self._sheet.path,
                    line=self._share.cell.lines["signal"],
                )


def _intervals(
    contig: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], before: int
) -> Intervals:
    text = tabbed_lines(bed_lines(contig, starts, ends))
    numbers = np.arange(before + 1, before + 1 + len(starts))
    codes = np.zeros(len(starts), np.int32)
    return Intervals((contig,), codes, starts, ends, (), text, numbers)


def _with_own_contigs(bins: Intervals) -> Intervals:
    """Leave out the names of contigs that no bin is on."""
    used, codes = np.unique(bins.codes, return_inverse=True)
    contigs = tuple(bins.contigs[code] for code in used.tolist())
    return replace(bins, contigs=contigs, codes=codes.astype(np.int32))


def _peaks(path: str) -> Peaks:
    with _opened(path) as stream:
        return read_peaks(stream, path)


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
