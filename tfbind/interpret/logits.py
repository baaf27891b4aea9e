"""The number that is explained: a task's output before its activation."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tfbind.errors import RequestError
from tfbind.networks.heads import Learnt


def chosen_task(tasks: Sequence[str], wanted: str | None) -> str:
    """Give the task that is asked for; it need not be named where there is only one.

    Raises
    ------
    RequestError
        If there is none of that name, or several and none is named.
    """
    shown = ", ".join(tasks)
    if wanted is None and len(tasks) > 1:
        raise RequestError(f"the network has the tasks {shown}: choose one by --task")
    if wanted is not None and wanted not in tasks:
        raise RequestError(f"no task {wanted!r}: there is {shown}")
    return tasks[0] if wanted is None else wanted


def weights_of(
    mark: Learnt, columns: int, tasks: Sequence[str], task: str
) -> npt.NDArray[np.float32]:
    """Say how the number that is explained is summed of what the loss sees.

    Of a task with a sigmoid that is its logit. Of a task with nodes it is the logit of bound minus
    that of unbound, the log-odds between the two, which a softmax depends on. Of classes that
    exclude each other it is the class's own logit, as in section 6.1 of the source. Of an ensemble
    it is the mean of its members' logits.

    Parameters
    ----------
    mark : Learnt
    columns : int
        Of what the loss sees.
    tasks : sequence of str
        Of the contract.
    task : str
        One of them.

    Returns
    -------
    ndarray, shape (columns,), float32
    """
    place = list(tasks).index(task)
    weights = np.zeros(columns, np.float32)
    match mark.kind:
        case "each":
            weights[place] = 1
        case "nodes":
            last = place * mark.count + mark.count - 1
            weights[last - 1 : last + 1] = -1, 1
        case "exclusive":  # the class of none may come first, and be no task
            weights[columns - len(tasks) + place] = 1
        case "members":
            weights[place :: len(tasks)] = 1 / mark.count
    return weights
