"""Summaries of bins: against numpy bin by bin, and pybigtools on real data."""

import gzip
import random
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pybigtools
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from summarised import SEQUENCE, best_scores, bins, rows_of, small_genome, two_motifs

import tfbind.covered
import tfbind.tables
from tfbind.channels import Sources
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import bed_lines
from tfbind.measures import (
    BASELINE,
    Measure,
    Pieces,
    gc_content,
    measures,
    shape_features,
    signal_values,
)
from tfbind.motifs import read_motifs
from tfbind.shape import shape_values
from tfbind.signal import Signal
from tfbind.summaries import maxima, means, quantiles, sums
from tfbind.tables import Table

PROBABILITIES = (0.0, 0.5, 0.75, 0.99, 1.0)


@pytest.fixture
def small(tmp_path: Path) -> Sources:
    return small_genome(tmp_path)


@pytest.fixture
def motif(tmp_path: Path) -> Path:
    return two_motifs(tmp_path)


@pytest.fixture(scope="module")
def real(data: Path) -> Sources:
    """Open the example genome and track."""
    return Sources(Genome(data / "hg19.chrX_cut.fa.gz"), {"dnase": Signal(data / "K562.dnase.bw")})


@given(
    st.lists(st.one_of(st.floats(-50, 50, width=32), st.just(np.nan)), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12),
)
@settings(max_examples=300)
def test_statistics_are_those_of_numpy_of_the_known_values(
    values: list[float], ends: list[tuple[int, int]]
) -> None:
    track = np.array(values, np.float32)
    spans = [(min(pair), max(pair)) for pair in ends if max(pair) <= len(track)]
    firsts, lasts = (np.array([span[side] for span in spans], np.int64) for side in (0, 1))
    totals, counts = sums(track, firsts, lasts)
    mean, largest = means(totals, counts), maxima(track, firsts, lasts)
    found = quantiles(track, firsts, lasts, PROBABILITIES)
    for i, (first, last) in enumerate(spans):
        known = track[first:last][~np.isnan(track[first:last])].astype(np.float64)
        assert counts[i] == len(known)
        if not len(known):
            assert np.isnan([mean[i], largest[i], *found[i]]).all()
            continue
        assert largest[i] == known.max()
        np.testing.assert_allclose(mean[i], known.mean(), rtol=1e-6, atol=1e-6)
        expected = np.quantile(known, PROBABILITIES)  # R's type 7
        np.testing.assert_allclose(found[i], expected, rtol=1e-6, atol=1e-30)


def test_intervals_of_many_lengths_have_numpys_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfbind.summaries.SORTED_AT_ONCE", 3_000)
    random_ = np.random.default_rng(1)
    values = random_.normal(size=20_000).astype(np.float32)
    firsts = np.sort(random_.integers(0, 15_000, 300))
    lasts = firsts + random_.integers(1, 5_000, 300)
    found = quantiles(values, firsts, lasts, PROBABILITIES)
    for first, last, some in zip(firsts, lasts, found, strict=True):
        expected = np.quantile(values[first:last].astype(np.float64), PROBABILITIES)
        np.testing.assert_allclose(some, expected, rtol=1e-6)


def test_a_mean_does_not_lose_digits_to_what_lies_before_it() -> None:
    values = np.full(1 << 20, 1e6, np.float32)
    values[-200:] = 1e-6
    firsts, lasts = np.array([0, len(values) - 200]), np.array([200, len(values)])
    assert means(*sums(values, firsts, lasts)).tolist() == [1e6, np.float32(1e-6)]


def test_gc_is_of_the_known_bases(small: Sources) -> None:
    text = b"one\t0\t4\none\t4\t6\none\t0\t12\none\t24\t28\ntwo\t0\t20000\nthree\t0\t5\none\t8\t9\n"
    rows = rows_of(Sources(small.genome), [gc_content()], text)
    known = (SEQUENCE[:12].count("G") + SEQUENCE[:12].count("C")) / 10
    expected = np.array([0.5, np.nan, known, 0.5, 0.6, np.nan, 1], np.float32)
    np.testing.assert_array_equal(rows[:, 0], expected)


@pytest.mark.parametrize(
    ("uncovered", "expected"),
    [
        ("zero", [[1.5, 1.5, 1.5], [0.5, 1.5, 0], [-1, 0, -2], [0, 0, 0], [-0.5, 0, 0]]),
        ("skip", [[1.5, 1.5, 1.5], [1.5, 1.5, 1.5], [-2, -2, -2], [np.nan] * 3, [-2, -2, -2]]),
    ],
)
def test_uncovered_bases_are_0_or_left_out(
    small: Sources, uncovered: tfbind.measures.Uncovered, expected: list[list[float]]
) -> None:
    text = b"one\t2\t4\none\t0\t6\none\t10\t14\none\t13\t20\none\t9\t21\n"
    wanted: dict[str, tfbind.measures.Statistic] = {"mean": "mean", "max": "max"}
    few = signal_values("dnase", small, uncovered, wanted)
    rows = rows_of(small, [few], text)
    lows = {"zero": [1.5, 0, -2, 0, -2], "skip": [1.5, 1.5, -2, np.nan, -2]}[uncovered]
    np.testing.assert_array_equal(rows, np.array(expected, np.float32)[:, :2])
    least = signal_values("dnase", small, uncovered, {"least": 0.0})
    np.testing.assert_array_equal(rows_of(small, [least], text)[:, 0], np.array(lows, np.float32))


def averages(track: Path, bed: Path) -> npt.NDArray[np.float64]:
    with pybigtools.open(str(track)) as bigwig:
        return np.array(
            list(bigwig.average_over_bed(str(bed), stats=["mean0", "mean", "max", "bases"]))
        )


@pytest.mark.parametrize("kind", ["bins", "peaks"])
def test_means_are_those_of_bigwigaverageoverbed(
    real: Sources, data: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "bins":
        text = bins(46_000_000, 40_000)
    else:
        with gzip.open(data / "HeLa-S3.dnase.narrowPeak.gz") as lines:
            text = b"".join(b"\t".join(line.split(b"\t")[:3]) + b"\n" for line in lines)
    bed = tmp_path / "some.bed"
    bed.write_bytes(b"".join(line + b"\t%d\n" % i for i, line in enumerate(text.splitlines())))
    expected = averages(data / "K562.dnase.bw", bed)
    assert 50 < (expected[:, 3] > 0).sum() < len(expected)
    zero, skip = (
        rows_of(real, measures("bin", real, uncovered=uncovered)[1:], text)
        for uncovered in ("zero", "skip")
    )
    np.testing.assert_allclose(zero[:, 0], expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(zero[:, 1], np.nan_to_num(expected[:, 2]), rtol=1e-6)
    covered = expected[:, 3] > 0
    np.testing.assert_array_equal(np.isnan(skip[:, 0]), ~covered)
    np.testing.assert_allclose(skip[covered], expected[covered][:, 1:3], rtol=1e-6)


def test_shape_is_the_mean_over_the_bin(real: Sources) -> None:
    text = bins(47_000_000, 300)
    rows = rows_of(real, [shape_features({"mean": "mean"})], text)
    values = shape_values(real.genome.codes("chrX", 46_999_998, 47_000_000 + 300 * 50 + 200 + 3))
    for i in (0, 1, 137, 299):
        expected = values[i * 50 : i * 50 + 200].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(rows[i], expected, rtol=1e-6)
    assert Table(real.genome, [shape_features(BASELINE)]).columns[:3] == [
        f"MGW.{what}" for what in ("mean", "max", "q99")
    ]


@pytest.mark.parametrize("flank", [0, 40])
def test_motif_scores_are_of_hits_inside(small: Sources, motif: Path, flank: int) -> None:
    spans = [("one", 0, 28), ("one", 0, 4), ("one", 20, 25), ("one", 10, 12), ("two", 7, 90)]
    text = "".join(f"{contig}\t{start}\t{end}\n" for contig, start, end in spans).encode()
    motifs = read_motifs(motif)
    few = Sources(small.genome)
    rows = rows_of(few, measures("baseline", few, motifs=motifs), text, flank)
    best = rows_of(few, measures("bin", few, motifs=motifs)[1:], text)
    for row, (contig, start, end) in zip(rows, spans, strict=True):
        size = small.genome.sizes[contig]
        codes = small.genome.codes(contig, max(start - flank, 0), min(end + flank, size))
        for found, one in zip(np.split(row, 2), motifs, strict=True):
            if known := best_scores(one.log_odds, codes):
                places = np.quantile(known, [0.99, 0.95, 0.9, 0.75, 0.5])
                expected = [np.mean(known), np.max(known), *places]
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
            else:
                assert np.isnan(found).all()
    assert np.isnan(rows[:, 7:]).all(axis=1).tolist() == [True] * 4 + [False]
    if not flank:
        np.testing.assert_array_equal(best, rows[:, [1, 8]])


def test_the_baseline_looks_400_bp_to_each_side(real: Sources) -> None:
    start, count = 49_000_000, 3_000
    rows = rows_of(real, measures("baseline", real), bins(start, count), flank=400)
    signal = real.signals["dnase"].values("chrX", start - 400, start + count * 50 + 600)
    signal = signal.astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(signal, 1000)[: count * 50 : 50]
    varied = np.flatnonzero(windows.max(axis=1) > 0)
    assert len(varied) > 100
    expected = np.column_stack(
        [
            windows.mean(axis=1),
            windows.max(axis=1),
            np.quantile(windows, [0.99, 0.95, 0.9, 0.75, 0.5], axis=1).T,
        ]
    )
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def test_the_window_ends_with_the_contig(small: Sources) -> None:
    text = b"two\t0\t200\ntwo\t19800\t20000\n"
    rows = rows_of(small, measures("baseline", small), text, flank=400)
    assert rows[0].tolist() == [np.float32(7 * 200 / 600), 7, 7, 7, 7, 7, 0]
    assert rows[1].tolist() == [0] * 7


@pytest.fixture(params=[(1 << 20, 1 << 13), (1_000, 100), (300, 1), (7, 0)])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Read the genome in blocks of several sizes, so that bins lie on their edges."""
    block, gap = cast(tuple[int, int], request.param)
    monkeypatch.setattr(tfbind.tables, "BLOCK", block)
    monkeypatch.setattr(tfbind.covered, "FAR", gap)
    monkeypatch.setattr(tfbind.covered, "NEAR", block)
    return block


def test_blocks_and_order_change_nothing(real: Sources, blocks: int) -> None:
    chosen = random.Random(2)
    spans = [(start, start + 200) for start in range(46_135_000, 46_140_000, 50)]
    places = [chosen.randrange(46_000_000, 47_000_000) for _ in range(200)]
    spans += [(place, place + chosen.randrange(1, 3_000)) for place in places]
    chosen.shuffle(spans)
    starts, ends = np.array(spans, np.int64).T
    wanted = measures("bin", real, uncovered="skip", shape=True)
    rows = rows_of(real, wanted, bed_lines("chrX", starts, ends))
    codes = real.genome.codes("chrX", 46_000_000 - 2, 47_010_000 + 3)
    shape = shape_values(codes).astype(np.float64)
    signal = real.signals["dnase"].values("chrX", 46_000_000, 47_010_000, uncovered=np.nan)
    for (start, end), row in list(zip(spans, rows, strict=True))[::7]:
        inside = slice(start - 46_000_000, end - 46_000_000)
        bases = codes[2:-3][inside]
        covered = signal[inside][~np.isnan(signal[inside])].astype(np.float64)
        expected = [
            np.isin(bases, (1, 2)).mean(),
            *((covered.mean(), covered.max()) if len(covered) else (np.nan, np.nan)),
            *shape[inside].mean(axis=0),
        ]
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_hits_are_found_across_the_parts_of_a_bin(real: Sources, data: Path, blocks: int) -> None:
    chosen = random.Random(4)
    starts = np.array([chosen.randrange(46_000_000, 46_050_000) for _ in range(60)])
    ends = starts + [chosen.randrange(1, 2_500) for _ in starts]
    motifs = read_motifs(data / "motifs.meme")
    few = Sources(real.genome)
    rows = rows_of(few, measures("bin", few, motifs=motifs), bed_lines("chrX", starts, ends))
    for start, end, row in zip(starts.tolist(), ends.tolist(), rows, strict=True):
        codes = real.genome.codes("chrX", start, end)
        for found, motif in zip(row[1:], motifs, strict=True):
            expected = max(best_scores(motif.log_odds, codes), default=np.nan)
            np.testing.assert_array_equal(found, np.float32(expected))


def test_what_lies_between_bins_is_not_summarised(real: Sources) -> None:
    lengths = []

    def read(pieces: Pieces) -> list[npt.NDArray[np.float32]]:
        lengths.append(len(pieces.codes))
        return [np.zeros(len(pieces.codes), np.float32)]

    starts = np.arange(46_000_000, 50_000_000, 8_000)
    wanted = [Measure(("any",), {"": "max"}, read), shape_features({"mean": "mean"})]
    rows_of(real, wanted, bed_lines("chrX", starts, starts + 200))
    assert sum(lengths) == len(starts) * (2 + 200 + 3)


def test_a_long_bin_is_read_in_parts(real: Sources) -> None:
    text = b"chrX\t40000000\t44000000\nchrX\t41000000\t41000200\nchrX\t38000000\t54000000\n"
    rows = rows_of(real, measures("bin", real), text)
    for row, (start, end) in zip(rows[[0, 2]], [(40, 44), (38, 54)], strict=True):
        signal = real.signals["dnase"].values("chrX", start * 1_000_000, end * 1_000_000)
        codes = real.genome.codes("chrX", start * 1_000_000, end * 1_000_000)
        gc = np.isin(codes, (1, 2)).sum() / (codes < 4).sum()
        mean = signal.mean(dtype=np.float64)
        np.testing.assert_allclose(row, [gc, mean, signal.max()], rtol=1e-6)


def test_quantiles_of_a_long_bin_are_refused(real: Sources) -> None:
    text = b"chrX\t0\t200\nchrX\t40000000\t44000000\n"
    with pytest.raises(InputError, match=r"bins: line 2: found a bin of 4000000 bp, expected at"):
        rows_of(real, measures("baseline", real), text, 400)


def test_an_infinite_value_is_told(tmp_path: Path, small: Sources) -> None:
    path = tmp_path / "infinite.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader([("two", 20_000)])
        bigwig.addEntries(["two"], [100], ends=[102], values=[np.inf])
    sources = Sources(small.genome, {"dnase": Signal(path)})
    with pytest.raises(InputError, match=r"infinite\.bw: holds inf at two:101, expected finite"):
        rows_of(sources, measures("bin", sources), b"two\t0\t200\n")
