"""The files of the ENCODE-DREAM challenge: `tfbind dream`, and what else reads and writes them."""

import contextlib
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import Tfbind, environment, ok, said

from tfbind.dream import (
    CELLS,
    GzipWriter,
    Name,
    check_name,
    choose_cell,
    gzipped,
    parse_name,
    table_as_bed,
    table_header,
)
from tfbind.errors import InputError

NAME = "L.CTCF.GM12878.tab.gz"


# Names


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("folder/F.CTCF.PC-3.tab.gz", Name("F", "CTCF", "PC-3")),
        ("3319559.8006821.F.E2F1.K562.tab.gz", Name("F", "E2F1", "K562")),
        ("L.MAFK.MCF-7.tab(1).gz", Name("L", "MAFK", "MCF-7")),
        (
            "B.NANOG.induced_pluripotent_stem_cell.tab.gz",
            Name("B", "NANOG", "induced_pluripotent_stem_cell"),
        ),
    ],
)
def test_names_of_submissions(path: str, expected: Name) -> None:
    assert check_name(path) == expected


@pytest.mark.parametrize("path", ["CTCF.K562.tab.gz", "X.CTCF.K562.tab.gz", "F.CTCF.tab.gz", "-"])
def test_names_of_other_files(path: str) -> None:
    assert parse_name(path) is None
    with pytest.raises(InputError, match=r"not that of a submission, expected \{L,F,B\}"):
        check_name(path)


def test_what_a_round_did_not_ask_for() -> None:
    with pytest.raises(InputError, match="the leaderboard did not ask for CTCF in 'K562', expect"):
        check_name("L.CTCF.K562.tab.gz")
    with pytest.raises(InputError, match="final round did not ask for 'MYC', expected one of ATF2"):
        check_name("F.MYC.HepG2.tab.gz")


def test_all_that_the_rounds_asked_for() -> None:
    pairs = {key: sum(map(len, cells.values())) for key, cells in CELLS.items()}
    assert pairs == {"L": 29, "F": 14, "B": 14}
    assert len(CELLS["L"].keys() | CELLS["F"].keys()) == 32
    assert CELLS["F"]["CTCF"] == ["PC-3", "induced_pluripotent_stem_cell"]


# Label tables


def test_labels_to_a_table_and_back(tfbind: Tfbind, labelled: bytes, label_table: Path) -> None:
    assert labelled.startswith(b"#contig\tstart\tend\tHeLa-S3\tK562\n")
    text = gzip.decompress(label_table.read_bytes())
    head, _, lines = text.partition(b"\n")
    assert head == b"chr\tstart\tstop\tHeLa-S3\tK562"
    assert lines == labelled.partition(b"\n")[2]
    assert lines.count(b"\tB\tB\n") > 50
    assert ok(tfbind("dream", "labels", label_table)) == labelled
    assert ok(tfbind("dream", "labels", stdin=text.replace(b"\n", b"\r\n"))) == labelled


def test_the_same_labels_are_the_same_bytes(
    tfbind: Tfbind, labelled: bytes, label_table: Path
) -> None:
    again = ok(tfbind("dream", "table", stdin=labelled))
    assert again == label_table.read_bytes()
    assert again[4:8] == bytes(4)  # no time


def test_one_cell_type_is_chosen_and_named(
    tfbind: Tfbind, labelled: bytes, label_table: Path
) -> None:
    rows = [line.split(b"\t") for line in labelled.splitlines()[1:]]
    expected = [b"#contig\tstart\tend\tCTCF", *(b"\t".join([*row[:3], row[4]]) for row in rows)]
    done = ok(tfbind("dream", "labels", label_table, "--cell", "K562", "--name", "CTCF"))
    assert done.splitlines() == expected
    both = ok(tfbind("dream", "labels", label_table, "--cell", "K562,HeLa-S3"))
    assert both.splitlines()[0] == b"#contig\tstart\tend\tK562\tHeLa-S3"
    assert both.splitlines()[1:] == [b"\t".join([*row[:3], row[4], row[3]]) for row in rows]


def test_labels_can_be_learnt_from(
    tfbind: Tfbind, label_table: Path, data: Path, sources_env: dict[str, str], tmp_path: Path
) -> None:
    one = ok(tfbind("dream", "labels", label_table, "--cell", "K562", "--name", "CTCF"))
    done = tfbind("features", "-o", tmp_path / "a.tiles", stdin=one, env=sources_env)
    bound = one.count(b"\tB\n")
    assert bound > 50
    assert f" {bound} bound in CTCF" in done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "line 1: is no label table, expected the header chr start stop CELL"),
        (b"chr1\t0\t200\tU\n", "line 1: is no label table"),
        (b"chr\tstart\tstop\n", "found the cell types none"),
        (b"chr\tstart\tstop\tA\tA\n", "found the cell types 'A', 'A', expected different names"),
        (b"chr\tstart\tstop\tA\nchr1\t0\t200\tC\n", "line 2: found 'C' in column 4, expected"),
        (b"chr\tstart\tstop\tA\nchr1\t0\tx\tU\n", "line 2: found end 'x'"),
        (b"chr\tstart\tstop\tA\tB\nchr1\t0\t200\tU\n", "expected one of A, B"),
    ],
)
def test_bad_tables(tfbind: Tfbind, text: bytes, problem: str) -> None:
    cell = ["--cell", "C"] if "one of" in problem else []
    assert problem in said(tfbind("dream", "labels", *cell, stdin=text))


def test_wrong_usage_of_labels(tfbind: Tfbind, label_table: Path) -> None:
    done = tfbind("dream", "labels", label_table, "--name", "CTCF")
    assert "choose it by --cell, of HeLa-S3, K562" in said(done, 2)
    assert "twice" in said(tfbind("dream", "labels", label_table, "--cell", "A,A"), 2)


ODD_NAMES = ["", " ", "A B", "A\tB", os.fsdecode(b"caf\xe9")]


@pytest.mark.parametrize("name", [*ODD_NAMES, "A,B"])
def test_names_that_cannot_be_written_or_chosen(
    tfbind: Tfbind, label_table: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    done = tfbind("dream", "labels", label_table, "--cell", "K562", "--name", name, "-o", out)
    assert "expected a word without spaces or commas" in said(done, 2)
    if name in ODD_NAMES[1:]:  # elsewhere a comma parts two names, and none is the header's
        done = tfbind("dream", "table", "--names", name, "-o", out, stdin="chr1\t0\t200\tU\n")
        assert "expected different names without spaces or commas" in said(done)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "names", "problem"),
    [
        (b"", None, "found no column of labels; make them by tfbind label"),
        (b"chr1\t0\t200\n", "A", "found no column of labels; make them by tfbind label"),
        (b"chr1\t0\t200\tU\n", None, "1 column(s) of labels and 0 name(s) for them; give a cell"),
        (b"chr1\t0\t200\tU\n", "A,B", "1 column(s) of labels and 2 name(s)"),
        (b"chr1\t0\t200\tU\tU\n", "A,A", "found the cell types 'A', 'A'"),
        (b"chr1\t0\t200\tU\n", "A B", "found the cell types 'A B', expected different names with"),
        (b"chr1\t0\t200\tU\nchr1\t50\t250\t1\n", "A", "line 2: found '1' in column 4"),
    ],
)
def test_what_makes_no_table(
    tfbind: Tfbind, tmp_path: Path, text: bytes, names: str | None, problem: str
) -> None:
    options = ["--names", names] if names else []
    done = tfbind("dream", "table", "-o", tmp_path / "t.tsv.gz", *options, stdin=text)
    assert problem in said(done)
    assert os.listdir(tmp_path) == []


def test_a_table_without_bins(tfbind: Tfbind) -> None:
    head = b"chr\tstart\tstop\tA\tB\n"
    done = ok(tfbind("dream", "table", stdin=ok(tfbind("dream", "labels", stdin=head))))
    assert gzip.decompress(done) == head
    assert table_header(["#x", "#contig\tstart\tend\tA"], None, None, "t") == head[:-3] + b"\n"


def test_plain_bed_passes_as_it_is() -> None:
    text = b"#contig\tstart\tend\tA\nchr1\t0\t200\tU"
    stream, cells = table_as_bed(BytesIO(gzip.compress(text)), "t")
    assert (stream.read(), cells) == (text + b"\n", ())
    assert choose_cell(["A"], None, "t") == 0


@pytest.mark.parametrize("piece", [1 << 12, 99_991, 1 << 20, 3_000_000])
def test_gzip_does_not_depend_on_the_pieces(piece: int) -> None:
    text = b"".join(b"chr1\t%d\t%d\t0.%d\n" % (i, i + 200, i % 997) for i in range(150_000))
    out, whole = BytesIO(), BytesIO()
    with gzipped(whole) as writer:
        writer.write(text)
    with gzipped(out) as writer:
        for first in range(0, len(text), piece):
            writer.write(text[first : first + piece])
    assert out.getvalue() == whole.getvalue()
    assert gzip.decompress(out.getvalue()) == text


def test_gzip_that_failed_does_not_look_whole() -> None:
    out = BytesIO()
    with contextlib.suppress(KeyError), gzipped(out) as writer:
        writer.write(bytes(3 << 20))
        raise KeyError
    assert out.getvalue()
    with pytest.raises(EOFError):
        gzip.decompress(out.getvalue())
    GzipWriter(empty := BytesIO()).finish()
    assert gzip.decompress(empty.getvalue()) == b""


# Evaluation by a table


def test_a_table_is_as_good_as_labelled_bed(
    tfbind: Tfbind, labelled: bytes, label_table: Path, two_megabases: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "labels.bed"
    path.write_bytes(labelled)
    values = np.random.default_rng(1).random(two_megabases.count(b"\n"))
    lines = zip(two_megabases.splitlines(), values, strict=True)
    scores = b"".join(b"%b\t%.4f\n" % (line, value) for line, value in lines)
    by_column = [
        ok(tfbind("evaluate", "--labels", path, "--label-column", str(column), stdin=scores))
        for column in (4, 5)
    ]
    assert by_column[0] != by_column[1]
    for file in (path, label_table):
        for cell, expected in zip(["HeLa-S3", "K562"], by_column, strict=True):
            done = tfbind("evaluate", "--labels", file, "--cell", cell, stdin=scores)
            assert ok(done) == expected
        done = tfbind("evaluate", "--labels", file, stdin=scores)
        assert "holds labels of 2 cell types; choose one by --cell: HeLa-S3, K562" in said(done)
    path.write_bytes(labelled.partition(b"\n")[2])
    done = tfbind("evaluate", "--labels", path, stdin=scores)
    assert "labels.bed: found 2 column(s) of labels and no header that names" in said(done)
    path.write_bytes(labelled)
    done = tfbind("evaluate", "--labels", path, "--cell", "liver", stdin=scores)
    assert "no labels of the cell type 'liver', expected one of HeLa-S3, K562" in said(done)


def test_of_several_columns_the_only_one_of_labels_is_taken(tfbind: Tfbind, tmp_path: Path) -> None:
    path = tmp_path / "labels.bed"
    path.write_text("#contig\tstart\tend\tCTCF\tscore\na\t0\t9\tB\t.1\na\t9\t18\tU\t.2\n")
    done = tfbind("evaluate", "--labels", path, stdin="a\t0\t9\t1\na\t9\t18\t0\n")
    assert ok(done).startswith(b"bins\t2\nbound\t1\nunbound\t1\n")
    both = "a\t0\t9\tB\tU\t1\na\t9\t18\tU\tB\t0\n"
    problem = said(tfbind("evaluate", stdin=both))
    assert "found labels in the columns 4, 5; choose one by --label-column" in problem
    assert b"auroc\t0.000000" in ok(tfbind("evaluate", "--label-column", "5", stdin=both))


def test_cells_and_columns_contradict(tfbind: Tfbind, tmp_path: Path) -> None:
    done = tfbind("evaluate", "--cell", "K562", stdin="chr1\t0\t200\tU\t1\n")
    assert "--cell names a column of --labels" in said(done, 2)
    args = ["evaluate", "--labels", "x", "--cell", "K562", "--label-column", "4"]
    assert "both choose the labels" in said(tfbind(*args), 2)
    path = tmp_path / "bare.bed"
    path.write_text("chr1\t0\t200\tU\n")
    done = tfbind("evaluate", "--labels", path, "--cell", "A", stdin="chr1\t0\t200\t1\n")
    assert "found 1 column(s) of labels and no header that names them" in said(done)


def test_a_reader_that_goes_away_is_no_error(label_table: Path, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m tfbind dream labels {label_table}'
    script = f"{command} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, env=environment(), cwd=tmp_path, check=True
    )
    assert done.stdout == b"#contig\tstart\tend\tHeLa-S3\tK562\n141\n"
    assert done.stderr == b""


# What `score` writes


def network(path: Path, times: float) -> Path:
    """Make a network that tells the share of A in 1,000 bp, and some times that of C."""
    onnx = pytest.importorskip("onnx", reason="a graph is made by it: pip install 'tfbind[train]'")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    shares = np.zeros((4, 2), np.float32)
    shares[0, 0], shares[1, 1] = 1, times
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["bases"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "shares"], ["scores"]),
        ],
        "content",
        [helper.make_tensor_value_info("bases", floats, ["batch", 1000, 4])],
        [helper.make_tensor_value_info("scores", floats, ["batch", 2])],
        [numpy_helper.from_array(shares, "shares")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a network whose second task is no probability."""
    return network(tmp_path_factory.mktemp("model") / "shares.onnx", 10)


Score = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def score(tfbind: Tfbind, shares: Path, sources_env: dict[str, str]) -> Score:
    def run(*args: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        names = ["--task-names", "CTCF,MAX"]
        return tfbind("score", shares, *names, *args, stdin=stdin, env=sources_env)

    return run


def test_a_submission_is_written_and_right(
    score: Score, tfbind: Tfbind, two_megabases: bytes, tmp_path: Path
) -> None:
    out, regions, scores = (tmp_path / name for name in (NAME, "regions.bed", "scores.bed"))
    # Columns beyond the third are not the challenge's.
    regions.write_bytes(two_megabases.replace(b"\n", b"\tname\n"))
    done = score(regions, "--task", "CTCF", "-o", out)
    assert ok(done) == b""
    assert b"39,997 bins in" in done.stderr
    assert b"named after" not in done.stderr
    ok(score("--task", "CTCF", "--no-header", "-o", scores, stdin=two_megabases))
    assert gzip.decompress(out.read_bytes()) == scores.read_bytes()
    assert out.read_bytes()[4:8] == bytes(4)
    done = tfbind("dream", "check", out, "--regions", regions)
    assert ok(done) == b""
    assert b"39,997 bins on 1 contig(s), probabilities from 0" in done.stderr
    assert sorted(os.listdir(tmp_path)) == sorted([NAME, "regions.bed", "scores.bed"])


def test_the_same_scores_are_the_same_submission(
    score: Score, two_megabases: bytes, tmp_path: Path
) -> None:
    path, whole = tmp_path / "bins.bed", tmp_path / NAME
    path.write_bytes(two_megabases)
    ok(score(path, "--task", "CTCF", "-o", whole))
    args = (path, "--task", "CTCF", "--format", "dream")
    assert ok(score(*args, "-t", "1")) == whole.read_bytes()
    resumed = tmp_path / "resumed.tab.gz"
    ok(score(*args, "--resume", "-o", resumed))
    assert resumed.read_bytes() == whole.read_bytes()
    again = said(score(*args, "--resume", "-o", resumed, "-q"))
    assert (
        "resumed.tab.gz: exists, and a submission cannot tell which model made it; --for" in again
    )
    assert resumed.read_bytes() == whole.read_bytes()
    parts = [ok(score(*args, "--shard", f"{part}/3")) for part in (1, 2, 3)]
    assert gzip.decompress(b"".join(parts)) == gzip.decompress(whole.read_bytes())


def test_a_submission_for_each_task(score: Score, two_megabases: bytes, tmp_path: Path) -> None:
    few = b"".join(two_megabases.splitlines(keepends=True)[:10])
    done = score("-o", tmp_path / "F.{task}.liver.tab.gz", stdin=few)
    problem = done.stderr.decode()
    assert done.returncode == 1
    assert "standard input: line 1: the model scores this bin" in problem
    assert "expected a probability from 0 to 1; give --format bed" in problem
    assert os.listdir(tmp_path) == []
    done = score("-o", tmp_path / NAME, stdin=few)
    assert "-o 'F.{task}.PC-3.tab.gz'" in said(done, 2)
    done = score("-o", tmp_path / "F.MAX.liver.tab.gz", "--task", "CTCF", stdin=few)
    ok(done)
    assert b"F.MAX.liver.tab.gz is named after MAX and holds CTCF\n" in done.stderr


def test_submissions_of_two_tasks_in_one_run(
    tfbind: Tfbind, two_megabases: bytes, sources_env: dict[str, str], tmp_path: Path
) -> None:
    few = b"".join(two_megabases.splitlines(keepends=True)[:3000])
    model = network(tmp_path / "two.onnx", 1)
    command = ["score", str(model), "--task-names", "MAX,JUND"]
    out = tmp_path / "F.{task}.liver.tab.gz"
    done = tfbind(*command, "-o", out, stdin=few, env=sources_env)
    ok(done)
    assert b"dream check refuses" not in done.stderr
    texts = {}
    for task in ("MAX", "JUND"):
        path = tmp_path / f"F.{task}.liver.tab.gz"
        bed = [*command, "--task", task, "--format", "bed", "--no-header"]
        texts[task] = gzip.decompress(path.read_bytes())
        assert texts[task] == ok(tfbind(*bed, stdin=few, env=sources_env))
        ok(tfbind("dream", "check", path))
    assert texts["MAX"] != texts["JUND"]


def test_what_dream_check_would_refuse_is_noted_at_the_start(
    score: Score, two_megabases: bytes, tmp_path: Path
) -> None:
    few = b"".join(two_megabases.splitlines(keepends=True)[:10])
    done = score("--task", "CTCF", "-o", tmp_path / "F.CTCF.liver.tab.gz", stdin=few)
    ok(done)
    first = done.stderr.decode().splitlines()[0]
    assert first.startswith("tfbind: tfbind dream check refuses this name: ")
    assert "the final round did not ask for CTCF in 'liver'" in first
    assert b"refuses" not in score("--task", "CTCF", "--format", "dream", stdin=few).stderr


def test_bins_off_the_grid_make_no_submission(score: Score, tmp_path: Path) -> None:
    off = b"chrX\t48000000\t48000200\nchrX\t48000060\t48000260\n"
    problem = said(score("--task", "CTCF", "-o", tmp_path / NAME, "-q", stdin=off))
    assert "standard input: line 2: found start 48000060, expected a multiple of 50" in problem
    assert os.listdir(tmp_path) == []


def test_other_names_and_bins(score: Score, two_megabases: bytes, tmp_path: Path) -> None:
    done = score("-o", "x.bw", "--format", "dream")
    assert "is that of a bigwig, not of a dream" in said(done, 2)
    done = score("-o", NAME, "--format", "bed")
    assert "is that of a dream, not of a bed" in said(done, 2)
    for name in ("x.tab", "x.bedGraph", "x"):
        done = score("-o", name, "--format", "dream")
        assert f"expected a name such as F.CTCF.PC-3.tab.gz, found {name}" in said(done, 2)
    ok(score("-o", "/dev/null", "--format", "dream", "--task", "CTCF"))
    done = score("--size", "100", "--task", "CTCF", "-o", tmp_path / NAME, stdin=two_megabases)
    assert "scores bins of 100 bp, but the challenge's have 200; give --format bed" in said(done)
    assert os.listdir(tmp_path) == []


def test_a_submission_may_be_read_in_part(
    shares: Path, two_megabases: bytes, sources_env: dict[str, str], tmp_path: Path
) -> None:
    program = f'"{sys.executable}" -m tfbind'
    script = (
        f"{program} score {shares} --task-names CTCF,MAX --task CTCF --format dream -q"
        " | zcat | head -1"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        input=two_megabases,
        capture_output=True,
        env=environment(sources_env),
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.startswith(b"chrX\t48000000\t48000200\t0.")
    assert done.stderr == b""
