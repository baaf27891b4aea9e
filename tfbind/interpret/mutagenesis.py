"""In-silico mutagenesis: what every other base in the place of each would change.

A mutation changes the bins whose window covers it, and those alone. So the stretch that is scanned
again for it holds these bins and no others: what they share is computed once for all of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfbind.channels.base import Array
from tfbind.contract import Contract
from tfbind.errors import InputError
from tfbind.interpret.logits import weights_of
from tfbind.interpret.references import BASES
from tfbind.networks.files import Network
from tfbind.networks.heads import learnt_of

Floats = npt.NDArray[np.float32]

BASES_A_CALL = 1 << 17
"""Bases of mutated stretches that the network is given together."""


class Mutagenesis:
    """Change every base to every other, and look at a task's output before its activation.

    Parameters
    ----------
    network : Network
    task : str
        One of the contract's.

    Attributes
    ----------
    sequence : str
        The name of the input that is changed.

    Raises
    ------
    InputError
        If the network does not read one sequence.
    """

    def __init__(self, network: Network, task: str) -> None:
        import tensorflow as tf

        contract = network.contract
        self._geometry = contract.geometry
        self._fed = [spec.name for spec in contract.fed]
        self._whole = {spec.name for spec in contract.fed if spec.along == "cell"}
        self.sequence = _sequence(contract)
        learnt, mark = learnt_of(network.model)
        weights = weights_of(mark, learnt.output.shape[-1], contract.tasks, task)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def run(prepared: Mapping[str, Array]) -> Any:
            return keras.ops.sum(learnt(prepared, training=False) * weights, axis=-1)

        self._run = run

    def outputs(self, prepared: Mapping[str, Array]) -> Floats:
        """Give the output of each bin.

        Parameters
        ----------
        prepared : mapping of str to ndarray, shape (batch, bases) or (batch, values)
            What the network is fed.

        Returns
        -------
        ndarray, shape (batch, bins), float32
        """
        found: Floats = self._run({name: prepared[name] for name in self._fed}).numpy()
        return found

    def effects(self, prepared: Mapping[str, Array]) -> tuple[Floats, Floats]:
        """Change every base under the windows of a run of bins.

        Parameters
        ----------
        prepared : mapping of str to ndarray, shape (1, bases) or (1, values)
            What the network is fed.

        Returns
        -------
        effects : ndarray, shape (bins, window, 4), float32
            The change of each bin's output by A, C, G or T in the place of each base of its
            window; 0 for the base that is there, and in the place of an unknown base.
        outputs : ndarray, shape (bins,), float32
            As the bases are.
        """
        geometry = self._geometry
        codes = prepared[self.sequence][0]
        outputs = self.outputs(prepared)[0]
        bins = len(outputs)
        effects = np.zeros((bins, geometry.window, BASES), np.float32)
        held = min(bins, -(-geometry.window // geometry.stride))
        for first, places, bases in _groups(codes, geometry.window, geometry.stride, bins, held):
            changed = self._changed(prepared, first, held, places, bases)
            for bin_ in range(first, first + held):
                inside = places - bin_ * geometry.stride
                own = (inside >= 0) & (inside < geometry.window)
                effects[bin_, inside[own], bases[own]] = changed[own, bin_ - first] - outputs[bin_]
        return effects, outputs

    def _changed(
        self, prepared: Mapping[str, Array], first: int, held: int, places: Array, bases: Array
    ) -> Floats:
        """Give the outputs of `held` bins from `first` on, a row a mutation."""
        begin = first * self._geometry.stride
        some = slice(begin, begin + self._geometry.length(held))
        stretch = {
            name: prepared[name] if name in self._whole else prepared[name][:, some]
            for name in self._fed
        }
        rows = max(BASES_A_CALL // self._geometry.length(held), 1)
        found = []
        for row in range(0, len(places), rows):
            here, there = places[row : row + rows] - begin, bases[row : row + rows]
            fed = {name: np.repeat(one, len(here), axis=0) for name, one in stretch.items()}
            fed[self.sequence][np.arange(len(here)), here] = there
            found.append(self.outputs(fed))
        return np.concatenate(found)


def contributions_of(effects: Floats, codes: Array) -> tuple[Floats, Floats]:
    """Turn effects into contributions.

    Parameters
    ----------
    effects : ndarray, shape (bins, window, 4), float32
        As `Mutagenesis.effects` gives them.
    codes : ndarray, shape (bins, window), uint8
        The bases that are there.

    Returns
    -------
    contributions : ndarray, shape (bins, window), float32
        Of the base that is there: minus the mean effect of the three others; 0 of an unknown base.
    hypothetical : ndarray, shape (bins, window, 4), float32
        Of each base: its effect minus that mean.
    """
    hypothetical = effects - effects.sum(-1, keepdims=True) / (BASES - 1)
    known = np.minimum(codes, BASES - 1).astype(np.int64)[..., None]
    return np.take_along_axis(hypothetical, known, axis=-1)[..., 0], hypothetical


def _sequence(contract: Contract) -> str:
    names = [spec.name for spec in contract.fed if spec.source == "sequence"]
    if len(names) != 1:
        raise InputError(
            f"reads {len(names)} sequences, but mutagenesis changes the bases of one; give "
            "--method deeplift, gradient or integrated"
        )
    return names[0]


def _groups(
    codes: Array, window: int, stride: int, bins: int, held: int
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Give the mutations whose bins lie in one stretch, and the first bin of that stretch."""
    places = np.arange(window + stride * (bins - 1))
    firsts = np.clip(-((window - 1 - places) // stride), 0, bins - held)
    for first in np.unique(firsts):
        here = places[(firsts == first) & (codes < BASES)]
        where, bases = np.repeat(here, BASES), np.tile(np.arange(BASES), len(here))
        other = codes[where] != bases
        if other.any():
            yield int(first), where[other], bases[other]
