"""Scores of known motifs, which the graph computes from the bases."""

import numpy as np
import numpy.typing as npt

from tfbind.channels.base import GraphChannel, Matrices
from tfbind.contract import Input
from tfbind.errors import RequestError
from tfbind.motifs import read_motifs


class MotifChannel(GraphChannel):
    """The log-odds score of each motif at each base, of the strand that has the higher one.

    All motifs get the width of the widest, with columns of zeros around; an unknown base adds 0.
    """

    enters = "pooled"

    @classmethod
    def described(cls, argument: str | None) -> Input:
        """Describe the motifs in a file."""
        if not argument:
            raise RequestError("found no motifs, expected motif=FILE, in MEME or JASPAR format")
        motifs = read_motifs(argument)
        return Input(
            "motif",
            "motif",
            "float32",
            along="sequence",
            of="sequence",
            features=tuple(motif.name for motif in motifs),
            table={motif.name: tuple(map(tuple, motif.log_odds.tolist())) for motif in motifs},
        )

    @property
    def graph(self) -> Matrices:
        """Slide the motifs: row i is of the stretch of the widest motif's width from base i on."""
        rows = [np.array(self.spec.table[name], np.float32) for name in self.spec.features]
        width = max(map(len, rows))
        return Matrices(
            np.stack([_widened(one, width) for one in rows]),
            np.stack([_widened(one[::-1, ::-1], width) for one in rows]),
        )


def _widened(rows: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    before = (width - len(rows)) // 2
    return np.pad(rows, ((before, width - len(rows) - before), (0, 0)))
