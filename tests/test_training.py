"""What a network is fitted to, and that fitting keeps the best."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install 'tfbind[train]'")

import keras
import tensorflow as tf
from conftest import Trained

from tfbind.batches import Batcher, training_batches, validation_batches
from tfbind.checkpoints import Checkpoint, State
from tfbind.contract import Input
from tfbind.errors import InputError
from tfbind.genome import base_codes
from tfbind.heldout import draw_regions
from tfbind.losses import cross_entropy
from tfbind.networks import shallow
from tfbind.networks.files import load_network
from tfbind.networks.heads import LEARNT, SCORES, Learnt
from tfbind.pieces import Pieces
from tfbind.regions import Region
from tfbind.tilefiles import TileFile, write_tiles
from tfbind.tilesets import TileSet, part_by_regions, spans
from tfbind.trained import check_tiles
from tfbind.training import (
    Epoch,
    History,
    Settings,
    class_weights,
    fit,
    history_csv,
    validate,
)

INPUTS = (
    Input("sequence", "sequence", "uint8"),
    Input("dnase", "signal", "float16", "log1p"),
)


def piece(labels: list[int], weights: list[int]) -> Pieces:
    return Pieces(
        np.array([[weights]], np.uint8),
        np.array([[labels]], np.uint8),
        {
            "sequence": base_codes(b"AACGTN")[None],
            "dnase": np.array([[0, 1, 2, 3, 4, 5]], np.float16),
        },
        np.array([0]),
        [{}],
        np.zeros(1, np.int32),
        np.zeros(1, np.int64),
    )


def test_class_weight_is_unbound_over_bound() -> None:
    counts = np.array([[90, 5, 10], [4, 0, 8]])
    assert class_weights(counts, "drop").tolist() == [9.0, 0.5]
    assert class_weights(counts, "unbound").tolist() == [9.5, 0.5]
    assert class_weights(counts, "drop", "one").tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("ambiguous", "weight"), [("drop", 0), ("unbound", 1)])
def test_truth_holds_labels_and_weights(ambiguous: "object", weight: float) -> None:
    batcher = Batcher(INPUTS, np.array([9], np.float32), ambiguous)  # type: ignore[arg-type]
    inputs, truth = batcher(piece([0, 1, 2, 0], [1, 1, 1, 0]), np.array([False]))
    assert truth[0, :, 0].tolist() == [0, 0, 1, 0]
    assert truth[0, :, 1].tolist() == [1, weight, 9, 0]
    assert inputs["sequence"][0].tolist() == [0, 0, 1, 2, 3, 4]
    np.testing.assert_allclose(inputs["dnase"][0], np.log1p(np.arange(6)), rtol=1e-6)


def test_other_strand_turns_everything_round() -> None:
    batcher = Batcher(INPUTS, np.array([9], np.float32), "drop")
    inputs, truth = batcher(piece([0, 1, 2, 0], [1, 1, 1, 0]), np.array([True]))
    assert truth[0].tolist() == [[0, 0], [1, 9], [0, 0], [0, 1]]
    assert inputs["sequence"][0].tolist() == [4, 0, 1, 2, 3, 3]
    np.testing.assert_allclose(inputs["dnase"][0], np.log1p(np.arange(6)[::-1]), rtol=1e-6)


def log_odds(probabilities: object) -> np.ndarray:
    known = np.array(probabilities, np.float32)
    return np.asarray(np.log(known / (1 - known)))


def test_loss_is_the_weighted_mean_over_bins_that_count() -> None:
    truth = np.array([[[1, 9], [0, 1], [0, 0]]], np.float32)
    given = log_odds([[[0.8], [0.3], [0.9]]])
    expected = (9 * -np.log(0.8) - np.log(0.7)) / 2
    assert float(cross_entropy(Learnt("each"))(truth, given)) == pytest.approx(expected, rel=1e-5)


def test_loss_and_validation_count_every_task() -> None:
    """A batch in which the last task is ambiguous throughout still counts for the first."""
    labels = np.array([[[0, 1, 2, 0], [1, 1, 1, 1]]], np.uint8)
    one = replace(piece([0] * 4, [1] * 4), labels=labels, weights=np.ones((1, 2, 4), np.uint8))
    batcher = Batcher(INPUTS, np.array([9, 9], np.float32), "drop")
    batch = batcher(one, np.array([False]))
    assert batch[1].shape == (1, 4, 4)

    ends = {name: keras.Input((6,), name=name) for name in ("sequence", "dnase")}
    rows = keras.layers.Reshape((4, 1))(keras.layers.Dense(4)(ends["dnase"]))
    learnt = Learnt("each", name=LEARNT)(
        keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer=quarter)(rows)
    )
    constant = keras.Model(ends, keras.layers.Activation("sigmoid", name=SCORES)(learnt))
    loss, auprc, areas = validate(constant, [batch])
    assert loss == pytest.approx((-2 * np.log(0.75) - 9 * np.log(0.25)) / 3, rel=1e-5)
    assert auprc == areas[0] == pytest.approx((1 + 1 / 3) / 2)
    assert np.isnan(areas[1])


def quarter(shape: tuple[int, ...], dtype: object = None) -> np.ndarray:
    return np.full(shape, -np.log(3), np.float32)


def test_nodes_learn_by_their_own_class_and_none_from_unknown() -> None:
    """Three nodes a task: unknown, unbound, bound; what has no weight has no part in the loss."""
    truth = np.array([[[1, 0, 7, 0], [0, 0, 1, 0]]], np.float32)
    given = np.log([[[0.2, 0.3, 0.5, 1, 1, 1], [0.1, 0.6, 0.3, 1, 1, 1]]]).astype(np.float32)
    expected = (7 * -np.log(0.5) - np.log(0.6)) / 2
    # What is added to all classes changes nothing.
    assert float(cross_entropy(Learnt("nodes", 3))(truth, given + 9)) == pytest.approx(expected)


def test_classes_that_exclude_each_other_share_one_softmax() -> None:
    truth = np.array([[[0, 1, 3, 5], [0, 0, 3, 5], [0, 0, 3, 0]]], np.float32)
    given = np.log([[[0.2, 0.3, 0.5], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]]).astype(np.float32)
    # The last bin is ambiguous in one class, so it is of no class for certain.
    expected = (5 * -np.log(0.5) + 3 * -np.log(0.7)) / 2
    assert float(cross_entropy(Learnt("exclusive"))(truth, given)) == pytest.approx(expected)


def test_members_of_an_ensemble_learn_each_by_itself() -> None:
    truth = np.array([[[1, 2]]], np.float32)
    given = log_odds([[[0.5, 0.25]]])
    expected = 2 * -(np.log(0.5) + np.log(0.25)) / 2
    assert float(cross_entropy(Learnt("members", 2))(truth, given)) == pytest.approx(expected)


def test_focal_loss_lets_what_is_known_count_less() -> None:
    truth = np.array([[[1, 1], [0, 1]]], np.float32)
    given = log_odds([[[0.9], [0.6]]])
    expected = (0.1**2 * -np.log(0.9) + 0.6**2 * -np.log(0.4)) / 2
    assert float(cross_entropy(Learnt("each"), 2.0)(truth, given)) == pytest.approx(expected)


@pytest.mark.parametrize("focus", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    ("learnt", "towards"),
    [
        (Learnt("each"), [1]),
        (Learnt("members", 2), [1, 1]),
        (Learnt("nodes", 3), [0, -1, 1]),
        (Learnt("exclusive"), [-1, 1]),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_gradients_of_the_surest_bins_are_numbers(
    learnt: Learnt, towards: list[int], focus: float
) -> None:
    """What is sure and right learns nothing more; what is sure and wrong learns most of all."""
    truth = tf.constant([[[1, 1], [1, 1]]], tf.float32)
    logits = tf.constant([200.0, -200.0])[None, :, None] * tf.constant([[towards]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(learnt, focus)(truth, logits)
    right, wrong = np.asarray(tape.gradient(loss, logits))[0]
    assert np.isfinite(float(loss))
    np.testing.assert_allclose(right, 0, atol=1e-6)
    # The slope of a line, over two bins of each member.
    count = 2 * learnt.count if learnt.kind == "members" else 2
    np.testing.assert_allclose(wrong, -np.array(towards) / count, atol=1e-5)


def test_pieces_cover_each_bin_once(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    tiles = TileSet([file])
    pieces = tiles.read(np.arange(tiles.pieces))
    assert pieces.weights.sum() == file.counts["bins"]
    held = int(((pieces.labels == 2) & (pieces.weights > 0)).sum())
    assert held == tiles.label_counts()[0, 2] == file.counts["bound"]["bound"]


def test_parts_share_no_window(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    edge = 48_000_000
    training, validation = part_by_regions([file], [Region("chrX", edge, 50_000_000)])
    windows = spans(file).widened(400)
    assert windows.ends[training.chosen[0]].max() <= windows.starts[validation.chosen[0]].min()
    assert training.tiles + validation.tiles >= len(file) - 2


def test_regions_of_a_part_leave_out_what_was_held_out(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    held_out = [Region("chrX", 47_000_000, 48_000_000)]
    training, _ = part_by_regions([file], held_out)
    before, behind = training.regions(held_out)
    assert before.start < 46_000_000 < (before.end or 0) <= 47_000_000
    assert 48_000_000 <= behind.start < 49_000_000 < (behind.end or 0)


def test_tiles_between_two_regions_are_in_neither_part(trained: Trained) -> None:
    """One that begins in a region and ends in the next lies in none of them."""
    file = TileFile(trained.tiles)
    where = spans(file)
    longest = int(np.argmax(where.ends - where.starts))
    start, end = int(where.starts[longest]), int(where.ends[longest])
    near = [Region("chrX", start - 100, start + 100), Region("chrX", end - 100, end + 100)]
    _, validation = part_by_regions([file], near)
    assert not validation.chosen[0][longest]
    _, validation = part_by_regions([file], [Region("chrX", start, end)])
    assert validation.chosen[0][longest]
    touching = [Region("chrX", start, start + 150), Region("chrX", start + 150, end)]
    assert part_by_regions([file], touching)[1].chosen[0][longest]


def test_regions_are_drawn_by_seed(trained: Trained) -> None:
    files = [TileFile(trained.tiles)]
    drawn = {seed: tuple(map(str, draw_regions(files, 0.2, seed))) for seed in range(6)}
    assert len(set(drawn.values())) > 1
    assert drawn[3] == tuple(map(str, draw_regions(files, 0.2, 3)))


def test_batches_of_a_seed_are_the_same(trained: Trained) -> None:
    tiles = TileSet([TileFile(trained.tiles)])
    batcher = Batcher(INPUTS, np.array([9], np.float32), "drop")
    one, other = (
        list(training_batches(tiles, batcher, 256, True, np.random.default_rng(7)))
        for _ in range(2)
    )
    for (inputs, truth), (same_inputs, same_truth) in zip(one, other, strict=True):
        assert np.array_equal(truth, same_truth)
        assert all(np.array_equal(inputs[name], same_inputs[name]) for name in inputs)
    assert sum(truth[..., 1].astype(bool).sum() for _, truth in one) == (
        tiles.label_counts()[0, [0, 2]].sum()
    )


def test_fit_learns_and_ends_with_the_best_epoch(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    training, validation = part_by_regions([file], [Region("chrX", 48_000_000, 50_000_000)])
    keras.utils.set_random_seed(1)
    model = shallow(INPUTS, file.contents.geometry, filters=8, joint=50)
    history = fit(model, INPUTS, training, validation, Settings(epochs=3, learning_rate=0.003))
    losses = [epoch.loss for epoch in history.epochs]
    assert losses[-1] < losses[0]
    areas = [epoch.validation_auprc for epoch in history.epochs]
    assert history.best == int(np.argmax(areas)) + 1
    weights = class_weights(training.label_counts(), "drop")
    batches = validation_batches(validation, Batcher(INPUTS, weights, "drop"), 256)
    assert validate(model, batches)[1] == max(areas)
    assert len(history_csv(history, ["bound"]).splitlines()) == 4


class KilledError(Exception):
    """Stands for kill -9."""


def test_fit_is_repeatable_and_goes_on_from_a_checkpoint_to_the_same_bits(
    trained: Trained, tmp_path: Path
) -> None:
    file = TileFile(trained.tiles)
    training, validation = part_by_regions([file], [Region("chrX", 48_000_000, 50_000_000)])
    settings = Settings(epochs=3, seed=5, schedule="cosine", clip=1.0)

    def state(path: Path, killed_after: int = 0) -> State | None:
        keras.utils.set_random_seed(5)
        model = shallow(INPUTS, file.contents.geometry, filters=4, joint=20, dense=10)
        checkpoint = Checkpoint(path, {"--seed": "5"})

        def kill(epoch: Epoch) -> None:
            if epoch.number == killed_after:
                raise KilledError

        fit(
            model,
            INPUTS,
            training,
            validation,
            settings,
            on_epoch=kill,
            checkpoint=checkpoint,
        )
        return checkpoint.read()

    whole = state(tmp_path / "whole")
    with pytest.raises(KilledError):
        state(tmp_path / "parts", killed_after=2)
    parts = state(tmp_path / "parts")
    assert whole is not None
    assert parts is not None
    assert len(whole.history["epochs"]) == 3
    for name in ("variables", "optimiser", "best"):
        for one, other in zip(getattr(whole, name), getattr(parts, name), strict=True):
            np.testing.assert_array_equal(one, other)
    assert whole.random == parts.random
    assert whole.history["best"] == parts.history["best"]
    timed = {"seconds": 0, "bins_per_second": 0}
    assert [one | timed for one in whole.history["epochs"]] == [
        one | timed for one in parts.history["epochs"]
    ]


def test_schedule_falls_along_half_a_cosine() -> None:
    settings = Settings(epochs=4, learning_rate=0.1, schedule="cosine")
    rates = [settings.rate(number) for number in range(1, 5)]
    np.testing.assert_allclose(rates, [0.1, 0.085355, 0.05, 0.014645], rtol=1e-4)
    assert Settings(learning_rate=0.1).rate(50) == 0.1


def test_history_ends_after_epochs_or_patience() -> None:
    history, settings = History(), Settings(epochs=9, patience=2)
    for number, area in enumerate([0.3, 0.5, 0.4, 0.5], 1):
        assert not history.is_over(settings)
        assert history.add(Epoch(number, 1, 1, 1, area)) == (number in (1, 2))
    assert history.best == 2
    assert history.is_over(settings)
    assert history.is_over(Settings(epochs=4))
    assert not history.is_over(Settings(epochs=5))


def test_history_csv_has_a_column_for_each_of_several_tasks() -> None:
    nan = float("nan")
    history = History([Epoch(1, 2.5, 1, 0.5, 0.25, 1000, (0.25, nan))], 1)
    assert history_csv(history, ["CTCF", "MAX"]).splitlines() == [
        "epoch,seconds,bins_per_second,loss,validation_loss,validation_auprc,auprc_CTCF,auprc_MAX",
        "1,2.5,1000,1,0.5,0.25,0.25,",
    ]


def test_nothing_bound_is_an_error(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    none = TileSet([file], [np.zeros(len(file), np.bool_)])
    model = shallow(INPUTS, file.contents.geometry, filters=2, joint=4, dense=2)
    with pytest.raises(InputError, match="training part holds 0 bound and 0 unbound bins of bound"):
        fit(model, INPUTS, none, none, Settings())
    with pytest.raises(InputError, match="validation part holds 0 bound"):
        fit(model, INPUTS, TileSet([file]), none, Settings())


def test_interrupted_fit_keeps_the_best_so_far(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    training, validation = part_by_regions([file], [Region("chrX", 48_000_000, 50_000_000)])
    model = shallow(INPUTS, file.contents.geometry, filters=4, joint=20, dense=10)

    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    history = fit(model, INPUTS, training, validation, Settings(), on_epoch=interrupt)
    assert (history.best, history.ended, len(history.epochs)) == (1, "interrupted", 1)
    with pytest.raises(KeyboardInterrupt):
        fit(
            model,
            INPUTS,
            training,
            validation,
            Settings(),
            on_step=lambda bins, loss: interrupt(history.epochs[0]),
        )


def test_loss_that_is_no_number_is_said(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    training, validation = part_by_regions([file], [Region("chrX", 48_000_000, 50_000_000)])
    model = shallow(INPUTS, file.contents.geometry, filters=4, joint=20, dense=10)
    with pytest.raises(InputError, match="smaller --learning-rate"):
        fit(model, INPUTS, training, validation, Settings(learning_rate=1e30))


def test_weights_that_are_ruined_by_a_last_step_leave_the_best_epoch(trained: Trained) -> None:
    file = TileFile(trained.tiles)
    place = np.arange(len(file))
    chosen = place < 60, (place >= 100) & (place < 160)
    training, validation = (TileSet([file], [one]) for one in chosen)
    model = shallow(INPUTS, file.contents.geometry, filters=2, joint=4, dense=2)
    steps: list[int] = []

    def ruin(bins: int, loss: float) -> None:
        steps.append(bins)
        if len([one for one in steps if one]) == 2 and bins:
            model.set_weights([np.full_like(one, np.nan) for one in model.get_weights()])

    settings = Settings(epochs=4, batch=training.pieces * training.bins)
    history = fit(model, INPUTS, training, validation, settings, on_step=ruin)
    assert (history.best, history.ended, len(history.epochs)) == (1, "diverged", 1)
    assert all(np.isfinite(one).all() for one in model.get_weights())


def test_only_inputs_that_are_learnt_from_are_read(trained: Trained) -> None:
    tiles = TileSet([TileFile(trained.tiles)])
    index = np.arange(9)
    assert set(tiles.read(index, INPUTS[:1]).inputs) == {"sequence"}
    assert set(tiles.read(index).inputs) == {"sequence", "dnase"}


def test_pieces_of_odd_tiles_hold_each_bin_once(trained: Trained, tmp_path: Path) -> None:
    """Tiles of 10 bins give a second piece of which 6 bins are the first's."""
    whole = TileFile(trained.tiles)
    contents = replace(whole.contents, longest=10)
    tiles = []
    for index in range(40):
        tile = whole.tile(index)
        bins = min(10, tile.bins) if index % 4 else 5
        length = contents.geometry.length(bins)
        inputs = {name: values[:length] for name, values in tile.inputs.items()}
        tiles.append(
            replace(tile, weights=tile.weights[:bins], labels=tile.labels[:, :bins], inputs=inputs)
        )
    path = tmp_path / "odd.tiles"
    with path.open("wb") as stream:
        counts = write_tiles(tiles, contents, stream)
    cut = TileSet([TileFile(path)])
    pieces = cut.read(np.arange(cut.pieces))
    assert pieces.weights.sum() == counts["bins"]
    assert ((pieces.labels == 2) & (pieces.weights > 0)).sum() == counts["bound"]["bound"]
    sequence = pieces.inputs["sequence"]
    ten = next(tile for tile in tiles if len(tile.weights) == 10)
    second = int(np.flatnonzero((sequence == ten.inputs["sequence"][100:]).all(axis=1))[0])
    assert pieces.weights[second, 0].tolist() == [0] * 6 + ten.weights[8:].tolist()
    assert (sequence[0, 1200:] == 4).all()
    assert not pieces.weights[0, 0, 5:].any()


def test_check_tiles_come_from_one_file_half_of_them_bound(
    trained: Trained, tmp_path: Path
) -> None:
    file = TileFile(trained.tiles)
    none, some = np.zeros(len(file), np.bool_), np.zeros(len(file), np.bool_)
    some[:3] = True
    kept = check_tiles(TileSet([file, file], [none, some]))
    assert pa.ipc.open_stream(kept).read_all().num_rows == 3
    (tmp_path / "kept.tiles").write_bytes(check_tiles(TileSet([file])))
    tiles = TileFile(tmp_path / "kept.tiles")
    bound = [bool((tiles.tile(index).labels == 2).any()) for index in range(len(tiles))]
    assert bound == [True] * 4 + [False] * 4


def test_network_file_holds_its_contract(trained: Trained) -> None:
    network = load_network(trained.keras)
    contract = network.contract
    assert [spec.name for spec in contract.inputs] == ["sequence", "dnase"]
    assert contract.inputs[1].transform == "log1p"
    assert contract.parameters["trainable"] == 246_559
    assert contract.parameters["pool"] == 35
    assert (contract.cells, contract.held_out) == (("HeLa-S3",), ("chrX:48000001-50000000",))
    assert contract.trained_on[0].startswith("chrX:45")
    assert contract.training["epochs"] == 2
    assert Path(f"{trained.keras.with_suffix('')}.history.csv").read_text().count("\n") == 3
