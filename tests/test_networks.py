"""Networks: sizes, and the same numbers from scans as from windows."""

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

import keras

from tfbind.contract import Geometry, Input
from tfbind.errors import InputError
from tfbind.networks import architecture, shallow
from tfbind.networks.layers import AtrousMaxPool, BinRows, OneHot

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
H3K27AC = Input("h3k27ac", "signal", "float16", "log1p")
Arrays = dict[str, npt.NDArray[np.generic]]


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def stretch(inputs: list[Input], geometry: Geometry, bins: int) -> Arrays:
    rng = np.random.default_rng(bins)
    length = geometry.length(bins)
    return {
        spec.name: (
            rng.integers(0, 5, (1, length), np.uint8)
            if spec.source == "sequence"
            else rng.exponential(1, (1, length)).astype(np.float32)
        )
        for spec in inputs
    }


def in_windows(arrays: Arrays, geometry: Geometry) -> Arrays:
    return {
        name: np.lib.stride_tricks.sliding_window_view(array[0], geometry.window)[
            :: geometry.stride
        ]
        for name, array in arrays.items()
    }


def disturb(model: keras.Model) -> None:
    """Give batch normalisation something to do, as training would."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if any(part in weight.path for part in ("gamma", "variance")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif any(part in weight.path for part in ("beta", "moving_mean")):
            weight.assign(rng.normal(0, 0.1, weight.shape))


def test_shallow_has_the_published_size() -> None:
    assert trainable(shallow([SEQUENCE, DNASE], Geometry())) == 246_559
    assert trainable(shallow([SEQUENCE], Geometry())) == 196_559
    # A signal more brings 50 pooled rows to the layer of 1000 units.
    assert trainable(shallow([SEQUENCE, DNASE, H3K27AC], Geometry())) == 296_559


@pytest.mark.parametrize(
    ("geometry", "sizes"),
    [
        (Geometry(), {}),
        (Geometry(), {"pool": 7, "signal_pool": 3}),
        (Geometry(600, 200, 50), {"pool": 64, "signal_pool": 100}),
        (Geometry(500, 100, 10), {"pool": 35, "signal_pool": 20}),
        (Geometry(300, 200, 1), {"pool": 4, "signal_pool": 4}),
    ],
    ids=["published", "odd pools", "pools over the stride", "dense bins", "a base apart"],
)
@pytest.mark.parametrize("inputs", [[SEQUENCE], [SEQUENCE, DNASE]], ids=["sequence", "both"])
def test_scan_equals_windows(
    geometry: Geometry, sizes: dict[str, int], inputs: list[Input]
) -> None:
    model = shallow(inputs, geometry, 2, filters=8, dense=16, joint=32, **sizes)
    disturb(model)
    for bins in (1, 2, 13):
        arrays = stretch(inputs, geometry, bins)
        scan = model.predict(arrays, verbose=0)
        windows = model.predict(in_windows(arrays, geometry), verbose=0)
        assert scan.shape == (1, bins, 2)
        assert windows.shape == (bins, 1, 2)
        np.testing.assert_allclose(scan[0], windows[:, 0], atol=1e-6)


def test_atrous_pool_gives_each_bin_the_rows_of_its_own_window() -> None:
    rng = np.random.default_rng(1)
    width, pool, stride, bins = 981, 35, 50, 6
    rows = rng.normal(size=(1, width + stride * (bins - 1), 3)).astype(np.float32)
    gathered = BinRows(pool, stride, width)(AtrousMaxPool(pool, stride)(rows))
    for bin_, found in enumerate(np.asarray(gathered)[0]):
        window = rows[0, bin_ * stride :][:width]
        pooled = [window[k * pool : (k + 1) * pool].max(axis=0) for k in range(width // pool)]
        np.testing.assert_array_equal(found, np.concatenate(pooled))


def test_unknown_base_is_a_row_of_zeros() -> None:
    codes = np.array([[0, 3, 4]], np.uint8)
    assert np.asarray(OneHot()(codes)).tolist() == [[[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]]


def test_unknown_architecture_names_those_there_are() -> None:
    with pytest.raises(InputError, match="no architecture 'deepest': there is shallow"):
        architecture("deepest")
