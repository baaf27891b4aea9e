"""The files of the ENCODE-DREAM challenge: label tables and submissions.

A label table holds one transcription factor: gzip text, parted by tabs, below the header
`chr start stop CELL...`, with U, A or B for each cell type. A submission holds one factor in one
cell type: gzip text without a header, `chrom start stop probability`.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from tfbind.errors import InputError
from tfbind.intervals import BYTE_ORDER_MARK, Intervals, bed_lines
from tfbind.labels import column_names, label_codes, letters
from tfbind.lines import whole_lines
from tfbind.tensors import Scores
from tfbind.text import BLOCK, text_blocks

SIZE, STRIDE = 200, 50
"""Base pairs of a bin, and from one bin to the next."""

TABLE_HEADER = ["chr", "start", "stop"]
HELD_OUT = ("chr1", "chr8", "chr21")
"""The chromosomes on which submissions were measured."""

LEVEL = 4
"""Of gzip: measured on submissions, three times as fast as level 6 and 2 % larger."""

NAME = re.compile(r"[0-9.]*([LFB])\.(.+?)\.(.+?)\.tab(\(\d+\))?\.gz")
OWN_NAMES = "--any-name accepts names of your own"
ROUNDS = {"L": "the leaderboard", "F": "the final round", "B": "the within-cell-type round"}

_LEADERBOARD = """
    ARID3A K562; ATF2 K562; ATF3 liver; ATF7 MCF-7; CEBPB MCF-7; CREB1 MCF-7; CTCF GM12878;
    E2F6 K562; EGR1 K562; EP300 MCF-7; FOXA1 MCF-7; GABPA K562; GATA3 MCF-7; JUND H1-hESC;
    MAFK K562 MCF-7; MAX MCF-7; MYC HepG2; REST K562; RFX5 HepG2; SPI1 K562; SRF MCF-7;
    STAT3 GM12878; TAF1 HepG2; TCF12 K562; TCF7L2 MCF-7; TEAD4 MCF-7; YY1 K562; ZNF143 K562
"""
_FINAL = """
    ATF2 HepG2; CTCF PC-3 induced_pluripotent_stem_cell; E2F1 K562; EGR1 liver; FOXA1 liver;
    FOXA2 liver; GABPA liver; HNF4A liver; JUND liver; MAX liver;
    NANOG induced_pluripotent_stem_cell; REST liver; TAF1 liver
"""


def _cells(table: str) -> dict[str, list[str]]:
    return {factor: cells for factor, *cells in (row.split() for row in table.split(";"))}


# The cell types of the final round were opened for learning, and asked for again, in round B.
CELLS = {"L": _cells(_LEADERBOARD), "F": _cells(_FINAL), "B": _cells(_FINAL)}
"""The cell types that each round asked for, of each factor."""


class Name(NamedTuple):
    """What a submission's file name says: the letter of the round, a key of `ROUNDS`, and so on."""

    round: str
    factor: str
    cell: str


def parse_name(path: str | Path) -> Name | None:
    """Read the name of a submission; None where it is not like one."""
    found = NAME.fullmatch(Path(path).name)
    return Name(found[1], found[2], found[3]) if found else None


def check_name(path: str | Path) -> Name:
    """Read the name of a submission, and see that the challenge asked for it.

    Raises
    ------
    InputError
        If it is not like `F.CTCF.PC-3.tab.gz`, or the round did not ask for that factor or cell.
    """
    name = parse_name(path)
    if name is None:
        raise InputError(
            "the name is not that of a submission, expected {L,F,B}.FACTOR.CELL.tab.gz such as "
            f"F.CTCF.PC-3.tab.gz; {OWN_NAMES}",
            path=path,
        )
    asked = CELLS[name.round]
    if name.factor not in asked:
        raise InputError(
            f"{ROUNDS[name.round]} did not ask for {name.factor!r}, expected one of "
            f"{', '.join(asked)}; {OWN_NAMES}",
            path=path,
        )
    if name.cell not in asked[name.factor]:
        raise InputError(
            f"{ROUNDS[name.round]} did not ask for {name.factor} in {name.cell!r}, expected "
            f"{' or '.join(asked[name.factor])}; {OWN_NAMES}",
            path=path,
        )
    return name


class _Blocks(RawIOBase):
    """A stream that is read from blocks of bytes."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def stream_of(blocks: Iterator[bytes]) -> BinaryIO:
    """Make a stream of blocks of bytes."""
    return cast(BinaryIO, BufferedReader(_Blocks(blocks)))


def table_as_bed(stream: BinaryIO, path: str | Path) -> tuple[BinaryIO, tuple[str, ...]]:
    """Let a label table be read as labelled BED: its header becomes a comment.

    Parameters
    ----------
    stream : binary file
        A label table or BED text; plain, gzip or BGZF.
    path : str or Path
        The name for messages.

    Returns
    -------
    stream : binary file
        Plain text, with the line numbers of the file.
    cells : tuple of str
        The cell types that the header names; empty if this is no label table.

    Raises
    ------
    InputError
        If the header names no cell type, or one twice.
    """
    blocks = text_blocks(stream, path)
    first = next(blocks, b"")
    head, _, rest = first.removeprefix(BYTE_ORDER_MARK).partition(b"\n")
    fields = head.removesuffix(b"\r").decode("utf-8", "replace").split("\t")
    cells = tuple(fields[len(TABLE_HEADER) :])
    if fields[: len(TABLE_HEADER)] != TABLE_HEADER:
        return stream_of(chain([first], blocks)), ()
    check_cells(cells, path)
    header = "\t".join(["#contig", "start", "end", *cells]).encode() + b"\n"
    return stream_of(chain([header, rest], blocks)), cells


def check_cells(cells: Sequence[str], path: str | Path) -> None:
    """Refuse names of cell types that cannot head the columns of a table."""
    if not cells or len(set(cells)) < len(cells) or not all(map(is_name, cells)):
        raise InputError(
            f"found the cell types {', '.join(map(repr, cells)) or 'none'}, expected different "
            "names without spaces or commas behind chr, start, stop",
            path=path,
        )


def is_name(text: str) -> bool:
    """Tell whether a text can name a column: it is written, and chosen in lists with commas."""
    try:
        text.encode()  # what a shell gave that is no UTF-8 cannot be written
    except UnicodeEncodeError:
        return False
    return text.split() == [text] and "," not in text


def choose_cell(cells: Sequence[str], cell: str | None, path: str | Path) -> int:
    """Find a cell type among those of a label table; it need not be named where there is one.

    Raises
    ------
    InputError
        If there is none of that name, or several and no name.
    """
    if cell is None and len(cells) == 1:
        return 0
    if cell is None:
        raise InputError(
            f"holds labels of {len(cells)} cell types; choose one by --cell: {', '.join(cells)}",
            path=path,
        )
    if cell not in cells:
        raise InputError(
            f"found no labels of the cell type {cell!r}, expected one of {', '.join(cells)}",
            path=path,
        )
    return list(cells).index(cell)


def labelled_lines(batch: Intervals, columns: Sequence[int], path: str) -> bytes:
    """Write some columns of labels as labelled BED.

    Parameters
    ----------
    batch : Intervals
        With labels in all columns beyond the third.
    columns : sequence of int
        Which of these, counted from 0.
    path : str
        The name for messages.

    Raises
    ------
    InputError
        At the first line that holds something else than U, A or B.
    """
    codes = label_codes(batch, path)
    if list(columns) == list(range(len(batch.extra))):
        return whole_lines(batch.text)
    return b"".join(
        bed_lines(
            contig,
            batch.starts[run],
            batch.ends[run],
            *(letters(codes[run, column]) for column in columns),
        )
        for contig, run in batch.runs()
    )


def table_header(
    header: Sequence[str], columns: int | None, names: Sequence[str] | None, path: str | Path
) -> bytes:
    """Write the first line of a label table.

    Parameters
    ----------
    header : sequence of str
        The `#` lines above labelled bins.
    columns : int or None
        How many the bins have; None where there are no bins.
    names : sequence of str or None
        The cell types; None if they stand in the header.
    path : str or Path
        The name for messages.

    Raises
    ------
    InputError
        If there is not one name for each column of labels, or one stands twice.
    """
    if columns is None:  # the header alone tells how many there are
        columns = max((len(line.split("\t")) for line in header), default=0)
    if names is None:
        names = column_names(header, columns) or []
    if columns <= len(TABLE_HEADER):
        raise InputError("found no column of labels; make them by tfbind label", path=path)
    if len(names) != columns - len(TABLE_HEADER):
        raise InputError(
            f"found {columns - len(TABLE_HEADER)} column(s) of labels and {len(names)} name(s) "
            "for them; give a cell type for each by --names A,B",
            path=path,
        )
    check_cells(names, path)
    return "\t".join([*TABLE_HEADER, *names]).encode() + b"\n"


class GzipWriter:
    """Compress text so that the same text gives the same bytes, however it comes in pieces.

    zlib sees to that itself, but zlib-ng, which some systems have in its place, not at each level.
    The header holds neither a name nor a time. Without `finish` the data are cut short, which any
    reader notices.
    """

    def __init__(self, out: BinaryIO, level: int = LEVEL) -> None:
        self._out = out
        self._deflate = zlib.compressobj(level, wbits=16 + zlib.MAX_WBITS)
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        """Compress what makes whole blocks, and hold the rest."""
        self._held += data
        whole = len(self._held) // BLOCK * BLOCK
        for first in range(0, whole, BLOCK):
            self._out.write(self._deflate.compress(self._held[first : first + BLOCK]))
        del self._held[:whole]
        return len(data)

    def finish(self) -> None:
        """Write what is left, and the checksum."""
        self._out.write(self._deflate.compress(self._held) + self._deflate.flush())


@contextmanager
def gzipped(out: BinaryIO) -> Iterator[GzipWriter]:
    """Compress what is written; after an error the data stay cut short."""
    writer = GzipWriter(out)
    yield writer
    writer.finish()


def submission_lines(batch: Intervals, scores: Scores, path: str | Path) -> bytes:
    """Write a batch as lines of a submission.

    Parameters
    ----------
    batch : Intervals
    scores : ndarray, shape (n,), float32
    path : str or Path
        The name of the bins, for messages.

    Raises
    ------
    InputError
        At the first bin that is not on the challenge's grid, or whose score is no probability.
    """
    off = batch.starts % STRIDE != 0
    wrong = off | ~((scores >= 0) & (scores <= 1))
    if wrong.any():
        row = int(wrong.argmax())
        what = (
            f"found start {batch.starts[row]}, expected a multiple of {STRIDE}, as the challenge's "
            "bins have; give --format bed for other bins"
            if off[row]
            else f"the model scores this bin {scores[row]!s}, expected a probability from 0 to 1; "
            "give --format bed for other scores"
        )
        raise InputError(what, path=path, line=int(batch.numbers[row]))
    return b"".join(
        bed_lines(contig, batch.starts[run], batch.ends[run], scores[run])
        for contig, run in batch.runs()
    )
