"""What contributions are measured from: the input of which nothing is known."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.errors import RequestError
from tfbind.genome import UNKNOWN
from tfbind.interpret.entrances import Entrance

Codes = npt.NDArray[np.uint8]

BASES = 4


@dataclass(frozen=True)
class Reference:
    """A reference of sequences; that of a signal is its value where it covers nothing.

    Attributes
    ----------
    kind : 'flat', 'shuffles' or 'none'
        flat: the same row at every base; shuffles: of each window's own bases; none: there were no
        windows to count bases in, nor are there any to explain.
    row : tuple of float
        Of a flat reference: A, C, G, T.
    shuffles, seed : int
        How many, over which contributions are averaged.
    """

    kind: Literal["flat", "shuffles", "none"]
    row: tuple[float, ...] = (0.0,) * BASES
    shuffles: int = 1
    seed: int = 1

    def __str__(self) -> str:
        """Say what it is, as the options that ask for it do."""
        if self.kind == "shuffles":
            return f"shuffles:{self.shuffles},seed:{self.seed}"
        if self.kind == "none":
            return "none"
        shares = ",".join(f"{one:g}" for one in self.row)
        return f"frequencies:{shares}" if any(self.row) else "zeros"


def background(frequencies: Sequence[float]) -> Reference:
    """Take the frequencies of A, C, G and T at every base, as the source does.

    Raises
    ------
    RequestError
        If they are not four shares of 1.
    """
    shown = ",".join(f"{one:g}" for one in frequencies)
    shares = len(frequencies) == BASES and min(frequencies) >= 0
    if not shares or not abs(sum(frequencies) - 1) <= 1e-3:  # which NaN is not, either
        raise RequestError(f"found the frequencies {shown}, expected four of A,C,G,T that sum to 1")
    return Reference("flat", tuple(float(one) for one in frequencies))


def zeros() -> Reference:
    """Take no base at all, at every base."""
    return Reference("flat")


def nothing() -> Reference:
    """Take none, where there are no windows."""
    return Reference("none")


def counted(codes: Iterable[Codes]) -> npt.NDArray[np.int64]:
    """Count A, C, G and T, shape (4,), in arrays of base codes."""
    counts = np.zeros(UNKNOWN + 1, np.int64)
    for some in codes:
        counts += np.bincount(some.reshape(-1), minlength=UNKNOWN + 1)
    return counts[:BASES]


def flat(entrance: Entrance, reference: Reference) -> Array:
    """Give the reference of one entrance, the same at all places.

    K-mers have the mean over all k-mers, which is 0, and cell types the mean of those in training,
    which is 0 as well.

    Returns
    -------
    ndarray, float32
        Of shape (1, 1, 4), (1, 1, 1), (1, 1) or (1, 1); it is to be broadcast.
    """
    if entrance.kind == "bases":
        return np.array(reference.row, np.float32).reshape(1, 1, BASES)
    if entrance.kind == "signal":
        kind = channel(entrance.spec)
        return kind.prepare(kind.blanks(1)).astype(np.float32).reshape(1, 1)
    return np.zeros((1, 1, 1) if entrance.kind == "kmers" else (1, 1), np.float32)


def seeded(seed: int, contig: str, start: int, number: int) -> np.random.Generator:
    """Make the random numbers of one shuffle of one window, whatever the batch it comes in."""
    return np.random.default_rng([seed, zlib.crc32(contig.encode()), start, number])


def shuffled(codes: Codes, random: np.random.Generator) -> Codes:
    """Shuffle bases and keep the count of each pair of neighbours.

    Every order with these counts that begins with the same base is as likely (Altschul and Erickson
    1985). The last step out of each base must lead to the end; such a tree of last steps is drawn
    by a random walk (Wilson 1996). All other steps may come in any order.

    Parameters
    ----------
    codes : ndarray, shape (bases,), uint8
        Unknown ones are a letter of their own.
    random : numpy.random.Generator

    Returns
    -------
    ndarray, shape (bases,), uint8
        Begins and ends as `codes` does.
    """
    if len(codes) < 3:
        return codes.copy()
    steps = [codes[1:][codes[:-1] == letter].tolist() for letter in range(UNKNOWN + 1)]
    last = _last_steps(steps, int(codes[-1]), random)
    for letter, some in enumerate(steps):
        if letter in last:
            some.remove(last[letter])
        order = random.permutation(len(some))
        steps[letter] = [some[i] for i in order]
        if letter in last:
            steps[letter].append(last[letter])
    taken = [iter(some) for some in steps]
    here = int(codes[0])
    found = [here]
    for _ in range(len(codes) - 1):
        here = next(taken[here])
        found.append(here)
    return np.array(found, np.uint8)


def _last_steps(
    steps: Sequence[Sequence[int]], end: int, random: np.random.Generator
) -> dict[int, int]:
    """Draw the last step out of each base that has one, but for the end, by loop-erased walks."""
    last: dict[int, int] = {}
    for begin, some in enumerate(steps):
        if not some or begin == end or begin in last:
            continue
        walk: dict[int, int] = {}
        here = begin
        while here != end and here not in last:
            walk[here] = steps[here][int(random.integers(len(steps[here])))]
            here = walk[here]
        here = begin
        while here != end and here not in last:
            last[here] = walk[here]
            here = walk[here]
    return last
