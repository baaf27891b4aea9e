"""Pictures of averaged contributions, after Figure 24 of the source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfbind.interpret.average import Profile, inside, positions
from tfbind.plots import BLUE, GREY, MARKS, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Mark:
    """A region that is marked.

    Attributes
    ----------
    region : (int, int)
        Base pairs from the centre, half-open.
    name : str
    """

    region: tuple[int, int]
    name: str


def draw_profiles(
    profiles: Mapping[str, Profile],
    marks: Sequence[Mark],
    path: str | Path,
    *,
    kind: str,
    title: str,
    shown: tuple[int, int] | None = None,
) -> None:
    """Draw a panel for each group of sites, one above the other, 1200 pixels wide as PNG.

    Parameters
    ----------
    profiles : mapping of str to Profile
        By the panel's title.
    marks : sequence of Mark
    path : str or Path
        The file to write.
    kind : str
        png, svg or pdf.
    title : str
        A line above all.
    shown : (int, int), optional
        The region that is drawn; default: the window.
    """
    with figure_of((12, 1.2 + 3.3 * len(profiles)), path, kind) as drawn:
        drawn.suptitle(title, fontsize=13)
        panels = drawn.subplots(len(profiles), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (name, profile) in zip(panels, profiles.items(), strict=True):
            places = positions(len(profile.mean))
            low, high = profile.mean - profile.error, profile.mean + profile.error
            axes.fill_between(
                places, low, high, color=BLUE, alpha=0.25, linewidth=0, label="standard error"
            )
            axes.plot(places, profile.mean, color=BLUE, linewidth=1.4, label="mean contribution")
            axes.axhline(0, color=GREY, linewidth=0.8)
            axes.axvline(-0.5, color=GREY, linewidth=0.8, linestyle="--")
            for mark, colour in zip(marks, cycle(MARKS), strict=False):
                own = profile.mean[inside(len(profile.mean), mark.region)]
                first, last = mark.region
                share = f"{mark.name}, {first} to {last - 1} bp: mean {own.mean():.2g} a base"
                edges = first - 0.5, last - 0.5
                axes.axvspan(*edges, color=colour, alpha=0.2, linewidth=0, label=share)
            axes.set_title(f"{name}, {profile.sites:,} sites", fontsize=11)
            axes.set_ylabel("Contribution to the output\n(mean over sites, logits a base)")
            # Below the axes, and their numbers, as contributions may be anywhere inside.
            under = -0.2 if axes is panels[-1] else -0.03
            axes.legend(
                loc="upper center", bbox_to_anchor=(0.5, under), ncols=3, fontsize=9, frameon=False
            )
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        window = len(next(iter(profiles.values())).mean)
        first, last = shown or (-(window // 2), window - window // 2)
        panels[-1].set_xlim(first - 0.5, last - 0.5)
        panels[-1].set_xlabel("Position from the centre of the bin (bp)")
        _fit(panels[-1], profiles, shown)


def _fit(axes: "Axes", profiles: Mapping[str, Profile], shown: tuple[int, int] | None) -> None:
    """Let the height be that of what is shown."""
    values = []
    for profile in profiles.values():
        own = np.ones(len(profile.mean), bool)
        own = own if shown is None else inside(len(own), shown)
        error = np.nan_to_num(profile.error[own])
        values += [profile.mean[own] - error, profile.mean[own] + error]
    low, high = (float(f(np.concatenate(values))) for f in (np.min, np.max))
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
