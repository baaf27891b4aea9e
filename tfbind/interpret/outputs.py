"""A network's outputs before their activation."""

from typing import Any

import keras
from keras import ops

from tfbind.contract import Contract
from tfbind.errors import InputError
from tfbind.interpret.logits import weights_of
from tfbind.networks.heads import LEARNT, learnt_of


def before_activation(model: keras.Model, contract: Contract, task: str) -> Any:
    """Give the tensor of a task's output before its activation, as `logits.weights_of` says.

    Parameters
    ----------
    model : keras.Model
    contract : Contract
    task : str
        One of the contract's.

    Returns
    -------
    KerasTensor, shape (batch, bins), float32

    Raises
    ------
    InputError
        If the network does not end in a head of this project, such as boosted trees.
    """
    if LEARNT not in {layer.name for layer in model.layers}:
        raise InputError(
            f"the network, {contract.architecture or 'of an unknown architecture'}, has no output "
            "before an activation; give a network that tfbind train learnt by gradients"
        )
    trunk, mark = learnt_of(model)
    weights = weights_of(mark, trunk.output.shape[-1], contract.tasks, task)
    return ops.sum(trunk.output * weights, axis=-1)
