"""What the filters of a network have learnt: motifs, what these are like, how much they matter."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tfbind.channels.base import Array
from tfbind.interpret.convolutions import Convolution
from tfbind.interpret.filters import (
    BestSites,
    Sites,
    best_sites,
    frequencies,
    information,
    joined,
    positive_frequencies,
    sites_of,
)
from tfbind.interpret.matches import Match, best_matches
from tfbind.interpret.windows import minus_of
from tfbind.intervals import Intervals
from tfbind.meme import Counted
from tfbind.motifs import Motif

Item = TypeVar("Item")

CONTIG = 1 << 34
"""More than a contig has bases, and a window before and behind it."""

UNBOUND = 100_000
"""Windows of unbound bins whose answers are kept, at least: the standard error of a share of
them is below 0.2 %."""


@dataclass(frozen=True)
class Learnt:
    """A filter, as motifs of its weights and of its sites.

    Attributes
    ----------
    name : str
    weights : ndarray, shape (width, 4), float32
    sites : Sites
    influence : float
        As `influences` measures it.
    by_weights, by_sites : Match or None
        The known motifs that are most like both; None where none were given, or, of the sites,
        where these are too few.
    beside : Match or None
        Likewise, of motifs that were found otherwise, the one most like the sites.
    """

    name: str
    weights: npt.NDArray[np.float32]
    sites: Sites
    influence: float
    by_weights: Match | None = None
    by_sites: Match | None = None
    beside: Match | None = None

    @property
    def bits(self) -> float:
        """The information of the motif of its sites."""
        return float(information(frequencies(self.sites.counts)).sum())


class EvenlySpaced(Generic[Item]):
    """Keep some of the items of a stream, evenly spaced.

    Parameters
    ----------
    least : int
        Keep so many, if there are, and less than twice as many.

    Attributes
    ----------
    kept : list
    seen : int
    """

    def __init__(self, least: int) -> None:
        self.kept: list[Item] = []
        self.seen = 0
        self._most = 2 * least
        self._every = 1

    def add(self, item: Item) -> None:
        """Take in the next item."""
        if self.seen % self._every == 0:
            self.kept.append(item)
            if len(self.kept) == self._most:
                del self.kept[1::2]
                self._every *= 2
        self.seen += 1


class Scan:
    """Gather the best places of filters in the windows of bins, batch after batch.

    Of bound bins the bases of the windows are kept, one byte each, and 8 bytes for each filter; of
    a few, evenly spaced, all inputs; and of evenly spaced unbound bins 4 bytes for each filter.

    Parameters
    ----------
    convolutions : sequence of Convolution
    sequence : str
        The name of the input that the convolutions are over.
    sample : int
        Bound windows to keep as a whole: at least so many if there are, and less than twice as
        many.
    """

    def __init__(self, convolutions: Sequence[Convolution], sequence: str, sample: int) -> None:
        self._convolutions = convolutions
        self._sequence = sequence
        self._windows: EvenlySpaced[Mapping[str, Array]] = EvenlySpaced(sample)
        self._best: list[list[BestSites]] = [[] for _ in convolutions]
        self._highest = [np.full(len(one.names), -np.inf, np.float32) for one in convolutions]
        self._unbound: EvenlySpaced[list[npt.NDArray[np.float32]]] = EvenlySpaced(UNBOUND)
        self._codes: list[npt.NDArray[np.uint8]] = []
        self._keys: list[npt.NDArray[np.int64]] = []
        self._contigs: dict[str, int] = {}

    @property
    def bound(self) -> int:
        """Bound bins."""
        return self._windows.seen

    @property
    def unbound(self) -> int:
        """All other bins."""
        return self._unbound.seen

    def add(
        self,
        batch: Intervals,
        names: Sequence[str],
        windows: Mapping[str, Array],
        bound: npt.NDArray[np.bool_],
    ) -> None:
        """Take in the windows of a batch of bins, as `read_windows` gives them.

        Parameters
        ----------
        batch : Intervals
        names : sequence of str
            For each of `batch.contigs`, the genome's name.
        windows : mapping of str to ndarray
        bound : ndarray, shape (n,), bool
        """
        codes = windows[self._sequence]
        found = [best_sites(codes, convolution) for convolution in self._convolutions]
        for number, best in enumerate(found):
            self._best[number].append(BestSites(best.values[bound], best.places[bound]))
            self._highest[number] = np.maximum(self._highest[number], best.values.max(axis=0))
        for row in np.flatnonzero(bound):
            self._windows.add({name: values[row].copy() for name, values in windows.items()})
        for row in np.flatnonzero(~bound):
            self._unbound.add([best.values[row].copy() for best in found])
        self._codes.append(codes[bound])
        self._keys.append(self._places(batch, names, codes.shape[1])[bound])

    def _places(self, batch: Intervals, names: Sequence[str], window: int) -> npt.NDArray[np.int64]:
        """Give each window the number of its first base, of all bases of both strands.

        Numbers rise along the plus strand, and those of the minus strand, below 0, along that.
        """
        contigs = [self._contigs.setdefault(name, len(self._contigs) + 1) for name in names]
        origin = np.array(contigs, np.int64)[batch.codes] * CONTIG
        middle = batch.starts + batch.ends
        first, last = (middle - window) // 2, (middle + window) // 2
        return np.where(minus_of(batch), -(origin + last), origin + first)

    @property
    def sample(self) -> dict[str, Array]:
        """The windows that were kept as a whole: by input, shape (n, window) or (n, values)."""
        kept = self._windows.kept
        return {name: np.stack([one[name] for one in kept]) for name in kept[0]}

    def sites(self, share: float) -> Iterator[tuple[Convolution, list[Sites]]]:
        """Give the sites of all filters over a share of their highest activation."""
        codes, keys = np.concatenate(self._codes), np.concatenate(self._keys)
        for number, convolution in enumerate(self._convolutions):
            unbound = np.array([one[number] for one in self._unbound.kept], np.float32)
            unbound = unbound.reshape(-1, len(convolution.names))
            highest = self._highest[number]
            bound = joined(self._best[number])
            found = sites_of(bound, unbound, highest, codes, keys, convolution.width, share)
            yield convolution, list(found)


def described(
    found: Sequence[tuple[Convolution, Sequence[Sites]]],
    influence: Sequence[npt.NDArray[np.float64]],
    known: Sequence[Motif],
    others: Sequence[Motif],
    least: int,
) -> list[Learnt]:
    """Say what each filter is like, the most influential first.

    Parameters
    ----------
    found : sequence of (Convolution, sequence of Sites)
    influence : sequence of ndarray, each of shape (filters,)
        Of each convolution's filters.
    known, others : sequence of Motif
        Known ones, and those that were found otherwise; may be empty.
    least : int
        Sites that a motif of sites is made from, at least.
    """
    learnt = [
        Learnt(name, convolution.kernel[:, :, column], sites[column], float(one[column]))
        for (convolution, sites), one in zip(found, influence, strict=True)
        for column, name in enumerate(convolution.names)
    ]
    learnt.sort(key=lambda one: -one.influence)
    enough = [one.name for one in learnt if one.sites.count >= least]
    of_weights = [positive_frequencies(one.weights) for one in learnt]
    of_sites = [frequencies(one.sites.counts) for one in learnt if one.sites.count >= least]
    by_weights = best_matches(of_weights, known)
    by_sites = dict(zip(enough, best_matches(of_sites, known), strict=False))
    near = dict(zip(enough, best_matches(of_sites, others, among=known), strict=False))
    return [
        replace(one, by_weights=weights, by_sites=by_sites.get(one.name), beside=near.get(one.name))
        for one, weights in zip_longest(learnt, by_weights)
    ]


def as_motifs(learnt: Sequence[Learnt], least: int) -> list[Counted]:
    """Give the motifs of filters: of their sites, where these are enough, and of their weights."""
    motifs = []
    for one in learnt:
        if one.sites.count >= least:
            name = "" if one.by_sites is None else one.by_sites.motif.title
            shares = frequencies(one.sites.counts)
            motifs.append(Counted(f"{one.name}_sites", name, shares, one.sites.count))
        name = "" if one.by_weights is None else one.by_weights.motif.title
        motifs.append(Counted(f"{one.name}_weights", name, positive_frequencies(one.weights)))
    return motifs


def set_beside(
    others: Sequence[Motif], learnt: Sequence[Learnt], known: Sequence[Motif], least: int
) -> list[tuple[Motif, Match | None, Match | None]]:
    """Set motifs that were found otherwise beside those of the filters' sites.

    Parameters
    ----------
    others : sequence of Motif
        Such as those of MEME-ChIP.
    learnt : sequence of Learnt
    known : sequence of Motif
        They tell what likeness is to be expected by chance.
    least : int
        As `described` takes it.

    Returns
    -------
    list of (Motif, Match or None, Match or None)
        Each with the filter, and the known motif, that are most like it; None if there are none.
    """
    filters = [
        Motif(one.name, "", frequencies(one.sites.counts))
        for one in learnt
        if one.sites.count >= least
    ]
    queries = [one.frequencies for one in others]
    nothing: list[Match | None] = [None] * len(others)
    near = best_matches(queries, filters, among=known) or nothing
    named = best_matches(queries, known) or nothing
    return list(zip(others, near, named, strict=True))
