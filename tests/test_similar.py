"""Which cell types are most alike: correlations by hand, and `tfbind similar` on real tracks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
import typer
from conftest import Tfbind, ok, said

from tfbind.cells import CellTable
from tfbind.cli.similar import most_alike, refuse_unlike
from tfbind.errors import InputError
from tfbind.signal import Signal
from tfbind.similarity import BIN, CellTrack, SignalTrack, TileTrack, ranked_cells
from tfbind.tilefiles import TileFile

BINS = 400


class Known(CellTrack):
    """A track of known means."""

    whole = True

    def __init__(self, cell: str, means: Mapping[str, np.ndarray], more: int = 0) -> None:
        self.cell = self.path = cell
        self.values = means
        self.sizes = {name: len(values) * BIN + more for name, values in means.items()}

    def means(self, contig: str, bins: np.ndarray) -> np.ndarray:
        return np.asarray(self.values[contig][bins])


def known(cell: str, noise: float, more: int = 0, contig: str = "chr1") -> Known:
    """Give a tenth of the bins values that others have too, and noise."""
    heights = np.random.default_rng(1).random(BINS) * (np.arange(BINS) % 10 == 0)
    own = np.random.default_rng(ord(cell[0])).random(BINS) * (heights > 0)
    return Known(cell, {contig: (1 - noise) * heights + noise * own}, more)


def test_the_more_noise_the_less_alike() -> None:
    heights = np.random.default_rng(1).random(2000) * (np.arange(2000) % 10 == 0)
    random = np.random.default_rng(2)
    tracks = [
        Known(cell, {"chr1": heights * random.uniform(1 - noise, 1, 2000) ** 3})
        for cell, noise in (("target", 0.0), ("far", 0.9), ("near", 0.3))
    ]
    found, bins = ranked_cells(tracks[0], tracks[1:])
    assert [one.cell for one in found] == ["near", "far"]
    assert bins == np.count_nonzero(heights)
    assert 0.2 < found[1].signal < 0.9 < found[0].signal < 1
    assert [one.combined for one in found] == [one.signal for one in found]


def test_ranks_do_not_feel_the_scale_and_ties_share_theirs() -> None:
    def opened(*pattern: float) -> dict[str, np.ndarray]:
        return {"1": np.concatenate([np.tile(pattern, 50), np.zeros(1800)])}

    steps = opened(1, 2, 3, 4)
    exponents = {"1": np.expm1(steps["1"])}
    assert ranked_cells(Known("a", steps), [Known("b", exponents)])[0][0].signal == pytest.approx(1)
    found, bins = ranked_cells(Known("a", opened(1, 1, 2, 2)), [Known("b", steps)])
    assert bins == 200
    # Ranks 1.5 1.5 3.5 3.5 against 1 2 3 4.
    assert found[0].signal == pytest.approx(4 / np.sqrt(4 * 5))


def test_a_large_genome_is_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfbind.similarity.STRETCHES", 3)
    monkeypatch.setattr("tfbind.similarity.FEWEST", 10)
    random = np.random.default_rng(4)
    values = {name: random.random(1050) for name in ("chr1", "chr2")}
    noisy = {name: some + random.random(1050) for name, some in values.items()}
    tracks = Known("a", values, more=500), Known("b", noisy, more=500)
    read: list[float] = []
    results = [
        ranked_cells(*tracks[:1], tracks[1:], seed=n, advance=read.append) for n in (1, 1, 2)
    ]
    assert results[0] == results[1] != results[2]
    # Of both tracks; the last of the 11 stretches of a contig has 50 bins.
    assert 2 * 3 * (100 + 50) < sum(read) <= 3 * 2 * 300


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([known("b", 0.1, 5)], "b: ends chr1 at 400,005, but a at 400,000: are both of one"),
        ([known("b", 0.1, contig="1")], "b: has values on 1, but a on chr1, and no contig"),
        ([known("b", 0.1), known("b", 0.2)], "found two tracks of the cell type 'b'"),
        ([Known("b", {"chr1": np.zeros(BINS)})], "a: found 40 bins of 1000 bp"),
    ],
)
def test_tracks_that_cannot_be_compared(others: list[CellTrack], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ranked_cells(known("a", 0), others)


def test_an_alias_finds_a_contig() -> None:
    values = np.random.default_rng(1).random(2000)
    target, other = Known("a", {"chr1": values}), Known("b", {"1": values})
    assert ranked_cells(target, [other], prefix="strip")[0][0].signal == pytest.approx(1)
    assert ranked_cells(target, [other], alias={"chr1": "1"})[1] == 200


def test_expression_is_standardised_over_the_table() -> None:
    rows = {"a": (1.0, 100.0, 3.0), "b": (2.0, 100.0, 1.0), "c": (0.0, 100.0, 5.0)}
    table = CellTable("t.tsv", ("x", "y", "z"), rows)
    values = np.random.default_rng(1).random(2000)
    tracks = [Known(cell, {"1": values}) for cell in "abc"]
    with pytest.raises(InputError, match="has 2 values that differ"):
        ranked_cells(tracks[0], tracks[1:], table)  # a is the mean of the others
    rows["d"] = (5.0, 100.0, 4.0)
    found, _ = ranked_cells(tracks[0], tracks[1:], table)
    columns = np.array(list(rows.values()))[:, [0, 2]]
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    for one in found:
        expected = np.corrcoef(scaled[0], scaled["abcd".index(one.cell)])[0, 1]
        assert one.expression == pytest.approx(expected)
        assert one.combined == pytest.approx((1 + expected) / 2)
    with pytest.raises(InputError, match=r"^t\.tsv: has no cell type 'e': there is a, b, c"):
        ranked_cells(Known("e", {"1": values}), tracks[:1], table)


def test_means_of_a_bigwig(tmp_path: Path) -> None:
    path = tmp_path / "a.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr1", 3500), ("chrY", 2000)])
        file.addEntries(["chr1", "chr1"], [500, 2000], ends=[1500, 2250], values=[2.0, 4.0])
    track = SignalTrack("a", Signal(path))
    assert track.sizes == {"chr1": 3500}  # nothing is on chrY
    assert track.means("chr1", np.array([0, 1, 2])).tolist() == [1, 1, 1]
    assert track.means("chr1", np.array([0, 2])).tolist() == [1, 1]


@pytest.fixture(scope="module")
def tiles(tfbind: Tfbind, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make tiles of the open bins of HeLa-S3 in 2 Mb."""
    folder = tmp_path_factory.mktemp("tiles")
    env = {"TFBIND_FASTA": str(data / "hg19.chrX_cut.fa.gz")}
    bins = ok(tfbind("bin", "--region", "chrX:48000001-50000000", env=env))
    peaks = data / "HeLa-S3.dnase.narrowPeak.gz"
    chosen = ok(tfbind("sample", "--accessible", peaks, "--background", "0", stdin=bins))
    signal = ("--signal", f"dnase={data / 'HeLa-S3.dnase.bw'}", "--cell", "HeLa-S3")
    ok(tfbind("features", *signal, "-o", folder / "hela.tiles", stdin=chosen, env=env))
    return folder / "hela.tiles"


def test_tiles_have_the_means_of_their_track(tiles: Path, data: Path) -> None:
    track = TileTrack([TileFile(tiles)], "dnase")
    whole = SignalTrack("HeLa-S3", Signal(data / "HeLa-S3.dnase.bw"))
    bins = np.arange(47_900, 50_100)
    found, expected = track.means("chrX", bins), whole.means("chrX", bins)
    assert np.isnan(found[bins < 47_999]).all()
    assert np.count_nonzero(~np.isnan(found)) == 215
    sequence = TileFile(tiles)
    inside = np.zeros(len(bins), bool)  # wholly under one tile
    for index in range(len(sequence)):
        start = int(sequence.starts[index]) - 400
        end = start + len(sequence.tile(index).inputs["dnase"])
        inside |= (bins * BIN >= start) & ((bins + 1) * BIN <= end)
    assert inside.sum() > 50
    # Neighbours overlap, as two files of a cell type may: each base counts once.
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-3)
    twice = TileTrack([TileFile(tiles), TileFile(tiles)], "dnase")
    assert np.array_equal(twice.means("chrX", bins), found, equal_nan=True)


def rows(stdout: bytes) -> list[list[str]]:
    return [line.split("\t") for line in stdout.decode().splitlines()]


def test_similar_as_a_user_meets_it(
    tfbind: Tfbind, data: Path, tiles: Path, tmp_path: Path
) -> None:
    hela, k562 = data / "HeLa-S3.dnase.bw", data / "K562.dnase.bw"
    table = tmp_path / "expression.tsv"
    table.write_text("cell\tx\ty\nK562\t1\t2\nHeLa-S3\t2\t1\ncopy\t1\t2.5\n")
    command = ("similar", "--target", k562, hela, f"copy={k562}", k562)
    done = tfbind(*command, "--expression", table)
    header, first, second = rows(ok(done))
    assert header == ["rank", "cell", "signal", "expression", "combined"]
    assert first[:3] == ["1", "copy", "1.000000"]
    assert second[:2] == ["2", "HeLa-S3"]
    assert abs(float(second[2])) < 0.5  # K562 is cut from 38 Mb on
    assert float(second[4]) == pytest.approx((float(second[2]) + float(second[3])) / 2, abs=2e-6)
    assert b"compared 2 cell types with K562 in " in done.stderr
    from_tiles = rows(ok(tfbind("similar", "--target", tiles, f"near={hela}", k562, "-q")))
    assert [row[1] for row in from_tiles[1:]] == ["near", "K562"]
    assert float(from_tiles[1][2]) > 0.95
    assert from_tiles[1][3] == "NA"


def test_the_cells_that_train_learns_from(
    data: Path, tiles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, track = TileFile(tiles), str(data / "K562.dnase.bw")
    assert most_alike([file, file], "K562:1", f"dnase={track}", 1, quiet=False) == [file, file]
    told = capsys.readouterr().err
    assert told.startswith("tfbind: like K562: HeLa-S3 ")
    assert told.endswith("; learns from HeLa-S3\n")
    with pytest.raises(InputError, match="found tiles of 0 cell type"):
        most_alike([file], "HeLa-S3:1", None, 1, quiet=True)
    with pytest.raises(InputError, match="found no tiles of K562 to compare others with"):
        most_alike([file], "K562:1", None, 1, quiet=True)
    with pytest.raises(InputError, match="holds no signal 'atac', but dnase"):
        most_alike([file], "K562:1", f"atac={track}", 1, quiet=True)
    for wrong in ("K562", "K562:0", ":2", "K562:two"):
        with pytest.raises(typer.BadParameter, match="expected CELL:N, such as K562:2"):
            refuse_unlike(wrong, None)
    with pytest.raises(typer.BadParameter, match="give both"):
        refuse_unlike(None, track)


def test_similar_refuses(tfbind: Tfbind, data: Path, tiles: Path, tmp_path: Path) -> None:
    k562 = data / "K562.dnase.bw"
    assert "found no cell type but the target, K562" in said(
        tfbind("similar", "--target", k562, k562)
    )
    peaks = data / "K562.dnase.narrowPeak.gz"
    assert "is no file of tiles" in said(tfbind("similar", "--target", k562, peaks))
    assert "cannot be read" in said(tfbind("similar", "--target", k562, tmp_path / "none.bw"))
    done = tfbind("similar", "--target", k562, tiles, "--name", "atac")
    assert "holds no signal 'atac', but dnase" in said(done)
