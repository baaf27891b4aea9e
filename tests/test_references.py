"""What contributions are measured from."""

from collections import Counter
from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfbind.contract import Input
from tfbind.errors import RequestError
from tfbind.interpret.entrances import Entrance
from tfbind.interpret.references import background, counted, flat, seeded, shuffled

bases = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@given(bases, st.integers(0, 9))
def test_a_shuffle_keeps_neighbours_and_ends(codes: list[int], seed: int) -> None:
    found = shuffled(np.array(codes, np.uint8), np.random.default_rng(seed)).tolist()
    assert Counter(pairwise(found)) == Counter(pairwise(codes))
    assert (found[0], found[-1]) == (codes[0], codes[-1])


def test_every_order_is_as_likely() -> None:
    # AACAGA with two more As: runs of A between C and G may be of any length, C before G or behind.
    codes = np.array([0, 0, 1, 0, 0, 2, 0], np.uint8)
    random = np.random.default_rng(1)
    found = Counter(shuffled(codes, random).tobytes() for _ in range(4000))
    orders = 2 * comb(4, 2)  # two orders of C and G; two spare As among three runs
    assert len(found) == orders
    expected = 4000 / orders
    assert sum((n - expected) ** 2 / expected for n in found.values()) < 31.3  # p = 0.001, 11 d.f.


def test_shuffles_depend_on_the_place_alone() -> None:
    codes = np.random.default_rng(0).integers(0, 4, 100).astype(np.uint8)
    one, same, other = (
        shuffled(codes, seeded(1, "chr1", start, 0)).tolist() for start in (100, 100, 150)
    )
    assert one == same != other


def test_the_background_is_counted_and_checked() -> None:
    counts = counted([np.array([[0, 1], [4, 3]], np.uint8), np.array([3], np.uint8)])
    assert counts.tolist() == [1, 1, 0, 2]
    assert background([0.1, 0.2, 0.3, 0.4]).row == (0.1, 0.2, 0.3, 0.4)
    for wrong in ([0.5, 0.5, 0.5, 0.5], [0.5, 0.5], [-0.5, 0.5, 0.5, 0.5]):
        with pytest.raises(RequestError, match="expected four of A,C,G,T that sum to 1"):
            background(wrong)


def test_the_reference_of_a_signal_is_a_base_without_coverage() -> None:
    spec = Input("dnase", "signal", "float16", "log1p", mean=2.0, deviation=4.0)
    found = flat(Entrance("dnase", "signal", spec), background([0.25] * 4))
    assert found.tolist() == [[-0.5]]
