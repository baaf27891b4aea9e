"""Downloads that go on where they broke off, and are checked.

The bytes go to FILE.part, where a later run finds them, whatever ended this one. The file has its
name only when its length and its md5 are those that the portal tells; so no run needs to trust
what another one left. The libraries that are kept for downloads check, but do not go on.
"""

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tfbind.errors import InputError
from tfbind.portal import PortalFile
from tfbind.web import BLOCK, PassingError, RangeRefusedError, Web

Advance = Callable[[float, str], None]
"""Gets how many more bytes are there, fewer where a download starts again, and the file's name."""

LINK = "is a link, a pipe or a device, expected what an earlier run left; remove it"


class DiskError(InputError):
    """A disk takes no more: what follows cannot be written there either."""


def part_path(target: Path) -> Path:
    """Name the file that holds what is there of a download."""
    return target.with_name(target.name + ".part")


def is_complete(file: PortalFile, target: Path, advance: Advance) -> bool:
    """Tell whether a file is what the portal has, by its length and its md5."""
    if not target.is_file() or target.stat().st_size != file.size:
        return False
    digest = hashlib.md5(usedforsecurity=False)
    with open(target, "rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            advance(len(block), file.name)
    if digest.hexdigest() == file.md5:
        return True
    advance(-file.size, file.name)
    return False


def fetch(file: PortalFile, target: Path, web: Web, advance: Advance) -> int:
    """Download a file, from where an earlier run broke off; put it in the place of any other.

    Parameters
    ----------
    file : PortalFile
    target : Path
        In a folder that is there.
    web : Web
    advance : callable

    Returns
    -------
    int
        Bytes that came over the network.

    Raises
    ------
    InputError
        If the server refuses or fails, too often, one after another; if the file has another
        length or md5 than the portal tells; if another run is at it; if it cannot be written.
    """
    with Part(part_path(target), file, advance) as part:
        transfer = _Transfer(file, part, web)
        try:
            transfer.run()
        except InputError as error:
            raise type(error)(f"{error.message}{part.kept()}", path=error.path) from error
        if part.md5() != file.md5:
            found = part.md5()
            part.restart()  # empty, it is removed
            raise InputError(
                f"has the md5 {found}, where the portal tells {file.md5}; it is removed: fetch it "
                "again, and if that ends alike the portal has it wrong",
                path=target,
            )
        part.become(target)
        return transfer.got


def _opened(path: str, flags: int) -> int:
    """Open what is there under this very name, and do not wait for the reader of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


class Part:
    """A file that is being downloaded, open for one run at a time.

    Parameters
    ----------
    path : Path
        Made if it is not there; removed at the end if it is empty.
    file : PortalFile
    advance : callable

    Attributes
    ----------
    size : int
        Bytes that are there.

    Raises
    ------
    InputError
        If another run has it open, it is no regular file, or it cannot be written.
    """

    def __init__(self, path: Path, file: PortalFile, advance: Advance) -> None:
        self.path = path
        self.size = 0
        self._expected = file
        self._advance = advance
        self._md5 = hashlib.md5(usedforsecurity=False)
        try:
            # Not buffered: what a full disk refuses must not be tried again when it is closed.
            self._stream = open(path, "a+b", buffering=0, opener=_opened)  # noqa: SIM115
        except OSError as error:
            said = LINK if path.is_symlink() else f"cannot be written: {error.strerror or error}"
            raise InputError(said, path=path) from error
        try:
            if not stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode):
                raise InputError(LINK, path=path)
            self._lock()
            self._reread()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.size and self._is_at_its_path():
            self.path.unlink()
        self._stream.close()

    def _lock(self) -> None:
        in_use = InputError("is in use by another run; wait until that has ended", path=self.path)
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise in_use from error
        except OSError:  # some network disks know no locks
            pass
        if not self._is_at_its_path():  # the other run ended since this one opened it
            raise in_use

    def _is_at_its_path(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._stream.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def _reread(self) -> None:
        """Take up what an earlier run left, unless it is more than there can be."""
        if os.fstat(self._stream.fileno()).st_size > self._expected.size:
            self.restart()
        self._stream.seek(0)
        while block := self._stream.read(BLOCK):
            self._count(block)

    def _count(self, block: bytes | memoryview) -> None:
        self._md5.update(block)
        self.size += len(block)
        self._advance(len(block), self._expected.name)

    def append(self, block: bytes) -> None:
        """Write bytes behind those that are there."""
        rest = memoryview(block)
        while rest:
            try:
                written = self._stream.write(rest)
            except OSError as error:
                raise self._unwritten(error) from error
            self._count(rest[:written])
            rest = rest[written:]

    def restart(self) -> None:
        """Drop all that is there."""
        try:
            self._stream.truncate(0)
        except OSError as error:
            raise self._unwritten(error) from error
        self._advance(-self.size, self._expected.name)
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def _unwritten(self, error: OSError) -> DiskError:
        return DiskError(f"cannot be written: {error.strerror or error}", path=self.path)

    def md5(self) -> str:
        """Give the md5 of all that is there."""
        return self._md5.hexdigest()

    def kept(self) -> str:
        """Say, behind a message, what a later run will find."""
        if not self.size:
            return ""
        return (
            f"; {self.path} keeps {self.size:,} of {self._expected.size:,} bytes: run this again "
            "to go on"
        )

    def become(self, target: Path) -> None:
        """Take the name of the whole file."""
        try:
            self.path.replace(target)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", path=target) from error


class _Transfer:
    """The requests for one file."""

    def __init__(self, file: PortalFile, part: Part, web: Web) -> None:
        self._file = file
        self._part = part
        self._web = web
        self._etag = ""
        self._pieced = part.size > 0
        self.got = 0

    def run(self) -> None:
        """Get what is missing; once from the start where pieces do not fit together."""
        name, size = self._file.name, self._part.size
        if 0 < size < self._file.size:
            self._web.tell(f"{name}: going on behind {size:,} of {self._file.size:,} bytes")
        self._fill()
        if self._pieced and self._part.md5() != self._file.md5:
            self._web.tell(f"{name}: the pieces of several transfers do not fit; starting again")
            self._start_again()
            self._fill()

    def _fill(self) -> None:
        self._web.retrying(self._request, self._file.name, lambda: self._part.size)

    def _start_again(self) -> None:
        self._part.restart()
        self._etag = ""

    def _request(self) -> None:
        """Ask for what is missing, until nothing is."""
        while (have := self._part.size) < self._file.size:
            headers = {"Range": f"bytes={have}-"} if have else {}
            if have and self._etag:
                headers["If-Range"] = self._etag
            try:
                with self._web.reply(self._file.url, headers, self._file.name) as reply:
                    self._check(reply)
                    self._read(reply)
            except RangeRefusedError as error:
                if not have:
                    raise InputError(str(error), path=self._file.name) from error
                self._start_again()

    def _check(self, reply: HTTPResponse) -> None:
        """Refuse what is another thing than the rest of the file, or start again."""
        host = urlsplit(reply.url).netloc
        etag = reply.headers.get("ETag", "")
        etag = "" if etag.startswith("W/") else etag  # a weak one does not tell byte from byte
        length: int | None = reply.length
        first = 0
        if reply.status == 206:
            pattern = r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)"
            found = re.fullmatch(pattern, reply.headers.get("Content-Range", "").strip())
            first, total = (int(found[1]), found[2]) if found else (-1, "*")
            length = None if total == "*" else int(total)
        elif reply.headers.get_content_type() == "text/html":
            raise InputError(
                f"{host} sent a web page instead; does a login page or a proxy stand between?",
                path=self._file.name,
            )
        if length is not None and length != self._file.size:
            raise InputError(
                f"{host} has {length:,} bytes, where the portal tells {self._file.size:,}",
                path=self._file.name,
            )
        changed = self._etag and etag and etag != self._etag
        if first and (first != self._part.size or changed):
            self._start_again()
            raise PassingError(f"{host} sent another part than that asked for, or of another file")
        if first:
            self._pieced = True
        elif self._part.size:  # it has changed, or the server knows no ranges
            self._start_again()
        self._etag = etag

    def _read(self, reply: HTTPResponse) -> None:
        while missing := self._file.size - self._part.size:
            block = self._web.read(reply, missing)
            if not block:
                so_far = f"{self._part.size:,} of {self._file.size:,} bytes"
                raise PassingError(f"{urlsplit(reply.url).netloc} broke off after {so_far}")
            self._part.append(block)
            self.got += len(block)
