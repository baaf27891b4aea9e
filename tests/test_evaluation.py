"""Measures by hand and against scikit-learn, and `tfbind evaluate` as a user meets it."""

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Tfbind
from sklearn import metrics as sk

from tfbind.errors import InputError
from tfbind.evaluation import (
    Ranking,
    auprc_davis_goadrich,
    auprc_trapezoid,
    auroc,
    ranked,
    recall_at_fdr,
)
from tfbind.intervals import IntervalReader, Intervals
from tfbind.matching import Table, labels_of, match, read_table, scores_of
from tfbind.plots import POINTS, precision_recall_curve, roc_curve

ALL = (auroc, auprc_trapezoid, auprc_davis_goadrich)


def arrays(
    labels: str, scores: Iterable[float]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    return np.array([letter == "B" for letter in labels]), np.array(list(scores), np.float32)


def test_a_perfect_ranking() -> None:
    case = arrays("UBUB", [0.1, 0.9, 0.2, 0.8])
    assert [measure(*case) for measure in ALL] == [1, 1, 1]
    assert recall_at_fdr(*case, 0.1) == 1


def test_a_reversed_ranking() -> None:
    case = arrays("BUUU", [0, 1, 2, 3])
    assert auroc(*case) == 0
    # From precision 0 (three unbound bins above) to 1/4 at recall 1.
    assert auprc_trapezoid(*case) == auprc_davis_goadrich(*case) == 1 / 8
    assert recall_at_fdr(*case, 0.5) == 0
    assert recall_at_fdr(*case, 0.75) == 1


def test_a_constant_score_has_the_precision_of_chance() -> None:
    case = arrays("BUUUB", [0.5] * 5)
    assert auroc(*case) == 0.5
    # A straight line from precision 1 at recall 0 to 2/5; the true curve is 2/5 throughout.
    assert auprc_trapezoid(*case) == pytest.approx((1 + 2 / 5) / 2)
    assert auprc_davis_goadrich(*case) == pytest.approx(2 / 5)
    assert recall_at_fdr(*case, 0.5) == 0


def test_davis_and_goadrich_go_by_whole_true_positives() -> None:
    # One bound bin above, then a tie of two bound and four unbound ones: two a bound one.
    case = arrays("BBBUUUUU", [9, 5, 5, 5, 5, 5, 5, 1])
    first = 1.0
    second = (1 / 1 + 2 / 4) / 2
    third = (2 / 4 + 3 / 7) / 2
    assert auprc_davis_goadrich(*case) == pytest.approx((first + second + third) / 3)
    assert auprc_trapezoid(*case) == pytest.approx((1 + 2 * (1 + 3 / 7) / 2) / 3)
    assert auroc(*case) == pytest.approx((5 + 2 * (1 + 4 / 2)) / 15)


def test_unbound_bins_between_bound_ones_lower_the_left_side() -> None:
    case = arrays("BUUBU", [5, 4, 3, 2, 1])
    expected = (1 + (1 / 3 + 2 / 4) / 2) / 2
    assert auprc_davis_goadrich(*case) == auprc_trapezoid(*case) == pytest.approx(expected)
    assert recall_at_fdr(*case, 0.5) == 1
    assert recall_at_fdr(*case, 0.49) == 0.5


def r_uniform(seed: int, count: int) -> npt.NDArray[np.float64]:
    """Draw what `set.seed(seed); runif(count)` draws in R: the same generator, seeded its way."""
    state = []
    for step in range(50 + 625):
        seed = (69069 * seed + 1) % 2**32
        if step > 50:
            state.append(seed)
    random = np.random.RandomState()
    random.set_state(("MT19937", np.array(state, np.uint32), 624, 0, 0.0))
    return random.randint(0, 2**32, count, np.uint32).astype(np.float64) * 2.3283064365386963e-10


def test_the_authors_own_program_gives_the_same_area() -> None:
    # The value is that of Davis and Goadrich's auc.jar, which the tests of PRROC record.
    drawn = r_uniform(101, 200)
    ranking = ranked(0.3 + 0.7 * drawn[:100], 0.6 * drawn[100:])
    assert ranking.auprc_davis_goadrich == pytest.approx(0.9018680216532841, abs=1e-14)


@pytest.mark.parametrize("seed", range(30))
def test_scikit_learn_agrees_where_many_scores_tie(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random(500) < random.uniform(0.01, 0.9)
    labels[:2] = True, False
    scores = (random.integers(0, random.integers(1, 60), 500) / 7 + labels).astype(np.float32)
    precision, recall, _ = sk.precision_recall_curve(labels, scores)
    assert auroc(labels, scores) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)
    assert auprc_trapezoid(labels, scores) == pytest.approx(sk.auc(recall, precision), abs=1e-12)
    for cutoff in (0.1, 0.25, 0.5):
        assert recall_at_fdr(labels, scores, cutoff) == recall[1 - precision <= cutoff][0]


def test_davis_and_goadrich_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    ranking = ranked(random.integers(3, 9, 1000).astype(float), random.integers(0, 7, 5000) * 1.0)
    whole = ranking.auprc_davis_goadrich
    monkeypatch.setattr("tfbind.evaluation.CHUNK", 7)
    assert Ranking(
        ranking.bound_before,
        ranking.bound,
        ranking.unbound_before,
        ranking.unbound,
        1000,
        5000,
    ).auprc_davis_goadrich == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ("UU", [1, 2], "found no bound bin beside 2 of the other class"),
        ("BB", [1, 2], "found no unbound bin"),
        ("BU", [1, float("nan")], "found a score that is not a number"),
    ],
)
def test_what_cannot_be_measured(labels: str, scores: list[float], message: str) -> None:
    for measure in ALL:
        with pytest.raises(InputError, match=message):
            measure(*arrays(labels, scores))


def test_labels_and_scores_are_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\) and scores \(3,\)"):
        auroc(*arrays("BU", [1, 2, 3]))


def test_curves_are_thinned_and_keep_their_areas() -> None:
    random = np.random.default_rng(1)
    ranking = ranked(random.normal(2, 1, 20_000), random.normal(0, 1, 200_000))
    for x, y, area in (
        (*roc_curve(ranking), ranking.auroc),
        (*precision_recall_curve(ranking), ranking.auprc_davis_goadrich),
    ):
        assert len(x) <= POINTS
        assert (x[0], x[-1]) == (0, 1)
        assert np.trapezoid(y, x) == pytest.approx(area, abs=1e-4)


def test_a_long_tie_bends_the_drawn_curve() -> None:
    ranking = ranked(np.array([2.0, 1, 1, 1]), np.ones(96))
    recall, precision = precision_recall_curve(ranking)
    assert np.interp(0.5, recall, precision) == pytest.approx(2 / (2 + 32), rel=1e-3)


def bed(*rows: tuple[object, ...]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


BINS = [
    ("chr1", 0, 200),
    ("chr1", 50, 250),
    ("chr1", 100, 300),
    ("chr2", 0, 200),
    ("chr2", 50, 250),
]
LABELS = [(*row, letter) for row, letter in zip(BINS, "UBAUB", strict=True)]
SCORES = [(*row, score) for row, score in zip(BINS, (0.2, 0.9, 0.95, 0.5, 0.4), strict=True)]
EXPECTED = {
    "bins": "5",
    "bound": "2",
    "unbound": "2",
    "ambiguous_dropped": "1",
    "auroc": "0.750000",
    "auprc_trapezoid": f"{(1 + (1 / 2 + 2 / 3) / 2) / 2:.6f}",
    "auprc_davis_goadrich": f"{(1 + (1 / 2 + 2 / 3) / 2) / 2:.6f}",
    "recall_at_10_fdr": "0.500000",
    "recall_at_50_fdr": "1.000000",
    # Bound 0.9 and 0.4, unbound 0.2 and 0.5; each is a group of its own.
    "brier": f"{(0.1**2 + 0.6**2 + 0.2**2 + 0.5**2) / 4:.6f}",
    "calibration_error": f"{(0.1 + 0.6 + 0.2 + 0.5) / 4:.6f}",
}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.bed"
    path.write_text("# from tfbind label\n" + bed(*LABELS))
    return path


def table(stdout: bytes) -> dict[str, str]:
    return dict(line.split("\t") for line in stdout.decode().splitlines())


@pytest.mark.parametrize("rows", [SCORES, SCORES[::-1], SCORES[3:] + SCORES[:3]])
def test_scores_in_any_order(tfbind: Tfbind, labels: Path, rows: list[tuple[object, ...]]) -> None:
    done = tfbind("evaluate", "--labels", labels, stdin=bed(*rows))
    assert (done.returncode, done.stderr) == (0, b"")
    assert table(done.stdout) == EXPECTED


def test_labels_beside_the_scores(tfbind: Tfbind) -> None:
    rows = [(*label, "x", score[3]) for label, score in zip(LABELS, SCORES, strict=True)]
    done = tfbind("evaluate", stdin=bed(*rows))
    assert table(done.stdout) == EXPECTED
    turned = [(*score, *label[3:]) for label, score in zip(LABELS, SCORES, strict=True)]
    done = tfbind("evaluate", "--score-column=4", "--label-column=5", stdin=bed(*turned))
    assert table(done.stdout) == EXPECTED


def test_json_has_all_digits_and_the_files(tfbind: Tfbind, labels: Path) -> None:
    done = tfbind("evaluate", "--json", "--labels", labels, stdin=bed(*SCORES))
    found = json.loads(done.stdout)
    assert found["auprc_trapezoid"] == (1 + (1 / 2 + 2 / 3) / 2) / 2
    assert found["bins"] == 5
    assert (found["scores"], found["labels"]) == ("standard input", str(labels))
    assert found["labels_left_out"] == 0


def test_labels_of_contigs_without_scores_are_left_out(tfbind: Tfbind, tmp_path: Path) -> None:
    path = tmp_path / "more.bed"
    path.write_text(bed(("chr0", 0, 200, "B"), *LABELS, ("chr3", 0, 200, "B")))
    done = tfbind("evaluate", "--labels", path, stdin=bed(*SCORES))
    assert table(done.stdout) == EXPECTED
    assert done.stderr.decode() == (
        "tfbind: left out 2 labels on 2 contig(s) without a score (chr0, chr3)\n"
    )
    assert tfbind("evaluate", "-q", "--labels", path, stdin=bed(*SCORES)).stderr == b""


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        ("", "standard input: holds no interval, expected one bin a line"),
        (
            bed(*SCORES[1:]),
            "labels.bed: line 2: 0 scored bins have no label in LABELS and 1 labelled bins of the "
            "same contigs have no score in standard input, such as chr1 0 200; label the same bins",
        ),
        (
            bed(("chr2", 100, 300, 0.1), *SCORES, ("chr1", 5000, 5200, 0.1)),
            "standard input: line 1: 2 scored bins have no label in LABELS and 0 labelled bins",
        ),
        (
            "#tfbind 1\n" + bed(*SCORES, SCORES[1]),
            "standard input: line 7: 1 of 6 lines of the scores hold a bin again, such as "
            "chr1 50 250; expected each bin once",
        ),
        (
            bed(*((c, a + 75, a + 125, x) for c, a, _, x in SCORES)),
            "standard input: found 5 intervals of 50 bp, expected 200 bp as of the 5 labelled bins "
            "in LABELS; a bedGraph's intervals are not bins: write scores with tfbind score "
            "--format bed",
        ),
        (
            bed(*SCORES[:2], ("chr1", 100, 250, 0.5)),
            "standard input: line 3: found an interval of 150 bp, expected bins of 200 bp",
        ),
        (
            bed(*SCORES[:2], ("chr1", 100, 300, "high"), ("chr1", 150, 350, "low")),
            "standard input: line 3: found 'high' in column 4, expected a score, a number",
        ),
        (
            bed(*SCORES[:1], ("chr1", 50, 250, "nan")),
            "standard input: line 2: found 'nan' in column 4, expected a score, a number",
        ),
        (bed(*BINS), "standard input: line 1: found 3 columns, expected scores in column 4"),
        (
            bed(("1", 0, 200, 0.5), ("2", 0, 200, 0.5)),
            "standard input: found scores on 1, 2 and no label there; the labels in LABELS lie on "
            "chr1, chr2",
        ),
        (
            bed(("chr1", 2**32, 2**32 + 200, 1)),
            "standard input: line 1: found a start of 4294967296",
        ),
    ],
)
def test_scores_that_do_not_fit(tfbind: Tfbind, labels: Path, stdin: str, message: str) -> None:
    done = tfbind("evaluate", "--labels", labels, stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert message.replace("LABELS", str(labels)) in done.stderr.decode()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*LABELS, LABELS[0]], "line 6: 1 of 6 lines of the labels hold a bin again"),
        ([*LABELS[:4], (*BINS[4], "C")], "line 5: found 'C' in column 4, expected a label"),
        ([*LABELS[:3], (*BINS[3], ""), (*BINS[4], "BU")], "line 4: found '' in column 4"),
        ([(*row, "U") for row in BINS], "found no bound bin beside 5 of the other class"),
        (BINS, "line 1: found 3 columns, expected labels in column 4"),
    ],
)
def test_labels_that_do_not_fit(
    tfbind: Tfbind, tmp_path: Path, rows: list[tuple[object, ...]], message: str
) -> None:
    path = tmp_path / "labels.bed"
    path.write_text(bed(*rows))
    done = tfbind("evaluate", "--labels", path, stdin=bed(*SCORES))
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert f"{path}: {message}" in done.stderr.decode()


def test_scores_without_labels(tfbind: Tfbind, labels: Path) -> None:
    done = tfbind("evaluate", stdin=bed(*SCORES))
    assert done.returncode == 1
    assert b"found 4 columns and no labels in column 4; give --labels FILE" in done.stderr
    assert tfbind("evaluate", "--labels", "-").returncode == 2
    twice = bed(
        *((*row, letter, 1) for row, letter in zip([*BINS, BINS[0]], "UBAUBU", strict=True))
    )
    done = tfbind("evaluate", stdin=twice)
    assert b"line 6: 1 of 6 lines of the bins hold a bin again" in done.stderr


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_plots(tfbind: Tfbind, labels: Path, tmp_path: Path, suffix: str, magic: bytes) -> None:
    picture = tmp_path / f"curves.{suffix}"
    command = ("evaluate", "--labels", labels, "--plot", picture)
    assert tfbind(*command, stdin=bed(*SCORES)).returncode == 0
    first = picture.read_bytes()
    assert first.startswith(magic)
    done = tfbind(*command, stdin=bed(*SCORES))
    assert (done.returncode, b"give --force" in done.stderr) == (1, True)
    assert tfbind(*command, "--force", stdin=bed(*SCORES)).returncode == 0
    assert picture.read_bytes() == first
    if suffix == "svg":
        assert b"AUROC 0.7500" in first
        assert b"recall 0.5000 at 10 % FDR" in first


def test_a_picture_of_another_kind_is_refused(tfbind: Tfbind, labels: Path) -> None:
    done = tfbind("evaluate", "--labels", labels, "--plot", "x.gif", stdin=bed(*SCORES))
    assert done.returncode == 2


def test_without_matplotlib(tfbind: Tfbind, labels: Path, tmp_path: Path) -> None:
    hook = "import importlib.util as u\nfind = u.find_spec\n"
    hook += (
        "u.find_spec = lambda name, *rest: None if name == 'matplotlib' else find(name, *rest)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(hook)
    command = ("evaluate", "--labels", labels, "--plot", "x.png")
    done = tfbind(*command, stdin=bed(*SCORES), env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.endswith(b"install it with: pip install 'tfbind[plot]'\n")


def read(text: str, contigs: dict[str, int], kind: str, like: Table | None = None) -> Table:
    def parse(batch: Intervals) -> npt.NDArray[Any]:
        return scores_of(batch, "x", None) if kind == "scores" else labels_of(batch, "x", 4)

    return read_table(IntervalReader(BytesIO(text.encode()), "x"), "x", contigs, [parse], like)


@pytest.mark.parametrize("swap", ["none", "late", "all"])
def test_matching_over_many_batches(swap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfbind.text.BLOCK", 512)
    random = np.random.default_rng(5)
    rows = [(f"chr{c}", s, s + 200) for c in (1, 10, 2) for s in range(0, 20_000, 50)]
    letters, values = random.choice(list("UAB"), len(rows)), random.integers(0, 9999, len(rows))
    order = np.arange(len(rows))
    if swap == "late":
        order[[-1, -2]] = order[[-2, -1]]
    elif swap == "all":
        random.shuffle(order)
    contigs: dict[str, int] = {}
    labels = read(bed(*((*r, x) for r, x in zip(rows, letters, strict=True))), contigs, "labels")
    text = "# head\n" + bed(*((*rows[i], values[i]) for i in order))
    scores = read(text, contigs, "scores", labels)
    assert (scores.keys is labels.keys) == (swap == "none")
    assert scores.line(1100) == 1102
    assert scores.shown(1100) == "{} {} {}".format(*rows[order[1100]])
    matched = match(scores, labels)
    pairs = sorted(
        zip(matched.scores.tolist(), np.array(list("UAB"))[matched.labels].tolist(), strict=True)
    )
    assert pairs == sorted(zip(values.tolist(), letters.tolist(), strict=True))
