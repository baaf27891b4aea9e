"""Sequences of labelled bins, for MEME-ChIP."""

from pathlib import Path

import numpy as np
import pysam
from conftest import Tfbind, ok, said

from tfbind.genome import Genome
from tfbind.interpret.sequences import apart, clear_of, fasta_records, inside
from tfbind.sites import Sites


def sites(*places: tuple[int, int, str]) -> Sites:
    contigs, starts, strands = zip(*places, strict=True)
    minus = np.array([strand == "-" for strand in strands])
    return Sites(np.array(contigs, np.int64), np.array(starts, np.int64), minus)


def test_records(tmp_path: Path) -> None:
    path = tmp_path / "g.fa"
    path.write_text(">c\nACGTaacc\nggttNACC\n")
    pysam.faidx(str(path))
    some = sites((0, 0, "+"), (0, 4, "-"), (0, 10, "+"))
    assert list(fasta_records(some, 4, Genome(path))) == [
        b">c:0-4\nACGT\n",
        b">c:4-8(-)\nGGTT\n",
        b">c:10-14\nTTNA\n",
    ]


def test_windows_inside_of_contigs() -> None:
    some = sites((0, -1, "+"), (0, 0, "+"), (0, 6, "+"), (0, 7, "+"), (1, 16, "+"))
    assert inside(some, 4, [10, 20]).tolist() == [False, True, True, False, True]


def test_windows_that_share_a_base_are_chosen_once_in_any_order() -> None:
    some = sites(*((0, start, "+") for start in (14, 13, 10, 6, 7)), (1, 7, "-"), (0, 30, "+"))
    chosen = apart(some, 4)
    assert chosen.contigs.tolist() == [0, 0, 0, 0, 1]
    assert chosen.starts.tolist() == [6, 10, 14, 30, 7]
    assert chosen.minus.tolist() == [False] * 4 + [True]


def test_windows_clear_of_others_share_no_base_with_them() -> None:
    random = np.random.default_rng(1)
    some, others = (
        sites(*((int(c), int(s), "+") for c, s in random.integers(0, (3, 400), (n, 2))))
        for n in (200, 20)
    )
    expected = [
        all(
            contig != other or abs(start - place) >= 9
            for other, place in zip(others.contigs, others.starts, strict=True)
        )
        for contig, start in zip(some.contigs, some.starts, strict=True)
    ]
    assert clear_of(some, others, 9).tolist() == expected
    assert 20 < sum(expected) < 180
    assert clear_of(some, others.select(np.zeros(0, np.int64)), 9).all()


def test_command(tfbind: Tfbind, data: Path, labelled: bytes, tmp_path: Path) -> None:
    fasta = data / "hg19.chrX_cut.fa.gz"
    lines = [line.split(b"\t")[:4] for line in labelled.splitlines() if line[:1] != b"#"]
    bins = b"".join(b"\t".join(line) + b"\n" for line in lines)
    prefix = tmp_path / "ctcf"
    done = tfbind("explain", "fasta", "--fasta", fasta, "-o", prefix, stdin=bins)
    assert ok(done) == b""
    primary, control = f"{prefix}.primary.fa", f"{prefix}.control.fa"
    run = f"meme-chip -oc {prefix}.meme-chip -neg {control} -db JASPAR.meme {primary}"
    assert run in done.stderr.decode()
    known = {(int(line[1]), line[3]) for line in lines}
    primaries = np.array([int(line[1]) for line in lines if line[3] == b"B"])
    places: list[int] = []
    for path, label in ((primary, b"B"), (control, b"U")):
        with pysam.FastxFile(path) as records, pysam.FastaFile(str(fasta)) as genome:
            places = []
            for record in records:
                assert record.name is not None
                start, end = map(int, record.name.split(":")[1].split("-"))
                assert (start, label) in known
                assert record.sequence == genome.fetch("chrX", start, end).upper()
                places.append(start)
        assert len(places) > 30
        assert (np.diff(places) >= 200).all()
    assert min(np.abs(primaries - place).min() for place in places) >= 200


def test_wrong_requests(tfbind: Tfbind, data: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        "explain",
        "fasta",
        "--fasta",
        data / "hg19.chrX_cut.fa.gz",
        "-o",
        tmp_path / "x",
    ]
    place = "chrX\t48000000\t48000200"
    done = tfbind(*command, stdin=f"{place}\tB\n{place}\tsharp\n")
    assert "has no bin with 'U' in column 4, but B, sharp; give --primary and --control" in said(
        done
    )
    assert list(tmp_path.iterdir()) == []
    assert "has no column 4" in said(tfbind(*command, stdin=f"{place}\n"))
    beside = f"{place}\tB\nchrX\t48000100\t48000300\tU\nchrX\t48000200\t48000400\tU\n"
    told = tfbind(*command[:-1], tmp_path / "y", stdin=beside).stderr.decode()
    assert (
        "1 sequence(s) of 2 bin(s) labelled U; left out 1 that share bases with primary ones"
        in told
    )
    other = f"{place}\tB\nchrX\t48000000\t48000200\tU\n"
    message = said(tfbind(*command, stdin=other))
    assert "leaves 0 sequence(s) of 1 bin(s) labelled U; left out 1 that share" in message
    other = f"{place}\tB\nchrX\t48001000\t48001300\tU\n"
    assert "line 2: found a bin of 300 bp, expected 200 bp" in said(tfbind(*command, stdin=other))
    ok(tfbind(*command, "--window", "100", stdin=other))
    assert "exists already" in said(tfbind(*command, "--window", "100", stdin=other))
    assert "both B" in said(tfbind(*command, "--control", "B", stdin=other), 2)
