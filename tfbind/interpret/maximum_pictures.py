"""Pictures of the input that a network's output answers to most."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tfbind.interpret.logos import COLOURS, draw_logo
from tfbind.interpret.profiles import Span, thresholded
from tfbind.motifs import LETTERS
from tfbind.plots import BLUE, GREY, MARKS, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LEGEND = 190
"""Letters of a legend that are as wide as the picture."""


@dataclass(frozen=True)
class Shown:
    """What of a maximum is drawn.

    Attributes
    ----------
    rows : ndarray, shape (starts, window, 4), float32
        Of the starts that are drawn, as in `maximization.Maximum`.
    percentile : float
        Below it the mean is shown as 0, as `profiles.thresholded` does.
    near : Span
        What is drawn large; inside the window.
    marks : sequence of (Span, str)
        What is marked, and what it is called.
    """

    rows: npt.NDArray[np.float32]
    percentile: float
    near: Span
    marks: Sequence[tuple[Span, str]]

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """The mean over starts, thresholded, shape (window, 4), float64."""
        return thresholded(self.rows.mean(axis=0), self.percentile)

    @property
    def spread(self) -> npt.NDArray[np.float64]:
        """The standard deviation over starts, shape (window, 4), float64."""
        return np.asarray(self.rows.std(axis=0), np.float64)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Base pairs from the window's centre, as `average.positions`, shape (window,), int64."""
        window = self.rows.shape[1]
        return np.asarray(np.arange(window) - window // 2)


def draw_maximum(shown: Shown, path: str | Path, *, kind: str, title: str) -> None:
    """Draw the mean over starts along the window, a logo of a part, and the spread there.

    It is 1200 pixels wide as PNG.

    Parameters
    ----------
    shown : Shown
    path : str or Path
        The file to write.
    kind : str
        png, svg or pdf.
    title : str
        Model, output and what the other inputs are held at.
    """
    with figure_of((12, 8), path, kind) as figure:
        figure.suptitle(title, fontsize=11)
        window, logo, spread = figure.subplots(3, 1)
        _along_window(window, shown)
        _logo(logo, shown)
        _spread(spread, shown)
        for axes in (window, logo, spread):
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlabel("position from the window's centre (bp)")
        for axes, limits in ((window, shown.positions[[0, -1]]), (logo, shown.near)):
            axes.set_xlim(limits[0] - 0.5, limits[1] + (0.5 if axes is window else -0.5))
        spread.set_xlim(logo.get_xlim())
        for axes in (logo, spread):
            _mark(axes, shown.marks)


def _along_window(axes: "Axes", shown: Shown) -> None:
    mean = shown.mean
    highest = mean.argmax(axis=1)
    rows = np.arange(len(mean))
    heights, spread = mean[rows, highest], shown.spread[rows, highest]
    axes.fill_between(
        shown.positions,
        heights - spread,
        heights + spread,
        color=GREY,
        alpha=0.35,
        linewidth=0,
        label="one standard deviation over starts",
    )
    axes.plot(shown.positions, heights, color=BLUE, linewidth=0.9, label="mean")
    near = shown.near.start - 0.5, shown.near.end - 0.5
    axes.axvspan(*near, facecolor="none", edgecolor=BLUE, linestyle="--", label="drawn below")
    for ((start, end), name), colour in zip(shown.marks, cycle(MARKS), strict=False):
        told = f"{name}, {start:+d} to {end - 1:+d} bp"
        axes.axvspan(start - 0.5, end - 0.5, color=colour, alpha=0.15, linewidth=0, label=told)
    axes.set_ylabel("highest base")
    axes.set_title(
        f"The whole window: mean over the starts of each position's highest base; below percentile "
        f"{shown.percentile:g} it is 0",
        fontsize=10,
    )
    axes.margins(y=0.15)
    # Below the axes and their label, as the curve may be anywhere inside, in as many columns as
    # the longest name leaves room for.
    longest = max(map(len, axes.get_legend_handles_labels()[1]))
    columns = max(1, min(5, LEGEND // (longest + 6)))
    below = (0.5, -0.24)
    axes.legend(loc="upper center", bbox_to_anchor=below, ncols=columns, fontsize=9, frameon=False)


def _inside(shown: Shown) -> npt.NDArray[np.bool_]:
    return (shown.positions >= shown.near.start) & (shown.positions < shown.near.end)


def _logo(axes: "Axes", shown: Shown) -> None:
    draw_logo(axes, shown.mean[_inside(shown)], first=shown.near.start, unit="mean")
    axes.set_title(f"{shown.near.start:+d} to {shown.near.end - 1:+d} bp", fontsize=10)


def _spread(axes: "Axes", shown: Shown) -> None:
    inside = _inside(shown)
    means, spreads = shown.rows.mean(axis=0)[inside], shown.spread[inside]
    places = shown.positions[inside]
    for base, letter in enumerate(LETTERS):
        highest = means.argmax(axis=1) == base
        axes.errorbar(
            places[highest],
            means[highest, base],
            yerr=spreads[highest, base],
            fmt="o",
            markersize=4,
            elinewidth=1,
            capsize=2,
            color=COLOURS[letter],
            label=letter,
        )
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_ylabel("highest base")
    axes.set_title("Mean and standard deviation over starts, nothing set to 0", fontsize=10)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=9, frameon=False)


def _mark(axes: "Axes", marks: Sequence[tuple[Span, str]]) -> None:
    low, high = axes.get_xlim()
    for ((start, end), _), colour in zip(marks, cycle(MARKS), strict=False):
        if start < high and end > low:
            axes.axvspan(start - 0.5, end - 0.5, color=colour, alpha=0.15, linewidth=0, zorder=-1)
    axes.set_xlim(low, high)
