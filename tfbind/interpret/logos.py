"""Sequence logos."""

from typing import TYPE_CHECKING, Any

import logomaker
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from tfbind.motifs import LETTERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"A": "#009e73", "C": "#0072b2", "G": "#e69f00", "T": "#d55e00"}
"""Colours that the colour-blind tell apart (Okabe and Ito 2008)."""


def draw_logo(
    axes: "Axes",
    heights: npt.NDArray[Any],
    *,
    first: int = 1,
    top: float | None = None,
    unit: str = "bits",
) -> None:
    """Draw a logo: at each position letters of given heights, the highest on top.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    heights : ndarray, shape (positions, 4)
        Of A, C, G and T; what is negative hangs below the axis.
    first : int
        The number of the first position.
    top : float, optional
        Where the vertical axis ends; default, or 0: at the highest.
    unit : str
        Of the heights.
    """
    index = range(first, first + len(heights))
    table = pd.DataFrame(np.asarray(heights, np.float64), columns=list(LETTERS), index=index)
    logomaker.Logo(table, ax=axes, color_scheme=COLOURS, vpad=0.02, show_spines=False)
    highest = float(np.maximum(heights, 0).sum(axis=1).max())
    axes.set_ylim(min(0.0, float(np.minimum(heights, 0).sum(axis=1).min())), top or highest or 1.0)
    axes.set_ylabel(unit)
    axes.spines[["left", "bottom"]].set_visible(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=8)


def aligned(
    heights: npt.NDArray[np.float64], *, offset: int, turned: bool, width: int
) -> npt.NDArray[np.float64]:
    """Shift a known motif so that it stands below a motif that it is like.

    Parameters
    ----------
    heights : ndarray, shape (positions, 4), float64
        Of A, C, G and T.
    offset : int
        Where it begins, positions from the other's first.
    turned : bool
        Show the other strand.
    width : int
        Positions of the other.

    Returns
    -------
    ndarray, shape (width, 4), float64
        What lies beyond the other is cut; where it has no position, all are 0.
    """
    shown = heights[::-1, ::-1] if turned else heights
    rows = np.zeros((width, len(LETTERS)))
    places = np.arange(len(shown)) + offset
    inside = (places >= 0) & (places < width)
    rows[places[inside]] = shown[inside]
    return rows
