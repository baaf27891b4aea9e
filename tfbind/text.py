"""Streams of text in blocks of whole lines, decompressed."""

import gzip
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

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class _Watched(RawIOBase):
    """A stream of which the first bytes were read already, and the last are remembered."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream
        self.last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        chunk = self._head[: len(view)] or self._stream.read(len(view))
        self._head = self._head[len(chunk) :]
        view[: len(chunk)] = chunk
        self.last = (self.last + chunk[-len(BGZF_END) :])[-len(BGZF_END) :]
        return len(chunk)


def text_blocks(stream: BinaryIO, path: str | Path) -> Iterator[bytes]:
    """Yield whole lines in blocks of about a megabyte, decompressed if they are gzip or BGZF.

    Parameters
    ----------
    stream : binary file
        Read once, from where it stands; it need not seek.
    path : str or Path
        The name for messages.

    Raises
    ------
    InputError
        Where compressed data are damaged or end early, or a line does not end.
    """
    head = b""
    while len(head) < HEAD and (chunk := stream.read(HEAD - len(head))):
        head += chunk  # a pipe may give a few bytes at a time
    watched = _Watched(head, stream)
    buffered = cast(BinaryIO, BufferedReader(watched))
    if not head.startswith(GZIP_MAGIC):
        yield from _whole_lines(buffered, path)
        return
    try:
        yield from _whole_lines(cast(BinaryIO, gzip.GzipFile(fileobj=buffered)), path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the gzip data are damaged or cut short ({error}); copy or make the file again",
            path=path,
        ) from error
    if is_bgzf(head) and watched.last != BGZF_END:
        raise InputError(
            "the BGZF data are cut short: no end-of-file block; copy or make the file again",
            path=path,
        )


def is_bgzf(head: bytes) -> bool:
    """Tell BGZF from text and other gzip by the first `HEAD` bytes of a file."""
    return head.startswith(GZIP_MAGIC) and bool(head[3] & 4) and head[12:14] == b"BC"


def _whole_lines(stream: BinaryIO, path: str | Path) -> Iterator[bytes]:
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
        yield b"".join([*rest, b"\n"])
