"""Numbers of bases along a window: which are shown, and where they are strongest."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Span(NamedTuple):
    """A stretch, base pairs from the window's centre, half-open.

    Attributes
    ----------
    start, end : int
        In the numbers of `average.positions`.
    """

    start: int
    end: int


def thresholded(rows: npt.NDArray[np.floating], percentile: float) -> npt.NDArray[np.float64]:
    """Set all numbers below a percentile of them to 0.

    Parameters
    ----------
    rows : ndarray, shape (window, 4)
    percentile : float
        From 0 to 100; the source (ten Dijke 2017, section 3.2.1) takes 85.

    Returns
    -------
    ndarray, shape (window, 4), float64
    """
    return np.where(rows >= np.percentile(rows, percentile), rows, 0.0).astype(np.float64)


def strongest(rows: npt.NDArray[np.float64], width: int) -> int:
    """Find the stretch with the largest sum of positive numbers.

    Parameters
    ----------
    rows : ndarray, shape (window, 4), float64
    width : int
        Of the stretch, positions; at most the window.

    Returns
    -------
    int
        Its first position, counted from 0 at the window's start; of equal sums the first.
    """
    heights = np.maximum(rows, 0).sum(axis=1)
    sums = np.convolve(heights, np.ones(width), "valid")
    return int(np.argmax(sums))
