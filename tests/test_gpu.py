"""Scores on a GPU are those of the processor, where there is one."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import Trained

from tfbind.channels import Sources
from tfbind.errors import InputError
from tfbind.genome import Genome
from tfbind.intervals import IntervalReader
from tfbind.model import Model
from tfbind.scoring import score
from tfbind.signal import Signal
from tfbind.tiles import BinCheck, Stretches

STARTS = np.arange(48_000_000, 49_000_000, 50)


@pytest.fixture(scope="module", params=["cuda:0", "cuda:0,cuda:0"])
def on_gpu(request: pytest.FixtureRequest, trained: Trained) -> Model:
    try:
        return Model(trained.onnx, device=request.param)
    except InputError as error:
        pytest.skip(f"needs an NVIDIA GPU and CUDA's libraries: {error}")


def scores_of(model: Model, data: Path) -> npt.NDArray[np.float32]:
    dnase = {"dnase": Signal(data / "K562.dnase.bw")}
    sources = Sources(Genome(data / "hg19.chrX_cut.fa.gz"), dnase)
    geometry = model.contract.geometry
    text = "".join(f"chrX\t{start}\t{start + 200}\n" for start in STARTS)
    reader = IntervalReader(io.BytesIO(text.encode()), "bins.bed")
    batches = map(BinCheck(geometry, sources, "bins.bed"), reader)
    stretches = Stretches(geometry, model.contract.inputs, sources)
    return np.concatenate([scores for _, scores in score(batches, model, stretches, 4)])


def test_the_gpu_agrees_with_the_processor(on_gpu: Model, trained: Trained, data: Path) -> None:
    expected = scores_of(Model(trained.onnx, device="cpu"), data)
    np.testing.assert_allclose(scores_of(on_gpu, data), expected, atol=1e-3)


def test_a_call_too_large_for_the_gpu_is_halved(
    on_gpu: Model, trained: Trained, data: Path
) -> None:
    large = Model(trained.onnx, device="cuda:0", chunk=1 << 24)
    expected = scores_of(on_gpu, data)
    np.testing.assert_allclose(scores_of(large, data), expected, atol=1e-3)
    assert large.calls > 1
