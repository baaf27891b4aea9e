"""BigWigs with a value at nearly every base, written as they come, in bounded memory.

The library that writes all others holds its zoom levels in memory until the file is closed, 13
bytes a value (benchmarks/shape.py measures it), some 40 GB for a human genome, and compresses in
one thread. The format is that of Kent W.J. et al., BigWig and BigBed: enabling browsing of large
distributed datasets, Bioinformatics 26, 2204-2207 (2010).
"""

import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from tfbind.bigwig import FULL, MAGIC
from tfbind.errors import InputError

CHUNK = 1 << 19
"""Bases that are encoded at once; one record of the coarsest zoom level."""

FIRST, TIMES = 32, 4
"""Bases a record of the finest zoom level, and how much coarser each next one is."""

WIDTHS = [FIRST * TIMES**level for level in range(8)]
"""Bases a record of each zoom level; the last is `CHUNK`."""

ITEMS = 1 << 13  # values in a block
RECORDS = 1 << 10  # of a zoom level in a block
FANOUT = 256  # items of a node of an index
EFFORT = 4  # of zlib: twice as fast as 6, and 7 % larger

FIXED, VARIABLE = 3, 2  # kinds of a block: without and with a start for each value
BLOCK_HEADER = struct.Struct("<5I2BH")  # contig, start, end, step, span, kind, reserved, items
HEADER = struct.Struct("<4s2H3Q2H2QIQ")
ZOOM_HEADER = struct.Struct("<2I2Q")  # bases a record, reserved, data, index
SUMMARY = struct.Struct("<Q4d")  # covered bases, least, most, sum, sum of squares
TREE_HEADER = struct.Struct("<4I2Q")  # magic, fan-out, bytes of a name, of what it tells, items
INDEX_HEADER = struct.Struct("<2IQ4IQ2I")
NODE = struct.Struct("<2BH")  # leaf or not, reserved, items
TREE_MAGIC, INDEX_MAGIC = 0x78CA8C91, 0x2468ACE0
VERSION = 4
LARGEST = BLOCK_HEADER.size + 8 * ITEMS  # bytes of a block before it is compressed

PLACE = [("contig", "<u4"), ("start", "<u4"), ("last", "<u4"), ("end", "<u4"), ("offset", "<u8")]
LEAF = np.dtype([*PLACE, ("size", "<u8")])
INNER = np.dtype(PLACE)
RECORD = np.dtype(
    [
        *((name, "<u4") for name in ("contig", "start", "end", "covered")),
        *((name, "<f4") for name in ("least", "most", "sum", "squares")),
    ]
)

Items = npt.NDArray[np.void]
"""An array of one of the types above."""

Indices = npt.NDArray[np.intp]


class Part(NamedTuple):
    """Blocks of values or of a zoom level: where each lies in the genome and in the bytes."""

    blocks: Items
    data: bytes
    records: int


class Moments(NamedTuple):
    """What is known of windows of one length, each an array; NaN or 0 where nothing is covered."""

    covered: npt.NDArray[np.int64]
    least: npt.NDArray[np.float32]
    most: npt.NDArray[np.float32]
    sum: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, values: npt.NDArray[np.float32], width: int) -> Self:
        """Measure windows that follow one another; arrays have the shape (windows,).

        Parameters
        ----------
        values : ndarray, shape (windows * width,), float32
            Of single bases, in the unit of the track; NaN where there is none.
        width : int, base pairs
        """
        windows = values.reshape(-1, width)
        known = ~np.isnan(windows)
        filled = np.where(known, windows, 0).astype(np.float64)
        return cls(
            known.sum(1),
            np.fmin.reduce(windows, 1),
            np.fmax.reduce(windows, 1),
            filled.sum(1),
            np.square(filled).sum(1),
        )

    def together(self, count: int) -> "Moments":
        """Join each so many windows that follow one another."""
        parts = [array.reshape(-1, count) for array in self]
        least, most = np.fmin.reduce(parts[1], 1), np.fmax.reduce(parts[2], 1)
        return Moments(parts[0].sum(1), least, most, parts[3].sum(1), parts[4].sum(1))

    def joined(self, other: "Moments") -> "Moments":
        """Join to each window one of another place."""
        least, most = np.fmin(self.least, other.least), np.fmax(self.most, other.most)
        sums = self.sum + other.sum, self.squares + other.squares
        return Moments(self.covered + other.covered, least, most, *sums)


class Level:
    """All blocks of values or of a zoom level, packed: a genome may have a million contigs."""

    def __init__(self) -> None:
        self._blocks = bytearray()
        self.records = 0

    def add(self, part: Part) -> None:
        """Keep where the blocks of a chunk lie."""
        self._blocks += part.blocks.tobytes()
        self.records += part.records

    def blocks(self) -> Items:
        """Give all blocks; while they are held none can be added."""
        return np.frombuffer(self._blocks, LEAF)


class Encoded(NamedTuple):
    """A chunk as it goes into the file."""

    place: tuple[int, int]
    values: Part
    zooms: list[Part]
    total: Moments


class DenseBigWig:
    """Write a bigWig of values that stand on single bases.

    `encode` may be called from several threads; what it gives is added in the order of the genome.

    Parameters
    ----------
    path : str or Path
        Written at the end of a `with`, unless by an error.
    sizes : mapping of str to int
        Contigs and their sizes in base pairs, in the order in which their values come.
    name : str or Path, optional
        The file's name for messages, where it is to be renamed from `path`.

    Raises
    ------
    InputError
        Where the disk has no room; by `add` and at the end.
    """

    def __init__(
        self, path: str | Path, sizes: Mapping[str, int], *, name: str | Path | None = None
    ) -> None:
        self._name = path if name is None else name
        self._sizes = dict(sizes)
        self._numbers = {contig: number for number, contig in enumerate(sizes)}
        longest = max(sizes.values(), default=0)
        self._widths = [width for width in WIDTHS if width <= longest] or WIDTHS[:1]
        self._levels = [Level() for _ in range(len(self._widths) + 1)]
        self._total = Moments.of(np.full(1, np.nan, np.float32), 1)
        self._last = (-1, -1)
        self._files = ExitStack()
        with self._told():
            # Not buffered: what a full disk refuses must not be tried again when it is closed.
            enter = self._files.enter_context
            self._out = enter(open(path, "wb", buffering=0))  # noqa: SIM115
            folder = Path(path).parent
            self._zooms = [
                enter(tempfile.TemporaryFile(dir=folder, buffering=0))  # noqa: SIM115
                for _ in self._widths
            ]
            self._tree_at = HEADER.size + ZOOM_HEADER.size * len(self._widths) + SUMMARY.size
            tree = _contig_tree(self._sizes, self._tree_at)
            self._data_at = self._tree_at + len(tree)
            _write(self._out, bytes(self._tree_at) + tree + bytes(8))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._files:
            if kind is None:
                with self._told():
                    self._finish()

    def encode(self, contig: str, start: int, values: npt.NDArray[np.float32]) -> Encoded:
        """Turn values into compressed blocks and zoom levels.

        Parameters
        ----------
        contig : str
        start : int, base pairs
        values : ndarray, shape (n,), float32
            Of bases that all lie between the same two multiples of `CHUNK`; NaN where there is no
            value.

        Returns
        -------
        Encoded
            For `add`.
        """
        number, size = self._numbers[contig], self._sizes[contig]
        chunk, lead = start - start % CHUNK, start % CHUNK
        # No longer than need be: a genome may have very many short contigs.
        length = next(width for width in WIDTHS if width >= min(size - chunk, CHUNK))
        whole = np.full(length, np.nan, np.float32)
        whole[lead : lead + len(values)] = values
        moments, zooms = Moments.of(whole, FIRST), []
        for width in self._widths:
            zooms.append(_zoom_part(number, chunk, width, size, moments))
            moments = moments.together(min(TIMES, len(moments.sum)))
        total = moments.together(len(moments.sum))
        return Encoded((number, chunk), _value_part(number, start, values), zooms, total)

    def add(self, encoded: Encoded) -> None:
        """Write a chunk, which lies behind all that were added before."""
        if encoded.place <= self._last:
            raise ValueError(f"chunk {encoded.place} comes behind {self._last}")
        self._last = encoded.place
        self._total = self._total.joined(encoded.total)
        files, parts = [self._out, *self._zooms], [encoded.values, *encoded.zooms]
        with self._told():
            for file, part, level in zip(files, parts, self._levels, strict=True):
                part.blocks["offset"] += file.tell()
                _write(file, part.data)
                level.add(part)

    def _finish(self) -> None:
        """Write the indices, the zoom levels, and at last the header."""
        values, *levels = self._levels
        index_at = self._out.tell()
        _write(self._out, _index(values.blocks(), index_at, ITEMS))
        zooms = b""
        for width, level, file in zip(self._widths, levels, self._zooms, strict=True):
            data_at = self._out.tell()
            _write(self._out, struct.pack("<I", level.records))
            blocks = level.blocks()
            blocks["offset"] += self._out.tell()
            file.seek(0)
            while data := file.read(1 << 20):
                _write(self._out, data)
            zooms += ZOOM_HEADER.pack(width, 0, data_at, self._out.tell())
            _write(self._out, _index(blocks, self._out.tell(), RECORDS))
        _write(self._out, MAGIC)
        self._out.seek(self._data_at)
        _write(self._out, struct.pack("<Q", len(values.blocks())))
        self._out.seek(0)
        header = (MAGIC, VERSION, len(levels), self._tree_at, self._data_at, index_at, 0, 0, 0)
        behind = (self._tree_at - SUMMARY.size, LARGEST, 0)
        _write(self._out, HEADER.pack(*header, *behind) + zooms + self._summary())
        os.fsync(self._out.fileno())  # a network disk says only now that it is full

    def _summary(self) -> bytes:
        """Sum up the whole file."""
        if not self._total.covered[0]:
            return SUMMARY.pack(0, 0, 0, 0, 0)
        return SUMMARY.pack(*(array[0].item() for array in self._total))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell which file it is that cannot be written, and what to do."""
        try:
            yield
        except OSError as error:
            advice = "; make room and run this again" if error.errno in FULL else ""
            raise InputError(
                f"cannot be written: {error.strerror}{advice}", path=self._name
            ) from error


def _write(file: FileIO, data: bytes) -> None:
    """Write all of it: a file that is not buffered may take only a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _part(
    contig: int, spans: Sequence[tuple[int, int]], contents: Sequence[bytes], records: int
) -> Part:
    """Compress blocks, each of which lies from a start to an end."""
    packed = [zlib.compress(content, EFFORT) for content in contents]
    blocks = np.zeros(len(packed), LEAF)
    blocks["contig"] = blocks["last"] = contig
    if packed:
        blocks["start"], blocks["end"] = np.array(spans).T
        blocks["size"] = [len(one) for one in packed]
        blocks["offset"] = np.cumsum(blocks["size"]) - blocks["size"]
    return Part(blocks, b"".join(packed), records)


def _value_part(contig: int, start: int, values: npt.NDArray[np.float32]) -> Part:
    """Make blocks of values: without starts where no base is left out."""
    known = np.flatnonzero(~np.isnan(values))
    spans, contents = [], []
    for low in range(0, len(known), ITEMS):
        some = known[low : low + ITEMS]
        begin, end = start + int(some[0]), start + int(some[-1]) + 1
        kind = FIXED if end - begin == len(some) else VARIABLE
        head = BLOCK_HEADER.pack(contig, begin, end, int(kind == FIXED), 1, kind, 0, len(some))
        body = values[some].astype("<f4")
        if kind == VARIABLE:
            body = np.rec.fromarrays([(some + start).astype("<u4"), body])
        spans.append((begin, end))
        contents.append(head + body.tobytes())
    return _part(contig, spans, contents, len(known))


def _zoom_part(contig: int, chunk: int, width: int, size: int, moments: Moments) -> Part:
    """Make the blocks of one zoom level of a chunk."""
    covered = np.flatnonzero(moments.covered)
    records = np.zeros(len(covered), RECORD)
    records["contig"] = contig
    records["start"] = chunk + covered * width
    records["end"] = np.minimum(chunk + (covered + 1) * width, size)
    for name, array in moments._asdict().items():
        records[name] = array[covered]
    cut = [records[low : low + RECORDS] for low in range(0, len(records), RECORDS)]
    spans = [(int(some["start"][0]), int(some["end"][-1])) for some in cut]
    return _part(contig, spans, [some.tobytes() for some in cut], len(records))


def _index(blocks: Items, at: int, items: int) -> bytes:
    """Write the R tree of blocks, which stands at a place in the file."""
    ends = (0, 0, 0, 0)
    if len(blocks):
        first, last = blocks[0], blocks[-1]
        ends = (*first[["contig", "start"]].item(), *last[["last", "end"]].item())
    head = INDEX_HEADER.pack(INDEX_MAGIC, FANOUT, len(blocks), *ends, at, items, 0)
    return head + _tree(blocks, _outlines, at + len(head))


def _outlines(below: Items, firsts: Indices, lasts: Indices) -> Items:
    """Outline nodes of an R tree from their first and last items."""
    nodes = np.zeros(len(firsts), INNER)
    nodes["contig"], nodes["start"] = below["contig"][firsts], below["start"][firsts]
    nodes["last"], nodes["end"] = below["last"][lasts], below["end"][lasts]
    return nodes


def _contig_tree(sizes: Mapping[str, int], at: int) -> bytes:
    """Write the B+ tree of contigs, sorted by name, which stands at a place in the file."""
    names = [name.encode() for name in sizes]
    width = max(map(len, names), default=1)
    leaf = np.dtype([("name", f"S{width}"), ("number", "<u4"), ("size", "<u4")])
    leaves = np.zeros(len(names), leaf)
    leaves["name"], leaves["number"], leaves["size"] = names, range(len(names)), [*sizes.values()]
    leaves.sort(order="name")

    def names_of(below: Items, firsts: Indices, _: Indices) -> Items:
        nodes = np.zeros(len(firsts), np.dtype([("name", f"S{width}"), ("offset", "<u8")]))
        nodes["name"] = below["name"][firsts]
        return nodes

    head = TREE_HEADER.pack(TREE_MAGIC, FANOUT, width, 8, len(names), 0)
    return head + _tree(leaves, names_of, at + len(head))


def _tree(leaves: Items, outline: Callable[[Items, Indices, Indices], Items], at: int) -> bytes:
    """Write a tree from its root on; all nodes of a level are full, but for the last.

    Parameters
    ----------
    leaves : ndarray
        The items at the bottom, sorted.
    outline : callable
        Makes items, which have an `offset`, of nodes from the items below them and the first and
        the last index of each node.
    at : int
        Where the root stands in the file.
    """
    levels = [leaves]
    while len(levels[0]) > FANOUT:
        firsts = np.arange(0, len(levels[0]), FANOUT)
        lasts = np.minimum(firsts + FANOUT, len(levels[0])) - 1
        levels.insert(0, outline(levels[0], firsts, lasts))
    for upper, lower in pairwise(levels):
        at += -(-len(upper) // FANOUT) * NODE.size + upper.nbytes
        upper["offset"] = at + np.arange(len(upper)) * (NODE.size + FANOUT * lower.itemsize)
    nodes = [
        NODE.pack(level is leaves, 0, len(items)) + items.tobytes()
        for level in levels
        for items in (level[low : low + FANOUT] for low in range(0, max(len(level), 1), FANOUT))
    ]
    return b"".join(nodes)
