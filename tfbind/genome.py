"""Contigs, their names, and their bases as codes."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyBigWig
import pysam
import pysam.utils

from tfbind.errors import InputError, three
from tfbind.text import text_blocks

A, C, G, T, UNKNOWN = range(5)
LONGEST = 1 << 32
"""Base pairs that no contig reaches; bigWig and keys of bins hold a place in 32 bits."""

BIGWIG_MAGICS = (bytes.fromhex("888ffc26"), bytes.fromhex("26fc8f88"))

# htslib prints what goes wrong; an InputError says it instead, in one line.
pysam.set_verbosity(0)

_CODES = np.full(256, UNKNOWN, np.uint8)
for _code, _letters in enumerate(("Aa", "Cc", "Gg", "Tt")):
    _CODES[[ord(letter) for letter in _letters]] = _code
# Measured: bytes translate themselves four times as fast as an array is indexed.
_TABLE = _CODES.tobytes()


def base_codes(letters: bytes) -> npt.NDArray[np.uint8]:
    """Code bases: A 0, C 1, G 2, T 3, anything else 4; case has no meaning.

    Parameters
    ----------
    letters : bytes of length n

    Returns
    -------
    ndarray, shape (n,), uint8

    Examples
    --------
    >>> base_codes(b"acgTN").tolist()
    [0, 1, 2, 3, 4]
    """
    return np.frombuffer(letters.translate(_TABLE), np.uint8)


@dataclass(frozen=True)
class ContigNames:
    """Find a contig of one file by the name that another file gives it.

    Attributes
    ----------
    known : tuple of str
        The names that the file has.
    path : str
        The file, for messages.
    alias : mapping of str to str
        Other names for the same contigs, tried after the name itself.
    prefix : 'add', 'strip' or None
        What to do with a leading `chr`, tried last.
    """

    known: tuple[str, ...]
    path: str
    alias: Mapping[str, str] = field(default_factory=dict)
    prefix: Literal["add", "strip"] | None = None
    _set: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_set", frozenset(self.known))

    def find(self, name: str) -> str | None:
        """Give the name that the file has for a contig, or None if it lacks the contig."""
        changed = "chr" + name if self.prefix == "add" else name.removeprefix("chr")
        candidates = [name, self.alias.get(name, name), *([changed] if self.prefix else [])]
        return next((candidate for candidate in candidates if candidate in self._set), None)

    def resolve(self, name: str, asked: Iterable[str] = ()) -> str:
        """Give the name that the file has for a contig.

        Parameters
        ----------
        name : str
        asked : iterable of str
            Names of the other side, for the message.

        Raises
        ------
        InputError
            If the file lacks the contig.
        """
        found = self.find(name)
        if found is None:
            raise InputError(
                f"has no contig {name!r}: the input names {three(asked or [name])}, "
                f"this file {three(self.known)}; give --alias FILE or --chr-prefix add|strip",
                path=self.path,
            )
        return found


def read_alias(path: str | Path) -> dict[str, str]:
    """Read a file of two columns, a contig's name in the input and its name elsewhere.

    Each line is read both ways, so one file serves either direction.

    Raises
    ------
    InputError
        At a line that has not two columns.
    """
    names: dict[str, str] = {}
    text = b"".join(text_blocks_of(path)).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != 2:
            raise InputError(
                f"found {len(fields)} columns, expected 2: a name and its alias",
                path=path,
                line=number,
            )
        if names.get(fields[0], fields[1]) != fields[1]:
            raise InputError(f"gives {fields[0]!r} two aliases", path=path, line=number)
        names[fields[0]] = fields[1]
        names.setdefault(fields[1], fields[0])
    return names


def contig_sizes(path: str | Path) -> dict[str, int]:
    """Read the contigs of a genome and their sizes in base pairs, in the file's order.

    Parameters
    ----------
    path : str or Path
        FASTA (plain or BGZF), its `.fai`, a chrom.sizes file or any text that has a name and a size
        in its first two columns, or a bigWig.

    Raises
    ------
    InputError
        If the file is none of these.
    """
    first_bytes(path, 0)
    with open(path, "rb") as stream:  # once: it may be a pipe, such as bash's <(cut -f 1,2 FILE)
        if stream.peek(4)[:4] in BIGWIG_MAGICS:
            with open_bigwig(path) as bigwig:
                return {str(name): int(size) for name, size in bigwig.chroms().items()}
        blocks = text_blocks(stream, path)
        first = next(blocks, b"")
        if first.startswith(b">"):
            return Genome(path).sizes
        return _two_column_sizes(b"".join([first, *blocks]), path)


def first_bytes(path: str | Path, count: int) -> bytes:
    """Read the first bytes of a file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error


def open_bigwig(path: str | Path) -> Any:
    """Open a bigWig.

    Returns
    -------
    pyBigWig.bigWigFile

    Raises
    ------
    InputError
        If the file is no bigWig, or is damaged.
    """
    head = first_bytes(path, 32)
    if head[:4] not in BIGWIG_MAGICS:
        raise InputError("is no bigWig; convert it, for example with bedGraphToBigWig", path=path)
    # libBigWig prints what it finds amiss; a file cut short, the usual damage, is seen before.
    index = int.from_bytes(head[24:32], "little" if head[0] == 0x26 else "big")
    if len(head) < 32 or os.path.getsize(path) <= index:
        raise InputError("is a bigWig cut short; copy or make it again", path=path)
    try:
        return pyBigWig.open(str(path))
    except RuntimeError as error:
        raise InputError("is a damaged bigWig; copy or make it again", path=path) from error


def text_blocks_of(path: str | Path) -> Iterator[bytes]:
    """Yield the text of a file in blocks of whole lines, decompressed.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    first_bytes(path, 0)  # nothing is read: it may be a pipe
    with open(path, "rb") as stream:
        yield from text_blocks(stream, path)


def _two_column_sizes(text: bytes, path: str | Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) < 2 or not (fields[1].isascii() and fields[1].isdigit()):
            raise InputError(
                f"found {line[:60]!r}, expected a contig's name and its size in base pairs "
                "(FASTA, .fai, chrom.sizes or bigWig)",
                path=path,
                line=number,
            )
        if not 0 < int(fields[1]) < LONGEST:
            raise InputError(
                f"gives {fields[0]!r} {fields[1][:30]} bp, expected a size above 0 and below "
                f"{LONGEST:,}",
                path=path,
                line=number,
            )
        if fields[0] in sizes:
            raise InputError(f"names contig {fields[0]!r} twice", path=path, line=number)
        sizes[fields[0]] = int(fields[1])
    if not sizes:
        raise InputError("holds no contig, expected names and sizes", path=path)
    return sizes


class Genome:
    """The bases of a FASTA file, plain or BGZF, through its index.

    A missing index is made beside the file. Any number of threads may read at once.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    sizes : dict of str to int
        Contigs and their sizes in base pairs, in the file's order.

    Raises
    ------
    InputError
        If the file is no FASTA, or is compressed with gzip instead of bgzip, or its index can be
        neither read nor made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        head = first_bytes(path, 1)
        if head not in (b">", b"\x1f"):
            shown = head.decode("latin-1")
            raise InputError(
                f"begins with {shown!r}, expected FASTA, which begins with >", path=path
            )
        _make_index(self.path)
        self._local = threading.local()
        handle = self._handle()
        self.sizes: dict[str, int] = dict(zip(handle.references, handle.lengths, strict=True))

    def _handle(self) -> pysam.FastaFile:
        """Open the file once for each thread: a handle has one position and one cache."""
        if not hasattr(self._local, "handle"):
            try:
                self._local.handle = pysam.FastaFile(self.path)
            except (OSError, ValueError) as error:
                raise InputError(f"cannot be opened as FASTA: {error}", path=self.path) from error
        handle: pysam.FastaFile = self._local.handle
        return handle

    def codes(self, contig: str, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Read bases as codes.

        Parameters
        ----------
        contig : str
            A key of `sizes`.
        start, end : int
            May lie outside of the contig.

        Returns
        -------
        ndarray, shape (end - start,), uint8
            As `base_codes`; 4 where the contig has ended.
        """
        size = self.sizes[contig]
        codes = np.full(end - start, UNKNOWN, np.uint8)
        first, last = max(start, 0), min(end, size)
        if first < last:
            letters = self._fetch(contig, first, last)
            codes[first - start : last - start] = base_codes(letters)
        return codes

    def _fetch(self, contig: str, first: int, last: int) -> bytes:
        """Read bases inside a contig; where the file ends early, fewer may come or none."""
        try:
            letters = self._handle().fetch(contig, first, last).encode()
        except (OSError, ValueError):
            letters = b""
        if len(letters) != last - first:
            raise InputError(
                f"gave {len(letters)} bases for {contig}:{first + 1}-{last}, expected "
                f"{last - first}; it is cut short, or its index is of another file: copy it again "
                f"or remove {self.path}.fai",
                path=self.path,
            )
        return letters


def _make_index(path: str) -> None:
    """Make a missing FASTA index, whole before it is seen: two filters of a pipe may want it."""
    index = path + ".fai"
    compressed = first_bytes(path, 1) == b"\x1f"
    if os.path.exists(index) and (not compressed or os.path.exists(path + ".gzi")):
        return
    made, made_gzi = f"{index}.{os.getpid()}", f"{path}.gzi.{os.getpid()}"
    try:
        gzi = ["--gzi-idx", made_gzi] if compressed else []
        pysam.faidx("--fai-idx", made, *gzi, path)
        if compressed:
            os.replace(made_gzi, path + ".gzi")
        os.replace(made, index)
    except (pysam.utils.SamtoolsError, OSError) as error:
        for left in (made, made_gzi):
            Path(left).unlink(missing_ok=True)
        advice = f"run where the folder can be written: samtools faidx {path}"
        if compressed:
            advice = f"compress it with bgzip, not gzip, then {advice}"
        raise InputError(f"has no index and none can be made; {advice}", path=path) from error
