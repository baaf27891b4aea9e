"""`tfbind label` and its rule."""

import gzip
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import Tfbind
from hypothesis import given, settings
from hypothesis import strategies as st

from tfbind.errors import InputError
from tfbind.intervals import IntervalReader, Intervals, read_intervals
from tfbind.labels import (
    LETTERS,
    Labeller,
    Peaks,
    column_names,
    label_codes,
    labelled_header,
    labels_first,
    letters,
    read_peaks,
)

Place = tuple[str, int, int]


def bed(places: list[Place]) -> bytes:
    return "".join(f"{contig}\t{start}\t{end}\n" for contig, start, end in places).encode()


def intervals(text: bytes) -> Intervals:
    return read_intervals(BytesIO(text), "test")


def last_column(text: bytes) -> str:
    return "".join(line.rsplit("\t", 1)[1] for line in text.decode().splitlines())


def naive(place: Place, conservative: list[Place], relaxed: list[Place]) -> str:
    """The rule as it is told."""

    def shared(peak: Place) -> int:
        return min(place[2], peak[2]) - max(place[1], peak[1]) if place[0] == peak[0] else 0

    def binds(peak: Place) -> bool:
        return shared(peak) > 0 and (
            2 * shared(peak) >= place[2] - place[1] or 2 * shared(peak) >= peak[2] - peak[1]
        )

    if any(map(binds, conservative)):
        return "B"
    return "A" if any(shared(peak) > 0 for peak in conservative + relaxed) else "U"


places = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 120), st.integers(1, 60)).map(
        lambda place: (place[0], place[1], place[1] + place[2])
    ),
    max_size=30,
)


@settings(deadline=None)
@given(places, places, places)
def test_the_rule_for_any_widths(
    bins: list[Place], conservative: list[Place], relaxed: list[Place]
) -> None:
    labeller = Labeller(
        Peaks(intervals(bed(conservative)), "conservative"), Peaks(intervals(bed(relaxed)), "r")
    )
    codes = labeller.label(intervals(bed(bins)))
    expected = [naive(place, conservative, relaxed) for place in bins]
    assert "".join(LETTERS[code] for code in codes) == "".join(expected)


@pytest.mark.skipif(not shutil.which("bedtools"), reason="bedtools is not installed")
@pytest.mark.parametrize("cell", ["K562", "HeLa-S3"])
@pytest.mark.parametrize("size", [1, 50, 200, 201, 1001])
def test_labels_equal_bedtools_on_real_peaks(
    tfbind: Tfbind, data: Path, tmp_path: Path, cell: str, size: int
) -> None:
    starts = np.sort(np.random.default_rng(size).choice(16_000_000 // 20, 60_000, replace=False))
    bins = tmp_path / "bins.bed"
    places = [("chrX", s, s + size) for s in (38_000_000 + 20 * starts).tolist()]
    bins.write_bytes(bed(places))
    peaks = [data / f"{cell}.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]

    def intersect(*options: str | Path) -> set[bytes]:
        command = ["bedtools", "intersect", "-u", "-a", bins, *options]
        return set(subprocess.run(command, check=True, capture_output=True).stdout.splitlines())

    bound = intersect("-b", peaks[0], "-f", "0.5", "-F", "0.5", "-e")
    touched = intersect("-b", *peaks)
    assert bound
    assert touched > bound
    expected = [
        line + (b"\tB" if line in bound else b"\tA" if line in touched else b"\tU")
        for line in bins.read_bytes().splitlines()
    ]
    done = tfbind("label", bins, "--conservative", peaks[0], "--relaxed", peaks[1])
    assert done.stdout.splitlines() == expected
    counts = ", ".join(f"{last_column(done.stdout).count(letter):,} {letter}" for letter in "UAB")
    assert done.stderr.decode() == f"tfbind: label: {counts}\n"


@pytest.mark.parametrize("cell", ["K562", "HeLa-S3"])
def test_idr_splits_the_relaxed_file_into_the_conservative_set(data: Path, cell: str) -> None:
    with open(data / f"{cell}.CTCF.relaxed.narrowPeak.gz", "rb") as stream:
        conservative, relaxed = read_peaks(stream, "relaxed").split(0.05)
    with open(data / f"{cell}.CTCF.conservative.narrowPeak.gz", "rb") as stream:
        expected = read_peaks(stream, "conservative").intervals
    found = conservative.intervals
    assert len(found) == {"K562": 292, "HeLa-S3": 933}[cell]
    assert set(zip(found.starts, found.ends, strict=True)) == set(
        zip(expected.starts, expected.ends, strict=True)
    )
    assert len(relaxed.intervals) == {"K562": 439, "HeLa-S3": 1334}[cell]


def test_idr_on_the_command_line_equals_two_files(tfbind: Tfbind, data: Path) -> None:
    bins = bed([("chrX", s, s + 200) for s in range(38_000_000, 40_000_000, 50)])
    two = [
        item
        for kind in ("conservative", "relaxed")
        for item in (f"--{kind}", data / f"K562.CTCF.{kind}.narrowPeak.gz")
    ]
    expected = tfbind("label", *two, stdin=bins).stdout
    assert set(last_column(expected)) == set("UAB")
    one = data / "K562.CTCF.relaxed.narrowPeak.gz"
    for option in ("--conservative", "--relaxed"):
        assert tfbind("label", option, one, "--idr", "0.05", stdin=bins).stdout == expected
    named = tfbind("label", "--experiment", f"CTCF={one}", "--idr", "0.05", stdin=bins).stdout
    assert named == b"#contig\tstart\tend\tCTCF\n" + expected


def test_ten_columns_are_split_by_score() -> None:
    lines = [f"c\t{i}\t{i + 1}\t.\t{score}\t.\t1\t-1\t1\t0" for i, score in enumerate([539, 540])]
    peaks = read_peaks(BytesIO("\n".join(lines).encode()), "peaks")
    assert [part.intervals.starts.tolist() for part in peaks.split(0.05)] == [[1], [0, 1]]
    assert len(peaks.split(1.0)[0].intervals) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c\t0\t1", "peaks: found 3 columns, expected 20 or 10"),
        ("c\t0\t1\t.\thigh\t.\t1\t1\t1\t0", "peaks: line 1: found 'high' in column 5, expected a"),
    ],
)
def test_what_cannot_be_split_is_an_error(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_peaks(BytesIO(line.encode()), "peaks").split(0.05)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("columns", [3, 6, 9, 10, 20])
def test_peak_files_of_every_width(columns: int) -> None:
    line = "\t".join(["c", "0", "9", *["1"] * (columns - 3)])
    assert read_peaks(BytesIO(line.encode()), "peaks").columns == columns


def test_several_experiments_append_a_column_each(tfbind: Tfbind, tmp_path: Path) -> None:
    for name, text in {"a": "c\t0\t200\n", "b": "c\t300\t500\n", "r": "c\t100\t310\n"}.items():
        (tmp_path / name).write_text(text)
    done = tfbind(
        "label",
        "--experiment",
        f"CTCF={tmp_path / 'a'}",
        "--experiment",
        f"MAX={tmp_path / 'b'},{tmp_path / 'r'}",
        stdin="#tfbind bin\nc\t0\t200\nc\t200\t400\nc\t400\t600\nd\t0\t200\n",
    )
    assert done.stdout.decode() == (
        "#tfbind bin\n#contig\tstart\tend\tCTCF\tMAX\n"
        "c\t0\t200\tB\tA\nc\t200\t400\tU\tB\nc\t400\t600\tU\tB\nd\t0\t200\tU\tU\n"
    )
    assert done.stderr == b"tfbind: CTCF: 3 U, 0 A, 1 B\ntfbind: MAX: 1 U, 1 A, 2 B\n"
    again = tfbind("label", "-q", "--conservative", tmp_path / "a", stdin=done.stdout)
    assert again.stderr == b""
    assert again.stdout.splitlines()[:3] == [
        b"#tfbind bin",
        b"#contig\tstart\tend\tCTCF\tMAX\tlabel",
        b"c\t0\t200\tB\tA\tB",
    ]


def test_extra_columns_are_kept_and_no_bins_give_no_lines(tfbind: Tfbind, tmp_path: Path) -> None:
    peaks = tmp_path / "peaks.bed"
    peaks.write_text("c\t0\t200\n")
    done = tfbind("label", "-", "--conservative", peaks, stdin="c\t0\t200\tname\t7\n")
    assert done.stdout == b"c\t0\t200\tname\t7\tB\n"
    assert tfbind("label", "--conservative", peaks).stdout == b""
    named = tfbind("label", "--experiment", f"X={peaks}", stdin="c\t0\t9\tx\n")
    assert named.stdout == b"#contig\tstart\tend\tcolumn4\tX\nc\t0\t9\tx\tB\n"
    assert tfbind("label", "--experiment", f"X={peaks}").stdout == b"#contig\tstart\tend\tX\n"


def test_no_shared_contig_is_an_error_that_the_prefix_mends(tfbind: Tfbind, tmp_path: Path) -> None:
    peaks = tmp_path / "peaks.bed"
    peaks.write_text("1\t0\t200\nMT\t0\t5\n")
    options = ["label", "--conservative", str(peaks)]
    done = tfbind(*options, stdin="chr1\t0\t200\nchrM\t0\t200\n")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"tfbind: {peaks}: shares no contig with the bins: they name chr1, chrM, this file 1, MT; "
        "give --alias FILE or --chr-prefix add|strip\n"
    )
    done = tfbind(*options, "--chr-prefix", "strip", stdin="chr1\t0\t200\nchrM\t0\t200\n")
    assert last_column(done.stdout) == "BU"
    alias = tmp_path / "alias"
    alias.write_text("chrM MT\n")
    done = tfbind(*options, "--alias", alias, stdin="chr1\t0\t200\nchrM\t0\t200\n")
    assert last_column(done.stdout) == "UB"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no peaks: give --conservative or --experiment"),
        (["--relaxed", "p"], "give --conservative too"),
        (["--conservative", "p", "--relaxed", "p", "--idr", "0.05"], "give only one"),
        (["--experiment", "A=p,p", "--idr", "0.05"], "give only one"),
        (["--conservative", "p", "--idr", "0"], "expected a rate above 0"),
        (["--conservative", "p", "--experiment", "A=p"], "not both"),
        (["--experiment", "A"], "expected NAME=CONSERVATIVE"),
        (["--experiment", "A=p,p,p"], "expected NAME=CONSERVATIVE"),
        (["--experiment", "A=p", "--experiment", "A=p"], "the same name"),
        (["--conservative", "-"], "can be only one of the inputs"),
    ],
)
def test_wrong_options_are_usage_errors(tfbind: Tfbind, options: list[str], message: str) -> None:
    done = tfbind("label", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in " ".join(done.stderr.decode().split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c\t0\t200\nc\tten\t20\n", "line 2: found start 'ten', expected a number of base pairs"),
        ("#x\n\nc\t30\t20\n", "line 3: found end 20 at or before start 30, expected start < end"),
        ("c\t0\t200\nc\t0\t200\tx\n", "line 2: found 4 columns, expected 3 as in the first line"),
        ("c 0 200\n", "line 1: found 1 column(s) in 'c 0 200', expected at least 3"),
    ],
)
def test_bad_lines_are_named(tfbind: Tfbind, tmp_path: Path, text: str, message: str) -> None:
    good = tmp_path / "good.bed"
    good.write_text("c\t0\t200\n")
    done = tfbind("label", "--conservative", good, stdin=text)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"tfbind: standard input: {message}")
    bad = tmp_path / "bad.bed"
    bad.write_text(text)
    done = tfbind("label", good, "--conservative", bad)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(f"tfbind: {bad}: {message}")
    assert done.stderr.count(b"\n") == 1


def test_a_wrong_number_of_columns_is_an_error(tfbind: Tfbind, tmp_path: Path) -> None:
    peaks = tmp_path / "peaks.bed"
    peaks.write_text("#x\nc\t0\t200\tname\n")
    done = tfbind("label", "--conservative", peaks, stdin="c\t0\t200\n")
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"{peaks}: line 2: found 4 columns, expected 3 or 6".encode() in done.stderr


def test_truncated_input_is_an_error_and_leaves_no_output(
    tfbind: Tfbind, data: Path, tmp_path: Path
) -> None:
    peaks = data / "K562.CTCF.conservative.narrowPeak.gz"
    cut = gzip.compress(bed([("chrX", s, s + 200) for s in range(0, 99_999, 50)]))[:-20]
    done = tfbind("label", "--conservative", peaks, "-o", tmp_path / "out.bed", stdin=cut)
    assert done.returncode == 1
    assert b"standard input: the gzip data are damaged or cut short" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_refused(tfbind: Tfbind, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.bed"
    target.write_text("mine")
    peaks = data / "K562.CTCF.conservative.narrowPeak.gz"
    done = tfbind("label", "--conservative", peaks, "-o", target, stdin="chrX\t0\t9\n")
    assert (done.returncode, target.read_text()) == (1, "mine")
    done = tfbind("label", "--conservative", peaks, "-o", target, "-f", stdin="chrX\t0\t9\n")
    assert (done.returncode, target.read_text()) == (0, "chrX\t0\t9\tU\n")


def test_label_columns_are_read_back_and_checked() -> None:
    batch = intervals(b"c\t0\t9\tU\tB\nc\t9\t20\tA\tA\n")
    assert label_codes(batch, "test").tolist() == [[0, 2], [1, 1]]
    assert letters(np.array([2, 0, 1], np.uint8)).to_pylist() == ["B", "U", "A"]
    assert label_codes(intervals(b"c\t0\t9\n"), "test").shape == (1, 0)
    text = b"#\nc\t0\t9\tU\nc\t9\t20\tx\nc\t9\t20\tBB\n"
    with pytest.raises(InputError, match="test: line 3: found 'x' in column 4, expected a label"):
        label_codes(intervals(text), "test")


def test_header_lines_name_the_columns() -> None:
    reader = IntervalReader(BytesIO(b"#run 7\n#contig\tstart\tend\tA\nc\t0\t9\tU\n"), "test")
    assert len(list(reader)) == 1
    assert column_names(reader.header, 4) == ["A"]
    assert column_names(reader.header, 5) is None
    assert labelled_header(reader.header, 4, ["B"]) == ["#run 7", "#contig\tstart\tend\tA\tB"]
    assert labelled_header(["#run 7"], 3, []) == ["#run 7"]
    assert isinstance(intervals(b"c\t0\t9\tU\n").extra[0], pa.Array)


def first_labels(names: str, row: str, task: str) -> list[bytes]:
    text = f"#contig\tstart\tend\t{names}\nc\t0\t9\t{row}\n"
    reader = IntervalReader(BytesIO(text.encode()), "test")
    (batch,) = labels_first(reader, "test", task, ["CTCF", "MAX"])
    (values,) = batch.extra
    found: list[bytes] = values.to_pylist()
    return found


def test_labels_are_those_of_the_task() -> None:
    assert first_labels("MAX\tCTCF", "U\tB", "CTCF") == [b"B"]
    assert first_labels("label", "B", "CTCF") == [b"B"]
    with pytest.raises(InputError, match="has labels of MAX in column 4, expected those of CTCF"):
        first_labels("MAX", "B", "CTCF")
    with pytest.raises(InputError, match="names 2 columns CTCF"):
        first_labels("CTCF\tCTCF", "B\tU", "CTCF")
    with pytest.raises(InputError, match="none is known to be of CTCF: they are A, C"):
        first_labels("A\tC", "B\tU", "CTCF")
