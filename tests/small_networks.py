"""Networks of every architecture, small and with random weights, and random bases to feed them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfbind.channels import described
from tfbind.contract import Contract, Geometry, Input
from tfbind.networks import ARCHITECTURES, scans
from tfbind.networks.files import Network

TASKS = ("a", "b", "c")

SIZES: dict[str, dict[str, Any]] = {
    "best": {"filters": 4, "units": 4, "dense": 6, "ensemble": 2},
    "shallow": {"filters": 4, "width": 8, "dense": 6, "joint": 8},
    "multitask": {"filters": 4, "width": 8, "dense": 6, "joint": 8, "private": 4},
    "deep": {"filters": (4, 5, 6), "dense": 6, "joint": 8},
    "tss": {"filters": 4, "dense": 6},
    "deepbind": {"filters": 4},
    "zeng": {"filters": 4, "hidden": 6},
    "basset": {"filters": (4, 5, 6), "dense": (8, 8)},
    "deepsea": {"filters": (4, 5, 6), "dense": 8},
    "danq": {"filters": 4, "recurrent": 3, "dense": 8},
    "deepchrome": {"filters": 4, "dense": (8, 6), "resolution": 50},
    "naive": {},
}


def small(
    name: str, extra: Sequence[str] = (), geometry: Geometry | None = None, **sizes: Any
) -> Network:
    """Build an architecture with the inputs that it was published with and others."""
    kind = ARCHITECTURES[name]
    sources = [*kind.inputs, *extra]
    inputs = [
        _input(source, f"{source}{i}" if sources.count(source) > 1 else source)
        for i, source in enumerate(sources)
    ]
    geometry = geometry or (Geometry(2000, 200, 50) if name == "deepchrome" else kind.geometry)
    keras.utils.set_random_seed(1)
    model = kind.build(inputs, geometry, len(TASKS), **SIZES[name] | sizes)
    random = np.random.default_rng(2)
    for weight in model.weights:
        kind_of = weight.path.rpartition("/")[2]
        if kind_of in ("moving_variance", "gamma"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif kind_of in ("moving_mean", "beta", "bias"):
            weight.assign(random.normal(0, 0.3, weight.shape))
    return Network(model, Contract(geometry, tuple(inputs), TASKS, scans=scans(model)), b"")


def _input(source: str, name: str) -> Input:
    random = np.random.default_rng(3)
    match source:
        case "sequence":
            return Input(name, "sequence", "uint8")
        case "signal":
            return Input(name, "signal", "float16", "log1p", mean=0.4, deviation=0.9)
        case "motif":
            table = {one: random.normal(size=(7, 4)).tolist() for one in ("x", "y")}
            return Input(
                name, "motif", "float32", along="sequence", of="sequence",
                features=("x", "y"), table=table,
            )  # fmt: skip
        case "expression":
            return Input(name, "expression", "float32", along="cell", features=("p", "q"))
        case _:
            return described(source)[0]


def fed(network: Network, rows: int, bins: int = 1) -> dict[str, npt.NDArray[Any]]:
    """Make prepared inputs of stretches of so many bins; the first begins with unknown bases."""
    random = np.random.default_rng(4)
    bases = network.contract.geometry.length(bins)
    found: dict[str, npt.NDArray[Any]] = {}
    for spec in network.contract.fed:
        if spec.source == "sequence":
            found[spec.name] = random.integers(0, 4, (rows, bases)).astype(np.uint8)
            found[spec.name][0, :30] = 4
        else:
            length = len(spec.features) if spec.along == "cell" else bases
            found[spec.name] = random.exponential(1, (rows, length)).astype(np.float32)
    return found
