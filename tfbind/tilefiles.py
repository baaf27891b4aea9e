"""Tiles as an Arrow IPC stream.

A row is a tile; its columns are contig, start, weights, a `label:NAME` for each experiment, and raw
values for each input that has them by the base. The schema's metadata describe them, and hold the
vectors of cell types; what a graph makes itself is only named there. The last record batch is empty
and carries the counts, so that a stream that was cut between two batches is recognised.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import METADATA_KEY, Input, Tiles, fed
from tfbind.errors import InputError
from tfbind.labels import BOUND
from tfbind.tiles import Tile

CLOSING_KEY = "tfbind.closing"
TILES_A_BATCH = 256
LABEL_PREFIX = "label:"


def _schema(contents: Tiles) -> pa.Schema:
    fields = [("contig", pa.string()), ("start", pa.int64()), ("weights", pa.list_(pa.uint8()))]
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
    contigs : list of str, length tiles
    starts : ndarray, shape (tiles,), int64
        Of each tile's first bin.
    bins : ndarray, shape (tiles,), int64
        Bins in each tile, fillers included.

    Raises
    ------
    InputError
        If the file holds no tiles, or is cut short, or something follows the tiles.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._batches, closing = self._read()
        schema = self._schema
        self.contents = Tiles.from_json((schema.metadata or {}).get(METADATA_KEY.encode()), path)
        rows = [len(batch) for batch in self._batches]
        if closing is None or json.loads(closing)["tiles"] != sum(rows):
            raise InputError(
                "is cut short: the closing record is missing; run tfbind features again", path=path
            )
        self.counts: dict[str, Any] = json.loads(closing)
        self._firsts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        self.contigs = [
            name for batch in self._batches for name in batch.column("contig").to_pylist()
        ]
        self.starts = self._gather("start", np.int64)
        self.bins = (
            np.concatenate([np.diff(_offsets(batch.column("weights"))) for batch in self._batches])
            if self._batches
            else np.zeros(0)
        ).astype(np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def _read(self) -> tuple[list[pa.RecordBatch], bytes | None]:
        try:
            source = pa.memory_map(self.path)
        except OSError as error:
            raise InputError(
                f"cannot be read: {error.strerror or error}", path=self.path
            ) from error
        batches, closing = [], None
        try:
            reader = pa.ipc.open_stream(source)
            self._schema = reader.schema
            while True:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
                if closing is not None:
                    raise InputError("holds a batch behind its closing record", path=self.path)
                if metadata is not None and CLOSING_KEY in metadata:
                    closing = metadata[CLOSING_KEY]
                else:
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
        return batches, closing

    def _gather(self, column: str, dtype: type) -> npt.NDArray[Any]:
        arrays = [batch.column(column).to_numpy() for batch in self._batches]
        return np.concatenate(arrays) if arrays else np.zeros(0, dtype)

    def labels(self) -> npt.NDArray[np.uint8]:
        """Read all labels and weights.

        Returns
        -------
        ndarray, shape (1 + experiments, bins), uint8
            Weights, then the labels of each experiment, tile after tile.
        """
        names = ["weights", *(LABEL_PREFIX + name for name in self.contents.experiments)]
        rows = [
            np.concatenate([batch.column(name).flatten().to_numpy() for batch in self._batches])
            for name in names
            if self._batches
        ]
        return np.stack(rows) if rows else np.zeros((len(names), 0), np.uint8)

    def tile(self, index: int) -> Tile:
        """Give one tile; its arrays look into the file."""
        at = int(np.searchsorted(self._firsts, index, side="right")) - 1
        row, batch = index - int(self._firsts[at]), self._batches[at]
        contents = self.contents
        weights = _row(batch.column("weights"), row)
        labels = [_row(batch.column(LABEL_PREFIX + name), row) for name in contents.experiments]
        return Tile(
            self.contigs[index],
            int(self.starts[index]),
            weights,
            np.stack(labels) if labels else np.zeros((0, len(weights)), np.uint8),
            {spec.name: self._raw(spec, batch, row) for spec in fed(contents.inputs)},
        )

    @cached_property
    def _vectors(self) -> dict[str, Array]:
        """The vectors of the file's cell type."""
        return {
            spec.name: channel(spec).of_cell(self.contents.cell)
            for spec in self.contents.inputs
            if spec.along == "cell"
        }

    def _raw(self, spec: Input, batch: pa.RecordBatch, row: int) -> Array:
        if spec.along == "cell":
            return self._vectors[spec.name]
        return _row(batch.column(spec.name), row)


def _offsets(column: pa.ListArray) -> npt.NDArray[np.int32]:
    return np.asarray(column.offsets.to_numpy())


def _row(column: pa.ListArray, row: int) -> Array:
    offsets = _offsets(column)
    return np.asarray(column.values.to_numpy()[offsets[row] : offsets[row + 1]])
