"""Columns of lists in an Arrow IPC stream on a disk, read where they lie."""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tfbind.errors import InputError

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

OFFSET = np.dtype(np.int32)
"""Of what Arrow counts the values of a list by."""


class MappedFile:
    """A file that looks like memory: the system reads what is looked at, and forgets it again.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    buffer : pyarrow.Buffer
    bytes : ndarray, shape (size of the file,), uint8

    Raises
    ------
    InputError
        If it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            with open(path, "rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
        except ValueError:  # nothing to map
            raise InputError(
                "is empty, so is no file of tiles; run tfbind features", path=path
            ) from None
        self.path = str(path)
        self.buffer = pa.py_buffer(self._map)
        self.bytes: Bytes = np.frombuffer(self._map, np.uint8)

    def place(self, buffer: pa.Buffer) -> int:
        """Tell where a buffer begins that Arrow found in the file.

        Raises
        ------
        InputError
            If it lies elsewhere, as what was compressed does.
        """
        place = int(buffer.address - self.buffer.address)
        if not 0 <= place <= len(self.bytes) - buffer.size:
            raise InputError(
                "holds compressed columns, expected tiles as tfbind features writes them",
                path=self.path,
            )
        return place

    def release(self) -> None:
        """Give the pages back that were looked at; the system may keep them, for nobody."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class ListColumn:
    """A column whose rows are lists of numbers, of all record batches of a file.

    Parameters
    ----------
    file : MappedFile
    batches : sequence of pyarrow.RecordBatch
        As they were read from the file; only where they lie is kept of them.
    name : str
        Of the column.
    """

    def __init__(self, file: MappedFile, batches: Sequence[pa.RecordBatch], name: str) -> None:
        self._bytes = file.bytes
        self._firsts = np.cumsum([0, *map(len, batches)])
        self._offsets = np.zeros(len(batches), np.int64)
        self._values = np.zeros(len(batches), np.int64)
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)
        for number, batch in enumerate(batches):
            column = batch.column(name)
            _, offsets, _, values = column.buffers()
            self._offsets[number] = file.place(offsets)
            self._values[number] = file.place(values)
            self._dtype = np.dtype(column.type.value_type.to_pandas_dtype())

    def lengths(self, rows: Places) -> Places:
        """Count the values of rows."""
        return self._bounds(rows)[1]

    def row(self, row: int) -> npt.NDArray[Any]:
        """Give one row, as it lies in the file."""
        begins, lengths = self._bounds(np.array([row]))
        return self._look(int(begins[0]), int(lengths[0]))

    def batch(self, number: int) -> npt.NDArray[Any]:
        """Give all values of a record batch, row after row, as they lie in the file."""
        ends = np.array([self._firsts[number], self._firsts[number + 1] - 1])
        begins, lengths = self._bounds(ends)
        span = int(begins[1] - begins[0]) // self._dtype.itemsize + int(lengths[1])
        return self._look(int(begins[0]), span)

    def gather(self, rows: Places, firsts: Places, length: int, blank: int = 0) -> npt.NDArray[Any]:
        """Copy a part of each of some rows.

        Parameters
        ----------
        rows : ndarray, shape (n,), int64
        firsts : ndarray, shape (n,), int64
            The value of its row that each part begins at.
        length : int
            Values in a part.
        blank : int
            What stands behind the end of a row.

        Returns
        -------
        ndarray, shape (n, length)
        """
        begins, lengths = self._bounds(rows)
        begins += firsts * self._dtype.itemsize
        held = np.clip(lengths - firsts, 0, length)
        if (held == length).all():
            return self._copies(begins, length)
        parts = np.full((len(rows), length), blank, self._dtype)
        for some in np.unique(held).tolist():
            which = np.flatnonzero(held == some)
            parts[which, :some] = self._copies(begins[which], some)
        return parts

    def _bounds(self, rows: Places) -> tuple[Places, Places]:
        """Give the place in the file where each row begins, and how many values it has."""
        batch = np.searchsorted(self._firsts, rows, side="right") - 1
        at = self._offsets[batch] + (rows - self._firsts[batch]) * OFFSET.itemsize
        pairs = _windows(self._bytes, at, 2 * OFFSET.itemsize).view(OFFSET).astype(np.int64)
        begins = self._values[batch] + pairs[:, 0] * self._dtype.itemsize
        return begins, pairs[:, 1] - pairs[:, 0]

    def _copies(self, begins: Places, length: int) -> npt.NDArray[Any]:
        copies = _windows(self._bytes, begins, length * self._dtype.itemsize)
        return copies.view(self._dtype)

    def _look(self, begin: int, length: int) -> npt.NDArray[Any]:
        return self._bytes[begin : begin + length * self._dtype.itemsize].view(self._dtype)


def _windows(data: Bytes, begins: Places, length: int) -> Bytes:
    """Copy stretches of bytes, all of one length."""
    if not length:
        return np.zeros((len(begins), 0), np.uint8)
    return np.lib.stride_tricks.sliding_window_view(data, length)[begins]
