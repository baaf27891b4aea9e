"""Which known motifs a motif is like, by TOMTOM."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from memelite import tomtom

from tfbind.motifs import Motif

FEW = 50
"""Fewer motifs than this are too few to tell how scores are distributed by chance."""


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
        Positions that are aligned.
    offset : int
        Where the known motif begins, from the first position of what was compared with it.
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

    Parameters
    ----------
    queries : sequence of ndarray, each of shape (width, 4)
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
    targets = [one.frequencies for one in (*known, *among)]
    pvalues, _, offsets, overlaps, strands = tomtom(_columns(queries), _columns(targets))
    pvalues = pvalues[:, : len(known)]
    rates = false_discovery_rates(pvalues)
    best = np.argmin(pvalues, axis=1)
    return [
        Match(
            known[target],
            float(pvalues[row, target]),
            float(rates[row, target]),
            int(overlaps[row, target]),
            -int(offsets[row, target]),
            "-" if strands[row, target] else "+",
        )
        for row, target in enumerate(best.tolist())
    ]


def _columns(motifs: Sequence[npt.NDArray[np.float64]]) -> list[npt.NDArray[np.float64]]:
    return [np.ascontiguousarray(one.T) for one in motifs]


def false_discovery_rates(pvalues: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give q-values by Benjamini and Hochberg (1995), of the same shape."""
    flat = pvalues.ravel()
    order = np.argsort(flat)[::-1]
    rates = flat[order] * len(flat) / np.arange(len(flat), 0, -1)
    q = np.empty_like(flat)
    q[order] = np.minimum.accumulate(np.minimum(rates, 1))
    return q.reshape(pvalues.shape)
