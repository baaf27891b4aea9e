"""Windows to learn start sites from: those of CAGE peaks, and random ones far from any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfbind.cage import CagePeaks, Places, window_starts
from tfbind.errors import InputError
from tfbind.genome import UNKNOWN, ContigNames, Genome
from tfbind.intervals import merged
from tfbind.regions import Region, refuse_beyond

BACKGROUND_A_PEAK = 9
"""Windows of background for each peak: peaks are 10 % of what is learnt."""

PART = 1 << 20
"""Base pairs that are looked at for unknown bases at a time."""


@dataclass(frozen=True)
class Sites:
    """Windows with strands on a genome.

    Attributes
    ----------
    contigs : ndarray, shape (n,), int64
        Indices into the genome's contigs.
    starts : ndarray, shape (n,), int64
    minus : ndarray, shape (n,), bool
    """

    contigs: Places
    starts: Places
    minus: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, rows: npt.NDArray[np.integer | np.bool_]) -> "Sites":
        """Give some of them."""
        return Sites(self.contigs[rows], self.starts[rows], self.minus[rows])

    def order(self) -> Places:
        """Give the order of the genome: by contig, start, forward strand first."""
        return np.lexsort((self.minus, self.starts, self.contigs))


def joined(parts: Sequence[Sites]) -> Sites:
    """Join windows, one part behind the other."""
    return Sites(
        np.concatenate([one.contigs for one in parts]),
        np.concatenate([one.starts for one in parts]),
        np.concatenate([one.minus for one in parts]),
    )


class Ground:
    """Where windows may lie: in regions of a genome, wholly inside.

    Parameters
    ----------
    genome : Genome
    size : int
        Of a window, base pairs.
    regions : sequence of Region, optional
        By the genome's names; default: all of it.
    names : ContigNames, optional
        Finds the contigs of peaks among the genome's.
    """

    def __init__(
        self,
        genome: Genome,
        size: int,
        regions: Sequence[Region] | None = None,
        names: ContigNames | None = None,
    ) -> None:
        self._genome = genome
        self._size = size
        self._all = regions is None
        self._contigs = list(genome.sizes)
        self._names = names or ContigNames(tuple(self._contigs), genome.path)
        for region in regions or ():
            refuse_beyond(region, genome.sizes)
        self._regions: dict[str, tuple[Places, Places]] = {}
        for contig, length in genome.sizes.items():
            of = [one for one in regions or () if one.contig == contig]
            ends = [length if one.end is None else min(one.end, length) for one in of]
            starts = [one.start for one in of]
            if regions is None:
                starts, ends = [0], [length]
            self._regions[contig] = merged(np.array(starts, np.int64), np.array(ends, np.int64))

    def around(self, peaks: CagePeaks) -> tuple[Sites, npt.NDArray[np.int64]]:
        """Give the windows around peaks, each once, and which of the peaks they are of.

        Of peaks that have one middle on one strand only the first counts.

        Raises
        ------
        InputError
            Where all of the genome is asked for and a peak's contig or window is not on it.
        """
        where = peaks.intervals
        starts = window_starts(peaks.centres, peaks.minus, self._size)
        found = [self._found(peaks, name) for name in where.contigs]
        codes = np.array(found, np.int64)[where.codes]
        inside = np.zeros(len(where), np.bool_)
        for code, contig in enumerate(self._contigs):
            of = np.flatnonzero(codes == code)
            lows, highs = self._regions[contig]
            at = np.searchsorted(lows, starts[of], side="right") - 1
            fits = at >= 0
            fits[fits] = starts[of][fits] + self._size <= highs[at[fits]]
            inside[of] = fits
        if self._all and not inside.all():
            row = int(np.argmin(inside))
            contig = where.contigs[where.codes[row]]
            raise InputError(
                f"found a peak whose window of {self._size} bp reaches beyond {contig}, which has "
                f"{self._genome.sizes[self._contigs[codes[row]]]:,} bp in {self._genome.path}; are "
                "both of one assembly? --chroms and --region leave such peaks out",
                path=peaks.path,
                line=int(where.numbers[row]),
            )
        rows = np.flatnonzero(inside)
        places = np.stack([codes[rows], starts[rows], peaks.minus[rows]])
        rows = rows[np.sort(np.unique(places, axis=1, return_index=True)[1])]
        return Sites(codes[rows], starts[rows], peaks.minus[rows]), rows

    def _found(self, peaks: CagePeaks, name: str) -> int:
        """Give the number of a peak's contig in the genome; -1 where it may lack it."""
        there = self._names.find(name)
        if there is not None:
            return self._contigs.index(there)
        if self._all:
            try:
                self._names.resolve(name, peaks.intervals.contigs)
            except InputError as error:
                more = f"{error.message}; or leave other contigs out by --chroms"
                raise InputError(more, path=error.path) from None
        return -1

    def background(
        self,
        peaks: CagePeaks,
        count: int,
        away: int,
        seed: int,
        advance: Callable[[float], None] = lambda windows: None,
    ) -> Sites:
        """Draw windows, each place and strand once and as likely as any other.

        Their central bases lie at least some base pairs from all peaks, whatever the strand, and
        all their bases are known. A central base is one that fits both strands: of a region with
        windows of even size each strand lacks one place, at an end.

        Parameters
        ----------
        peaks : CagePeaks
        count, away : int
            Windows; base pairs.
        seed : int
        advance : callable, optional
            Told of windows that were read.

        Returns
        -------
        Sites
            As many, in the order in which they were drawn.

        Raises
        ------
        InputError
            If there are not as many such places.
        """
        contigs, firsts, lasts = self._free(peaks, away)
        passed = np.concatenate([[0], np.cumsum(lasts - firsts)])
        places = 2 * int(passed[-1])  # each on both strands
        wanted = count + count // 4 + 100
        if 2 * count > places:  # nearly all would be drawn before it shows
            self._refuse_few(self._count_known(contigs, firsts, lasts), count, away)
        while True:
            rng = np.random.default_rng(seed)
            drawn = rng.choice(places, min(wanted, places), replace=False)
            bases = drawn >> 1
            at = np.searchsorted(passed, bases, side="right") - 1
            minus = (drawn & 1).astype(np.bool_)
            centres = firsts[at] + bases - passed[at]
            sites = Sites(contigs[at], window_starts(centres, minus, self._size), minus)
            kept = np.flatnonzero(self._known(sites, advance))[:count]
            if len(kept) == count:
                return sites.select(kept)
            self._refuse_few(self._count_known(contigs, firsts, lasts), count, away)
            wanted *= 2

    def _refuse_few(self, known: int, count: int, away: int) -> None:
        if known < count:
            raise InputError(
                f"has {known:,} places {away} bp or more from any peak whose window is known, "
                f"expected {count:,}; ask for a smaller --background",
                path=self._genome.path,
            )

    def _count_known(self, contigs: Places, firsts: Places, lasts: Places) -> int:
        """Count the places, on both strands, whose window is known, of stretches of centres."""
        size, known = self._size, 0
        for contig, first, last in zip(contigs, firsts.tolist(), lasts.tolist(), strict=True):
            for start in range(first, last, PART):
                end = min(start + PART, last)
                codes = self._genome.codes(self._contigs[contig], start - size, end + size)
                unknown = np.concatenate([[0], np.cumsum(codes == UNKNOWN)])
                centres = np.arange(start, end)
                for minus in (False, True):
                    at = window_starts(centres, np.full(len(centres), minus), size) - start + size
                    known += int((unknown[at] == unknown[at + size]).sum())
        return known

    def _free(self, peaks: CagePeaks, away: int) -> tuple[Places, Places, Places]:
        """Give the stretches in which central bases of background may lie."""
        where, size = peaks.intervals, self._size
        codes = [self._found(peaks, name) for name in where.contigs]
        found = np.array(codes, np.int64)[where.codes]
        parts: list[Places] = [np.zeros((3, 0), np.int64)]
        for code, contig in enumerate(self._contigs):
            of = found == code
            starts, ends = merged(where.starts[of] - away, where.ends[of] + away)
            # The window fits on either strand.
            lows, highs = self._regions[contig]
            lows, highs = lows + size // 2, highs - size // 2
            for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
                gaps = np.stack([np.append(low, np.maximum(ends, low)), np.append(starts, high)])
                gaps[1] = np.minimum(gaps[1], high)
                gaps = gaps[:, gaps[1] > gaps[0]]
                parts.append(np.stack([np.full(gaps.shape[1], code), *gaps]))
        contigs, firsts, lasts = np.concatenate(parts, axis=1).astype(np.int64)
        return contigs, firsts, lasts

    def _known(self, sites: Sites, advance: Callable[[float], None]) -> npt.NDArray[np.bool_]:
        """Tell of which windows all bases are known, read in the genome's order: that is faster."""
        known = np.zeros(len(sites), np.bool_)
        for row in sites.order().tolist():
            contig, start = self._contigs[int(sites.contigs[row])], int(sites.starts[row])
            codes = self._genome.codes(contig, start, start + self._size)
            known[row] = bool((codes != UNKNOWN).all())
            advance(1)
        return known
