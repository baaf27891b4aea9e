"""What tfbind computes, by hand: windows cut from the files, scores of motifs, bins scored."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyBigWig
import pysam

from tfbind.channels import Sources
from tfbind.contract import Geometry
from tfbind.intervals import IntervalReader
from tfbind.model import Model
from tfbind.scoring import score
from tfbind.tiles import BinCheck, Stretches

Array = npt.NDArray[Any]
Starts = npt.NDArray[np.int64]

CONTIG_SIZE = 69_999_930


def disturb(model: Any) -> None:
    """Give a Keras network's batch normalisation something to do, as training would."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if any(part in weight.path for part in ("gamma", "variance")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif any(part in weight.path for part in ("beta", "moving_mean")):
            weight.assign(rng.normal(0, 0.1, weight.shape))


def windows_of(arrays: dict[str, Array], geometry: Geometry) -> dict[str, Array]:
    """Cut stretches, one of each input, into the windows of their bins."""
    return {
        name: np.ascontiguousarray(
            np.lib.stride_tricks.sliding_window_view(one[0], geometry.window)[:: geometry.stride]
        )
        for name, one in arrays.items()
    }


def run(graph: Any, arrays: dict[str, Array]) -> npt.NDArray[np.float32]:
    """Check an ONNX graph, and compute what it gives."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, arrays)[0])


@dataclass(frozen=True)
class Files:
    """The example data, read without tfbind."""

    fasta: Path
    bigwig: Path

    def letters(self, start: int, end: int) -> str:
        first, last = max(start, 0), min(end, CONTIG_SIZE)
        with pysam.FastaFile(str(self.fasta)) as fasta:
            inside = fasta.fetch("chrX", first, last).upper()
        return "N" * (first - start) + inside + "N" * (end - last)

    def one_hot(self, start: int, end: int, bases: str = "ACGT", unknown: float = 0.0) -> Array:
        letters = np.array(list(self.letters(start, end)))
        channels = np.array([letters == base for base in bases], np.float32)
        channels[:, ~channels.any(axis=0)] = unknown
        return channels.T

    def signal(self, start: int, end: int) -> Array:
        first, last = max(start, 0), min(end, CONTIG_SIZE)
        values = np.zeros(end - start, np.float32)
        with pyBigWig.open(str(self.bigwig)) as bigwig:
            found = bigwig.values("chrX", first, last, numpy=True)
        values[first - start : last - start] = np.nan_to_num(found)
        return values


def motif_scores(codes: npt.NDArray[np.uint8], odds: npt.NDArray[np.float32]) -> Array:
    """Add up a motif's log-odds in the order of the bases, shape (2, places): both strands.

    An unknown base makes minus infinity.
    """
    places = max(len(codes) - len(odds) + 1, 0)
    strands = np.zeros((2, places), np.float32)
    for row, strand in zip(strands, (odds, odds[::-1, ::-1]), strict=True):
        table = np.column_stack([strand, np.full(len(strand), -np.inf, np.float32)])
        for shift, scores in enumerate(table):
            row += scores[codes[shift : shift + places]]
    return strands


def scores_of(model: Model, sources: Sources, starts: Starts, threads: int = 2) -> Array:
    geometry = model.contract.geometry
    text = "".join(f"chrX\t{start}\t{start + geometry.size}\n" for start in starts)
    batches = map(
        BinCheck(geometry, sources, "bins.bed"),
        IntervalReader(io.BytesIO(text.encode()), "bins.bed"),
    )
    stretches = Stretches(geometry, model.contract.inputs, sources)
    parts = [scores for _, scores in score(batches, model, stretches, threads)]
    return np.concatenate(parts)


def window_starts(starts: Starts, geometry: Geometry) -> tuple[Starts, Starts]:
    """Tell for each bin where its window begins, and which of the window's bins it is."""
    index, phase = np.divmod(starts, geometry.stride)
    windows, place = np.divmod(index, geometry.outputs)
    return phase + windows * geometry.outputs * geometry.stride - geometry.flank, place
