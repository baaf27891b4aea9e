"""Hard negatives: the unbound bins that a model scores highest."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Tfbind, Trained, ok, said
from hypothesis import given, settings
from hypothesis import strategies as st
from test_imports import TENSORFLOW, modules_loaded_by

from tfbind.errors import InputError
from tfbind.hardest import Candidates, Hardest, matched
from tfbind.intervals import read_intervals
from tfbind.labels import LETTERS
from tfbind.sampling import Sampler


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("UUUAB"), st.sampled_from("UUUAB"), st.integers(0, 9))),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(1, 12),
    st.integers(0, 20),
)
def test_the_hardest_are_the_rule_however_the_input_is_cut(
    bins: list[tuple[str, str, int]], cuts: list[int], count: int, background: int
) -> None:
    """Column X is scored i, column Y 10 - i: each counts where the bin is unbound in it."""
    lines = [f"c\t{10 * n}\t{10 * n + 10}\t{x}\t{y}\n" for n, (x, y, _) in enumerate(bins)]
    scores = np.array([[i, 10 - i] for _, _, i in bins], np.float32).reshape(-1, 2)

    def sampled(edges: list[int], hardest: Hardest | None) -> Sampler:
        sampler = Sampler(background, 5, 10, block=4, hardest=hardest)
        for low, high in pairwise(edges):
            batch = read_intervals(BytesIO("".join(lines[low:high]).encode()), "test")
            found = sampler.add(batch, "test")
            if hardest is not None and found is not None:
                half = len(found.rows) // 2
                given = scores[low:high][found.rows]
                hardest.add(found, given[:half])
                hardest.add(found, given[half:], half)
        return sampler

    whole = [0, len(lines)]
    edges = sorted({*whole, *(cut for cut in cuts if cut < len(lines))})
    kept = b"".join(sampled(whole, None).lines()).splitlines(keepends=True)
    hard = Hardest(count, [0, 1], 5)
    sampler = sampled(edges, hard)
    text = b"".join(sampler.lines()).splitlines(keepends=True)
    assert b"".join(sampled(whole, Hardest(count, [0, 1], 5)).lines()) == b"".join(text)

    wrong = [
        (max(i if x == "U" else -1, 10 - i if y == "U" else -1), n)
        for n, (x, y, i) in enumerate(bins)
        if "U" in (x, y) and "B" not in (x, y)
    ]
    expected = sorted((score for score, _ in wrong), reverse=True)[:count]
    held = hard.held()
    found = [] if held is None else held.scores.tolist()
    assert sorted(found, reverse=True) == expected
    rows = (
        [] if held is None else [int(line.split(b"\t")[1]) // 10 for line in held.text.to_pylist()]
    )
    assert rows == sorted(rows)
    assert set(rows) <= {n for _, n in wrong}
    assert hard.seen == len(wrong)
    assert text == [
        line.encode() for n, line in enumerate(lines) if line.encode() in kept or n in rows
    ]
    drawn, more, classes = sampler.counts()
    assert drawn + more + sampler.kept == len(text)
    for column in range(classes.shape[0]):
        letters = [line.split()[3 + column].decode() for line in text]
        assert classes[column].tolist() == [letters.count(letter) for letter in LETTERS]


def test_equal_scores_are_chosen_by_seed() -> None:
    def rows(seed: int) -> list[int]:
        hardest = Hardest(10, [0], seed)
        for batch in range(5):
            codes = np.zeros((20, 1), np.uint8)
            scores = np.zeros((20, 1), np.float32)
            bins = read_intervals(BytesIO(b"c\t0\t9\tU\n" * 20), "test")
            hardest.add(Candidates(batch, np.arange(20), bins, codes), scores)
        held = hardest.held()
        assert held is not None
        return list(held.batches * 20 + held.rows)

    assert rows(1) == rows(1) != rows(2)
    assert max(rows(1)) > 30


def test_columns_are_matched_to_tasks_by_name() -> None:
    assert matched(["CTCF"], 1, ["bound"], "bins", "m") == ([0], ["bound"])
    assert matched(None, 1, ["bound"], "bins", "m") == ([0], ["bound"])
    assert matched(["A", "B", "C"], 3, ["C", "A", "D"], "bins", "m") == ([0, 2], ["A", "C"])
    with pytest.raises(InputError, match="bins: holds no labels"):
        matched(None, 0, ["bound"], "bins", "m")
    with pytest.raises(InputError, match="2 label column\\(s\\) without names"):
        matched(None, 2, ["A", "B"], "bins", "m")
    with pytest.raises(InputError, match="has labels of X, Y, but m scores A, B"):
        matched(["X", "Y"], 2, ["A", "B"], "bins", "m")


def test_real_bins_are_scored_as_score_does(tfbind: Tfbind, trained: Trained, data: Path) -> None:
    bins = ok(tfbind("bin", data / "K562.dnase.bw", "--region", "chrX:48000001-48400000"))
    peaks = data / "K562.CTCF.relaxed.narrowPeak.gz"
    labelled = ok(
        tfbind("label", "-q", "--experiment", f"CTCF={peaks}", "--idr", "0.05", stdin=bins)
    )
    options = ["--background", "300", "--holdout", "chrX:48100001-48150000"]
    header, *lines = labelled.splitlines()
    plain = ok(tfbind("sample", *options, stdin=labelled)).splitlines()
    done = tfbind(
        "sample",
        *options,
        "--hard",
        trained.onnx,
        "--hard-count",
        "50",
        stdin=labelled,
        env=trained.env,
    )
    harder = ok(done).splitlines()
    table = ok(
        tfbind(
            "score", trained.onnx, "--format", "bed", "--no-header", stdin=labelled, env=trained.env
        )
    ).splitlines()
    wrong = []
    for line in table:
        _, start, end, label, score = line.split(b"\t")
        outside = int(end) <= 48_100_000 or int(start) >= 48_150_000
        if label == b"U" and outside:
            wrong.append((float(score), line.rpartition(b"\t")[0]))
    wrong.sort(reverse=True)
    hardest = {line for _, line in wrong[:50]}
    assert wrong[49][0] > wrong[50][0]
    assert set(harder) == hardest | set(plain)
    assert harder == [header, *(line for line in lines if line in hardest | set(plain))]
    extra = len(harder) - len(plain)
    told = "" if extra == 50 else f" ({50 - extra} of them drawn as well)"
    assert (
        f"tfbind: 50 of {len(wrong):,} unbound bins are hard negatives{told}, with scores from "
        f"{wrong[49][0]:.4g} to {wrong[0][0]:.4g} by {trained.onnx}" in done.stderr.decode()
    )


def test_hard_runs_without_tensorflow(trained: Trained, tmp_path: Path) -> None:
    env = trained.env
    options = ["--fasta", env["TFBIND_FASTA"], "--signal", env["TFBIND_SIGNAL"]]
    bins = "chrX\t48000000\t48000200\tU\n"
    loaded = modules_loaded_by(
        "sample", "-q", "--hard", str(trained.onnx), *options, stdin=bins, folder=tmp_path
    )
    assert {"tfbind.hardest", "onnxruntime"} <= loaded
    assert not loaded & set(TENSORFLOW)


def test_what_hard_needs_is_said(tfbind: Tfbind, trained: Trained, tmp_path: Path) -> None:
    bins = "chrX\t48000000\t48000200\tU\n"
    hard = ["sample", "--hard", str(trained.onnx)]
    env = trained.env
    no_genome = said(tfbind(*hard, stdin=bins, env={"TFBIND_SIGNAL": env["TFBIND_SIGNAL"]}), 2)
    assert "no genome: give --fasta" in no_genome
    message = said(tfbind(*hard, stdin=bins, env={"TFBIND_FASTA": env["TFBIND_FASTA"]}))
    assert "the model wants the signal 'dnase'" in message
    unlabelled = said(tfbind(*hard, stdin="chrX\t48000000\t48000200\n", env=env))
    assert "standard input: holds no labels, but --hard looks for unbound bins" in unlabelled
    odd = said(tfbind(*hard, stdin="chrX\t48000000\t48000100\tU\n", env=env))
    assert "line 1" in odd
    assert "200" in odd
    assert "goes with --hard MODEL" in said(tfbind("sample", "--hard-count", "5", stdin=bins), 2)
    output = tmp_path / "out.bed"
    said(tfbind("sample", "--hard", trained.keras, "-o", output, stdin=bins, env=env))
    assert not output.exists()
    assert ok(tfbind(*hard, stdin="", env=env)) == b""


def test_bins_on_a_contig_without_signal_stay(
    tfbind: Tfbind, trained: Trained, tmp_path: Path
) -> None:
    """Bound bins there are kept unscored; of the others the signal is 0."""
    genome = tmp_path / "two.fa"
    genome.write_text(">chrX\n" + "ACGT" * 1000 + "\n>chrO\n" + "ACCTG" * 800 + "\n")
    env = {**trained.env, "TFBIND_FASTA": str(genome)}
    header = "#contig\tstart\tend\tCTCF\n"
    bound = "".join(f"chrO\t{at}\t{at + 200}\tB\n" for at in range(400, 1400, 50))
    unbound = "".join(f"chrO\t{at}\t{at + 200}\tU\n" for at in range(1400, 1800, 50))
    hard = ("sample", "--background", "0", "--hard", trained.onnx, "--hard-count", "3")
    assert ok(tfbind(*hard, stdin=header + bound, env=env)).decode() == header + bound
    refused = tfbind(*hard, stdin=header + bound + unbound, env=env)
    assert refused.returncode == 1
    assert b"standard input: line 22: " in refused.stderr
    assert b"has no contig 'chrO'" in refused.stderr
    done = tfbind(*hard, "--missing", "zero", stdin=header + bound + unbound, env=env)
    lines = ok(done).decode().splitlines()
    assert lines[:21] == (header + bound).splitlines()
    assert len(lines) == 24
    assert set(lines[21:]) <= set(unbound.splitlines())
    assert b"3 of 8 unbound bins are hard negatives" in done.stderr
    held = tfbind(*hard, "--holdout", "chrO", stdin=header + bound + unbound, env=env)
    assert ok(held).decode() == header
    assert "'skip' is not one of" in said(tfbind(*hard, "--missing", "skip", env=env), 2)
