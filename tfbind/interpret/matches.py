"""Which known motifs a motif is like, by TOMTOM."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from memelite import tomtom

from tfbind.interpret.filters import information
from tfbind.motifs import Motif

EVEN = 0.25
"""Bits of a position that says nearly nothing."""

GAP = 2
"""So many such positions may part two others of a core."""

FEW = 25
"""Of fewer known motifs p-values are rough: their positions tell what is expected by chance."""


@dataclass(frozen=True)
class Match:
    """The known motif that is most like a motif.

    Attributes
    ----------
    motif : Motif
    pvalue : float
        That a random motif is as much like it, in the best alignment on either strand.
    qvalue : float
        The false discovery rate, by Benjamini and Hochberg, over all pairs of the motifs that were
        compared and the known ones.
    overlap : int
        Positions that are aligned, of the known motif's `core`.
    offset : int
        Where the whole known motif begins, from the first position of what was compared with it.
    strand : str
        `-`: the known motif is turned around.
    """

    motif: Motif
    pvalue: float
    qvalue: float
    overlap: int
    offset: int
    strand: str


def best_matches(
    queries: Sequence[npt.NDArray[np.float64]],
    known: Sequence[Motif],
    *,
    among: Sequence[Motif] = (),
) -> list[Match]:
    """Find the most alike of known motifs, by TOMTOM (Gupta et al. 2007) as memelite computes it.

    Of a known motif only the core takes part. TOMTOM takes the positions of a motif as independent,
    so that ten even ones in a row, as extended motifs have them, look like an unlikely likeness to
    a filter that is vague: with whole motifs of JASPAR 2024, 140 of 160 filters whose weights were
    shuffled had a match with q < .05, with cores 28 (`benchmarks/filters.py`). So p-values of
    weights are still too small; those of sites, which hundreds of sequences make, say more.

    Parameters
    ----------
    queries : sequence of ndarray, each of shape (width, 4), float64
        Frequencies of A, C, G and T.
    known : sequence of Motif
    among : sequence of Motif
        Others, which only tell what is to be expected by chance: what is expected is estimated
        from all positions of all motifs, and `known` may be too few.

    Returns
    -------
    list of Match
        One for each query; none if there is no known motif.
    """
    if not queries or not known:
        return []
    cores = [core(one.frequencies) for one in (*known, *among)]
    targets = [one.frequencies[at] for one, at in zip((*known, *among), cores, strict=True)]
    with warnings.catch_warnings():  # of few motifs, as `FEW` says
        warnings.filterwarnings("ignore", "tomtom was given", UserWarning)
        found = tomtom(_columns(queries), _columns(targets))
    pvalues, _, offsets, overlaps, strands = found
    pvalues = pvalues[:, : len(known)]
    rates = false_discovery_rates(pvalues)
    best = np.argmin(pvalues, axis=1)
    turned = np.take_along_axis(strands, best[:, None], axis=1)[:, 0] > 0
    return [
        Match(
            known[target],
            float(pvalues[row, target]),
            float(rates[row, target]),
            int(overlaps[row, target]),
            -int(offsets[row, target]) - _before(known[target], cores[target], turned[row]),
            "-" if turned[row] else "+",
        )
        for row, target in enumerate(best.tolist())
    ]


def core(frequencies: npt.NDArray[np.float64]) -> slice:
    """Find the stretch of a motif that says most and has no long even part.

    Parameters
    ----------
    frequencies : ndarray, shape (width, 4), float64
        Of A, C, G and T.

    Returns
    -------
    slice
        It begins and ends with positions of `EVEN` bits or more, and has at most `GAP` others in a
        row. All of the motif, if it has no such position.
    """
    bits = information(frequencies).sum(axis=1)
    telling = np.flatnonzero(bits >= EVEN)
    if not len(telling):
        return slice(0, len(bits))
    parts = np.split(telling, np.flatnonzero(np.diff(telling) > GAP + 1) + 1)
    best = max(parts, key=lambda part: float(bits[part].sum()))
    return slice(int(best[0]), int(best[-1]) + 1)


def _before(motif: Motif, core: slice, turned: np.bool_) -> int:
    """Count the positions that a motif has before its core, on the strand that is shown."""
    return int(len(motif) - core.stop if turned else core.start)


def _columns(motifs: Sequence[npt.NDArray[np.float64]]) -> list[npt.NDArray[np.float64]]:
    return [np.ascontiguousarray(one.T) for one in motifs]


def false_discovery_rates(pvalues: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the q-values of p-values, of the same shape, by Benjamini and Hochberg (1995)."""
    flat = pvalues.ravel()
    order = np.argsort(flat)[::-1]
    rates = flat[order] * len(flat) / np.arange(len(flat), 0, -1)
    q = np.empty_like(flat)
    q[order] = np.minimum.accumulate(np.minimum(rates, 1))
    return q.reshape(pvalues.shape)
