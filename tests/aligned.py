"""Files of reads, written by hand."""

from collections.abc import Sequence
from pathlib import Path

import pysam

Read = tuple[str, int, int, str, int]
"""Contig, flag, start (0-based), CIGAR, mapping quality."""

SIZES = {"one": 300, "two": 120}


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
