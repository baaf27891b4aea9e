"""The baseline of the ENCODE-DREAM challenge: motif and signal on open bins, a line through both.

Its weights are found by `tfbind.logistic`.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfbind.channels import channel
from tfbind.contract import Geometry, Input
from tfbind.errors import InputError, RequestError
from tfbind.networks.entries import Entry, entries
from tfbind.networks.heads import each
from tfbind.networks.layers import joined, register
from tfbind.networks.ranges import ranged
from tfbind.networks.rows import Rows


@register
class OnOpenBins(keras.layers.Layer):  # type: ignore[misc]
    """Keep the features of open bins, a 1 behind them; all of a closed bin's become 0.

    From features, shape (batch, bins, n), and the highest value of each signal in the bin itself,
    shape (batch, bins, signals), to (batch, bins, n + 1).

    Parameters
    ----------
    above : sequence of float
        For each signal: a bin is open where one of them is higher than this.
    """

    def __init__(self, above: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.above = [float(one) for one in above]

    def call(self, ends: Sequence[Any]) -> Any:
        """Multiply by 1 or 0."""
        features, highest = ends
        open_ones = ops.any(highest > ops.array(self.above, "float32"), axis=-1, keepdims=True)
        kept = ops.cast(open_ones, self.compute_dtype)
        return ops.concatenate([features * kept, kept], axis=-1)

    def compute_output_shape(
        self, shapes: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        """Add the one behind the features."""
        batch, bins, features = shapes[0]
        return (batch, bins, None if features is None else features + 1)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), above=self.above)


@ranged(reach=0)
def naive(
    inputs: Sequence[Input],
    geometry: Geometry,
    tasks: int = 1,
    *,
    reach: int = 50,
    least: float = 0.0,
) -> keras.Model:
    """Build the baseline: each task a logistic regression on known motifs and signals.

    Its features are the best score of each motif and the highest value of each signal in a stretch
    around the bin. A bin without signal is closed: all of them get one score, the floor.

    Parameters
    ----------
    inputs : sequence of Input
        The sequence, motifs that the graph makes of it, and signals.
    geometry : Geometry
    tasks : int
        Outputs, each a probability.
    reach : int
        How far the stretch goes beyond the bin on either side, base pairs.
    least : float
        What a signal must exceed somewhere in the bin for it to be open, in the unit of the track.

    Returns
    -------
    keras.Model
        From (batch, W + S*(n-1)) bases to (batch, n, tasks) probabilities.

    Raises
    ------
    InputError
        If motifs or signals are missing, or there is another input.
    RequestError
        If `reach` is below 0, goes beyond the window, or is too small for a motif.
    """
    _require(inputs)
    if reach > geometry.flank:
        raise RequestError(
            f"found a reach of {reach} bp, but the window has {geometry.flank} bp on each side of "
            "a bin; give a smaller reach, or make tiles with a larger --window"
        )
    ends, entered = entries(inputs, geometry)
    known = list(zip(inputs, entered, strict=True))
    signals = [(spec, entry) for spec, entry in known if spec.source == "signal"]
    features = [_highest(entry, geometry, reach) for spec, entry in known if spec.of]
    features += [_highest(entry, geometry, reach) for _, entry in signals]
    inside = [_highest(entry, geometry, 0) for _, entry in signals]
    above = [_prepared(spec, least) for spec, _ in signals]
    kept = OnOpenBins(above)([joined(features), joined(inside)])
    return keras.Model(ends, each(kept, tasks), name="naive")


def _require(inputs: Sequence[Input]) -> None:
    sources = [spec.source for spec in inputs]
    for source, option in (("motif", "--channel motif=FILE"), ("signal", "--signal NAME=FILE")):
        if source not in sources:
            raise InputError(
                f"found no {source} among the inputs {', '.join(spec.name for spec in inputs)}, "
                f"which naive learns from; make the tiles with {option}"
            )
    for spec in inputs:
        if spec.source not in ("sequence", "motif", "signal"):
            raise InputError(
                f"found the input {spec.name!r}, but naive learns from motifs and signals alone; "
                "name those to --inputs, and the sequence"
            )


def _highest(entry: Entry, geometry: Geometry, reach: int) -> Any:
    """Give the maximum over what lies within a bin and `reach` bases on either side."""
    spare = geometry.flank - reach
    width = entry.width - 2 * spare
    if width < 1:
        raise RequestError(
            f"found a motif longer than a bin and a reach of {reach} bp on either side; give a "
            "larger reach"
        )
    rows = layers.Cropping1D(spare)(entry.rows) if spare else entry.rows
    return Rows.of(rows, width, geometry.stride).highest()


def _prepared(spec: Input, least: float) -> float:
    kind = channel(spec)
    return float(kind.prepare(np.full(1, least, kind.dtype))[0])
