"""How training went, as a picture."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfbind.history import History
from tfbind.plots import BLUE, DATELESS, GREY, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

MOST_TASKS = 8
"""Tasks that each have a line of their own, beside the mean."""

FEW_LINES = 4
"""So many leave room for the legend."""


def draw_history(
    history: History,
    path: str | Path,
    *,
    kind: str,
    tasks: "Sequence[str]" = (),
    title: str = "",
) -> None:
    """Draw loss and AUPRC over the epochs side by side, 1200 pixels wide as PNG.

    Parameters
    ----------
    history : History
        With at least one epoch; the one whose weights were kept is marked.
    path : str or Path
        The file to write.
    kind : str
        png, svg or pdf.
    tasks : sequence of str
        Each has a line if there are two to eight; the mean has one always.
    title : str
        A line above both.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfbind", "font.size": 10}):
        figure = Figure(figsize=(12, 5), dpi=100, layout="constrained")
        left, right = figure.subplots(1, 2)
        figure.suptitle(title or "Training", fontsize=12)
        _losses(left, history)
        _areas(right, history, tasks)
        for axes in (left, right):
            _frame(axes, history)
        figure.savefig(path, format=kind, metadata=DATELESS[kind])


def _losses(axes: "Axes", history: History) -> None:
    numbers = [epoch.number for epoch in history.epochs]
    for name, color, values in (
        ("training", BLUE, [epoch.loss for epoch in history.epochs]),
        ("validation", ORANGE, [epoch.validation_loss for epoch in history.epochs]),
    ):
        axes.plot(numbers, values, color=color, marker=".", linewidth=1.6, label=name, zorder=3)
    axes.set(xlabel="Epoch", ylabel="Loss (nats a bin, weighted)")
    axes.set_title("Loss", fontsize=11)


def _areas(axes: "Axes", history: History, tasks: "Sequence[str]") -> None:
    numbers = [epoch.number for epoch in history.epochs]
    if 1 < len(tasks) <= MOST_TASKS:
        for place, task in enumerate(tasks):
            values = [epoch.areas[place] if epoch.areas else math.nan for epoch in history.epochs]
            if not all(map(math.isnan, values)):
                axes.plot(numbers, values, linewidth=1, alpha=0.7, label=task, zorder=2)
    mean = [epoch.validation_auprc for epoch in history.epochs]
    name = f"mean of {len(tasks)}" if len(tasks) > 1 else "validation"
    axes.plot(numbers, mean, color=ORANGE, marker=".", linewidth=1.8, label=name, zorder=3)
    highest = max(
        (area for epoch in history.epochs for area in epoch.areas if math.isfinite(area)),
        default=0.0,
    )
    axes.set(xlabel="Epoch", ylabel="AUPRC", ylim=(0, min(1.25 * max(highest, *mean, 0.01), 1)))
    axes.set_title("Area under the precision-recall curve, validation part", fontsize=11)


def _frame(axes: "Axes", history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    best = history.epochs[history.best - 1]
    label = f"kept: epoch {best.number}, AUPRC {best.validation_auprc:.4f}"
    axes.axvline(best.number, color=GREY, linestyle="--", linewidth=1.2, label=label, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, max(len(history.epochs), 2) + 0.5)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    places: dict[str, Any] = {"loc": "best"}
    if len(axes.lines) > FEW_LINES:  # they leave no room among them
        places = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    axes.legend(**places, frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
