r"""Cut the example data from public files: hg19 chrX, DNase and CTCF peaks of two cell types.

Every output keeps the coordinates of hg19. Peak files are gzip, of any chromosomes:

    python examples/make_data.py --fasta hg19.fa.gz \
        --dnase HeLa-S3=wgEncodeAwgDnaseUwdukeHelas3UniPk.narrowPeak.gz \
        --dnase K562=wgEncodeAwgDnaseUwdukeK562UniPk.narrowPeak.gz \
        --conservative HeLa-S3=ChIPseq.HeLa-S3.CTCF.conservative.train.narrowPeak.gz \
        --conservative K562=ChIPseq.K562.CTCF.conservative.train.narrowPeak.gz \
        --relaxed HeLa-S3=ChIPseq.HeLa-S3.CTCF.relaxed.narrowPeak.gz \
        --relaxed K562=ChIPseq.K562.CTCF.relaxed.narrowPeak.gz -o examples/data
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import pyBigWig
import pysam

CONTIG = "chrX"
SIZE = 69_999_930
START, END = 38_000_000, 54_000_000  # zero-based, half-open: chrX:38,000,001-54,000,000
LINE = 60
LINES_AT_ONCE = 100_000


def cut_fasta(source: Path, target: Path) -> None:
    """Write the contig as BGZF with its indices, every base outside of the interval as N."""
    with pysam.FastaFile(str(source)) as fasta:
        inside = fasta.fetch(CONTIG, START, END).encode()
    letters = b"N" * START + inside + b"N" * (SIZE - END)
    with pysam.BGZFile(str(target), "w9", None) as out:
        out.write(f">{CONTIG}\n".encode())
        for first in range(0, SIZE, LINE * LINES_AT_ONCE):
            block = letters[first : first + LINE * LINES_AT_ONCE]
            lines = [block[i : i + LINE] for i in range(0, len(block), LINE)]
            out.write(b"\n".join([*lines, b""]))
    pysam.faidx(str(target))


def cut_peaks(source: Path, target: Path) -> None:
    """Keep the peaks that lie wholly inside of the interval, their columns unchanged."""
    kept = []
    with gzip.open(source) as lines:
        for line in lines:
            contig, start, end, *_ = line.split(b"\t")
            if contig == CONTIG.encode() and int(start) >= START and int(end) <= END:
                kept.append(line)
    kept.sort(key=lambda line: [int(field) for field in line.split(b"\t")[1:3]])
    # No name and no time in the header, so that the same peaks are the same bytes.
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.writelines(kept)


def paint(peaks: Path, target: Path) -> None:
    """Write a bigWig of each peak's signalValue over its bases, the largest where peaks overlap."""
    track = np.zeros(END - START, np.float32)
    with gzip.open(peaks) as lines:
        for line in lines:
            contig, start, end, *rest = line.split(b"\t")
            if contig == CONTIG.encode() and int(start) < END and int(end) > START:
                covered = track[max(int(start) - START, 0) : int(end) - START]
                np.maximum(covered, np.float32(rest[3]), out=covered)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(track)) + 1, [len(track)]])
    values = track[edges[:-1]]
    shown = values > 0
    starts, ends = edges[:-1][shown] + START, edges[1:][shown] + START
    with pyBigWig.open(str(target), "w") as bigwig:
        bigwig.addHeader([(CONTIG, SIZE)])
        bigwig.addEntries(
            [CONTIG] * len(starts), starts.tolist(), ends=ends.tolist(), values=values[shown]
        )


def named_file(text: str) -> tuple[str, Path]:
    """Read CELL=FILE."""
    cell, _, path = text.partition("=")
    return cell, Path(path)


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description="Cut the example data from public files.")
    parser.add_argument("--fasta", type=Path, required=True, metavar="FILE")
    for kind in ("dnase", "conservative", "relaxed"):
        parser.add_argument(
            f"--{kind}", type=named_file, action="append", default=[], metavar="CELL=FILE"
        )
    parser.add_argument("-o", dest="folder", type=Path, required=True, metavar="FOLDER")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    cut_fasta(asked.fasta, asked.folder / "hg19.chrX_38-54Mb.fa.gz")
    for cell, path in asked.dnase:
        cut_peaks(path, asked.folder / f"{cell}.dnase.narrowPeak.gz")
        paint(path, asked.folder / f"{cell}.dnase.bw")
    for kind in ("conservative", "relaxed"):
        for cell, path in getattr(asked, kind):
            cut_peaks(path, asked.folder / f"{cell}.CTCF.{kind}.narrowPeak.gz")


if __name__ == "__main__":
    main()
