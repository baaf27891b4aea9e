"""BigWigs, whole or not at all: the library that writes them passes over a full disk."""

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
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

    libBigWig writes values in blocks of 32 kB, each compressed by itself, and behind them up to ten
    zoom levels. The first has a record for about 16 values that touch, every next one covers four
    times as much; a level's records are no more than the windows of its zoom that hold a value. The
    count takes all as stored, not compressed.

    Parameters
    ----------
    sizes : mapping of str to int
        Contigs and their sizes in base pairs.
    width : int
        Base pairs that a value covers, in the mean of all, rounded down.
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
        """Count a part of a contig whose values are equally wide.

        Parameters
        ----------
        starts : ndarray, shape (n,), int64, base pairs
            Ascending, `width` apart or more.
        touching : bool
            Nothing is left out between them, so that only the first is written.
        """
        self._bytes += self._stored((4 if touching else 8) * len(starts))
        ends = starts + self._width
        self._zoom_in(*((starts[:1], ends[-1:]) if touching else (starts, ends)))

    def add_runs(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        """Count a part of a contig whose values are of any width.

        Parameters
        ----------
        starts, ends : ndarray, shape (n,), int64, base pairs
            Ascending; no two overlap.
        """
        self._bytes += self._stored(12 * len(starts))
        self._zoom_in(starts, ends)

    def _zoom_in(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        first, last = starts // self._zoom, (ends - 1) // self._zoom
        for level in range(len(self._records)):
            met = np.concatenate([[-1], last[:-1]])  # the last window of the value before
            self._records[level] += int((last - np.maximum(first - 1, met)).sum())
            first, last = first // self.TIMES, last // self.TIMES

    @property
    def most(self) -> int:
        """Bytes, all parts together."""
        return self._bytes + sum(self._stored(self.RECORD * count) for count in self._records)

    def _stored(self, size: int) -> int:
        return size + (size // self.BLOCK + 1) * self.BLOCK_EXTRA


class _Parts:
    """What a bigWig is to hold, kept until all has come.

    A bigWig holds contigs in the order of its header. Values may come with contigs in any order, so
    they are kept in an unnamed file and written at the end.

    libBigWig does not look whether what it writes reaches the disk, and breaks on one that is full.
    So the most that the file can take is reserved before, what is not used is given back, and the
    file is looked at when it is closed. By an error it is left empty.
    """

    def __init__(
        self, path: str | Path, sizes: Mapping[str, int], name: str | Path | None = None
    ) -> None:
        self._path = str(path)
        self._name = path if name is None else name
        self._sizes = dict(sizes)
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
            most = self._most()
            try:
                self._write(most)
            except OSError as error:
                need = f" for {-(-most // 1_000_000)} MB, the most it can take,"
                raise self._refusal(error, need) from error

    def _most(self) -> int:
        """Tell the most bytes that the bigWig can take."""
        raise NotImplementedError

    def _fill(self, bigwig: Any) -> None:
        """Write all values, contig by contig."""
        raise NotImplementedError

    def _keep(self, contig: str, *columns: npt.NDArray[Any], touching: bool = False) -> None:
        """Keep a part of a contig: columns of as many values each, 4 bytes wide."""
        part = (self._kept.tell(), len(columns[0]), touching)
        rest = memoryview(b"".join(column.tobytes() for column in columns))
        try:
            while rest:
                rest = rest[self._kept.write(rest) :]
        except OSError as error:
            raise self._refusal(error) from error
        self._parts.setdefault(contig, []).append(part)

    def _again(
        self, *types: type[np.generic]
    ) -> Iterator[tuple[str, bool, list[npt.NDArray[Any]]]]:
        """Give each part back: its contig, whether its values touch, and its columns."""
        for contig in self._sizes:
            for offset, count, touching in self._parts.get(contig, []):
                self._kept.seek(offset)
                yield contig, touching, [np.fromfile(self._kept, type_, count) for type_ in types]

    def _refusal(self, error: OSError, need: str = "") -> InputError:
        advice = f"; make room{need} and run this again" if error.errno in FULL else ""
        return InputError(f"cannot be written: {error.strerror}{advice}", path=self._name)

    def _write(self, most: int) -> None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _reserve(file, most)
            with pyBigWig.open(self._path, "w") as bigwig:
                _reserve(file, most)  # opening cut it to nothing
                bigwig.addHeader(list(self._sizes.items()))
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


class BigWigWriter(_Parts):
    """Write scores of bins as a bigWig with zoom levels; 8 bytes each are kept until the end.

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
        super().__init__(path, sizes, name)
        self._centres = centres
        self._size = BigWigSize(self._sizes, centres.width)

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
            touching = bool((np.diff(starts) == self._centres.width).all())
            values = scores[run].astype(np.float32)
            self._keep(contig, starts.astype(np.uint32), values, touching=touching)
            self._size.add(starts, touching=touching)

    def _most(self) -> int:
        return self._size.most

    def _fill(self, bigwig: Any) -> None:
        width = self._centres.width
        for contig, touching, (starts, values) in self._again(np.uint32, np.float32):
            doubles = values.astype(np.float64)
            if touching:  # it takes no starts, and half the time
                bigwig.addEntries(contig, int(starts[0]), values=doubles, span=width, step=width)
            else:
                bigwig.addEntries(contig, starts.astype(np.int64), values=doubles, span=width)


class BigWigRuns(_Parts):
    """Write runs of equal value as a bigWig with zoom levels; 12 bytes each are kept.

    libBigWig looks for each contig among all before it, so that time grows with the square of the
    number of contigs that have values: 20,000 take some ten seconds.

    Parameters
    ----------
    path, sizes, name
        As for `BigWigWriter`.

    Raises
    ------
    InputError
        Where the disk has no room for the runs that are kept.
    """

    def __init__(
        self, path: str | Path, sizes: Mapping[str, int], *, name: str | Path | None = None
    ) -> None:
        super().__init__(path, sizes, name)
        self._runs = self._bases = 0

    def add(
        self,
        contig: str,
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        values: npt.NDArray[Any],
    ) -> None:
        """Keep runs of one contig.

        Parameters
        ----------
        contig : str
            A key of `sizes`.
        starts, ends : ndarray, shape (n,), int64, base pairs
            Ascending, behind those that came before on this contig; no two overlap.
        values : ndarray, shape (n,)
            Kept as float32.

        Raises
        ------
        InputError
            Where the disk is full.
        """
        if not len(starts):
            return
        self._keep(
            contig, starts.astype(np.uint32), ends.astype(np.uint32), values.astype(np.float32)
        )
        self._runs += len(starts)
        self._bases += int((ends - starts).sum())

    def _most(self) -> int:
        # The zoom depends on the mean width, which is known only now.
        size = BigWigSize(self._sizes, self._bases // max(self._runs, 1))
        for _, _, (starts, ends) in self._again(np.uint32, np.uint32):
            size.add_runs(starts.astype(np.int64), ends.astype(np.int64))
        return size.most

    def _fill(self, bigwig: Any) -> None:
        for contig, _, (starts, ends, values) in self._again(np.uint32, np.uint32, np.float32):
            bigwig.addEntries(
                [contig] * len(starts),
                starts.astype(np.int64),
                ends=ends.astype(np.int64),
                values=values.astype(np.float64),
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
