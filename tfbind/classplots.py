"""Pictures of how well classes are told apart, drawn with matplotlib."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfbind.multiclass import ClassReport
from tfbind.plots import (
    BLUE,
    GREY,
    ORANGE,
    figure_of,
    framed,
    precision_recall_curve,
    roc_curve,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (GREY, ORANGE, BLUE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of the classes, which colour-blind readers can tell apart (Okabe and Ito 2008)."""

DARK = 0.55
"""Share of a row from which numbers are white."""


def draw_classes(report: ClassReport, path: str | Path, *, kind: str, title: str = "") -> None:
    """Draw the confusion matrix and each class's curves against all others.

    It is 1500 pixels wide as PNG.

    Parameters
    ----------
    report : ClassReport
    path : str or Path
        The file to write.
    kind : str
        png, svg or pdf.
    title : str
        A line above all; default: Scores against classes.
    """
    with figure_of((15, 6), path, kind) as figure:
        panels = figure.subplots(1, 3)
        bins = int(report.confusion.sum())
        figure.suptitle(
            f"{title or 'Scores against classes'}\n{bins:,} bins, {report.ambiguous:,} ambiguous "
            f"left out, accuracy {report.accuracy:.3f}",
            fontsize=12,
        )
        _confusion(panels[0], report)
        _curves(panels[1], panels[2], report)


def _confusion(axes: "Axes", report: ClassReport) -> None:
    shares = report.confusion / report.confusion.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(report.confusion):
        axes.text(
            column,
            row,
            f"{count:,}\n{shares[row, column]:.1%}",
            ha="center",
            va="center",
            color="white" if shares[row, column] > DARK else "black",
        )
    places = range(len(report.classes))
    axes.set_xticks(places, report.classes)
    axes.set_yticks(places, report.classes, rotation=90, va="center")
    axes.set(xlabel="Class of the highest score", ylabel="True class")
    axes.set_title("Confusion matrix: bins, share of the row", fontsize=11)
    axes.spines[:].set_visible(False)


def _curves(left: "Axes", right: "Axes", report: ClassReport) -> None:
    for number, name in enumerate(report.classes):
        ranking, metrics = report.rankings[number], report.metrics[number]
        colour = COLOURS[number % len(COLOURS)]
        area = f"{name}, AUPRC {metrics.auprc_davis_goadrich:.3f}"
        left.plot(*precision_recall_curve(ranking), color=colour, linewidth=1.8, label=area)
        share = metrics.bound / (metrics.bound + metrics.unbound)
        left.axhline(share, color=colour, linestyle="--", linewidth=1)
        area = f"{name}, AUROC {metrics.auroc:.3f}"
        right.plot(*roc_curve(ranking), color=colour, linewidth=1.8, label=area)
    right.plot([0, 1], [0, 1], color="#bbbbbb", linestyle="--", linewidth=1.2, label="chance, 0.5")
    left.set(xlabel="Recall", ylabel="Precision")
    left.set_title("Each class against all others (dashed: its share)", fontsize=11)
    right.set(xlabel="False positive rate", ylabel="Recall (true positive rate)")
    right.set_title("ROC, each class against all others", fontsize=11)
    for axes in (left, right):
        # Below the axes, as curves of classes may run anywhere inside.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
        framed(axes)
