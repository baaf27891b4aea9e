"""Scores as bedGraph, BED and bigWig."""

import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pybigtools
import pyBigWig
import pytest

from tfbind.bigwig import BigWigSize, BigWigWriter
from tfbind.contract import Geometry
from tfbind.errors import InputError
from tfbind.intervals import IntervalReader, Intervals
from tfbind.tracks import Centres, bed_score_lines, bedgraph_lines

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


BINS = 20_000
# What goes wrong in libBigWig ends the process, so it has one of its own. Status 3: refused.
WRITE = """
import resource, sys
import numpy as np
import pyarrow as pa
from tfbind.contract import Geometry
from tfbind.errors import InputError
from tfbind.intervals import Intervals
from tfbind.bigwig import BigWigWriter
from tfbind.tracks import Centres

path, step, count, limit = sys.argv[1], *map(int, sys.argv[2:])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
scores = np.random.default_rng(0).random(count, np.float32)
starts = np.arange(count) * step
doing = "adding"
try:
    with BigWigWriter(path, {"chr1": 10_000_000}, Centres(Geometry(), "b", ordered=True)) as writer:
        for first in range(0, count, 7000):
            some = starts[first : first + 7000]
            codes = np.zeros(len(some), np.int32)
            batch = Intervals(
                ("chr1",), codes, some, some + 200, (), pa.nulls(len(some)), np.arange(len(some))
            )
            writer.add(batch, scores[first : first + 7000], {"chr1": "chr1"})
        doing = "closing"
except InputError as error:
    print(doing, error)
    sys.exit(3)
"""


def written(path: Path, step: int, limit: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITE, path, str(step), str(BINS), str(limit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def plain_bigwig(path: Path, step: int) -> bytes:
    """Write what `WRITE` writes by pyBigWig alone."""
    scores = np.random.default_rng(0).random(BINS, np.float32).astype(np.float64)
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader([("chr1", 10_000_000)])
        for first in range(0, BINS, 7000):
            some = scores[first : first + 7000]
            starts = np.arange(first, first + len(some)) * step + 75
            if step == 50:
                bigwig.addEntries("chr1", int(starts[0]), values=some, span=50, step=50)
            else:
                bigwig.addEntries("chr1", starts, values=some, span=50)
    return path.read_bytes()


def most_bytes(step: int) -> int:
    size = BigWigSize({"chr1": 10_000_000}, 50)
    for first in range(0, BINS, 7000):
        count = min(7000, BINS - first)
        size.add(np.arange(first, first + count) * step + 75, touching=step == 50)
    return size.most


@pytest.mark.parametrize("step", [50, 100, 400])
def test_a_bigwig_is_the_one_of_pybigwig_and_within_its_bound(tmp_path: Path, step: int) -> None:
    path = tmp_path / "x.bw"
    done = written(path, step)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = plain_bigwig(tmp_path / "plain.bw", step)
    assert path.read_bytes() == expected
    assert len(expected) <= most_bytes(step) < 3 * len(expected)


@pytest.mark.parametrize("step", [50, 51, 90, 799, 800, 801, 2000, 13_000, 300_000])
@pytest.mark.parametrize("part", [1, 1000])
@pytest.mark.parametrize("width", [1, 50])
def test_no_bigwig_takes_more_than_its_bound(
    tmp_path: Path, step: int, part: int, width: int
) -> None:
    """Random floats do not compress, the worst that can come."""
    starts = np.arange(3000) * step
    values = np.random.default_rng(1).random(len(starts))
    sizes = {"a": 1000, "chr1": int(starts[-1]) + width}
    size = BigWigSize(sizes, width)
    path = tmp_path / "x.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader(list(sizes.items()))
        for first in range(0, len(starts), part):
            some = slice(first, first + part)
            size.add(starts[some], touching=False)
            bigwig.addEntries("chr1", starts[some], values=values[some], span=width)
    assert path.stat().st_size <= size.most


def test_a_bigwig_without_bins_is_whole(tmp_path: Path) -> None:
    write_bigwig(tmp_path / "x.bw", [], [])
    with pyBigWig.open(str(tmp_path / "x.bw")) as bigwig:
        assert bigwig.chroms() == {"chr1": 100_000, "chr2": 50_000, "chr10": 50_000}


@pytest.mark.parametrize(("limit", "doing"), [(100_000, "adding"), (200_000, "closing")])
def test_too_little_space_is_bad_input(tmp_path: Path, limit: int, doing: str) -> None:
    path = tmp_path / "x.bw"
    done = written(path, 100, limit)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith(f"{doing} {path}: cannot be written: File too large; make room")
    assert not path.exists() or path.stat().st_size == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("a small disk is mounted by root only")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("step", [50, 100])
def test_a_full_disk_is_bad_input(tmp_path: Path, small_disk: Path, step: int) -> None:
    expected = plain_bigwig(tmp_path / "plain.bw", step)
    need = 8 * BINS + most_bytes(step)
    path = small_disk / "x.bw"
    whole = {}
    for percent in (20, 40, 60, 80, 95, 105):
        size = f"remount,size={need * percent // 100}"
        subprocess.run(["mount", "-o", size, small_disk], check=True)
        done = written(path, step)
        assert done.returncode in (0, 3), (percent, done)
        assert done.stderr == ""
        whole[percent] = done.returncode == 0
        if whole[percent]:
            assert path.read_bytes() == expected
        else:
            message = f"{path}: cannot be written: No space left on device; make room"
            assert message in done.stdout
        path.unlink(missing_ok=True)
    assert [percent for percent in whole if whole[percent]] == [105]


@pytest.mark.parametrize("absent", [None, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_where_space_cannot_be_reserved_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: int | None
) -> None:
    def refuse(*_: int) -> None:
        assert absent is not None
        raise OSError(absent, os.strerror(absent))

    batches, scores = [bins(np.arange(0, 5000, 50))], [np.ones(100, np.float32)]
    write_bigwig(tmp_path / "reserved.bw", batches, scores)
    if absent is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    path = tmp_path / "x.bw"
    write_bigwig(path, batches, scores)
    assert path.read_bytes() == (tmp_path / "reserved.bw").read_bytes()
    small = os.statvfs_result((4096, 4096, 100, 1, 1, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "fstatvfs", lambda _: small)
    with pytest.raises(InputError, match=r"x\.bw: cannot be written: No space left on device"):
        write_bigwig(path, batches, scores)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_bigwig_that_was_cut_short_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    path = tmp_path / "x.bw"
    monkeypatch.setattr(
        "tfbind.bigwig._end", lambda file: kept if kept >= 0 else os.fstat(file).st_size
    )
    with pytest.raises(InputError, match=r"x\.bw: was not written whole; make room"):
        write_bigwig(path, [bins(np.arange(0, 5000, 50))], [np.ones(100, np.float32)])
    assert path.stat().st_size == 0


def test_a_message_takes_the_name_that_the_file_is_to_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^x\.bw: cannot be written: No such file or directory$"):
        BigWigWriter(
            tmp_path / "none" / "x",
            {"chr1": 1},
            Centres(Geometry(), "b", ordered=True),
            name="x.bw",
        )


def test_closing_writes_once(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    centres = Centres(Geometry(), "b", ordered=True)
    with BigWigWriter(path, {"chr1": 10_000}, centres) as writer:
        writer.add(bins(np.array([0, 50])), np.ones(2, np.float32), {"chr1": "chr1"})
        writer.close()
        first = path.stat().st_mtime_ns
    assert path.stat().st_mtime_ns == first
    with pyBigWig.open(str(path)) as bigwig:
        assert bigwig.intervals("chr1") == ((75, 125, 1.0), (125, 175, 1.0))
