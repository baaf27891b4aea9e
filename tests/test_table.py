"""`tfbind features --tsv`: what it reads, writes and refuses."""

import contextlib
import gzip
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import numpy as np
import polars
import pytest
from conftest import Tfbind, environment
from summarised import best_scores, bins, most_memory, rows_of, small_genome, two_motifs

from tfbind.channels import Sources
from tfbind.genome import Genome
from tfbind.measures import (
    BASELINE,
    measures,
)
from tfbind.motifs import read_motifs
from tfbind.signal import Signal


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


@pytest.mark.skipif(not shutil.which("bedtools"), reason="bedtools is not installed")
def test_gc_is_that_of_bedtools_nuc(
    tfbind: Tfbind, data: Path, sources_env: dict[str, str], tmp_path: Path
) -> None:
    bed = tmp_path / "bins.bed"
    bed.write_bytes(bins(47_000_000, 5_000))
    fasta = tmp_path / "cut.fa"
    with gzip.open(data / "hg19.chrX_cut.fa.gz") as stream:
        fasta.write_bytes(stream.read(48_000_000 + 1_000_000))
    told = subprocess.run(
        ["bedtools", "nuc", "-fi", fasta, "-bed", bed], capture_output=True, check=True
    ).stdout
    expected = [float(line.split(b"\t")[4]) for line in told.splitlines()[1:]]
    found = polars.read_csv(
        tfbind("features", "--tsv", bed, env=sources_env).stdout, separator="\t"
    )
    np.testing.assert_allclose(found["gc"].to_numpy(), expected, rtol=1e-6)


def test_motifs_are_columns(
    tfbind: Tfbind, real: Sources, motif: Path, sources_env: dict[str, str]
) -> None:
    options = ("--tsv", "--channel", f"motif={motif}")
    text = bins(47_000_000, 50)
    done = tfbind("features", *options, stdin=text, env=sources_env)
    table = read_table(done.stdout)
    assert table.columns[6:] == ["short.1_S.score", "wide.1_W.score"]
    for one in read_motifs(motif):
        codes = real.genome.codes("chrX", 47_000_000, 47_000_000 + 200)
        expected = max(best_scores(one.log_odds, codes))
        assert table[f"{one.title}.score"][0] == pytest.approx(expected, rel=1e-5)


def test_expression_is_no_column(
    tfbind: Tfbind, tmp_path: Path, sources_env: dict[str, str]
) -> None:
    path = tmp_path / "cells.tsv"
    path.write_text("cell\tone\nK562\t1.5\nHeLa-S3\t2\n")
    done = tfbind("features", "--tsv", "--expression", path, stdin="", env=sources_env)
    assert done.returncode == 2
    assert b"expression is the same for all bins" in done.stderr


def read_table(text: bytes) -> polars.DataFrame:
    return polars.read_csv(text, separator="\t", null_values="NA", infer_schema_length=None)


def test_a_line_for_each_bin_in_order(
    tfbind: Tfbind, data: Path, sources_env: dict[str, str]
) -> None:
    wanted = tfbind("bin", "--region", "chrX:46000001-46400000", env=sources_env).stdout
    lines = wanted.splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    ordered, shuffled = (
        tfbind("features", "--tsv", "--channel", "shape", stdin=text, env=sources_env)
        for text in (wanted, b"".join(lines))
    )
    assert ordered.stderr == b"tfbind: 7,997 bins, 7 values each\n"
    table = ordered.stdout.splitlines()
    columns = b"contig start end gc dnase.mean dnase.max MGW.mean ProT.mean Roll.mean HelT.mean"
    assert table[0] == columns.replace(b" ", b"\t")
    assert [line.split(b"\t")[:3] for line in table[1:]] == [
        line.split(b"\t") for line in wanted.splitlines()
    ]
    # What is told of a bin depends on no other.
    assert sorted(table[1:]) == sorted(shuffled.stdout.splitlines()[1:])
    alone = tfbind("features", "--tsv", "--channel", "shape", stdin=lines[0], env=sources_env)
    assert alone.stdout.splitlines()[1] == shuffled.stdout.splitlines()[1]
    frame = read_table(ordered.stdout)
    assert frame.height == 7_997
    assert frame["gc"].is_between(0, 1).all()
    assert set(frame["dnase.max"].unique()) == {0, 4, 16, 43}
    assert frame["MGW.mean"].is_between(4, 6).all()


@pytest.mark.parametrize("options", [("--set", "baseline"), ("--uncovered", "skip")])
def test_what_is_told_of_a_bin_depends_on_no_other(
    tfbind: Tfbind, data: Path, sources_env: dict[str, str], options: tuple[str, ...]
) -> None:
    motifs = f"motif={data / 'motifs.meme'}"
    args = ("features", "--tsv", "-q", "--channel", "shape", "--channel", motifs, *options)
    lines = bins(46_000_000, 3_000).splitlines()
    place = {line: number for number, line in enumerate(lines, 1)}
    whole = tfbind(*args, stdin=b"\n".join(lines), env=sources_env).stdout.splitlines()
    shuffled = random.Random(5).sample(lines, len(lines))
    subset = sorted(random.Random(6).sample(lines, 300), key=place.__getitem__)
    for some in (shuffled, subset, shuffled[:30]):
        found = tfbind(*args, stdin=b"\n".join(some), env=sources_env).stdout.splitlines()
        assert found == [whole[0], *(whole[place[line]] for line in some)]


def test_memory_does_not_grow_with_the_bins(
    data: Path, sources_env: dict[str, str], tmp_path: Path
) -> None:
    text = bins(48_000_000, 40_000)
    args = ("features", "--tsv", "--channel", "shape", "--channel", f"motif={data / 'motifs.meme'}")
    less, more = (most_memory(tmp_path, text * n, sources_env, *args) for n in (3, 15))
    assert more < less + 40


def test_numbers_are_the_shortest_text_of_a_float32(
    tfbind: Tfbind, real: Sources, sources_env: dict[str, str]
) -> None:
    text = bins(46_500_000, 2_000)
    done = tfbind("features", "--tsv", "--channel", "shape", stdin=text, env=sources_env)
    rows = rows_of(real, measures("bin", real, shape=True), text)
    for line, row in zip(done.stdout.decode().splitlines()[1:], rows, strict=True):
        fields = line.split("\t")[3:]
        assert np.array_equal(np.array(fields, np.float32), row)
        for field, value in zip(fields, row, strict=True):
            assert len(field.strip("-0.")) <= len(repr(float(str(value))).strip("-0."))


def test_columns_are_carried_through_and_named(
    tfbind: Tfbind, data: Path, sources_env: dict[str, str]
) -> None:
    def header(text: str, *more: str) -> str:
        done = tfbind("features", "--tsv", *more, "-", stdin=text, env=sources_env)
        assert done.returncode == 0, done.stderr
        return (
            done.stdout.decode()
            .splitlines()[0]
            .replace("\t", " ")
            .removesuffix(" gc dnase.mean dnase.max")
        )

    assert header("chrX\t0\t200\tB\r\nchrX\t0\t200\tU") == "contig start end label"
    assert header("chrX\t0\t200\tpeak") == "contig start end column4"
    assert header("chrX\t0\t200\tB\tU\n") == "contig start end column4 column5"
    assert header("chrX\t0\t200\tB\tU\n", "--names", "CTCF,MAX") == "contig start end CTCF MAX"
    named = "#contig\tstart\tend\tCTCF\n"
    assert header(named + "chrX\t0\t200\tB\n") == "contig start end CTCF"
    assert header(named) == "contig start end CTCF"
    assert header("") == "contig start end"


def test_labels_join_features(tfbind: Tfbind, data: Path, sources_env: dict[str, str]) -> None:
    wanted = tfbind("bin", "--region", "chrX:46000001-48000000", env=sources_env).stdout
    peaks = [data / f"K562.CTCF.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")]
    labelled = tfbind(
        "label", "--conservative", peaks[0], "--relaxed", peaks[1], stdin=wanted
    ).stdout
    done = tfbind("features", "--tsv", "--set", "baseline", stdin=labelled, env=sources_env)
    table = read_table(done.stdout)
    assert table.columns[3:] == ["label", *(f"dnase.{what}" for what in BASELINE)]
    by_label = dict(table.group_by("label").agg(polars.col("dnase.mean").mean()).iter_rows())
    assert by_label["B"] > 3 * by_label["U"]


def test_what_is_unknown_is_na(tfbind: Tfbind, sources_env: dict[str, str]) -> None:
    text = "chrX\t0\t200\nchrX\t60000\t60001\n"
    options = ("--tsv", "--uncovered", "skip", "--channel", "shape", "--quiet")
    done = tfbind("features", *options, stdin=text, env=sources_env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[1] == b"chrX\t0\t200" + b"\tNA" * 7


def test_missing_contigs(tfbind: Tfbind, small: Sources) -> None:
    env = {"TFBIND_FASTA": small.genome.path, "TFBIND_SIGNAL": small.signals["dnase"].path}
    text = "one\t0\t4\nthree\t0\t5\none\t0\t6\n"
    refused = tfbind("features", "--tsv", stdin=text, env=env)
    assert refused.returncode == 1
    assert b"line 2: " in refused.stderr
    assert b"has no contig 'three'; give --missing skip or --missing zero" in refused.stderr
    skipped = tfbind("features", "--tsv", "--missing", "skip", stdin=text, env=env)
    assert [line.split(b"\t")[0] for line in skipped.stdout.splitlines()] == [
        b"contig",
        b"one",
        b"one",
    ]
    assert skipped.stderr == (
        b"tfbind: 2 bins, 3 values each; 1 skipped on contigs without signal\n"
    )
    zeroed = tfbind("features", "--tsv", "--missing", "zero", stdin=text, env=env)
    assert zeroed.stdout.splitlines()[2] == b"three\t0\t5\tNA\t0\t0"
    assert b"1 with a signal of zero for want of a contig" in zeroed.stderr


def test_contigs_go_by_other_names(tfbind: Tfbind, small: Sources) -> None:
    env = {"TFBIND_FASTA": small.genome.path, "TFBIND_SIGNAL": small.signals["dnase"].path}
    done = tfbind("features", "--tsv", "--chr-prefix", "strip", stdin="chrone\t0\t4\n", env=env)
    assert done.stdout.splitlines()[1] == b"chrone\t0\t4\t0.5\t0.75\t1.5"


def test_a_files_name_asks_for_a_table(
    tfbind: Tfbind, tmp_path: Path, sources_env: dict[str, str]
) -> None:
    out = tmp_path / "bins.tsv"
    done = tfbind("features", "-o", out, stdin=bins(46_000_000, 10), env=sources_env)
    assert done.returncode == 0
    assert len(out.read_text().splitlines()) == 11
    again = tfbind("features", "--tsv", "-o", out, stdin=bins(46_000_000, 3), env=sources_env)
    assert again.returncode == 1
    assert b"exists already" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tsv", "-o", "bins.tsv.gz"), "would not be compressed: pipe into gzip"),
        (("-o", "bins.tsv.gz"), "would not be compressed: pipe into gzip"),
        (("--set", "baseline"), "are for tables: give --tsv too"),
        (("--uncovered", "skip"), "are for tables: give --tsv too"),
        (("--tsv", "--set", "whole"), "'whole' is not one of"),
        (("--tsv", "--float32"), "a table has no use for --float32: that is for tiles"),
        (("--tsv", "--tile", "64"), "no use for --tile: that is for tiles"),
        (
            ("-o", "bins.tsv", "--stride", "50", "--cell", "K562"),
            "no use for --stride, --cell: that is for",
        ),
        (("--tsv", "--channel", "shape", "--channel", "shape"), "is given twice"),
    ],
)
def test_contradictions_are_usage_errors(
    tfbind: Tfbind, sources_env: dict[str, str], options: tuple[str, ...], message: str
) -> None:
    done = tfbind("features", *options, stdin=bins(46_000_000, 3), env=sources_env)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in " ".join(done.stderr.decode().split())


def test_nothing_to_tell_is_a_usage_error(tfbind: Tfbind, sources_env: dict[str, str]) -> None:
    env = {"TFBIND_FASTA": sources_env["TFBIND_FASTA"]}
    done = tfbind("features", "--tsv", "--set", "baseline", stdin="", env=env)
    assert done.returncode == 2
    assert b"nothing to summarise" in done.stderr
    gc = tfbind("features", "--tsv", stdin=bins(46_000_000, 1), env=env)
    assert gc.stdout.splitlines()[0] == b"contig\tstart\tend\tgc"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chrX\t0\t200\nchrX\t69999800\t70000000\n", "line 2: found a bin that ends at 70000000"),
        ("chrX\t0\t200\nchrY\t0\t200\n", "line 2: "),
        ("chrX\t0\n", "line 1: found 2 column(s)"),
        ("chrX\t0\t200\tU\tgc\n", "found 2 column(s) behind the third, expected 1"),
    ],
)
def test_bad_input_is_told(
    tfbind: Tfbind, tmp_path: Path, sources_env: dict[str, str], text: str, message: str
) -> None:
    names = ("--names", "A") if "gc" in text else ()
    out = tmp_path / "bins.tsv"
    done = tfbind("features", *names, "-o", out, stdin=text, env=sources_env)
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert not list(tmp_path.iterdir())


def test_two_columns_of_one_name_are_refused(tfbind: Tfbind, sources_env: dict[str, str]) -> None:
    text = "chrX\t0\t200\tU\n"
    done = tfbind("features", "--tsv", "--names", "gc", stdin=text, env=sources_env)
    assert done.returncode == 1
    assert b"2 columns would be named 'gc'; give them other names" in done.stderr


def test_a_reader_may_go_away(sources_env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tfbind", "features", "--tsv"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(sources_env),
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        feed = threading.Thread(target=_feed, args=(process.stdin, bins(40_000_000, 200_000)))
        feed.start()
        assert process.stdout.readline() == b"contig\tstart\tend\tgc\tdnase.mean\tdnase.max\n"
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, b"")
        feed.join()


def _feed(stream: IO[bytes], text: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stream:
        stream.write(text)


def test_contigs_that_come_in_turn_keep_their_order(tfbind: Tfbind, small: Sources) -> None:
    env = {"TFBIND_FASTA": small.genome.path, "TFBIND_SIGNAL": small.signals["dnase"].path}
    lines = ["two\t0\t200", "one\t0\t4", "two\t15000\t15010", "one\t2\t4", "two\t100\t101"]
    done = tfbind("features", "--tsv", stdin="\n".join(lines), env=env)
    expected = ["0.6\t3.5\t7", "0.5\t0.75\t1.5", "0.6\t0\t0", "0.5\t1.5\t1.5", "0\t7\t7"]
    told = [f"{line}\t{values}" for line, values in zip(lines, expected, strict=True)]
    assert done.stdout.decode().splitlines()[1:] == told
