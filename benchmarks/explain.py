"""How many bins a second are explained: tile by tile, in batches of windows, one window at a time.

    python benchmarks/explain.py NETWORK.keras GENOME.fa.gz BINS.bed SIGNAL=FILE.bw...

Bins are read from a file, and the genome's and signals' values are read anew each time. Each way is
run once on its first bins before it is timed, so that graphs are traced by then. What the ways give
is compared: the mean contribution of each base of the sequence.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tfbind.channels import Sources
from tfbind.genome import Genome
from tfbind.interpret import explanation as ways
from tfbind.interpret.attribution import Attributor, Method
from tfbind.interpret.covering import Covering, Stretch
from tfbind.interpret.mutagenesis import Mutagenesis
from tfbind.interpret.references import background
from tfbind.intervals import IntervalReader, Intervals
from tfbind.networks.files import Network, load_network
from tfbind.signal import Signal
from tfbind.tiles import BinCheck, Stretches

BACKGROUND = background((0.3, 0.2, 0.2, 0.3))
BINS = {"deeplift": (4000, 1000, 200), "gradient": (4000, 1000, 200),
        "integrated": (2000, 200, 20), "mutagenesis": (100, 20, 5)}  # fmt: skip
"""Bins of each method: by tiles, in windows, one window at a time."""

Way = Callable[[int], Iterator[Stretch]]


def main(path: str, fasta: str, bed: str, *signals: str) -> None:
    """Print a table."""
    network = load_network(path)
    pairs = (one.split("=", 1) for one in signals)
    sources = Sources(Genome(fasta), {name: Signal(file) for name, file in pairs})
    print("| method | tiles, bins/s | windows | one at a time | ratio | difference |")
    print("|---|---|---|---|---|---|")
    for method, counts in BINS.items():
        tiles, windows, alone = ways_of(network, sources, bed, method)
        rates = [rate(way, bins) for way, bins in zip((tiles, windows, alone), counts, strict=True)]
        apart = np.abs(means(tiles, counts[2], sources) - means(alone, counts[2], sources)).max()
        shown = [f"{one:,.1f}" if one < 100 else f"{one:,.0f}" for one in rates]
        row = [method, *shown, f"{rates[0] / rates[2]:,.0f}", f"{apart:.1e}"]
        print("| " + " | ".join(row) + " |", flush=True)


def ways_of(network: Network, sources: Sources, bed: str, method: str) -> tuple[Way, Way, Way]:
    """Give the three ways to explain the first bins of a file."""
    contract = network.contract
    stretches = Stretches(contract.geometry, contract.inputs, sources)
    task = contract.tasks[0]
    explainer: Any = (
        Mutagenesis(network, task)
        if method == "mutagenesis"
        else Attributor(network, task, _named(method), BACKGROUND)
    )
    explain = ways.by(explainer)

    def batches(bins: int, part: int) -> Iterator[tuple[Intervals, list[str]]]:
        check = BinCheck(contract.geometry, sources, bed)
        with open(bed, "rb") as stream:
            for batch in IntervalReader(stream, bed, part=(0, bins)):
                yield from (check(one) for one in batch.parts(part))

    def tiles(bins: int) -> Iterator[Stretch]:
        cut = ways.cut(batches(bins, bins), contract, stretches, bed)
        if isinstance(explainer, Attributor):
            return (one.stretch for one in ways.summed_tiles(cut, explainer, contract))
        rows = ways.explained_tiles(cut, explainer, contract)
        return (one for some in rows for one in ways.stretches_of(some, contract))

    def windows(bins: int, part: int = ways.WINDOWS_A_CALL) -> Iterator[Stretch]:
        rows = ways.explained_windows(batches(bins, part), explain, contract, stretches)
        return (one for _, some in rows for one in ways.stretches_of(some, contract))

    return tiles, windows, lambda bins: windows(bins, 1)


def _named(method: str) -> Method:
    named: dict[str, Method] = {"deeplift": "deeplift", "gradient": "gradient"}
    return named.get(method, "integrated")


def rate(way: Way, bins: int) -> float:
    """Give bins a second, the better of two runs."""
    for _ in way(min(bins, 70)):
        pass
    took = []
    for _ in range(2):
        began = time.perf_counter()
        for _ in way(bins):
            pass
        took.append(time.perf_counter() - began)
    return bins / min(took)


def means(way: Way, bins: int, sources: Sources) -> npt.NDArray[np.float32]:
    """Give the mean contribution of each base that the bins' windows cover."""
    covering = Covering(sources.genome.sizes)
    found = [bases for one in way(bins) for bases in covering.add(one)]
    return np.concatenate([one.means[:, 0] for one in [*found, *covering.end()]])


if __name__ == "__main__":
    main(*sys.argv[1:])
