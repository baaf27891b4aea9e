"""Contributions of what enters a network to one of its outputs.

All methods here give each number that enters a multiplier m. The contribution of a number x with
the reference r is m * (x - r). The contribution that a base would have, the hypothetical one, is
the sum over the four channels of m * (b - r) with the one-hot row b of that base.

What bins share is multiplied once: one pass backward from the sum over the bins of a stretch gives
the sum of their contributions, as the multipliers of what lies below are those of each bin.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from tfbind.channels.base import Array
from tfbind.errors import InputError
from tfbind.genome import UNKNOWN
from tfbind.interpret.entrances import Entrance, parted
from tfbind.interpret.logits import weights_of
from tfbind.interpret.references import BASES, Reference, flat, seeded, shuffled
from tfbind.interpret.rules import stepped, with_rules
from tfbind.networks.files import Network

Floats = npt.NDArray[np.float32]
Method = Literal["deeplift", "gradient", "integrated"]
Place = tuple[str, int]
"""Contig and start of a stretch, base pairs: what its shuffles are seeded by."""

STEPS = 50
"""Points of a path that gradients are integrated over."""


@dataclass(frozen=True)
class Attribution:
    """Contributions to the output of bins.

    Attributes
    ----------
    contributions : mapping of str to ndarray, shape (batch, bases) or (batch, values), float32
        By input; of the vector of a cell type, one for each value.
    hypothetical : mapping of str to ndarray, shape (batch, bases, 4), float32
        Of each sequence: what A, C, G and T would contribute in the place of the base.
    outputs, reference_outputs : ndarray, shape (batch, bins), float32
        What is explained, of the input and of its reference; the mean over shuffles. A reference
        that all share may have a batch of one; without a reference there are zeros.
    """

    contributions: Mapping[str, Floats]
    hypothetical: Mapping[str, Floats]
    outputs: Floats
    reference_outputs: Floats


class Attributor:
    """Attribute a task's output before its activation to what enters the network.

    Parameters
    ----------
    network : Network
    task : str
        One of the contract's.
    method : 'deeplift', 'gradient' or 'integrated'
        The rescale rule of DeepLIFT; gradient times input, which has no reference; or integrated
        gradients (Sundararajan et al. 2017) along the straight line from the reference, at the
        midpoints of equal steps.
    reference : Reference
    steps : int
        Of integrated gradients.

    Attributes
    ----------
    entrances : tuple of Entrance
        What contributions are told of.

    Raises
    ------
    InputError
        If the network has a layer that the method has no rule for, or bases enter it by a layer
        that is no entrance.
    """

    def __init__(
        self,
        network: Network,
        task: str,
        method: Method,
        reference: Reference,
        steps: int = STEPS,
    ) -> None:
        contract = network.contract
        parts = parted(network.model, contract)
        self.entrances = parts.entrances
        self._front = parts.front
        self._fed = [spec.name for spec in contract.fed]
        self._reference = reference
        self._absolute = method == "gradient"
        weights = weights_of(parts.mark, parts.body.output.shape[-1], contract.tasks, task)
        shared = reference.kind != "shuffles"
        if method == "deeplift":
            self._multipliers = deeplift(
                with_rules(parts.body, shared=shared), weights, shared=shared
            )
        else:
            _require_slopes(parts.body)
            points = 1 if method == "gradient" else steps
            self._multipliers = integrated(
                parts.body, weights, points, from_reference=method == "integrated"
            )

    def __call__(
        self, prepared: Mapping[str, Array], weights: Array, places: Sequence[Place]
    ) -> Attribution:
        """Attribute the weighted sum of the outputs of each stretch's bins.

        Parameters
        ----------
        prepared : mapping of str to ndarray, shape (batch, bases) or (batch, values)
            What the network is fed.
        weights : ndarray, shape (batch, bins)
            Of the bins of each stretch.
        places : sequence of (str, int), one a stretch
            As `Place`; without shuffles they have no influence.

        Returns
        -------
        Attribution
            The mean over shuffles; its outputs are not weighted.
        """
        given = self._entering(prepared)
        weighed = np.asarray(weights, np.float32)
        if self._reference.kind != "shuffles":
            references = [flat(entrance, self._reference) for entrance in self.entrances]
            return self._attributed(given, references, weighed)
        return _mean(
            [
                self._attributed(given, self._shuffled(prepared, given, places, number), weighed)
                for number in range(self._reference.shuffles)
            ]
        )

    def _entering(self, prepared: Mapping[str, Array]) -> list[Array]:
        found = self._front({name: prepared[name] for name in self._fed}, training=False)
        return [np.asarray(keras.ops.convert_to_numpy(one)) for one in _listed(found)]

    def _shuffled(
        self,
        prepared: Mapping[str, Array],
        given: Sequence[Array],
        places: Sequence[Place],
        number: int,
    ) -> list[Array]:
        """Give the references of one shuffle of each stretch's bases."""
        changed = dict(prepared)
        for entrance in self.entrances:
            if entrance.kind == "bases":
                changed[entrance.name] = np.stack(
                    [
                        shuffled(codes, seeded(self._reference.seed, *place, number))
                        for codes, place in zip(prepared[entrance.name], places, strict=True)
                    ]
                )
        entering = self._entering(changed)
        return [
            there
            if entrance.kind in ("bases", "kmers")
            else np.broadcast_to(flat(entrance, self._reference), here.shape)
            for entrance, there, here in zip(self.entrances, entering, given, strict=True)
        ]

    def _attributed(
        self, given: Sequence[Array], references: Sequence[Array], weights: Array
    ) -> Attribution:
        multipliers, outputs, before = self._multipliers(given, references, weights)
        contributions, hypothetical = {}, {}
        for entrance, m, x, r in zip(self.entrances, multipliers, given, references, strict=True):
            origin = np.zeros(1, np.float32) if self._absolute else r
            contributions[entrance.name] = _of_places(entrance, m * (x - origin))
            if entrance.kind == "bases":
                base = (m * origin).sum(-1, keepdims=True) if not self._absolute else 0
                hypothetical[entrance.name] = np.asarray(m - base, np.float32)
        return Attribution(contributions, hypothetical, outputs, before)


Multipliers = Callable[
    [Sequence[Array], Sequence[Array], Array], tuple[list[Floats], Floats, Floats]
]
"""From what enters, references and weights of bins to multipliers and outputs of both.

Multipliers have the shapes of what enters, which references are broadcast to; weights and outputs
are of shape (batch, bins). All are float32.
"""


def deeplift(body: keras.Model, weights: Array, *, shared: bool) -> Multipliers:
    """Give what finds DeepLIFT's multipliers.

    Parameters
    ----------
    body : keras.Model
        As `rules.with_rules` gives it.
    weights : ndarray, shape (columns,), float32
        Of what it gives, in the number that is explained.
    shared : bool
        As in `with_rules`: references have a batch of one.

    Returns
    -------
    Multipliers
        The outputs of shared references have a batch of one too.
    """
    import tensorflow as tf

    given_ends, weights_end = _ends(body)
    reference_ends = [tf.TensorSpec([None] * len(one.shape)) for one in given_ends]

    @tf.function(input_signature=[given_ends, reference_ends, weights_end])  # type: ignore[untyped-decorator]
    def run(given: Any, references: Any, weighed: Any) -> Any:
        batch = tf.shape(weighed)[0]
        with tf.GradientTape() as tape:
            tape.watch(given)
            both = [
                tf.concat([x, _alike(r, x, shared)], 0)
                for x, r in zip(given, references, strict=True)
            ]
            outputs = _output(body, both, weights)
            total = tf.reduce_sum(outputs[:batch] * weighed)
        return tape.gradient(total, given), outputs[:batch], outputs[batch:]

    def multipliers(
        given: Sequence[Array], references: Sequence[Array], weighed: Array
    ) -> tuple[list[Floats], Floats, Floats]:
        slopes, outputs, before = run(_tensors(given), _tensors(references), weighed)
        return [one.numpy() for one in slopes], outputs.numpy(), before.numpy()

    return multipliers


def _ends(body: keras.Model) -> list[Any]:
    """Say what a graph takes, of any batch and length, so that it is traced once."""
    import tensorflow as tf

    given = [tf.TensorSpec((None, *end.shape[1:])) for end in body.inputs]
    return [given, tf.TensorSpec((None, None))]


def _tensors(arrays: Sequence[Array]) -> list[Any]:
    return [keras.ops.convert_to_tensor(one) for one in arrays]


def _alike(reference: Any, given: Any, shared: bool) -> Any:
    """Bring a reference to the shape of what is given, but for the batch where it is shared."""
    import tensorflow as tf

    shape = tf.shape(given)
    batch = [1] if shared else shape[:1]
    return tf.broadcast_to(reference, tf.concat([batch, shape[1:]], 0))


def integrated(
    body: keras.Model, weights: Array, steps: int, *, from_reference: bool
) -> Multipliers:
    """Give what finds the mean gradient on the way from the reference, or the gradient itself.

    Parameters
    ----------
    body : keras.Model
        As `entrances.parted` gives it.
    weights : ndarray, shape (columns,), float32
        As `deeplift` takes them.
    steps : int
        Points of the straight line, the midpoints of as many equal parts (Sundararajan et al.
        2017).
    from_reference : bool
        Else steps and references have no meaning, and the outputs of references are 0.

    Returns
    -------
    Multipliers
    """
    import tensorflow as tf

    @tf.function(input_signature=_ends(body))  # type: ignore[untyped-decorator]
    def slopes(given: Any, weighed: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs = _output(body, given, weights)
            total = tf.reduce_sum(outputs * weighed)
        return tape.gradient(total, given), outputs

    def multipliers(
        given: Sequence[Array], references: Sequence[Array], weighed: Array
    ) -> tuple[list[Floats], Floats, Floats]:
        if not from_reference:
            found, outputs = slopes(_tensors(given), weighed)
            return [one.numpy() for one in found], outputs.numpy(), np.zeros_like(outputs)
        total = [np.zeros(one.shape, np.float64) for one in given]
        for step in range(steps):
            share = np.float32((step + 0.5) / steps)
            there = [r + share * (x - r) for x, r in zip(given, references, strict=True)]
            for sum_, one in zip(total, slopes(_tensors(there), weighed)[0], strict=True):
                sum_ += one.numpy()
        ends = [
            [np.broadcast_to(r, x.shape) for x, r in zip(given, references, strict=True)],
            list(given),
        ]
        before, outputs = (_plain(body, one, weights) for one in ends)
        return [(one / steps).astype(np.float32) for one in total], outputs, before

    return multipliers


def _output(body: keras.Model, entering: Any, weights: Array) -> Any:
    learnt = body(entering, training=False)
    return keras.ops.sum(learnt * weights, axis=-1)


def _plain(body: keras.Model, entering: Sequence[Array], weights: Array) -> Floats:
    found: Floats = keras.ops.convert_to_numpy(_output(body, list(entering), weights))
    return found


def _listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


def _require_slopes(body: keras.Model) -> None:
    for layer in stepped(body.layers):
        raise InputError(
            f"has a layer {layer.name!r} of the kind {type(layer).__name__}, which jumps and has "
            "no gradient; give --method mutagenesis"
        )


def _of_places(entrance: Entrance, values: Array) -> Floats:
    """Bring contributions to one for each base, or value."""
    if entrance.kind == "bases":
        values = values.sum(-1)
    elif entrance.kind == "kmers":
        values = np.pad(values.sum(-1), ((0, 0), (entrance.before, entrance.behind)))
    return np.asarray(values, np.float32)


def _mean(parts: Sequence[Attribution]) -> Attribution:
    """Average over references."""

    def mean(arrays: Sequence[Floats]) -> Floats:
        return np.asarray(np.mean(arrays, axis=0, dtype=np.float64), np.float32)

    return Attribution(
        {name: mean([one.contributions[name] for one in parts]) for name in parts[0].contributions},
        {name: mean([one.hypothetical[name] for one in parts]) for name in parts[0].hypothetical},
        parts[0].outputs,
        mean([one.reference_outputs for one in parts]),
    )


def one_hot(codes: Array) -> npt.NDArray[np.int8]:
    """Turn base codes, shape (...), into one-hot rows, shape (..., 4), int8; the unknown into 0."""
    return np.eye(UNKNOWN + 1, BASES, dtype=np.int8)[codes]
