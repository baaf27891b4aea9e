"""Boosted trees: how they are grown, kept and stopped."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras
import xgboost
from baseline_parts import Parts, parts_of
from conftest import Tfbind, ok, said

from tfbind import boosting, quantised
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.export import export
from tfbind.history import History
from tfbind.networks import architecture
from tfbind.networks.files import load_network
from tfbind.networks.heads import LOGITS
from tfbind.settings import Settings
from tfbind.tabular import Table
from tfbind.tilesets import TileSet

Array = npt.NDArray[Any]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
"""Keras saves so."""

SMALL = {"rounds": 12, "depth": 3, "rate": 0.3, "subsample": 0.8, "least": 1.0, "wait": 6}


@pytest.fixture(scope="module")
def parts(
    tfbind: Tfbind, data: Path, labelled: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Parts:
    return parts_of(tfbind, data, labelled, tmp_path_factory.mktemp("baselines") / "a.tiles")


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
