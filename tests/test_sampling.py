"""`tfbind sample` and what it draws."""

import gzip
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Tfbind
from hypothesis import given, settings
from hypothesis import strategies as st

from tfbind.intervals import Intervals, concatenate, read_intervals
from tfbind.regions import IntervalSet, RegionSet, parse_regions
from tfbind.sampling import STEP_SAMPLE, Sampler, common_step

Line = tuple[str, int, str]


def intervals(text: bytes) -> Intervals:
    return read_intervals(BytesIO(text), "test")


def text_of(lines: list[Line]) -> list[bytes]:
    return [
        f"{contig}\t{start}\t{start + 20}\t{label}\n".encode() for contig, start, label in lines
    ]


def naive(
    lines: list[Line],
    kept: list[bool],
    dropped: list[bool],
    step: int,
    background: int,
    block: int,
    seed: int,
) -> list[int]:
    """Draw as it is told, with everything at hand."""
    blocks: list[list[int]] = []
    for row, (contig, start, _) in enumerate(lines):
        if kept[row] or dropped[row]:
            continue
        last = lines[row - 1] if row else ("", 0, "")
        follows = (
            row > 0
            and not (kept[row - 1] or dropped[row - 1])
            and last[0] == contig
            and start - last[1] == step
        )
        if follows and len(blocks[-1]) < block:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    keys = np.random.default_rng(seed).random(len(blocks))
    drawn = [row for number in np.argsort(keys) for row in blocks[number]][:background]
    return sorted([*drawn, *(row for row, one in enumerate(kept) if one)])


runs = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.integers(0, 100),
        st.lists(st.sampled_from("UUUUUUUUAB"), min_size=1, max_size=40),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(
    runs,
    st.lists(st.integers(0, 200), max_size=5),
    st.integers(0, 60),
    st.integers(1, 7),
    st.integers(0, 3),
)
def test_the_draw_is_the_rule_however_the_input_is_cut(
    stretches: list[tuple[str, int, list[str]]],
    cuts: list[int],
    background: int,
    block: int,
    seed: int,
) -> None:
    lines = [
        (contig, 10 * (first + i), label)
        for contig, first, labels in stretches
        for i, label in enumerate(labels)
    ]
    text = text_of(lines)
    open_places = IntervalSet(intervals(b"a\t200\t330\nd\t0\t100\n"), "open")
    holdout = RegionSet(parse_regions(["b:301-400,c"]))
    sampler = Sampler(background, seed, 10, block=block, accessible=open_places, holdout=holdout)
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for low, high in pairwise(edges):
        sampler.add(intervals(b"".join(text[low:high])), "test")
    dropped = [
        contig == "c" or (contig == "b" and start < 400 and start + 20 > 300)
        for contig, start, _ in lines
    ]
    kept = [
        not out
        and (
            label == "B"
            or (contig == "a" and start < 330 and start + 20 > 200)
            or (contig == "d" and start < 100)
        )
        for (contig, start, label), out in zip(lines, dropped, strict=True)
    ]
    expected = naive(lines, kept, dropped, 10, background, block, seed)
    assert b"".join(sampler.lines()) == b"".join(text[row] for row in expected)
    others = len(lines) - sum(kept) - sum(dropped)
    drawn, hard, classes = sampler.counts()
    assert (sampler.read, sampler.kept, sampler.dropped, sampler.others) == (
        len(lines),
        sum(kept),
        sum(dropped),
        others,
    )
    assert (drawn, hard) == (min(background, others), 0)
    labels = [lines[row][2] for row in expected]
    assert classes.tolist() == [[labels.count(letter) for letter in "UAB"]] * bool(lines)


def test_the_step_is_the_most_common_one_at_the_head() -> None:
    def step(*starts: int) -> int:
        lines = b"".join(f"c\t{start}\t{start + 9}\n".encode() for start in starts)
        return common_step([intervals(lines)] if lines else [])[0]

    assert step(0, 150, 200, 250) == 50
    assert step(0, 50, 150, 200, 300) == 50
    assert step(0, 200, 400, 450) == 200
    assert step(0) == 0
    assert step(500, 400, 300) == 0
    assert step() == 0


def test_the_step_does_not_depend_on_batches() -> None:
    starts = np.concatenate(
        [np.arange(STEP_SAMPLE) * 50, 50 * STEP_SAMPLE + np.arange(STEP_SAMPLE * 2) * 10]
    )
    lines = [f"c\t{start}\t{start + 9}\n".encode() for start in starts]
    for size in (len(lines), 50_000, STEP_SAMPLE + 1):
        cut = [intervals(b"".join(lines[i : i + size])) for i in range(0, len(lines), size)]
        step, batches = common_step(cut)
        assert step == 50
        assert np.array_equal(concatenate(list(batches)).starts, starts)


def labelled_bins(tfbind: Tfbind, data: Path, cell: str = "K562") -> bytes:
    bins = tfbind("bin", data / "K562.dnase.bw", "--region", "chrX:38,000,001-44,000,000").stdout
    peaks = data / f"{cell}.CTCF.relaxed.narrowPeak.gz"
    named = f"CTCF={peaks}"
    return tfbind("label", "-q", "--experiment", named, "--idr", "0.05", stdin=bins).stdout


def test_real_bins(tfbind: Tfbind, data: Path) -> None:
    text = labelled_bins(tfbind, data)
    dnase = data / "K562.dnase.narrowPeak.gz"
    options = ["sample", "--accessible", str(dnase), "--background", "5000", "--seed", "3"]
    done = tfbind(*options, "--holdout", "chrX:40,000,001-41,000,000,chr8", stdin=text)
    assert done.returncode == 0
    header, *lines = text.splitlines()
    chosen = done.stdout.splitlines()
    assert chosen[0] == header == b"#contig\tstart\tend\tCTCF"
    batch = intervals(text)
    with gzip.open(dnase) as stream:
        accessible = IntervalSet(intervals(stream.read()), "dnase").overlaps(batch)
    held_out = (batch.starts < 41_000_000) & (batch.ends > 40_000_000)
    bound = np.array([line.endswith(b"B") for line in lines])
    certain = (accessible | bound) & ~held_out
    rows = {line: row for row, line in enumerate(lines)}
    order = np.array([rows[line] for line in chosen[1:]])
    assert (np.diff(order) > 0).all()
    drawn = order[~certain[order]]
    assert len(order) - len(drawn) == certain.sum()
    assert len(drawn) == 5000
    assert not held_out[order].any()
    # Blocks of 16 at most: hardly fewer pieces, hardly more, than 5000 / 16.
    assert 300 < (np.diff(drawn) > 1).sum() < 360
    count = [sum(line.endswith(letter) for line in chosen[1:]) for letter in (b"U", b"A", b"B")]
    assert done.stderr.decode().splitlines() == [
        f"tfbind: {certain.sum():,} bins kept, 5,000 of {(~certain & ~held_out).sum():,} others "
        f"drawn, {held_out.sum():,} held out",
        f"tfbind: CTCF: {count[0]:,} U, {count[1]:,} A, {count[2]:,} B",
        "tfbind: --holdout chr8: no bin is on it; the bins name chrX",
    ]
    again = tfbind(
        *options, "--holdout", "chrX:40,000,001-41,000,000,chr8", stdin=gzip.compress(text)
    )
    assert again.stdout == done.stdout
    other = tfbind(*options[:-1], "4", "--holdout", "chrX:40000001-41000000", stdin=text)
    assert other.stdout != done.stdout


def test_bound_in_any_experiment_is_kept(tfbind: Tfbind) -> None:
    text = "#contig\tstart\tend\tX\tY\nc\t0\t9\tU\tB\nc\t9\t18\tA\tU\nc\t18\t27\tB\tA\n"
    done = tfbind("sample", "--background", "0", stdin=text)
    assert done.stdout == b"#contig\tstart\tend\tX\tY\nc\t0\t9\tU\tB\nc\t18\t27\tB\tA\n"
    assert done.stderr.decode().splitlines()[1:] == [
        "tfbind: X: 1 U, 0 A, 1 B",
        "tfbind: Y: 0 U, 1 A, 1 B",
    ]


def test_fewer_others_than_asked_for_are_all_drawn(tfbind: Tfbind) -> None:
    text = "c\t0\t9\r\nc\t9\t18"
    done = tfbind("sample", stdin=text)
    assert done.stdout == b"c\t0\t9\nc\t9\t18\n"
    assert done.stderr.decode() == (
        "tfbind: 0 bins kept, 2 of 2 others drawn (all there are; 100,000 were asked for), "
        "0 held out\ntfbind: 2 unlabelled\n"
    )
    assert tfbind("sample", "-q", stdin="").stdout == b""


def test_a_holdout_that_meets_no_bin_is_said(tfbind: Tfbind) -> None:
    done = tfbind("sample", "--holdout", "8,21", stdin="chr8\t0\t9\tU\n")
    assert done.stdout == b"chr8\t0\t9\tU\n"
    assert b"tfbind: --holdout 8, 21: no bin is on it; the bins name chr8\n" in done.stderr
    assert tfbind("sample", "--holdout", "chr8", "-q", stdin="chr8\t0\t9\tU\n").stdout == b""


def test_holdout_names_are_matched(tfbind: Tfbind) -> None:
    bins = "8\t0\t9\tU\n9\t0\t9\tU\n"
    done = tfbind("sample", "--holdout", "chr8", "--chr-prefix", "add", stdin=bins)
    assert done.stdout == b"9\t0\t9\tU\n"
    assert b"1 held out" in done.stderr
    assert b"no bin is on it" not in done.stderr


def test_accessible_names_are_matched(tfbind: Tfbind, tmp_path: Path) -> None:
    peaks = tmp_path / "peaks.bed"
    peaks.write_text("8\t5\t6\n")
    options = ["sample", "-q", "--background", "0", "--accessible", str(peaks)]
    text = "chr8\t0\t9\tU\nchr8\t9\t18\tU\n"
    done = tfbind(*options, stdin=text)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"shares no contig with the bins: they name chr8, this file 8; give" in done.stderr
    done = tfbind(*options, "--chr-prefix", "strip", stdin=text)
    assert done.stdout == b"chr8\t0\t9\tU\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c\t0\t9\tU\nc\t9\t18\tX\n", "line 2: found 'X' in column 4, expected a label: B bound"),
        ("c\t0\t9\tU\tname\n", "line 1: found 'name' in column 5, expected a label"),
        ("c\t0\t9\tU\nc\tx\t18\tU\n", "line 2: found start 'x', expected a number"),
        ("c\t9\t9\tU\n", "line 1: found end 9 at or before start 9"),
    ],
)
def test_bad_lines_are_named(tfbind: Tfbind, text: str, message: str) -> None:
    done = tfbind("sample", stdin=text)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(f"tfbind: standard input: {message}")
    assert done.stderr.count(b"\n") == 1


def test_truncated_peaks_are_an_error(tfbind: Tfbind, tmp_path: Path) -> None:
    peaks = tmp_path / "peaks.gz"
    peaks.write_bytes(gzip.compress(b"c\t0\t9\n")[:-4])
    done = tfbind("sample", "--accessible", peaks, "-o", tmp_path / "out", stdin="c\t0\t9\tU\n")
    assert done.returncode == 1
    assert f"{peaks}: the gzip data are damaged or cut short".encode() in done.stderr
    assert list(tmp_path.iterdir()) == [peaks]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--background", "-1"], "--background"),
        (["--block", "0"], "--block"),
        (["--holdout", "chr1:9-5"], "--holdout: found region 'chr1:9-5'"),
        (["--accessible", "-"], "can be only one of the inputs"),
    ],
)
def test_wrong_options_are_usage_errors(tfbind: Tfbind, options: list[str], message: str) -> None:
    done = tfbind("sample", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in " ".join(done.stderr.decode().split())
