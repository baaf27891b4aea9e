"""A network's outputs before their activation."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfbind.contract import Contract
from tfbind.errors import InputError, RequestError
from tfbind.networks.heads import LEARNT, Learnt, learnt_of


def task_of(contract: Contract, wanted: str | None) -> str:
    """Choose the task that is asked for, or the only one.

    Raises
    ------
    RequestError
        If there is no such task, or none is chosen of several.
    """
    tasks = ", ".join(contract.tasks)
    if wanted is None and len(contract.tasks) > 1:
        raise RequestError(f"the network has several outputs: choose one by --task, of {tasks}")
    if wanted is not None and wanted not in contract.tasks:
        raise RequestError(f"found --task {wanted}, expected one of {tasks}")
    return contract.tasks[0] if wanted is None else wanted


def before_activation(model: keras.Model, contract: Contract, task: str) -> Any:
    """Give the tensor of a task's output before its sigmoid or softmax.

    Of a task with several classes it is the node of the class bound; of classes that exclude each
    other, the task's own; of an ensemble, the mean of its members.

    Parameters
    ----------
    model : keras.Model
    contract : Contract
    task : str
        One of the contract's.

    Returns
    -------
    KerasTensor, shape (batch, bins)

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
    logits = trunk.output
    columns = _columns(mark, contract.tasks.index(task), logits.shape[-1])
    return ops.mean(ops.take(logits, columns, axis=-1), axis=-1)


def _columns(mark: Learnt, index: int, width: int) -> Sequence[int]:
    """Give the logits that a score of the contract is made from."""
    if mark.kind == "nodes":
        return [index * mark.count + mark.count - 1]
    if mark.kind == "members":
        return range(index, width, width // mark.count)
    return [index]
