"""The last layers of networks: what is learnt, and what of it is a bin's score."""

from typing import Any, Literal

import keras
from keras import layers, ops

from tfbind.networks.layers import register

Kind = Literal["each", "nodes", "exclusive", "members"]

LOGITS, LEARNT, SCORES = "logits", "learnt", "scores"
"""Names of layers that every network has: what makes the logits, what the loss sees, the end.

Between the first two there may be a batch normalisation.
"""

CONVOLUTION = "convolution"
"""The name of a network's first convolution over the sequence, if it has one."""


@register
class Learnt(keras.layers.Layer):  # type: ignore[misc]
    """Mark the logits that the loss compares with labels, and say how; they go through as they are.

    Parameters
    ----------
    kind : 'each', 'nodes', 'exclusive' or 'members'
        each: log-odds that the bin is bound, for each task, shape (batch, bins, tasks).
        nodes: for each task `count` classes that exclude each other by a softmax, the last two
        unbound and bound, shape (batch, bins, tasks * count).
        exclusive: one class for bins that are bound by nothing and one for each task, which exclude
        each other by a softmax, shape (batch, bins, 1 + tasks).
        members: as `each`, by `count` networks, shape (batch, bins, count * tasks).
    count : int
    """

    def __init__(self, kind: Kind, count: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.kind, self.count = kind, count

    def call(self, values: Any) -> Any:
        """Give the values."""
        return ops.convert_to_tensor(values)

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), kind=self.kind, count=self.count)


@register
class Softmax(keras.layers.Layer):  # type: ignore[misc]
    """A softmax within each group of neighbouring values, shape (batch, bins, groups * count).

    Parameters
    ----------
    count : int
        Values in a group.
    """

    def __init__(self, count: int, **options: Any) -> None:
        super().__init__(**options)
        self.count = count

    def call(self, logits: Any) -> Any:
        """Give probabilities that sum to one in each group."""
        batch, bins = ops.shape(logits)[:2]
        grouped = ops.reshape(logits, (batch, bins, logits.shape[-1] // self.count, self.count))
        return ops.reshape(ops.softmax(grouped, axis=-1), (batch, bins, logits.shape[-1]))

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), count=self.count)


@register
class Last(keras.layers.Layer):  # type: ignore[misc]
    """The last of each group of neighbouring values: (batch, bins, groups * count) to groups.

    Parameters
    ----------
    count : int
        Values in a group.
    """

    def __init__(self, count: int, **options: Any) -> None:
        super().__init__(**options)
        self.count = count

    def call(self, values: Any) -> Any:
        """Take every `count`-th value."""
        return values[..., self.count - 1 :: self.count]

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), count=self.count)


@register
class MeanOfMembers(keras.layers.Layer):  # type: ignore[misc]
    """The mean over the members of an ensemble: (batch, bins, count * tasks) to tasks.

    Parameters
    ----------
    count : int
        Members; the values of one follow those of the other.
    """

    def __init__(self, count: int, **options: Any) -> None:
        super().__init__(**options)
        self.count = count

    def call(self, values: Any) -> Any:
        """Average."""
        tasks = values.shape[-1] // self.count
        return sum(values[..., i * tasks : (i + 1) * tasks] for i in range(self.count)) / self.count

    def get_config(self) -> dict[str, Any]:
        """Give what `__init__` needs."""
        return dict(super().get_config(), count=self.count)


def each(features: Any, tasks: int, *, normalised: bool = False) -> Any:
    """Give a probability to each task; with `normalised` behind a batch normalisation."""
    logits = layers.Dense(tasks, name=LOGITS)(features)
    logits = layers.BatchNormalization()(logits) if normalised else logits
    return layers.Activation("sigmoid", name=SCORES)(Learnt("each", name=LEARNT)(logits))


def nodes(logits: Any, classes: int) -> Any:
    """Give each task the probability of its last class; logits are (batch, bins, tasks * classes).

    The layer that makes the logits is to have the name `LOGITS`.
    """
    learnt = Learnt("nodes", classes, name=LEARNT)(logits)
    return Last(classes, name=SCORES)(Softmax(classes)(learnt))


def exclusive(features: Any, tasks: int) -> Any:
    """Give probabilities that sum to one: of no task, then of each."""
    logits = layers.Dense(1 + tasks, name=LOGITS)(features)
    return Softmax(1 + tasks, name=SCORES)(Learnt("exclusive", name=LEARNT)(logits))


def members(logits: list[Any]) -> Any:
    """Give each task the mean probability of several networks, each of which learns by itself."""
    joined = layers.Concatenate(name=LOGITS)(logits)
    learnt = Learnt("members", len(logits), name=LEARNT)(joined)
    return MeanOfMembers(len(logits), name=SCORES)(layers.Activation("sigmoid")(learnt))


def learnt_of(model: keras.Model) -> tuple[keras.Model, Learnt]:
    """Give the network up to what the loss sees, with the same weights, and the layer that says so.

    Parameters
    ----------
    model : keras.Model
        That ends in one of the heads here.
    """
    mark = model.get_layer(LEARNT)
    return keras.Model(model.inputs, mark.output), mark
