"""Contributions beside those of captum, an implementation of DeepLIFT by others, in PyTorch.

`golden/make_captum.py` made the file, of networks for which captum keeps the sum.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers

from tfbind.interpret.attribution import deeplift, one_hot
from tfbind.interpret.rules import with_rules
from tfbind.networks.layers import AtrousMaxPool, BinRows

GOLDEN = Path(__file__).parent / "golden" / "captum.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, npt.NDArray[Any]]:
    with np.load(GOLDEN) as archive:
        return dict(archive)


def network(golden: dict[str, npt.NDArray[Any]], name: str, pool: int) -> keras.Model:
    """Build a network with the same weights."""
    kernel = golden[f"{name}.convolution.weight"].transpose(2, 1, 0)
    window = golden["codes"].shape[1]
    rows = keras.Input((window, 4))
    stages = [
        layers.Conv1D(kernel.shape[2], kernel.shape[0], activation="relu"),
        AtrousMaxPool(pool, pool),
        BinRows(1, window, (window - kernel.shape[0] + 1) // pool),
        layers.Dense(len(golden[f"{name}.hidden.bias"]), activation="relu"),
        layers.Dense(1),
    ]
    values = rows
    for stage in stages:
        values = stage(values)
    stages[0].set_weights([kernel, golden[f"{name}.convolution.bias"]])
    for stage, one in ((stages[3], "hidden"), (stages[4], "last")):
        stage.set_weights([golden[f"{name}.{one}.weight"].T, golden[f"{name}.{one}.bias"]])
    return keras.Model([rows], values)


@pytest.mark.parametrize(("name", "pool"), [("background", 4), ("other", 1)])
def test_contributions_are_those_of_captum(
    name: str, pool: int, golden: dict[str, npt.NDArray[Any]]
) -> None:
    rows = one_hot(golden["codes"]).astype(np.float32)
    shared = name == "background"
    reference = (
        np.array([[[0.3, 0.2, 0.2, 0.3]]], np.float32)
        if shared
        else one_hot(golden["shuffled"]).astype(np.float32)
    )
    body = with_rules(network(golden, name, pool), shared=shared)
    find = deeplift(body, np.ones(1, np.float32), shared=shared)
    found, outputs, before = find([rows], [reference], np.ones((len(rows), 1), np.float32))
    contributions = (found[0] * (rows - reference)).sum(-1)
    np.testing.assert_allclose(contributions.sum(1), (outputs - before)[:, 0], atol=1e-5)
    expected = golden[f"{name}.contributions"]
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(contributions, expected, rtol=0, atol=1e-4)
