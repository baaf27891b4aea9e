"""`tfbind scan`: what it writes, for which motifs, and what it refuses."""

import gzip
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Tfbind, environment
from summarised import most_memory

from tfbind.genome import Genome
from tfbind.intervals import bed_lines
from tfbind.motifs import read_motifs
from tfbind.pvalues import ScoreDistribution
from tfbind.scanning import Scanner

MOTIFS = """>m.1 TF
9 0 0
0 9 0
0 0 9
0 0 0
>m.2 Other
0 9 9
0 0 0
0 0 0
9 0 0
"""
GENOME = ">one\nNNACGTTTCGTAAN\n>two\nTTT\n"
TOP = "5.967"
"""Three bases at log2((1 + 0.0025) / 1.01 / 0.25) bits, to three places."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.jaspar").write_text(MOTIFS)
    (tmp_path / "genome.fa").write_text(GENOME)
    return tmp_path


@pytest.fixture
def env(folder: Path) -> dict[str, str]:
    return {"TFBIND_FASTA": str(folder / "genome.fa")}


def cut_scores(text: bytes) -> list[list[str]]:
    """Split lines, numbers to three places."""
    rows = [line.split("\t") for line in text.decode().splitlines()]
    return [
        [f[: f.index(".") + 4] if f[-1:].isdigit() and "." in f else f for f in r] for r in rows
    ]


def test_each_bin_has_its_best_hit_behind_it(
    folder: Path, env: dict[str, str], tfbind: Tfbind
) -> None:
    bins = "two\t0\t3\tkept\none\t0\t14\t\none\t2\t5\tx\none\t4\t6\tx\none\t0\t3\tx\n"
    done = tfbind("scan", folder / "m.jaspar", "--motif", "m.1", stdin=bins, env=env)
    assert done.returncode == 0, done.stderr
    # Of TTT only the last base is that of CGT.
    assert cut_scores(done.stdout) == [
        [
            "#contig",
            "start",
            "end",
            "column4",
            *(f"m.1_TF_{x}" for x in ("score", "start", "strand")),
        ],
        ["two", "0", "3", "kept", "-11.327", "0", "-"],
        ["one", "0", "14", "", TOP, "2", "+"],
        ["one", "2", "5", "x", TOP, "2", "+"],
        ["one", "4", "6", "x", ".", ".", "."],
        ["one", "0", "3", "x", ".", ".", "."],
    ]
    assert done.stderr == b"tfbind: 5 bins, 1 motif(s): 3 bins with a hit\n"


def test_a_reverse_hit_and_several_motifs_under_a_header(
    folder: Path, env: dict[str, str], tfbind: Tfbind
) -> None:
    bins = "# made by hand\n#contig\tstart\tend\tlabel\r\none\t3\t14\tB\r\none\t6\t12\tU"
    done = tfbind("scan", "-q", folder / "m.jaspar", stdin=bins, env=env)
    header = done.stdout.decode().splitlines()[:2]
    assert header[0] == "# made by hand"
    assert header[1].split("\t")[3:] == [
        "label",
        *("m.1_TF_score", "m.1_TF_start", "m.1_TF_strand"),
        *("m.2_Other_score", "m.2_Other_start", "m.2_Other_strand"),
    ]
    # CGT is ACG on the other strand; of TTA, which is TAA there, the bin from 6 on has two bases.
    assert cut_scores(done.stdout)[2:] == [
        ["one", "3", "14", "B", TOP, "3", "-", TOP, "10", "+"],
        ["one", "6", "12", "U", TOP, "8", "-", "-2.679", "6", "-"],
    ]
    assert done.stderr == b""


def test_a_pvalue_leaves_dots(folder: Path, env: dict[str, str], tfbind: Tfbind) -> None:
    bins = "one\t2\t5\none\t5\t8\n"
    done = tfbind("scan", folder / "m.jaspar", "--pvalue", "0.02", stdin=bins, env=env)
    assert [row[3:] for row in cut_scores(done.stdout)[1:]] == [
        [TOP, "2", "+", ".", ".", "."],
        [".", ".", ".", ".", ".", "."],
    ]
    done = tfbind("scan", folder / "m.jaspar", "--pvalue", "0.01", stdin=bins, env=env)
    assert done.stderr.decode().splitlines() == [
        "tfbind: too short for p <= 0.01, so without hits: m.1_TF, m.2_Other (2 of 2 motifs)",
        "tfbind: 2 bins, 2 motif(s): 0 bins with a hit",
    ]


def test_bins_in_any_order_of_contigs_are_answered_in_theirs(
    folder: Path, env: dict[str, str], tfbind: Tfbind
) -> None:
    bins = ["one\t2\t5", "two\t0\t3", "one\t0\t14", "two\t0\t2", "one\t2\t5"] * 700
    args = ["scan", "-q", str(folder / "m.jaspar"), "--motif", "m.1"]
    done = tfbind(*args, stdin="\n".join(bins), env=env)
    rows = [line.rsplit("\t", 3) for line in done.stdout.decode().splitlines()[1:]]
    assert [row[0] for row in rows] == bins
    assert [row[2:] for row in rows] == [
        ["2", "+"], ["0", "-"], ["2", "+"], [".", "."], ["2", "+"]
    ] * 700  # fmt: skip


def test_hits_are_bed_each_once_in_order(folder: Path, env: dict[str, str], tfbind: Tfbind) -> None:
    bins = "".join(f"one\t{start}\t{start + 6}\n" for start in range(9)) + "two\t0\t3\n"
    done = tfbind("scan", "--hits", "--pvalue", "0.02", folder / "m.jaspar", stdin=bins, env=env)
    assert cut_scores(done.stdout) == [
        ["one", "2", "5", "m.1_TF", TOP, "+"],
        ["one", "3", "6", "m.1_TF", TOP, "-"],
        ["one", "8", "11", "m.1_TF", TOP, "-"],
        ["one", "10", "13", "m.2_Other", TOP, "+"],
    ]
    assert done.stderr == b"tfbind: 10 bins, 2 motif(s): 4 hits\n"


@pytest.mark.parametrize(
    ("bins", "line", "place"),
    [
        ("one\t5\t9\none\t4\t9\n", 2, "one at 4"),
        ("one\t5\t9\ntwo\t0\t3\n#\none\t6\t9\n", 4, "one at 6"),
    ],
)
def test_hits_need_bins_in_order(
    bins: str, line: int, place: str, folder: Path, env: dict[str, str], tfbind: Tfbind
) -> None:
    done = tfbind("scan", "--hits", folder / "m.jaspar", stdin=bins, env=env)
    assert done.returncode == 1
    assert (
        f"standard input: line {line}: found a bin on {place}, behind one that comes after it; "
        "hits in order need bins in order: LC_ALL=C sort -k1,1 -k2,2n"
    ) in done.stderr.decode()
    assert tfbind("scan", folder / "m.jaspar", stdin=bins, env=env).returncode == 0


def test_motifs_from_standard_input_and_contigs_by_another_name(
    folder: Path, env: dict[str, str], tfbind: Tfbind
) -> None:
    (folder / "bins.bed.gz").write_bytes(gzip.compress(b"1\t2\t5"))
    (folder / "alias").write_text("1\tone\n")
    args: list[str | Path] = [
        "scan",
        "-",
        folder / "bins.bed.gz",
        "--motif",
        "TF",
        "--alias",
        folder / "alias",
    ]
    stdin = gzip.compress(MOTIFS.encode())
    done = tfbind(*args, stdin=stdin, env=env)
    assert cut_scores(done.stdout)[1] == ["1", "2", "5", TOP, "2", "+"]
    done = tfbind(*args, "--hits", "--pvalue", "0.1", stdin=stdin, env=env)
    assert cut_scores(done.stdout)[0] == ["1", "2", "5", "m.1_TF", TOP, "+"]


def test_no_bins(folder: Path, env: dict[str, str], tfbind: Tfbind) -> None:
    done = tfbind("scan", folder / "m.jaspar", "--motif", "m.1", env=env)
    assert done.stdout == b"#contig\tstart\tend\tm.1_TF_score\tm.1_TF_start\tm.1_TF_strand\n"
    assert tfbind("scan", "--hits", folder / "m.jaspar", env=env).stdout == b""


def test_background_and_pseudocount(folder: Path, env: dict[str, str], tfbind: Tfbind) -> None:
    args: list[str | Path] = [
        "scan",
        "-q",
        folder / "m.jaspar",
        "--motif",
        "m.1",
        "--pseudocount",
        "0.5",
    ]
    done = tfbind(*args, "--background", "0.4,0.1,0.1,0.4", stdin="one\t2\t5\n", env=env)
    a, c = np.log2((1 + 0.5 * 0.4) / 1.5 / 0.4), np.log2((1 + 0.5 * 0.1) / 1.5 / 0.1)
    assert float(done.stdout.split()[-3]) == pytest.approx(a + 2 * c, rel=1e-6)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--pvalue", "0"], "found --pvalue 0.0, expected more than 0, up to 1"),
        (["--pvalue", "nan"], "found --pvalue nan"),
        (["--pseudocount", "0"], "found --pseudocount 0.0, expected 1e-06 to 1"),
        (["--pseudocount", "1e-7"], "found --pseudocount 1e-07, expected 1e-06 to 1"),
        (["--motif", ""], "found --motif '', expected a name"),
        (["--motif", "m.1", "--motif", ","], "found --motif ',', expected a name"),
        (["--background", "0.2_5,0.25,0.25,0.25"], "found --background '0.2_5,0.25,0.25,0.25'"),
        (["--background", "flat"], "found --background 'flat', expected uniform, file or four"),
        (["--background", "0.5,0.5,0,0"], "expected uniform, file or four shares above 0"),
        (["--background", "0.5,0.5,0.5,0.5"], "shares that add up to 2, expected 1"),
        (["-"], "standard input can be only one of the inputs"),
    ],
)
def test_wrong_usage(
    args: list[str], said: str, folder: Path, env: dict[str, str], tfbind: Tfbind
) -> None:
    motifs = "-" if args == ["-"] else str(folder / "m.jaspar")
    done = tfbind("scan", motifs, *args, env=env)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in " ".join(done.stderr.decode().replace("│", " ").split())


@pytest.mark.parametrize(
    ("args", "bins", "said"),
    [
        (["--motif", "m.3"], "", "m.jaspar: holds no motif 'm.3'; names near it: m.2, m.1"),
        ([], "three\t0\t9\n", "line 1: {fasta} has no contig 'three'"),
        ([], "two\t0\t3\ntwo\t0\t4\n", "line 2: found a bin that ends at 4, expected at most 3"),
        (["--background", "file"], "", "m.jaspar: states no background; give --background uniform"),
    ],
)
def test_bad_data(
    args: list[str],
    bins: str,
    said: str,
    folder: Path,
    env: dict[str, str],
    tfbind: Tfbind,
) -> None:
    out = folder / "out"
    done = tfbind("scan", folder / "m.jaspar", *args, "-o", out, stdin=bins, env=env)
    assert done.returncode == 1
    assert said.format(fasta=env["TFBIND_FASTA"]) in done.stderr.decode()
    assert not list(folder.glob("*out*"))


def test_real_bins_agree_with_the_library_whatever_the_threads(
    data: Path, sources_env: dict[str, str], tfbind: Tfbind
) -> None:
    bins = tfbind("bin", "--region", "chrX:46,000,001-46,300,000", env=sources_env).stdout
    args: list[str | Path] = ["scan", data / "motifs.meme", "--motif", "MA0139", "-q"]
    one, three = (tfbind(*args, "-t", n, stdin=bins, env=sources_env) for n in ("1", "3"))
    assert one.stdout == three.stdout
    rows = [line.split() for line in one.stdout.decode().splitlines()[1:]]
    codes = Genome(data / "hg19.chrX_cut.fa.gz").codes("chrX", 46_000_000, 46_300_000)
    scores = Scanner(read_motifs(data / "motifs.meme")[0]).scores(codes)
    windows = np.lib.stride_tricks.sliding_window_view(scores.max(axis=0), 200 - 15 + 1)[::50]
    assert len(rows) == len(windows) == 5997
    np.testing.assert_array_equal([np.float32(row[3]) for row in rows], windows.max(axis=1))
    places = np.array([int(row[4]) for row in rows])
    np.testing.assert_array_equal(places - [int(row[1]) for row in rows], windows.argmax(axis=1))
    strands = ["+" if f >= r else "-" for f, r in scores[:, places - 46_000_000].T]
    assert [row[5] for row in rows] == strands


def test_real_hits_are_all_those_over_the_threshold_that_peaks_hold(
    data: Path, sources_env: dict[str, str], tfbind: Tfbind, tmp_path: Path
) -> None:
    peaks = tmp_path / "peaks.bed"
    with gzip.open(data / "K562.CTCF.conservative.narrowPeak.gz") as lines:
        text = lines.read().decode()
    in_order = sorted(text.splitlines(), key=lambda line: int(line.split("\t")[1]))
    peaks.write_text("\n".join(in_order))
    args: list[str | Path] = [
        "scan",
        data / "motifs.meme",
        peaks,
        "--motif",
        "MA0139.2",
        "--hits",
        "-q",
    ]
    done = tfbind(*args, env=sources_env)
    motif = read_motifs(data / "motifs.meme")[0]
    threshold = ScoreDistribution(motif).threshold(1e-4)
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    expected = set()
    for line in in_order:
        start, end = map(int, line.split("\t")[1:3])
        scores = Scanner(motif).scores(genome.codes("chrX", start, end))
        for strand, place in np.argwhere(scores >= threshold).tolist():
            expected.add((start + place, "+-"[strand], float(scores[strand, place])))
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    found = [(int(row[1]), row[5], float(np.float32(row[4]))) for row in rows]
    assert found == sorted(expected)
    # Most CTCF peaks hold its motif.
    assert len(found) > 0.6 * len(in_order)


def test_columns_of_one_name_are_refused(folder: Path, env: dict[str, str], tfbind: Tfbind) -> None:
    args: list[str | Path] = ["scan", "-q", folder / "m.jaspar", "--motif"]
    once = tfbind(*args, "m.1", stdin="one\t0\t14\n", env=env).stdout
    twice = tfbind(*args, "m.1", stdin=once, env=env)
    assert (twice.returncode, twice.stdout) == (1, b"")
    assert b"2 columns would be named 'm.1_TF_score'; give them other names" in twice.stderr
    both = tfbind(*args, "m.2", stdin=once, env=env)
    assert [len(line.split("\t")) for line in both.stdout.decode().splitlines()] == [9, 9]


def test_what_is_found_in_a_bin_depends_on_no_other(
    data: Path, sources_env: dict[str, str], tfbind: Tfbind
) -> None:
    bins = tfbind("bin", "--region", "chrX:46,000,001-46,300,000", env=sources_env).stdout
    args: list[str | Path] = ["scan", "-q", data / "motifs.meme", "--pvalue", "1e-3"]
    whole = tfbind(*args, stdin=bins, env=sources_env).stdout.splitlines()
    place = {line: number for number, line in enumerate(bins.splitlines(), 1)}
    lines = list(place)
    shuffled = random.Random(5).sample(lines, len(lines))
    subset = sorted(random.Random(6).sample(lines, 700), key=place.__getitem__)
    for some in (shuffled, subset, shuffled[:50]):
        found = tfbind(*args, stdin=b"\n".join(some), env=sources_env).stdout.splitlines()
        assert found == [whole[0], *(whole[place[line]] for line in some)]


@pytest.mark.parametrize("args", [["--pvalue", "1e-3"], ["--hits", "--pvalue", "0.05"]])
def test_memory_does_not_grow_with_the_bins(
    args: list[str], data: Path, sources_env: dict[str, str], tfbind: Tfbind, tmp_path: Path
) -> None:
    starts = np.arange(48_000_000, 49_000_000, 50).repeat(32)
    lines = bed_lines("chrX", starts, starts + 200).splitlines(keepends=True)
    less, more = (
        most_memory(tmp_path, b"".join(some), sources_env, "scan", data / "motifs.meme", *args)
        for some in (lines[: len(lines) // 4], lines)
    )
    assert more < less + 40


def test_a_reader_that_goes_away(data: Path, sources_env: dict[str, str], tmp_path: Path) -> None:
    command = f"tfbind bin -q | tfbind scan -q {data}/motifs.meme --motif MAX | head -n 2"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}; echo ${{PIPESTATUS[1]}}"],
        capture_output=True,
        text=True,
        env=environment(
            {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **sources_env}
        ),
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "141"
    assert done.stderr == ""
