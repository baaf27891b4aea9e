"""The baselines: logistic regression on open bins, and boosted trees."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import onnx
import xgboost
from by_hand import run, windows_of
from conftest import Tfbind, ok, said
from sklearn.linear_model import LogisticRegression

from tfbind import boosting, logistic, quantised
from tfbind.boosting import forest_of, half_way
from tfbind.channels import described
from tfbind.contract import Geometry, Input
from tfbind.errors import InputError
from tfbind.export import export
from tfbind.history import History
from tfbind.logistic import regression
from tfbind.networks import architecture, scans
from tfbind.networks.files import Network, load_network, save_network
from tfbind.networks.graph_baselines import ML, ML_OPSET, ensemble
from tfbind.networks.graphs import write_graph
from tfbind.networks.heads import LEARNT, LOGITS, SCORES, Learnt
from tfbind.networks.trees import GRID, Rounded, Trees
from tfbind.regions import Region
from tfbind.settings import Settings
from tfbind.tabular import Table
from tfbind.tilefiles import TileFile
from tfbind.tilesets import TileSet, part_by_regions
from tfbind.trained import check_tiles, contract_of, fitted

Array = npt.NDArray[Any]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
"""Keras saves so."""

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
EXPRESSION = Input("expression", "expression", "float32", along="cell", features=("a", "b"))
GEOMETRY = Geometry(600, 200, 50)
COMPLEMENT = np.array([3, 2, 1, 0, 4], np.uint8)
SMALL = {"rounds": 12, "depth": 3, "rate": 0.3, "subsample": 0.8, "least": 1.0, "wait": 6}


def motifs(data: Path) -> Input:
    return described(f"motif={data / 'motifs.meme'}")[0]


def arrays_of(bins: int, geometry: Geometry = GEOMETRY) -> dict[str, Array]:
    """Make a stretch of random bases, with a signal on part of it, in steps as tracks have."""
    rng = np.random.default_rng(bins)
    length = geometry.length(bins)
    boxes = np.repeat(
        rng.exponential(2, length // 100 + 1) * (rng.random(length // 100 + 1) > 0.7), 100
    )
    return {
        "sequence": rng.integers(0, 5, (1, length)).astype(np.uint8),
        "dnase": np.log1p(boxes[None, :length].astype(np.float16).astype(np.float32)),
    }


@dataclass(frozen=True)
class Parts:
    """Real tiles of two factors, to learn from and to choose by."""

    path: Path
    inputs: list[Input]
    training: TileSet
    validation: TileSet
    region: Region

    def build(self, arch: str, **sizes: Any) -> keras.Model:
        geometry = self.training.files[0].contents.geometry
        inputs = [one for one in self.inputs if arch == "boosted" or one.source != "shape"]
        return architecture(arch).build(inputs, geometry, len(self.training.tasks), **sizes)

    def saved(self, arch: str, model: keras.Model, history: History, folder: Path) -> Network:
        """Save the network with its contract, and read it again."""
        inputs = [one for one in self.inputs if arch == "boosted" or one.source != "shape"]
        contract = contract_of(
            model, arch, inputs, self.training, self.validation, [self.region], Settings(), history
        )
        path = folder / "a.keras"
        save_network(Network(model, contract, check_tiles(self.validation)), path)
        return load_network(path)


@pytest.fixture(scope="module")
def parts(
    tfbind: Tfbind, data: Path, labelled: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Parts:
    path = tmp_path_factory.mktemp("baselines") / "a.tiles"
    peaks = data / "HeLa-S3.dnase.narrowPeak.gz"
    sampled = tfbind("sample", "--accessible", peaks, "--background", "1500", stdin=labelled)
    channels = ["--channel", f"motif={data / 'motifs.meme'}", "--channel", "shape"]
    sources: list[str | Path] = [
        "--fasta",
        data / "hg19.chrX_cut.fa.gz",
        "--signal",
        data / "HeLa-S3.dnase.bw",
    ]
    named = ["--names", "HeLa,K562", "--cell", "HeLa-S3"]
    ok(tfbind("features", *sources, *channels, *named, "-o", path, stdin=ok(sampled)))
    region = Region("chrX", 49_000_000, 50_000_000)
    training, validation = part_by_regions([TileFile(path)], [region])
    inputs = fitted(training.files[0].contents.inputs, training, {})
    return Parts(path, inputs, training, validation, region)


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


def test_threshold_lies_between_values() -> None:
    given = np.array([0.25, 0.25 + 1e-9, 0.25 - 1e-9, 0.3, -0.25, 7.5])
    steps = np.array([0.25, 0.25, 0.25, 0.25, 0.25, 0])
    assert half_way(given, steps).tolist() == [0.125, 0.125, 0.125, 0.375, -0.375, 7.5]
    steps = np.full(1000, 1 / 50)
    values = np.arange(1000) / 50
    found = half_way(values.astype(np.float32).astype(np.float64), steps)
    assert (np.searchsorted(values, found) == np.arange(1000)).all()


def grown(depth: int, steps: Array, trees: int = 25) -> tuple[list[dict[str, Any]], Array, Array]:
    """Grow trees on values with many ties; give them, the values and what xgboost predicts."""
    rng = np.random.default_rng(depth)
    places = rng.integers(-20, 20, (3000, len(steps)))
    values = (places * np.where(steps > 0, steps, 0.1)).astype(np.float32)
    labels = (
        values[:, 0] / steps[0] + places[:, 1] * places[:, 2] / 9 + rng.normal(0, 5, 3000)
    ) > 8
    matrix = xgboost.QuantileDMatrix(values, labels)
    recipe = {"objective": "binary:logistic", "max_depth": depth, "base_score": 0.5, "gamma": 0.5}
    booster = xgboost.train(recipe | {"tree_method": "hist"}, matrix, trees)
    model = json.loads(booster.save_raw("json"))
    found = booster.predict(xgboost.DMatrix(values), output_margin=True)
    return model["learner"]["gradient_booster"]["model"]["trees"], values, found


@pytest.mark.parametrize("depth", [1, 5])
def test_trees_are_those_of_xgboost_also_on_ties(depth: int) -> None:
    """The layer and ONNX Runtime take each bin the same way, at every threshold."""
    steps = np.array([GRID, GRID / 50, 1 / 50, 0, 0])
    trees, values, expected = grown(depth, steps)
    assert len({len(tree["left_children"]) for tree in trees}) > 1 or depth == 1
    forest = forest_of(trees, depth, steps, bias=0.0)
    ends = keras.Input((None, 5), name="values")
    layer = Trees(2, 30, depth, steps.tolist(), name=LOGITS)
    learnt = Learnt("each", name=LEARNT)(layer(ends))
    # Before there are trees, all scores are 0, in the graph too.
    assert not np.asarray(layer(values[None])).any()
    assert not one_operator(layer, values).any()
    layer.plant([forest, forest_of(trees[:3], depth, steps, bias=1.5)])
    model = keras.Model(ends, keras.layers.Activation("linear", name=SCORES)(learnt))
    found = np.asarray(model(values[None]))[0]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    # A little noise, as another order of additions makes it, changes nothing on a grid.
    noisy = np.where(steps > 0, values * np.float32(1 + 2e-7), values).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(noisy[None]))[0], found)
    scores = one_operator(layer, values)
    np.testing.assert_allclose(scores, found, atol=1e-5)


def one_operator(layer: Trees, values: Array) -> Array:
    """Compute the trees by ONNX Runtime, alone."""
    kind = onnx.TensorProto.FLOAT
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain=ML, **ensemble(layer.forests())
    )
    graph = onnx.helper.make_graph(
        [node],
        "trees",
        [onnx.helper.make_tensor_value_info("x", kind, ["n", values.shape[1]])],
        [onnx.helper.make_tensor_value_info("y", kind, ["n", layer.tasks])],
    )
    opsets = [onnx.helper.make_opsetid(ML, ML_OPSET), onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return run(model, {"x": values})


def test_boosted_looks_at_steps(data: Path) -> None:
    inputs = [SEQUENCE, motifs(data), DNASE, described("shape")[0]]
    model = architecture("boosted").build(inputs, GEOMETRY)
    layer = model.get_layer(LOGITS)
    arrays = arrays_of(7)
    found = np.asarray(keras.Model(model.inputs, layer.input)(arrays))[0]
    # 12 steps of the window; a motif or a hexamer fits into the window in fewer places.
    assert found.shape == (7, 12 + 11 * 4 + 12 + 12 + 11 * 4) == (7, len(layer.steps))
    rounded = np.round(arrays["dnase"][0] * 128) / 128
    for bin_ in range(7):
        window = slice(bin_ * 50, bin_ * 50 + 600)
        codes = arrays["sequence"][0, window].reshape(12, 50)
        np.testing.assert_allclose(found[bin_, :12], np.isin(codes, (1, 2)).mean(axis=1), atol=1e-6)
        signal = rounded[window].reshape(12, 50)
        np.testing.assert_allclose(found[bin_, 56:68], signal.mean(axis=1), atol=1e-6)
        np.testing.assert_array_equal(found[bin_, 68:80], signal.max(axis=1))
    places = found / np.array(layer.steps)
    assert np.abs(places - np.round(places)).max() < quantised.NOISE
    assert layer.names == ["sequence"] * 12 + [
        name for name, n in (("motif", 44), ("dnase", 24), ("shape", 44)) for _ in range(n)
    ]


@pytest.mark.parametrize("geometry", [GEOMETRY, Geometry(300, 100, 7)], ids=["usual", "odd"])
def test_boosted_scans_as_it_takes_windows(data: Path, geometry: Geometry) -> None:
    inputs = [SEQUENCE, motifs(data), DNASE, described("shape")[0]]
    model = architecture("boosted").build(inputs, geometry, 2, step=30)
    layer = model.get_layer(LOGITS)
    rng = np.random.default_rng(1)
    looker = keras.Model(model.inputs, layer.input)
    arrays = arrays_of(40, geometry)
    features = np.asarray(looker(arrays))[0]
    labels = features[:, rng.integers(0, features.shape[1], 3)].sum(axis=1) + rng.normal(0, 1, 40)
    booster = xgboost.train({"max_depth": 4}, xgboost.QuantileDMatrix(features, labels), 9)
    trees = json.loads(booster.save_raw("json"))
    trees = trees["learner"]["gradient_booster"]["model"]["trees"]
    steps = np.array(layer.steps)
    layer.plant([forest_of(trees[:5], 6, steps, 0.5), forest_of(trees, 6, steps, -1.0)])
    scan = np.asarray(model(arrays))
    assert scan.shape == (1, 40, 2)
    assert np.ptp(scan) > 0.01
    windows = windows_of(arrays, geometry)
    np.testing.assert_allclose(np.asarray(model(windows))[:, 0], scan[0], atol=1e-6)
    graph = write_graph(model, list(arrays), "scores")
    np.testing.assert_allclose(run(graph, arrays), scan, atol=1e-6)
    np.testing.assert_allclose(run(graph, windows)[:, 0], scan[0], atol=1e-6)
    both = run(write_graph(model, list(arrays), "scores", [COMPLEMENT, None]), arrays)
    turned = {
        "sequence": COMPLEMENT[arrays["sequence"]][:, ::-1],
        "dnase": arrays["dnase"][:, ::-1],
    }
    np.testing.assert_allclose(both, (scan + np.asarray(model(turned))[:, ::-1]) / 2, atol=1e-6)


def test_boosted_is_what_xgboost_grew(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    booster = xgboost.Booster

    def kept(*given: Any) -> Any:
        made.append(booster(*given))
        return made[-1]

    monkeypatch.setattr(xgboost, "Booster", kept)
    losses: list[float] = []

    def grow() -> tuple[keras.Model, History]:
        model = parts.build("boosted", **SMALL)
        sets = (parts.training, parts.validation)
        losses.clear()
        return model, boosting.fit(
            model, parts.inputs, *sets, Settings(), lambda _, loss: losses.append(loss)
        )

    (first, _), (model, history) = grow(), grow()
    assert losses == sorted(losses, reverse=True)
    # The same seed grows the same trees.
    for one, other in zip(first.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    (epoch,) = history.epochs
    assert 0.3 < epoch.validation_auprc < 1
    layer = model.get_layer(LOGITS)
    assert 1 <= layer.used <= SMALL["rounds"]

    network = parts.saved("boosted", model, history, tmp_path)
    table = Table(network.model, parts.inputs, parts.training, parts.validation, Settings())
    features = np.concatenate([one for one, _ in table.chosen_by()])
    scores = np.asarray(network.model.get_layer(LOGITS)(features[None]))[0]
    for task, booster_of in enumerate(made[-2:]):
        best = int((network.model.get_layer(LOGITS).forests()[task].leaves != 0).any(axis=1).sum())
        expected = booster_of.predict(
            xgboost.DMatrix(features), output_margin=True, iteration_range=(0, best)
        )
        np.testing.assert_allclose(scores[:, task], expected, atol=1e-5)
        assert np.ptp(expected) > 1
    measured = table.measured(network.model)
    np.testing.assert_allclose(measured.areas, epoch.areas, atol=1e-6)
    assert measured.loss == pytest.approx(epoch.validation_loss, rel=1e-4)
    for both in (False, True):
        _, difference = export(network, both_strands=both)
        assert difference < 1e-5


def grown_from_few(
    parts: Parts, *, inputs: list[Input] | None = None, stop: Any = None, **sizes: Any
) -> tuple[keras.Model, History, tuple[TileSet, TileSet]]:
    """Fit boosted trees to a few of the tiles, without shape."""
    inputs = [one for one in inputs or parts.inputs if one.source != "shape"]
    training, validation = (
        TileSet(one.files, [one.chosen[0] & (np.arange(len(one.chosen[0])) % 4 == 0)])
        for one in (parts.training, parts.validation)
    )
    geometry, tasks = parts.training.files[0].contents.geometry, len(parts.training.tasks)
    model = architecture("boosted").build(inputs, geometry, tasks, **SMALL | sizes)
    heard = (lambda bins, loss: None) if stop is None else stop
    history = boosting.fit(model, inputs, training, validation, Settings(), heard)
    return model, history, (training, validation)


def test_boosted_keeps_its_trees_when_it_is_interrupted(parts: Parts) -> None:
    def stop(bins: int, loss: float) -> None:
        done.append(bins)
        if np.count_nonzero(done) == 2:
            raise KeyboardInterrupt

    done: list[int] = []
    model, history, _ = grown_from_few(parts, stop=stop)
    assert history.ended == "interrupted"
    assert 1 <= model.get_layer(LOGITS).used <= 2


def test_boosted_stops_as_it_reads(parts: Parts) -> None:
    def stop(bins: int, loss: float) -> None:
        told.append((bins, loss))
        raise KeyboardInterrupt

    told: list[tuple[int, float]] = []
    with pytest.raises(KeyboardInterrupt):
        grown_from_few(parts, stop=stop)
    ((bins, loss),) = told
    assert bins == 0
    assert np.isnan(loss)


def test_ctrl_c_between_the_first_trees_is_no_error_of_xgboost(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow = boosting._Ensemble.grow
    done: list[Any] = []

    def second(ensemble: Any) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(ensemble)
        grow(ensemble)

    monkeypatch.setattr(boosting._Ensemble, "grow", second)
    with pytest.raises(KeyboardInterrupt):
        grown_from_few(parts)


def test_boosted_keeps_all_trees_where_it_does_not_wait(parts: Parts) -> None:
    model, history, sets = grown_from_few(parts, rounds=5, rate=1.0, wait=0)
    forests = model.get_layer(LOGITS).forests()
    assert [len(forest.leaves) for forest in forests] == [5, 5]
    inputs = [one for one in parts.inputs if one.source != "shape"]
    measured = Table(model, inputs, *sets, Settings()).measured(model)
    np.testing.assert_allclose(history.epochs[0].areas, measured.areas, atol=1e-6)


def test_trees_without_a_split_are_refused(parts: Parts) -> None:
    with pytest.raises(InputError, match=r"no tree of HeLa has a split: \d+ bound bins .* least"):
        grown_from_few(parts, least=1e6)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (1e5, r"the signal 'signal' is 0 at most behind its transform, expected 0.0625 or more"),
        (1e-3, r"the input 'signal' reaches .*, where sums in steps of 1/128 are not exact"),
    ],
)
def test_signals_that_cannot_be_rounded_are_refused(
    parts: Parts, scale: float, message: str
) -> None:
    inputs = [
        replace(one, transform="none", scale=scale) if one.source == "signal" else one
        for one in parts.inputs
    ]
    with pytest.raises(InputError, match=message):
        grown_from_few(parts, inputs=inputs)


def test_more_features_than_there_is_room_for_are_refused(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "MOST_BYTES", 10**5)
    with pytest.raises(InputError, match=r"[\d,]+ bins of \d+ features take about .* GB, expected"):
        grown_from_few(parts)


def test_what_stops_reading_is_not_lost_in_xgboost() -> None:
    def rows() -> Iterator[tuple[Array, Array]]:
        yield np.ones((4, 2), np.float32), np.ones((4, 2), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantised.held(rows)


def test_focal_loss_is_of_networks(parts: Parts) -> None:
    model = parts.build("naive")
    with pytest.raises(InputError, match="found a focal loss, which only networks learn by"):
        Table(model, parts.inputs, parts.training, parts.validation, Settings(focus=2.0))


def test_rounding_is_half_to_even() -> None:
    values = np.array([0.5, 1.5, -0.5, 2.25]) * GRID
    assert (np.asarray(Rounded()(values.astype("f4"))) / GRID).tolist() == [0, 2, 0, 2]


def test_baselines_are_trained_and_scored_from_the_shell(
    tfbind: Tfbind, data: Path, parts: Parts, tmp_path: Path
) -> None:
    config, network, model = tmp_path / "a.toml", tmp_path / "a.keras", tmp_path / "a.onnx"
    config.write_text("[network]\nrounds = 5\ndepth = 3\n")
    validate = ["--validate", "chrX:49000001-50000000"]
    boosted = ["--arch", "boosted", "--config", str(config)]
    done = tfbind("train", parts.path, *boosted, *validate, "-o", network)
    ok(done)
    assert "epoch 1: " in done.stderr.decode()
    ok(tfbind("export", network, "--both-strands", "-o", model))
    sources: list[str | Path] = [
        "--fasta",
        data / "hg19.chrX_cut.fa.gz",
        "--signal",
        data / "HeLa-S3.dnase.bw",
    ]
    bins = b"chrX\t48000000\t48000200\nchrX\t48000050\t48000250\n"
    scored = ok(tfbind("score", model, *sources, "--format", "bed", stdin=bins)).splitlines()
    rows = [line.split(b"\t") for line in scored if not line.startswith(b"#")]
    assert [row[:2] for row in rows] == [[b"chrX", b"48000000"], [b"chrX", b"48000050"]]
    assert all(0 < float(value) < 1 for row in rows for value in row[3:])

    network, model = tmp_path / "b.keras", tmp_path / "b.onnx"
    naive = ["train", str(parts.path), "--arch", "naive", *validate, "-o", str(network)]
    line = said(tfbind(*naive, "--quiet"))
    assert "found the input 'shape', but naive learns from motifs and signals alone" in line
    assert not network.exists()
    ok(tfbind(*naive, "--inputs", "sequence,motif,signal"))
    ok(tfbind("export", network, "-o", model))
    closed = b"chrX\t40000\t40200\nchrX\t47000000\t47000200\n"
    text = ok(tfbind("score", model, *sources, "--format", "bed", stdin=closed + bins))
    values = [line.split(b"\t")[3:] for line in text.splitlines() if line[:1] != b"#"]
    _, floor = load_network(network).model.get_layer(LOGITS).get_weights()
    floors = 1 / (1 + np.exp(-floor))
    np.testing.assert_allclose([float(one) for one in values[0]], floors, rtol=1e-3)
    assert (np.array(values, float) >= floors * 0.999).all()


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
