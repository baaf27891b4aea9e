"""`tfbind explain attribute` and `average`, on a network that was trained on real data."""

import os
import threading
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from conftest import Tfbind, Trained, ok, said

BINS = "".join(f"chrX\t{48_300_000 + 50 * i}\t{48_300_200 + 50 * i}\n" for i in range(40))
WINDOW = 1000


@pytest.fixture(scope="module")
def bound(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name bins at the summits of real peaks."""
    import gzip

    path = tmp_path_factory.mktemp("bound") / "bound.bed"
    with gzip.open(data / "HeLa-S3.CTCF.conservative.narrowPeak.gz", "rt") as stream:
        summits = [int(f[1]) + int(f[9]) for f in (line.split("\t") for line in stream)]
    summits = sorted(one for one in summits if 46_000_000 < one < 49_000_000)
    words = ["B", "other"]
    path.write_text(
        "".join(f"chrX\t{s - 100}\t{s + 100}\t{words[i % 2]}\n" for i, s in enumerate(summits))
    )
    return path


def explain(tfbind: Tfbind, trained: Trained, *args: str | Path, stdin: str = "") -> bytes:
    return ok(tfbind("explain", *args, stdin=stdin, env=trained.env))


def test_tracks_and_table_are_the_means_of_the_rows(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    some: list[str | Path] = ["attribute", trained.keras, "--frequencies", "0.3,0.2,0.2,0.3", "-q"]
    table = tmp_path / "bases.tsv"
    names = tmp_path / "{input}.bw"
    explain(tfbind, trained, *some, "-o", names, "--table", table, stdin=BINS)
    explain(tfbind, trained, *some, "-", "-o", tmp_path / "rows.npz", stdin=BINS)
    with np.load(tmp_path / "rows.npz") as rows, np.load(tmp_path / "rows.onehot.npz") as bases:
        hypothetical, one_hot, starts = rows["arr_0"], bases["arr_0"], rows["start"]
        contributions = {name: rows[f"contributions.{name}"] for name in ("sequence", "dnase")}
        change = rows["output"] - rows["reference_output"]
    assert hypothetical.shape == one_hot.shape == (40, 4, WINDOW)
    np.testing.assert_allclose(
        (hypothetical * one_hot).sum(1), contributions["sequence"], atol=1e-6
    )
    total = sum(one.sum(1, dtype=float) for one in contributions.values())
    np.testing.assert_allclose(total, change, atol=1e-4)
    first = int(starts[0]) - 400
    length = WINDOW + 50 * 39
    for name, values in contributions.items():
        sums, counts = np.zeros(length), np.zeros(length)
        for start, row in zip(starts, values, strict=True):
            some_bases = slice(start - 400 - first, start - 400 - first + WINDOW)
            sums[some_bases] += row
            counts[some_bases] += 1
        with pyBigWig.open(str(tmp_path / f"{name}.bw")) as track:
            found = track.values("chrX", first, first + length, numpy=True)
        np.testing.assert_allclose(found, sums / counts, atol=1e-5)
    lines = [line.split("\t") for line in table.read_text().splitlines() if line[0] != "#"]
    assert len(lines) == length
    letters = "".join(line[3] for line in lines[:WINDOW])
    assert letters == "".join("ACGT"[one] for one in one_hot[0].argmax(0))  # no N there
    for line in lines[::97]:
        assert float(line[4]) == pytest.approx(float(line[6 + "ACGT".index(line[3])]), abs=1e-6)


def test_contributions_sum_to_the_difference_in_each_of_a_thousand_windows(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    starts = range(47_000_000, 49_000_000, 2000)
    bins = "".join(f"chrX\t{start}\t{start + 200}\n" for start in starts)
    explain(tfbind, trained, "attribute", trained.keras, "-o", tmp_path / "rows.npz", stdin=bins)
    with np.load(tmp_path / "rows.npz") as rows:
        total = rows["contributions.sequence"].sum(1, dtype=float)
        total += rows["contributions.dnase"].sum(1, dtype=float)
        change = rows["output"] - rows["reference_output"]
    assert len(total) == 1000
    np.testing.assert_allclose(total, change, rtol=0, atol=1e-4)
    assert np.abs(change).max() > 0.1


def test_no_bins_give_no_track(tfbind: Tfbind, trained: Trained) -> None:
    text = explain(tfbind, trained, "attribute", trained.keras, "--threads", "1").decode()
    assert [line[0] for line in text.splitlines()] == ["#"]
    assert "\treference=none\t" in text


def test_the_rows_of_no_bins_have_their_shapes(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    explain(tfbind, trained, "attribute", trained.keras, "-o", tmp_path / "none.npz")
    with np.load(tmp_path / "none.npz") as rows, np.load(tmp_path / "none.onehot.npz") as bases:
        assert rows["arr_0"].shape == bases["arr_0"].shape == (0, 4, WINDOW)
        assert rows["contributions.dnase"].shape == (0, WINDOW)
        assert rows["about.method"] == "deeplift"


def test_bins_of_a_named_pipe_are_read_as_those_of_a_file(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    pipe, file = tmp_path / "bins.fifo", tmp_path / "bins.bed"
    os.mkfifo(pipe)
    file.write_text(BINS)
    feeder = threading.Thread(target=pipe.write_text, args=(BINS,))
    feeder.start()
    text = explain(tfbind, trained, "attribute", trained.keras, pipe)
    feeder.join()
    assert text == explain(tfbind, trained, "attribute", trained.keras, file)
    assert text.count(b"\n") > WINDOW
    assert b"reference=frequencies:" in text.splitlines()[0]


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("gradient", []),
        ("mutagenesis", []),
        ("integrated", ["--steps", "5"]),
        ("deeplift", ["--shuffles", "2"]),
    ],
)
def test_every_method_writes_a_track(
    tfbind: Tfbind, trained: Trained, tmp_path: Path, method: str, more: list[str]
) -> None:
    bins = "".join(BINS.splitlines(keepends=True)[:2])
    done = tfbind(
        "explain",
        "attribute",
        trained.keras,
        "--method",
        method,
        *more,
        stdin=bins,
        env=trained.env,
    )
    lines = ok(done).decode().splitlines()
    assert f"method={method}" in lines[0]
    assert lines[1].split("\t")[:2] == ["chrX", "48299600"]
    assert lines[-1].split("\t")[2] == str(48_299_600 + WINDOW + 50)
    rows = tmp_path / "rows.npz"
    options = ["--method", method, *more]
    explain(tfbind, trained, "attribute", trained.keras, *options, "-o", rows, stdin=bins)
    with np.load(rows) as file:
        first, last = file["contributions.sequence"]
    track = np.zeros(WINDOW + 50)
    for line in lines[1:]:
        start, end = (int(one) - 48_299_600 for one in line.split("\t")[1:3])
        track[start:end] = float(line.split("\t")[3])
    expected = np.concatenate([first[:50], (first[50:] + last[:-50]) / 2, last[-50:]])
    np.testing.assert_allclose(track, expected, atol=1e-5)
    assert np.abs(track).max() > 1e-4


def test_average_writes_a_table_and_a_picture(
    tfbind: Tfbind, trained: Trained, bound: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "x.png"
    options: list[str | Path] = [
        "--mark",
        "-20:20=motif",
        "--show",
        "-200:200",
        "--plot",
        picture,
    ]
    done = tfbind("explain", "average", trained.keras, bound, *options, env=trained.env)
    about, *table = ok(done).decode().splitlines()
    assert about.startswith("#tfbind\t")
    assert "\treference=frequencies:" in about
    lines = [line.split("\t") for line in table]
    assert lines[0] == ["group", "task", "position", "input", "mean", "standard_error", "sites"]
    assert {line[0] for line in lines[1:]} == {"B", "other"}
    assert [line[2] for line in lines[1 : WINDOW + 1]] == [str(i) for i in range(-500, 500)]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "motif" in done.stderr.decode()
    sites = {line[0]: int(line[6]) for line in lines[1:]}
    assert sum(sites.values()) == len(bound.read_text().splitlines())


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["--track", "foo"], 2, "expected an input with a value a base: sequence, dnase"),
        (["--task", "foo"], 2, "no task 'foo': there is"),
        (["--method", "gradient", "--reference", "zeros"], 2, "has no reference to choose"),
        (["--shuffles", "2", "--frequencies", ".25,.25,.25,.25"], 2, "a reference of its own"),
        (["--frequencies", "1,2"], 2, "expected four of A,C,G,T that sum to 1"),
        (["-o", "x.bed.gz"], 2, "would not be compressed"),
        (["-o", "x.{task}.bw"], 2, "found {task} in -o x.{task}.bw, expected {input}"),
        (["-o", "x.{input}.npz"], 2, "expected none: .npz holds all inputs"),
        (["-o", "x.npz", "--track", "dnase"], 2, "rows (.npz) are of all inputs: drop --track"),
    ],
)
def test_wrong_usage_is_told(
    tfbind: Tfbind, trained: Trained, args: list[str], status: int, words: str
) -> None:
    done = tfbind("explain", "attribute", trained.keras, *args, stdin=BINS, env=trained.env)
    assert words in said(done, status)


def test_an_existing_file_is_refused_before_any_work(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    (tmp_path / "x.onehot.npz").write_text("")
    done = tfbind(
        "explain", "attribute", trained.keras, "-o", tmp_path / "x.npz", stdin=BINS, env=trained.env
    )
    assert "x.onehot.npz: exists already; give --force to replace it" in said(done)
    assert [path.name for path in tmp_path.iterdir()] == ["x.onehot.npz"]


def test_bins_of_another_size_are_told_by_their_line(tfbind: Tfbind, trained: Trained) -> None:
    bins = BINS.replace("48300250", "48300251")
    done = tfbind("explain", "attribute", trained.keras, stdin=bins, env=trained.env)
    assert "standard input: line 2: found a bin of 201 bp, expected 200 bp" in said(done)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--show", "600:700", "--plot", "x.png"),
            "--show 600:700 lies outside of the window, -500:499",
        ),
        (("--mark", "-900:-800"), "--mark -900:-800 lies outside of the window"),
        (("--method", "mutagenesis", "--track", "dnase"), "found --track dnase"),
        (("--show", "-20:20"), "--show is of the picture: give --plot"),
        (("--steps", "20"), "--steps is of --method integrated"),
        (("--frequencies", "nan,.5,.25,.25"), "expected four of A,C,G,T that sum to 1"),
    ],
)
def test_average_refuses_what_it_cannot_show(
    tfbind: Tfbind, trained: Trained, options: tuple[str, ...], words: str
) -> None:
    lines = "chrX\t48000000\t48000200\n"
    done = tfbind("explain", "average", trained.keras, *options, stdin=lines, env=trained.env)
    assert words in said(done, 2)
