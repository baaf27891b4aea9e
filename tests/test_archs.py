"""Every architecture: its size, its scan, its graph, that it trains, exports and scores."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import onnx
import tensorflow as tf
from by_hand import CONTIG_SIZE, Files, disturb, run, scores_of, window_starts, windows_of
from conftest import Tfbind, Trained, ok

from tfbind.batches import Batch, Batcher, training_batches
from tfbind.channels import Sources
from tfbind.cli.archs import NAMES
from tfbind.contract import Geometry, Input
from tfbind.errors import InputError, RequestError
from tfbind.export import export
from tfbind.genome import Genome
from tfbind.labels import BOUND
from tfbind.losses import cross_entropy
from tfbind.model import Model
from tfbind.networks import ARCHITECTURES, architecture, scans
from tfbind.networks.files import Network, load_network, save_network
from tfbind.networks.graphs import write_graph
from tfbind.networks.heads import CONVOLUTION, LEARNT, LOGITS, SCORES, learnt_of
from tfbind.settings import RECIPES
from tfbind.signal import Signal
from tfbind.tilefiles import TileFile, write_tiles
from tfbind.tilesets import TileSet
from tfbind.trained import check_tiles, contract_of
from tfbind.training import Settings, fit

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
OTHER = Input("other", "signal", "float16", "log1p")

SMALL: dict[str, dict[str, Any]] = {
    "best": {"filters": 5, "width": 9, "units": 6, "dense": 8, "ensemble": 2},
    "multitask": {"filters": 8, "dense": 16, "joint": 20, "private": 6},
    "deep": {"filters": (4, 6), "pools": (5, 10), "dense": 8, "joint": 10},
    "tss": {"filters": 6, "dense": 8},
    "tss-lstm": {"filters": 6, "recurrent": 3, "dense": 8},
    "deepbind": {"hidden": 4},
    "zeng": {"filters": 12, "hidden": 5},
    "basset": {"filters": (6, 5, 4), "widths": (19, 5, 3), "dense": (8, 7)},
    "deepsea": {"filters": (6, 5, 4), "dense": 9},
    "danq": {"filters": 6, "recurrent": 4, "dense": 9},
    "deepchrome": {"filters": 5, "dense": (9, 8), "resolution": 10, "pool": 3, "width": 4},
}
IN_WINDOWS = {"deepbind", "zeng", "danq", "tss-lstm"}
RECURRENT = {"danq", "tss-lstm"}
REAL_FLANKS = {"deepbind": {"flanks": "real"}, "zeng": {"flanks": "real"}}


def inputs_of(name: str) -> list[Input]:
    return [DNASE, OTHER] if name == "deepchrome" else [SEQUENCE, DNASE]


def small(
    name: str, inputs: list[Input], geometry: Geometry, tasks: int = 1, **sizes: Any
) -> keras.Model:
    return architecture(name).build(inputs, geometry, tasks, **SMALL[name] | sizes)


def arrays_of(inputs: list[Input], geometry: Geometry, bins: int) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(bins)
    shape = (1, geometry.length(bins))
    return {
        spec.name: rng.integers(0, 5, shape).astype(np.uint8)
        if spec.source == "sequence"
        else rng.exponential(1, shape).astype(np.float32)
        for spec in inputs
    }


@pytest.fixture(scope="module")
def listed(tfbind: Tfbind) -> list[dict[str, Any]]:
    return list(json.loads(ok(tfbind("archs", "--json"))))


def test_published_sizes_are_those_of_the_papers(listed: list[dict[str, Any]]) -> None:
    sizes = {one["name"]: one["parameters"] for one in listed}
    private = 32 * (1000 * 128 + 128 + 128 * 3 + 3)
    shared = 320 * (4 * 30 + 1) + 1000 * (64 * 320 + 1) + 1000 * (1033 + 1) + 2 * 1000
    published = {
        "shallow": 246_559,
        "multitask": shared + private,
        "tss": 97_427,
        "deepbind": 16 * (4 * 24 + 1) + 17,
        "zeng": 16_610,
        "basset": 4_135_064,
        "deepsea": 52_843_119,
        "danq": 46_926_479,
        "deepchrome": 644_177,
    }
    assert {name: sizes[name] for name in published} == published
    hidden = architecture("deepbind").build([SEQUENCE], Geometry(101, 101, 50), hidden=32)
    weights = sum(int(np.prod(one.shape)) for one in hidden.trainable_weights)
    assert weights == 16 * (4 * 24 + 1) + 32 * 17 + 33


def test_archs_says_what_there_is(listed: list[dict[str, Any]], tfbind: Tfbind) -> None:
    assert tuple(one["name"] for one in listed) == tuple(ARCHITECTURES) == NAMES
    assert {one["name"] for one in listed if one["way"] == "windows"} == IN_WINDOWS
    chosen = {one["name"]: one for one in listed}
    assert chosen["deepchrome"]["inputs"] == ["signal"] * 5
    assert [chosen["tss"][key] for key in ("window", "bin", "stride", "tasks")] == [200, 200, 1, 2]
    assert chosen["tss"]["learns"] == "one of 3 classes"
    assert chosen["multitask"]["learns"] == "each task: unknown, unbound, bound"
    header, *lines = ok(tfbind("archs")).decode().splitlines()
    assert [*header[1:].split("\t"), "sizes"] == list(chosen["best"])
    assert chosen["danq"]["sizes"]["recurrent"] == 320
    for name, sizes in SMALL.items():
        assert set(sizes) <= set(chosen[name]["sizes"])
    assert chosen["best"]["recipe"] == RECIPES["best"]
    assert lines[0].split("\t")[9] == ",".join(f"{k}={v}" for k, v in RECIPES["best"].items())
    assert [line.split("\t")[0] for line in lines] == list(NAMES)
    zeng = next(line for line in lines if line.startswith("zeng")).split("\t")
    assert zeng[1:10] == [
        *("16610", "sequence", "101", "101", "50", "1", "windows"),
        *("each task: unbound, bound", "-"),
    ]


@pytest.mark.parametrize("name", [name for name in SMALL if name not in RECURRENT])
@pytest.mark.parametrize(
    "geometry", [Geometry(600, 200, 50), Geometry(300, 100, 7)], ids=["usual", "odd"]
)
def test_scans_windows_and_graphs_agree(name: str, geometry: Geometry) -> None:
    inputs = inputs_of(name)
    model = small(name, inputs, geometry, 2, **REAL_FLANKS.get(name, {}))
    disturb(model)
    assert scans(model)
    arrays = arrays_of(inputs, geometry, 9)
    scan = np.asarray(model(arrays))
    assert scan.shape == (1, 9, 3 if name == "tss" else 2)
    assert np.ptp(scan) > 1e-3
    windows = windows_of(arrays, geometry)
    np.testing.assert_allclose(np.asarray(model(windows))[:, 0], scan[0], atol=1e-6)
    graph = write_graph(model, list(arrays), "scores")
    np.testing.assert_allclose(run(graph, arrays), scan, atol=1e-6)
    np.testing.assert_allclose(run(graph, windows)[:, 0], scan[0], atol=1e-6)


@pytest.mark.parametrize("name", ["deepbind", "zeng"])
def test_padded_windows_have_a_graph(name: str) -> None:
    geometry = Geometry(101, 101, 50)
    model = small(name, [SEQUENCE, DNASE], geometry)
    disturb(model)
    assert not scans(model)
    windows = windows_of(arrays_of([SEQUENCE, DNASE], geometry, 5), geometry)
    expected = np.asarray(model(windows))
    assert expected.shape == (5, 1, 1)
    complements = [np.array([3, 2, 1, 0, 4], np.uint8), None]
    for both in (None, complements):
        found = run(write_graph(model, ["sequence", "dnase"], "scores", both), windows)
        turned = {
            "sequence": complements[0][windows["sequence"][:, ::-1]],  # type: ignore[index]
            "dnase": windows["dnase"][:, ::-1],
        }
        other = np.asarray(model(turned)) if both else expected
        np.testing.assert_allclose(found, (expected + other) / 2, atol=1e-6)


def test_padding_is_that_of_the_papers() -> None:
    geometry = Geometry(101, 101, 50)
    codes = arrays_of([SEQUENCE], geometry, 1)["sequence"]
    one_hot = np.eye(5, 4)[codes[0]]
    for name, width, padding in (("deepbind", 24, (23, 23, 0.25)), ("zeng", 24, (11, 12, 0.0))):
        model = architecture(name).build([SEQUENCE], geometry)
        before, behind, value = padding
        padded = np.pad(one_hot, ((before, behind), (0, 0)), constant_values=value)
        kernel, bias = map(np.asarray, model.get_layer(CONVOLUTION).weights)
        rows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)
        expected = np.maximum(np.einsum("rcw,wcf->rf", rows, kernel) + bias, 0).max(axis=0)
        layer = next(one for one in model.layers if type(one).__name__ == "BinRows")
        features = keras.Model(model.inputs, layer.output)
        np.testing.assert_allclose(np.asarray(features([codes]))[0, 0], expected, atol=1e-5)


def parts_of(tiles: Path, count: int = 16) -> tuple[TileFile, TileSet, TileSet]:
    """Take a few tiles, half of them with bound bins, to learn from, and as many to choose by."""
    file = TileFile(tiles)
    bound = np.array([bool((file.tile(i).labels == BOUND).any()) for i in range(len(file))])
    order = np.concatenate([np.flatnonzero(bound)[:count], np.flatnonzero(~bound)[:count]])
    parts = []
    for some in (order[::2], order[1::2]):
        chosen = np.zeros(len(file), np.bool_)
        chosen[some] = True
        parts.append(TileSet([file], [chosen]))
    return file, parts[0], parts[1]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras
@pytest.mark.parametrize("name", SMALL)
def test_trains_exports_and_scores(name: str, trained: Trained, data: Path, tmp_path: Path) -> None:
    file, training, validation = parts_of(trained.tiles)
    geometry = file.contents.geometry
    inputs = [DNASE] if name == "deepchrome" else [SEQUENCE, DNASE]
    keras.utils.set_random_seed(1)
    model = small(name, inputs, geometry)
    before = [np.array(one) for one in model.get_weights()]
    settings = Settings(epochs=1, batch=128)
    history = fit(model, inputs, training, validation, settings)
    assert np.isfinite(history.epochs[0].loss)
    assert any((one != other).any() for one, other in zip(before, model.get_weights(), strict=True))
    assert {LOGITS, LEARNT, SCORES} <= {layer.name for layer in model.layers}

    contract = contract_of(model, name, inputs, training, validation, [], settings, history)
    assert contract.scans == (name not in IN_WINDOWS)
    save_network(Network(model, contract, check_tiles(validation)), tmp_path / "a.keras")
    network = load_network(tmp_path / "a.keras")
    graph, difference = export(network, both_strands=False)
    assert difference < 1e-5
    if name == "best" or name in RECURRENT:
        assert export(network, both_strands=True)[1] < 1e-5
    onnx.save(graph, tmp_path / "a.onnx")
    assert (name in RECURRENT) == ('"tf2onnx": ' in graph.metadata_props[0].value)

    starts = np.array([0, 47_000_000, 47_000_050, 47_000_350, CONTIG_SIZE // 50 * 50 - 200])
    genome, track = data / "hg19.chrX_cut.fa.gz", data / "HeLa-S3.dnase.bw"
    sources = Sources(Genome(genome), {"dnase": Signal(track)})
    scores = scores_of(Model(tmp_path / "a.onnx", device="cpu"), sources, starts)
    files = Files(genome, track)
    first, _ = window_starts(starts, geometry)
    bases = [(start, start + geometry.window) for start in first.tolist()]
    letters = [[*map("ACGTN".index, files.letters(*one))] for one in bases]
    windows = {
        "sequence": np.array(letters, np.uint8),
        "dnase": np.log1p(np.stack([files.signal(*one) for one in bases]).astype("f2"), dtype="f4"),
    }
    expected = np.asarray(network.model({spec.name: windows[spec.name] for spec in inputs}))[:, 0]
    np.testing.assert_allclose(scores.reshape(expected.shape), expected, atol=1e-4)


def gradients(model: keras.Model, batch: Batch) -> list[npt.NDArray[np.float32]]:
    learner, mark = learnt_of(model)
    inputs, truth = batch
    with tf.GradientTape() as tape:
        loss = cross_entropy(mark)(truth, learner(inputs, training=False))
    return [np.asarray(one) for one in tape.gradient(loss, learner.trainable_weights)]


def test_factor_without_data_has_no_gradient(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    (known,) = TileSet([file]).tasks
    made: list[tuple[keras.Model, Batch]] = []
    inputs, geometry = [SEQUENCE, DNASE], file.contents.geometry
    for tasks in ((known,), ("absent", known, "missing")):
        tiles = TileSet([file], tasks=tasks)
        batcher = Batcher(inputs, np.full(len(tasks), 9, np.float32), "drop")
        batch = next(training_batches(tiles, batcher, 256, False, np.random.default_rng(1)))
        made.append((small("multitask", inputs, geometry, len(tasks)), batch))
    (alone, batch), (several, more) = made
    # The factor that has data begins alike in both.
    weights = [weight.numpy() for weight in several.trainable_weights]
    units = slice(6, 12)  # of the layer that holds the private layers of all
    weights[-4:] = [weights[-4][:, units], weights[-3][units], weights[-2][1:2], weights[-1][1:2]]
    for weight, values in zip(alone.trainable_weights, weights, strict=True):
        weight.assign(values)
    with_others, by_itself = gradients(several, more), gradients(alone, batch)
    for shared, expected in zip(with_others[:-4], by_itself[:-4], strict=True):
        np.testing.assert_allclose(shared, expected, rtol=1e-5, atol=1e-7)
        assert expected.any()
    kernel, bias, last_kernel, last_bias = with_others[-4:]
    for of_others in (
        np.delete(kernel, np.arange(6, 12), axis=1),
        np.delete(bias, np.arange(6, 12)),
        last_kernel[[0, 2]],
        last_bias[[0, 2]],
    ):
        assert (of_others == 0.0).all()
    known_own = (kernel[:, units], bias[units], last_kernel[1:2], last_bias[1:2])
    for own, expected in zip(known_own, by_itself[-4:], strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-7)
        assert own.any()


def test_factor_learns_from_its_own_cells_alone(trained: Trained, tmp_path: Path) -> None:
    """Of a batch of two files, each with a factor of its own."""
    file = TileFile(trained.tiles)
    (known,) = TileSet([file]).tasks
    with open(tmp_path / "other.tiles", "wb") as sink:
        some = (file.tile(i) for i in range(0, len(file), 3))
        write_tiles(some, replace(file.contents, experiments=("other",)), sink)
    tiles = TileSet([file, TileFile(tmp_path / "other.tiles")], tasks=(known, "other"))
    batcher = Batcher([SEQUENCE, DNASE], np.full(2, 9, np.float32), "drop")
    inputs, truth = next(training_batches(tiles, batcher, 512, False, np.random.default_rng(1)))
    model = small("multitask", [SEQUENCE, DNASE], file.contents.geometry, 2)
    together = gradients(model, (inputs, truth))[-4:]
    for task in range(2):
        mine = (truth[..., 2 + task] > 0).any(axis=1)
        assert 0 < mine.mean() < 1
        alone = truth[mine]
        batch = {name: one[mine] for name, one in inputs.items()}, alone
        share = (alone[..., 2:] > 0).sum() / (truth[..., 2:] > 0).sum()
        units = slice(6 * task, 6 * task + 6)
        places: list[Any] = [(slice(None), units), units, task, task]
        for both, own, place in zip(together, gradients(model, batch)[-4:], places, strict=True):
            np.testing.assert_allclose(both[place], own[place] * share, rtol=1e-4, atol=1e-7)
            assert own[place].any()


@pytest.mark.parametrize(
    ("name", "inputs", "sizes", "message"),
    [
        ("basset", [DNASE], {}, "basset reads the sequence, which is not among the inputs dnase"),
        ("deepchrome", [SEQUENCE, DNASE], {}, "reads signals only, and found sequence"),
        ("deep", [SEQUENCE], {"pools": (5,)}, "found filters of 3 stages and pools of 1"),
        ("deepsea", [SEQUENCE], {"widths": (8,)}, "found 3 filters, 1 widths, 3 pools, 3 dropouts"),
        ("zeng", [SEQUENCE], {"flanks": "none"}, "found flanks 'none', expected padded or real"),
        ("shallow", [SEQUENCE], {"pool": 0}, "shallow: found pool = 0, expected 1 or more"),
        ("deep", [SEQUENCE], {"pools": (5, 0, 2)}, r"deep: found pools = \(5, 0, 2\), expected 1"),
        ("deepbind", [SEQUENCE], {"hidden": -1}, "deepbind: found hidden = -1, expected 0 or more"),
        (
            "basset",
            [SEQUENCE],
            {"dropout": 1.0},
            "dropout = 1.0, expected 0 or more and below 1",
        ),
        ("danq", [SEQUENCE], {"dropouts": (0.2,)}, "danq: found 1 dropouts, expected 2"),
        ("best", [SEQUENCE], {"ensemble": 0}, "best: found ensemble = 0, expected 1 or more"),
        ("best", [SEQUENCE], {"units": 1}, "best: found units = 1, expected 2 or more"),
        ("best", [SEQUENCE], {"from_sequence": -1}, "found from_sequence = -1, expected 0 or more"),
        ("naive", [SEQUENCE], {"reach": -97}, "naive: found reach = -97, expected 0 or more"),
    ],
)
def test_what_cannot_be_built_is_said(
    name: str, inputs: list[Input], sizes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        architecture(name).build(inputs, Geometry(), **sizes)


def test_small_window_is_said() -> None:
    with pytest.raises(InputError, match="the window is too small for this network"):
        architecture("basset").build([SEQUENCE], Geometry(101, 101, 50))


def test_help_of_train_names_the_architectures(tfbind: Tfbind) -> None:
    help_ = " ".join(ok(tfbind("train", "--help")).decode().split())
    assert f"{', '.join(NAMES)}." in help_
