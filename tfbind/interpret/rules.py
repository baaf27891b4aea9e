"""DeepLIFT as layers: in the place of each derivative stands the multiplier of equations 28-40.

A network with rules takes a batch of inputs with their references behind them, and gives the same
numbers as the network itself. What differs is its derivative, which for the inputs is the product
of multipliers (equation 32). It is the rescale rule of Shrikumar et al. (2017), as section 3.2.3 of
N. ten Dijke's thesis gives it:

- Layers that are affine keep their derivative (equation 36).
- An activation has the difference of its outputs over that of its inputs (equation 40), and its
  derivative where the inputs do not differ.
- A maximum gives all to the first input that has it (equation 38), so that ties count once. That
  equation divides by the difference from reference of this input. If the reference is the same at
  all of them, the quotient is 1; if not, and the maximum is not above that of the reference, it
  may have the wrong sign, or nothing to divide by. There, all goes to the first input that has the
  maximum in the reference. So each maximum keeps the sum, and no multiplier is above 1.
- A product of two has the mean of input and reference of the other: what Shapley's values of two
  players are.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from tfbind.errors import InputError
from tfbind.networks.heads import Learnt
from tfbind.networks.layers import (
    AtrousMaxPool,
    AtrousMeanPool,
    BinRows,
    BothStrands,
    Flanks,
    GroupedDense,
    Kept,
    PerBin,
)

NEAR = 1e-6
"""Inputs that differ by less are taken as equal to their reference."""

AFFINE: tuple[type, ...] = (
    layers.Add,
    layers.BatchNormalization,
    layers.Concatenate,
    layers.Conv1D,
    layers.Cropping1D,
    layers.Dense,
    layers.Dropout,
    layers.InputLayer,
    layers.Reshape,
    AtrousMeanPool,
    BinRows,
    Flanks,
    GroupedDense,
    Kept,
    Learnt,
    PerBin,
)

ELEMENTWISE = (
    *("elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "linear", "mish"),
    *("relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh"),
)
"""Activations of one number each, by the names that Keras has for them."""

STEPPED = ("Trees", "Rounded", "OnOpenBins")
"""Kinds of layers that jump, and are flat between jumps."""


def with_rules(body: keras.Model, *, shared: bool) -> keras.Model:
    """Give a network whose derivative is DeepLIFT's multiplier.

    Parameters
    ----------
    body : keras.Model
        Of layers that have a rule.
    shared : bool
        Behind the inputs of a batch comes one reference for all of them, and not one for each.

    Returns
    -------
    keras.Model
        With the same inputs, and copies of weights where a layer had to be parted.

    Raises
    ------
    InputError
        At a layer that has no rule.
    """
    for layer in body.layers:
        _require_rule(layer, body.layers)

    def call(layer: Any, *given: Any, **options: Any) -> Any:
        return _called(layer, given, options, shared=shared)

    return keras.models.clone_model(body, clone_function=lambda layer: layer, call_function=call)


def _require_rule(layer: Any, all_layers: Sequence[Any]) -> None:
    kind = type(layer)
    known = kind in AFFINE or kind in (layers.ReLU, AtrousMaxPool, BothStrands)
    known = known or kind is layers.Activation
    known = known or (kind is layers.Multiply and len(layer.input) == 2)
    if not known:
        raise InputError(
            f"has a layer {layer.name!r} of the kind {kind.__name__}, for which DeepLIFT has no "
            f"rule; {_advice(all_layers)}"
        )
    activation = getattr(layer, "activation", None)
    if activation is not None and _name(activation) not in ELEMENTWISE:
        raise InputError(
            f"has the activation {_name(activation)} in the layer {layer.name!r}, for which "
            f"DeepLIFT has no rule; {_advice(all_layers)}"
        )


def _advice(known: Sequence[Any]) -> str:
    others = "mutagenesis" if stepped(known) else "gradient, integrated or mutagenesis"
    return f"give --method {others}"


def stepped(known: Sequence[Any]) -> list[Any]:
    """Give the layers among others that have no gradient to speak of: those of `STEPPED`."""
    return [layer for layer in known if type(layer).__name__ in STEPPED]


def _name(activation: Any) -> str:
    return str(getattr(activation, "__name__", type(activation).__name__))


def _called(layer: Any, given: Any, options: Any, *, shared: bool) -> Any:
    kind = type(layer)
    if kind is layers.ReLU or kind is layers.Activation:
        return Rescaled(layer, shared)(*given)
    if kind is AtrousMaxPool:
        return Pooled(layer, shared)(*given)
    if kind is BothStrands:
        return BetterStrand(layer, shared)(*given)
    if kind is layers.Multiply:
        return Product(shared)(*given)
    activation = getattr(layer, "activation", None)
    if activation is None or _name(activation) == "linear":
        return layer(*given, **options)
    straight = kind.from_config(dict(layer.get_config(), activation="linear"))
    values = straight(*given, **options)
    straight.set_weights(layer.get_weights())
    return Rescaled(activation, shared)(values)


class _Rule(keras.layers.Layer):  # type: ignore[misc]
    """A layer of batches whose last rows are references: one for all, or one for each."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.shared = shared

    def parted(self, values: Any) -> tuple[Any, Any]:
        """Part a batch into what was given and its references."""
        last = 1 if self.shared else ops.shape(values)[0] // 2
        return values[:-last], values[-last:]


class Rescaled(_Rule):
    """An activation, each number by itself (equation 40).

    Parameters
    ----------
    function : callable
        A layer or a function that changes no shape.
    shared : bool
        As `with_rules` takes it, here and in all rules.
    """

    def __init__(self, function: Any, shared: bool) -> None:
        super().__init__(shared)
        self.function = function

    def call(self, values: Any) -> Any:
        """Apply the function to numbers of any shape; the references come last in the batch."""
        given, reference = self.parted(values)
        after, before = self.function(given), ops.stop_gradient(self.function(reference))
        difference = ops.stop_gradient(given - reference)
        near = ops.abs(difference) < NEAR
        slope = ops.stop_gradient(after - before) / ops.where(near, 1.0, difference)
        return ops.concatenate(
            [ops.where(near, after, _tied(after, slope * _alone(given))), before], axis=0
        )

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Keep the shape."""
        return shape


def _alone(given: Any) -> Any:
    """Give zeros whose derivative is 1."""
    return given - ops.stop_gradient(given)


def _tied(value: Any, change: Any) -> Any:
    """Give a value the derivative of a change, which is 0 itself."""
    return ops.stop_gradient(value) + change


def _highest(rows: Any, places: Any, apart: Any, count: int, rule: _Rule) -> Any:
    """Give maxima over rows of (batch, rows, channels), with the multiplier of equation 38.

    Maximum i is that over the rows places[i] + k * apart for k < count; only the multiplier of one
    of them is not 0.
    """
    still = ops.stop_gradient(rows)
    index = ops.expand_dims(places, 1) + ops.expand_dims(ops.arange(count) * apart, 0)
    shape = (ops.shape(rows)[0], ops.shape(places)[0], count, rows.shape[-1])
    windows = ops.reshape(ops.take(still, ops.reshape(index, (-1,)), axis=1), shape)
    after, before = rule.parted(ops.max(windows, axis=2))
    highest = ops.cast(ops.argmax(windows, axis=2), "int32") * apart
    first, of_reference = rule.parted(highest + ops.reshape(places, (1, -1, 1)))
    given, reference = rule.parted(rows)
    reference = ops.stop_gradient(reference) + ops.zeros_like(given)
    of_reference = of_reference + ops.zeros_like(first)
    there = ops.take_along_axis(reference, first, axis=1)
    alike = there >= before - NEAR * (1 + ops.abs(before))
    taken = ops.where(ops.logical_or(alike, after > before), first, of_reference)
    winner = ops.take_along_axis(given, taken, axis=1)
    difference = ops.stop_gradient(winner) - ops.take_along_axis(reference, taken, axis=1)
    near = ops.abs(difference) < NEAR
    slope = (after - before) / ops.where(near, 1.0, difference)
    slope = ops.where(alike, 1.0, ops.where(near, 0.0, slope))
    return ops.concatenate([_tied(after, slope * _alone(winner)), before], axis=0)


class Pooled(_Rule):
    """Maxima over rows (equation 38).

    Parameters
    ----------
    pool : AtrousMaxPool
        The layer that it stands for.
    shared : bool
    """

    def __init__(self, pool: AtrousMaxPool, shared: bool) -> None:
        super().__init__(shared)
        self.pool = pool

    def call(self, rows: Any) -> Any:
        """Pool rows of shape (batch, rows, channels)."""
        pool = self.pool
        count = (ops.shape(rows)[1] - (pool.pool - 1) * pool.gap - 1) // pool.step + 1
        return _highest(rows, ops.arange(count) * pool.step, pool.gap, pool.pool, self)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Count the pools."""
        return self.pool.compute_output_shape(shape)


class BetterStrand(_Rule):
    """The better score of two strands (equation 38).

    Parameters
    ----------
    strands : BothStrands
        The layer that it stands for.
    shared : bool
    """

    def __init__(self, strands: BothStrands, shared: bool) -> None:
        super().__init__(shared)
        self.strands = strands

    def call(self, rows: Any) -> Any:
        """Slide both matrices of each motif: (batch, bases, 4) to (batch, places, motifs)."""
        matrices = (self.strands.forward, self.strands.reverse)
        scores = [ops.conv(rows, one) for one in matrices]
        count = ops.shape(scores[0])[1]
        return _highest(ops.concatenate(scores, axis=1), ops.arange(count), count, 2, self)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Count the places."""
        return self.strands.compute_output_shape(shape)


class Product(_Rule):
    """The product of two, by Shapley's values.

    Parameters
    ----------
    shared : bool
    """

    def call(self, factors: Any) -> Any:
        """Multiply two tensors with as many axes; an axis of one is broadcast."""
        (one, one_before), (other, other_before) = (self.parted(factor) for factor in factors)
        change = ops.stop_gradient(other + other_before) / 2 * _alone(one)
        change += ops.stop_gradient(one + one_before) / 2 * _alone(other)
        return ops.concatenate(
            [_tied(one * other, change), ops.stop_gradient(one_before * other_before)], axis=0
        )

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Take the shape that both are brought to."""
        one, other = shapes
        return tuple(other[i] if size == 1 else size for i, size in enumerate(one))
