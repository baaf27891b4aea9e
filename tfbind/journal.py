"""Scores kept in a file as they come, so that a run that was killed goes on where it was.

The file begins with one line of JSON that says what the scores are of. Behind it stand records,
each with a hash of all the bins so far, its scores and a checksum. A record that was cut by a kill
or a full disk fails its checksum and is written over.
"""

import fcntl
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np

from tfbind.errors import InputError
from tfbind.intervals import Intervals, concatenate
from tfbind.lines import contents
from tfbind.tensors import Scores

Checked = tuple[Intervals, list[str]]
"""A batch and its contigs' names in the genome, as `tiles.BinCheck` gives them."""

HEAD = struct.Struct("<QI32s")
"""Bins of a record, checksum of its scores, hash of all bins up to its end."""

NO_JOURNAL = "is no journal of scores, where one is to be written; move it away"
LONGEST_LINE = 1 << 20
SAMPLES, SAMPLE = 16, 1 << 16


class Journal:
    """A file of scores, open for one run at a time.

    Parameters
    ----------
    path : str or Path
        Made if it is not there.
    about : mapping of str to str
        All that the scores depend on but for the bins.
    columns : int
        Scores a bin.

    Attributes
    ----------
    bins : int
        Of which the file holds scores.

    Raises
    ------
    InputError
        If another run has it open, or it holds scores of something else.
    """

    def __init__(self, path: str | Path, about: Mapping[str, str], columns: int) -> None:
        self.path = Path(path)
        self.bins = 0
        self._columns = columns
        self._digest = hashlib.sha256()
        try:
            # Not buffered: what a full disk refuses must not be tried again when it is closed.
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115  (closed by `__exit__`)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", path=path) from error
        try:
            self._lock()
            self._begin(dict(about))
        except BaseException:
            self._file.close()
            raise

    def _begin(self, about: dict[str, str]) -> None:
        """Read what the file holds, or write its first line."""
        line = json.dumps(about, sort_keys=True).encode() + b"\n"
        self._file.seek(0)
        found = self._file.readline(LONGEST_LINE)
        if found.endswith(b"\n"):
            self._refuse_other(found, about)
        elif found and not line.startswith(found):
            raise InputError(NO_JOURNAL, path=self.path)
        else:  # new, or killed before the first line was whole
            self._file.truncate(0)
            self._write(line)
        self._first = len(line)
        self.bins = sum(count for count, _, _ in self._records())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "is in use by another run; wait until that has ended", path=self.path
            ) from error
        except OSError:  # some network disks know no locks
            pass

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise InputError(
                f"cannot be written: {error.strerror}; make room and give --resume again",
                path=self.path,
            ) from error

    def _refuse_other(self, line: bytes, about: dict[str, str]) -> None:
        try:
            found = json.loads(line)
            other = next(
                (key for key in {**about, **found} if found.get(key) != about.get(key)), ""
            )
        except (ValueError, AttributeError, TypeError):
            raise InputError(NO_JOURNAL, path=self.path) from None
        if other:
            raise InputError(
                f"was begun with {other} {found.get(other, 'unknown')}, but now {other} is "
                f"{about.get(other, 'unknown')}; go on with what it was begun with, or remove it "
                "to start afresh",
                path=self.path,
            )

    def _records(self) -> Iterator[tuple[int, bytes, Scores]]:
        """Read the whole records, and cut off what stands behind them."""
        at = self._first
        while True:
            self._file.seek(at)
            head = self._file.read(HEAD.size)
            if len(head) < HEAD.size:
                break
            count, checksum, digest = HEAD.unpack(head)
            size = count * self._columns * 4
            if size > os.fstat(self._file.fileno()).st_size - at:
                break
            values = self._file.read(size)
            if zlib.crc32(digest + values) != checksum:
                break
            at += HEAD.size + size
            yield count, digest, np.frombuffer(values, np.float32).reshape(count, self._columns)
        self._file.truncate(at)

    def resume(
        self,
        batches: Iterable[Checked],
        score: Callable[[Iterator[Checked]], Iterator[tuple[Intervals, Scores]]],
    ) -> Iterator[tuple[Intervals, Scores]]:
        """Score a stream of bins; those that the file has scores of are not computed again.

        Parameters
        ----------
        batches : iterable of (Intervals, names)
        score : callable
            From such batches to batches and their scores, shape (n, columns), in order.

        Yields
        ------
        batch : Intervals
        scores : ndarray, shape (n, columns), float32

        Raises
        ------
        InputError
            If the bins are not those that the file has scores of.
        """
        source = _Regrouped(iter(batches))
        for count, digest, scores in self._records():
            batch = source.take(count)
            if batch is not None:
                self._digest.update(contents(batch.text))
            if batch is None or self._digest.digest() != digest:
                raise InputError(
                    "holds scores of other bins than the input; give the input that it was begun "
                    "with, or remove it to start afresh",
                    path=self.path,
                )
            yield batch, scores
        for batch, scores in score(source.rest()):
            self._append(batch, scores)
            yield batch, scores

    def _append(self, batch: Intervals, scores: Scores) -> None:
        self._digest.update(contents(batch.text))
        digest, values = self._digest.digest(), np.ascontiguousarray(scores, np.float32).tobytes()
        checksum = zlib.crc32(digest + values)
        self._write(HEAD.pack(len(batch), checksum, digest) + values)
        self.bins += len(batch)


class _Regrouped:
    """Take any number of bins from a stream of batches."""

    def __init__(self, batches: Iterator[Checked]) -> None:
        self._batches = batches
        self._held: Checked | None = None

    def take(self, count: int) -> Intervals | None:
        """Give the next bins, or None if there are fewer."""
        parts: list[Intervals] = []
        while count:
            batch, names = self._held or next(self._batches, (None, []))
            if batch is None:
                return None
            self._held = None
            if len(batch) > count:
                first = np.arange(len(batch)) < count
                self._held = batch.select(~first), names
                batch = batch.select(first)
            count -= len(batch)
            parts.append(batch)
        return parts[0] if len(parts) == 1 else concatenate(parts)

    def rest(self) -> Iterator[Checked]:
        """Give what was not taken."""
        if self._held is not None:
            yield self._held
        yield from self._batches


def content_hash(path: str | Path) -> str:
    """Hash a whole file; unlike a time of change it survives a copy to another disk."""
    with open(path, "rb") as file:
        return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:32]}"


def fingerprint(path: str | Path) -> str:
    """Tell most files apart without reading them whole: by size and a hash of 16 samples."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        for number in range(SAMPLES):
            file.seek(max(size - SAMPLE, 0) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE))
    return f"{size} bytes, {digest.hexdigest()[:16]}"
