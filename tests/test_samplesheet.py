"""Sheets of samples: the same tiles as by the pipe, and what is said of a sheet that is wrong."""

import gzip
import io
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Tfbind, ok

from tfbind.celltiles import Share
from tfbind.cli.samples import SheetOptions, _name, paths_of_tiles
from tfbind.contract import NAME
from tfbind.errors import InputError
from tfbind.samplesheet import CellType, SampleSheet, read_sheet
from tfbind.tilefiles import TileFile

REGION = "chrX:48000001-49000000"
HEADER = "cell\tfactor\tpeaks\trelaxed\taccessible\tsignal"


def sheet_of(folder: Path, text: str) -> SampleSheet:
    for name in ("a.bed", "b.bed", "c.bw"):
        (folder / name).touch()
    path = folder / "samples.tsv"
    return read_sheet(io.BytesIO(text.encode()), str(path))


def refusal(folder: Path, text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        sheet_of(folder, text)
    assert caught.value.path == str(folder / "samples.tsv")
    return caught.value


def test_lines_of_a_cell_are_joined(tmp_path: Path) -> None:
    text = (
        "\ufeff# ours\r\nfactor\tcell\tpeaks\taccessible\tsignal\r\n\r\n"
        "CTCF\tK562\ta.bed\t.\tc.bw\r\nMAX\tHeLa\tb.bed\t\tc.bw\r\nMAX\tK562\tb.bed\ta.bed\t"
    )
    sheet = sheet_of(tmp_path, text)
    first, second = sheet.cells
    assert (first.name, second.name) == ("K562", "HeLa")
    assert [(one.factor, one.line) for one in first.experiments] == [("CTCF", 4), ("MAX", 6)]
    assert first.experiments[1].peaks == str(tmp_path / "b.bed")
    assert (first.accessible, second.accessible) == (str(tmp_path / "a.bed"), "")
    assert first.signals == {"signal": str(tmp_path / "c.bw")}
    assert first.lines == {"cell": 4, "signal": 4, "accessible": 6}


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "cell\tfactor\tsignals\nK\tA\tc.bw", "the column 'signals', expected a header"),
        (1, "cell\tpeaks\nK\ta.bed", "lacks the column factor"),
        (1, "cell\tfactor\nK\tA", "lacks the column peaks"),
        (1, "cell\tcell\tfactor\tpeaks\n", "two columns 'cell'"),
        (2, "cell\tfactor\tpeaks\nK\tA", "found 2 columns, expected 3"),
        (2, "cell\tfactor\tpeaks\nK\tA B\ta.bed", "column factor: found 'A B', expected a name"),
        (2, "cell\tfactor\tpeaks\n../K/x\tA\ta.bed", "column cell: found '../K/x'"),
        (2, "cell\tfactor\tpeaks\nK\tA\tno.bed", "column peaks: .*no.bed is not there"),
        (2, "cell\tfactor\tpeaks\nK\tA\t..", "column peaks: .* is a folder"),
        (2, "cell\tfactor\tpeaks\nK\tA\t.", "columns labels and peaks: found no file in either"),
        (2, "cell\tfactor\tpeaks\tlabels\nK\tA\ta.bed\tb.bed", "found files in both"),
        (
            2,
            "cell\tfactor\tlabels\trelaxed\nK\tA\ta.bed\tb.bed",
            "column relaxed: .* beside labels",
        ),
        (3, "cell\tfactor\tpeaks\nK\tA\ta.bed\nK\tA\tb.bed", "A in K again, which line 2 has"),
        (
            3,
            "cell\tfactor\tpeaks\tsignal\nK\tA\ta.bed\tc.bw\nK\tB\ta.bed\tx=c.bw",
            "column signal: found x=c.bw, but line 2 says c.bw of K",
        ),
        (2, "cell\tfactor\tpeaks\tsignal\nK\tA\ta.bed\tx=c.bw,x=c.bw", "two signals of that name"),
        (
            3,
            "cell\tfactor\tpeaks\tsignal\nK\tA\ta.bed\tx=c.bw\nL\tA\ta.bed\ty=c.bw",
            "column signal: L has y, but K x; expected signals of the same names",
        ),
        (
            3,
            "cell\tfactor\tpeaks\texpression\nK\tA\ta.bed\ta.bed\nL\tA\ta.bed\tb.bed",
            "column expression: .* expected one table",
        ),
    ],
)
def test_what_is_wrong_is_told_with_line_and_column(
    line: int, text: str, message: str, tmp_path: Path
) -> None:
    error = refusal(tmp_path, text)
    assert error.line == line
    with pytest.raises(InputError, match=message):
        raise error


@pytest.mark.parametrize("text", ["", "# nothing\n", HEADER + "\n"])
def test_a_sheet_of_nothing_is_refused(text: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, text).message.startswith(("is empty", "found no line"))


@pytest.fixture(scope="module")
def sheet(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a sheet of two cell types, of which one has CTCF alone."""
    lines = [HEADER]
    for cell, factors in (("HeLa-S3", ("CTCF", "TAF1")), ("K562", ("CTCF",))):
        for factor in factors:
            peaks = [
                f"{cell}.{factor}.{kind}.narrowPeak.gz" for kind in ("conservative", "relaxed")
            ]
            fields = [cell, factor, *peaks, f"{cell}.dnase.narrowPeak.gz", f"dnase={cell}.dnase.bw"]
            lines.append("\t".join(fields))
    folder = tmp_path_factory.mktemp("sheet")
    for file in data.iterdir():
        (folder / file.name).symlink_to(file)
    path = folder / "samples.tsv"
    path.write_text("\n".join(lines))
    return path


def made(sheet: Path, folder: Path, *, force: bool = False, **options: Any) -> None:
    fasta = str(sheet.parent / "hg19.chrX_cut.fa.gz")
    given = {"region": [REGION], "background": 500} | options
    wanted = SheetOptions(str(sheet), str(folder), fasta, **given)
    with ExitStack() as stack:
        paths_of_tiles([], wanted, 1, stack, force=force, quiet=False)


def test_training_makes_the_tiles_of_the_pipe(
    tfbind: Tfbind, data: Path, sheet: Path, tmp_path: Path
) -> None:
    config, fasta = tmp_path / "tiny.toml", data / "hg19.chrX_cut.fa.gz"
    config.write_text("[network]\nfilters = 2\ndense = 2\njoint = 2\n")
    args: list[str | Path] = [
        "--samples",
        sheet,
        "--tiles",
        tmp_path,
        "--background",
        "500",
        "--region",
        REGION,
    ]
    more: list[str | Path] = [
        "--validate",
        "chrX:48000001-48500000",
        "--epochs",
        "1",
        "--config",
        config,
    ]
    done = tfbind(
        "train", *args, *more, "-o", tmp_path / "a.keras", env={"TFBIND_FASTA": str(fasta)}
    )
    ok(done)
    assert b"tfbind: training: " in done.stderr
    for cell, factors in (("HeLa-S3", ("CTCF", "TAF1")), ("K562", ("CTCF",))):
        experiments = []
        for factor in factors:
            kinds = ("conservative", "relaxed")
            peaks = [str(data / f"{cell}.{factor}.{kind}.narrowPeak.gz") for kind in kinds]
            experiments += ["--experiment", f"{factor}={','.join(peaks)}"]
        bins = ok(tfbind("bin", fasta, "--region", REGION))
        labels = ok(tfbind("label", *experiments, stdin=bins))
        sampling: list[str | Path] = [
            "--accessible",
            data / f"{cell}.dnase.narrowPeak.gz",
            "--background",
            "500",
        ]
        chosen = ok(tfbind("sample", *sampling, "--seed", "1", stdin=labels))
        signal = f"dnase={data / f'{cell}.dnase.bw'}"
        features: list[str | Path] = ["--fasta", fasta, "--signal", signal, "--cell", cell]
        tiles = ok(tfbind("features", *features, stdin=chosen))
        assert (tmp_path / f"{cell}.tiles").read_bytes() == tiles


def test_tiles_are_made_once(
    sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(sheet, tmp_path)
    assert capsys.readouterr().err.startswith("tfbind: HeLa-S3: ")
    first = (tmp_path / "K562.tiles").read_bytes()
    (tmp_path / "K562.tiles").unlink()  # as a run that was killed leaves them
    made(sheet, tmp_path)
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].endswith("HeLa-S3.tiles: made before")
    assert shown[1].startswith("tfbind: K562: ")
    assert (tmp_path / "K562.tiles").read_bytes() == first
    with pytest.raises(InputError, match="with another --background; give another folder"):
        made(sheet, tmp_path, background=400)
    (tmp_path / "GM12878.tiles").write_bytes(b"another's")
    made(sheet, tmp_path, background=400, force=True)
    told = capsys.readouterr().err
    assert "made before" not in told
    assert told.count(": removed, of another plan") == 2
    assert (tmp_path / "GM12878.tiles").read_bytes() == b"another's"
    (tmp_path / "samples.json").unlink()
    with pytest.raises(InputError, match=r"holds HeLa-S3\.tiles, of which nothing says"):
        made(sheet, tmp_path, background=400, force=True)


def test_held_out_and_excluded_bins_are_left_out(sheet: Path, tmp_path: Path) -> None:
    (tmp_path / "no.bed").write_text("chrX\t48900000\t49000000\n")
    exclude, holdout = str(tmp_path / "no.bed"), ["chrX:48000001-48500000"]
    made(sheet, tmp_path / "tiles", exclude=exclude, holdout=holdout, background=0)
    file = TileFile(tmp_path / "tiles" / "HeLa-S3.tiles")
    assert 48_500_000 <= file.starts.min() < file.starts.max() < 48_900_000


def test_labels_stand_in_for_peaks(sheet: Path, labelled: bytes, tmp_path: Path) -> None:
    """Bins come with their labels; a column is found by its name, and regions still hold."""
    folder = sheet.parent
    with gzip.open(folder / "labels.bed.gz", "wb") as stream:
        stream.write(labelled)
    lines = [
        "cell\tfactor\tlabels\tpeaks\taccessible\tsignal",
        "K562\tK562\tlabels.bed.gz\t.\tK562.dnase.narrowPeak.gz\tdnase=K562.dnase.bw",
        "K562\tTAF1\t.\tK562.TAF1.conservative.narrowPeak.gz\t.\t.",
    ]
    path = folder / "labels.tsv"
    path.write_text("\n".join(lines))
    made(path, tmp_path)
    first, second = (TileFile(tmp_path / name) for name in ("K562.tiles", "K562~2.tiles"))
    assert (first.contents.experiments, second.contents.experiments) == (("K562",), ("TAF1",))
    assert 48_000_000 <= first.starts.min() < first.starts.max() < 49_000_000
    header, *bins = (line.split("\t") for line in labelled.decode().splitlines())
    column = header.index("K562")
    bound = sum(one[column] == "B" for one in bins if int(one[2]) <= 49_000_000)
    assert first.counts["bound"]["K562"] == bound > 0
    path.write_text("\n".join(lines).replace("K562\tK562\t", "K562\tMAX\t"))
    with pytest.raises(InputError, match="with MAX among them") as caught:
        made(path, tmp_path / "other")
    assert (caught.value.path, caught.value.line) == (str(path), 2)
    assert [one.name for one in (tmp_path / "other").iterdir()] == ["samples.json"]


def test_files_of_cells_and_their_shares_never_share_a_name() -> None:
    found = {
        _name(Share(CellType(cell, (), "", {}, {}), "", ()), number)
        for cell in ("K562", "K562.2", "K562.2.2", "K562-2", "K562+2")
        for number in range(3)
    }
    assert len(found) == 15
    assert not any(NAME.fullmatch(name.removesuffix(".tiles")) for name in found if "~" in name)


def of_labels(sheet: Path, name: str, labels: bytes) -> Path:
    """Write a sheet of one line, with these labels of K562's CTCF."""
    (sheet.parent / f"{name}.bed").write_bytes(labels)
    path = sheet.parent / f"{name}.tsv"
    fields = ["K562", "CTCF", f"{name}.bed", "bad.accessible", "dnase=K562.dnase.bw"]
    header = ["cell", "factor", "labels", "accessible", "signal"]
    (sheet.parent / "bad.accessible").write_text("chrX\t10\t5\n")
    path.write_text("\t".join(header) + "\n" + "\t".join(fields))
    return path


BIN = b"chrX\t48000000\t48000200\tB\n"


def test_labels_of_another_factor_are_refused(sheet: Path, tmp_path: Path) -> None:
    path = of_labels(sheet, "max", b"#contig\tstart\tend\tMAX\n" + BIN)
    path.write_text(path.read_text().replace("bad.accessible", "."))
    with pytest.raises(InputError, match=r"named MAX, expected .* CTCF among them"):
        made(path, tmp_path)


def test_labels_elsewhere_need_no_signal_and_no_genome(sheet: Path, tmp_path: Path) -> None:
    elsewhere = b"chr1\t100\t300\tB\nchrUn\t0\t200\tU\n"
    path = of_labels(sheet, "some", b"#contig\tstart\tend\tlabel\n" + elsewhere + BIN)
    path.write_text(path.read_text().replace("bad.accessible", "."))
    made(path, tmp_path)
    assert TileFile(tmp_path / "K562.tiles").counts["bins"] == 1


def test_a_bad_file_beside_labels_is_told_by_its_own_column(sheet: Path, tmp_path: Path) -> None:
    path = of_labels(sheet, "beside", BIN)
    with pytest.raises(InputError) as caught:
        made(path, tmp_path)
    assert str(caught.value).startswith(f"{path}: line 2: column accessible: ")
    assert "column labels" not in str(caught.value)


def test_options_of_a_sheet_need_a_sheet() -> None:
    with pytest.raises(typer.BadParameter, match="--background without --samples"):
        SheetOptions(None, background=5).refuse_without(["a.tiles"], matching=False)
    with pytest.raises(typer.BadParameter, match="--tiles without --samples"):
        SheetOptions(None, "folder").refuse_without(["a.tiles"], matching=False)
    with pytest.raises(typer.BadParameter, match="give TILES or --samples"):
        SheetOptions(None).refuse_without([], matching=False)
    with pytest.raises(typer.BadParameter, match="no genome"):
        SheetOptions("sheet.tsv").refuse_without([], matching=False)
    SheetOptions(None, fasta="of the environment").refuse_without(["a.tiles"], matching=False)
    with pytest.raises(typer.BadParameter, match="--alias without --samples"):
        SheetOptions(None, alias="names").refuse_without(["a.tiles"], matching=False)
    # A signal to begin with has contigs to match, too.
    SheetOptions(None, alias="names").refuse_without(["a.tiles"], matching=True)


def test_a_damaged_file_is_told_with_its_place_in_the_sheet(sheet: Path, tmp_path: Path) -> None:
    (sheet.parent / "bad.bed").write_text("chrX\t10\t5\n")
    path = sheet.parent / "bad.tsv"
    path.write_text("cell\tfactor\tpeaks\nK\tA\tbad.bed\n")
    with pytest.raises(InputError) as caught:
        made(path, tmp_path)
    assert f"bad.tsv: line 2: column peaks: {sheet.parent}/bad.bed: line 1: found end 5" in str(
        caught.value
    )
