"""The bases themselves."""

import numpy as np

from tfbind.channels.base import Array, Channel, Reader, Sources
from tfbind.genome import UNKNOWN, A, C, G, T


class SequenceChannel(Channel):
    """Base codes; the graph turns them into one-hot rows, and the unknown base into zeros."""

    blank = UNKNOWN
    complement = np.array([T, G, C, A, UNKNOWN], np.uint8)
    enters = "convolved"

    def reader(self, sources: Sources) -> Reader:
        """Read base codes from the genome."""
        return sources.genome.codes

    def prepare(self, raw: Array) -> Array:
        """Give the codes as they are."""
        return raw
