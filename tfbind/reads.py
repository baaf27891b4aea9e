"""Aligned reads, in batches of arrays."""

import gzip
import os
import stat
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader, FileIO
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt
import pysam

from tfbind.errors import InputError, three
from tfbind.pipeline import ahead
from tfbind.regions import SPAN
from tfbind.text import BGZF_END, GZIP_MAGIC, Watched, is_bgzf

REVERSE = 16
UNMAPPED, SECONDARY, FAILED, DUPLICATE, SUPPLEMENTARY = 4, 256, 512, 1024, 2048
EXCLUDED = UNMAPPED | SECONDARY | FAILED | DUPLICATE | SUPPLEMENTARY
"""Flags of reads that are no evidence of a cut of their own."""

BATCH = 1 << 16
"""Reads that are handled at once."""

CHUNK = 1 << 18
"""Bytes that are handed to htslib at once."""

CRAM_ENDS = {
    b"CRAM\x02\x01": bytes.fromhex("0b000000ffffffff0fe0454f460000000001000001000606010001000100"),
    b"CRAM\x03": bytes.fromhex(
        "0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"
    ),
}
"""What a CRAM of a version ends in: a container of no reads."""

END = 1 << 62
"""A place behind all others, where reads without one lie."""

READ = np.dtype(
    [
        ("flag", np.int32),
        ("quality", np.int32),
        ("contig", np.int32),
        ("start", np.int64),
        ("end", np.float64),  # none for a read without an alignment, which becomes NaN
    ]
)
# The fields are drawn and stored without a line of Python for each read.
_FIELDS = attrgetter("flag", "mapping_quality", "reference_id", "reference_start", "reference_end")

# Of CRAM only what is read here is decoded, for which it takes no reference.
_CRAM_FIELDS = "required_fields=0x3e"


@dataclass(frozen=True)
class Reads:
    """A batch of reads, in the order of their starts.

    Those that are aligned nowhere come last, or where their mate is; all of them have the flag
    `UNMAPPED`, and contigs, starts and ends without a meaning.

    Attributes
    ----------
    flags, qualities, contigs : ndarray, shape (n,), int32
        Flags of SAM, mapping qualities, and the numbers of contigs.
    starts, ends : ndarray, shape (n,), int64, base pairs
        What each covers of the contig, deletions and introns included, clipped ends not; 0-based,
        half-open.
    """

    flags: npt.NDArray[np.int32]
    qualities: npt.NDArray[np.int32]
    contigs: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.flags)

    def select(self, keep: npt.NDArray[np.bool_]) -> "Reads":
        """Keep some of the reads.

        Parameters
        ----------
        keep : ndarray, shape (n,), bool
        """
        return Reads(
            self.flags[keep],
            self.qualities[keep],
            self.contigs[keep],
            self.starts[keep],
            self.ends[keep],
        )


@dataclass
class ReadFilter:
    """Which reads count, as samtools' options -q, -F and -f choose them.

    Attributes
    ----------
    min_quality : int
        The lowest mapping quality that passes.
    exclude : int
        Reads with any of these flags are dropped; unmapped ones always are.
    include : int
        Reads without all of these flags are dropped.
    dropped : dict of str to int
        How many were, each under the first reason that holds.
    """

    min_quality: int = 0
    exclude: int = EXCLUDED
    include: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def __call__(self, reads: Reads) -> Reads:
        """Keep the reads that count."""
        flags = reads.flags
        reasons = {
            "unmapped": (flags & UNMAPPED) > 0,
            "secondary": (flags & self.exclude & SECONDARY) > 0,
            "supplementary": (flags & self.exclude & SUPPLEMENTARY) > 0,
            "failed": (flags & self.exclude & FAILED) > 0,
            "duplicate": (flags & self.exclude & DUPLICATE) > 0,
            "other flags": ((flags & self.exclude) > 0) | ((flags & self.include) < self.include),
            "low quality": reads.qualities < self.min_quality,
        }
        keep = np.ones(len(flags), np.bool_)
        for reason, holds in reasons.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + int((keep & holds).sum())
            keep &= ~holds
        return reads.select(keep)


class ReadFile:
    """The reads of a BAM, CRAM or SAM file that is sorted by coordinate; it takes no index.

    Parameters
    ----------
    stream : binary file
        With a file descriptor, which is read from where it stands; a pipe will do.
    path : str
        The name for messages.

    Attributes
    ----------
    contigs : dict of str to int
        Contigs and their sizes in base pairs, in the header's order.
    size : int or None
        Bytes of the file; None for a pipe.
    read : int
        Reads so far, unmapped ones included.
    consumed : int
        Bytes of the file so far, as they are stored.

    Raises
    ------
    InputError
        If the file holds no alignments, or names no contig.
    """

    def __init__(self, stream: BinaryIO, path: str) -> None:
        self.path = path
        self.read = 0
        self._last = 0
        status = os.fstat(stream.fileno())
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None
        try:
            self._source = _Source(stream.fileno(), path)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from error
        # Nothing interrupts htslib while it waits for bytes, so it waits in a thread, from the
        # header on.
        self._drawn = ahead(_drawn(self._source, path))
        self.contigs: dict[str, int] = next(self._drawn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drawn.close()

    @property
    def consumed(self) -> int:
        """Bytes of the file so far, as they are stored."""
        return self._source.consumed

    def require_contigs(self, other: "ReadFile") -> None:
        """Check that another file names the same contigs.

        Raises
        ------
        InputError
            If they differ in name, size or order.
        """
        if list(self.contigs.items()) != list(other.contigs.items()):
            here, there = (
                [f"{name} ({size} bp)" for name, size in file.contigs.items()]
                for file in (self, other)
            )
            same = [a == b for a, b in zip(here, there, strict=False)] + [False]
            first = same.index(False)
            raise InputError(
                f"names {len(here)} contigs, from number {first + 1} on {three(here[first:])}; "
                f"expected those of {other.path}, {three(there[first:])}; align both to one genome",
                path=self.path,
            )

    def __iter__(self) -> Iterator[tuple[Reads, int]]:
        """Yield batches of reads, once.

        Yields
        ------
        reads : Reads
            Unmapped ones included.
        upto : int
            The place of the last on an axis on which contig i begins at `i * SPAN`, `END` if it has
            none; no later read starts before it.

        Raises
        ------
        InputError
            If the file is not sorted, or is damaged or cut short, which may be known only at its
            end.
        """
        for fields in self._drawn:
            mapped = (fields["contig"] >= 0) & (fields["start"] >= 0)
            starts = fields["start"].astype(np.int64)
            places = np.where(mapped, fields["contig"] * np.int64(SPAN) + starts, END)
            self._check_order(places)
            self.read += len(fields)
            # A read that is said to be aligned, yet not how, has no end: it is taken as one base.
            ends = np.where(np.isnan(fields["end"]), starts + 1, fields["end"]).astype(np.int64)
            flags = np.where(mapped, fields["flag"], fields["flag"] | UNMAPPED).astype(np.int32)
            yield (
                Reads(flags, fields["quality"], fields["contig"], starts, ends),
                self._last,
            )

    def _check_order(self, places: npt.NDArray[np.int64]) -> None:
        back = np.flatnonzero(np.diff(places, prepend=self._last) < 0)
        if len(back):
            number = int(back[0])
            before = self._last if not number else int(places[number - 1])
            raise InputError(
                f"found read {self.read + number + 1:,} at {self._shown(int(places[number]))}, "
                f"behind one at {self._shown(before)}; expected reads sorted by coordinate: "
                f"samtools sort -o sorted.bam {self.path if Path(self.path).exists() else '-'}",
                path=self.path,
            )
        self._last = int(places[-1])

    def _shown(self, place: int) -> str:
        if place == END:
            return "no place (unmapped, or on a contig that the header lacks)"
        contig, start = divmod(place, SPAN)
        return f"{list(self.contigs)[contig]}:{start + 1}"


def _drawn(source: "_Source", path: str) -> Iterator[Any]:
    """Yield the contigs and their sizes, then the fields of reads in batches."""
    with open(source.out, "rb", buffering=0) as out:
        try:
            file = pysam.AlignmentFile(out.fileno(), format_options=[_CRAM_FIELDS])
        except (OSError, ValueError) as error:
            raise source.wrong or InputError(
                "holds no alignments that can be read; expected BAM, CRAM or SAM with a header "
                "that names the contigs",
                path=path,
            ) from error
        try:
            yield dict(zip(file.references, file.lengths, strict=True))
            yield from _batches(file, source, path)
            while out.read(CHUNK):
                pass  # what stands behind the end, so that it is judged too
        finally:
            with suppress(OSError):  # by a damaged file: told already
                file.close()
    if source.wrong:
        raise source.wrong


def _batches(
    file: pysam.AlignmentFile, source: "_Source", path: str
) -> Iterator[npt.NDArray[np.void]]:
    drawn = map(_FIELDS, file.fetch(until_eof=True))
    count = 0
    while True:
        fields: list[Any] = []
        try:
            fields.extend(islice(drawn, BATCH))
        except OSError as error:
            number = count + len(fields) + 1
            raise source.wrong or InputError(
                f"read {number:,} is damaged or cut short; copy or make the file again", path=path
            ) from error
        if not fields:
            return
        count += len(fields)
        yield np.fromiter(fields, READ, len(fields))


class _Source:
    """A stream that htslib reads through a pipe, decompressed here and watched.

    htslib looks for the mark at the end of a BAM only where it can seek, for that of a CRAM not at
    all, and its own threads hang where a pipe is cut short. Decompressing does not hold up the
    thread that parses.

    Parameters
    ----------
    file : int
        A descriptor, of which a copy is read: it may be closed while a read of it is under way.
    path : str
        The name for messages.

    Attributes
    ----------
    out : int
        The descriptor for htslib; who takes it closes it.
    consumed : int
        Bytes so far, as they are stored.
    wrong : exception or None
        What is wrong with the stream, known when htslib finds no more.

    Raises
    ------
    OSError
        Where there is no descriptor left.
    """

    def __init__(self, file: int, path: str) -> None:
        self.consumed = 0
        self.wrong: BaseException | None = None
        self._path = path
        stored = open(os.dup(file), "rb", buffering=0)  # noqa: SIM115  (closed by the thread)
        try:
            self.out, into = os.pipe()
        except OSError:
            stored.close()
            raise
        threading.Thread(target=self._pump, args=(stored, into), daemon=True).start()

    def _pump(self, stored: FileIO, into: int) -> None:
        with stored, open(into, "wb", buffering=0) as out:
            try:
                self._copy(stored, out)
            except BrokenPipeError:
                pass  # nobody reads on
            except (EOFError, gzip.BadGzipFile, zlib.error):
                self.wrong = self._error("is damaged or cut short; copy or make the file again")
            except OSError as error:
                self.wrong = self._error(f"cannot be read: {error.strerror}")
            except BaseException as error:  # or else it would read as the end of the file
                self.wrong = error

    def _copy(self, stored: FileIO, out: FileIO) -> None:
        watched = Watched(stored)
        buffered = cast(BinaryIO, BufferedReader(watched, CHUNK))
        packed = watched.head.startswith(GZIP_MAGIC)
        plain = cast(BinaryIO, gzip.GzipFile(fileobj=buffered)) if packed else buffered
        while chunk := plain.read(CHUNK):
            self.consumed = watched.consumed
            rest = memoryview(chunk)
            while rest:
                rest = rest[out.write(rest) :]
        if not watched.last.endswith(_end_mark(watched.head)):
            self.wrong = self._error(
                "is cut short: no end-of-file mark; copy or make the file again"
            )

    def _error(self, message: str) -> InputError:
        return InputError(message, path=self._path)


def _end_mark(head: bytes) -> bytes:
    """Give the bytes that a whole file ends in, told by its first ones; none if any will do."""
    if is_bgzf(head):
        return BGZF_END
    return next((mark for magic, mark in CRAM_ENDS.items() if head.startswith(magic)), b"")
