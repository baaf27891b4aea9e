"""`tfbind signal`: reads to cut sites, against bedtools and by hand, and bad files."""

import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyBigWig
import pysam
import pytest
from aligned import SIZES, Read, sam, write_bam
from conftest import Tfbind, environment, said, wait_until_idle

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


@pytest.mark.skipif(
    "TFBIND_TSS_BAM" not in os.environ, reason="TFBIND_TSS_BAM names no BAM of whole reads"
)
def test_a_whole_file_gives_the_bytes_of_bedtools(tfbind: Tfbind) -> None:
    path = Path(os.environ["TFBIND_TSS_BAM"])
    assert output(tfbind, path, "--exclude-flags", "0") == genomecov(path)


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


def test_a_control_may_be_many_files_and_has_the_blacklist_too(
    tfbind: Tfbind, tmp_path: Path
) -> None:
    sizes = {"one": 20}
    sample: list[Read] = [("one", 0, 5, "2M", 9)] * 3 + [("one", 0, 9, "2M", 9)]
    halves: list[list[Read]] = [[("one", 0, 12, "2M", 9)], [("one", 0, 5, "2M", 9)]]
    path = write_bam(tmp_path / "sample.bam", sample, sizes)
    controls = [
        write_bam(tmp_path / f"control{i}.bam", half, sizes) for i, half in enumerate(halves)
    ]
    repeated: list[str | Path] = ["--control", controls[0], "--control", controls[1]]
    lines = ["one\t0\t5\t1", "one\t5\t6\t1.25", "one\t6\t9\t1", "one\t9\t10\t1.5"]
    lines += ["one\t10\t12\t1", "one\t12\t13\t0.5", "one\t13\t20\t1"]
    assert output(tfbind, path, *repeated).splitlines() == lines
    bed = tmp_path / "black.bed"
    bed.write_text("one\t4\t6\n")
    done = tfbind("signal", path, *repeated, "--blacklist", bed)
    lines = ["one\t0\t9\t1", "one\t9\t10\t2", "one\t10\t12\t1", "one\t12\t13\t0.5"]
    assert done.stdout.decode().splitlines() == [*lines, "one\t13\t20\t1"]
    assert done.stderr.decode() == (
        "tfbind: signal: 4 reads; 3 cuts on the blacklist; 1 cuts count\n"
        "tfbind: control: 2 reads; 1 cuts on the blacklist; 1 cuts count\n"
    )


def test_regions_cut_runs(tfbind: Tfbind, hand: Path) -> None:
    assert output(
        tfbind, hand, "--smooth", "11", "--region", "one:3-4,one:4-6,one:117"
    ).splitlines() == [
        "one\t2\t6\t2",
        "one\t116\t119\t1",
    ]


def test_sam_is_read_too(tfbind: Tfbind, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.sam"
    pysam.view("-h", "-o", str(path), str(data / "A549.cage.bam"), catch_stdout=False)
    expected = output(tfbind, data / "A549.cage.bam")
    assert output(tfbind, path) == expected
    assert output(tfbind, "-", stdin=path.read_bytes()) == expected


def write_cram(path: Path, version: str) -> Path:
    """Write reads of 36 bases from a genome that is not there afterwards, and a BAM of them."""
    bases = "".join(np.random.default_rng(0).choice(list("ACGT"), 5000))
    genome = path.with_suffix(".fa")
    genome.write_text(f">one\n{bases}\n")
    lines = [
        f"r{start}\t{16 * (start % 2)}\tone\t{start + 1}\t30\t36M\t*\t0\t0\t"
        f"{bases[start : start + 36]}\t{'I' * 36}\n"
        for start in range(3000)
    ]
    text = path.with_suffix(".sam")
    text.write_text("@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:one\tLN:5000\n" + "".join(lines))
    kind = ["-O", f"cram,version={version}", "-T", str(genome)]
    pysam.view(*kind, "-o", str(path), str(text), catch_stdout=False)
    for made in path.parent.glob("*.fa*"):
        made.unlink()
    return text


@pytest.mark.parametrize("version", ["2.1", "3.0"])
def test_cram_needs_no_reference_but_its_end(tfbind: Tfbind, tmp_path: Path, version: str) -> None:
    path = tmp_path / "x.cram"
    expected = output(tfbind, write_cram(path, version))
    with pytest.raises(OSError, match="truncated file"), pysam.AlignmentFile(str(path)) as reads:
        list(reads)  # its bases cannot be had
    assert output(tfbind, path) == expected
    content = path.read_bytes()
    assert output(tfbind, stdin=content) == expected
    shorter = content[: -30 if version == "2.1" else -38]
    for some in (shorter, shorter[:-1], content[:-1], shorter[: len(shorter) // 2]):
        assert said(tfbind("signal", stdin=some)) == (
            "tfbind: standard input: is cut short: no end-of-file mark; copy or make the file again"
        )


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


def test_none_of_several_files_may_be_cut_short(tfbind: Tfbind, tmp_path: Path) -> None:
    reads: list[Read] = [("one", 0, 5, "10M", 30), ("*", 4, -1, "*", 0)]
    whole, short = (write_bam(tmp_path / f"{name}.bam", reads) for name in ("whole", "short"))
    done = tfbind("signal", whole, short)
    assert (done.stdout, done.stderr) == (
        b"one\t5\t6\t2\n",
        b"tfbind: signal: 4 reads; dropped 2 unmapped; 2 cuts count\n",
    )
    short.write_bytes(short.read_bytes()[:-28])
    for args in (
        [short],
        [whole, short],
        [short, whole],
        [whole, "--control", short],
        [short, "--control", whole],
        [whole, short, "--scale", "cpm"],
    ):
        out = tmp_path / "x.bedGraph"
        assert said(tfbind("signal", *args, "-o", out)).startswith(f"tfbind: {short}: is cut short")
        assert not out.exists()


def test_a_damaged_read_has_its_number(tfbind: Tfbind) -> None:
    text = sam(HAND[:4])
    assert said(tfbind("signal", stdin=text.replace("4M3D4M", "4M3D4Q"))) == (
        "tfbind: standard input: read 3 is damaged or cut short; copy or make the file again"
    )
    assert said(tfbind("signal", stdin=text.replace("16\tone\t4", "16\tother\t4"))) == (
        "tfbind: standard input: found read 4 at one:5, behind one at no place (unmapped, or on a "
        "contig that the header lacks); expected reads sorted by coordinate: samtools sort -o "
        "sorted.bam -"
    )


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
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
@pytest.mark.parametrize("count", [0, 20_000])
def test_a_signal_ends_it_while_no_more_comes(
    tmp_path: Path, number: signal.Signals, status: int, count: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tfbind", "signal", "-o", "x.bw"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        assert process.stdin is not None
        assert process.stderr is not None
        # A header alone, or reads of some 600 kB, more than a pipe holds: it has begun to read.
        process.stdin.write(sam([("one", 0, 5, "10M", 30)] * count).encode())
        process.stdin.flush()
        wait_until_idle(process.pid)
        process.send_signal(number)
        assert process.wait(20) == status
        assert process.stderr.read() == b""
    assert list(tmp_path.iterdir()) == []


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
        (["-o", "x.bedGraph.gz"], "would not be compressed: pipe into bgzip > x.bedGraph.gz"),
        (["-o", "x.TAB.gz"], "would not be compressed"),
        (["--keep-duplicates", "--exclude-flags", "3844"], "3844 holds 1024"),
        (["--exclude-flags", "3_844"], "expected the sum of flags"),
        (["--exclude-flags", "0x"], "expected the sum of flags"),
        (["--include-flags", "\u0661"], "expected the sum of flags"),
        (["--shift", "\u0664,5"], "expected BP,BP"),
    ],
)
def test_usage_errors(tfbind: Tfbind, options: list[str], said: str) -> None:
    done = tfbind("signal", *options)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.decode().split())


def test_a_region_beyond_the_end_is_refused(tfbind: Tfbind, hand: Path) -> None:
    done = tfbind("signal", hand, "--region", "two:200-300")
    assert done.returncode == 1
    assert b"region two:200-300 begins beyond the end of two, which has 120 bp" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chroms", "two", "--region", "one:1-10"], "one:1-10 lies on none of --chroms two"),
        (["--region", ""], "--region names no place"),
        (["--chroms", ","], "--chroms names no chromosome"),
    ],
)
def test_to_ask_for_no_place_is_wrong_usage(
    tfbind: Tfbind, hand: Path, options: list[str], message: str
) -> None:
    assert message in said(tfbind("signal", hand, *options), 2)
