"""Sequences of labelled bins, for MEME-ChIP."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pysam
import pytest
from conftest import Tfbind, ok, said

from tfbind.genome import Genome
from tfbind.interpret.sequences import Apart, fasta_records
from tfbind.intervals import IntervalReader, Intervals
from tfbind.strands import stranded


def bed(*lines: str) -> Intervals:
    text = "".join(f"{line}\n".replace(" ", "\t") for line in lines)
    (batch,) = IntervalReader(BytesIO(text.encode()), "test.bed")
    return batch


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    path = tmp_path / "g.fa"
    path.write_text(">c\nACGTaacc\nggttNACC\n")
    pysam.faidx(str(path))
    return Genome(path)


def test_records(genome: Genome) -> None:
    batch = stranded(bed("c 0 4 B . +", "c 4 8 B . -", "c 10 14 U . +"), "bins")
    assert fasta_records(batch, ["c"], genome) == [
        b">c:0-4\nACGT\n",
        b">c:4-8(-)\nGGTT\n",
        b">c:10-14\nTTNA\n",
    ]
    wider = fasta_records(batch, ["c"], genome, 8)
    assert wider[0] == b">c:-2-6\nNNACGTAA\n"
    assert wider[1] == b">c:2-10(-)\nCCGGTTAC\n"


def test_sequences_that_share_a_base_are_chosen_once_in_any_order() -> None:
    apart = Apart(4)
    batch = bed("c 10 14", "c 13 17", "c 14 18", "c 6 10", "c 7 11", "d 7 11", "c 12 20")
    assert apart(batch, ["c", "d"]).tolist() == [True, False, True, True, False, True, False]
    assert apart(bed("c 11 12", "c 30 34"), ["c"]).tolist() == [False, True]


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
    other = f"{place}\tB\nchrX\t48000000\t48000300\tU\n"
    assert "line 2: found a bin of 300 bp, expected 200 bp" in said(tfbind(*command, stdin=other))
    ok(tfbind(*command, "--window", "100", stdin=other))
    assert "exists already" in said(tfbind(*command, "--window", "100", stdin=other))
    assert "both B" in said(tfbind(*command, "--control", "B", stdin=other), 2)
