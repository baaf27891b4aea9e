"""Where numbers enter a network that contributions can be told of.

Base codes are names, not amounts: what enters is their one-hot rows. What the graph looks up for
k-mers, such as the shape of the helix, enters beside them, as an input of its own. Motif scores
are computed from the rows, so that their contributions are those of the bases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from tfbind.channels import channel
from tfbind.channels.base import Lookup
from tfbind.contract import Contract, Input
from tfbind.errors import InputError
from tfbind.networks.heads import LEARNT, Learnt, learnt_of
from tfbind.networks.layers import KmerRows, OneHot

Kind = Literal["bases", "kmers", "signal", "vector"]


@dataclass(frozen=True)
class Entrance:
    """One of the places where numbers enter.

    Attributes
    ----------
    name : str
        Of the contract's input.
    kind : 'bases', 'kmers', 'signal' or 'vector'
        One-hot rows, shape (batch, bases, 4); rows of k-mers, shape (batch, bases - k + 1,
        channels); values, shape (batch, bases); or a cell type's, shape (batch, values); float32.
    spec : Input
        Of the contract.
    before, behind : int
        Bases of the stretch that lie before the first row's base, and behind the last's.
    """

    name: str
    kind: Kind
    spec: Input
    before: int = 0
    behind: int = 0


@dataclass(frozen=True)
class Parted:
    """A network, parted at its entrances.

    Attributes
    ----------
    entrances : tuple of Entrance
    front : keras.Model
        From what is fed to a list of what enters.
    body : keras.Model
        From that list to what the loss sees, shape (batch, bins, columns), float32.
    mark : Learnt
        Says what that is.
    """

    entrances: tuple[Entrance, ...]
    front: keras.Model
    body: keras.Model
    mark: Learnt


def parted(model: keras.Model, contract: Contract) -> Parted:
    """Part a network at its entrances; weights are shared with it.

    Parameters
    ----------
    model : keras.Model
        That ends in a head of `networks.heads`.
    contract : Contract
        Of the model.

    Returns
    -------
    Parted
        Its entrances are in the order of the contract's inputs. Motif scores have none, nor has a
        sequence that is read by k-mers alone.

    Raises
    ------
    InputError
        If bases enter by a layer that is none of them.
    """
    learnt, mark = learnt_of(model)
    fed = {spec.name: end for spec, end in zip(contract.fed, _ends(model, contract), strict=True)}
    one_hot = {_input_of(layer): layer.output for layer in _of_kind(learnt, OneHot)}
    kmers = list(_of_kind(learnt, KmerRows))
    entrances, tensors = [], []
    for spec in contract.inputs:
        if spec.along == "cell":
            entrances.append(Entrance(spec.name, "vector", spec))
            tensors.append(fed[spec.name])
        elif spec.source == "sequence":
            if fed[spec.name].name not in one_hot:  # read by k-mers alone
                continue
            entrances.append(Entrance(spec.name, "bases", spec))
            tensors.append(one_hot[fed[spec.name].name])
        elif spec.along == "bases":
            entrances.append(Entrance(spec.name, "signal", spec))
            tensors.append(fed[spec.name])
        elif isinstance(channel(spec).graph, Lookup):
            layer = kmers.pop(0)
            before = (layer.width - 1) // 2
            entrances.append(Entrance(spec.name, "kmers", spec, before, layer.width - 1 - before))
            tensors.append(layer.output)
    try:
        body = keras.Model(tensors, model.get_layer(LEARNT).output)
    except ValueError as error:
        raise InputError(
            "reads its bases in another way than by one-hot rows, motifs and k-mers, and so has no "
            "gradient; give --method mutagenesis"
        ) from error
    return Parted(tuple(entrances), keras.Model(model.inputs, tensors), body, mark)


def _ends(model: keras.Model, contract: Contract) -> Sequence[Any]:
    """Give the network's ends in the order of the contract."""
    ends: Mapping[str, Any] = {end.name: end for end in model.inputs}
    return [ends[spec.name] for spec in contract.fed]


def _of_kind(model: keras.Model, kind: type[keras.layers.Layer]) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def _input_of(layer: Any) -> str:
    """Name the network's end that a layer reads, through layers of one input."""
    end = layer.input
    while not isinstance(end._keras_history.operation, keras.layers.InputLayer):
        end = end._keras_history.operation.input
    return str(end.name)
