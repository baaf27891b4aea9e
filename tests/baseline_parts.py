"""What tests of the baselines share: inputs, and real tiles of two factors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from conftest import Tfbind, ok

from tfbind.channels import described
from tfbind.contract import Geometry, Input
from tfbind.history import History
from tfbind.networks import architecture
from tfbind.networks.files import Network, load_network, save_network
from tfbind.regions import Region
from tfbind.settings import Settings
from tfbind.tilefiles import TileFile
from tfbind.tilesets import TileSet, part_by_regions
from tfbind.trained import check_tiles, contract_of, fitted

Array = npt.NDArray[Any]

SEQUENCE = Input("sequence", "sequence", "uint8")
DNASE = Input("dnase", "signal", "float16", "log1p")
GEOMETRY = Geometry(600, 200, 50)


def motifs(data: Path) -> Input:
    return described(f"motif={data / 'motifs.meme'}")[0]


def arrays_of(bins: int, geometry: Geometry = GEOMETRY) -> dict[str, Array]:
    """Make a stretch of random bases, with a signal on part of it, in steps as tracks have."""
    rng = np.random.default_rng(bins)
    length = geometry.length(bins)
    boxes = np.repeat(
        rng.exponential(2, length // 100 + 1) * (rng.random(length // 100 + 1) > 0.7), 100
    )
    return {
        "sequence": rng.integers(0, 5, (1, length)).astype(np.uint8),
        "dnase": np.log1p(boxes[None, :length].astype(np.float16).astype(np.float32)),
    }


@dataclass(frozen=True)
class Parts:
    """Real tiles of two factors, to learn from and to choose by."""

    path: Path
    inputs: list[Input]
    training: TileSet
    validation: TileSet
    region: Region

    def build(self, arch: str, **sizes: Any) -> keras.Model:
        geometry = self.training.files[0].contents.geometry
        inputs = [one for one in self.inputs if arch == "boosted" or one.source != "shape"]
        return architecture(arch).build(inputs, geometry, len(self.training.tasks), **sizes)

    def saved(self, arch: str, model: keras.Model, history: History, folder: Path) -> Network:
        """Save the network with its contract, and read it again."""
        inputs = [one for one in self.inputs if arch == "boosted" or one.source != "shape"]
        contract = contract_of(
            model, arch, inputs, self.training, self.validation, [self.region], Settings(), history
        )
        path = folder / "a.keras"
        save_network(Network(model, contract, check_tiles(self.validation)), path)
        return load_network(path)


def parts_of(tfbind: Tfbind, data: Path, labelled: bytes, path: Path) -> Parts:
    """Make tiles of some of the bins at `path`, and part them."""
    peaks = data / "HeLa-S3.dnase.narrowPeak.gz"
    sampled = tfbind("sample", "--accessible", peaks, "--background", "1500", stdin=labelled)
    channels = ["--channel", f"motif={data / 'motifs.meme'}", "--channel", "shape"]
    sources: list[str | Path] = [
        "--fasta",
        data / "hg19.chrX_cut.fa.gz",
        "--signal",
        data / "HeLa-S3.dnase.bw",
    ]
    named = ["--names", "HeLa,K562", "--cell", "HeLa-S3"]
    ok(tfbind("features", *sources, *channels, *named, "-o", path, stdin=ok(sampled)))
    region = Region("chrX", 49_000_000, 50_000_000)
    training, validation = part_by_regions([TileFile(path)], [region])
    inputs = fitted(training.files[0].contents.inputs, training, {})
    return Parts(path, inputs, training, validation, region)
