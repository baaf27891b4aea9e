"""What is made small in training."""

from collections.abc import Callable
from typing import Any

from keras import ops

from tfbind.networks.heads import Learnt

NOTHING = -1e30
"""The logarithm of a probability of 0, of which gradients are numbers."""

Loss = Callable[[Any, Any], Any]


def cross_entropy(learnt: Learnt, focus: float = 0.0) -> Loss:
    """Make the loss of a kind of network: cross-entropy of each task, weighted bin by bin.

    Parameters
    ----------
    learnt : Learnt
        Says what the network gives.
    focus : float
        The gamma of the focal loss, -(1 - p)^gamma ln(p), where p is the probability of what is
        true (Lin et al. 2017, equation 4), 0 or more; 0: plain cross-entropy.

    Returns
    -------
    callable
        From truth, shape (batch, bins, 2 * tasks), float32 (labels of 0 or 1, then weights, of
        which 0 leaves a bin out), and the logits that the network gives, to a scalar, nats: the
        weighted sum over the count of weights that are not 0. However sure a network is, and
        however wrong, loss and gradient are numbers, and the gradient is not 0 where it is wrong.
    """

    def loss(truth: Any, given: Any) -> Any:
        labels, weights = ops.split(truth, 2, axis=-1)
        true, false, weights = of_truth(learnt, labels, weights, given)
        losses = -true * ops.exp(focus * false) if focus else -true
        counted = ops.sum(ops.cast(weights > 0, "float32"))
        return ops.sum(losses * weights) / ops.maximum(counted, 1.0)

    return loss


def of_truth(learnt: Learnt, labels: Any, weights: Any, logits: Any) -> tuple[Any, Any, Any]:
    """Give the logarithm of the probability that a network gives to what is true.

    Parameters
    ----------
    learnt : Learnt
    labels, weights : tensor, shape (batch, bins, tasks), float32
    logits : tensor
        Of the shape that `learnt` says.

    Returns
    -------
    true, false, weights : tensor
        Of one shape, (batch, bins, ...): ln(p), ln(1 - p), and what they weigh.
    """
    if learnt.kind == "exclusive":
        background = 1.0 - ops.max(labels, axis=-1, keepdims=True)
        is_true = ops.concatenate([background, labels], axis=-1) > 0
        # A bin of no task counts once, if it is of none for certain; others as their task does.
        certain = ops.min(weights, axis=-1)
        bound = ops.max(labels * weights, axis=-1)
        return *_parted(logits, is_true), ops.where(background[..., 0] > 0, certain, bound)
    if learnt.kind == "nodes":
        batch, bins, tasks = ops.shape(labels)
        logits = ops.reshape(logits, (batch, bins, tasks, learnt.count))
        truth = ops.cast(labels, "int32") + learnt.count - 2
        return *_parted(logits, ops.one_hot(truth, learnt.count) > 0), weights
    if learnt.kind == "members":
        labels = ops.tile(labels, (1, 1, learnt.count))
        weights = ops.tile(weights, (1, 1, learnt.count))
    towards = (2.0 * labels - 1.0) * logits
    return -ops.softplus(-towards), -ops.softplus(towards), weights


def _parted(logits: Any, is_true: Any) -> tuple[Any, Any]:
    """Add up the probabilities of classes that are true, and of the others, as logarithms."""
    known = ops.log_softmax(logits, axis=-1)
    true = ops.logsumexp(ops.where(is_true, known, NOTHING), axis=-1)
    return true, ops.logsumexp(ops.where(is_true, NOTHING, known), axis=-1)
