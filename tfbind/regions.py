"""Parts of a genome: regions named on a command line, and the bases that intervals cover."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError, three
from tfbind.genome import ContigNames
from tfbind.intervals import merged

SPAN = 1 << 40
"""Base pairs that each contig has on an axis: more than any contig is long."""

FARTHEST = np.iinfo(np.int64).max
"""Behind every place."""

_NUMBER = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+"
_REGION = re.compile(rf"(?P<contig>.+?):(?P<first>{_NUMBER})(?:-(?P<last>{_NUMBER})?)?")
_STRETCH = re.compile(r"([+-]?\d+):([+-]?\d+)")
_LIST_ITEM = re.compile(rf"[^,]+?:(?:{_NUMBER})(?:-(?:{_NUMBER})?)?(?=,|$)|[^,]+")


@dataclass(frozen=True)
class Region:
    """A part of a contig, or all of it where `end` is None."""

    contig: str
    start: int = 0
    end: int | None = None

    def __str__(self) -> str:
        if self.end is None:
            return f"{self.contig}:{self.start + 1}-" if self.start else self.contig
        return f"{self.contig}:{self.start + 1}-{self.end}"


def parse_regions(texts: Iterable[str], known: Iterable[str] = ()) -> list[Region]:
    """Read regions as samtools writes them: a contig, or `contig:from-to`, one-based, inclusive.

    `contig:from` and `contig:from-` reach to the contig's end.

    Parameters
    ----------
    texts : iterable of str
        Each is one region or several parted by commas. Commas may also part the thousands of a
        number, as genome browsers write them.
    known : iterable of str
        Names of contigs, for those that have a colon themselves.

    Raises
    ------
    InputError
        At the first that is neither.

    Examples
    --------
    >>> [str(region) for region in parse_regions(["chr1,chr2:1,001-2,000"])]
    ['chr1', 'chr2:1001-2000']
    """
    names = frozenset(known)
    return [
        _parse_region(item.strip(), names)
        for text in texts
        for item in ([text] if text in names else _LIST_ITEM.findall(text))
        if item.strip()
    ]


def parse_stretch(text: str) -> tuple[int, int] | None:
    """Read `from:to`, base pairs from the centre of a window, both ends included.

    Returns
    -------
    (int, int) or None
        The first position, and the one behind the last; None where the text is no such stretch.

    Examples
    --------
    >>> parse_stretch("-35:-20"), parse_stretch("5:4")
    ((-35, -19), None)
    """
    match = _STRETCH.fullmatch(text.strip())
    first, last = map(int, match.groups()) if match else (1, 0)
    return (first, last + 1) if first <= last else None


def refuse_beyond(region: Region, sizes: Mapping[str, int]) -> None:
    """Refuse a region that begins beyond the end of its contig, by an `InputError`."""
    if region.start and region.start >= sizes[region.contig]:
        raise InputError(
            f"region {region} begins beyond the end of {region.contig}, "
            f"which has {sizes[region.contig]} bp"
        )


def _parse_region(text: str, known: frozenset[str]) -> Region:
    if text in known or ":" not in text:
        return Region(text)
    match = _REGION.fullmatch(text)
    if match is None:
        raise InputError(
            f"found region {text!r}, expected a contig or contig:from-to with from and to in base "
            "pairs, counted from 1"
        )
    first, last = (
        int(match[name].replace(",", "")) if match[name] else None for name in ("first", "last")
    )
    if first is None or not 1 <= first <= (last or first) < SPAN:
        raise InputError(f"found region {text!r}, expected from and to with 1 <= from <= to")
    return Region(match["contig"], first - 1, last)


class Located(Protocol):
    """Anything that has places on contigs, such as `intervals.Intervals`."""

    @property
    def contigs(self) -> tuple[str, ...]:
        """The names that `codes` indexes."""

    @property
    def codes(self) -> npt.NDArray[np.int32]:
        """Contigs, shape (n,)."""

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Starts, shape (n,), base pairs."""

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """Ends, shape (n,), base pairs."""


@dataclass(frozen=True)
class Spans:
    """Places on contigs, and nothing more; see `Located`."""

    contigs: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def widened(self, by: int) -> "Spans":
        """Move both ends outwards, by base pairs."""
        starts = np.maximum(self.starts - by, 0)
        return Spans(self.contigs, self.codes, starts, self.ends + by)


class Axis:
    """The contigs of one file end to end on one line, so that one search serves all of them.

    Parameters
    ----------
    names : ContigNames
        The file's contigs and how the names of others are matched to them.

    Attributes
    ----------
    asked : dict of str to int
        The names that were looked up, and where each contig begins on the axis; a contig that the
        file lacks lies below zero, where nothing else is.
    """

    def __init__(self, names: ContigNames) -> None:
        self.names = names
        self.asked: dict[str, int] = {}
        self._origins = {name: rank * SPAN for rank, name in enumerate(names.known)}

    def origins(self, contigs: Sequence[str]) -> npt.NDArray[np.int64]:
        """Tell where contigs begin on the axis.

        Returns
        -------
        ndarray, shape (len(contigs),), int64, base pairs
        """
        for contig in contigs:
            if contig not in self.asked:
                found = self.names.find(contig)
                self.asked[contig] = -SPAN if found is None else self._origins[found]
        return np.array([self.asked[contig] for contig in contigs], np.int64)

    def place(self, batch: Located) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Give starts and ends on the axis.

        Returns
        -------
        starts, ends : ndarray, shape (n,), int64, base pairs
        """
        origins = self.origins(batch.contigs)[batch.codes]
        return (
            origins + np.minimum(batch.starts, SPAN - 2),
            origins + np.minimum(batch.ends, SPAN - 1),
        )

    def require_shared(self, offered: str = "the bins") -> None:
        """Check, after all look-ups, that the file has at least one of the contigs asked for.

        Raises
        ------
        InputError
            If it has none, though both sides have some.
        """
        if self.asked and self.names.known and max(self.asked.values()) < 0:
            raise InputError(
                f"shares no contig with {offered}: they name {three(self.asked)}, this file "
                f"{three(self.names.known)}; give --alias FILE or --chr-prefix add|strip",
                path=self.names.path,
            )


class Cover:
    """The bases that intervals cover.

    Parameters
    ----------
    starts, ends : ndarray, shape (n,), int64, base pairs
        Places on an axis, in any order; they may overlap.
    """

    def __init__(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        # Behind the last stretch stands one that no interval reaches.
        self._starts, self._ends = (np.append(side, FARTHEST) for side in merged(starts, ends))

    def overlaps(
        self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Tell which intervals share a base with the cover.

        Parameters
        ----------
        starts, ends : ndarray, shape (n,), int64, base pairs

        Returns
        -------
        ndarray, shape (n,), bool
        """
        nearest = np.searchsorted(self._ends, starts, "right")
        return np.asarray(self._starts[nearest] < ends)

    def holds(
        self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Tell which intervals have all their bases in the cover.

        Parameters
        ----------
        starts, ends : ndarray, shape (n,), int64, base pairs

        Returns
        -------
        ndarray, shape (n,), bool
        """
        nearest = np.searchsorted(self._ends, starts, "right")
        return np.asarray((self._starts[nearest] <= starts) & (ends <= self._ends[nearest]))


class IntervalSet:
    """The bases that a file of intervals covers, asked for by intervals of another file.

    Parameters
    ----------
    intervals : Located
    path : str
        The file, for messages.
    alias, prefix
        How other contigs are matched to those of the file, as in `ContigNames`.
    """

    def __init__(
        self,
        intervals: Located,
        path: str,
        *,
        alias: Mapping[str, str] | None = None,
        prefix: Literal["add", "strip"] | None = None,
    ) -> None:
        self.axis = Axis(ContigNames(intervals.contigs, path, alias or {}, prefix))
        self._cover = Cover(*Axis(ContigNames(intervals.contigs, path)).place(intervals))

    def overlaps(self, batch: Located) -> npt.NDArray[np.bool_]:
        """Tell which intervals share a base with the set.

        Returns
        -------
        ndarray, shape (n,), bool
        """
        return self._cover.overlaps(*self.axis.place(batch))


class RegionSet:
    """The union of regions.

    Parameters
    ----------
    regions : iterable of Region
    alias, prefix
        How other contigs are matched to those of the regions, as in `ContigNames`.
    """

    def __init__(
        self,
        regions: Iterable[Region],
        *,
        alias: Mapping[str, str] | None = None,
        prefix: Literal["add", "strip"] | None = None,
    ) -> None:
        self.regions = tuple(regions)
        names = tuple(dict.fromkeys(region.contig for region in self.regions))
        self.axis = Axis(ContigNames(names, "the regions", alias or {}, prefix))
        origins = Axis(self.axis.names).origins([region.contig for region in self.regions])
        ends = [SPAN - 1 if region.end is None else region.end for region in self.regions]
        self._cover = Cover(
            origins + np.array([region.start for region in self.regions], np.int64),
            origins + np.array(ends, np.int64),
        )

    def unmet(self) -> list[str]:
        """Name the contigs of regions that no interval was on."""
        met = {self.axis.names.find(name) for name in self.axis.asked}
        return [name for name in self.axis.names.known if name not in met]

    def overlaps(self, batch: Located) -> npt.NDArray[np.bool_]:
        """Tell which intervals share a base with a region.

        Returns
        -------
        ndarray, shape (n,), bool
        """
        return self._cover.overlaps(*self.axis.place(batch))

    def covers(self, batch: Located) -> npt.NDArray[np.bool_]:
        """Tell which intervals lie inside: each base is in a region.

        Returns
        -------
        ndarray, shape (n,), bool
        """
        return self._cover.holds(*self.axis.place(batch))
