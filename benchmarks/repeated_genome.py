"""A genome of any size for benchmarks: the bases of one contig, and its signal, over and over."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyBigWig
import pysam

LINE = 100
BGZF_END = 28
Sizes = dict[str, int]


def bgzf(text: bytes, folder: Path) -> tuple[bytes, bytes]:
    """Compress; give the blocks of text and the empty block that ends a file."""
    with tempfile.NamedTemporaryFile(dir=folder) as scratch:
        with pysam.BGZFile(scratch.name, "wb", None) as out:
            out.write(text)
        blocks = Path(scratch.name).read_bytes()
    return blocks[:-BGZF_END], blocks[-BGZF_END:]


def write_fasta(path: Path, fasta: str, sizes: Sizes) -> int:
    """Repeat the bases of the first contig; give how many are repeated."""
    with pysam.FastaFile(fasta) as source:
        bases = np.frombuffer(source.fetch(source.references[0]).encode(), np.uint8)
    period = len(bases) // LINE * LINE
    lines = np.full((period // LINE, LINE + 1), ord("\n"), np.uint8)
    lines[:, :LINE] = bases[:period].reshape(-1, LINE)
    text = lines.tobytes()
    # Blocks of BGZF can be joined: what is repeated is compressed once.
    whole, end_of_bgzf = bgzf(text, path.parent)
    with path.open("wb") as out:
        for name, size in sizes.items():
            copies, rest = divmod(size, period)
            begun = text[: rest // LINE * (LINE + 1) + rest % LINE].removesuffix(b"\n")
            out.write(bgzf(f">{name}\n".encode(), path.parent)[0])
            for _ in range(copies):
                out.write(whole)
            if begun:
                out.write(bgzf(begun + b"\n", path.parent)[0])
        out.write(end_of_bgzf)
    pysam.faidx(str(path))
    return period


def write_signal(path: Path, bigwig: str, sizes: Sizes, period: int) -> None:
    with pyBigWig.open(bigwig) as source:
        contig = next(iter(source.chroms()))
        starts, ends, values = np.array(source.intervals(contig)).T
    with pyBigWig.open(str(path), "w") as out:
        out.addHeader(list(sizes.items()))
        for name, size in sizes.items():
            shifts = np.arange(0, size, period)[:, None]
            inside = (ends <= period) & (shifts + ends <= size)
            first, last = ((shifts + some)[inside].astype(np.int64) for some in (starts, ends))
            kept = np.broadcast_to(values, inside.shape)[inside]
            if len(first):
                out.addEntries(
                    [name] * len(first), first.tolist(), ends=last.tolist(), values=kept.tolist()
                )


def repeated(fasta: str, bigwig: str, sizes: Sizes, stem: Path) -> tuple[Path, Path]:
    """Write a genome and its signal as STEM.fa.gz and STEM.bw, unless they are there."""
    genome, track = (stem.with_name(stem.name + end) for end in (".fa.gz", ".bw"))
    if not track.exists():  # written last, and renamed when it is whole
        print(f"making {genome} ...", file=sys.stderr, flush=True)
        period = write_fasta(genome, fasta, sizes)
        part = track.with_suffix(".part")
        write_signal(part, bigwig, sizes, period)
        part.rename(track)
    return genome, track
