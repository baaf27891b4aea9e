"""Submissions to the ENCODE-DREAM challenge: what `tfbind dream check` finds."""

import gzip
import itertools
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import Tfbind, ok, said

from tfbind.errors import InputError
from tfbind.intervals import IntervalReader
from tfbind.submissions import Submission, SubmissionReader, probabilities_of

NAME = "L.CTCF.GM12878.tab.gz"


GOOD = ["chr1\t600\t800\t0.5", "chr1\t650\t850\t1", "chr8\t0\t200\t0", "chr8\t50\t250\t1e-3"]


def checked(text: bytes | BytesIO, regions: bytes | None = None) -> Submission:
    wanted = None if regions is None else IntervalReader(BytesIO(regions), "regions")
    submission = Submission("test", wanted)
    stream = BytesIO(text) if isinstance(text, bytes) else text
    for _ in submission.checked(SubmissionReader(stream, "test")):
        pass
    return submission


def packed(lines: list[str]) -> bytes:
    return gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)


class Dripping(BytesIO):
    """A pipe that gives a byte at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1)


def test_a_good_submission() -> None:
    found = checked(packed(GOOD))
    assert (found.bins, list(found.contigs)) == (4, ["chr1", "chr8"])
    assert (found.lowest, found.highest) == (0, 1)
    regions = "".join(line.rpartition("\t")[0] + "\n" for line in GOOD).encode()
    assert checked(packed(GOOD), gzip.compress(regions)).bins == 4
    assert checked(Dripping(packed(GOOD))).bins == 4


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("chr8\t100\t300\t1.5", "found '1.5', expected a probability from 0 to 1"),
        ("chr8\t100\t300\t-1e-9", "found '-1e-9', expected a probability"),
        ("chr8\t100\t300\tnan", "found 'nan', expected a probability"),
        ("chr8\t100\t300\thigh", "found 'high', expected a probability"),
        ("chr8\t100\t300\t", "found '', expected a probability"),
        ("chr8\t100\t300\t 0.5", "found ' 0.5', expected a probability"),
        ("chr8\t100\t350\t0.5", "found a bin of 250 bp, expected 200 bp"),
        ("chr8\t110\t310\t0.5", "found start 110, expected a multiple of 50"),
        ("chr8\t50\t250\t0.5", "found the bin of the line before again"),
        ("chr8\t0\t200\t0.5", "found a bin out of order, expected each bin once"),
        ("chr1\t700\t900\t0.5", "found a bin out of order, expected each bin once, chromosome by"),
        ("chr8\t100\t300", "found 3 columns, expected 4 as in the first line"),
        ("chr8 100 300 0.5", "expected at least 3, parted by tabs"),
        ("chr8\t100.0\t300\t0.5", "found start '100.0', expected a number of base pairs"),
        ("", "found an empty line, expected bins alone"),
        ("# the end", "found a comment or a header"),
        ("track name=x", "found a track line"),
        ("browser position chr1", "found a browser line"),
        ("chr8\t100\t300\t0.5\r", "found a carriage return"),
    ],
)
@pytest.mark.parametrize("behind", [0, 100], ids=["last", "not last"])
def test_every_damage_is_told_with_its_line(line: str, problem: str, behind: int) -> None:
    before = [f"chr1\t{start}\t{start + 200}\t0.5" for start in range(0, 50 * 40_000, 50)]
    after = [f"chr9\t{start}\t{start + 200}\t0.5" for start in range(0, 50 * behind, 50)]
    lines = [*before, *GOOD[2:], line, *after]
    with pytest.raises(InputError) as error:
        checked(packed(lines))
    assert problem in error.value.message
    assert error.value.line == 40_003


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (b"", None, "is not compressed"),
        (packed([])[:1], None, "is not compressed"),
        (GOOD[0].encode(), None, "is not compressed, expected gzip"),
        (gzip.compress(packed(GOOD), mtime=0), None, "is compressed twice"),
        (packed(GOOD)[:-9], None, "damaged or cut short"),
        (packed([]), None, "holds no bin"),
        (packed(["chr\tstart\tstop\tp", *GOOD]), 1, "found a header, expected bins alone"),
        (packed(["\ufeff" + GOOD[0]]), 1, "found a byte order mark"),
        (packed([line + "\t1" for line in GOOD]), 1, "found 5 columns, expected 4, parted by tab"),
        (packed([line.rpartition("\t")[0] for line in GOOD]), 1, "found 3 columns, expected 4"),
        (gzip.compress("\n".join(GOOD).encode(), mtime=0), 4, "found a last line without its new"),
        (gzip.compress(GOOD[0].encode(), mtime=0), 1, "found a last line without its newline"),
    ],
    ids=[
        "empty",
        "one byte",
        "plain",
        "twice",
        "cut",
        "no bins",
        "header",
        "byte order mark",
        "5 columns",
        "3 columns",
        "no newline",
        "one line, no newline",
    ],
)
def test_what_is_no_submission(text: bytes, line: int | None, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        checked(text)
    assert error.value.line == line


def test_the_first_of_several_damages_is_told() -> None:
    lines = [GOOD[0], "chr1\t650\t851\t1", "chr1\t700\t900\t7"]
    with pytest.raises(InputError, match="line 2: found a bin of 201 bp"):
        checked(packed(lines))
    with pytest.raises(InputError, match="line 2: found '2'"):
        checked(packed([GOOD[0], "chr1\t650\t850\t2", "chr1\t700\t901\t1"]))


DAMAGES = {
    "value": ("chr9\t{0}\t{1}\t7", "found '7', expected a probability"),
    "place": ("chr9\t{0}\tx\t0.5", "found end 'x', expected a number"),
    "columns": ("chr9\t{0}\t{1}", "found 3 columns, expected 4"),
    "bare": ("#chr9\t{0}\t{1}\t0.5", "found a comment or a header"),
    "track": ("track", "found a track line"),
}


@pytest.mark.parametrize(
    ("first", "behind", "count"),
    [(0, 1, 9), (3, 1, 9), (3, 50_000, 50_009)],
    ids=["at the top", "below", "blocks apart"],
)
@pytest.mark.parametrize("pair", list(itertools.permutations(DAMAGES, 2)), ids=" then ".join)
def test_the_first_damage_is_told_whatever_finds_it(
    pair: tuple[str, str], first: int, behind: int, count: int
) -> None:
    lines = [f"chr9\t{start}\t{start + 200}\t0.5" for start in range(0, 50 * count, 50)]
    for place, kind in zip((first, first + behind), pair, strict=True):
        lines[place] = DAMAGES[kind][0].format(50 * place, 50 * place + 200)
    with pytest.raises(InputError) as error:
        checked(packed(lines))
    assert error.value.line == first + 1
    if (pair[0], first) != ("columns", 0):
        assert DAMAGES[pair[0]][1] in error.value.message


@pytest.mark.parametrize(
    ("change", "line", "problem"),
    [
        (
            lambda rows: rows[:-1],
            90_000,
            "found 89,999 bins, expected 90,000 as in regions; ",
        ),
        (
            lambda rows: [*rows, "chr2\t0\t200"],
            90_001,
            r"found chr2 0 200, expected no more bins, as regions ends,"
            r".* \(of 90,001 bins; 90,000 expected\)",
        ),
        (
            lambda rows: rows[:70_000] + rows[70_001:],
            70_001,
            r"found chr1 3500050 3500250, expected chr1 3500000 3500200 as in regions,"
            r".* \(of 89,999 bins; 90,000 expected\)",
        ),
        (lambda rows: ["chr2" + rows[0][4:], *rows[1:]], 1, "found chr2 0 200, expected chr1 0 "),
    ],
    ids=["cut", "longer", "one left out", "another contig"],
)
def test_bins_are_those_that_are_asked_for(
    change: Callable[[list[str]], list[str]], line: int, problem: str
) -> None:
    rows = [f"chr1\t{start}\t{start + 200}" for start in range(0, 50 * 90_000, 50)]
    # Further columns make blocks of another number of lines.
    regions = "".join(f"{row}\tname\t{row}\n" for row in rows).encode()
    assert checked(packed([row + "\t0.5" for row in rows]), regions).bins == 90_000
    with pytest.raises(InputError, match=problem) as error:
        checked(packed([row + "\t0.5" for row in change(rows)]), regions)
    assert error.value.line == line


def test_nothing_is_no_submission_even_where_nothing_is_asked_for() -> None:
    with pytest.raises(InputError, match="holds no bin"):
        checked(packed([]), b"")
    with pytest.raises(InputError, match="line 1: found 0 bins, expected 1 as in regions; the fir"):
        checked(packed([]), b"chr1\t0\t200\n")


def test_probabilities_are_read_with_all_their_digits() -> None:
    (batch,) = IntervalReader(BytesIO(b"a\t0\t200\t0.12345678901234567\na\t1\t201\tx\n"), "t")
    values = probabilities_of(batch)
    assert values[0] == 0.12345678901234567
    assert np.isnan(values[1])


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(packed(GOOD))
    return path


def test_check_says_what_it_found(tfbind: Tfbind, submission: Path) -> None:
    done = tfbind("dream", "check", submission)
    assert ok(done) == b""
    expected = f"tfbind: {submission}: 4 bins on 2 contig(s), probabilities from 0 to 1"
    unseen = "; not compared with the official regions: give --regions"
    assert done.stderr.decode() == expected + unseen + "\n"
    assert tfbind("dream", "check", submission, "--quiet").stderr == b""
    piped = tfbind("dream", "check", "-", stdin=submission.read_bytes())
    assert piped.stderr.startswith(b"tfbind: standard input: 4 bins on 2")
    regions = submission.with_name("regions.bed")
    regions.write_text("".join(line.rpartition("\t")[0] + "\n" for line in GOOD))
    done = tfbind("dream", "check", submission, "--regions", regions)
    assert done.stderr.decode() == expected + "\n"
    regions.write_text("chr1\t600\t800\nchr1\t700\t900\n")
    problem = said(tfbind("dream", "check", submission, "--regions", regions))
    assert "line 2: found chr1 650 850, expected chr1 700 900 as in" in problem


def test_check_looks_at_the_name(tfbind: Tfbind, submission: Path) -> None:
    mine = submission.rename(submission.with_name("F.CTCF.K562.tab.gz"))
    problem = said(tfbind("dream", "check", mine))
    assert "did not ask for CTCF in 'K562', expected PC-3 or induced_pl" in problem
    assert "--any-name" in problem
    assert ok(tfbind("dream", "check", mine, "--any-name")) == b""


def test_wrong_usage_of_check(tfbind: Tfbind, submission: Path) -> None:
    out = submission.with_name("out.json")
    for option in (["--cell", "A"], ["--chroms", "chr1"], ["--json"], ["-o", out]):
        problem = said(tfbind("dream", "check", submission, *option), 2)
        assert "are about --labels: give that too" in problem
    assert not out.exists()
    done = tfbind("dream", "check", "-", "--regions", "-", stdin=b"x")
    assert "standard input can be only one" in said(done, 2)
    done = tfbind("dream", "check", submission, "--regions", "none.bed")
    assert said(done) == "tfbind: none.bed: cannot be read: No such file or directory"


def test_measures_are_those_of_evaluate(
    tfbind: Tfbind, label_table: Path, two_megabases: bytes, tmp_path: Path
) -> None:
    values = np.random.default_rng(2).integers(0, 1000, two_megabases.count(b"\n"))
    lines = zip(two_megabases.decode().splitlines(), values, strict=True)
    path = tmp_path / "L.CTCF.GM12878.tab.gz"
    path.write_bytes(packed([f"{line}\t{value / 1000}" for line, value in lines]))
    found = ok(tfbind("dream", "check", path, "--labels", label_table, "--cell", "K562"))
    assert found == ok(tfbind("evaluate", path, "--labels", label_table, "--cell", "K562"))
    assert found.startswith(b"bins\t39997\nbound\t")
    problem = said(tfbind("dream", "check", path, "--labels", label_table))
    assert "no labels of the cell type 'GM12878', expected one of HeLa-S3, K562" in problem


def labels_of(lines: list[str], letters: str) -> str:
    rows = (line.rpartition("\t")[0] for line in lines)
    return "chr\tstart\tstop\tGM12878\n" + "".join(
        f"{row}\t{letter}\n" for row, letter in zip(rows, letters, strict=True)
    )


def test_labelled_bed_does_as_well_as_a_table(
    tfbind: Tfbind, submission: Path, tmp_path: Path
) -> None:
    rows = [line.rpartition("\t")[0] for line in GOOD]
    labels = ["B\tU", "U\tB", "B\tU", "U\tU"]
    text = "".join(f"{row}\t{both}\n" for row, both in zip(rows, labels, strict=True))
    table, bed = tmp_path / "labels.tsv", tmp_path / "labels.bed"
    table.write_text("chr\tstart\tstop\tHeLa-S3\tGM12878\n" + text)
    bed.write_text("#contig\tstart\tend\tHeLa-S3\tGM12878\n" + text)
    for cell, auroc in (((), b"1.0"), (("--cell", "HeLa-S3"), b"0.25")):
        by_table, by_bed = (
            ok(tfbind("dream", "check", submission, "--labels", path, *cell))
            for path in (table, bed)
        )
        assert by_table == by_bed
        assert b"auroc\t" + auroc in by_table
    bed.write_text(text)
    done = tfbind("dream", "check", submission, "--labels", bed)
    assert "labels.bed: found 2 column(s) of labels and no header that names them" in said(done)


def test_probabilities_are_compared_with_all_their_digits(
    tfbind: Tfbind, submission: Path, tmp_path: Path
) -> None:
    lines = ["chr1\t0\t200\t0.50000001", "chr1\t50\t250\t0.5"]
    submission.write_bytes(packed(lines))
    path = tmp_path / "labels.tsv"
    path.write_text(labels_of(lines, "BU"))
    checked_by = ok(tfbind("dream", "check", submission, "--labels", path))
    assert b"auroc\t1.000000\n" in checked_by
    rounded = ok(tfbind("evaluate", submission, "--labels", path))
    assert b"auroc\t0.500000\n" in rounded


def test_measures_are_taken_where_the_challenge_did(
    tfbind: Tfbind, submission: Path, tmp_path: Path
) -> None:
    lines = ["chr10\t0\t200\t0.9", *GOOD]
    submission.write_bytes(packed(lines))
    path = tmp_path / "labels.tsv"
    path.write_text(labels_of(lines, "UBUAB"))

    def bins_measured(*options: str) -> tuple[bytes, str]:
        done = tfbind("dream", "check", submission, "--labels", path, *options)
        return ok(done).splitlines()[0], done.stderr.decode()

    found, note = bins_measured()
    assert found == b"bins\t4"
    assert "measured on chr1, chr8 alone, as the challenge did" in note
    found, note = bins_measured("--chroms", "chr1,chr8", "--chroms", "chr10")
    assert found == b"bins\t5"
    assert "measured" not in note
    found, note = bins_measured("--chroms", "chr10,chr1")
    assert found == b"bins\t3"
    assert "left out 2 labels on 1 contig(s) without a score (chr8)" in note
    done = tfbind("dream", "check", submission, "--labels", path, "--chroms", "chr2")
    problem = said(done)
    assert "holds no labels on chr2, which --chroms asks for, but on chr10, chr1, chr8" in problem


def test_labels_of_other_chromosomes_are_told(
    tfbind: Tfbind, submission: Path, tmp_path: Path
) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text("chr\tstart\tstop\tGM12878\nchr21\t0\t200\tU\n")
    done = tfbind("dream", "check", submission, "--labels", path)
    assert "holds no bin on chr21, where labels are" in said(done)


def test_a_damage_behind_what_is_measured_is_told(
    tfbind: Tfbind, submission: Path, tmp_path: Path
) -> None:
    submission.write_bytes(packed([*GOOD, "chr9\t0\t200\t2"]))
    path = tmp_path / "labels.tsv"
    path.write_text(labels_of(GOOD, "UBUB"))
    done = tfbind("dream", "check", submission, "--labels", path)
    assert "line 5: found '2', expected a probability" in said(done)
    assert done.stdout == b""
