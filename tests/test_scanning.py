"""Scores of motifs: against lightmotif itself and by hand, in ranges, and by chance."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lightmotif.lib as lightmotif
import numpy as np
import numpy.typing as npt
import pytest
from by_hand import motif_scores

from tfbind import covered, scanning
from tfbind.covered import Cover
from tfbind.genome import UNKNOWN, Genome
from tfbind.motifs import Motif, read_motifs
from tfbind.pvalues import STEP, ScoreDistribution
from tfbind.scanning import Best, Hits, Run, Scanner, all_hits, best_hits, hits_of_runs

Codes = npt.NDArray[np.uint8]
Hit = tuple[int, int, int, float]

START, END = 46_000_000, 48_000_000


@pytest.fixture(scope="module")
def motifs(data: Path) -> list[Motif]:
    return read_motifs(data / "motifs.meme", background=(0.29, 0.21, 0.21, 0.29))


@pytest.fixture(scope="module")
def genome(data: Path) -> Genome:
    return Genome(data / "hg19.chrX_cut.fa.gz")


def by_hand(codes: Codes, motif: Motif) -> npt.NDArray[np.float32]:
    return motif_scores(codes, motif.log_odds)


def test_real_scores_are_those_of_lightmotif_at_every_place(
    genome: Genome, motifs: list[Motif]
) -> None:
    codes = genome.codes("chrX", START, END)
    assert (codes < UNKNOWN).all()
    sequence = lightmotif.stripe("".join(np.array(list("ACGT"))[codes]))
    for motif in motifs:
        scores = Scanner(motif).scores(codes)
        columns = {letter: motif.log_odds[:, i].tolist() for i, letter in enumerate("ACGT")}
        forward = lightmotif.ScoringMatrix(columns)
        for mine, matrix in zip(scores, (forward, forward.reverse_complement()), strict=True):
            theirs = np.asarray(matrix.calculate(sequence)).ravel()[: len(mine)]
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(scores, by_hand(codes, motif))


def test_no_hit_lies_over_an_unknown_base(genome: Genome, motifs: list[Motif]) -> None:
    codes = genome.codes("chrX", 37_900_000, 38_010_000)
    assert 0.5 < (codes == UNKNOWN).mean() < 0.95
    for motif in motifs:
        scores = Scanner(motif).scores(codes)
        np.testing.assert_array_equal(scores, by_hand(codes, motif))
        unknown = np.convolve(codes == UNKNOWN, np.ones(len(motif)), "valid") > 0
        assert (np.isneginf(scores) == unknown).all()


@pytest.mark.parametrize("length", [0, 1, 5, 6, 7, 31, 32, 33, 34, 64, 65, 1000])
def test_short_sequences(length: int, motifs: list[Motif]) -> None:
    codes = np.random.default_rng(length).integers(0, 5, length).astype(np.uint8)
    for motif in motifs:
        scores = Scanner(motif).scores(codes)
        assert scores.dtype == np.float32
        np.testing.assert_array_equal(scores, by_hand(codes, motif))


# Bins


class Literal:
    """A genome of one contig, that gives no base beyond it."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def codes(self, contig: str, start: int, end: int) -> Codes:
        assert contig == "one"
        assert 0 <= start < end <= len(self._codes)
        return self._codes[start:end]


def expected_best(
    codes: Codes, starts: list[int], ends: list[int], motif: Motif
) -> list[tuple[float, int, int]]:
    strands = by_hand(codes, motif)
    found = []
    for start, end in zip(starts, ends, strict=True):
        inside = strands[:, start : max(end - len(motif) + 1, start)]
        top = inside.max(initial=-np.inf)
        place = int(np.argmax(inside.max(axis=0) == top)) if np.isfinite(top) else -1 - start
        strand = 0 if place < 0 else 1 if inside[0, place] == top else -1
        found.append((top, start + place, strand))
    return found


def expected_hits(
    codes: Codes, starts: list[int], ends: list[int], motifs: list[Motif], least: list[float]
) -> list[Hit]:
    hits = set()
    for number, motif in enumerate(motifs):
        strands = by_hand(codes, motif)
        for start, end in zip(starts, ends, strict=True):
            for place in range(start, end - len(motif) + 1):
                for strand, row in ((1, strands[0]), (-1, strands[1])):
                    if row[place] >= least[number]:
                        hits.add((place, number, strand, float(row[place])))
    return sorted(hits, key=lambda hit: (hit[0], hit[1], -hit[2]))


def as_rows(hits: Hits) -> list[Hit]:
    columns = hits.starts, hits.motifs, hits.strands, hits.scores
    return list(zip(*(column.tolist() for column in columns), strict=True))


def random_bins(rng: np.random.Generator, length: int) -> tuple[list[int], list[int]]:
    """Make bins of any size and order, or overlapping ones on a grid."""
    if rng.random() < 0.4:
        starts = np.arange(0, length - 40, 10)
        return starts.tolist(), (starts + 40).tolist()
    starts = rng.integers(0, length - 1, int(rng.integers(1, 50)))
    sizes = rng.integers(1, int(rng.choice([20, 60, 400])), len(starts))
    return starts.tolist(), np.minimum(starts + sizes, length).tolist()


@pytest.mark.parametrize("seed", range(12))
def test_hits_in_bins_are_those_found_one_by_one(
    seed: int, motifs: list[Motif], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(scanning, "CHUNK", int(rng.integers(1, 800)))
    monkeypatch.setattr(scanning, "HITS", int(rng.integers(1, 3000)))
    monkeypatch.setattr(covered, "FAR", int(rng.integers(1, 300)))
    monkeypatch.setattr(covered, "NEAR", int(rng.integers(1, 900)))
    codes = rng.choice(5, 1500, p=[0.24, 0.24, 0.24, 0.24, 0.04]).astype(np.uint8)
    if seed % 3 == 0:
        codes = np.tile(codes[:7], 300)[:1500]  # the same hits again and again
    genome: Genome = Literal(codes)  # type: ignore[assignment]
    starts, ends = random_bins(rng, len(codes))
    scanners = [Scanner(motif) for motif in motifs]
    least = [-8.0, -10.0, 2.0, 3.0]
    both = np.array(starts), np.array(ends)
    with ThreadPoolExecutor(2) as pool:
        best = best_hits(genome, "one", *both, scanners, pool if seed % 2 else None)
        hits = all_hits(genome, "one", *both, scanners, least, pool if seed % 2 else None)
        found = [row for some in hits for row in as_rows(some)]
    for number, motif in enumerate(motifs):
        rows = zip(*(column[number].tolist() for column in best), strict=True)
        assert list(rows) == expected_best(codes, starts, ends, motif)
    assert found == expected_hits(codes, starts, ends, motifs, least)
    order = np.argsort(starts, kind="stable")
    parts = [part for part in np.array_split(order, int(rng.integers(1, 6))) if len(part)]
    runs = [Run("one", both[0][part], both[1][part]) for part in parts]
    streamed = hits_of_runs(genome, runs, scanners, least)
    assert [row for _, some in streamed for row in as_rows(some)] == found


def test_hits_go_on_with_the_next_contig(motifs: list[Motif]) -> None:
    codes = np.array([1, 0, 1, 2, 3, 2] * 3, np.uint8)  # CACGTG, which is MAX, three times

    class Two:
        def codes(self, contig: str, start: int, end: int) -> Codes:
            return codes[start:end]

    runs = [
        Run("a", np.array([0]), np.array([6])),
        Run("a", np.array([1, 6]), np.array([12, 13])),
        Run("b", np.array([0]), np.array([18])),
    ]
    genome: Genome = Two()  # type: ignore[assignment]
    found = hits_of_runs(genome, runs, [Scanner(motifs[2])], [10.0])
    places = [(contig, *row[:3]) for contig, hits in found for row in as_rows(hits)]
    assert places == [
        (contig, start, 0, strand)
        for contig, start in [("a", 0), ("a", 6), ("b", 0), ("b", 6), ("b", 12)]
        for strand in (1, -1)
    ]


def test_nothing_to_look_for_and_nowhere(genome: Genome, motifs: list[Motif]) -> None:
    none = np.zeros(0, np.int64)
    assert best_hits(genome, "chrX", none, none, [Scanner(motifs[0])]).scores.shape == (1, 0)
    some = np.array([START])
    assert best_hits(genome, "chrX", some, some + 200, []).scores.shape == (0, 1)
    assert list(all_hits(genome, "chrX", none, none, [Scanner(motifs[0])], [0.0])) == []
    assert list(all_hits(genome, "chrX", some, some + 200, [Scanner(motifs[0])], [np.inf])) == []


def test_bins_without_room_or_bases_have_no_hit(genome: Genome, motifs: list[Motif]) -> None:
    starts, ends = np.array([START, START, 10]), np.array([START + 14, START + 15, 210])
    best = best_hits(genome, "chrX", starts, ends, [Scanner(motifs[0])])
    assert isinstance(best, Best)
    assert best.strands[0].astype(bool).tolist() == [False, True, False]
    assert best.starts[0].tolist() == [-1, START, -1]
    assert np.isneginf(best.scores[0]).tolist() == [True, False, True]


# Memory


def test_what_lies_between_is_not_read_all_at_once() -> None:
    starts = np.arange(0, 64_000_000, 8_000)
    cover = Cover(starts, starts + 8)
    asked = []

    def read(start: int, end: int) -> npt.NDArray[np.int64]:
        asked.append(end - start)
        return np.arange(start, end)

    found = cover.values(read, 0, len(cover))
    np.testing.assert_array_equal(found, (starts[:, None] + np.arange(8)).ravel())
    assert max(asked) < covered.NEAR + 8
    assert len(asked) == 62  # mostly, reading on is faster than to begin anew


def test_hits_that_are_held_do_not_grow_with_the_motifs() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, 60_000).astype(np.uint8)
    genome: Genome = Literal(codes)  # type: ignore[assignment]
    scanners = [Scanner(Motif(f"m{i}", "", rng.dirichlet(np.ones(4), 6))) for i in range(20)]
    whole = np.array([0]), np.array([len(codes)])
    tracemalloc.start()
    found = all_hits(genome, "one", *whole, scanners, [-1e3] * 20, pvalue=1)
    counts = [len(hits.starts) for hits in found]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(counts) == 2 * 20 * (len(codes) - 5)
    assert max(counts) <= scanning.HITS
    assert most < 150 * scanning.HITS < 21 * sum(counts)


# Chance


def every_word(motif: Motif) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Score all words of the motif's width; give scores and probabilities."""
    scores, shares = np.zeros(1), np.ones(1)
    for row in motif.log_odds:
        scores = np.add.outer(scores, row.astype(float)).ravel()
        shares = np.multiply.outer(shares, np.array(motif.background)).ravel()
    return scores, shares


@pytest.mark.parametrize("which", [2, 3])
@pytest.mark.parametrize("pvalue", [1e-5, 1e-4, 2.5e-4, 1e-3, 1e-2, 0.5, 1.0])
def test_thresholds_are_those_of_all_words(which: int, pvalue: float, motifs: list[Motif]) -> None:
    scores, shares = every_word(motifs[which])
    threshold = ScoreDistribution(motifs[which]).threshold(pvalue)
    near = len(motifs[which]) / 2 * STEP
    assert shares[scores >= threshold + near].sum() <= pvalue * (1 + 1e-9)
    lower = scores[scores < threshold - near]
    if len(lower):
        assert shares[scores >= lower.max() - 1e-9].sum() > pvalue
    if shares[scores >= scores.max() - 1e-6].sum() > pvalue:
        assert threshold == np.inf
    else:
        assert threshold <= scores.max()


def test_a_long_motifs_threshold_lets_its_share_of_random_bases_pass(motifs: list[Motif]) -> None:
    motif = motifs[0]
    codes = np.random.default_rng(7).choice(4, 2_000_000, p=motif.background).astype(np.uint8)
    threshold = ScoreDistribution(motif).threshold(1e-3)
    passed = (Scanner(motif).scores(codes) >= threshold).mean()
    assert passed == pytest.approx(1e-3, rel=0.1)
