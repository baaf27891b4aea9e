"""DeepLIFT's rules, integrated gradients and gradient times input, on toys and on every network."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow
from keras import layers, ops
from small_networks import SIZES, fed, small

from tfbind.errors import InputError, RequestError
from tfbind.interpret.attribution import Attributor, Method, deeplift
from tfbind.interpret.logits import chosen_task, weights_of
from tfbind.interpret.references import Reference, background, zeros
from tfbind.interpret.rules import with_rules
from tfbind.networks.files import Network
from tfbind.networks.heads import Learnt, learnt_of
from tfbind.networks.layers import AtrousMaxPool

BACKGROUND = background((0.3, 0.2, 0.2, 0.3))
SHUFFLES = Reference("shuffles", shuffles=2, seed=1)
WITH_RULES = [name for name in SIZES if name not in ("danq", "naive")]


@pytest.fixture(autouse=True)
def without_tracing() -> Iterator[None]:
    """Run each operation as it comes: to trace a graph takes longer than to run it once."""
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


def multipliers(body: keras.Model, given: Any, reference: Any) -> npt.NDArray[np.float32]:
    """Give the multipliers of a network of one output for one input."""
    given, reference = (np.array([one], np.float32) for one in (given, reference))
    found = deeplift(with_rules(body, shared=True), np.ones(1, np.float32), shared=True)
    return np.asarray(found([given], [reference], np.ones((1, 1), np.float32))[0][0][0])


def test_the_saturated_toy_of_equation_25_gives_a_half_to_each() -> None:
    both = keras.Input((1, 2))
    first, last = layers.Dense(1, activation="relu"), layers.Dense(1)
    body = keras.Model([both], last(first(both)))
    first.set_weights([np.array([[-1.0], [-1.0]]), np.array([1.0])])
    last.set_weights([np.array([[-1.0]]), np.array([1.0])])
    given, reference = np.array([[1.0, 1.0]]), np.zeros((1, 2))
    assert body([given[None]]).numpy().item() == 1  # saturated: the gradient is 0
    np.testing.assert_allclose(multipliers(body, given, reference) * given, [[0.5, 0.5]])


def pooled() -> keras.Model:
    rows = keras.Input((4, 1))
    return keras.Model([rows], as_they_are(AtrousMaxPool(4, 4)(rows)))


def as_they_are(rows: Any) -> Any:
    layer = layers.Dense(1, use_bias=False)
    found = layer(rows)
    layer.set_weights([np.ones((1, 1))])
    return found


@pytest.mark.parametrize(
    ("given", "reference", "expected"),
    [
        ([1, 3, 3, 2], [1, 1, 1, 1], [0, 2, 0, 0]),  # a tie counts once, for the first
        ([-4, -3, -5, -6], [1, 1, 1, 1], [0, -4, 0, 0]),  # below the reference: equation 38
        ([1, 5, 2, 0], [3, 0, 0, 1], [0, 2, 0, 0]),  # equation 38: (5 - 3) / (5 - 0) * (5 - 0)
        ([0, 0, 0, 0], [0, 0, 3, 0], [0, 0, -3, 0]),  # equation 38 would divide by 0 here
        ([2, 1, 0, 0], [2, 1, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_a_maximum_keeps_the_sum(given: Any, reference: Any, expected: Any) -> None:
    given, reference = (np.array(one, np.float32)[:, None] for one in (given, reference))
    found = multipliers(pooled(), given, reference)
    np.testing.assert_allclose((found * (given - reference))[:, 0], expected, atol=1e-6)
    assert np.abs(found).max() <= 1


def test_a_product_is_shared_as_by_shapley() -> None:
    ends = [keras.Input((1, 1)), keras.Input((1, 1))]
    body = with_rules(keras.Model(ends, layers.Multiply()(ends)), shared=True)
    given = [np.full((1, 1, 1), one, np.float32) for one in (3, 5)]
    reference = [np.full((1, 1, 1), one, np.float32) for one in (1, 2)]
    find = deeplift(body, np.ones(1, np.float32), shared=True)
    found, outputs, before = find(given, reference, np.ones((1, 1), np.float32))
    assert (outputs.item(), before.item()) == (15, 2)
    # The mean over both orders of what each adds: (3-1)*2 and (3-1)*5; (5-2)*1 and (5-2)*3.
    assert found[0].item() * 2 == 7
    assert found[1].item() * 3 == 6


CASES = [(name, some) for name in WITH_RULES for some in (BACKGROUND, SHUFFLES)]


@pytest.mark.parametrize(
    ("name", "reference"), [*CASES, ("shallow", zeros())], ids=lambda one: getattr(one, "kind", one)
)
def test_contributions_sum_to_the_difference(name: str, reference: Reference) -> None:
    extra = () if name == "deepchrome" else ("shape", "expression")
    network = small(name, extra)
    feeds = fed(network, 3)
    places = [("x", i) for i in range(3)]
    found = Attributor(network, "b", "deeplift", reference)(feeds, np.ones((3, 1)), places)
    total = sum(one.sum(1, dtype=np.float64) for one in found.contributions.values())
    change = (found.outputs - found.reference_outputs)[:, 0]
    np.testing.assert_allclose(total, change, atol=1e-4)
    assert np.abs(change).max() > 1e-3
    assert found.outputs[:, 0] == pytest.approx(output(network, feeds, "b"), abs=1e-5)
    assert set(found.contributions) >= {spec.name for spec in network.contract.fed}


@pytest.mark.parametrize("reference", [BACKGROUND, SHUFFLES], ids=["flat", "shuffles"])
def test_what_a_network_does_not_keep_contributes_nothing(reference: Reference) -> None:
    network = small("tss", ("signal", "shape"), keep="-35:-20,-10:10")
    feeds = fed(network, 3)
    places = [("x", i) for i in range(3)]
    found = Attributor(network, "b", "deeplift", reference)(feeds, np.ones((3, 1)), places)
    elsewhere = np.ones(200, np.bool_)
    elsewhere[65:81] = elsewhere[90:111] = False
    for name in ("sequence", "signal"):
        given = found.contributions[name]
        assert not given[:, elsewhere].any()
        assert given[:, ~elsewhere].any()
    total = sum(one.sum(1, dtype=np.float64) for one in found.contributions.values())
    change = (found.outputs - found.reference_outputs)[:, 0]
    np.testing.assert_allclose(total, change, atol=1e-4)


def output(network: Network, feeds: Any, task: str) -> npt.NDArray[np.float32]:
    """Give the output before its activation as the network itself has it."""
    model, mark = learnt_of(network.model)
    learnt = ops.convert_to_numpy(model(feeds, training=False))[:, 0]
    return np.asarray(learnt @ weights_of(mark, learnt.shape[1], network.contract.tasks, task))


def test_the_contribution_of_a_base_is_its_hypothetical_one() -> None:
    network = small("shallow")
    feeds = fed(network, 2)
    methods: tuple[Method, ...] = ("deeplift", "gradient", "integrated")
    for method in methods:
        found = Attributor(network, "a", method, BACKGROUND, 3)(feeds, np.ones((2, 1)), [])
        codes = feeds["sequence"][1].astype(int)
        there = np.take_along_axis(found.hypothetical["sequence"][1], codes[:, None], 1)[:, 0]
        np.testing.assert_allclose(there, found.contributions["sequence"][1], atol=1e-6)


def test_gradients_are_those_of_small_changes() -> None:
    network = small("shallow")
    feeds = fed(network, 1)
    found = Attributor(network, "a", "gradient", zeros())(feeds, np.ones((1, 1)), [])
    place = int(np.argmax(np.abs(found.contributions["signal"][0])))
    step = 1e-2
    more, less = ({**feeds, "signal": feeds["signal"].copy()} for _ in range(2))
    more["signal"][0, place] += step
    less["signal"][0, place] -= step
    slope = (output(network, more, "a") - output(network, less, "a")) / (2 * step)
    there = feeds["signal"][0, place]
    assert found.contributions["signal"][0, place] == pytest.approx(slope[0] * there, rel=1e-2)


def test_integrated_gradients_sum_to_the_difference_with_more_steps() -> None:
    network = small("zeng")
    feeds = fed(network, 2)
    errors = []
    for steps in (2, 100):
        found = Attributor(network, "a", "integrated", BACKGROUND, steps)(
            feeds, np.ones((2, 1)), []
        )
        total = sum(one.sum(1) for one in found.contributions.values())
        errors.append(np.abs(total - (found.outputs - found.reference_outputs)[:, 0]).max())
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("name", [name for name in WITH_RULES if name not in ("deepbind", "zeng")])
def test_one_pass_over_a_stretch_gives_the_sum_over_its_bins(name: str) -> None:
    network = small(name)
    geometry, bins = network.contract.geometry, 5
    feeds = fed(network, 1, bins)
    weights = np.array([[1, 1, 0, 1, 1]], np.float32)
    attribute = Attributor(network, "b", "deeplift", BACKGROUND)
    whole = attribute(feeds, weights, [])
    summed = {one: np.zeros_like(values) for one, values in whole.contributions.items()}
    for bin_ in np.flatnonzero(weights[0]):
        some = slice(bin_ * geometry.stride, bin_ * geometry.stride + geometry.window)
        alone = attribute({k: v[:, some] for k, v in feeds.items()}, np.ones((1, 1)), [])
        for one, values in alone.contributions.items():
            summed[one][:, some] += values
    for one, values in summed.items():
        np.testing.assert_allclose(whole.contributions[one], values, atol=1e-5)
        assert np.abs(values).max() > 1e-5


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("danq", "deeplift", "Bidirectional, for which DeepLIFT has no rule; give --method grad"),
        ("naive", "deeplift", "OnOpenBins, for which DeepLIFT has no rule; give --method mutagen"),
        ("naive", "integrated", "OnOpenBins, which jumps and has no gradient; give --method mut"),
    ],
)
def test_a_layer_without_a_rule_is_refused_by_name(name: str, method: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Attributor(small(name), "a", method, BACKGROUND)


def test_an_activation_that_mixes_values_is_refused() -> None:
    end = keras.Input((1, 3))
    with pytest.raises(InputError, match="activation softmax in the layer"):
        with_rules(keras.Model(end, layers.Dense(2, activation="softmax")(end)), shared=True)


def test_outputs_are_those_before_the_activation() -> None:
    def weights(kind: Any, columns: int, count: int = 1) -> list[float]:
        return list(weights_of(Learnt(kind, count), columns, ("a", "b"), "b"))

    assert weights("each", 2) == [0, 1]
    assert weights("nodes", 6, 3) == [0, 0, 0, 0, -1, 1]
    assert weights("exclusive", 3) == [0, 0, 1]
    assert weights("exclusive", 2) == [0, 1]  # background is a task, too
    assert weights("members", 4, 2) == [0, 0.5, 0, 0.5]


def test_a_task_is_named_where_there_are_several() -> None:
    assert chosen_task(("a",), None) == "a"
    assert chosen_task(("a", "b"), "b") == "b"
    with pytest.raises(RequestError, match="choose one by --task"):
        chosen_task(("a", "b"), None)
    with pytest.raises(RequestError, match="no task 'c': there is a, b"):
        chosen_task(("a", "b"), "c")
