"""Pictures of results, drawn with matplotlib, which is imported only where it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from tfbind.evaluation import Metrics, Ranking
from tfbind.reliability import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 2000
"""Points that a curve is thinned to: more than its width in pixels."""

RAREST = 1e-5
"""The share of bound bins that a logarithmic axis begins with."""

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"
MARKS = (ORANGE, "#009e73", "#cc79a7")
"""Of stretches that are marked, in turn (Okabe and Ito 2008)."""

DATELESS = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def roc_curve(ranking: Ranking) -> Curve:
    """Give points of the ROC curve.

    Returns
    -------
    false_positive_rate, recall : ndarray, shape (m,), float64
        At most `POINTS`, from (0, 0) to (1, 1).
    """
    unbound, bound = ranking.corners()
    return _thinned(unbound / ranking.unbound_total, bound / ranking.bound_total)


def precision_recall_curve(ranking: Ranking) -> Curve:
    """Give points of the precision-recall curve, bent within long ties as it truly is.

    Returns
    -------
    recall, precision : ndarray, shape (m,), float64
        At most `POINTS`, from recall 0 to recall 1.
    """
    unbound, bound = ranking.corners()
    # Between corners unbound bins come in proportion to bound ones, which is a curve here.
    between = np.linspace(0, ranking.bound_total, POINTS)[1:-1]
    x = np.concatenate([bound, between])
    y = np.concatenate([unbound, np.interp(between, bound, unbound)])
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    real = x + y > 0
    x, y = x[real], y[real]
    precision = x / (x + y)
    recall = np.concatenate([[0.0], x / ranking.bound_total])
    return _thinned(recall, np.concatenate([precision[:1], precision]))


def _thinned(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Curve:
    """Keep points at equal distances along a curve, and both ends."""
    if len(x) <= POINTS:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    kept = np.searchsorted(along, np.linspace(0, along[-1], POINTS - 2))
    kept = np.unique(np.concatenate([[0], np.minimum(kept, len(x) - 1), [len(x) - 1]]))
    return x[kept], y[kept]


def draw_curves(
    ranking: Ranking, metrics: Metrics, path: str | Path, *, kind: str, title: str = ""
) -> None:
    """Draw the precision-recall and the ROC curve side by side, 1200 pixels wide as PNG.

    Parameters
    ----------
    ranking : Ranking
    metrics : Metrics
        Of that ranking.
    path : str or Path
        The file to write.
    kind : str
        png, svg or pdf.
    title : str
        A line above both.
    """
    with figure_of((12, 5.6), path, kind) as figure:
        left, right = figure.subplots(1, 2)
        figure.suptitle(title or "Scores against labels", fontsize=12)
        _precision_recall(left, ranking, metrics)
        _roc(right, ranking, metrics)
        for axes in (left, right):
            framed(axes)


@contextmanager
def figure_of(
    inches: tuple[float, float], path: str | Path | BinaryIO, kind: str
) -> "Iterator[Figure]":
    """Give a figure to draw, and write it: inches of 100 pixels, kind png, svg or pdf."""
    import matplotlib
    from matplotlib.figure import Figure

    # Letters stay letters in SVG, and its names do not change from run to run.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfbind", "font.size": 10}):
        figure = Figure(figsize=inches, dpi=100, layout="constrained")
        yield figure
        figure.savefig(path, format=kind, metadata=DATELESS[kind])


def _precision_recall(axes: "Axes", ranking: Ranking, metrics: Metrics) -> None:
    share = metrics.bound / (metrics.bound + metrics.unbound)
    area = f"AUPRC {metrics.auprc_davis_goadrich:.4f} (trapezoid {metrics.auprc_trapezoid:.4f})"
    axes.plot(*precision_recall_curve(ranking), color=BLUE, linewidth=1.8, label=area, zorder=3)
    for recall, fdr, marker in (
        (metrics.recall_at_10_fdr, 10, "^"),
        (metrics.recall_at_50_fdr, 50, "o"),
    ):
        axes.plot(
            [recall],
            [1 - fdr / 100],
            marker,
            color=ORANGE,
            markersize=7,
            label=f"recall {recall:.4f} at {fdr} % FDR",
            clip_on=False,
            zorder=4,
        )
    label = f"share of bound bins, {share:.2g}"
    axes.axhline(share, color=GREY, linestyle="--", linewidth=1.2, label=label, zorder=2)
    axes.set(xlabel="Recall", ylabel="Precision")
    axes.set_title(f"Precision-recall, {metrics.bound:,} bound bins", fontsize=11)
    axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")


def _roc(axes: "Axes", ranking: Ranking, metrics: Metrics) -> None:
    axes.plot(
        *roc_curve(ranking),
        color=BLUE,
        linewidth=1.8,
        label=f"AUROC {metrics.auroc:.4f}",
        zorder=3,
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="chance, 0.5")
    axes.set(xlabel="False positive rate", ylabel="Recall (true positive rate)")
    axes.set_title(f"ROC, {metrics.unbound:,} unbound bins", fontsize=11)
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")


def draw_reliability(
    reliability: Reliability, path: str | Path, *, kind: str, title: str = ""
) -> None:
    """Draw the share of bound bins against their scores, and below it how many bins there are.

    On the left in equal steps, on the right in logarithmic ones, where most bins are.

    Parameters
    ----------
    reliability : Reliability
    path, kind, title
        As `draw_curves` takes them.
    """
    with figure_of((12, 7.6), path, kind) as figure:
        panels = figure.subplots(2, 2, sharex="col", height_ratios=[3, 1])
        bins = int(reliability.ranges.bins.sum())
        figure.suptitle(
            f"{title or 'Scores against labels'}\n{bins:,} bins, Brier score "
            f"{reliability.brier:.5f}, expected calibration error {reliability.error:.5f}",
            fontsize=12,
        )
        for upper, lower in panels.T:
            _shares(upper, reliability)
            _counts(lower, reliability)
            for axes in (upper, lower):
                gridded(axes)
        panels[0, 0].set(xlim=(0, 1), ylim=(0, 1))
        panels[0, 0].legend(loc="upper left", frameon=True, framealpha=0.9, edgecolor="none")
        panels[0, 1].set(xscale="log", xlim=(RAREST, 1), ylim=(RAREST, 1))
        panels[0, 1].set_yscale("log", nonpositive="clip")  # no share is 0 there
        panels[1, 0].legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")


def _shares(axes: "Axes", reliability: Reliability) -> None:
    low, high = reliability.intervals()
    ranges, alike = reliability.ranges, reliability.alike
    axes.plot([0, RAREST, 1], [0, RAREST, 1], "--", color=GREY, linewidth=1.2, label="as predicted")
    axes.errorbar(
        ranges.scores,
        ranges.shares,
        yerr=[ranges.shares - low, high - ranges.shares],
        color=BLUE,
        marker="o",
        linewidth=1.8,
        elinewidth=1,
        capsize=3,
        label="ranges of scores, 95 % intervals",
        zorder=3,
    )
    axes.plot(
        alike.scores,
        alike.shares,
        "s",
        color=ORANGE,
        markerfacecolor="none",
        label=f"{len(alike.bins)} groups of equally many bins: ECE {reliability.error:.5f}",
        zorder=4,
    )
    axes.set(ylabel="Share of bound bins")


def _counts(axes: "Axes", reliability: Reliability) -> None:
    ranges = reliability.ranges
    axes.plot(ranges.scores, ranges.bins, "o-", color=GREY, label="bins")
    axes.plot(ranges.scores, ranges.bound, "o-", color=BLUE, label="bound bins")
    axes.set(xlabel="Mean score", ylabel="Bins")
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(bottom=0.5)


def framed(axes: "Axes") -> None:
    """Let both axes go from 0 to 1, with a grid."""
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    gridded(axes)


def gridded(axes: "Axes") -> None:
    """Draw a pale grid behind what is shown."""
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
