"""Signal tracks as arrays."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError
from tfbind.genome import open_bigwig


class Signal:
    """The values of a bigWig; a base that it does not cover has the value 0.

    Any number of threads may read at once.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    sizes : dict of str to int
        Contigs and their sizes in base pairs.

    Raises
    ------
    InputError
        If the file is no bigWig.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._local = threading.local()
        self.sizes: dict[str, int] = dict(self._handle().chroms())

    def _handle(self) -> Any:
        if not hasattr(self._local, "handle"):
            self._local.handle = open_bigwig(self.path)
        return self._local.handle

    def has_values(self, contig: str) -> bool:
        """Tell whether the track covers anything of a contig, a key of `sizes`."""
        try:
            return bool(self._handle().stats(contig, type="coverage", exact=False)[0])
        except RuntimeError:
            return True  # a damaged index: reading the values tells where

    def values(
        self, contig: str, start: int, end: int, *, uncovered: float = 0
    ) -> npt.NDArray[np.float32]:
        """Read the value of each base.

        Parameters
        ----------
        contig : str
            A key of `sizes`.
        start, end : int
            May lie outside of the contig.
        uncovered : float
            The value where the track covers nothing and where the contig has ended.

        Returns
        -------
        ndarray, shape (end - start,), float32, in the unit of the track

        Raises
        ------
        InputError
            If the file is damaged there.
        """
        values = np.full(end - start, uncovered, np.float32)
        first, last = max(start, 0), min(end, self.sizes[contig])
        if first < last:
            try:
                read = self._handle().values(contig, first, last, numpy=True)
            except RuntimeError as error:
                raise InputError(
                    f"cannot be read at {contig}:{first + 1}-{last}; make it again", path=self.path
                ) from error
            # A track without any value gives nothing at all.
            if len(read):
                inside = values[first - start : last - start]
                np.copyto(inside, read, where=~np.isnan(read))
        return values
