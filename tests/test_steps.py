"""What a step of training counts, and which regions are drawn before the first."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install 'tfbind[train]'")

import keras

from tfbind.heldout import draw_rows
from tfbind.losses import cross_entropy
from tfbind.networks.heads import Kind, Learnt
from tfbind.training import _counted, _filled, one_epoch


def truths(kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Give truth of three bins of two tasks, and what a network of that kind gives."""
    truth = np.array([[[0, 1, 3, 5], [0, 0, 3, 5], [0, 0, 3, 0]]], np.float32)
    width = {"each": 2, "exclusive": 3, "nodes": 6, "members": 4}[kind]
    return truth, np.linspace(0.1, 0.4, 3 * width, dtype=np.float32).reshape(1, 3, width)


KINDS: dict[Kind, Learnt] = {
    "each": Learnt("each"),
    "exclusive": Learnt("exclusive"),
    "nodes": Learnt("nodes", 3),
    "members": Learnt("members", 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_mean_over_batches_is_that_over_all_their_bins(kind: Kind) -> None:
    """Batches of unlike bins weigh as much as what they count; blank bins change nothing."""
    truth, given = truths(kind)
    loss = cross_entropy(KINDS[kind])
    parts = [(truth[:, one], given[:, one]) for one in (slice(0, 2), slice(2, 3))]
    counts = [_counted(part, kind) for part, _ in parts]
    mean = np.average([float(loss(*part)) for part in parts], weights=counts)
    assert mean == pytest.approx(float(loss(truth, given)))
    assert sum(counts) == (2 if kind == "exclusive" else 5)
    blank = np.concatenate([truth, np.zeros_like(truth)])
    assert float(loss(blank, np.concatenate([given, given]))) == pytest.approx(
        float(loss(truth, given))
    )


def test_batches_are_filled_for_several_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, _ = truths("each")
    inputs = {"sequence": np.arange(4, dtype=np.uint8)[None]}
    assert _filled(inputs, truth)[1] is truth
    three = SimpleNamespace(num_model_replicas=3)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: three)
    filled, more = _filled(inputs, truth)
    assert filled["sequence"].tolist() == [[0, 1, 2, 3]] * 3
    np.testing.assert_array_equal(more[:1], truth)
    assert more.shape == (3, 3, 4)
    assert not more[1:].any()


def test_speed_counts_bins_that_are_learnt_from() -> None:
    truth, _ = truths("each")
    truth[0, 1, 2:] = 0
    still = SimpleNamespace(train_on_batch=lambda inputs, truth: 1.0)
    steps: list[int] = []
    loss, bins = one_epoch(
        still,
        iter([({}, truth), ({}, truth)]),
        lambda bins, loss: steps.append(bins),
    )
    assert (loss, bins, steps) == (1.0, 4, [3, 3])


def test_a_rare_task_holds_no_more_than_twice_the_share_out() -> None:
    """Of 100 Mb a factor is bound in 3, one in a single one, and others nearly everywhere."""
    counts = np.full((100, 4), [1000, 50, 0, 0])
    counts[[10, 50, 90], 2] = 5
    counts[30, 3] = 7
    for seed in range(20):
        drawn = draw_rows(counts, 0.1, seed)
        assert 10 <= len(drawn) <= 20
        assert len({10, 50, 90} & set(drawn)) == 1
        assert 30 not in drawn
    assert draw_rows(counts, 0.1, 1) != draw_rows(counts, 0.1, 2)
    assert len(draw_rows(counts[:2], 0.1, 1)) == 1
