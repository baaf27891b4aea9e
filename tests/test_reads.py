"""`tfbind signal`: reads to cut sites, against bedtools, against dense arrays, and by hand."""

import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyBigWig
import pysam
import pytest
from conftest import Tfbind, environment
from hypothesis import given, settings
from hypothesis import strategies as st

from tfbind.bigwig import BigWigRuns, BigWigSize
from tfbind.cutsites import CutSites, Track, fold_over_control, raw, side_by_side
from tfbind.errors import InputError
from tfbind.reads import ReadFile, ReadFilter

Read = tuple[str, int, int, str, int]
"""Contig, flag, start (0-based), CIGAR, mapping quality."""

SIZES = {"one": 300, "two": 120}

HAND: list[Read] = [
    ("one", 0, 2, "10M", 30),
    ("one", 16, 2, "10M", 30),
    ("one", 16, 3, "4M3D4M", 30),
    ("one", 16, 4, "5M100N5M", 30),
    ("one", 0, 5, "3S7M2S", 0),
    ("one", 16, 5, "3S7M2S", 0),
    ("one", 16, 5, "2H5M2I5M1H", 255),
    ("one", 1024, 5, "10M", 30),
    ("one", 256, 5, "10M", 30),
    ("one", 2048 | 16, 5, "10M", 30),
    ("one", 512, 5, "10M", 30),
    ("one", 4, 5, "*", 0),
    ("one", 99, 20, "10M", 30),
    ("one", 147, 40, "10M", 30),
    ("two", 0, 0, "10M", 30),
    ("two", 16, 0, "6M", 30),
    ("two", 16, 110, "10M", 30),
    ("two", 0, 118, "2M", 30),
]


def sam(reads: Sequence[Read], sizes: dict[str, int] | None = None) -> str:
    sizes = sizes or SIZES
    lines = ["@HD\tVN:1.6\tSO:coordinate", *(f"@SQ\tSN:{n}\tLN:{s}" for n, s in sizes.items())]
    for number, (contig, flag, start, cigar, quality) in enumerate(reads):
        mate = ["=", "1", "0"] if flag & 1 else ["*", "0", "0"]
        fields = [f"r{number}", flag, contig, start + 1, quality, cigar, *mate, "*", "*"]
        lines.append("\t".join(map(str, fields)))
    return "\n".join(lines) + "\n"


def write_bam(path: Path, reads: Sequence[Read], sizes: dict[str, int] | None = None) -> Path:
    text = path.with_suffix(".sam")
    text.write_text(sam(reads, sizes))
    with (
        pysam.AlignmentFile(str(text)) as source,
        pysam.AlignmentFile(str(path), "wb", template=source) as out,
    ):
        for read in source:
            out.write(read)
    return path


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    return write_bam(tmp_path / "hand.bam", HAND)


def output(tfbind: Tfbind, *args: str | Path, stdin: bytes = b"") -> str:
    done = tfbind("signal", *args, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def genomecov(path: Path) -> str:
    if shutil.which("bedtools") is None:
        pytest.skip("bedtools is not installed")
    return subprocess.run(
        ["bedtools", "genomecov", "-5", "-bg", "-ibam", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_real_reads_give_the_bytes_of_bedtools(tfbind: Tfbind, data: Path) -> None:
    path = data / "A549.cage.bam"
    expected = genomecov(path)
    assert expected.count("\n") == 6387
    assert output(tfbind, path) == expected
    assert output(tfbind, stdin=path.read_bytes()) == expected


def test_every_kind_of_read_gives_the_bytes_of_bedtools(tfbind: Tfbind, hand: Path) -> None:
    assert output(tfbind, hand, "--exclude-flags", "0") == genomecov(hand)


def test_kinds_of_reads_by_hand(tfbind: Tfbind, hand: Path) -> None:
    done = tfbind("signal", hand)
    assert done.stdout.decode().splitlines() == [
        "one\t2\t3\t1",
        "one\t5\t6\t1",
        "one\t11\t12\t2",
        "one\t13\t15\t1",
        "one\t20\t21\t1",
        "one\t49\t50\t1",
        "one\t113\t114\t1",
        "two\t0\t1\t1",
        "two\t5\t6\t1",
        "two\t118\t120\t1",
    ]
    assert done.stderr.decode() == (
        "tfbind: signal: 18 reads; dropped 1 unmapped, 1 secondary, 1 supplementary, 1 failed, "
        "1 duplicate; 13 cuts count\n"
    )


@pytest.mark.parametrize("options", [["--assay", "atac"], ["--shift", "+4,-5"]])
def test_tn5_moves_plus_by_4_and_minus_by_5(
    tfbind: Tfbind, tmp_path: Path, options: list[str]
) -> None:
    reads: list[Read] = [
        ("one", 16, 0, "5M", 9),  # its cut, base 4, goes to -1
        ("one", 16, 0, "6M", 9),
        ("one", 0, 100, "50M", 9),
        ("one", 16, 100, "50M", 9),
        ("two", 0, 115, "5M", 9),
        ("two", 0, 116, "4M", 9),
    ]
    done = tfbind("signal", write_bam(tmp_path / "x.bam", reads), *options)
    assert done.stdout.decode() == (
        "one\t0\t1\t1\none\t104\t105\t1\none\t144\t145\t1\ntwo\t119\t120\t1\n"
    )
    assert b"6 reads; 2 cuts outside of their chromosome; 4 cuts count" in done.stderr


def test_filters_are_those_of_samtools(tfbind: Tfbind, hand: Path) -> None:
    def places(*options: str) -> list[str]:
        return [":".join(line.split("\t")) for line in output(tfbind, hand, *options).splitlines()]

    assert len(places("--min-mapq", "31")) == 1  # 255, as samtools -q has it
    assert places("--include-flags", "0x1") == ["one:20:21:1", "one:49:50:1"]
    assert places("--include-flags", "129") == ["one:49:50:1"]
    assert "one:5:6:2" in places("--keep-duplicates")
    assert "one:5:6:4" in places("--exclude-flags", "0")
    assert "one:5:6:1" in places("--exclude-flags", "0xf04")


def test_scaled_to_a_million(tfbind: Tfbind, hand: Path) -> None:
    whole = output(tfbind, hand, "--scale", "cpm").splitlines()
    assert whole[0] == "one\t2\t3\t76923.08"
    assert whole[2] == "one\t11\t12\t153846.16"
    # What is written does not change what is counted, and replicates are one sample.
    assert output(tfbind, hand, "--scale", "cpm", "--chroms", "two").splitlines() == whole[-3:]
    assert output(tfbind, hand, hand, "--scale", "cpm").splitlines() == whole


def test_fold_over_control(tfbind: Tfbind, tmp_path: Path) -> None:
    sizes = {"one": 20, "two": 10}
    sample: list[Read] = [("one", 0, 5, "2M", 9)] * 3 + [("one", 0, 9, "2M", 9)]
    control: list[Read] = [("one", 0, 5, "2M", 9), ("one", 0, 12, "2M", 9)]
    paths = [
        write_bam(tmp_path / f"{name}.bam", reads, sizes)
        for name, reads in (("sample", sample), ("control", control))
    ]
    lines = ["one\t0\t5\t1", "one\t5\t6\t1.25", "one\t6\t9\t1", "one\t9\t10\t1.5"]
    lines += ["one\t10\t12\t1", "one\t12\t13\t0.5", "one\t13\t20\t1", "two\t0\t10\t1"]
    found = output(tfbind, paths[0], "--control", paths[1])
    assert found.splitlines() == lines  # (3/2 + 1) / 2, (1/2 + 1) / 1, 1 / 2
    part = output(tfbind, paths[0], "--control", paths[1], "--region", "one:9-14,two:3-")
    assert part.splitlines() == ["one\t8\t9\t1", *lines[3:6], "one\t13\t14\t1", "two\t2\t10\t1"]
    tenth = output(tfbind, paths[0], "--control", paths[1], "--pseudocount", "0.5")
    assert tenth.splitlines()[1] == "one\t5\t6\t1.3333334"
    smooth = output(tfbind, paths[0], "--control", paths[1], "--smooth", "3")
    assert smooth.splitlines()[:2] == ["one\t0\t4\t1", "one\t4\t7\t1.25"]


def test_no_cut_in_the_control_is_an_error(tfbind: Tfbind, hand: Path, tmp_path: Path) -> None:
    empty = write_bam(tmp_path / "empty.bam", [])
    done = tfbind("signal", hand, "--control", empty)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"tfbind: {empty}: has no cut that counts, expected some to divide by\n"
    )
    assert output(tfbind, empty, "--scale", "cpm") == ""


def test_blacklist_drops_cuts_not_reads(tfbind: Tfbind, hand: Path, tmp_path: Path) -> None:
    bed = tmp_path / "black.bed"
    bed.write_text("chrone\t11\t14\nchrone\t45\t49\n")
    done = tfbind(
        "signal",
        hand,
        "--chr-prefix",
        "strip",
        "--scale",
        "cpm",
        env={"TFBIND_BLACKLIST": str(bed)},
    )
    lines = done.stdout.decode().splitlines()
    assert lines[2:4] == ["one\t14\t15\t100000", "one\t20\t21\t100000"]
    assert b"3 cuts on the blacklist; 10 cuts count" in done.stderr
    done = tfbind("signal", hand, "--blacklist", bed)
    assert done.returncode == 1
    assert b"shares no contig with the blacklist: they name chrone" in done.stderr


def test_regions_cut_runs(tfbind: Tfbind, hand: Path) -> None:
    assert output(
        tfbind, hand, "--smooth", "11", "--region", "one:3-4,one:4-6,one:117"
    ).splitlines() == [
        "one\t2\t6\t2",
        "one\t116\t119\t1",
    ]


@pytest.mark.parametrize("name", ["x.sam", "x.cram"])
def test_other_formats_need_no_reference(
    tfbind: Tfbind, data: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    kind = {"sam": ["-h"], "cram": ["-C", "--output-fmt-option", "no_ref=1"]}[name[2:]]
    pysam.view(*kind, "-o", str(path), str(data / "A549.cage.bam"), catch_stdout=False)
    expected = output(tfbind, data / "A549.cage.bam")
    assert output(tfbind, path) == expected
    assert output(tfbind, "-", stdin=path.read_bytes()) == expected


def cuts_of(path: Path, window: int) -> list[tuple[str, int, int, float]]:
    with open(path, "rb") as stream, ReadFile(stream, str(path)) as reads:
        track = Track(reads.contigs, window, raw)
        return [
            (contig, int(start), int(end), float(value))
            for contig, *columns in track.runs(CutSites(reads, ReadFilter()))
            for start, end, value in zip(*columns, strict=True)
        ]


def dense(reads: Sequence[Read], window: int) -> dict[str, npt.NDArray[np.int64]]:
    """Count into whole contigs, one cut at a time."""
    arrays = {name: np.zeros(size, np.int64) for name, size in SIZES.items()}
    for contig, flag, start, cigar, _ in reads:
        cut = start + int(cigar[:-1]) - 1 if flag & 16 else start
        first = cut - window // 2
        arrays[contig][max(first, 0) : first + window] += 1
    return arrays


reads_of_any_length = st.lists(
    st.tuples(
        st.sampled_from(list(SIZES)),
        st.sampled_from([0, 16]),
        st.integers(0, 60),
        st.integers(1, 60).map(lambda length: f"{length}M"),
        st.just(30),
    ),
    max_size=40,
).map(lambda reads: sorted(reads, key=lambda read: (list(SIZES).index(read[0]), read[2])))


@settings(deadline=None, max_examples=60)
@given(reads_of_any_length, st.sampled_from([1, 2, 5, 30, 1000]), st.sampled_from([1, 7, 1000]))
def test_runs_are_those_of_dense_arrays_whatever_the_batch(
    tmp_path_factory: pytest.TempPathFactory, reads: list[Read], window: int, batch: int
) -> None:
    path = tmp_path_factory.mktemp("dense") / "x.sam"
    path.write_text(sam(reads))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tfbind.reads.BATCH", batch)
        runs = cuts_of(path, window)
    found = {name: np.zeros(size, np.int64) for name, size in SIZES.items()}
    for contig, start, end, value in runs:
        assert not found[contig][start:end].any()
        found[contig][start:end] = value
    for contig, expected in dense(reads, window).items():
        assert found[contig].tolist() == expected.tolist()
    for before, after in pairwise(runs):
        assert before[0] != after[0] or before[2] < after[1] or before[3] != after[3], "not joined"


def test_files_side_by_side_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    starts = np.sort(rng.integers(0, 250, 500)).tolist()
    reads: list[Read] = [("one", int(rng.integers(2)) * 16, start, "20M", 9) for start in starts]
    monkeypatch.setattr("tfbind.reads.BATCH", 16)
    paths = [write_bam(tmp_path / f"{i}.bam", reads[i::3]) for i in range(3)]
    streams = [open(path, "rb") for path in paths]  # noqa: SIM115
    files = [ReadFile(stream, "x") for stream in streams]
    try:
        sites = [CutSites(file, ReadFilter()) for file in files]
        parts = list(side_by_side(sites, [0, 0, 1]))
    finally:
        for file, stream in zip(files, streams, strict=True):
            file.__exit__()
            stream.close()
    places = np.concatenate([part.places for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    assert (np.diff(places) > 0).all()
    for column, some in ((0, [0, 1]), (1, [2])):
        chosen = [read for i in some for read in reads[i::3]]
        assert counts[:, column].tolist() == dense(chosen, 1)["one"][places].tolist()


def test_fold_is_one_where_both_are_alike() -> None:
    fold = fold_over_control([10, 40], 2.0)
    assert fold(np.array([[0, 0], [1, 4], [6, 8]])).tolist() == [1.0, 1.0, 2.0]


def test_bigwig_holds_what_the_bedgraph_says(tfbind: Tfbind, data: Path, tmp_path: Path) -> None:
    options = ["--smooth", "151", "--scale", "cpm"]
    path = tmp_path / "x.bw"
    assert output(tfbind, data / "A549.cage.bam", *options, "-o", path) == ""
    text = output(tfbind, data / "A549.cage.bam", *options)
    rows = [line.split("\t") for line in text.splitlines()]
    with pyBigWig.open(str(path)) as bigwig:
        found = bigwig.intervals("chr21")
        assert bigwig.header()["nLevels"] > 0
        assert list(bigwig.chroms())[:3] == ["chr1", "chr2", "chr3"]
    assert [(start, end) for start, end, _ in found] == [(int(r[1]), int(r[2])) for r in rows]
    values = np.array([value for *_, value in found], np.float32)
    assert values.tolist() == np.array([row[3] for row in rows], np.float32).tolist()
    refused = tfbind("signal", data / "A549.cage.bam", "-o", path)
    assert (refused.returncode, b"exists already" in refused.stderr) == (1, True)


def test_the_track_goes_into_tiles(
    tfbind: Tfbind, tmp_path: Path, sources_env: dict[str, str]
) -> None:
    reads: list[Read] = [("chrX", 0, 47_000_000 + 40 * i, "36M", 30) for i in range(100)]
    bam = write_bam(tmp_path / "x.bam", reads, {"chrX": 69_999_930})
    track = tmp_path / "x.bw"
    output(tfbind, bam, "--smooth", "10", "-o", track)
    done = tfbind(
        "features",
        "--signal",
        f"dnase={track}",
        stdin="chrX\t47000400\t47000600\n",
        env=sources_env,
    )
    assert done.returncode == 0, done.stderr.decode()
    (values,) = pa.ipc.open_stream(io.BytesIO(done.stdout)).read_next_batch()["dnase"].to_pylist()
    expected = np.zeros(len(values), np.float32)  # from 47,000,000 on
    for cut in range(0, len(values) + 40, 40):
        expected[max(cut - 5, 0) : cut + 5] = 1
    assert values == expected.tolist()


def test_unsorted_reads_are_refused(tfbind: Tfbind, tmp_path: Path) -> None:
    path = write_bam(tmp_path / "x.bam", [*HAND[:3], HAND[-1], HAND[3]])
    done = tfbind("signal", path, "-o", tmp_path / "x.bedGraph")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"tfbind: {path}: found read 5 at one:5, behind one at two:119; expected reads sorted by "
        f"coordinate: samtools sort -o sorted.bam {path}\n"
    )
    done = tfbind("signal", stdin=path.read_bytes())
    assert done.stderr.decode().endswith("samtools sort -o sorted.bam -\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.bam", "x.sam"]


@pytest.mark.parametrize("lost", [1, 28, 29, 3000, 100_000])
def test_a_bam_cut_short_is_said(tfbind: Tfbind, data: Path, tmp_path: Path, lost: int) -> None:
    content = (data / "A549.cage.bam").read_bytes()[:-lost]
    path = tmp_path / "short.bam"
    path.write_bytes(content)
    for done, name in (
        (tfbind("signal", path, "-o", tmp_path / "x.bw"), str(path)),
        (tfbind("signal", stdin=content), "standard input"),
    ):
        assert done.returncode == 1
        message = done.stderr.decode()
        assert message.startswith(f"tfbind: {name}: is ")
        assert "cut short" in message
        assert message.endswith("copy or make the file again\n")
    assert [one.name for one in tmp_path.iterdir()] == ["short.bam"]


@pytest.mark.parametrize(
    "content", [b"", b"chr1\t0\t10\n", b"r1\t0\tchr1\t5\t10\t5M\t*\t0\t0\t*\t*\n", b"BAM\1" * 99]
)
def test_what_holds_no_alignments_is_refused(tfbind: Tfbind, content: bytes) -> None:
    done = tfbind("signal", stdin=content)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "tfbind: standard input: holds no alignments that can be read; expected BAM, CRAM or SAM "
        "with a header that names the contigs\n"
    )


def test_another_genome_is_refused(tfbind: Tfbind, hand: Path, tmp_path: Path) -> None:
    other = write_bam(tmp_path / "other.bam", [], SIZES | {"two": 121})
    done = tfbind("signal", hand, "--control", other)
    assert done.returncode == 1
    assert "from number 2 on two (121 bp); expected those of" in done.stderr.decode()


def test_ctrl_c_ends_it_while_nothing_comes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tfbind", "signal"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shift", "4"], "expected BP,BP such as +4,-5"),
        (["--shift", "4,4", "--assay", "atac"], "not both"),
        (["--exclude-flags", "dup"], "expected the sum of flags"),
        (["--include-flags", "65536"], "expected the sum of flags"),
        (["--pseudocount", "1"], "belongs to --control"),
        (["--control", "x.bam", "--pseudocount", "0"], "a number above 0"),
        (["--control", "x.bam", "--scale", "cpm"], "give no --scale"),
        (["--control", "-"], "can be only one of the inputs"),
        (["-o", "x.bed"], "that of a bed"),
    ],
)
def test_usage_errors(tfbind: Tfbind, options: list[str], said: str) -> None:
    done = tfbind("signal", *options)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.decode().split())


def test_a_region_beyond_the_end_is_refused(tfbind: Tfbind, hand: Path) -> None:
    done = tfbind("signal", hand, "--region", "two:200-300")
    assert done.returncode == 1
    assert b"has 120 bp of two; region two:200-300 begins beyond" in done.stderr


@pytest.mark.parametrize("gap", [0, 1, 5, 30, 1000])
@pytest.mark.parametrize("widest", [1, 3, 200, 20_000])
@pytest.mark.parametrize("part", [1, 1000])
def test_no_bigwig_of_runs_takes_more_than_its_bound(
    tmp_path: Path, gap: int, widest: int, part: int
) -> None:
    rng = np.random.default_rng(1)
    widths = rng.integers(1, widest + 1, 3000)
    ends = np.cumsum(widths + rng.integers(gap, 2 * gap + 1, 3000))
    starts, values = ends - widths, rng.random(3000)
    sizes = {"a": 1000, "chr1": int(ends[-1]) + 5}
    path = tmp_path / "x.bw"
    size = BigWigSize(sizes, int(widths.mean()))
    with BigWigRuns(path, sizes) as writer:
        for first in range(0, 3000, part):
            some = slice(first, first + part)
            writer.add("chr1", starts[some], ends[some], values[some])
            size.add_runs(starts[some], ends[some])
    with pyBigWig.open(str(path)) as bigwig:
        found = bigwig.intervals("chr1")
    expected = zip(starts.tolist(), ends.tolist(), values.astype(np.float32).tolist(), strict=True)
    assert list(found) == list(expected)
    assert path.stat().st_size <= size.most


def test_a_bigwig_without_runs_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    nothing = np.zeros(0, np.int64)
    with BigWigRuns(path, SIZES) as writer:
        writer.add("one", nothing, nothing, nothing)
    with pyBigWig.open(str(path)) as bigwig:
        assert bigwig.chroms() == SIZES


def test_a_bigwig_of_runs_names_the_output_that_has_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^x\.bw: cannot be written: No such file or directory$"):
        BigWigRuns(tmp_path / "none" / "x", SIZES, name="x.bw")
