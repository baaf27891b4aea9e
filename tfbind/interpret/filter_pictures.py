"""Pictures of filters: logos of their weights and sites beside the motifs that they are like."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tfbind.interpret.filters import frequencies, information
from tfbind.interpret.learnt import Learnt
from tfbind.interpret.logos import aligned, draw_logo
from tfbind.interpret.matches import Match
from tfbind.motifs import Motif
from tfbind.plots import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 1.45
"""Inches that a filter takes."""

Beside = Sequence[tuple[Motif, Match | None, Match | None]]


def draw_filters(
    learnt: Sequence[Learnt],
    beside: Beside,
    path: str | Path | BinaryIO,
    *,
    kind: str,
    title: str,
    least: int,
    other: str = "",
) -> None:
    """Draw a row of logos for each filter, 1200 pixels wide as PNG: weights, sites, known motif.

    Parameters
    ----------
    learnt : sequence of Learnt
        In the order of the rows; with those of `beside` at least one.
    beside : sequence of (Motif, Match or None, Match or None)
        Further rows: a motif that was found otherwise, the filter and the known motif most like it.
    path : str or Path or binary file
        The file to write.
    kind : str
        png, svg or pdf.
    title : str
        Model, output and data.
    least : int
        Sites that a logo is made from, at least.
    other : str
        Where the motifs of `beside` are from.
    """
    rows = len(learnt) + len(beside)
    with figure_of((12, ROW * rows + 0.6), path, kind) as figure:
        figure.suptitle(title, fontsize=11)
        panels = figure.subplots(rows, 3, squeeze=False)
        for row, one in zip(panels, learnt, strict=False):
            _filter_row(row, one, least)
        by_name = {one.name: one for one in learnt}
        for row, (motif, near, known) in zip(panels[len(learnt) :], beside, strict=True):
            _motif_row(row, motif, near, known, by_name, other)
        for axes in panels[-1]:
            axes.set_xlabel("position (bp)", fontsize=9)


def _filter_row(row: "Sequence[Axes]", one: Learnt, least: int) -> None:
    draw_logo(row[0], np.maximum(one.weights, 0), unit="weight")
    row[0].set_title(
        f"{one.name}, influence {one.influence:+.3f}\nweights{told(one.by_weights)}", fontsize=8.5
    )
    if one.sites.count < least:
        return _empty(row[1:], f"{one.name}: {one.sites.count} sites, fewer than {least}")
    draw_logo(row[1], information(frequencies(one.sites.counts)), top=2)
    row[1].set_title(
        f"{one.sites.count:,} sites, in {one.sites.bound:.0%} of bound bins\n"
        f"sites{told(one.by_sites)}",
        fontsize=8.5,
    )
    return _known(row[2], one.by_sites, len(one.weights))


def _motif_row(
    row: "Sequence[Axes]",
    motif: Motif,
    near: Match | None,
    known: Match | None,
    learnt: dict[str, Learnt],
    other: str,
) -> None:
    draw_logo(row[0], information(motif.frequencies), top=2)
    row[0].set_title(f"{motif.title[:40]}\nof {other}{told(known)}", fontsize=8.5)
    for axes, match, what in ((row[1], near, "filter"), (row[2], known, "motif")):
        if match is None:
            _empty([axes], f"no {what} to set beside it")
            continue
        _known(axes, match, len(motif))
        if what == "filter":
            influence = learnt[match.motif.name].influence if match.motif.name in learnt else None
            shown = "" if influence is None else f", influence {influence:+.3f}"
            axes.set_title(
                f"sites of {match.motif.name} ({match.strand}){shown}\np = {match.pvalue:.1e}, "
                f"q = {match.qvalue:.1e}",
                fontsize=8.5,
            )


def _known(axes: "Axes", match: Match | None, width: int) -> None:
    if match is None:
        return _empty([axes], "")
    bits = information(match.motif.frequencies)
    turned = match.strand == "-"
    draw_logo(axes, aligned(bits, offset=match.offset, turned=turned, width=width), top=2)
    axes.set_title(f"{match.motif.title[:40]} ({match.strand})\nas it is aligned", fontsize=8.5)
    return None


def _empty(panels: "Sequence[Axes]", text: str) -> None:
    for axes in panels:
        axes.axis("off")
    panels[0].text(
        0.5, 0.5, text, ha="center", va="center", fontsize=9, transform=panels[0].transAxes
    )


def told(match: Match | None) -> str:
    """Say what a motif is like, to stand behind its name; empty if there is no match."""
    if match is None:
        return ""
    return f" ~ {match.motif.title[:24]}, p = {match.pvalue:.1e}, q = {match.qvalue:.1e}"
