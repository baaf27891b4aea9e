"""Streams of bins to streams of contributions: a row for each bin, or sums over the bins of tiles.

Windows of bins on the minus strand are read as their reverse complement, and their rows are told in
that direction.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.channels.base import Array, Lookup
from tfbind.channels.sequence import SequenceChannel
from tfbind.contract import Contract, Geometry
from tfbind.errors import InputError
from tfbind.genome import UNKNOWN
from tfbind.interpret.attribution import Attribution, Attributor
from tfbind.interpret.covering import Stretch
from tfbind.interpret.explained import Explained
from tfbind.interpret.mutagenesis import Mutagenesis, contributions_of
from tfbind.interpret.windows import minus_of, read_windows
from tfbind.intervals import Intervals
from tfbind.tiles import Stretches, Tile, cut_tiles

Batches = Iterable[tuple[Intervals, list[str]]]
"""As `tiles.BinCheck` gives them."""

COMPLEMENT = SequenceChannel.complement

BASES = 4
BINS_A_TILE = 64
TILES_A_CALL = 8
WINDOWS_A_CALL = 32


Explain = Callable[[Mapping[str, Array], Sequence[tuple[str, int]]], Attribution]
"""From prepared inputs, (n, window) or (n, values), and contigs and starts to contributions."""


def by(method: Attributor | Mutagenesis) -> Explain:
    """Give what explains windows, one bin each, by a method."""
    if isinstance(method, Attributor):
        return lambda fed, places: method(fed, np.ones((len(places), 1), np.float32), places)
    return lambda fed, places: _mutated(method, fed)


def _mutated(method: Mutagenesis, fed: Mapping[str, Array]) -> Attribution:
    codes = fed[method.sequence]
    each = [
        method.effects({name: values[i : i + 1] for name, values in fed.items()})
        for i in range(len(codes))
    ]
    effects = np.concatenate([some for some, _ in each])
    outputs = np.stack([some for _, some in each])
    own, hypothetical = contributions_of(effects, codes)
    return Attribution(
        {method.sequence: own},
        {method.sequence: hypothetical},
        outputs,
        np.zeros_like(outputs),
    )


def explained_windows(
    batches: Batches, explain: Explain, contract: Contract, stretches: Stretches
) -> Iterator[tuple[Intervals, Explained]]:
    """Explain bins one window each, in order.

    Parameters
    ----------
    batches : Batches
    explain : callable
        As `by` gives it.
    contract : Contract
    stretches : Stretches
        Over the contract's inputs.

    Yields
    ------
    batch : Intervals
        At most `WINDOWS_A_CALL` bins.
    explained : Explained
    """
    for whole, names in batches:
        for batch in whole.parts(WINDOWS_A_CALL):
            fed = read_windows(batch, names, contract, stretches)
            contigs = [names[code] for code in batch.codes]
            found = explain(fed, list(zip(contigs, batch.starts.tolist(), strict=True)))
            yield (
                batch,
                Explained(
                    contigs,
                    batch.starts,
                    minus_of(batch),
                    _codes(fed, contract, (len(batch), contract.geometry.window)),
                    found.contributions,
                    found.hypothetical,
                    found.outputs[:, 0],
                    found.reference_outputs[:, 0],
                ),
            )


def _codes(
    fed: Mapping[str, Array], contract: Contract, shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    for spec in contract.fed:
        if spec.source == "sequence":
            return fed[spec.name]
    return np.full(shape, UNKNOWN, np.uint8)


def one_strand(batches: Batches, path: str | Path) -> Iterator[tuple[Intervals, list[str]]]:
    """Yield batches as they are, of bins on one strand; `path` is the name for messages.

    Raises
    ------
    InputError
        At a bin of another strand than the first: neither a track nor a tile has both.
    """
    first: bool | None = None
    for batch, names in batches:
        minus = minus_of(batch)
        first = bool(minus[0]) if first is None and len(minus) else first
        if len(other := np.flatnonzero(minus != first)):
            raise InputError(
                "found a bin of the other strand, but a track is of one: give bins of one, as "
                "tfbind bin --strand + lays them; rows (-o NAME.npz) may be of both",
                path=path,
                line=int(batch.numbers[other[0]]),
            )
        yield batch, names


def ascending(batches: Batches, path: str | Path) -> Iterator[tuple[Intervals, list[str]]]:
    """Yield batches as they are, of bins in order; `path` is the name for messages.

    Raises
    ------
    InputError
        At a bin that begins before the last of its contig, or comes back to a contig.
    """
    seen: dict[str, int] = {}
    last = ""
    for batch, names in batches:
        for contig, run in batch.runs():
            starts = batch.starts[run]
            back = np.flatnonzero(np.diff(starts, prepend=seen.get(contig, 0)) < 0)
            if len(back) or (contig in seen and contig != last):
                index = run.start + (int(back[0]) if len(back) else 0)
                raise InputError(
                    f"found a bin on {contig} behind a later one, or behind another contig; a "
                    "track needs order: LC_ALL=C sort -k1,1 -k2,2n",
                    path=path,
                    line=int(batch.numbers[index]),
                )
            seen[contig], last = int(starts[-1]), contig
        yield batch, names


def cut(
    batches: Batches, contract: Contract, stretches: Stretches, path: str | Path
) -> Iterator[Tile]:
    """Yield tiles of up to `BINS_A_TILE` bins, as `cut_tiles` does, and read no further columns."""
    bare = ((replace(batch, extra=()), names) for batch, names in batches)
    return cut_tiles(bare, stretches, contract.geometry, BINS_A_TILE, (), path)


def explained_tiles(
    tiles: Iterable[Tile], method: Mutagenesis, contract: Contract
) -> Iterator[Explained]:
    """Mutate the bases under tiles, as `cut` gives them, and give a row for each bin.

    Yields
    ------
    Explained
        The bins of a tile, fillers left out, by ascending starts.
    """
    geometry = contract.geometry
    for tile in tiles:
        fed = _prepared([tile], contract)
        effects, outputs = method.effects(fed)
        wanted = np.flatnonzero(tile.weights)
        along = wanted
        if tile.minus:  # the first along the contig comes last
            wanted = wanted[::-1]
            along = tile.bins - 1 - wanted
        places = wanted[:, None] * geometry.stride + np.arange(geometry.window)
        codes = fed[method.sequence][0][places]
        own, hypothetical = contributions_of(effects[wanted], codes)
        yield Explained(
            [tile.contig] * len(wanted),
            tile.start + along * geometry.stride,
            np.full(len(wanted), tile.minus),
            codes,
            {method.sequence: own},
            {method.sequence: hypothetical},
            outputs[wanted],
            np.zeros(len(wanted), np.float32),
        )


def _prepared(tiles: Sequence[Tile], contract: Contract) -> dict[str, Array]:
    """Prepare what tiles of as many bins each hold."""
    return {
        spec.name: channel(spec).prepare(np.stack([tile.inputs[spec.name] for tile in tiles]))
        for spec in contract.fed
    }


@dataclass(frozen=True)
class Sum:
    """Contributions that were summed over the bins of a tile.

    Attributes
    ----------
    bins : int
    stretch : Stretch
        Of the forward strand, whatever that of the bins; its columns are those of `columns_of`.
    total, difference : float
        All contributions, those of vectors too, and the outputs less those of the reference.
    """

    bins: int
    stretch: Stretch
    total: float
    difference: float


def summed_tiles(
    tiles: Iterable[Tile], attributor: Attributor, contract: Contract
) -> Iterator[Sum]:
    """Sum contributions over the bins of tiles, as `cut` gives them, for all bins of one at once.

    Yields
    ------
    Sum
        Of each tile, in order.
    """
    for some in _alike(tiles):
        fed = _prepared(some, contract)
        weights = np.stack([tile.weights for tile in some])
        places = [(tile.contig, tile.start) for tile in some]
        found = attributor(fed, weights, places)
        columns = columns_of(found.contributions, found.hypothetical, contract)
        codes = _codes(fed, contract, columns.shape[:2])
        for i, tile in enumerate(some):
            bases = codes[i], columns[i], covering(tile.weights, contract.geometry)
            known = BASES if found.hypothetical else 0
            own_codes, values, counts = _turned(*bases, known) if tile.minus else bases
            start = tile.start - contract.geometry.flank
            stretch = Stretch(tile.contig, start, own_codes, counts, values)
            wanted = tile.weights > 0
            change = (found.outputs - found.reference_outputs)[i][wanted]
            total = sum(one[i].sum(dtype=np.float64) for one in found.contributions.values())
            yield Sum(int(wanted.sum()), stretch, float(total), float(change.sum(dtype=np.float64)))


def _alike(tiles: Iterable[Tile]) -> Iterator[list[Tile]]:
    """Put neighbouring tiles of as many bins together."""
    held: list[Tile] = []
    for tile in tiles:
        if held and (len(held) == TILES_A_CALL or held[0].bins != tile.bins):
            yield held
            held = []
        held.append(tile)
    if held:
        yield held


def covering(weights: npt.NDArray[np.uint8], geometry: Geometry) -> npt.NDArray[np.int64]:
    """Count the bins whose window covers each base of their stretch, shape (bases,), int64.

    Parameters
    ----------
    weights : ndarray, shape (bins,), uint8
        0 for a bin that is not counted.
    geometry : Geometry
    """
    change = np.zeros(geometry.length(len(weights)) + 1, np.int64)
    firsts = np.flatnonzero(weights) * geometry.stride
    change[firsts] += 1
    np.subtract.at(change, firsts + geometry.window, 1)
    return np.cumsum(change)[:-1]


def names_along(contract: Contract) -> list[str]:
    """Name the inputs that have a contribution a base; those of motif scores are the bases' own."""
    known = [spec for spec in contract.inputs if spec.along != "cell"]
    return [
        spec.name
        for spec in known
        if spec.along == "bases" or isinstance(channel(spec).graph, Lookup)
    ]


def columns_of(
    contributions: Mapping[str, npt.NDArray[np.float32]],
    hypothetical: Mapping[str, npt.NDArray[np.float32]],
    contract: Contract,
) -> npt.NDArray[np.float32]:
    """Put what an `Attribution` has for each base beside each other.

    Returns
    -------
    ndarray, shape (batch, bases, columns), float32
        The inputs of `names_along` that have contributions; then the hypothetical ones of A, C, G
        and T of the first sequence, if there is one.
    """
    names = [name for name in names_along(contract) if name in contributions]
    parts = [contributions[name][..., None] for name in names]
    return np.concatenate([*parts, *list(hypothetical.values())[:1]], axis=-1)


def _turned(
    codes: npt.NDArray[np.uint8],
    columns: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int64],
    bases: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Turn bases with their columns, the last so many of bases, from the reverse strand round."""
    last = columns.shape[-1]
    order = [*range(last - bases), *reversed(range(last - bases, last))]
    return COMPLEMENT[codes[::-1]], columns[::-1][:, order], counts[::-1]


def stretches_of(explained: Explained, contract: Contract) -> Iterator[Stretch]:
    """Yield each bin's row as a stretch of the forward strand, its columns as of `columns_of`."""
    columns = columns_of(explained.contributions, explained.hypothetical, contract)
    once = np.ones(contract.geometry.window, np.int64)
    for i, contig in enumerate(explained.contigs):
        codes, values = explained.codes[i], columns[i]
        if explained.minus[i]:
            known = BASES if explained.hypothetical else 0
            codes, values, _ = _turned(codes, values, once, known)
        start = int(explained.starts[i]) - contract.geometry.flank
        yield Stretch(contig, start, codes, once, values)
