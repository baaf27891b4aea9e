"""Activation maximization: the input that a network's output answers to most."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfbind.channels.base import Array
from tfbind.contract import Contract
from tfbind.errors import InputError, RequestError
from tfbind.genome import UNKNOWN
from tfbind.interpret.outputs import before_activation
from tfbind.networks.layers import OneHot
from tfbind.networks.trees import Trees

BASES = 4
TOLD = 50
"""Steps of the ascent between two tellings."""


@dataclass(frozen=True)
class Ascent:
    """How to climb; the defaults are those of the source (ten Dijke 2017, section 3.2.1).

    Attributes
    ----------
    rate : float
        Of the gradient that is added in each step.
    penalty : float
        The weight of the sum of squares.
    steps : int
    start : float
        What all four bases are at every position of the first start.
    noise : float
        The standard deviation of the normal noise that every further start has around it; that of
        a one-hot base is the square root of 3/16.
    seed : int
        Of the noise.

    Raises
    ------
    RequestError
        If a number is not finite, or the rate not above 0.
    """

    rate: float = 0.01
    penalty: float = 0.01
    steps: int = 1000
    start: float = 0.25
    noise: float = 0.433
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what leads nowhere."""
        for name in ("rate", "penalty", "start", "noise"):
            if not math.isfinite(value := getattr(self, name)):
                raise RequestError(f"found a {name} of {value}, expected a finite number")
        if self.rate <= 0:
            raise RequestError(f"found a rate of {self.rate:g}, expected one above 0")


@dataclass(frozen=True)
class Maximum:
    """Where an ascent ended, from each start.

    Attributes
    ----------
    rows : ndarray, shape (starts, window, 4), float32
        Of A, C, G and T; real numbers, that may be below 0 or above 1.
    before, behind : ndarray, shape (starts,), float32
        The output before its activation, at the start and at the end.
    moved : ndarray, shape (starts,), bool
        Whether the output has a gradient at the start or at the end. Rectifiers behind a max-pool
        can be shut for rows that are unlike bases, such as the even ones of the source.
    """

    rows: npt.NDArray[np.float32]
    before: npt.NDArray[np.float32]
    behind: npt.NDArray[np.float32]
    moved: npt.NDArray[np.bool_]


def starts(ascent: Ascent, count: int, window: int) -> npt.NDArray[np.float32]:
    """Make starts: the first is the same everywhere, the others have noise around it.

    Returns
    -------
    ndarray, shape (count, window, 4), float32
    """
    rows = np.full((count, window, BASES), ascent.start, np.float32)
    noise = np.random.default_rng(ascent.seed).normal(0, ascent.noise, (count - 1, window, BASES))
    rows[1:] += noise.astype(np.float32)
    return rows


def maximized(
    model: keras.Model,
    contract: Contract,
    task: str,
    held: Mapping[str, Array],
    count: int,
    ascent: Ascent,
    advance: Callable[[float], None],
) -> Maximum:
    """Climb to rows s that maximize f(s) - penalty * |s|^2, f being an output before activation.

    The rows stand in the place of one-hot bases, and all starts climb at once by plain gradient
    ascent (Simonyan et al. 2013). What a network makes of k-mers has no gradient: it is held at
    that of unknown bases.

    Parameters
    ----------
    model : keras.Model
        On TensorFlow.
    contract : Contract
    task : str
    held : mapping of str to ndarray, shape (window,) or (values,)
        Prepared values of all inputs other than the sequence.
    count : int
        Starts.
    ascent : Ascent
    advance : callable
        Told of steps.

    Raises
    ------
    InputError
        If the network has no sequence to change, or is made of trees.
    """
    if any(isinstance(layer, Trees) for layer in model.layers):
        raise InputError(f"the network, {model.name}, is made of trees, which have no gradient")
    window = contract.geometry.window
    entry, score = _of_rows(model, before_activation(model, contract, task))
    others = []
    for one in model.inputs:
        values = np.full(window, UNKNOWN, np.uint8) if one.name == entry else held[one.name]
        others.append(tf.constant(np.tile(values, (count, 1))))

    @tf.function  # type: ignore[untyped-decorator]
    def slope(rows: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            found = tf.reduce_sum(score([*others, rows], training=False))
        return tape.gradient(found, rows)

    @tf.function  # type: ignore[untyped-decorator]
    def climb(rows: Any, steps: Any) -> Any:
        for _ in tf.range(steps):
            rows += ascent.rate * (slope(rows) - 2 * ascent.penalty * rows)
        return rows

    first_rows = tf.constant(starts(ascent, count, window))
    rows = first_rows
    for done in range(0, ascent.steps, TOLD):
        steps = min(TOLD, ascent.steps - done)
        rows = climb(rows, tf.constant(steps))
        advance(steps)
    before, behind = (score([*others, one], training=False)[:, 0] for one in (first_rows, rows))
    slopes = [tf.reduce_max(abs(slope(one)), axis=(1, 2)) for one in (first_rows, rows)]
    if not np.isfinite(behind.numpy()).all():
        raise InputError("the ascent left all bounds; give a smaller --rate or a larger --lambda")
    moved = np.maximum(*(one.numpy() for one in slopes)) > 0
    return Maximum(rows.numpy(), before.numpy(), behind.numpy(), moved)


def _of_rows(model: keras.Model, output: Any) -> tuple[str, keras.Model]:
    """Let the network begin behind its one-hot bases too; give the name of what is behind."""
    found = [layer for layer in model.layers if isinstance(layer, OneHot)]
    if len(found) != 1:
        raise InputError(
            f"the network, {model.name}, turns {len(found)} inputs into one-hot bases, expected 1, "
            "the sequence"
        )
    rows = found[0].output
    return found[0].input.name, keras.Model([*model.inputs, rows], output)
