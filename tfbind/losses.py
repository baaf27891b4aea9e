"""What is made small in training."""

from collections.abc import Callable
from typing import Any

from keras import ops

from tfbind.networks.heads import Learnt

SMALLEST = 1e-7
"""Probabilities count as at least this, so that every logarithm is a number."""

Loss = Callable[[Any, Any], Any]


def cross_entropy(learnt: Learnt, focus: float = 0.0) -> Loss:
    """Make the loss of a kind of network: cross-entropy of each task, weighted bin by bin.

    Parameters
    ----------
    learnt : Learnt
        Says what the network gives.
    focus : float
        The gamma of the focal loss, -(1 - p)^gamma ln(p), where p is the probability of what is
        true (Lin et al. 2017, equation 4); 0: plain cross-entropy.

    Returns
    -------
    callable
        From truth, shape (batch, bins, 2 * tasks), float32 (labels of 0 or 1, then weights, of
        which 0 leaves a bin out), and what the network gives, to a scalar, nats: the weighted sum
        over the count of weights that are not 0.
    """

    def loss(truth: Any, given: Any) -> Any:
        labels, weights = ops.split(truth, 2, axis=-1)
        true, weights = probability_of_truth(learnt, labels, weights, given)
        true = ops.clip(true, SMALLEST, 1.0)
        losses = -ops.log(true)
        losses = losses * ops.power(1.0 - true, focus) if focus else losses
        counted = ops.sum(ops.cast(weights > 0, "float32"))
        return ops.sum(losses * weights) / ops.maximum(counted, 1.0)

    return loss


def probability_of_truth(learnt: Learnt, labels: Any, weights: Any, given: Any) -> tuple[Any, Any]:
    """Give the probability that a network gives to what is true, and what that weighs.

    Parameters
    ----------
    learnt : Learnt
    labels, weights : tensor, shape (batch, bins, tasks), float32
    given : tensor
        Of the shape that `learnt` says.

    Returns
    -------
    true, weights : tensor
        Of one shape, (batch, bins, ...).
    """
    if learnt.kind == "exclusive":
        background = 1.0 - ops.max(labels, axis=-1, keepdims=True)
        true = ops.sum(ops.concatenate([background, labels], axis=-1) * given, axis=-1)
        # A bin of no task counts once, if it is of none for certain; others as their task does.
        certain = ops.min(weights, axis=-1)
        return true, ops.where(background[..., 0] > 0, certain, ops.max(labels * weights, axis=-1))
    if learnt.kind == "nodes":
        classes = learnt.count
        unbound, bound = given[..., classes - 2 :: classes], given[..., classes - 1 :: classes]
        return labels * bound + (1.0 - labels) * unbound, weights
    if learnt.kind == "members":
        labels = ops.tile(labels, (1, 1, learnt.count))
        weights = ops.tile(weights, (1, 1, learnt.count))
    return labels * given + (1.0 - labels) * (1.0 - given), weights
