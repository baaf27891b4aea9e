"""BigWigs, whole or not at all: the library that writes them passes over a full disk."""

import errno
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyBigWig

from tfbind.errors import InputError
from tfbind.intervals import Intervals
from tfbind.tensors import Scores
from tfbind.tracks import Centres

MAGIC = b"\x26\xfc\x8f\x88"  # the first and the last bytes of a bigWig
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNKNOWN = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}  # where space cannot be reserved
STEP = 1 << 20  # bytes looked at together


class BigWigSize:
    """The most bytes that a bigWig can take, counted as its parts come.

    libBigWig writes scores in blocks of 32 kB, each compressed by itself, and behind them up to ten
    zoom levels. The first has a record for about 16 bins that touch, every next one covers four
    times as much; a level's records are no more than the windows of its zoom that hold a bin. The
    count takes all as stored, not compressed.

    Parameters
    ----------
    sizes : mapping of str to int
        Contigs and their sizes in base pairs.
    width : int
        Base pairs that each score covers.
    """

    LEVELS, FIRST, TIMES = 10, 16, 4
    RECORD = 32
    # A block holds 32,736 bytes or more. To each may come its header (24), what zlib adds where it
    # finds nothing to compress (23), its place in the index (33) and a record that a block repeats.
    BLOCK, BLOCK_EXTRA = 32_000, 160
    HEADER, LEVEL_EXTRA = 4096, 256

    def __init__(self, sizes: Mapping[str, int], width: int) -> None:
        longest = max(sizes.values(), default=0)
        self._width = width
        self._zoom = max(10, self.FIRST * width)
        levels = sum(self._zoom * self.TIMES**level <= longest for level in range(self.LEVELS))
        self._records = [0] * max(levels, 1)
        names = max((len(name.encode()) for name in sizes), default=0)
        self._bytes = self.HEADER + len(sizes) * (names + 8) + len(self._records) * self.LEVEL_EXTRA

    def add(self, starts: npt.NDArray[np.int64], *, touching: bool) -> None:
        """Count a part of a contig.

        Parameters
        ----------
        starts : ndarray, shape (n,), int64, base pairs
            Ascending, `width` apart or more.
        touching : bool
            Nothing is left out between them, so that only the first is written.
        """
        self._bytes += self._stored((4 if touching else 8) * len(starts))
        last = self._width - 1
        if touching:
            first, end = int(starts[0]) // self._zoom, (int(starts[-1]) + last) // self._zoom
            windows = np.arange(first, end + 1)
        else:
            windows = np.column_stack([starts, starts + last]).ravel() // self._zoom
        for level in range(len(self._records)):
            windows = windows[np.diff(windows, prepend=-1) > 0]
            self._records[level] += len(windows)
            windows = windows // self.TIMES

    @property
    def most(self) -> int:
        """Bytes, all parts together."""
        return self._bytes + sum(self._stored(self.RECORD * count) for count in self._records)

    def _stored(self, size: int) -> int:
        return size + (size // self.BLOCK + 1) * self.BLOCK_EXTRA


class BigWigWriter:
    """Write scores as a bigWig with zoom levels.

    A bigWig holds contigs in the order of its header. Bins may come with contigs in any order, so
    they are kept in an unnamed file, 8 bytes each, and written at the end.

    libBigWig does not look whether what it writes reaches the disk, and breaks on one that is full.
    So the most that the file can take is reserved before, what is not used is given back, and the
    file is looked at when it is closed. By an error it is left empty.

    Parameters
    ----------
    path : str or Path
        Written at the end of a `with`, unless by an error.
    sizes : mapping of str to int
        Contigs and their sizes in base pairs, in the header's order.
    centres : Centres
        Ordered.
    name : str or Path, optional
        The file's name for messages, where it is to be renamed from `path`.

    Raises
    ------
    InputError
        Where the disk has no room for the bins that are kept.
    """

    def __init__(
        self,
        path: str | Path,
        sizes: Mapping[str, int],
        centres: Centres,
        *,
        name: str | Path | None = None,
    ) -> None:
        self._path = str(path)
        self._name = path if name is None else name
        self._sizes = dict(sizes)
        self._centres = centres
        self._size = BigWigSize(self._sizes, centres.width)
        try:
            # Not buffered: what a full disk refuses must not be tried again when it is closed.
            self._kept = tempfile.TemporaryFile(  # noqa: SIM115  (closed by `close`)
                dir=Path(path).parent, buffering=0
            )
        except OSError as error:
            raise self._refusal(error) from error
        self._parts: dict[str, list[tuple[int, int, bool]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        self._kept.close()

    def add(self, batch: Intervals, scores: Scores, names: Mapping[str, str]) -> None:
        """Keep a batch.

        Parameters
        ----------
        batch : Intervals
        scores : ndarray, shape (n,), float32
        names : mapping of str to str
            From the input's names of contigs to those of `sizes`.

        Raises
        ------
        InputError
            At a bin that the centres refuse, and where the disk is full.
        """
        known = replace(batch, contigs=tuple(names[contig] for contig in batch.contigs))
        for contig, run, starts, _ in self._centres(known):
            offset = self._kept.tell()
            self._keep(
                starts.astype(np.uint32).tobytes() + scores[run].astype(np.float32).tobytes()
            )
            touching = bool((np.diff(starts) == self._centres.width).all())
            self._size.add(starts, touching=touching)
            self._parts.setdefault(contig, []).append((offset, len(starts), touching))

    def close(self) -> None:
        """Write the bigWig; the end of a `with` does it, unless it is done.

        Raises
        ------
        InputError
            Where the disk has no room for the most that it can take, and where not all of it
            reached the disk.
        """
        if self._kept.closed:
            return
        with self._kept:
            try:
                self._write()
            except OSError as error:
                need = -(-self._size.most // 1_000_000)
                raise self._refusal(error, f" for {need} MB, the most it can take,") from error

    def _keep(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._kept.write(rest) :]
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError, need: str = "") -> InputError:
        advice = f"; make room{need} and run this again" if error.errno in FULL else ""
        return InputError(f"cannot be written: {error.strerror}{advice}", path=self._name)

    def _write(self) -> None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _reserve(file, self._size.most)
            with pyBigWig.open(self._path, "w") as bigwig:
                _reserve(file, self._size.most)  # opening cut it to nothing
                self._fill(bigwig)
            os.ftruncate(file, _end(file))
            os.fsync(file)  # a network disk says only now that it is full
            self._check(file)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(file, 0)
            raise
        finally:
            os.close(file)

    def _fill(self, bigwig: Any) -> None:
        bigwig.addHeader(list(self._sizes.items()))
        for contig in self._sizes:
            for offset, count, touching in self._parts.get(contig, []):
                self._kept.seek(offset)
                starts = np.fromfile(self._kept, np.uint32, count)
                values = np.fromfile(self._kept, np.float32, count)
                _add(bigwig, contig, starts, values, self._centres.width, touching=touching)

    def _check(self, file: int) -> None:
        """Find out whether the file is whole: libBigWig writes its first bytes again at the end."""
        end = os.fstat(file).st_size
        whole = os.pread(file, len(MAGIC), 0) == MAGIC
        whole = whole and os.pread(file, len(MAGIC), max(end - len(MAGIC), 0)) == MAGIC
        if whole:
            try:
                with pyBigWig.open(self._path) as bigwig:
                    whole = bigwig.header()["nLevels"] > 0 or not self._parts
            except RuntimeError:
                whole = False
        if not whole:
            raise InputError(
                "was not written whole; make room on its disk and run this again",
                path=self._name,
            )


def _reserve(file: int, size: int) -> None:
    """Take space on the disk, or at least find it free where the disk cannot be asked for it."""
    try:
        if not hasattr(os, "posix_fallocate"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        disk = os.fstatvfs(file)
        if disk.f_bavail * disk.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _end(file: int) -> int:
    """Find the end of what was written: zeros are reserved space, and no bigWig ends in a zero."""
    end = os.fstat(file).st_size
    while end:
        begin = max(end - STEP, 0)
        written = os.pread(file, end - begin, begin).rstrip(b"\0")
        if written:
            return begin + len(written)
        end = begin
    return 0


def _add(
    bigwig: Any,
    contig: str,
    starts: npt.NDArray[np.uint32],
    values: npt.NDArray[np.float32],
    width: int,
    *,
    touching: bool,
) -> None:
    """Write a part of a track; where nothing is left out it takes no starts, and half the time."""
    doubles = values.astype(np.float64)
    if touching:
        bigwig.addEntries(contig, int(starts[0]), values=doubles, span=width, step=width)
    else:
        bigwig.addEntries(contig, starts.astype(np.int64), values=doubles, span=width)
