"""Rows of bins in the files that modisco-lite reads.

`modisco motifs -s NAME.onehot.npz -a NAME.npz` finds motifs in them: of each file it takes the
array `arr_0`, of shape (bins, 4, window).
"""

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from tfbind.interpret.attribution import one_hot
from tfbind.interpret.explained import Explained

FIRST = "arr_0"


class ArrayFile:
    """Write an .npz whose arrays grow row by row; rows are kept in unnamed files until the end.

    Parameters
    ----------
    path : str or Path
        Written at the end of a `with`, unless by an error.
    about : mapping of str to str, optional
        Become arrays of one text each, of shape (): about.NAME.
    """

    def __init__(self, path: str | Path, about: Mapping[str, str] | None = None) -> None:
        self._path = Path(path)
        self._about = dict(about or {})
        self._stack = ExitStack()
        self._kept: dict[str, tuple[IO[bytes], np.dtype[Any], list[int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                self._write()

    def add(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add rows to arrays, each of shape (n, ...); names, types and shapes stay the same."""
        for name, values in arrays.items():
            if name not in self._kept:
                file = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115  (closed by the stack)
                shape = [0, *values.shape[1:]]
                self._kept[name] = (self._stack.enter_context(file), values.dtype, shape)
            kept, dtype, shape = self._kept[name]
            kept.write(np.ascontiguousarray(values, dtype).data)
            shape[0] += len(values)

    def _write(self) -> None:
        with zipfile.ZipFile(self._path, "w") as archive:
            for name, (kept, dtype, shape) in self._kept.items():
                kept.seek(0)
                head = {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": tuple(shape),
                }
                # The archive's own date would make the same rows other bytes.
                member = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(member, "w", force_zip64=True) as stream:
                    np.lib.format.write_array_header_1_0(stream, head)
                    shutil.copyfileobj(kept, stream, 1 << 20)
            for name, text in self._about.items():
                with archive.open(zipfile.ZipInfo(f"about.{name}.npy"), "w") as stream:
                    np.lib.format.write_array(stream, np.array(text))


def attribution_rows(
    explained: Explained, flank: int, name_width: int
) -> dict[str, npt.NDArray[Any]]:
    """Give the arrays of the attribution file.

    Parameters
    ----------
    explained : Explained
    flank : int
        Of a bin's window on either side of it, base pairs.
    name_width : int
        Letters of the longest name of a contig.

    Returns
    -------
    dict of str to ndarray
        arr_0, shape (n, 4, window), float32: hypothetical contributions of the sequence, where
        there is one; contributions.NAME, shape (n, window) or (n, values), float32, of each input;
        output and reference_output, shape (n,), float32; contig, start and window_start (of the
        bin and its window, int64, base pairs, 0-based) and strand, shape (n,).
    """
    rows: dict[str, npt.NDArray[Any]] = {}
    for values in list(explained.hypothetical.values())[:1]:
        rows[FIRST] = values.transpose(0, 2, 1)
    rows |= {f"contributions.{name}": one for name, one in explained.contributions.items()}
    return rows | {
        "output": explained.outputs,
        "reference_output": np.broadcast_to(explained.reference_outputs, len(explained)),
        "contig": np.array(explained.contigs, f"U{name_width}"),
        "start": explained.starts.astype(np.int64),
        "window_start": explained.starts.astype(np.int64) - flank,
        "strand": np.where(explained.minus, "-", "+"),
    }


def one_hot_rows(explained: Explained) -> dict[str, npt.NDArray[Any]]:
    """Give the array of the sequences' file: arr_0, shape (n, 4, window), int8."""
    return {FIRST: one_hot(explained.codes).transpose(0, 2, 1)}
