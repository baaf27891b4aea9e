"""Bins learnt in a second: pieces of tiles and windows, side by side, and what waits for the data.

python benchmarks/training.py --fasta FASTA --signal dnase=BIGWIG --peaks NARROWPEAK

The thesis' shallow network, and a wide one of two layers of 256 filters, each learns the same bins
by the same loss in batches of as many bins: in whole tiles of 64, in pieces of 16 and of 8, and one
window a bin. All are in one process and take turns, each with its own thread that makes batches of
real tiles while it has its turn; of each the median round counts. What that thread made before the
clock starts is dropped. Waiting is the share of the time in which training has no batch yet.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tfbind.batches import PREFETCHED, Batch, Batcher, training_batches
from tfbind.cli.keras_backend import load_keras
from tfbind.contract import Geometry, Input
from tfbind.pipeline import ahead
from tfbind.tilefiles import TileFile
from tfbind.tilesets import TileSet

TFBIND = f"{sys.executable} -m tfbind"
BINS = 256
"""In a batch, whatever it is cut into."""

WAYS: dict[str, tuple[int, bool]] = {
    "tiles of 64": (64, False),
    "pieces of 16": (16, False),
    "pieces of 8": (8, False),
    "windows": (8, True),
}
"""Bins in a piece, and whether each is cut into windows."""


@dataclass
class Way:
    """A network that learns in one of these ways."""

    name: str
    step: Callable[[Batch], object]
    batches: Callable[[], Iterator[Batch]]
    rates: list[float]
    waits: list[float]

    def round(self, steps: int) -> None:
        """Time some steps, of which none has its batch made for it before."""
        with ahead(self.batches(), PREFETCHED) as batches:
            for _ in range(PREFETCHED):
                next(batches)
            waited, bins, began = 0.0, 0, time.perf_counter()
            for _ in range(steps):
                asked = time.perf_counter()
                batch = next(batches)
                waited += time.perf_counter() - asked
                self.step(batch)
                bins += batch[1].shape[0] * batch[1].shape[1]
            took = time.perf_counter() - began
        self.rates.append(bins / took)
        self.waits.append(waited / took)


def make_tiles(folder: Path, fasta: str, signal: str, peaks: str, region: str) -> Path:
    """Put all bins of a region into tiles of 64."""
    path = folder / "whole.tiles"
    command = (
        f"{TFBIND} bin {fasta} --region {region} | {TFBIND} label -q --conservative {peaks} "
        f"| {TFBIND} features -q --fasta {fasta} --signal {signal} -o {path}"
    )
    subprocess.run(command, shell=True, check=True)
    return path


def forever(tiles: TileSet, batcher: Batcher) -> Iterator[Batch]:
    """Give batches, epoch after epoch."""
    rng = np.random.default_rng(1)
    while True:
        yield from training_batches(tiles, batcher, BINS, True, rng)


def way(net: str, name: str, file: TileFile, inputs: list[Input]) -> Way:
    """Build a network and what feeds it."""
    import keras

    from tfbind.losses import cross_entropy
    from tfbind.networks.heads import learnt_of
    from tfbind.training import compiled

    keras.utils.set_random_seed(1)
    geometry = file.contents.geometry
    piece, windows = WAYS[name]
    model = NETS[net](inputs, geometry)
    learner, mark = learnt_of(model)
    learner.compile(keras.optimizers.Adam(1e-3), cross_entropy(mark), jit_compile=compiled())
    batcher = Batcher(inputs, np.full(1, 10, np.float32), "drop", geometry if windows else None)
    tiles = TileSet([file], bins=piece)
    return Way(
        name,
        lambda batch: learner.train_on_batch(*batch),
        lambda: forever(tiles, batcher),
        [],
        [],
    )


def shallow(inputs: list[Input], geometry: Geometry) -> Any:
    """Build the thesis' network."""
    from tfbind.networks import architecture

    return architecture("shallow").build(inputs, geometry, 1)


def wide(inputs: list[Input], geometry: Geometry) -> Any:
    """Build two layers of 256 filters, of 20 bases and of 8 rows of 10 bases each."""
    import keras
    from keras import layers

    from tfbind.networks.entries import entries
    from tfbind.networks.heads import each
    from tfbind.networks.layers import AtrousMaxPool, BinRows

    sequence = [spec for spec in inputs if spec.source == "sequence"]
    ends, (entry,) = entries(sequence, geometry)
    rows = layers.Conv1D(256, 20, activation="relu")(entry.rows)
    rows = AtrousMaxPool(10, geometry.stride)(rows)
    rows = layers.Conv1D(256, 8, activation="relu")(rows)
    width = (entry.width - 20 + 1) // 10 - 8 + 1
    features = BinRows(1, geometry.stride // 10, width)(rows)
    hidden = layers.Dense(32, activation="relu")(features)
    return keras.Model(ends, each(hidden, 1), name="wide")


NETS = {"shallow": shallow, "wide": wide}


def batcher_cost(file: TileFile, inputs: list[Input]) -> Iterator[tuple[str, float]]:
    """Give the processor time of making a batch, milliseconds."""
    for name, (piece, windows) in WAYS.items():
        geometry = file.contents.geometry if windows else None
        batcher = Batcher(inputs, np.full(1, 10, np.float32), "drop", geometry)
        batches = forever(TileSet([file], bins=piece), batcher)
        next(batches)
        began = time.thread_time()
        made = sum(1 for _ in islice(batches, 200))
        yield name, 1000 * (time.thread_time() - began) / made


def measure(file: TileFile, inputs: list[Input], nets: list[str], rounds: int, steps: int) -> None:
    """Print a line of the table for each network and way."""
    cost = dict(batcher_cost(file, inputs))
    print("| network | learns in | bins/s | times windows | waits for data | batch made in |")
    print("|---|---|---|---|---|---|")
    for net in nets:
        ways = [way(net, name, file, [*inputs]) for name in WAYS]
        for one in ways:
            one.round(2)  # traces the graph
            one.rates.clear()
            one.waits.clear()
        for _ in range(rounds):
            for one in ways:
                one.round(max(steps // 2, 16) if one.name == "windows" else steps)
        rates = {one.name: float(np.median(one.rates)) for one in ways}
        for one in ways:
            print(
                f"| {net} | {one.name} | {rates[one.name]:,.0f} "
                f"| {rates[one.name] / rates['windows']:.1f} | {np.median(one.waits):.1%} "
                f"| {cost[one.name]:.2f} ms |",
                flush=True,
            )


def main() -> None:
    """Make tiles and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--signal", required=True)
    parser.add_argument("--peaks", required=True)
    parser.add_argument("--region", default="chrX:45000001-50000000")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=[*NETS])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=32)
    told = parser.parse_args()
    os.environ.pop("TFBIND_SIGNAL", None)
    load_keras()
    with tempfile.TemporaryDirectory(prefix="tfbind.") as folder:
        path = make_tiles(Path(folder), told.fasta, told.signal, told.peaks, told.region)
        file = TileFile(path)
        log1p = [
            replace(spec, transform="log1p") if spec.source == "signal" else spec
            for spec in file.contents.inputs
        ]
        measure(file, log1p, told.nets, told.rounds, told.steps)


if __name__ == "__main__":
    main()
