"""Which bins a model knows from its training."""

import numpy as np

from tfbind.contract import Contract
from tfbind.matching import START_BITS, Table
from tfbind.regions import RegionSet, Spans, parse_regions

PLACES_AT_ONCE = 1 << 20


def training_bins(table: Table, contract: Contract) -> int:
    """Count the bins whose windows share a base with those of bins that a model was trained on.

    Parameters
    ----------
    table : Table
    contract : Contract
        Of the model; its regions hold bins, and windows reach beyond them.
    """
    contigs = tuple(table.contigs)
    learnt = RegionSet(parse_regions(contract.trained_on, contigs))
    # Both windows reach so far beyond their bins, and training keeps its parts so far apart.
    apart = 2 * contract.geometry.flank
    count = 0
    for first in range(0, len(table.keys), PLACES_AT_ONCE):
        keys = table.keys[first : first + PLACES_AT_ONCE]
        starts = (keys & np.uint64((1 << START_BITS) - 1)).astype(np.int64)
        codes = (keys >> np.uint64(START_BITS)).astype(np.int32)
        spans = Spans(contigs, codes, starts, starts + table.width).widened(apart)
        count += int(np.count_nonzero(learnt.overlaps(spans)))
    return count
