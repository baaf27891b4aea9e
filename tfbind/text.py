"""Streams of text in blocks of whole lines, decompressed."""

import errno
import gzip
import os
import zlib
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

from tfbind.errors import InputError

BLOCK = 1 << 20
"""Bytes of text that are parsed at once: large enough for Arrow, small enough for any cache."""

LONGEST_LINE = 1 << 26
GZIP_MAGIC = b"\x1f\x8b"
HEAD = 18
"""Bytes that tell gzip and BGZF from text."""

LAST = 38
"""Bytes of the longest mark that a kind of file ends in."""

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class Watched(RawIOBase):
    """A stream of which the first bytes are looked at and the last are remembered.

    Parameters
    ----------
    stream : binary file
        Read from where it stands; whoever opened it closes it.

    Attributes
    ----------
    head, last : bytes
        Up to `HEAD` bytes of its beginning, and up to `LAST` of what was read so far.
    consumed : int
        Bytes that were read so far.
    """

    def __init__(self, stream: BinaryIO | RawIOBase) -> None:
        self._stream = stream
        self.head = b""
        while len(self.head) < HEAD and (chunk := stream.read(HEAD - len(self.head))):
            self.head += chunk  # a pipe may give a few bytes at a time
        self._rest, self.last = self.head, b""
        self.consumed = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read once, as `RawIOBase` wants it."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        chunk = self._rest[: len(view)] or self._stream.read(len(view))
        if chunk is None:  # of a pipe that does not wait: no end, though it would read as one
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._rest = self._rest[len(chunk) :]
        view[: len(chunk)] = chunk
        self.last = (self.last + chunk[-LAST:])[-LAST:]
        self.consumed += len(chunk)
        return len(chunk)


def text_blocks(stream: BinaryIO, path: str | Path, *, exact: bool = False) -> Iterator[bytes]:
    """Yield whole lines in blocks of about a megabyte, decompressed if they are gzip or BGZF.

    Parameters
    ----------
    stream : binary file
        Read once, from where it stands; it need not seek.
    path : str or Path
        The name for messages.
    exact : bool
        Refuse text that is not compressed, and leave a last line without its end as it is.

    Raises
    ------
    InputError
        Where compressed data are damaged or end early, or a line does not end.
    """
    watched = Watched(stream)
    buffered = cast(BinaryIO, BufferedReader(watched))
    end = b"" if exact else b"\n"
    if not watched.head.startswith(GZIP_MAGIC):
        if exact:
            what = "is not compressed, expected gzip; compress it with gzip -n"
            raise InputError(what, path=path)
        yield from _whole_lines(buffered, path, end)
        return
    try:
        yield from _whole_lines(cast(BinaryIO, gzip.GzipFile(fileobj=buffered)), path, end)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the gzip data are damaged or cut short ({error}); copy or make the file again",
            path=path,
        ) from error
    if is_bgzf(watched.head) and not watched.last.endswith(BGZF_END):
        raise InputError(
            "the BGZF data are cut short: no end-of-file block; copy or make the file again",
            path=path,
        )


def is_bgzf(head: bytes) -> bool:
    """Tell BGZF from text and other gzip by the first `HEAD` bytes of a file."""
    return head.startswith(GZIP_MAGIC) and bool(head[3] & 4) and head[12:14] == b"BC"


def _whole_lines(stream: BinaryIO, path: str | Path, end: bytes) -> Iterator[bytes]:
    rest: list[bytes] = []
    held = 0
    while chunk := stream.read(BLOCK):
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield b"".join([*rest, chunk[:cut]])
            rest, held = [], 0
        rest.append(chunk[cut:])
        held += len(chunk) - cut
        if held > LONGEST_LINE:
            raise InputError("found no line end in 64 MB, expected lines of text", path=path)
    if held:
        yield b"".join([*rest, end])
