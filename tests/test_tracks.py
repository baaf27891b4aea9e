"""Scores as bedGraph, BED and bigWig."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pybigtools
import pyBigWig
import pytest

from tfbind.contract import Geometry
from tfbind.errors import InputError
from tfbind.intervals import IntervalReader, Intervals
from tfbind.tracks import BigWigWriter, Centres, bed_score_lines, bedgraph_lines

AWKWARD = np.array([0.1, 1e-10, 1 / 3, 1, 0, 1.17549435e-38, 0.99999994], np.float32)


def batch_of(text: str) -> Intervals:
    (batch,) = IntervalReader(io.BytesIO(text.encode()), "bins.bed")
    return batch


def bins(starts: npt.NDArray[np.int64], contig: str = "chr1", size: int = 200) -> Intervals:
    return batch_of("".join(f"{contig}\t{start}\t{start + size}\n" for start in starts))


@pytest.mark.parametrize(
    ("geometry", "first"),
    [
        (Geometry(1000, 200, 50), "chr1\t75\t125\t"),
        (Geometry(1000, 200, 1), "chr1\t100\t101\t"),
        (Geometry(1001, 201, 50), "chr1\t76\t126\t"),
        (Geometry(200, 200, 200), "chr1\t0\t200\t"),
        (Geometry(1000, 200, 500), "chr1\t0\t200\t"),
    ],
)
def test_score_stands_on_the_central_stride(geometry: Geometry, first: str) -> None:
    batch = bins(np.array([0]), size=geometry.size)
    lines = bedgraph_lines(batch, np.array([0.5], np.float32), Centres(geometry, "b"))
    assert lines.decode() == first + "0.5\n"


def test_text_reads_back_to_the_same_float32() -> None:
    starts = np.arange(len(AWKWARD)) * 50
    graph = bedgraph_lines(bins(starts), AWKWARD, Centres(Geometry(), "b"))
    bed = bed_score_lines(bins(starts), AWKWARD[:, None])
    for text in (graph, bed):
        read = [line.split("\t")[3] for line in text.decode().splitlines()]
        assert np.array_equal(np.array(read, np.float32), AWKWARD)
    assert [line.split(b"\t")[3] for line in graph.splitlines()] == [
        line.split(b"\t")[3] for line in bed.splitlines()
    ]


def test_bed_keeps_the_line_and_appends_every_task() -> None:
    batch = batch_of("chr1\t0\t200\tpeak 1\t+\nchr2\t5\t205\tx\t-\n")
    scores = np.array([[0.25, 0.5], [1, 0]], np.float32)
    assert bed_score_lines(batch, scores).decode() == (
        "chr1\t0\t200\tpeak 1\t+\t0.25\t0.5\nchr2\t5\t205\tx\t-\t1\t0\n"
    )


@pytest.mark.parametrize("starts", [[0, 50, 99], [0, 50, 50]])
def test_close_bins_are_no_bedgraph(starts: list[int]) -> None:
    with pytest.raises(InputError, match=r"b: line 3: .*expected 50 bp.*--format bed"):
        bedgraph_lines(bins(np.array(starts)), np.zeros(3, np.float32), Centres(Geometry(), "b"))


def test_close_bins_are_found_across_batches() -> None:
    centres = Centres(Geometry(), "b")
    bedgraph_lines(bins(np.array([0, 50])), np.zeros(2, np.float32), centres)
    with pytest.raises(InputError, match="found a bin 10 bp behind"):
        bedgraph_lines(bins(np.array([60])), np.zeros(1, np.float32), centres)


def test_input_order_is_kept_in_a_bedgraph() -> None:
    text = bedgraph_lines(
        bins(np.array([500, 0])), np.array([1, 2], np.float32), Centres(Geometry(), "b")
    )
    assert text == b"chr1\t575\t625\t1\nchr1\t75\t125\t2\n"


def write_bigwig(
    path: Path, batches: list[Intervals], scores: list[npt.NDArray[np.float32]]
) -> None:
    sizes = {"chr1": 100_000, "chr2": 50_000, "chr10": 50_000}
    with BigWigWriter(path, sizes, Centres(Geometry(), "b", ordered=True)) as writer:
        for batch, some in zip(batches, scores, strict=True):
            writer.add(batch, some, {name: name for name in sizes})


def test_bigwig_takes_contigs_in_any_order_and_holds_the_bedgraphs_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [
        bins(np.arange(0, 5000, 50), "chr1"),
        bins(np.arange(0, 700, 50), "chr10"),
        bins(np.array([0, 400]), "chr2"),
        bins(np.array([6000]), "chr1"),
    ]
    scores = [rng.random(len(batch), np.float32) for batch in batches]
    path = tmp_path / "x.bw"
    write_bigwig(path, batches, scores)
    graph = b"".join(
        bedgraph_lines(batch, some, Centres(Geometry(), "b"))
        for batch, some in zip(batches, scores, strict=True)
    )
    expected = {
        (contig, int(start), int(end), np.float32(value))
        for contig, start, end, value in (line.split("\t") for line in graph.decode().splitlines())
    }
    with pyBigWig.open(str(path)) as bigwig:
        found = {
            (contig, start, end, np.float32(value))
            for contig in bigwig.chroms()
            for start, end, value in bigwig.intervals(contig) or ()
        }
        assert found == expected
        assert bigwig.header()["nLevels"] > 0
    with pybigtools.open(str(path)) as other:
        values = [value for _, _, value in other.records("chr1", 75, 1075)]
    np.testing.assert_array_equal(np.array(values, np.float32), scores[0][:20])


def test_unsorted_bins_are_no_bigwig(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: .*LC_ALL=C sort -k1,1 -k2,2n"):
        write_bigwig(tmp_path / "x.bw", [bins(np.array([500, 0]))], [np.zeros(2, np.float32)])


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed")
def test_bedtools_finds_no_overlap(tmp_path: Path) -> None:
    starts = np.arange(0, 50_000, 50)
    scores = np.random.default_rng(0).random(len(starts), np.float32)
    path = tmp_path / "x.bedGraph"
    path.write_bytes(bedgraph_lines(bins(starts), scores, Centres(Geometry(), "b")))
    merged = subprocess.run(
        ["bedtools", "merge", "-d", "-1", "-i", path], capture_output=True, check=True
    )
    assert merged.stdout.count(b"\n") == len(starts)


def test_bedgraph_converts_to_a_bigwig_by_ucsc_rules(tmp_path: Path) -> None:
    """Another writer takes the text: sorted, apart, inside the contig."""
    starts = np.arange(0, 5000, 50)
    scores = np.random.default_rng(2).random(len(starts), np.float32)
    text = bedgraph_lines(bins(starts), scores, Centres(Geometry(), "b")).decode()
    rows = [line.split("\t") for line in text.splitlines()]
    path = tmp_path / "other.bw"
    pybigtools.open(str(path), "w").write(
        {"chr1": 10_000}, ((row[0], int(row[1]), int(row[2]), float(row[3])) for row in rows)
    )
    with pyBigWig.open(str(path)) as bigwig:
        values = [value for _, _, value in bigwig.intervals("chr1")]
    np.testing.assert_array_equal(np.array(values, np.float32), scores)
