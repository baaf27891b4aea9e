"""The ensemble of wide and deep networks: its scan, its graph, what each task may look at."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import onnxruntime
from by_hand import disturb
from conftest import Trained

from tfbind.channels import described
from tfbind.contract import Geometry, Input
from tfbind.errors import InputError, RequestError
from tfbind.networks.best import best
from tfbind.networks.graphs import write_graph
from tfbind.networks.heads import learnt_of
from tfbind.regions import Region
from tfbind.settings import RECIPES, Settings
from tfbind.tilefiles import TileFile
from tfbind.tilesets import part_by_regions
from tfbind.training import fit

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
SMALL: dict[str, Any] = {"filters": 5, "width": 9, "units": 6, "dense": 8, "ensemble": 2}


@pytest.fixture(scope="module")
def motifs(data: Path) -> Input:
    spec, _ = described(f"motif={next(data.glob('*.meme'))}")
    return spec


def arrays_of(geometry: Geometry, bins: int) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(bins)
    shape = (2, geometry.length(bins))
    dnase = np.log1p(rng.exponential(5, shape)).astype(np.float32)
    return {"sequence": rng.integers(0, 5, shape).astype(np.uint8), "dnase": dnase}


@pytest.mark.parametrize(
    "geometry",
    [Geometry(), Geometry(600, 200, 40), Geometry(301, 101, 25), Geometry(301, 1, 25)],
    ids=["usual", "other stride", "odd", "bins of a base"],
)
@pytest.mark.parametrize("from_sequence", [0, 1])
def test_scan_windows_and_graph_agree(
    geometry: Geometry, from_sequence: int, motifs: Input
) -> None:
    inputs = [SEQUENCE, DNASE, motifs]
    model = best(inputs, geometry, 3, from_sequence=from_sequence, **SMALL)
    disturb(model)
    arrays = arrays_of(geometry, 5)
    scan = np.asarray(model(arrays))
    assert scan.shape == (2, 5, 3)
    assert np.ptp(scan) > 1e-3
    for place in range(5):
        first = place * geometry.stride
        window = {name: one[:, first : first + geometry.window] for name, one in arrays.items()}
        np.testing.assert_allclose(scan[:, place], np.asarray(model(window))[:, 0], atol=1e-5)
    graph = write_graph(model, ["sequence", "dnase"], "scores")
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(scan, session.run(None, arrays)[0], atol=1e-5)


@pytest.mark.parametrize("inputs", [[SEQUENCE], [DNASE], [SEQUENCE, DNASE]], ids=str)
def test_any_of_its_inputs_may_be_missing(inputs: list[Input]) -> None:
    model = best(inputs, Geometry(), 2, **SMALL)
    arrays = {spec.name: arrays_of(Geometry(), 3)[spec.name] for spec in inputs}
    assert np.asarray(model(arrays)).shape == (2, 3, 2)


def test_tasks_of_the_sequence_see_no_signal_and_help_the_others(motifs: Input) -> None:
    model = best([SEQUENCE, DNASE, motifs], Geometry(), 3, from_sequence=2, **SMALL)
    arrays = arrays_of(Geometry(), 4)
    before = np.asarray(model(arrays))
    after = np.asarray(model(arrays | {"dnase": arrays["dnase"] + 1}))
    np.testing.assert_array_equal(before[..., 1:], after[..., 1:])
    assert (before[..., 0] != after[..., 0]).all()


def test_score_is_the_mean_of_members_that_learn_by_themselves() -> None:
    model = best([SEQUENCE, DNASE], Geometry(), 2, **SMALL | {"ensemble": 3})
    learner, mark = learnt_of(model)
    arrays = arrays_of(Geometry(), 4)
    given = np.asarray(learner(arrays)).reshape(2, 4, 3, 2)
    assert (mark.kind, mark.count) == ("members", 3)
    assert np.ptp(given, axis=2).min() > 0
    np.testing.assert_allclose(given.mean(axis=2), np.asarray(model(arrays)), rtol=1e-5)


def test_it_learns_by_its_recipe(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    training, validation = part_by_regions([file], [Region("chrX", 48_000_000, 50_000_000)])
    inputs = [SEQUENCE, DNASE]
    keras.utils.set_random_seed(1)
    sizes = SMALL | {"units": 16, "dense": 16, "dropout": 0.1}
    model = best(inputs, file.contents.geometry, **sizes)
    settings = Settings(**{**RECIPES["best"], "epochs": 4})
    history = fit(model, inputs, training, validation, settings)
    assert history.epochs[3].loss < history.epochs[0].loss
    bound = training.label_counts()[0, 2] / training.label_counts()[0, [0, 2]].sum()
    # Better than to know the share of bound bins alone.
    assert history.epochs[3].loss < -bound * np.log(bound) - (1 - bound) * np.log(1 - bound)


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(RequestError, match="from_sequence = 2 of 2 tasks, expected fewer"):
        best([SEQUENCE, DNASE], Geometry(), 2, from_sequence=2)
    with pytest.raises(RequestError, match="and the sequence among the inputs"):
        best([DNASE], Geometry(), 2, from_sequence=1)
    with pytest.raises(InputError, match=r"window of 250 bp is too small .* larger --window"):
        best([SEQUENCE, DNASE], Geometry(250, 200, 50))
