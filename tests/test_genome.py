"""Contigs, names and bases: against literal tables, and against pysam on the real chromosome."""

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyBigWig
import pysam
import pytest
from conftest import Tfbind

from tfbind.errors import InputError
from tfbind.genome import ContigNames, Genome, base_codes, contig_sizes, read_alias

FASTA = b">one first\nACGTN\nacgtn\nRYKMS\n>two\nGATTA\nCA\n"
ONE = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 4, 4, 4, 4]
TWO = [2, 0, 3, 3, 0, 1, 0]
NOBODY = 65534


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    """Write two short contigs."""
    path = tmp_path / "two.fa"
    path.write_bytes(FASTA)
    return path


@contextmanager
def unprivileged() -> Iterator[None]:
    """Give up root's right to write anywhere, for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_letters_become_codes_whatever_their_case() -> None:
    codes = base_codes(b"ACGTacgtNnXRy-*.\x00\xff")
    assert codes.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, *[4] * 10]
    assert codes.dtype == np.uint8
    assert base_codes(b"").tolist() == []


def test_contigs_keep_the_order_of_the_file(fasta: Path) -> None:
    genome = Genome(fasta)
    assert list(genome.sizes.items()) == [("one", 15), ("two", 7)]
    assert genome.codes("one", 0, 15).tolist() == ONE
    assert genome.codes("two", 0, 7).tolist() == TWO


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (-3, 2, [4, 4, 4, 2, 0]),
        (5, 10, [1, 0, 4, 4, 4]),
        (-2, 9, [4, 4, *TWO, 4, 4]),
        (7, 9, [4, 4]),
        (-5, -3, [4, 4]),
        (20, 22, [4, 4]),
        (6, 7, [0]),
        (3, 3, []),
    ],
)
def test_what_lies_outside_of_a_contig_is_unknown(
    fasta: Path, start: int, end: int, expected: list[int]
) -> None:
    codes = Genome(fasta).codes("two", start, end)
    assert codes.tolist() == expected
    assert codes.dtype == np.uint8


def test_windows_line_ends_are_no_bases(tmp_path: Path) -> None:
    path = tmp_path / "dos.fa"
    path.write_bytes(FASTA.replace(b"\n", b"\r\n"))
    assert Genome(path).codes("one", 0, 15).tolist() == ONE


def test_real_bases_are_those_that_pysam_gives(data: Path) -> None:
    path = data / "hg19.chrX_cut.fa.gz"
    genome = Genome(path)
    assert genome.sizes == {"chrX": 69_999_930}
    with pysam.FastaFile(str(path)) as fasta:
        letters = fasta.fetch("chrX", 37_999_990, 38_300_000)
    codes = genome.codes("chrX", 37_999_990, 38_300_000)
    assert codes[:10].tolist() == [4] * 10
    assert "".join("ACGTN"[code] for code in codes) == letters.upper()
    assert genome.codes("chrX", 53_999_998, 54_000_002).tolist()[2:] == [4, 4]
    assert genome.codes("chrX", 69_999_928, 69_999_935).tolist() == [4] * 7


def test_bgzf_reads_as_plain_text_does(data: Path, tmp_path: Path) -> None:
    with pysam.FastaFile(str(data / "hg19.chrX_cut.fa.gz")) as fasta:
        letters = fasta.fetch("chrX", 40_000_000, 40_200_000)
    plain, packed = tmp_path / "cut.fa", tmp_path / "cut.fa.gz"
    plain.write_text(
        ">cut\n" + "\n".join(letters[i : i + 50] for i in range(0, len(letters), 50)) + "\n"
    )
    pysam.tabix_compress(str(plain), str(packed))
    one, other = Genome(plain), Genome(packed)
    assert one.sizes == other.sizes == {"cut": 200_000}
    assert (one.codes("cut", -7, 200_007) == other.codes("cut", -7, 200_007)).all()
    assert one.codes("cut", 123_456, 123_460).tolist() == [
        "ACGT".index(letter) for letter in letters[123_456:123_460].upper()
    ]


def test_threads_read_side_by_side(data: Path) -> None:
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    starts = range(40_000_000, 40_400_000, 10_000)
    alone = [genome.codes("chrX", start, start + 1000) for start in starts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda start: genome.codes("chrX", start, start + 1000), starts))
    assert (np.array(alone) == np.array(together)).all()


def test_a_missing_index_is_made(fasta: Path) -> None:
    Genome(fasta)
    assert fasta.with_suffix(".fa.fai").read_text() == "one\t15\t11\t5\t6\ntwo\t7\t34\t5\t6\n"
    assert sorted(path.name for path in fasta.parent.iterdir()) == ["two.fa", "two.fa.fai"]


def test_both_indices_of_bgzf_are_made_again_when_one_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "two.fa.gz"
    with pysam.BGZFile(str(path), "w", None) as out:
        out.write(FASTA)
    assert Genome(path).codes("two", 0, 7).tolist() == TWO
    names = ["two.fa.gz", "two.fa.gz.fai", "two.fa.gz.gzi"]
    assert sorted(found.name for found in tmp_path.iterdir()) == names
    for lost in names[1:]:
        (tmp_path / lost).unlink()
        assert Genome(path).codes("two", 0, 7).tolist() == TWO
        assert sorted(found.name for found in tmp_path.iterdir()) == names


def test_processes_may_make_the_index_at_once(tmp_path: Path) -> None:
    path = tmp_path / "large.fa.gz"
    with pysam.BGZFile(str(path), "w", None) as out:
        for contig in range(40):
            out.write(b">contig%d\n" % contig + b"ACGTTGCA\n" * 20_000)
    script = (
        "import sys; from tfbind.genome import Genome\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(Genome(sys.argv[1]).codes('contig39', 159_998, 160_001).tolist())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in processes] == ["[1, 0, 4]\n"] * 3
    assert sorted(found.name for found in tmp_path.iterdir()) == [
        "large.fa.gz",
        "large.fa.gz.fai",
        "large.fa.gz.gzi",
    ]


def test_a_folder_that_cannot_be_written_is_said() -> None:
    # Not tmp_path: its parents are closed to other users, so the file would not be found at all.
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "two.fa"
        path.write_bytes(FASTA)
        path.chmod(0o444)
        Path(name).chmod(0o555)
        with unprivileged(), pytest.raises(InputError, match="has no index and none can be made"):
            Genome(path)
        Path(name).chmod(0o755)
        assert [found.name for found in Path(name).iterdir()] == ["two.fa"]


def test_an_index_is_enough_where_the_folder_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "two.fa"
        path.write_bytes(FASTA)
        Genome(path)
        Path(name).chmod(0o555)
        with unprivileged():
            assert Genome(path).codes("two", 0, 7).tolist() == TWO
        Path(name).chmod(0o755)


def test_gzip_is_no_bgzip(tmp_path: Path, tfbind: Tfbind) -> None:
    path = tmp_path / "two.fa.gz"
    path.write_bytes(gzip.compress(FASTA))
    with pytest.raises(InputError, match=r"two\.fa\.gz: .*with bgzip, not gzip"):
        Genome(path)
    assert [found.name for found in tmp_path.iterdir()] == ["two.fa.gz"]
    done = tfbind("bin", path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"tfbind: %s: " % bytes(path))
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("content", [b"", b"chr1\t100\n", b"@SRR1\nACGT\n", b"\n>one\nACGT\n"])
def test_what_is_no_fasta_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "what.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected FASTA, which begins with >"):
        Genome(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.fa: cannot be read: No such file or directory"):
        Genome(tmp_path / "none.fa")


def test_an_index_of_another_file_is_recognised(fasta: Path) -> None:
    fasta.with_suffix(".fa.fai").write_text("one\t15\t11\t5\t6\ntwo\t700\t34\t5\t6\n")
    genome = Genome(fasta)
    for start, end in ((0, 700), (300, 400)):
        with pytest.raises(InputError, match=r"two\.fa: .* its index is of another file"):
            genome.codes("two", start, end)


def test_a_bgzf_file_cut_short_is_said(data: Path, tmp_path: Path) -> None:
    whole = data / "hg19.chrX_cut.fa.gz"
    path = tmp_path / "short.fa.gz"
    path.write_bytes(whole.read_bytes()[:3_000_000])
    for suffix in (".fai", ".gzi"):
        Path(f"{path}{suffix}").write_bytes(Path(f"{whole}{suffix}").read_bytes())
    genome = Genome(path)
    assert (genome.codes("chrX", 40_000_000, 40_000_100) < 4).all()
    with pytest.raises(InputError, match=r"short\.fa\.gz: "):
        genome.codes("chrX", 52_000_000, 52_000_100)


SIZES = {"one": 15, "two": 7}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("two.fa", FASTA),
        ("two.fa.fai", b"one\t15\t11\t5\t6\ntwo\t7\t34\t5\t6\n"),
        ("two.chrom.sizes", b"one\t15\ntwo\t7\n"),
        ("two.chrom.sizes", b"one\t15\r\ntwo\t7"),
        ("two.genome", b"# name size\n\none 15\ntwo   7\n"),
        ("two.txt.gz", gzip.compress(b"one\t15\ntwo\t7\n", mtime=0)),
    ],
)
def test_sizes_come_from_any_list_of_contigs(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert list(contig_sizes(path).items()) == list(SIZES.items())


def test_sizes_come_from_bgzf_and_bigwig(tmp_path: Path, data: Path) -> None:
    assert contig_sizes(data / "hg19.chrX_cut.fa.gz") == {"chrX": 69_999_930}
    path = tmp_path / "two.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader(list(SIZES.items()))
        bigwig.addEntries("one", [3], values=[1.5], span=2)
    assert contig_sizes(path) == SIZES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\t15\ntwo\tseven\n", r"what: line 2: found 'two\\tseven', expected a contig's name"),
        (b"one\n", "what: line 1: found 'one', expected a contig's name"),
        (b"one\t-5\n", "what: line 1: "),
        (b"one\t15\none\t16\n", "what: line 2: names contig 'one' twice"),
        (b"", "what: holds no contig"),
        (b"# only\n", "what: holds no contig"),
    ],
)
def test_a_bad_list_of_contigs_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "what"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        contig_sizes(path)


def test_names_are_found_by_alias_and_prefix() -> None:
    known = ("chr1", "chr2", "MT")
    assert ContigNames(known, "g.fa").find("chr2") == "chr2"
    assert ContigNames(known, "g.fa").find("2") is None
    assert ContigNames(known, "g.fa", prefix="add").find("2") == "chr2"
    assert ContigNames(known, "g.fa", prefix="strip").find("chrMT") == "MT"
    assert ContigNames(known, "g.fa", prefix="strip").find("chr9") is None
    alias = {"NC_000001.10": "chr1"}
    assert ContigNames(known, "g.fa", alias).find("NC_000001.10") == "chr1"
    both = ContigNames(known, "g.fa", alias, "add")
    assert [both.find(name) for name in ("NC_000001.10", "2", "MT", "3")] == [
        "chr1",
        "chr2",
        "MT",
        None,
    ]


def test_an_unknown_contig_shows_three_names_of_each_side() -> None:
    names = ContigNames(("chr1", "chr2", "chr3", "chr4"), "g.fa")
    assert names.resolve("chr3") == "chr3"
    with pytest.raises(InputError) as raised:
        names.resolve("1", ["1", "2"])
    assert str(raised.value) == (
        "g.fa: has no contig '1': the input names 1, 2, this file chr1, chr2, chr3, ...; "
        "give --alias FILE or --chr-prefix add|strip"
    )


def test_an_alias_file_is_read_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "alias.tsv"
    path.write_text("# ours\ttheirs\n1\tchr1\n\nMT chrM\n")
    assert read_alias(path) == {"1": "chr1", "chr1": "1", "MT": "chrM", "chrM": "MT"}
    path.write_text("1\tchr1\nX\n")
    with pytest.raises(InputError, match=r"alias\.tsv: line 2: found 1 columns, expected 2"):
        read_alias(path)


def test_a_size_that_no_contig_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sizes"
    path.write_text("chr1\t100\nchr2\t99999999999999999999999\n")
    with pytest.raises(InputError, match=r"line 2: gives 'chr2' 99999999999999999999999 bp"):
        contig_sizes(path)
