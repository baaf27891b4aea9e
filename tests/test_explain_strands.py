"""Contributions along the reverse strand are those of the turned genome along the other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="networks need Keras: pip install 'tfbind[train]'")

from small_networks import small

from tfbind.channels import Sources
from tfbind.contract import Geometry
from tfbind.genome import Genome
from tfbind.interpret.attribution import Attributor
from tfbind.interpret.covering import Bases, Covering
from tfbind.interpret.explanation import (
    Batches,
    by,
    cut,
    explained_tiles,
    explained_windows,
    stretches_of,
    summed_tiles,
)
from tfbind.interpret.mutagenesis import Mutagenesis
from tfbind.interpret.references import background
from tfbind.intervals import IntervalReader
from tfbind.networks.files import Network
from tfbind.tiles import BinCheck, Stretches

SIZE = 160


def network() -> Network:
    made = small("tss", geometry=Geometry(40, 40, 1))
    return replace(made, contract=replace(made.contract, stranded=True))


def explained(made: Network, path: Path, strand: str, way: str) -> tuple[np.ndarray, np.ndarray]:
    """Give codes and columns at each base of a genome, over all bins of a strand but a few."""
    contract, genome = made.contract, Genome(path)
    sources = Sources(genome)
    starts = [one for one in range(SIZE - 39) if one % 17 != (3 if strand == "+" else 15)]
    bed = path.with_suffix(".bed")
    bed.write_text("".join(f"c\t{one}\t{one + 40}\t.\t0\t{strand}\n" for one in starts))
    stretches = Stretches(contract.geometry, contract.inputs, sources)
    check = BinCheck(contract.geometry, sources, bed, strands=True)

    def batches() -> Batches:
        with bed.open("rb") as stream:
            yield from map(check, IntervalReader(stream, bed))

    found: list[Bases] = []
    covering = Covering(genome.sizes)
    tiles = cut(batches(), contract, stretches, bed)
    attributor = Attributor(made, "b", "deeplift", background([0.3, 0.2, 0.1, 0.4]))
    if way == "tiles":
        parts = [one.stretch for one in summed_tiles(tiles, attributor, contract)]
    elif way == "windows":
        rows = explained_windows(batches(), by(attributor), contract, stretches)
        parts = [one for _, some in rows for one in stretches_of(some, contract)]
    else:
        mutated = explained_tiles(tiles, Mutagenesis(made, "b"), contract)
        parts = [one for some in mutated for one in stretches_of(some, contract)]
    for one in parts:
        found += covering.add(one)
    found += covering.end()
    return np.concatenate([one.codes for one in found]), np.concatenate(
        [one.means for one in found]
    )


@pytest.mark.parametrize("way", ["tiles", "windows", "mutations"])
def test_a_turned_genome_has_turned_contributions(way: str, tmp_path: Path) -> None:
    bases = "".join(np.random.default_rng(1).choice([*"ACGT"], SIZE))
    turned = bases[::-1].translate(str.maketrans("ACGT", "TGCA"))
    made = network()
    found = []
    for name, text, strand in (("here", bases, "-"), ("there", turned, "+")):
        path = tmp_path / f"{name}.fa"
        path.write_text(f">c\n{text}\n")
        found.append(explained(made, path, strand, way))
    (codes, means), (other_codes, others) = found
    assert len(codes) == SIZE
    assert codes.tolist() == (3 - other_codes[::-1]).tolist()
    # Contributions, and behind them the hypothetical ones of A, C, G and T.
    np.testing.assert_allclose(means, others[::-1][:, [0, 4, 3, 2, 1]], atol=1e-5)
    assert np.ptp(means[:, 0]) > 1e-3


def test_tiles_and_windows_agree_on_the_reverse_strand(tmp_path: Path) -> None:
    path = tmp_path / "g.fa"
    path.write_text(">c\n" + "".join(np.random.default_rng(2).choice([*"ACGT"], SIZE)) + "\n")
    made = network()
    (_, tiles), (_, windows) = (explained(made, path, "-", way) for way in ("tiles", "windows"))
    np.testing.assert_allclose(tiles, windows, atol=1e-5)
