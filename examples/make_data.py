r"""Cut the example data from public files.

They are hg19 chrX with DNase and ChIP-seq peaks of two cell types, start sites by CAGE, CAGE reads
of chr21 in a third cell type, and motifs.

The bases of one interval are kept whole. Before it, where the first cell type is to be learnt from,
only those around its DNase peaks and those of the first factor are kept, so that a few megabytes
hold enough peaks to learn from.

Every output keeps the coordinates of hg19. Peak files are gzip, of any chromosomes; the reads are
sorted and have their index beside them; the motifs are those of JASPAR, in MEME format:

    python examples/make_data.py --fasta hg19.fa.gz \
        --dnase HeLa-S3=wgEncodeAwgDnaseUwdukeHelas3UniPk.narrowPeak.gz \
        --dnase K562=wgEncodeAwgDnaseUwdukeK562UniPk.narrowPeak.gz \
        --conservative HeLa-S3.CTCF=ChIPseq.HeLa-S3.CTCF.conservative.train.narrowPeak.gz \
        --conservative K562.CTCF=ChIPseq.K562.CTCF.conservative.train.narrowPeak.gz \
        --relaxed HeLa-S3.CTCF=ChIPseq.HeLa-S3.CTCF.relaxed.narrowPeak.gz \
        --relaxed K562.CTCF=ChIPseq.K562.CTCF.relaxed.narrowPeak.gz \
        --conservative HeLa-S3.TAF1=ChIPseq.HeLa-S3.TAF1.conservative.train.narrowPeak.gz \
        --conservative K562.TAF1=ChIPseq.K562.TAF1.conservative.train.narrowPeak.gz \
        --relaxed HeLa-S3.TAF1=ChIPseq.HeLa-S3.TAF1.relaxed.narrowPeak.gz \
        --relaxed K562.TAF1=ChIPseq.K562.TAF1.relaxed.narrowPeak.gz \
        --cage A549=wgEncodeRikenCageA549CellPapAlnRep1.bam \
        --starts hg19.cage_peak_phase1and2combined_coord.bed.gz \
        --motifs JASPAR2024_CORE.meme -o examples/data
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
PAD = 1000
READS = ("chr21", 9_000_000, 30_000_000)  # zero-based, half-open
MOTIFS = ("MA0139.2", "MA1930.2", "MA0058.4", "MA0108.3")
LINE = 60
LINES_AT_ONCE = 100_000


def around(peaks: list[Path]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mark the bases of the interval, and those within a pad of any peak before it."""
    kept = np.zeros(SIZE, np.bool_)
    kept[START:END] = True
    for path in peaks:
        with gzip.open(path) as lines:
            for line in lines:
                contig, start, end, *_ = line.split(b"\t")
                if contig == CONTIG.encode() and int(end) <= START:
                    kept[max(int(start) - PAD, 0) : int(end) + PAD] = True
    return kept


def cut_fasta(source: Path, target: Path, peaks: list[Path]) -> None:
    """Write the contig as BGZF with its indices, every base that is not kept as N."""
    with pysam.FastaFile(str(source)) as fasta:
        bases = np.frombuffer(fasta.fetch(CONTIG, 0, SIZE).encode(), np.uint8)
    letters = np.where(around(peaks), bases, np.uint8(ord("N"))).tobytes()
    with pysam.BGZFile(str(target), "w9", None) as out:
        out.write(f">{CONTIG}\n".encode())
        for first in range(0, SIZE, LINE * LINES_AT_ONCE):
            block = letters[first : first + LINE * LINES_AT_ONCE]
            lines = [block[i : i + LINE] for i in range(0, len(block), LINE)]
            out.write(b"\n".join([*lines, b""]))
    pysam.faidx(str(target))


def cut_peaks(source: Path, target: Path, begin: int) -> None:
    """Keep the peaks that lie between a place and the interval's end, their columns unchanged."""
    kept = []
    with gzip.open(source) as lines:
        for line in lines:
            contig, start, end, *_ = line.split(b"\t")
            if contig == CONTIG.encode() and int(start) >= begin and int(end) <= END:
                kept.append(line)
    write_sorted(kept, target)


def write_sorted(kept: list[bytes], target: Path) -> None:
    """Write lines by their places, compressed."""
    kept.sort(key=lambda line: [int(field) for field in line.split(b"\t")[1:3]])
    # No name and no time in the header, so that the same peaks are the same bytes.
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.writelines(kept)


def cut_starts(source: Path, target: Path) -> None:
    """Keep the CAGE peaks of the interval as BED of 6 columns, with 0 for the score.

    The strand is the first field that is + or -: the fifth of a table, the sixth of BED.
    """
    kept = []
    with gzip.open(source) as lines:
        for line in lines:
            contig, start, end, name, *others = line.split()
            if contig != CONTIG.encode() or int(start) < START or int(end) > END:
                continue
            strand = next(field for field in others if field in (b"+", b"-"))
            kept.append(b"\t".join([contig, start, end, name, b"0", strand]) + b"\n")
    write_sorted(kept, target)


def paint(peaks: Path, target: Path, begin: int) -> None:
    """Write a bigWig of each peak's signalValue over its bases, the largest where peaks overlap."""
    track = np.zeros(END - begin, np.float32)
    with gzip.open(peaks) as lines:
        for line in lines:
            contig, start, end, *rest = line.split(b"\t")
            if contig == CONTIG.encode() and int(start) < END and int(end) > begin:
                covered = track[max(int(start) - begin, 0) : int(end) - begin]
                np.maximum(covered, np.float32(rest[3]), out=covered)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(track)) + 1, [len(track)]])
    values = track[edges[:-1]]
    shown = values > 0
    starts, ends = edges[:-1][shown] + begin, edges[1:][shown] + begin
    with pyBigWig.open(str(target), "w") as bigwig:
        bigwig.addHeader([(CONTIG, SIZE)])
        bigwig.addEntries(
            [CONTIG] * len(starts), starts.tolist(), ends=ends.tolist(), values=values[shown]
        )


def cut_reads(source: Path, target: Path) -> None:
    """Keep the reads that overlap an interval: flag, place, mapping quality and CIGAR."""
    with pysam.AlignmentFile(str(source)) as reads:
        contigs = zip(reads.references, reads.lengths, strict=True)
        header = {
            "HD": {"VN": "1.6", "SO": "coordinate"},
            "SQ": [{"SN": name, "LN": size} for name, size in contigs],
        }
        with pysam.AlignmentFile(str(target), "wb", header=header) as out:
            for number, read in enumerate(reads.fetch(*READS), 1):
                kept = pysam.AlignedSegment(out.header)
                kept.query_name = f"r{number}"
                kept.flag = read.flag
                kept.reference_id = read.reference_id
                kept.reference_start = read.reference_start
                kept.mapping_quality = read.mapping_quality
                kept.cigartuples = read.cigartuples
                out.write(kept)


def cut_motifs(source: Path, target: Path) -> None:
    """Keep some motifs and the header; headers of files that were joined are left out."""
    header, *motifs = source.read_text().split("MOTIF ")
    by_name = {motif.split()[0]: motif.partition("MEME version")[0].rstrip() for motif in motifs}
    kept = "".join(f"MOTIF {by_name[name]}\n\n" for name in MOTIFS)
    target.write_text(header + kept.rstrip() + "\n")


def named_file(text: str) -> tuple[str, Path]:
    """Read CELL=FILE or CELL.FACTOR=FILE."""
    name, _, path = text.partition("=")
    return name, Path(path)


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description="Cut the example data from public files.")
    parser.add_argument("--fasta", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--dnase", type=named_file, action="append", required=True, metavar="CELL=FILE"
    )
    for kind in ("conservative", "relaxed"):
        parser.add_argument(
            f"--{kind}", type=named_file, action="append", required=True, metavar="CELL.FACTOR=FILE"
        )
    parser.add_argument("--cage", type=named_file, required=True, metavar="CELL=BAM")
    parser.add_argument("--starts", type=Path, required=True, metavar="FILE")
    parser.add_argument("--motifs", type=Path, required=True, metavar="FILE")
    parser.add_argument("-o", dest="folder", type=Path, required=True, metavar="FOLDER")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    learnt = asked.dnase[0][0]
    begins = {cell: 0 if cell == learnt else START for cell, _ in asked.dnase}
    # A further factor adds its peaks to the data, but no bases.
    first = asked.relaxed[0][0].partition(".")[2]
    kept = {learnt, f"{learnt}.{first}"}
    peaks = [path for name, path in [*asked.dnase, *asked.relaxed] if name in kept]
    cut_fasta(asked.fasta, asked.folder / "hg19.chrX_cut.fa.gz", peaks)
    for cell, path in asked.dnase:
        cut_peaks(path, asked.folder / f"{cell}.dnase.narrowPeak.gz", begins[cell])
        paint(path, asked.folder / f"{cell}.dnase.bw", begins[cell])
    for kind in ("conservative", "relaxed"):
        for name, path in getattr(asked, kind):
            begin = begins[name.partition(".")[0]]
            cut_peaks(path, asked.folder / f"{name}.{kind}.narrowPeak.gz", begin)
    cell, path = asked.cage
    cut_reads(path, asked.folder / f"{cell}.cage.bam")
    cut_starts(asked.starts, asked.folder / "cage.bed.gz")
    cut_motifs(asked.motifs, asked.folder / "motifs.meme")


if __name__ == "__main__":
    main()
