"""Motifs looked for in a genome, on both strands, by lightmotif.

A hit is a place and a strand; its score is the sum of the motif's log-odds there, in bits. A hit
over a base that is not A, C, G or T has the score minus infinity, so no threshold lets it pass.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from lightmotif.lib import ScoringMatrix, StripedScores, StripedSequence, stripe

from tfbind.covered import Chunk, Cover, Floats, Places, Ranges
from tfbind.genome import Genome
from tfbind.intervals import merged
from tfbind.motifs import LETTERS, Motif
from tfbind.pipeline import in_order

CHUNK = 1 << 16
"""Places that are scored at once: few enough for their scores to stay in a cache."""

HITS = 1 << 18
"""Hits that random bases give in places that are scored at once, at most: 21 bytes each, and some
100 while they are put in order."""

AHEAD = 8
"""Chunks that are scored, or wait for it, while those before are used; so also the threads that
are of use."""

_BASES = (LETTERS + "N").encode().ljust(256, b"N")


class Best(NamedTuple):
    """The best hit of each motif in each of n intervals.

    Of equal scores the first place counts, and there the forward strand. Where no hit fits, for
    the interval is narrower than the motif or has an unknown base under each, the score is minus
    infinity, the start -1 and the strand 0.

    Attributes
    ----------
    scores : ndarray, shape (motifs, n), float32, bits
    starts : ndarray, shape (motifs, n), int64, base pairs
        Where the hit begins on the contig, whatever its strand.
    strands : ndarray, shape (motifs, n), int8
        1 forward, -1 reverse.
    """

    scores: Floats
    starts: Places
    strands: npt.NDArray[np.int8]

    @classmethod
    def none(cls, motifs: int, count: int) -> "Best":
        """Begin without a hit."""
        shape = motifs, count
        return cls(
            np.full(shape, -np.inf, np.float32), np.full(shape, -1), np.zeros(shape, np.int8)
        )


class Hits(NamedTuple):
    """Hits of several motifs on one contig, by ascending start, motif and strand.

    Attributes
    ----------
    starts : ndarray, shape (n,), int64, base pairs
    motifs : ndarray, shape (n,), int64
        Which of the motifs.
    strands : ndarray, shape (n,), int8
        1 forward, -1 reverse.
    scores : ndarray, shape (n,), float32, bits
    """

    starts: Places
    motifs: npt.NDArray[np.int64]
    strands: npt.NDArray[np.int8]
    scores: Floats


class Scanner:
    """A motif ready to be looked for.

    Parameters
    ----------
    motif : Motif
    """

    def __init__(self, motif: Motif) -> None:
        self.motif = motif
        self._matrices = [_matrix(odds) for odds in (motif.log_odds, motif.reverse_complement())]

    def __len__(self) -> int:
        return len(self.motif)

    def scores(self, codes: npt.NDArray[np.uint8]) -> Floats:
        """Score every place on both strands.

        Parameters
        ----------
        codes : ndarray, shape (n,), uint8
            Bases as `tfbind.genome.base_codes`.

        Returns
        -------
        ndarray, shape (2, max(n - width + 1, 0)), float32, bits
            The forward strand, and the reverse one; each score stands where its hit begins on the
            forward strand.
        """
        places = max(len(codes) - len(self) + 1, 0)
        strands = self.strands(striped(codes, len(self)))
        return np.stack([_columns(one).reshape(-1)[:places] for one in strands])

    def strands(self, sequence: StripedSequence) -> tuple[StripedScores, StripedScores]:
        """Score the forward and the reverse strand of a sequence at least as long as the motif."""
        forward, reverse = (matrix.calculate(sequence) for matrix in self._matrices)
        return forward, reverse


def striped(codes: npt.NDArray[np.uint8], width: int) -> StripedSequence:
    """Arrange bases as lightmotif reads them; if they are fewer than `width`, with unknown ones."""
    letters = codes.tobytes().translate(_BASES).ljust(width, b"N")
    return stripe(letters.decode("ascii"))


def _columns(scores: StripedScores) -> Floats:
    """View scores as lightmotif holds them: in columns, one behind the other.

    Returns
    -------
    ndarray, shape (columns, rows), float32, bits
        What comes behind the last place has no meaning.
    """
    return np.asarray(scores)


def _matrix(odds: Floats) -> ScoringMatrix:
    columns = {letter: odds[:, i].tolist() for i, letter in enumerate(LETTERS)}
    return ScoringMatrix(columns | {"N": [-np.inf] * len(odds)})


def best_hits(
    genome: Genome,
    contig: str,
    starts: Places,
    ends: Places,
    scanners: Sequence[Scanner],
    pool: Executor | None = None,
) -> Best:
    """Find the best hit of each motif that lies wholly inside each interval.

    A base that several intervals share is scored once.

    Parameters
    ----------
    genome : Genome
    contig : str
        A key of `genome.sizes`.
    starts, ends : ndarray, shape (n,), int64, base pairs
        On the contig, in any order.
    scanners : sequence of Scanner
    pool : Executor, optional
        Threads to score in.

    Returns
    -------
    Best
        In the order of the motifs and of the intervals.
    """
    order = np.argsort(starts, kind="stable")
    cover = Cover(starts[order], ends[order])
    widest = max(map(len, scanners), default=0)

    def work(chunk: Chunk) -> tuple[slice, Best]:
        return chunk.some, _best_of_chunk(chunk, scanners, widest)

    best = Best.none(len(scanners), len(starts))
    read = functools.partial(genome.codes, contig)
    for some, here in in_order(work, cover.chunks(read, CHUNK, widest), pool, AHEAD):
        better = here.scores > best.scores[:, some]
        np.copyto(best.scores[:, some], here.scores, where=better)
        np.copyto(best.starts[:, some], here.starts, where=better)
        np.copyto(best.strands[:, some], here.strands, where=better)
    there = best.strands != 0
    best.starts[there] = cover.on_contig(best.starts[there])
    back = np.argsort(order)
    return Best(best.scores[:, back], best.starts[:, back], best.strands[:, back])


def _best_of_chunk(chunk: Chunk, scanners: Sequence[Scanner], widest: int) -> Best:
    """Find the best hits in a chunk, their starts counted along the cover."""
    sequence = striped(chunk.codes, widest)
    ranges = {w: Ranges(*chunk.beginnings(w)) for w in set(map(len, scanners))}
    best = Best.none(len(scanners), len(chunk.starts))
    for row, scanner in enumerate(scanners):
        forward, reverse = map(_columns, scanner.strands(sequence))
        both = np.maximum(forward, reverse).reshape(-1)
        kept = ranges[len(scanner)].kept
        places = ranges[len(scanner)].first_maxima(both)
        known = both[places] > -np.inf
        kept, places = kept[known], places[known]
        ahead = forward[np.divmod(places, forward.shape[1])] == both[places]
        best.scores[row, kept] = both[places]
        best.starts[row, kept] = places + chunk.first
        best.strands[row, kept] = np.where(ahead, 1, -1)
    return best


def all_hits(
    genome: Genome,
    contig: str,
    starts: Places,
    ends: Places,
    scanners: Sequence[Scanner],
    thresholds: Sequence[float],
    pool: Executor | None = None,
    *,
    pvalue: float = 1.0,
    before: int | None = None,
) -> Iterator[Hits]:
    """Find every hit that lies wholly inside an interval, each once.

    What is held does not grow with the motifs, nor with the p-value: the more hits are to be
    expected, the fewer places are scored at once. `AHEAD` + 1 chunks are made or wait, each with
    about `HITS` hits at most, or those of one place.

    Parameters
    ----------
    genome, contig, starts, ends, scanners, pool
        As in `best_hits`.
    thresholds : sequence of float, bits
        One a motif: the least score of a hit. Finite, or infinity for no hit.
    pvalue : float
        What the thresholds stand for: the share of random places, on either strand, that are hits
        of a motif. It decides nothing but how much is held at once; 1 is safe, and slow for many
        motifs.
    before : int, optional, base pairs
        Only hits that begin before this place.

    Yields
    ------
    Hits
        In ascending order, from one to the next as well.
    """
    order = np.argsort(starts, kind="stable")
    cover = Cover(starts[order], ends[order])
    widest = max(map(len, scanners), default=0)
    limit = None if before is None else cover.before(before)

    def work(chunk: Chunk) -> Hits:
        hits = _hits_of_chunk(chunk, scanners, thresholds, widest, limit)
        return hits._replace(starts=cover.on_contig(hits.starts + chunk.first))

    expected = 2 * len(scanners) * pvalue
    places = CHUNK if expected * CHUNK <= HITS else max(int(HITS / expected), 1)
    chunks = cover.chunks(functools.partial(genome.codes, contig), places, widest, limit)
    yield from (hits for hits in in_order(work, chunks, pool, AHEAD) if len(hits.starts))


def _hits_of_chunk(
    chunk: Chunk,
    scanners: Sequence[Scanner],
    thresholds: Sequence[float],
    widest: int,
    limit: int | None,
) -> Hits:
    """Find the hits in a chunk, their starts counted from its first place."""
    sequence = striped(chunk.codes, widest)
    inside = {w: _inside(chunk, w, limit) for w in set(map(len, scanners))}
    # Measured: small arrays kept among the large ones that come and go pin 1 GB for 2,000 motifs.
    starts, scores = bytearray(), bytearray()
    counts = []
    for scanner, threshold in zip(scanners, thresholds, strict=True):
        for strand in scanner.strands(sequence):
            places = _within(np.array(strand.threshold(threshold), np.int64), *inside[len(scanner)])
            table = _columns(strand)
            starts += places.tobytes()
            scores += table[np.divmod(places, table.shape[1])].tobytes()
            counts.append(len(places))
    places = np.frombuffer(starts, np.int64)
    motifs, strands = np.divmod(np.repeat(np.arange(len(counts)), counts), 2)
    ranked = np.lexsort((strands, motifs, places))
    return Hits(
        places[ranked],
        motifs[ranked],
        (1 - 2 * strands[ranked]).astype(np.int8),
        np.frombuffer(scores, np.float32)[ranked],
    )


def _inside(chunk: Chunk, width: int, limit: int | None) -> tuple[Places, Places]:
    """Give the stretches of a chunk where a hit that counts may begin."""
    firsts, lasts = merged(*chunk.beginnings(width))
    return firsts, lasts if limit is None else np.minimum(lasts, limit - chunk.first)


def _within(places: Places, firsts: Places, lasts: Places) -> Places:
    """Keep the places in stretches."""
    which = np.searchsorted(firsts, places, "right") - 1
    # Behind all stretches stands an empty one, which is that of the places before the first, too.
    return places[places < np.append(lasts, 0)[which]]


class Run(NamedTuple):
    """Consecutive intervals on one contig of the genome, their starts ascending."""

    contig: str
    starts: Places
    ends: Places


def hits_of_runs(
    genome: Genome,
    runs: Iterable[Run],
    scanners: Sequence[Scanner],
    thresholds: Sequence[float],
    pool: Executor | None = None,
    *,
    pvalue: float = 1.0,
) -> Iterator[tuple[str, Hits]]:
    """Find every hit inside intervals that come in order, each once.

    Parameters
    ----------
    genome : Genome
    runs : iterable of Run
        Starts ascend from a run to the next as well, where it is on the same contig; no contig
        comes back.
    scanners, thresholds, pool, pvalue
        As in `all_hits`.

    Yields
    ------
    contig : str
    hits : Hits
        In ascending order on each contig.
    """
    held: Run | None = None

    def hits(run: Run, before: int | None) -> Iterator[tuple[str, Hits]]:
        found = all_hits(genome, *run, scanners, thresholds, pool, pvalue=pvalue, before=before)
        return ((run.contig, some) for some in found)

    for run in runs:
        if held is not None and held.contig == run.contig:
            starts, ends = (np.concatenate(pair) for pair in zip(held[1:], run[1:], strict=True))
            run = Run(run.contig, starts, ends)
        elif held is not None:
            yield from hits(held, None)
        last = int(run.starts[-1])
        yield from hits(run, last)
        # A hit from here on may also lie in an interval to come, or behind a hit that does.
        held = Run(run.contig, run.starts[-1:], run.ends.max(keepdims=True))
    if held is not None:
        yield from hits(held, None)
