"""How much a network's output hangs on each of its filters."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfbind.channels.base import Array
from tfbind.interpret.convolutions import Convolution

BATCH = 64


def influences(
    model: keras.Model,
    output: Any,
    convolution: Convolution,
    windows: Mapping[str, Array],
    advance: Callable[[float], None],
) -> npt.NDArray[np.float64]:
    """Measure how much an output falls when a filter is made to say the same everywhere.

    The filter's map is set to its mean over all positions of all windows, as Basset does (Kelley
    et al. 2016), and the output is computed again.

    Parameters
    ----------
    model : keras.Model
    output : KerasTensor, shape (batch, bins)
        As `before_activation` gives it.
    convolution : Convolution
        Of the model.
    windows : mapping of str to ndarray, shape (n, window) or (n, values)
        Prepared inputs, by name; n is 1 or more.
    advance : callable
        Told of windows, a batch of them for each filter.

    Returns
    -------
    ndarray, shape (filters,), float64
        The mean over windows, and their bins, of the output less what it is without the filter;
        above 0 where the filter speaks for it.
    """
    found = convolution.layer.output
    head = keras.Model(model.inputs, [found, output])
    tail = keras.Model([*model.inputs, found], output)
    names = [one.name for one in model.inputs]
    batches = list(_batches([windows[name] for name in names]))
    whole, sums, rows = [], np.zeros(found.shape[-1]), 0
    for batch in batches:
        maps, scores = head.predict_on_batch(batch)
        whole.append(scores)
        sums += maps.sum(axis=(0, 1), dtype=np.float64)
        rows += maps.shape[0] * maps.shape[1]
    means = (sums / rows).astype(np.float32)
    falls = np.zeros(len(means))
    count = 0
    for batch, scores in zip(batches, whole, strict=True):
        maps = head.predict_on_batch(batch)[0]
        count += scores.size
        for index, mean in enumerate(means):
            kept = maps[..., index].copy()
            maps[..., index] = mean
            falls[index] += float((scores - tail.predict_on_batch([*batch, maps])).sum())
            maps[..., index] = kept
            advance(len(scores))
    return falls / count


def _batches(arrays: list[Array]) -> list[list[Array]]:
    return [
        [one[first : first + BATCH] for one in arrays] for first in range(0, len(arrays[0]), BATCH)
    ]
