"""Scores as probabilities: how far they are from it, and `tfbind calibrate`."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Tfbind, Trained, ok, said
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from tfbind.calibration import MOST, calibrated, fit
from tfbind.channels import Sources
from tfbind.cli.leakage import check_training_bins
from tfbind.contract import Calibration, Contract, Geometry, Input, Method
from tfbind.errors import InputError
from tfbind.evaluation import ordered, ranking_of
from tfbind.genome import Genome
from tfbind.leakage import training_bins
from tfbind.matching import Table
from tfbind.model import Model
from tfbind.recipe import Recipe
from tfbind.reliability import STRATA, reliability
from tfbind.signal import Signal

Scores = npt.NDArray[np.float32]


def drawn(bound: int, unbound: int, offset: float = 3.0) -> tuple[Scores, Scores]:
    """Draw log-odds, too high by an offset, and give them as scores from 0 to 1."""
    random = np.random.default_rng(7)
    odds = random.normal(1, 1.5, bound) + offset, random.normal(-3, 1.5, unbound) + offset
    one, other = ((1 / (1 + np.exp(-some))).astype(np.float32) for some in odds)
    return ordered(one, other)


def both(bound: Scores, unbound: Scores) -> tuple[Scores, npt.NDArray[np.int64]]:
    labels = np.repeat([1, 0], [len(bound), len(unbound)])
    return np.concatenate([bound, unbound]), labels


def test_brier_score_and_calibration_error_by_hand() -> None:
    found = reliability(
        *ordered(np.array([0.9, 0.6], np.float32), np.array([0, 0, 0.6, 0.2], np.float32))
    )
    assert found is not None
    assert found.brier == pytest.approx((0.01 + 0.16 + 0 + 0 + 0.36 + 0.04) / 6)
    # Ties stay together: 0 twice, 0.2, 0.6 of either class, 0.9.
    assert found.alike.bins.tolist() == [2, 1, 2, 1]
    assert found.alike.bound.tolist() == [0, 0, 1, 1]
    assert found.error == pytest.approx((0 * 2 + 0.2 + 0.1 * 2 + 0.1) / 6)
    assert found.ranges.scores.tolist() == pytest.approx([0, 0.2, 0.6, 0.9])


def test_groups_hold_equally_many_bins() -> None:
    bound, unbound = drawn(301, 29_699)
    found = reliability(bound, unbound)
    assert found is not None
    scores, labels = both(bound, unbound)
    assert found.brier == pytest.approx(brier_score_loss(labels, scores.astype(float)))
    assert found.alike.bins.tolist() == [2000] * STRATA
    order = np.argsort(scores, kind="stable")
    groups = order.reshape(STRATA, -1)
    expected = np.abs(scores[groups].mean(1, dtype=float) - labels[groups].mean(1)).mean()
    assert found.error == pytest.approx(expected)
    low, high = found.intervals()
    assert (low <= found.ranges.shares).all()
    assert (high >= found.ranges.shares).all()
    assert (high[found.ranges.bound == 0] > 0).all()


def test_scores_beyond_0_and_1_are_no_probabilities() -> None:
    one, two = np.array([0.5], np.float32), np.array([-0.1], np.float32)
    assert reliability(one, two) is None
    assert reliability(np.array([1.5], np.float32), one) is None


@pytest.mark.parametrize("method", ["isotonic", "platt"])
@pytest.mark.parametrize("counts", [(3000, 100_000), (40, 1500)])
def test_calibrated_scores_are_probabilities_in_the_same_order(
    method: Method, counts: tuple[int, int]
) -> None:
    bound, unbound = drawn(*counts)
    how = fit(bound, unbound, method, "abc")
    assert (how.method, how.bound, how.unbound, how.sha256) == (method, *counts, "abc")
    assert len(how.scores) <= MOST + 2
    made = calibrated(bound, how), calibrated(unbound, how)
    before, after = reliability(bound, unbound), reliability(*made)
    assert before is not None
    assert after is not None
    assert before.error > 0.4
    assert after.error < 0.01
    assert after.brier < before.brier / 5
    scores = np.unique(both(bound, unbound)[0])
    assert (np.diff(calibrated(scores, how)) >= 0).all()
    kept = len(np.unique(calibrated(scores, how))) / len(scores)
    assert kept > 0.97  # float32 has less room near 1 than near 0
    was, now = (ranking_of(*some).auprc_davis_goadrich for some in ((bound, unbound), made))
    assert now == pytest.approx(was, abs=1e-6)


def test_isotonic_steps_are_those_of_scikit_learn() -> None:
    bound, unbound = drawn(40, 1500)
    how = fit(bound, unbound, "isotonic", "")
    scores, labels = both(bound, unbound)
    smooth = np.where(labels, 41 / 42, 1 / 1502)
    steps = IsotonicRegression().fit(scores.astype(float), smooth).predict(scores).round(12)
    values = np.unique(steps)
    assert how.probabilities[1:-1] == pytest.approx(values)  # between the two ends
    centres = [scores[steps == value].mean(dtype=float) for value in values]
    assert how.scores[1:-1] == pytest.approx(centres)
    assert (how.scores[0], how.probabilities[0], how.scores[-1]) == (0, 0, 1)
    assert how.probabilities[-1] < 1


@pytest.mark.parametrize("floor", [1e-6, 0.0])
def test_tied_scores_stay_on_their_step(floor: float) -> None:
    """Nearly all bins share the lowest score; what is above it reaches far beyond."""
    random = np.random.default_rng(2)
    floored = np.full(200_000, floor, np.float32)
    rest = random.uniform(0.01, 1, 4000).astype(np.float32)
    hit = random.random(len(rest)) < rest**2
    for share in (4e-5, 0.002):
        of = round(share * len(floored))
        bound, unbound = ordered(
            np.append(floored[:of], rest[hit]), np.append(floored[of:], rest[~hit])
        )
        how = fit(bound, unbound, "isotonic", "")
        assert calibrated(floored[:1], how)[0] == pytest.approx((of + 1) / 200_000, rel=0.05)
        made = calibrated(np.unique(both(bound, unbound)[0]), how)
        assert (np.diff(made) > 0).mean() > 0.99
    # A quarter is far from most, and there is no line through the origin all the same.
    few = np.concatenate([floored[:800], random.uniform(0, 0.01, 4000).astype(np.float32)])
    how = fit(*ordered(rest[hit], np.append(few, rest[~hit])), "isotonic", "")
    assert 0 < calibrated(floored[:1], how)[0] < 1e-3


def test_two_scores_of_many_bins_in_a_step_stay_on_it() -> None:
    counts = {0.1: (50, 4950), 0.5: (50, 4950), 0.6: (50, 50)}
    bound, unbound = (
        np.concatenate([np.full(n[k], score, np.float32) for score, n in counts.items()])
        for k in (0, 1)
    )
    found = calibrated(np.array([0.1, 0.5, 0.6], np.float32), fit(bound, unbound, "isotonic", ""))
    assert found.tolist() == pytest.approx([0.01, 0.01, 0.5], rel=0.13)
    assert found[0] < found[1]
    assert found[:2].mean() == pytest.approx(0.01, rel=0.02)


def test_scores_too_small_for_log_odds_are_said() -> None:
    bound, unbound = ordered(
        np.geomspace(1e-16, 1e-13, 50).astype(np.float32),
        np.geomspace(1e-20, 1e-16, 500).astype(np.float32),
    )
    with pytest.raises(InputError, match=r"from 1e-20 to 1e-13, too near .* --method isotonic"):
        fit(bound, unbound, "platt", "")
    assert len(fit(bound, unbound, "isotonic", "").scores) > 2


def test_platt_is_a_logistic_regression_of_log_odds() -> None:
    bound, unbound = drawn(400, 9000)
    scores, labels = both(bound, unbound)
    odds = np.log(scores.astype(float)) - np.log1p(-scores.astype(float))
    smooth = np.where(labels, 401 / 402, 1 / 9002)
    exact = LogisticRegression(C=np.inf, tol=1e-9, max_iter=500)
    exact.fit(
        np.tile(odds, 2)[:, None],
        np.repeat([1, 0], len(odds)),
        sample_weight=np.concatenate([smooth, 1 - smooth]),
    )
    expected = exact.predict_proba(odds[:, None])[:, 1]
    found = calibrated(scores, fit(bound, unbound, "platt", ""))
    np.testing.assert_allclose(found, expected, atol=5e-4, rtol=5e-3)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_log_odds_are_calibrated_and_end_where_they_were_seen(method: Method) -> None:
    random = np.random.default_rng(3)
    bound, unbound = ordered(
        random.normal(2, 2, 500).astype(np.float32), random.normal(-4, 2, 20_000).astype(np.float32)
    )
    how = fit(bound, unbound, method, "")
    after = reliability(calibrated(bound, how), calibrated(unbound, how))
    assert after is not None
    assert after.error < 0.003
    ends = np.array([-1e9, how.scores[0], how.scores[-1], 1e9], np.float32)
    found = calibrated(ends, how)
    assert (found[0], found[3]) == (found[1], found[2])
    assert 0 < found[0] < found[3] < 1


def test_many_steps_become_few() -> None:
    random = np.random.default_rng(5)
    scores = random.random(400_000).astype(np.float32)
    labels = random.random(len(scores)) < scores**2
    how = fit(*ordered(scores[labels], scores[~labels]), "isotonic", "")
    assert 100 < len(how.scores) <= MOST + 2
    grid = np.linspace(0.05, 0.95, 50).astype(np.float32)
    np.testing.assert_allclose(calibrated(grid, how), grid**2, atol=0.02)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_scores_that_do_not_rise_with_binding_are_refused(method: Method) -> None:
    low, high = np.array([0.1, 0.2], np.float32), np.array([0.8, 0.9], np.float32)
    for bound, unbound in ((low, high), (low, low), (low[:1], low[:1])):
        with pytest.raises(InputError, match="no higher where bins are bound"):
            fit(bound, unbound, method, "")
    with pytest.raises(InputError, match="infinite"):
        fit(np.array([1, np.inf], np.float32), low, method, "")


CALIBRATION = Calibration("isotonic", (0.0, 0.5, 1.0), (0.0, 0.1, 0.9), 3, 4, "abc")


def test_the_contract_carries_it() -> None:
    contract = Contract(Geometry(), (Input("sequence", "sequence", "uint8"),), ("CTCF",))
    known = json.loads(contract.to_json())
    del known["calibration"]
    assert Contract.from_json(json.dumps(known | {"version": 3}), "m") == contract
    changed = replace(contract, calibration={"CTCF": CALIBRATION})
    assert Contract.from_json(changed.to_json(), "m") == changed
    broken = json.loads(changed.to_json())
    broken["calibration"]["CTCF"]["scores"] = [0, 0.5, 0.5]
    with pytest.raises(InputError, match=r"^m: holds a contract that cannot be read"):
        Contract.from_json(json.dumps(broken), "m")


def table(stdout: bytes) -> dict[str, str]:
    return dict(line.split("\t") for line in stdout.decode().splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibrated")


@pytest.fixture(scope="module")
def env(trained: Trained, data: Path) -> dict[str, str]:
    return dict(trained.env) | {"TFBIND_SIGNAL": f"dnase={data / 'HeLa-S3.dnase.bw'}"}


@pytest.fixture(scope="module")
def truth(labelled: bytes, folder: Path) -> Path:
    path = folder / "labels.bed"
    path.write_bytes(labelled)
    return path


@pytest.fixture(scope="module")
def raw(
    tfbind: Tfbind, trained: Trained, two_megabases: bytes, env: dict[str, str], folder: Path
) -> Path:
    """Score the 2 Mb that the network was not trained on."""
    path = folder / "raw.bed"
    command = ("score", trained.onnx, "--format", "bed", "--raw", "-o", path)
    ok(tfbind(*command, stdin=two_megabases, env=env))
    return path


@pytest.fixture(scope="module")
def model(tfbind: Tfbind, trained: Trained, raw: Path, truth: Path, folder: Path) -> Path:
    path = folder / "calibrated.onnx"
    done = tfbind(
        "calibrate", trained.onnx, raw, "--labels", truth, "--cell", "HeLa-S3", "-o", path
    )
    ok(done)
    assert b"bound: isotonic, " in done.stderr
    assert done.stderr.count(b"\n") == 1
    return path


def test_score_applies_what_the_model_holds(
    tfbind: Tfbind,
    model: Path,
    raw: Path,
    truth: Path,
    two_megabases: bytes,
    env: dict[str, str],
) -> None:
    done = tfbind("score", model, "--format", "bed", stdin=two_megabases, env=env)
    scores = ok(done)
    assert b"\tcalibrated=isotonic\t" in scores[: scores.index(b"\n")]
    assert b"calibrated: isotonic; --raw leaves it out" in done.stderr
    labels = ("--labels", truth, "--cell", "HeLa-S3")
    before = table(ok(tfbind("evaluate", raw, *labels)))
    after = table(ok(tfbind("evaluate", *labels, stdin=scores)))
    assert float(after["brier"]) < float(before["brier"]) / 2
    assert float(after["calibration_error"]) < 0.002 < float(before["calibration_error"])
    for name in ("auroc", "auprc_davis_goadrich", "recall_at_50_fdr"):
        assert float(after[name]) == pytest.approx(float(before[name]), abs=2e-5)
    few = b"".join(two_megabases.splitlines(True)[700:800])
    again = ok(tfbind("score", model, "--format", "bed", "--raw", stdin=few, env=env))
    assert again.splitlines()[1:] == raw.read_bytes().splitlines()[701:801]
    assert b"calibrated=" not in again
    part = ok(tfbind("score", model, "--format", "bed", stdin=few, env=env))
    assert part.splitlines()[1:] == scores.splitlines()[701:801]


def test_workers_open_the_model_alike(model: Path, data: Path) -> None:
    sources = Sources(
        Genome(data / "hg19.chrX_cut.fa.gz"), {"dnase": Signal(data / "HeLa-S3.dnase.bw")}
    )
    for left_out in (True, False):
        here = Model(model, device="cpu", raw=left_out)
        assert Recipe.of(here, sources).open()[0].contract == here.contract
        assert bool(here.contract.calibration) != left_out


def test_calibrating_again_replaces_it(
    tfbind: Tfbind, model: Path, raw: Path, truth: Path, folder: Path
) -> None:
    again = folder / "again.onnx"
    command = ("calibrate", model, raw, "--labels", truth, "--cell=HeLa-S3", "--method=platt")
    ok(tfbind(*command, "-o", again))
    one, two = (Model(path, device="cpu").contract.calibration["bound"] for path in (model, again))
    assert (one.method, two.method, one.sha256) == ("isotonic", "platt", two.sha256)
    assert (one.bound, one.unbound) == (two.bound, two.unbound)
    beside = folder / "beside.onnx"
    lines = raw.read_text().splitlines()
    letters = [line.split("\t")[3] for line in truth.read_text().splitlines()[1:]]
    mixed = [lines[0]]
    for line, letter in zip(lines[1:], letters, strict=True):
        *place, score = line.split("\t")
        mixed.append("\t".join([*place, letter, score]))
    done = tfbind("calibrate", model, "--method=platt", "-o", beside, stdin="\n".join(mixed))
    ok(done)
    assert beside.read_bytes() == again.read_bytes()


def test_scores_that_are_not_for_it(
    tfbind: Tfbind, trained: Trained, model: Path, raw: Path, truth: Path, folder: Path
) -> None:
    output = folder / "never.onnx"
    end = ("--labels", truth, "--cell", "HeLa-S3", "-o", output)
    text = raw.read_text()
    head, rest = text.split("\n", 1)

    def refused(stdin: str, *options: str, status: int = 1) -> str:
        told = said(tfbind("calibrate", trained.onnx, *options, *end, stdin=stdin), status)
        assert not output.exists()
        return told

    assert "expected raw ones" in refused(f"{head}\tcalibrated=platt\n{rest}")
    other = head.replace("sha256=", "sha256=0")
    assert "holds scores of ctcf.onnx with the sha256 0" in refused(f"{other}\n{rest}")
    assert "holds no interval" in refused("")
    far = rest.replace("chrX", "chr2")
    assert "found scores on chr2 and no label there" in refused(f"{head}\n{far}")
    assert "no task 'MAX': there is bound" in refused(text, "--task", "MAX", status=2)
    unbound = folder / "unbound.bed"
    unbound.write_text("".join(f"{line[: line.rindex(chr(9))]}\tU\n" for line in rest.splitlines()))
    told = said(tfbind("calibrate", trained.onnx, raw, "--labels", unbound, "-o", output))
    assert "bound: found no bound bin beside 39,997 of the other class" in told
    done = tfbind("calibrate", trained.keras, raw, *end)
    assert "seems to be a Keras network" in said(done)
    assert "give --force" in said(tfbind("calibrate", trained.onnx, raw, *end[:-1], model))


def test_bins_of_the_training_are_refused(
    tfbind: Tfbind, trained: Trained, raw: Path, folder: Path
) -> None:
    random = np.random.default_rng(1)
    places = [("chrX", at, at + 200) for at in range(47_900_000, 48_100_000, 1000)]
    values, letters = random.random(len(places)), random.choice(["B", "U"], len(places))
    lines = ["\t".join(map(str, place)) for place in places]
    scores = raw.read_text().split("\n", 1)[0] + "\n"
    scores += "".join(f"{line}\t{value}\n" for line, value in zip(lines, values, strict=True))
    truth = folder / "near.bed"
    truth.write_text("".join(f"{a}\t{b}\n" for a, b in zip(lines, letters, strict=True)))
    command = ("calibrate", trained.onnx, "--labels", truth, "-o", folder / "near.onnx")
    told = said(tfbind(*command, stdin=scores))
    assert re.search(
        r" \d+ of 200 bins lie in or next to chrX:[\d-]+, where the model was trained on He", told
    )
    assert "give held-out bins, such as those of chrX:48000001-50000000, or tell by --cell" in told
    assert said(tfbind(*command, "--cell", "HeLa-S3", stdin=scores)) == told
    unnamed = said(tfbind(*command, "--cell", "K562", stdin=scores))
    assert "too good; nothing in scores and labels names K562; give held-out bins" in unnamed
    named = scores.replace("signal:dnase=HeLa-S3.", "signal:dnase=K562.")
    done = tfbind(*command, "-q", "--cell", "K562", stdin=named)
    ok(done)
    assert b"they are taken as those of another cell type, K562\n" in done.stderr
    truth.write_text("#contig\tstart\tend\tK562\n" + truth.read_text())
    ok(tfbind(*command, "--force", "--cell", "K562", stdin=scores))
    done = tfbind(*command, "--allow-training-bins", "--force", stdin=scores)
    ok(done)
    assert b"their scores are too good\n" in done.stderr


def test_windows_are_kept_apart_and_models_without_regions_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Windows of 1,000 bp around bins of 200 bp: each reaches 400 bp beyond its bin."""
    contract = Contract(
        Geometry(),
        (Input("sequence", "sequence", "uint8"),),
        ("CTCF",),
        trained_on=("chr1:10001-20000",),
    )
    starts = np.array([9000, 9001, 15_000, 20_799, 20_800], np.uint64)
    near = [training_bins(Table("x", {"chr1": 0}, 200, one[None]), contract) for one in starts]
    assert near == [0, 1, 1, 1, 0]
    silent = replace(contract, trained_on=())
    check_training_bins(Table("x", {}), (), silent, None, allowed=False, quiet=False)
    assert "the model does not tell where it was trained" in capfd.readouterr().err
