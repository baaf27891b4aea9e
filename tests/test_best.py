"""The ensemble of wide and deep networks: its scan, its graph, what each task may look at."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
from by_hand import disturb, run
from conftest import Trained

from tfbind.channels import described
from tfbind.contract import Geometry, Input
from tfbind.errors import InputError, RequestError
from tfbind.networks.best import _rows_of, best
from tfbind.networks.graphs import write_graph
from tfbind.networks.heads import learnt_of
from tfbind.regions import Region
from tfbind.settings import RECIPES, Settings
from tfbind.tilefiles import TileFile
from tfbind.tilesets import part_by_regions
from tfbind.training import fit

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
EXPRESSION = Input("expression", "expression", "float32", along="cell", features=("a", "b"))
SMALL: dict[str, Any] = {"filters": 5, "width": 9, "units": 6, "dense": 8, "ensemble": 2}


@pytest.fixture(scope="module")
def motifs(data: Path) -> Input:
    spec, _ = described(f"motif={next(data.glob('*.meme'))}")
    return spec


def arrays_of(inputs: list[Input], geometry: Geometry, bins: int) -> dict[str, npt.NDArray[Any]]:
    """Make stretches of what is fed."""
    rng = np.random.default_rng(bins)
    shape = (2, geometry.length(bins))
    made: dict[str, npt.NDArray[Any]] = {
        "sequence": rng.integers(0, 5, shape).astype(np.uint8),
        "dnase": np.log1p(rng.exponential(5, shape)).astype(np.float32),
        "expression": rng.normal(0, 1, (2, 2)).astype(np.float32),
    }
    return {spec.name: made[spec.name] for spec in inputs if spec.name in made}


def assert_scan_windows_and_graph_agree(
    inputs: list[Input], geometry: Geometry, tasks: int, **sizes: Any
) -> None:
    model = best(inputs, geometry, tasks, **SMALL | sizes)
    disturb(model)
    arrays = arrays_of(inputs, geometry, 5)
    scan = np.asarray(model(arrays))
    assert scan.shape == (2, 5, tasks)
    assert np.ptp(scan) > 1e-3
    for place in range(5):
        bases = slice(place * geometry.stride, place * geometry.stride + geometry.window)
        window = {
            name: one if name == "expression" else one[:, bases] for name, one in arrays.items()
        }
        np.testing.assert_allclose(scan[:, place], np.asarray(model(window))[:, 0], atol=1e-5)
    graph = write_graph(model, list(arrays), "scores")
    np.testing.assert_allclose(scan, run(graph, arrays), atol=1e-5)


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
    assert_scan_windows_and_graph_agree(inputs, geometry, 3, from_sequence=from_sequence)


@pytest.mark.parametrize(
    "inputs",
    [
        [SEQUENCE],
        [DNASE],
        [SEQUENCE, DNASE],
        [DNASE, EXPRESSION],
        [SEQUENCE, DNASE, described("shape")[0], EXPRESSION],
    ],
    ids=lambda inputs: " ".join(one.name for one in inputs),
)
def test_any_of_its_inputs_may_be_missing(inputs: list[Input]) -> None:
    assert_scan_windows_and_graph_agree(inputs, Geometry(600, 200, 50), 2)


def test_rows_in_the_middle_hold_the_whole_bin() -> None:
    """Rows of a window, and of its bin."""
    assert _rows_of(Geometry(301, 101, 25), [1]) == (11, 5)
    assert _rows_of(Geometry(1000, 200, 50), [15]) == (18, 4)
    assert _rows_of(Geometry(301, 1, 25), [1]) == (11, 1)


def test_filters_that_are_not_there_take_no_bases() -> None:
    small = Geometry(300, 200, 50)
    best([SEQUENCE, DNASE], small, **SMALL | {"filters": 0, "width": 40})
    best([DNASE], small, **SMALL | {"width": 40})
    with pytest.raises(InputError, match="window of 300 bp is too small"):
        best([SEQUENCE, DNASE], small, **SMALL | {"width": 40})


def test_tasks_of_the_sequence_see_no_signal_and_help_the_others(motifs: Input) -> None:
    model = best([SEQUENCE, DNASE, motifs], Geometry(), 3, from_sequence=2, **SMALL)
    arrays = arrays_of([SEQUENCE, DNASE], Geometry(), 4)
    before = np.asarray(model(arrays))
    after = np.asarray(model(arrays | {"dnase": arrays["dnase"] + 1}))
    np.testing.assert_array_equal(before[..., 1:], after[..., 1:])
    assert (before[..., 0] != after[..., 0]).all()


def test_score_is_the_mean_of_members_that_learn_by_themselves() -> None:
    model = best([SEQUENCE, DNASE], Geometry(), 2, **SMALL | {"ensemble": 3})
    learner, mark = learnt_of(model)
    arrays = arrays_of([SEQUENCE, DNASE], Geometry(), 4)
    given = 1 / (1 + np.exp(-np.asarray(learner(arrays)).reshape(2, 4, 3, 2)))
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
