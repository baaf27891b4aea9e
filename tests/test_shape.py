"""DNA shape: the table, the look-up and `tfbind shape`."""

import csv
import gzip
import itertools
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyBigWig
import pytest
from conftest import Tfbind, environment, ok, said

from tfbind.bins import Run
from tfbind.genome import Genome, base_codes
from tfbind.shape import (
    CODES,
    FEATURES,
    HEXAMER,
    along,
    hexamer_table,
    pentamer_table,
    shape_values,
    stretches,
)

COMPLEMENT = str.maketrans("ACGT", "TGCA")
PENTAMERS = ["".join(letters) for letters in itertools.product("ACGT", repeat=5)]


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, float]]:
    """Read the file of pentamers, by its own words."""
    lines = resources.files("tfbind").joinpath("pentamers.tsv").read_text().splitlines()
    rows = csv.DictReader((line for line in lines if line[0] != "#"), delimiter="\t")
    return {row.pop("pentamer"): {k: float(v) for k, v in row.items()} for row in rows}


def other_strand(letters: str) -> str:
    return letters[::-1].translate(COMPLEMENT)


def shape_of(letters: str) -> npt.NDArray[np.float32]:
    return shape_values(base_codes(b"NN" + letters.encode() + b"NNN"))


def slowly(
    letters: str, figures: dict[str, dict[str, float]]
) -> list[tuple[float | None, float | None, float | None, float | None]]:
    """Tell the shape of each base as one would by hand."""

    def says(middle: int, name: str) -> list[float]:
        pentamer = letters[middle - 2 : middle + 3] if middle >= 2 else ""
        return [figures[pentamer][name]] if pentamer in figures else []

    def mean(words: list[float]) -> float | None:
        return sum(words) / len(words) if words else None

    return [
        (
            mean(says(base, "MGW")),
            mean(says(base, "ProT")),
            mean(says(base, "Roll2") + says(base + 1, "Roll1")),
            mean(says(base, "HelT2") + says(base + 1, "HelT1")),
        )
        for base in range(len(letters))
    ]


def assert_shape(
    values: npt.NDArray[np.float32],
    expected: list[tuple[float | None, float | None, float | None, float | None]],
) -> None:
    as_floats = np.array(expected, np.float64).astype(np.float32)
    np.testing.assert_allclose(values, as_floats, rtol=2e-7, atol=0)


def row_of(hexamer: str) -> npt.NDArray[np.float32]:
    row: npt.NDArray[np.float32] = hexamer_table()[
        sum(int(code) * CODES ** (5 - k) for k, code in enumerate(base_codes(hexamer.encode())))
    ]
    return row


def test_the_table_holds_every_pentamer(figures: dict[str, dict[str, float]]) -> None:
    assert sorted(figures) == PENTAMERS
    assert pentamer_table()[0, 0, 0, 0, 1].tolist() == [4.05, -14.47, -3.62, -4.8, 37.13, 36.95]
    assert np.isnan(pentamer_table()).any(-1).sum() == 5**5 - 4**5


def test_a_pentamer_and_its_other_strand_are_of_one_shape(
    figures: dict[str, dict[str, float]],
) -> None:
    """Exactly: the published figures are of 512 pentamers, and serve both strands."""
    mirrored = {
        "MGW": "MGW", "ProT": "ProT", "Roll1": "Roll2", "Roll2": "Roll1",
        "HelT1": "HelT2", "HelT2": "HelT1",
    }  # fmt: skip
    for pentamer, told in figures.items():
        turned = figures[other_strand(pentamer)]
        assert told == {name: turned[other] for name, other in mirrored.items()}


@pytest.mark.parametrize(
    ("hexamer", "expected"),
    [
        # AAAAA: 3.38 -16.51, then Roll2 -5.09 and HelT2 38.01; AAAAC: Roll1 -3.62, HelT1 37.13.
        ("AAAAAC", (3.38, -16.51, (-5.09 - 3.62) / 2, (38.01 + 37.13) / 2)),
        ("AAAAAN", (3.38, -16.51, -5.09, 38.01)),
        ("NAAAAC", (np.nan, np.nan, -3.62, 37.13)),
        ("AAANAC", (np.nan, np.nan, np.nan, np.nan)),
        # ACGTT is AACGT on the other strand, of which Roll2 is 5.64 and HelT2 34.53.
        ("NACGTT", (np.nan, np.nan, 5.64, 34.53)),
        ("NNNNNN", (np.nan, np.nan, np.nan, np.nan)),
    ],
)
def test_a_hexamer_tells_of_its_third_base(hexamer: str, expected: tuple[float, ...]) -> None:
    np.testing.assert_array_equal(row_of(hexamer), np.array(expected, np.float32))


def test_the_table_of_hexamers_is_one_and_cannot_be_written() -> None:
    assert hexamer_table() is hexamer_table()
    assert hexamer_table().shape == (CODES**HEXAMER, 4)
    assert hexamer_table().dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        hexamer_table()[0] = 0


def test_roll_is_high_where_a_pyrimidine_precedes_a_purine() -> None:
    """What is known of steps (TA, CA, CG open towards the major groove) finds the right step."""
    table = hexamer_table().reshape((CODES,) * HEXAMER + (4,))[:4, :4, :4, :4, :4, :4]
    mean = {
        "ACGT"[one] + "ACGT"[two]: table[:, :, one, two, :, :, 2].mean()
        for one, two in itertools.product(range(4), repeat=2)
    }
    assert set(sorted(mean, key=lambda step: -mean[step])[:4]) == {"TA", "CA", "TG", "CG"}


@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 7, 500])
def test_shape_is_as_by_hand(length: int, figures: dict[str, dict[str, float]]) -> None:
    letters = "".join(np.random.default_rng(length).choice(list("ACGTACGTACGTN"), length))
    assert shape_of(letters).shape == (length, 4)
    if length:
        assert_shape(shape_of(letters), slowly(letters, figures))


def test_the_other_strand_has_the_mirrored_shape() -> None:
    letters = "".join(np.random.default_rng(1).choice(list("ACGT"), 2000))
    here, there = shape_of(letters), shape_of(other_strand(letters))[::-1]
    np.testing.assert_array_equal(here[:, :2], there[:, :2])
    # A step stands on its first base, which is the last of it on the other strand.
    np.testing.assert_array_equal(here[:-1, 2:], there[1:, 2:])


def test_some_features_in_any_order() -> None:
    letters = "GATTACAGATTACA"
    codes = base_codes(b"NN" + letters.encode() + b"NNN")
    chosen = shape_values(codes, ["Roll", "MGW"])
    np.testing.assert_array_equal(chosen, shape_values(codes)[:, [2, 0]])


def test_the_example_genome_is_as_by_hand(data: Path, figures: dict[str, dict[str, float]]) -> None:
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    with gzip.open(data / "hg19.chrX_cut.fa.gz", "rt") as stream:
        text = "".join(line.strip() for line in stream if line[0] != ">").upper()
    places = np.random.default_rng(3).integers(10, len(text) - 10, 3000).tolist()
    places += [found.start() for found in itertools.islice(re.finditer("N[ACGT]", text), 100)]
    for place in places:
        values = shape_values(genome.codes("chrX", place - 2, place + 4))
        assert_shape(values, [slowly(text[place - 4 : place + 6], figures)[4]])


def test_stretches_are_cut_at_multiples_and_joined_between_them() -> None:
    runs = [Run("a", 3, 12), Run("a", 14, 15), Run("a", 18, 40), Run("b", 0, 3)]
    assert list(stretches(runs, 10)) == [
        ("a", [(3, 10)]),
        ("a", [(10, 12), (14, 15), (18, 20)]),
        ("a", [(20, 30)]),
        ("a", [(30, 40)]),
        ("b", [(0, 3)]),
    ]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("length", [7, 64, 1 << 20])
def test_seams_cannot_be_seen(data: Path, threads: int, length: int) -> None:
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    runs = [Run("chrX", 48_000_001, 48_000_500), Run("chrX", 48_000_510, 48_001_000)]
    expected = shape_values(genome.codes("chrX", 48_000_001 - 2, 48_001_000 + 3))
    expected[499:509] = np.nan
    found = np.full_like(expected, np.nan)

    def keep(contig: str, start: int, values: npt.NDArray[np.float32]) -> str:
        found[start - 48_000_001 :][: len(values)] = values
        return contig

    counts = list(along(genome, runs, FEATURES, keep, length=length, threads=threads))
    np.testing.assert_array_equal(found, expected)
    assert {made for _, _, made in counts} == {"chrX"}
    assert sum(asked for asked, _, _ in counts) == sum(known for _, known, _ in counts) == 989


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Make a genome of which the shape is known by hand, with odd contigs."""
    path = tmp_path / "small.fa"
    path.write_text(">z\naaaaac\n>a\nAAAAACNAAAAAT\n>n\nNNNNN\n>one\nA\n>four\nACGT\n")
    return path


def test_bedgraph_is_a_line_a_base(tfbind: Tfbind, small: Path) -> None:
    done = tfbind("shape", "--fasta", small, "--feature", "MGW")
    assert done.returncode == 0
    assert done.stdout.decode() == (
        "#tfbind\tversion=0.1.0\tshape=MGW\tunit=angstrom\tgenome=small.fa\n"
        "z\t2\t3\t3.38\nz\t3\t4\t4.05\n"
        "a\t2\t3\t3.38\na\t3\t4\t4.05\na\t9\t10\t3.38\na\t10\t11\t3.63\n"
    )
    assert re.fullmatch(rb"tfbind: MGW of 6 bases, of 29 asked for, in [\d.]+ s\n", done.stderr)


def test_a_step_stands_on_its_first_base(tfbind: Tfbind, small: Path) -> None:
    options = ["--fasta", str(small), "--chroms", "z", "--no-header", "--quiet"]
    done = tfbind("shape", *options, "--feature", "roll")
    assert (done.returncode, done.stderr) == (0, b"")
    # AAAAA: Roll1 -5.05, Roll2 -5.09; AAAAC: Roll1 -3.62, Roll2 -4.8.
    assert done.stdout == b"z\t1\t2\t-5.05\nz\t2\t3\t-4.355\nz\t3\t4\t-4.8\n"
    done = tfbind("shape", *options, "--feature", "HELT")
    assert done.stdout == b"z\t1\t2\t37.74\nz\t2\t3\t37.57\nz\t3\t4\t36.95\n"


def test_regions_are_inclusive_and_each_base_comes_once(tfbind: Tfbind, small: Path) -> None:
    options = ["--fasta", str(small), "--feature", "ProT", "--no-header", "--quiet"]
    whole = tfbind("shape", *options).stdout.splitlines(keepends=True)
    assert len(whole) == 6
    one = tfbind("shape", *options, "--region", "z:4-4")
    assert one.stdout == b"z\t3\t4\t-14.47\n"
    several = ["--region", "a:10-13,a:4-4", "--region", "z:3-4", "--region", "z:1-3"]
    assert tfbind("shape", *options, *several).stdout == b"".join(whole[:2] + whole[3:])
    added = tfbind("shape", *options, "--region", "chrz:4-4", "--chr-prefix", "strip")
    assert added.stdout == one.stdout


def test_real_values_read_back_exactly(tfbind: Tfbind, data: Path) -> None:
    fasta = data / "hg19.chrX_cut.fa.gz"
    region = ["--region", "chrX:48,000,000-48,300,000"]  # several blocks of text
    expected = shape_values(Genome(fasta).codes("chrX", 47_999_997, 48_300_003), ["HelT"])[:, 0]
    texts = [
        tfbind(
            "shape",
            "--feature",
            "HelT",
            *region,
            "--threads",
            threads,
            env={"TFBIND_FASTA": str(fasta)},
        )
        for threads in ("1", "3")
    ]
    assert texts[0].stdout == texts[1].stdout
    rows = [line.split("\t") for line in texts[0].stdout.decode().splitlines()[1:]]
    assert [int(row[1]) for row in rows] == list(range(47_999_999, 48_300_000))
    np.testing.assert_array_equal(np.array([row[3] for row in rows], np.float32), expected)
    assert max(len(row[3]) for row in rows) == 6


def test_bigwigs_of_all_features_hold_the_same(tfbind: Tfbind, data: Path, tmp_path: Path) -> None:
    fasta = data / "hg19.chrX_cut.fa.gz"
    first, last = 45_990_000, 47_000_000
    asked = ["--fasta", str(fasta), "--region", f"chrX:{first + 1}-{last}"]
    # Two regions in one chunk of the file, one base apart.
    asked += ["--region", f"chrX:{last + 2}-{last + 1000}"]
    done = tfbind("shape", *asked, "-o", tmp_path / "{feature}.bw")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"tfbind: MGW, ProT, Roll, HelT of 1,010,999 bases")
    genome = Genome(fasta)
    expected = shape_values(genome.codes("chrX", first - 2, last + 1003))
    expected[last - first] = np.nan
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{f}.bw" for f in FEATURES)
    for column, feature in enumerate(FEATURES):
        with pyBigWig.open(str(tmp_path / f"{feature}.bw")) as bigwig:
            assert bigwig.chroms() == genome.sizes
            found = bigwig.values("chrX", first, last + 1000, numpy=True)
            assert bigwig.header()["nBasesCovered"] == 1_010_999
        np.testing.assert_array_equal(found, expected[:, column])


def test_bigwigs_do_not_depend_on_the_threads(tfbind: Tfbind, data: Path, tmp_path: Path) -> None:
    """Not in a single byte, over several chunks and a region that begins inside one."""
    region = ["--region", "chrX:46,100,001-48,300,000", "--region", "chrX:50,000,001-50,000,300"]
    command = ["shape", "--fasta", str(data / "hg19.chrX_cut.fa.gz"), *region]
    for threads in ("1", "3"):
        (tmp_path / threads).mkdir()
        ok(tfbind(*command, "-t", threads, "-o", tmp_path / threads / "{feature}.bw"))
    for feature in FEATURES:
        one, three = (tmp_path / threads / f"{feature}.bw" for threads in ("1", "3"))
        assert one.read_bytes() == three.read_bytes()


def test_a_reader_that_goes_away(data: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m tfbind shape --feature MGW | head -n 2 | tail -n 1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[*]}}"],
        capture_output=True,
        text=True,
        env=environment({"TFBIND_FASTA": str(data / "hg19.chrX_cut.fa.gz")}),
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.stdout == "chrX\t298847\t298848\t4.77\n141 0 0\n"
    assert done.stderr == ""


def test_closed_early_it_tells_no_more(data: Path) -> None:
    told = []

    def keep(_: str, start: int, values: npt.NDArray[np.float32]) -> None:
        told.append((start, len(values)))

    runs = [Run("chrX", 48_000_000, 48_900_000)]
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    made = along(genome, runs, FEATURES, keep, length=10_000, threads=2)
    next(made)
    made.close()
    assert 0 < len(told) <= 5  # one used, four ahead of it, of 90


def test_some_features_to_bedgraph_files(tfbind: Tfbind, small: Path, tmp_path: Path) -> None:
    options = ["--fasta", str(small), "--feature", "mgw,HelT", "--feature", "MGW"]
    done = tfbind("shape", *options, "-o", tmp_path / "{feature}.bedGraph")
    assert done.returncode == 0
    written = {path.name: path.read_bytes() for path in tmp_path.glob("*.bedGraph")}
    assert set(written) == {"MGW.bedGraph", "HelT.bedGraph"}
    for feature, unit in (("MGW", b"angstrom"), ("HelT", b"degree")):
        text = written[f"{feature}.bedGraph"]
        assert b"\tunit=" + unit in text
        assert text == tfbind("shape", "--fasta", small, "--feature", feature).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no features for one output"),
        (["--feature", "MGW,ProT"], "2 features for one output"),
        (["--feature", "EP"], "found --feature EP, expected one of MGW, ProT, Roll, HelT"),
        (["-o", "{task}.bw"], "found {task} in {task}.bw, expected {feature} or nothing"),
        (["--feature", "MGW", "-o", "x.bed"], "is that of a bed"),
        (["--feature", "MGW", "-o", "x.bedGraph.gz"], "pipe into bgzip > x.bedGraph.gz"),
        (["--feature", "MGW", "-o", "x.bedGraph.GZ"], "pipe into bgzip > x.bedGraph.GZ"),
        (["--feature", "MGW", "--region", "z:5-2"], "expected from and to"),
        (
            ["--feature", "MGW", "--chroms", "z", "--region", "a:1-5,n"],
            "--region a:1-5,n lies on none of --chroms z",
        ),
    ],
)
def test_wrong_options_are_usage_errors(
    tfbind: Tfbind, small: Path, options: list[str], message: str
) -> None:
    done = tfbind("shape", "--fasta", small, *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in " ".join(done.stderr.decode().split())


def test_no_genome_is_a_usage_error(tfbind: Tfbind) -> None:
    done = tfbind("shape", "--feature", "MGW")
    assert done.returncode == 2
    assert b"TFBIND_FASTA" in done.stderr


def test_bad_places_and_files_are_one_line(tfbind: Tfbind, small: Path, tmp_path: Path) -> None:
    mgw = ["shape", "--fasta", str(small), "--feature", "MGW"]
    done = tfbind(*mgw, "--chroms", "chr1")
    assert done.returncode == 1
    assert b"has no contig 'chr1': the input names chr1, this file z, a, n, ..." in done.stderr
    done = tfbind(*mgw, "--region", "z:7-9")
    assert done.returncode == 1
    assert b"begins beyond the end of z, which has 6 bp" in done.stderr
    (tmp_path / "there.bw").write_bytes(b"old")
    done = tfbind(*mgw, "-o", tmp_path / "there.bw")
    assert done.returncode == 1
    assert b"exists already; give --force" in done.stderr
    assert tfbind(*mgw, "--force", "-o", tmp_path / "there.bw").returncode == 0
    with pyBigWig.open(str(tmp_path / "there.bw")) as bigwig:
        assert bigwig.values("z", 3, 4) == [np.float32(4.05)]


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, "-m", "tfbind", *sys.argv[2:]])
"""


@pytest.mark.parametrize(("suffix", "last"), [("bw", 46_200_000), ("bedGraph", 46_000_100)])
def test_a_failure_at_the_end_leaves_no_feature_behind(
    tfbind: Tfbind, data: Path, tmp_path: Path, suffix: str, last: int
) -> None:
    """The longest file, opened first and so closed last, is one byte too long for the disk."""
    command = ["shape", "--fasta", str(data / "hg19.chrX_cut.fa.gz")]
    command += ["--region", f"chrX:46000001-{last}", "-o", f"{tmp_path}/{{feature}}.{suffix}"]
    ok(tfbind(*command))
    sizes = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    longest = sorted(sizes, key=sizes.__getitem__)[::-1]
    assert set(sizes) == set(FEATURES)
    assert sizes[longest[0]] > sizes[longest[1]]
    for path in tmp_path.iterdir():
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(sizes[longest[0]] - 1), *command]
        + [option for feature in longest for option in ("--feature", feature)],
        capture_output=True,
        env=environment(),
        cwd=tmp_path,
        check=False,
    )
    assert "cannot be written: File too large; make room" in said(done)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(data: Path, tmp_path: Path) -> None:
    command = f"ulimit -f 100; exec {sys.executable} -m tfbind shape -o {tmp_path}/{{feature}}.bw"
    done = subprocess.run(
        ["bash", "-c", f"{command} --region chrX:46000000-48000000"],
        capture_output=True,
        env=environment({"TFBIND_FASTA": str(data / "hg19.chrX_cut.fa.gz")}),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"tfbind: {tmp_path}/MGW.bw: cannot be written: File too large; make room and run this "
        "again\n"
    )
    assert list(tmp_path.iterdir()) == []
