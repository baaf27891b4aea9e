"""CAGE peaks: read, labelled, and windows laid around and far from them."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Tfbind, ok, said

from tfbind.cage import WORDS, CageLabeller, CagePeaks, read_cage, window_starts
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import IntervalReader, Intervals
from tfbind.regions import Region
from tfbind.sites import Ground
from tfbind.strands import stranded

PEAKS = "c\t100\t111\tp1\t0\t+\nc\t300\t340\tp2\t0\t-\nd\t50\t51\tp3\t0\t+\n"


def peaks(path: Path, text: str = PEAKS) -> CagePeaks:
    path.write_text(text)
    with path.open("rb") as stream:
        return read_cage(stream, path)


def windows(path: Path, text: str) -> Intervals:
    path.write_text(text)
    with path.open("rb") as stream:
        (batch,) = IntervalReader(stream, path)
    return stranded(batch, path)


def genome(path: Path, **contigs: str) -> Genome:
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    return Genome(path)


def test_peaks_are_read(tmp_path: Path) -> None:
    found = peaks(tmp_path / "p")
    assert found.centres.tolist() == [105, 319, 50]  # base width // 2 along the strand
    assert found.kinds.tolist() == [0, 1, 0]  # 11 bp is the most of a sharp one
    assert found.minus.tolist() == [False, True, False]
    table = "#chrom\tstart\tend\tid\tstrand\tTPM\nc\t100\t112\tp\t-\t1.5\n"
    named = peaks(tmp_path / "t", table)
    assert (named.minus.tolist(), named.kinds.tolist()) == ([True], [1])
    with pytest.raises(
        InputError, match=r"line 1: found '1\.5', expected [+] or - in column 6, the"
    ):
        peaks(tmp_path / "t", table.splitlines()[1] + "\n")
    with pytest.raises(InputError, match="holds no peak"):
        peaks(tmp_path / "t", "#nothing\n")


def test_a_turned_genome_has_turned_centres(tmp_path: Path) -> None:
    spans = [(100, 111), (300, 340), (500, 502), (700, 701)]
    here = "".join(f"c\t{start}\t{end}\tp\t0\t+\n" for start, end in spans)
    there = "".join(f"c\t{1000 - end}\t{1000 - start}\tp\t0\t-\n" for start, end in spans)
    centres = peaks(tmp_path / "h", here).centres
    assert peaks(tmp_path / "t", there).centres.tolist() == (999 - centres).tolist()


@pytest.mark.parametrize("size", [200, 201, 4])
def test_a_site_has_the_same_bases_before_it_on_both_strands(size: int) -> None:
    plus, minus = window_starts(np.array([1000, 1000]), np.array([False, True]), size).tolist()
    assert 1000 - plus == size // 2
    assert minus + size - 1 - 1000 == size // 2


def test_windows_are_labelled(tmp_path: Path) -> None:
    labeller = CageLabeller(peaks(tmp_path / "p"), away=20)
    rows = [
        (95, 115, "+", "sharp"),  # base 105
        (95, 115, "-", "ambiguous"),  # base 104, and another strand
        (96, 116, "-", "ambiguous"),  # base 105 of the other strand
        (310, 330, "-", "broad"),  # base 319
        (311, 331, "-", "ambiguous"),
        (349, 369, "+", "ambiguous"),  # base 359, 20 bp behind the last of the peak
        (350, 370, "+", "background"),
        (70, 90, "+", "ambiguous"),  # base 80
        (69, 89, "+", "background"),
    ]
    text = "".join(f"c\t{start}\t{end}\t.\t0\t{strand}\n" for start, end, strand, _ in rows)
    text += "other\t100\t120\t.\t0\t+\n"
    codes = labeller.label(windows(tmp_path / "w", text))
    assert [WORDS[code] for code in codes] == [*(row[3] for row in rows), "background"]


def test_peaks_with_one_middle_have_one_window(tmp_path: Path) -> None:
    # The first three share base 105: two are sharp, one is broad; the last is on the other strand.
    places = [(100, 111, "+"), (102, 109, "+"), (90, 121, "+"), (100, 111, "-")]
    text = "".join(f"c\t{start}\t{end}\tp\t0\t{strand}\n" for start, end, strand in places)
    known = peaks(tmp_path / "p", text)
    sites, rows = Ground(genome(tmp_path / "g.fa", c="ACGT" * 200), 40).around(known)
    assert (rows.tolist(), sites.starts.tolist()) == ([0, 3], [85, 86])
    labeller = CageLabeller(known)
    batch = windows(tmp_path / "w", "c\t85\t125\t.\t0\t+\nc\t86\t126\t.\t0\t-\n")
    assert [WORDS[code] for code in labeller.label(batch)] == ["ambiguous", "sharp"]


def test_windows_lie_around_peaks_inside_regions(tmp_path: Path) -> None:
    found = genome(tmp_path / "g.fa", c="ACGT" * 200, d="ACGT" * 100)
    known = peaks(tmp_path / "p")
    sites, rows = Ground(found, 40, None).around(known)
    assert rows.tolist() == [0, 1, 2]
    assert sites.starts.tolist() == [85, 300, 30]
    _, rows = Ground(found, 40, [Region("c", 85, 341), Region("d", 31, 400)]).around(known)
    assert rows.tolist() == [0, 1]
    _, rows = Ground(found, 40, [Region("c", 86, 339)]).around(known)
    assert rows.tolist() == []
    with pytest.raises(InputError, match="line 1: found a peak whose window of 300 bp"):
        Ground(found, 300, None).around(known)


def test_background_is_uniform_and_far_from_peaks(tmp_path: Path) -> None:
    found = genome(tmp_path / "g.fa", c="ACGT" * 200, d="N" * 100 + "ACGT" * 75)
    known = peaks(tmp_path / "p")
    ground = Ground(found, 10, None)
    # Every place that there is, 20 bp or more from the peaks and with a whole known window.
    allowed = {base for base in range(5, 795) if not (80 <= base < 131 or 280 <= base < 360)}
    allowed_d = set(range(104, 395))  # 104 on the reverse strand alone
    count = 2 * (len(allowed) + len(allowed_d)) - 1
    drawn = ground.background(known, count, 20, seed=1)
    centres = drawn.starts + np.where(drawn.minus, 4, 5)
    for code, bases in enumerate((allowed, allowed_d)):
        assert set(centres[drawn.contigs == code].tolist()) <= bases
    places = set(zip(drawn.contigs.tolist(), centres.tolist(), drawn.minus.tolist(), strict=True))
    assert len(places) == len(drawn) == count
    few = f"has {count:,} places 20 bp or more from any peak whose window is known, expected "
    with pytest.raises(InputError, match=f"{few}{count + 1:,};"):
        ground.background(known, count + 1, 20, seed=1)
    with pytest.raises(InputError, match=f"{few}10,000; ask for a smaller --background"):
        ground.background(known, 10_000, 20, seed=1)
    again = [ground.background(known, 300, 20, seed=seed) for seed in (1, 1, 2)]
    assert again[0].starts.tolist() == again[1].starts.tolist() != again[2].starts.tolist()
    assert 0.4 < again[0].minus.mean() < 0.6
    share = (again[0].contigs == 0).mean()
    assert share == pytest.approx(len(allowed) / (len(allowed) + len(allowed_d)), abs=0.1)


def test_sample_and_label_agree(tfbind: Tfbind, data: Path) -> None:
    cage, fasta = data / "cage.bed.gz", data / "hg19.chrX_cut.fa.gz"
    where = ("--fasta", fasta, "--region", "chrX:46000001-50000000")
    done = tfbind("sample", "--cage", cage, *where, "--seed", "3")
    lines = ok(done)
    assert lines == ok(tfbind("sample", "--cage", cage, *where, "--seed", "3"))
    labelled = ok(tfbind("label", "--cage", cage, stdin=lines)).decode().splitlines()
    words = [line.split("\t")[3] for line in labelled]
    sites = words.count("sharp") + words.count("broad")
    assert f"{words.count('sharp'):,} sharp, {words.count('broad'):,} broad" in done.stderr.decode()
    assert words.count("background") == 9 * sites > 1000
    assert "ambiguous" not in words
    places = [(int(line.split("\t")[1]), line.split("\t")[5]) for line in labelled]
    assert places == sorted(places)


def test_odd_requests_are_told(tfbind: Tfbind, data: Path, tmp_path: Path) -> None:
    cage, fasta = data / "cage.bed.gz", data / "hg19.chrX_cut.fa.gz"
    assert "--size goes with --cage" in said(tfbind("sample", "--size", "200", stdin=""), 2)
    message = said(tfbind("sample", "--cage", cage, "--hard", "m.onnx", "--fasta", fasta), 2)
    assert "--hard is nothing to --cage, which lays its own windows" in message
    assert "no genome" in said(tfbind("sample", "--cage", cage), 2)
    message = said(tfbind("label", "--cage", cage, "--conservative", cage, stdin=""), 2)
    assert "--cage goes without --conservative" in message
    assert "give that too" in said(tfbind("label", "--away", "10", stdin=""), 2)
    message = said(tfbind("label", "--cage", cage, stdin="chrX\t1\t201\n"))
    assert "line 1: found 3 columns, expected + or - in column 6" in message
    other = tmp_path / "other.bed"
    other.write_text("chrX\t100\t300\t.\t0\t+\nchrY\t100\t300\t.\t0\t+\n")
    message = said(tfbind("sample", "--cage", other, "--fasta", fasta))
    assert "chrY" in message
