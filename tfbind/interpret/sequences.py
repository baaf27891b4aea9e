"""Sequences of labelled bins, as programs that look for motifs read them."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tfbind.cage import central_bases, window_starts
from tfbind.channels import channel
from tfbind.contract import Input
from tfbind.genome import Genome
from tfbind.interpret.windows import minus_of
from tfbind.intervals import Intervals

_LETTERS = np.frombuffer(b"ACGTN", np.uint8)
_SEQUENCE = channel(Input("sequence", "sequence", "uint8"))


def fasta_records(
    batch: Intervals, names: Sequence[str], genome: Genome, window: int | None = None
) -> list[bytes]:
    """Write the sequence of each interval as FASTA.

    Parameters
    ----------
    batch : Intervals
    names : sequence of str
        For each of `batch.contigs`, the genome's name.
    genome : Genome
    window : int, optional
        Base pairs around the middle of each interval; default: the interval itself.

    Returns
    -------
    list of bytes
        Records, named as `bedtools getfasta -s` does by contig, start and end (0-based, half-open)
        and, of the minus strand, `(-)`; in capitals, with N for what is unknown, or beyond the end
        of a contig.
    """
    minus = minus_of(batch)
    spans = batch.ends - batch.starts if window is None else np.full(len(batch), window)
    firsts = batch.starts if window is None else _firsts(batch, window)
    records = []
    for code, first, span, turned in zip(batch.codes, firsts, spans, minus, strict=True):
        codes = genome.codes(names[code], int(first), int(first + span))
        codes = _SEQUENCE.reverse_complement(codes) if turned else codes
        name = f">{names[code]}:{first}-{first + span}{'(-)' if turned else ''}\n"
        records.append(name.encode() + _LETTERS[codes].tobytes() + b"\n")
    return records


def _firsts(batch: Intervals, window: int) -> npt.NDArray[np.int64]:
    """Give where windows around the central bases of intervals begin along the contig."""
    minus = minus_of(batch)
    return window_starts(central_bases(replace(batch, minus=minus)), minus, window)


class Apart:
    """Choose intervals that share no base with one that was chosen before.

    Bins overlap, and sequences that are counted several times look like more evidence than they
    are.

    Parameters
    ----------
    width : int
        Of all intervals, around their middle; base pairs.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._chosen: dict[str, list[int]] = {}

    def __call__(self, batch: Intervals, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Tell which intervals are chosen.

        Parameters
        ----------
        batch : Intervals
        names : sequence of str
            For each of `batch.contigs`, the genome's name.
        """
        firsts = _firsts(batch, self._width)
        return np.array(
            [
                self._is_apart(names[code], first)
                for code, first in zip(batch.codes, firsts.tolist(), strict=True)
            ],
            bool,
        )

    def _is_apart(self, contig: str, first: int) -> bool:
        chosen = self._chosen.setdefault(contig, [])
        place = bisect(chosen, first)
        if any(abs(first - near) < self._width for near in chosen[max(place - 1, 0) : place + 1]):
            return False
        chosen.insert(place, first)
        return True
