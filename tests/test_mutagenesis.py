"""In-silico mutagenesis, beside mutations made one by one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from small_networks import fed, small

from tfbind.contract import Geometry
from tfbind.errors import InputError
from tfbind.interpret.mutagenesis import Mutagenesis, contributions_of


@pytest.mark.parametrize(
    ("name", "geometry", "bins"),
    [
        ("shallow", Geometry(150, 20, 50), 5),  # a base has three bins
        ("shallow", Geometry(150, 20, 50), 2),  # fewer than a base could have
        ("tss", Geometry(60, 2, 7), 4),  # the stride does not divide the window
        ("danq", Geometry(150, 20, 50), 1),  # a window at a time
        ("naive", Geometry(150, 20, 50), 3),
    ],
)
def test_effects_are_those_of_single_mutations(name: str, geometry: Geometry, bins: int) -> None:
    network = small(name, geometry=geometry)
    feeds = fed(network, 1, bins)
    feeds["sequence"][0, :9] = [4, 0, 1, 2, 3, 4, 1, 0, 2]
    method = Mutagenesis(network, "b")
    effects, outputs = method.effects(feeds)
    assert effects.shape == (bins, geometry.window, 4)
    np.testing.assert_allclose(outputs, method.outputs(feeds)[0])
    expected = one_by_one(method, feeds, geometry, bins, range(0, geometry.window, 7))
    for (bin_, place, base), change in expected.items():
        assert effects[bin_, place, base] == pytest.approx(change, abs=1e-5)
    assert max(map(abs, expected.values())) > 1e-3


def one_by_one(
    method: Mutagenesis, feeds: Any, geometry: Geometry, bins: int, places: range
) -> dict[tuple[int, int, int], float]:
    found = {}
    for bin_ in range(bins):
        some = slice(bin_ * geometry.stride, bin_ * geometry.stride + geometry.window)
        alone = {name: values[:, some] for name, values in feeds.items()}
        before = method.outputs(alone)[0, 0]
        for place in places:
            for base in range(4):
                codes = alone["sequence"].copy()
                known = codes[0, place] < 4
                codes[0, place] = base if known else 4
                found[bin_, place, base] = (
                    method.outputs(alone | {"sequence": codes})[0, 0] - before
                )
    return found


def test_the_contribution_is_minus_the_mean_of_the_three_others() -> None:
    effects = np.array([[[0, 3, 6, -3], [1, 0, -1, -3]]], np.float32)
    own, hypothetical = contributions_of(effects, np.array([[0, 1]], np.uint8))
    assert own.tolist() == [[-2, 1]]
    expected: npt.NDArray[Any] = np.array([[[-2, 1, 4, -5], [2, 1, 0, -2]]])
    np.testing.assert_allclose(hypothetical, expected)


def test_a_network_without_a_sequence_has_nothing_to_mutate() -> None:
    with pytest.raises(InputError, match="reads 0 sequences"):
        Mutagenesis(small("deepchrome"), "a")
