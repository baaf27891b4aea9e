"""Bins with strands: read along them, tiled, scored and put on tracks."""

from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from conftest import Tfbind, ok, said
from sklearn.metrics import roc_auc_score

from tfbind.channels import Sources
from tfbind.classes import class_codes, without_words
from tfbind.contract import Geometry, Input, Tiles
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import IntervalReader, Intervals
from tfbind.strands import Once, has_strands, minus_of, told_strands
from tfbind.tilefiles import TileFile, write_tiles
from tfbind.tiles import BinCheck, Stretches, cut_tiles
from tfbind.tilesets import TileSet

SEQUENCE = Input("sequence", "sequence", "uint8")
BASES = "ACGTTGCAAGGCTTAACCATGGTACNAT"


def bins(path: Path, text: str) -> Intervals:
    path.write_text(text)
    with path.open("rb") as stream:
        (batch,) = IntervalReader(stream, path)
    return batch


def fasta(path: Path, bases: str = BASES) -> Path:
    path.write_text(f">c\n{bases}\n")
    return path


def test_strands_are_read(tmp_path: Path) -> None:
    batch = bins(tmp_path / "b", "c\t0\t4\t.\t0\t+\nc\t0\t4\t.\t0\t-\n")
    assert has_strands(batch, "b")
    assert minus_of(batch, "b").tolist() == [False, True]
    assert not has_strands(bins(tmp_path / "b", "c\t0\t4\tU\n"), "b")
    assert not has_strands(bins(tmp_path / "b", "c\t0\t4\tU\tU\tA\n"), "b")
    with pytest.raises(InputError, match=r"line 2: found '\.', expected [+] or - in column 6"):
        has_strands(bins(tmp_path / "b", "c\t0\t4\t.\t0\t+\nc\t0\t4\t.\t0\t.\n"), "b")
    with pytest.raises(InputError, match="line 1: found 7 columns, expected 6 where column 6"):
        has_strands(bins(tmp_path / "b", "c\t0\t4\t.\t0\t+\tx\n"), "b")


def test_a_bin_that_comes_twice_is_told(tmp_path: Path) -> None:
    places = ["c\t0\t4\t.\t0\t+", "c\t0\t4\t.\t0\t-", "d\t0\t4\t.\t0\t+", "c\t4\t8\t.\t0\t+"]
    once = Once()
    once.add(bins(tmp_path / "b", "".join(f"{one}\n" for one in places)), "b")
    once.end("b")
    once = Once()
    once.add(bins(tmp_path / "b", "".join(f"{one}\n" for one in (*places, places[1]))), "b")
    with pytest.raises(InputError, match="b: line 5: found a bin that came before"):
        once.end("b")


def test_strands_of_any_intervals_are_told(tmp_path: Path) -> None:
    def told(*symbols: str) -> list[bool] | None:
        text = "".join(f"c\t0\t4\tB\t0\t{symbol}\tx\n" for symbol in symbols)
        minus = told_strands(bins(tmp_path / "b", text), "b").minus
        return None if minus is None else minus.tolist()

    assert told("+", ".", "-") == [False, False, True]
    assert told("U", ".") is None
    with pytest.raises(InputError, match="b: line 2: found 'U' in column 6, expected"):
        told("-", "U")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c\t0\t4\n", "line 1: found 3 columns, expected [+] or - in column 6"),
        ("c\t0\t4\t.\t0\t+\nc\t0\t4\t.\t0\t.\n", "line 2: found '.', expected [+] or -"),
    ],
)
def test_no_strand_is_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        minus_of(bins(tmp_path / "b", text), "b")


def test_a_tile_of_the_reverse_strand_is_turned_round(tmp_path: Path) -> None:
    genome = Genome(fasta(tmp_path / "g.fa"))
    geometry = Geometry(window=8, size=4, stride=2)
    sources = Sources(genome)
    batch = bins(
        tmp_path / "b",
        "c\t4\t8\tsharp\t0\t-\nc\t6\t10\tbackground\t0\t-\nc\t4\t8\tbroad\t0\t+\n",
    )
    check = BinCheck(geometry, sources, "b", strands=True)
    stretches = Stretches(geometry, [SEQUENCE], sources)
    names = ("sharp", "broad")
    plus, minus = cut_tiles([check(batch)], stretches, geometry, 2, names, "b")
    assert (plus.minus, plus.start, minus.minus, minus.start) == (False, 4, True, 4)
    codes = ["ACGTN".index(base) for base in BASES]
    assert plus.inputs["sequence"].tolist() == codes[2:12]
    assert (
        minus.inputs["sequence"].tolist()
        == [(3 - one) % 5 if one < 4 else 4 for one in codes[2:12]][::-1]
    )
    # The bin that lies first along the contig comes last.
    assert minus.labels.tolist() == [[0, 2], [0, 0]]
    assert (plus.labels.tolist(), plus.weights.tolist()) == ([[0, 0], [2, 0]], [1, 0])

    path = tmp_path / "t.tiles"
    contents = Tiles(geometry, (SEQUENCE,), names, "", 2, stranded=True)
    with path.open("wb") as stream:
        write_tiles([plus, minus], contents, stream)
    file = TileFile(path)
    assert file.contents == contents
    assert file.minus.tolist() == [False, True]
    assert file.tile(1).minus
    assert file.tile(1).inputs["sequence"].tolist() == minus.inputs["sequence"].tolist()
    assert (TileSet([file]).bins, TileSet([file]).stranded) == (2, True)


def test_a_class_is_one_label_of_several(tmp_path: Path) -> None:
    words = ["sharp", "broad", "background", "ambiguous"]
    batch = bins(tmp_path / "b", "".join(f"c\t0\t4\t{word}\t0\t+\n" for word in words))
    assert class_codes(batch, ("sharp", "broad"), "b").tolist() == [[2, 0], [0, 2], [0, 0], [1, 1]]
    with pytest.raises(InputError, match="line 2: found 'broad' in column 4, expected a class"):
        class_codes(batch, ("sharp", "other"), "b")


def test_a_class_behind_bins_without_one_is_told(tmp_path: Path) -> None:
    dots = bins(tmp_path / "b", "c\t0\t4\t.\t0\t+\n" * 2)
    assert list(without_words([dots], "b")) == [dots]
    batch = bins(tmp_path / "b", "c\t0\t4\t.\t0\t+\nc\t0\t4\tsharp\t0\t+\n")
    with pytest.raises(InputError, match="b: line 2: found 'sharp' in column 4 behind bins with a"):
        list(without_words([dots, batch], "b"))


def test_bins_of_both_strands(tfbind: Tfbind, tmp_path: Path) -> None:
    sizes = tmp_path / "s.sizes"
    sizes.write_text("c\t10\n")
    grid = ("bin", sizes, "--size", "4", "--stride", "4", "--strand")
    plus, minus = b"c\t0\t4\t.\t0\t+\n", b"c\t0\t4\t.\t0\t-\n"
    later = (plus.replace(b"0\t4", b"4\t8"), minus.replace(b"0\t4", b"4\t8"))
    assert ok(tfbind(*grid, "both")) == plus + minus + b"".join(later)
    assert ok(tfbind(*grid, "-")) == minus + later[1]


@pytest.fixture(scope="module")
def start_sites(tfbind: Tfbind, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of start sites, trained for an epoch on the example data."""
    pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")
    folder = tmp_path_factory.mktemp("tss")
    genome, cage = data / "hg19.chrX_cut.fa.gz", data / "cage.bed.gz"
    lines = ok(
        tfbind("sample", "--cage", cage, "--fasta", genome, "--region", "chrX:38000001-54000000")
    )
    labelled = ok(tfbind("label", "--cage", cage, stdin=lines))
    (folder / "labelled.bed").write_bytes(labelled)
    tiles = folder / "tss.tiles"
    tiles.write_bytes(
        ok(
            tfbind(
                *("features", "--fasta", genome, "--window", "200", "--stride", "1"),
                stdin=labelled,
            )
        )
    )
    keras = folder / "tss.keras"
    ok(tfbind("train", tiles, "--arch", "tss", "--epochs", "2", "-o", keras, "-q"))
    ok(tfbind("export", keras, "-o", folder / "tss.onnx", "-q"))
    return folder


def scored(done: bytes) -> dict[tuple[int, str], list[float]]:
    rows = [line.split() for line in done.decode().splitlines() if not line.startswith("#")]
    return {(int(row[1]), row[5]): [float(one) for one in row[6:]] for row in rows}


def test_a_bin_of_the_reverse_strand_is_one_of_the_turned_genome(
    tfbind: Tfbind, data: Path, start_sites: Path, tmp_path: Path
) -> None:
    genome = Genome(data / "hg19.chrX_cut.fa.gz")
    bases = "".join("ACGTN"[one] for one in genome.codes("chrX", 48_000_000, 48_003_000))
    turned = bases[::-1].translate(str.maketrans("ACGT", "TGCA"))
    found = []
    for name, text in (("here", bases), ("there", turned)):
        path = fasta(tmp_path / f"{name}.fa", text)
        lines = ok(tfbind("bin", path, "--stride", "1", "--strand", "both"))
        model = start_sites / "tss.onnx"
        done = tfbind("score", model, "--fasta", path, "--format", "bed", stdin=lines)
        found.append(scored(ok(done)))
    here, there = found
    assert len(here) == 2 * 2801
    other = {"+": "-", "-": "+"}
    expected = [there[2800 - start, other[strand]] for start, strand in here]
    np.testing.assert_allclose(list(here.values()), expected, atol=1e-6)
    # Strands do differ.
    plus, minus = ([here[start, strand] for start in range(2801)] for strand in "+-")
    assert np.abs(np.array(plus) - np.array(minus)).max() > 0.01


def test_tracks_stand_on_the_central_base_of_each_strand(
    tfbind: Tfbind, data: Path, start_sites: Path, tmp_path: Path
) -> None:
    genome, model = data / "hg19.chrX_cut.fa.gz", start_sites / "tss.onnx"
    where = ("--region", "chrX:48000001-48000300", "--stride", "1")
    lines = ok(tfbind("bin", genome, *where, "--strand", "both"))
    score = ("score", model, "--fasta", genome)
    rows = scored(ok(tfbind(*score, "--format", "bed", stdin=lines)))
    ok(tfbind(*score, "-o", tmp_path / "t.{task}.{strand}.bw", stdin=lines))
    for strand, name, shift in (("+", "plus", 100), ("-", "minus", 99)):
        for column, task in enumerate(("background", "sharp", "broad")):
            with pyBigWig.open(str(tmp_path / f"t.{task}.{name}.bw")) as track:
                values = track.values("chrX", 48_000_000 + shift, 48_000_000 + shift + 101)
            expected = [rows[48_000_000 + i, strand][column] for i in range(101)]
            np.testing.assert_allclose(values, expected, rtol=1e-6)
    graph = ok(tfbind(*score, "-o", tmp_path / "t.{task}.{strand}.bedGraph", stdin=lines))
    assert graph == b""
    text = (tmp_path / "t.sharp.minus.bedGraph").read_text().splitlines()
    assert text[0].endswith("task=sharp\tstrand=-")
    assert text[1].split("\t")[:3] == ["chrX", "48000099", "48000100"]


def test_what_goes_wrong_with_strands_is_told(
    tfbind: Tfbind, data: Path, start_sites: Path, trained_plainly: Path, tmp_path: Path
) -> None:
    genome, model = data / "hg19.chrX_cut.fa.gz", start_sites / "tss.onnx"
    where = ("--region", "chrX:48000001-48000300", "--stride", "1")
    both = ok(tfbind("bin", genome, *where, "--strand", "both"))
    score = ("score", model, "--fasta", genome, "--task", "sharp")
    message = said(tfbind(*score, stdin=both))
    assert "line 2: found a bin of the other strand" in message
    message = said(tfbind(*score, stdin=ok(tfbind("bin", genome, *where))))
    assert "line 1: found 3 columns, expected + or - in column 6" in message
    message = said(tfbind("export", start_sites / "tss.keras", "--both-strands", "-o", "x.onnx"))
    assert "--both-strands has no meaning" in message
    tiles = start_sites / "tss.tiles"
    alone = ("train", tiles, "--arch", "tss", "--tasks", "sharp", "--epochs", "1")
    done = tfbind(*alone, "-o", tmp_path / "x.keras")
    ok(done)
    assert "leaves out broad: bins of that class count as background" in done.stderr.decode()
    message = said(tfbind("train", tiles, trained_plainly, "--arch", "tss", "-o", "x.keras"))
    assert "holds bins with no strands, but" in message


@pytest.fixture(scope="module")
def trained_plainly(tfbind: Tfbind, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles of bins without strands, of the geometry of start sites."""
    path = tmp_path_factory.mktemp("plain") / "plain.tiles"
    lines = "".join(f"chrX\t{start}\t{start + 200}\tU\n" for start in range(48_000_000, 48_000_100))
    options = ("--fasta", data / "hg19.chrX_cut.fa.gz", "--window", "200", "--stride", "1")
    path.write_bytes(ok(tfbind("features", *options, "--names", "sharp", stdin=lines)))
    return path


def test_classes_are_measured(
    tfbind: Tfbind, data: Path, start_sites: Path, tmp_path: Path
) -> None:
    genome, model = data / "hg19.chrX_cut.fa.gz", start_sites / "tss.onnx"
    labelled = start_sites / "labelled.bed"
    lines = ok(tfbind("score", model, labelled, "--fasta", genome, "--format", "bed"))
    picture = tmp_path / "c.png"
    evaluate = ("evaluate", "--classes", "background,sharp,broad")
    told = ok(tfbind(*evaluate, "--plot", picture, stdin=lines)).decode()
    values = {tuple(line.split("\t")[:2]): float(line.split("\t")[2]) for line in told.splitlines()}
    rows = [line.split("\t") for line in lines.decode().splitlines() if not line.startswith("#")]
    truth = [row[3] for row in rows]
    names = ["background", "sharp", "broad"]
    highest = [names[int(np.argmax([float(one) for one in row[6:]]))] for row in rows]
    for name in names:
        assert values[name, "bins"] == truth.count(name)
        for other in names:
            pairs = list(zip(truth, highest, strict=True))
            assert values[name, f"scored_as_{other}"] == pairs.count((name, other))
    sharp = [float(row[7]) for row in rows]
    area = roc_auc_score([one == "sharp" for one in truth], sharp)
    assert values["sharp", "auroc"] == pytest.approx(area, abs=1e-6)
    assert picture.read_bytes().startswith(b"\x89PNG")
    # Columns are found by their names, whatever the order that they are asked for in.
    turned = ok(tfbind("evaluate", "--classes", "broad,background,sharp", stdin=lines)).decode()
    assert sorted(turned.splitlines()) == sorted(told.splitlines())
    message = said(tfbind(*evaluate[:2], "background,sharp", stdin=lines))
    assert "found 'broad' in column 4" in message


def test_each_class_is_explained_by_its_own_output(
    tfbind: Tfbind, data: Path, start_sites: Path, tmp_path: Path
) -> None:
    network, genome = start_sites / "tss.keras", data / "hg19.chrX_cut.fa.gz"
    lines = (start_sites / "labelled.bed").read_text().splitlines(keepends=True)
    command = ("explain", "average", network, "--fasta", genome)
    done = tfbind(*command, "--groups", "broad,sharp", stdin="".join(lines))
    told = done.stderr.decode()
    given = ("--fasta", genome, "--frequencies", told.split("--frequencies ")[1].split()[0])
    rows = [line.split("\t") for line in ok(done).decode().splitlines()[2:]]
    found = {
        (group, task): np.array([float(row[4]) for row in rows if row[0] == group])
        for group, task in dict.fromkeys((row[0], row[1]) for row in rows)
    }
    assert list(found) == [("broad", "broad"), ("sharp", "sharp")]
    for (group, task), means in found.items():
        some = "".join(line for line in lines if line.split("\t")[3] == group)
        path = tmp_path / f"{group}.npz"
        ok(tfbind("explain", "attribute", network, *given, "--task", task, "-o", path, stdin=some))
        with np.load(path) as file:
            alone = file["contributions.sequence"]
        np.testing.assert_allclose(means, alone.mean(axis=0), atol=1e-5)
    both = "".join(lines[:1]) + "".join(lines[:1]).replace("\t+\n", "\t-\n")
    rows_path = tmp_path / "mutated.npz"
    mutated = ("explain", "attribute", network, "--fasta", genome, "--method", "mutagenesis")
    ok(tfbind(*mutated, "--task", "sharp", "-o", rows_path, stdin=both))
    with np.load(rows_path) as file:
        assert file["strand"].tolist() == [line.split()[5] for line in both.splitlines()]
    unclear = lines[0].replace("background", "ambiguous")
    message = said(tfbind(*command, *given[2:], stdin=unclear))
    assert "'ambiguous' in column 4, which is none of the outputs background, sharp" in message
