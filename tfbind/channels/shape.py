"""The shape of the double helix, which the graph looks up in the bases."""

import numpy as np

from tfbind.channels.base import GraphChannel, Lookup
from tfbind.contract import Input
from tfbind.errors import RequestError
from tfbind.genome import UNKNOWN
from tfbind.shape import CODES, FEATURES, HEXAMER, hexamer_table


class ShapeChannel(GraphChannel):
    """MGW, ProT, Roll and HelT at each base, standardised over all 4,096 hexamers.

    Where nothing is known, beside unknown bases and beyond the ends of a contig, all are 0: the
    mean. The method is that of Zhou et al. (2013), Nucleic Acids Research 41:W56.
    """

    enters = "convolved"

    @classmethod
    def described(cls, argument: str | None) -> Input:
        """Describe the four features."""
        if argument is not None:
            raise RequestError(f"found shape={argument}, expected shape, which takes no file")
        table = hexamer_table().astype(np.float64)
        known = table[(np.indices((CODES,) * HEXAMER) < UNKNOWN).all(axis=0).ravel()]
        return Input(
            "shape",
            "shape",
            "float32",
            along="sequence",
            of="sequence",
            features=FEATURES,
            mean=tuple(known.mean(axis=0).tolist()),
            deviation=tuple(known.std(axis=0).tolist()),
        )

    @property
    def graph(self) -> Lookup:
        """Look up hexamers: row i is of the base i + 2, and of the step from it to the next."""
        table = (hexamer_table() - np.array(self.spec.mean)) / np.array(self.spec.deviation)
        return Lookup(np.nan_to_num(table).astype(np.float32))
