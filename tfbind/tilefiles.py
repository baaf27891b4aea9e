"""Tiles as an Arrow IPC stream.

A row is a tile; its columns are contig, start, strand if bins have one, weights, a `label:NAME` for
each experiment, and raw values for each input that has them by the base. The schema's metadata
describe them, and hold the vectors of cell types; what a graph makes itself is only named there.
The last record batch is empty and carries the counts, so that a stream that was cut between two
batches is recognised.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import METADATA_KEY, Input, Tiles, fed
from tfbind.errors import InputError
from tfbind.labels import BOUND
from tfbind.mapped import ListColumn, MappedFile, Places
from tfbind.tiles import Tile

CLOSING_KEY = "tfbind.closing"
TILES_A_BATCH = 256
LABEL_PREFIX = "label:"

BATCHES_HELD = 16
"""Record batches whose labels are looked at before their pages are given back."""


def _schema(contents: Tiles) -> pa.Schema:
    fields = [("contig", pa.string()), ("start", pa.int64())]
    fields += [("strand", pa.string())] if contents.stranded else []
    fields += [("weights", pa.list_(pa.uint8()))]
    fields += [(LABEL_PREFIX + name, pa.list_(pa.uint8())) for name in contents.experiments]
    fields += [
        (spec.name, pa.list_(pa.from_numpy_dtype(np.dtype(spec.stored))))
        for spec in _columns(contents)
    ]
    return pa.schema(fields, metadata={METADATA_KEY: contents.to_json()})


def _columns(contents: Tiles) -> list[Input]:
    """Give the inputs that have a value a base."""
    return [spec for spec in contents.inputs if spec.along == "bases"]


def _lists(arrays: Sequence[Array]) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in arrays])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(arrays)))


def _record_batch(tiles: Sequence[Tile], contents: Tiles, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.array([tile.contig for tile in tiles]),
        pa.array([tile.start for tile in tiles], pa.int64()),
        *([pa.array(["+-"[tile.minus] for tile in tiles])] if contents.stranded else []),
        _lists([tile.weights for tile in tiles]),
        *(_lists([tile.labels[i] for tile in tiles]) for i in range(len(contents.experiments))),
        *(_lists([tile.inputs[spec.name] for tile in tiles]) for spec in _columns(contents)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def write_tiles(tiles: Iterable[Tile], contents: Tiles, stream: BinaryIO) -> dict[str, Any]:
    """Write tiles, and at the end the record that says that they are all.

    Parameters
    ----------
    tiles : iterable of Tile
    contents : Tiles
    stream : binary file

    Returns
    -------
    dict
        `tiles`, `bins` (of the input), `fillers` (bins that only fill gaps) and `bound` (a count
        for each experiment).
    """
    schema = _schema(contents)
    counts = {"tiles": 0, "bins": 0, "fillers": 0}
    bound = np.zeros(len(contents.experiments), np.int64)
    with pa.ipc.new_stream(stream, schema) as writer:
        for batch in _grouped(tiles):
            writer.write_batch(_record_batch(batch, contents, schema))
            counts["tiles"] += len(batch)
            for tile in batch:
                filled = int(tile.weights.sum())
                counts["bins"] += filled
                counts["fillers"] += tile.bins - filled
                bound += (tile.labels == BOUND).sum(axis=1)
        closing: dict[str, Any] = counts | {
            "bound": dict(zip(contents.experiments, bound.tolist(), strict=True))
        }
        empty = pa.RecordBatch.from_arrays(
            [pa.array([], field.type) for field in schema], schema=schema
        )
        writer.write_batch(empty, custom_metadata={CLOSING_KEY: json.dumps(closing)})
    return closing


def _grouped(tiles: Iterable[Tile]) -> Iterator[list[Tile]]:
    group: list[Tile] = []
    for tile in tiles:
        group.append(tile)
        if len(group) == TILES_A_BATCH:
            yield group
            group = []
    if group:
        yield group


class TileFile:
    """A file of tiles, mapped into memory: opening it reads no more than its outline.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    contents : Tiles
    counts : dict
        As `write_tiles` returned them.
    contigs : tuple of str
        The names that `codes` indexes.
    codes : ndarray, shape (tiles,), int32
    starts : ndarray, shape (tiles,), int64
        Of each tile's first bin along its contig.
    minus : ndarray, shape (tiles,), bool
        Which come as the reverse strand has them.
    bins : ndarray, shape (tiles,), int64
        Bins in each tile, fillers included.
    size : int
        Bytes of the file.

    Raises
    ------
    InputError
        If the file holds no tiles, or is cut short, or something follows the tiles.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._file = MappedFile(path)
        self.size = len(self._file.bytes)
        schema, batches, closing = self._read()
        self.contents = Tiles.from_json((schema.metadata or {}).get(METADATA_KEY.encode()), path)
        if closing is None or json.loads(closing)["tiles"] != sum(map(len, batches)):
            raise InputError(
                "is cut short: the closing record is missing; run tfbind features again", path=path
            )
        self.counts: dict[str, Any] = json.loads(closing)
        # What is kept is small, and none of it looks into the file: tiles may be very many.
        contigs: dict[str, int] = {}
        codes = [
            [contigs.setdefault(name, len(contigs)) for name in batch.column("contig").to_pylist()]
            for batch in batches
        ]
        self.codes = _joined(codes, np.int32)
        self.contigs = tuple(contigs)
        self.starts = _joined([batch.column("start").to_numpy() for batch in batches], np.int64)
        self.minus = np.zeros(len(self.starts), np.bool_)
        if self.contents.stranded:
            self.minus = _joined([_is_minus(batch.column("strand")) for batch in batches], np.bool_)
        self._vectors: dict[str, Array] = {}
        self._batches = np.cumsum([0, *map(len, batches)])
        names = ["weights", *map(LABEL_PREFIX.__add__, self.contents.experiments)]
        names += [spec.name for spec in _columns(self.contents)]
        self._lists = {name: ListColumn(self._file, batches, name) for name in names}
        self.bins = self._lists["weights"].lengths(np.arange(len(self.starts)))
        self.release()

    def __len__(self) -> int:
        return len(self.starts)

    def _read(self) -> tuple[pa.Schema, list[pa.RecordBatch], bytes | None]:
        source = pa.BufferReader(self._file.buffer)
        batches, closing, schema = [], None, pa.schema([])
        try:
            reader = pa.ipc.open_stream(source)
            schema = reader.schema
            while True:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
                if closing is not None:
                    raise InputError("holds a batch behind its closing record", path=self.path)
                if metadata is not None and CLOSING_KEY in metadata:
                    closing = metadata[CLOSING_KEY]
                elif len(batch):
                    batches.append(batch)
        except StopIteration:
            pass
        except (pa.ArrowException, OSError, EOFError) as error:
            raise InputError(
                f"is no file of tiles, or is cut short ({str(error)[:80]}); "
                "run tfbind features again",
                path=self.path,
            ) from error
        if source.tell() != source.size():
            raise InputError(
                f"has {source.size() - source.tell()} bytes behind the tiles: files of tiles "
                "cannot be joined by cat; give each to train by itself",
                path=self.path,
            )
        return schema, batches, closing

    def labels(self) -> npt.NDArray[np.uint8]:
        """Read all labels and weights.

        Returns
        -------
        ndarray, shape (1 + experiments, bins), uint8
            Weights, then the labels of each experiment, tile after tile.
        """
        parts = [labels for _, labels in self.label_parts()]
        none = np.zeros((1 + len(self.contents.experiments), 0), np.uint8)
        return np.concatenate(parts, axis=1) if parts else none

    def label_parts(self) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
        """Read labels and weights, a few tiles at a time.

        Yields
        ------
        tiles : slice
        labels : ndarray, shape (1 + experiments, bins of these tiles), uint8
            As `labels` gives them.
        """
        names = ["weights", *map(LABEL_PREFIX.__add__, self.contents.experiments)]
        for number, (first, last) in enumerate(pairwise(self._batches.tolist())):
            yield slice(first, last), np.stack([self._lists[name].batch(number) for name in names])
            if number % BATCHES_HELD == 0:
                self.release()

    def tile(self, index: int) -> Tile:
        """Give one tile; its arrays look into the file."""
        contents = self.contents
        weights = self._lists["weights"].row(index)
        labels = [self._lists[LABEL_PREFIX + name].row(index) for name in contents.experiments]
        return Tile(
            self.contigs[self.codes[index]],
            int(self.starts[index]),
            weights,
            np.stack(labels) if labels else np.zeros((0, len(weights)), np.uint8),
            {
                spec.name: self.vector(spec)
                if spec.along == "cell"
                else self._lists[spec.name].row(index)
                for spec in fed(contents.inputs)
            },
            bool(self.minus[index]),
        )

    def weights(self, tiles: Places, firsts: Places, bins: int) -> npt.NDArray[np.uint8]:
        """Copy weights of consecutive bins, shape (len(tiles), bins); 0 behind the end of a tile.

        Parameters
        ----------
        tiles, firsts : ndarray, shape (n,), int64
            Which tile, and the bin in it that each row begins at.
        bins : int
        """
        return self._lists["weights"].gather(tiles, firsts, bins)

    def labels_of(
        self, experiment: str, tiles: Places, firsts: Places, bins: int
    ) -> npt.NDArray[np.uint8]:
        """Copy labels of an experiment; parameters are those of `weights`."""
        return self._lists[LABEL_PREFIX + experiment].gather(tiles, firsts, bins)

    def values(self, spec: Input, tiles: Places, firsts: Places, bins: int) -> Array:
        """Copy what lies under the windows of consecutive bins; parameters as for `weights`.

        Returns
        -------
        ndarray, shape (len(tiles), bases) or (len(tiles), values)
            Blank behind the end of a tile.
        """
        if spec.along == "cell":
            return np.repeat(self.vector(spec)[None], len(tiles), axis=0)
        geometry = self.contents.geometry
        begins, length = firsts * geometry.stride, geometry.length(bins)
        return self._lists[spec.name].gather(tiles, begins, length, channel(spec).blank)

    def vector(self, spec: Input) -> Array:
        """Give the vector of the file's cell type."""
        if spec.name not in self._vectors:
            self._vectors[spec.name] = channel(spec).of_cell(self.contents.cell)
        return self._vectors[spec.name]

    def release(self) -> None:
        """Give back the memory of what was looked at."""
        self._file.release()


def _is_minus(strands: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(strands, "-").to_numpy(zero_copy_only=False))


def _joined(parts: Sequence[npt.ArrayLike], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *(np.asarray(one, dtype) for one in parts)])
