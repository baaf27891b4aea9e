"""Sequences of labelled bins, as programs that look for motifs read them."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.contract import Input
from tfbind.genome import Genome
from tfbind.sites import Sites

_LETTERS = np.frombuffer(b"ACGTN", np.uint8)
_SEQUENCE = channel(Input("sequence", "sequence", "uint8"))


def fasta_records(sites: Sites, size: int, genome: Genome) -> Iterator[bytes]:
    """Write the sequence of each window as FASTA.

    Parameters
    ----------
    sites : Sites
        Their contigs are indices into those of the genome.
    size : int
        Of the windows, base pairs.
    genome : Genome

    Yields
    ------
    bytes
        A record, named as `bedtools getfasta -s` does by contig, start and end (0-based, half-open)
        and, of the minus strand, `(-)`; in capitals, with N for what is unknown.
    """
    names = list(genome.sizes)
    for code, start, minus in zip(sites.contigs, sites.starts.tolist(), sites.minus, strict=True):
        contig = names[code]
        codes = genome.codes(contig, start, start + size)
        codes = _SEQUENCE.reverse_complement(codes) if minus else codes
        name = f">{contig}:{start}-{start + size}{'(-)' if minus else ''}\n"
        yield name.encode() + _LETTERS[codes].tobytes() + b"\n"


def inside(sites: Sites, size: int, lengths: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Tell which windows lie inside of their contigs, whose lengths in base pairs are given."""
    ends = np.array(lengths, np.int64)[sites.contigs]
    return (sites.starts >= 0) & (sites.starts + size <= ends)


def apart(sites: Sites, size: int) -> Sites:
    """Choose windows that share no base, the first of those that do, in the genome's order.

    Windows of neighbouring bins overlap, and sequences that are counted several times look like
    more evidence than they are.

    Parameters
    ----------
    sites : Sites
    size : int
        Of the windows, base pairs.
    """
    ordered = sites.select(sites.order())
    chosen: list[int] = []
    places = _places(ordered, size)
    row = 0
    while row < len(places):
        chosen.append(row)
        row = int(np.searchsorted(places, places[row] + size))
    return ordered.select(np.array(chosen, np.int64))


def clear_of(sites: Sites, others: Sites, size: int) -> npt.NDArray[np.bool_]:
    """Tell which windows share no base with any of others, of one size in base pairs."""
    if not len(others):
        return np.ones(len(sites), np.bool_)
    taken = np.sort(_places(others, size))
    places = _places(sites, size)
    at = np.searchsorted(taken, places)
    before, behind = taken[np.maximum(at - 1, 0)], taken[np.minimum(at, len(taken) - 1)]
    return np.asarray((np.abs(places - before) >= size) & (np.abs(behind - places) >= size))


def _places(sites: Sites, size: int) -> npt.NDArray[np.int64]:
    """Give the starts of windows along all contigs, between which lies more than a window."""
    return sites.contigs * ((1 << 40) + size) + sites.starts
