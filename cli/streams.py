"""Where a command reads and where it writes."""

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import typer

from tfbind.errors import InputError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STDIN_NAMES = ("-", "stdin", "/dev/stdin")


@contextmanager
def reading(path: str, *, what: str = "FILE") -> Iterator[tuple[BinaryIO, str]]:
    """Open a file or standard input, and give the stream and its name for messages.

    A terminal on standard input is a usage error: the command would wait for ever.
    """
    if path in STDIN_NAMES:
        if sys.stdin is None:
            raise InputError("is closed", path="standard input")
        if sys.stdin.isatty():
            raise typer.BadParameter(f"nothing on standard input: give {what} or pipe into it")
        # Not sys.stdin's buffer: a thread that waits in it would keep the interpreter from ending.
        with open(0, "rb", buffering=0, closefd=False) as stdin:
            yield stdin, "standard input"
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    with stream:
        yield stream, path


@contextmanager
def writing(output: str, *, force: bool, part: str | None = None) -> Iterator[BinaryIO]:
    """Open standard output, or a file that appears under its name only when it is complete."""
    if output == "-":
        # Under PYTHONUNBUFFERED sys.stdout.buffer is raw, and a raw write may write only a part.
        try:
            stdout = open(1, "wb", closefd=False)  # noqa: SIM115
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}", path="standard output"
            ) from error
        with _named("standard output"), stdout:
            yield stdout
        return
    if is_pipe_or_device(output):
        with _named(output), open(output, "wb") as stream:
            yield stream
        return
    with (
        replacing(output, force=force, part=part) as path,
        _named(output),
        open(path, "wb") as stream,
    ):
        yield stream


@contextmanager
def _named(output: str) -> Iterator[None]:
    """Tell which file it is that a disk has no room for; the error itself does not know."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise InputError(
            f"cannot be written: {error.strerror}; make room and run this again", path=output
        ) from error


@contextmanager
def replacing(output: str, *, force: bool, part: str | None = None) -> Iterator[Path]:
    """Give a path beside the output, to be written; rename it when it is whole.

    The path is `part`, where a run after a kill shall find and replace it, or else a new one.
    """
    refuse_existing(output, force=force)
    if is_pipe_or_device(output):
        raise InputError("is a pipe or a device, expected the name of a file", path=output)
    target = Path(os.path.realpath(output))  # a link stays, and what it points to is replaced
    path = _claimed(target, part, output)
    try:
        yield path
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def _claimed(target: Path, part: str | None, output: str) -> Path:
    """Make the file that is to become the output."""
    try:
        if part is not None:
            Path(part).touch()
            return Path(part)
        descriptor, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix
        )
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", path=output) from error
    os.close(descriptor)
    return Path(name)


def is_regular(stream: BinaryIO) -> bool:
    """Tell whether a stream is a file on a disk, which can be read twice."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return False


def is_pipe_or_device(output: str) -> bool:
    """Tell what is written to and never replaced, as /dev/null or bash's >(gzip > FILE)."""
    try:
        mode = os.stat(output).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def refuse_existing(output: str, *, force: bool) -> None:
    """Refuse to write over a file, before any work is done for it."""
    if not output or os.path.isdir(output):
        raise InputError("is a folder, expected the name of a file", path=output or "-o ''")
    if output == "-" or is_pipe_or_device(output):
        return
    refuse_no_folder(output)
    if not force and os.path.exists(output):
        raise InputError("exists already; give --force to replace it", path=output)


def refuse_same(*outputs: str | None) -> None:
    """Refuse to write two things under one name."""
    named = [one for one in outputs if one and (one == "-" or not is_pipe_or_device(one))]
    files = [one if one == "-" else os.path.realpath(one) for one in named]
    if len(set(files)) < len(files):
        raise typer.BadParameter("two outputs have one name: give each its own")


def refuse_no_folder(output: str) -> None:
    """Refuse to write to a folder that is not there, or not ours."""
    folder = os.path.dirname(os.path.realpath(output))
    if not os.path.isdir(folder):
        raise InputError(f"cannot be written: no folder {folder} to write to", path=output)
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot be written: the folder {folder} may not be changed", path=output)


def refuse_terminal(output: str, why: str) -> None:
    """Refuse to write to a terminal what is not for reading."""
    if output == "-" and sys.stdout.isatty():
        raise typer.BadParameter(f"{why}: give -o FILE, or redirect or pipe standard output")


@contextmanager
def on_disk(path: str) -> Iterator[Path]:
    """Give the path of a file; what can be read only once is first copied to a temporary one."""
    if path not in STDIN_NAMES and not is_pipe_or_device(path):
        yield Path(path)
        return
    with reading(path) as (stream, _), tempfile.NamedTemporaryFile(prefix="tfbind.") as copy:
        shutil.copyfileobj(stream, copy)
        copy.flush()
        yield Path(copy.name)
