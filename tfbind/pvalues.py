"""How likely a score of a motif is by chance."""

import numpy as np

from tfbind.motifs import Motif

STEP = 1e-3
"""Bits to which log-odds are rounded before their sums are counted."""


class ScoreDistribution:
    """The scores of a motif over all words of its width, drawn base by base from its background.

    The log-odds are rounded to `STEP`, and the probability of every sum of them is found by adding
    one position after the other (Staden 1989); so a score is known to within half a step times the
    motif's width, 0.0075 bits for 15 bases.

    Parameters
    ----------
    motif : Motif
    """

    def __init__(self, motif: Motif) -> None:
        rows = np.rint(motif.log_odds.astype(float) / STEP).astype(np.int64)
        self._least = int(rows.min(axis=1).sum())
        self._error = len(rows) / 2
        shares = np.ones(1)
        for row in rows - rows.min(axis=1, keepdims=True):
            longer = np.zeros(len(shares) + int(row.max()))
            for shift, share in zip(row.tolist(), motif.background, strict=True):
                longer[shift : shift + len(shares)] += share * shares
            shares = longer
        self._reached = np.append(np.cumsum(shares[::-1])[::-1], 0.0)

    def threshold(self, pvalue: float) -> float:
        """Give the score that a random word reaches with a probability of at most `pvalue`.

        It lies halfway between the last score that is too likely and the first that is not. As
        scores are known to within the rounding only, so is the probability: where scores lie as
        near to each other as that, a word just below may pass.

        Returns
        -------
        float, bits
            Infinity where even the best word is likelier than that, for the motif is short.
        """
        # A share that is the p-value exactly, such as 1/4096, must not be lost to rounding.
        enough = self._reached <= pvalue * (1 + 1e-9)
        first = int(np.argmax(enough))
        if self._reached[first] <= 0:
            return np.inf
        if not first:
            return (self._least - self._error) * STEP
        there = first + int(np.argmax(self._reached[first:] < self._reached[first])) - 1
        return (self._least + (first - 1 + there) / 2) * STEP
