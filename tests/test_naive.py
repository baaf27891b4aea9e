"""Logistic regression on open bins, and what both baselines refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
from baseline_parts import DNASE, GEOMETRY, SEQUENCE, Parts, arrays_of, motifs, parts_of
from conftest import Tfbind, said
from sklearn.linear_model import LogisticRegression

from tfbind import logistic
from tfbind.channels import described
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.export import export
from tfbind.logistic import regression
from tfbind.networks import architecture, scans
from tfbind.networks.heads import LOGITS
from tfbind.settings import Settings
from tfbind.tabular import Table

Array = npt.NDArray[Any]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
"""Keras saves so."""

EXPRESSION = Input("expression", "expression", "float32", along="cell", features=("a", "b"))


@pytest.fixture(scope="module")
def parts(
    tfbind: Tfbind, data: Path, labelled: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Parts:
    return parts_of(tfbind, data, labelled, tmp_path_factory.mktemp("baselines") / "a.tiles")


def test_regression_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal([3, -20], [2, 5], (400, 2))
    labels = (features[:, 0] - features[:, 1] / 4 + rng.normal(0, 2, 400) > 9).astype(float)
    weights = np.where(labels, 7.0, 1.0)
    line = regression(features, labels, weights)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    known = LogisticRegression(tol=1e-10).fit(
        standard, labels, sample_weight=weights / weights.mean()
    )
    np.testing.assert_allclose(line[:2] * features.std(axis=0), known.coef_[0], rtol=1e-5)
    expected = known.decision_function(standard)
    np.testing.assert_allclose(features @ line[:2] + line[2], expected, atol=1e-5)


def test_regression_ends_where_a_line_parts_the_classes() -> None:
    features = np.array([[0.0, 5], [1, 5], [2, 5], [3, 5]])
    line = regression(features, np.array([0.0, 0, 1, 1]), np.ones(4))
    assert line[1] == 0  # a feature that is always the same
    assert 0.5 < line[0] < 5
    assert line[0] * 1.5 + line[2] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("reach", [0, 70])
def test_naive_looks_at_the_best_around_the_bin(data: Path, reach: int) -> None:
    spec = motifs(data)
    inputs = [SEQUENCE, spec, DNASE]
    model = architecture("naive").build(inputs, GEOMETRY, reach=reach)
    arrays = arrays_of(30)
    looker = keras.Model(model.inputs, model.get_layer(LOGITS).input)
    found = np.asarray(looker(arrays))[0]
    assert found.shape == (30, len(spec.features) + 2)
    one_hot = np.eye(5, 4)[arrays["sequence"][0]]
    widest = max(len(spec.table[name]) for name in spec.features)
    for bin_ in range(30):
        start = bin_ * 50 + GEOMETRY.flank
        stretch = slice(start - reach, start + 200 + reach)
        if not arrays["dnase"][0, start : start + 200].any():
            assert not found[bin_].any()
            continue
        assert found[bin_, -1] == 1
        assert found[bin_, -2] == arrays["dnase"][0, stretch].max()
        for place, name in enumerate(spec.features):
            rows = np.array(spec.table[name])
            before = (widest - len(rows)) // 2
            rows = np.pad(rows, ((before, widest - len(rows) - before), (0, 0)))
            there = np.lib.stride_tricks.sliding_window_view(one_hot[stretch], widest, axis=0)
            turned = np.stack([rows.T, rows[::-1, ::-1].T])
            turned[1] = np.pad(
                np.array(spec.table[name])[::-1, ::-1],
                ((before, widest - len(spec.table[name]) - before), (0, 0)),
            ).T
            best = np.einsum("pcw,scw->ps", there, turned).max()
            assert found[bin_, place] == pytest.approx(best, abs=1e-4)


def test_naive_takes_no_other_bin_for_open(data: Path) -> None:
    """`least` is in the unit of the track, whatever its transform."""
    inputs = [SEQUENCE, motifs(data), DNASE]
    model = architecture("naive").build(inputs, GEOMETRY, least=3)
    arrays = arrays_of(4)
    looker = keras.Model(model.inputs, model.get_layer(LOGITS).input)
    for height, is_open in ((2.5, 0), (3, 0), (3.5, 1)):
        arrays["dnase"][:] = np.log1p(np.float32(height))
        assert (np.asarray(looker(arrays))[..., -1] == is_open).all()


def test_naive_gives_closed_bins_the_floor(parts: Parts, tmp_path: Path) -> None:
    model = parts.build("naive")
    assert scans(model)
    steps: list[int] = []
    inputs = [one for one in parts.inputs if one.source != "shape"]
    history = logistic.fit(
        model, inputs, parts.training, parts.validation, Settings(), lambda n, _: steps.append(n)
    )
    (epoch,) = history.epochs
    assert (history.best, epoch.number) == (1, 1)
    assert 0.3 < epoch.validation_auprc < 1
    assert epoch.validation_auprc == pytest.approx(np.mean(epoch.areas))
    assert 0 < sum(steps) <= parts.training.pieces * parts.training.bins
    table = Table(model, inputs, parts.training, parts.validation, Settings())
    features, truth = map(np.concatenate, zip(*table.learnt(), strict=True))
    weights, constant = model.get_layer(LOGITS).get_weights()
    logits = features @ weights + constant
    is_open = features[:, -1] > 0
    assert 0 < is_open.mean() < 1
    for task in range(2):
        assert set(logits[~is_open, task]) == {constant[task]}
        lowest = logits[is_open & (truth[:, 2 + task] > 0), task].min()
        bound, weight = truth[~is_open, task] > 0, truth[~is_open, 2 + task]
        odds = (weight[bound].sum() + 0.5) / (weight[~bound].sum() + 0.5)
        assert constant[task] == pytest.approx(min(np.log(odds), lowest), rel=1e-5)

    network = parts.saved("naive", model, history, tmp_path)
    for both in (False, True):
        _, difference = export(network, both_strands=both)
        assert difference < 1e-5


@pytest.mark.parametrize(
    ("arch", "names", "sizes", "message"),
    [
        ("naive", "sequence dnase", {}, "found no motif among the inputs sequence, dnase, which"),
        ("naive", "sequence motif", {}, "found no signal among the inputs sequence, motif, which"),
        ("naive", "sequence motif dnase shape", {}, "found the input 'shape', but naive"),
        ("naive", "sequence motif dnase", {"reach": 201}, "found a reach of 201 bp, but the"),
        ("boosted", "sequence", {"depth": 0}, "found step 50, rounds 300, depth 0 and"),
        ("boosted", "sequence", {"wait": -1}, "least and wait 0 or more"),
        ("boosted", "sequence", {"step": 601}, "expected a step of 1 to 600 bp"),
        ("boosted", "expression", {}, "found inputs of the cell type alone"),
    ],
)
def test_what_cannot_be_built_is_said(
    data: Path, arch: str, names: str, sizes: dict[str, Any], message: str
) -> None:
    known = {
        "sequence": SEQUENCE,
        "dnase": DNASE,
        "motif": motifs(data),
        "shape": described("shape")[0],
        "expression": EXPRESSION,
    }
    with pytest.raises(InputError, match=message):
        architecture(arch).build([known[name] for name in names.split()], GEOMETRY, **sizes)


def test_focal_loss_is_of_networks(parts: Parts) -> None:
    model = parts.build("naive")
    with pytest.raises(InputError, match="found a focal loss, which only networks learn by"):
        Table(model, parts.inputs, parts.training, parts.validation, Settings(focus=2.0))


@pytest.mark.parametrize(
    ("flags", "lines", "message"),
    [
        (["--epochs", "9"], "", "--epochs is nothing to naive, which is not fitted step by step"),
        (["--learning-rate", "0.1"], "", "--learning-rate is nothing to naive"),
        (["--focal", "2"], "", "--focal is nothing to naive"),
        ([], "[training]\nclip = 1.0\n", "[training] clip is nothing to naive"),
    ],
    ids=["epochs", "learning rate", "focal", "file"],
)
def test_settings_that_a_baseline_does_not_read_are_refused(
    tfbind: Tfbind, parts: Parts, tmp_path: Path, flags: list[str], lines: str, message: str
) -> None:
    config = tmp_path / "a.toml"
    config.write_text(lines)
    given = ["--arch", "naive", "--config", str(config), *flags, "-o", str(tmp_path / "b.keras")]
    assert message in said(tfbind("train", parts.path, *given), 2 if flags else 1)
