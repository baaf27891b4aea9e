"""An ONNX model and its contract: from raw values under a chunk of bins to their scores.

Every call of the runtime has one shape and every chunk its place on the contig, so a bin's score
depends on its coordinate and the chunk length alone: neither on the other bins of the input nor on
the threads.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import METADATA_KEY, Contract
from tfbind.errors import InputError
from tfbind.runtime import DeviceMemoryError, Runtime

CHUNK = 256
"""Bins in a chunk: so many that flanks cost little, so few that a processor's cache holds them."""

CHUNK_OF_WINDOWS = 32
"""Bins in a chunk for a network that takes windows: nothing is shared, so a few are enough."""

ON_CUDA = 16
"""How many times longer chunks are on a GPU, which has more to keep busy."""

Scores = npt.NDArray[np.float32]


class Model:
    """An ONNX model with a contract, ready to score chunks.

    Parameters
    ----------
    path : str or Path
    chunk : int, optional
        Bins in a chunk; default: 256 where the network scans, 32 for windows; on a GPU 16 times
        as many.
    device : str
        As `runtime.Runtime` takes it.
    windows : bool
        Give the network one window a bin, though it could scan: slower, for comparison.
    tf32 : bool
        As `runtime.Runtime` takes it.

    Attributes
    ----------
    contract : Contract
    sha256 : str
        Of the file.
    provider : str
        What the runtime computes with.
    chunk : int
    scans : bool
    calls : int
        Calls of the runtime that compute a chunk: more than 1 where a GPU's memory wanted it.

    Raises
    ------
    InputError
        If the file is no ONNX model, or has no contract, or the device cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        chunk: int | None = None,
        device: str = "auto",
        windows: bool = False,
        tf32: bool = False,
    ) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from error
        self.path = str(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._runtime = Runtime(content, device, self.path, tf32=tf32)
        self.provider = self._runtime.provider
        self.contract = Contract.from_json(self._runtime.metadata.get(METADATA_KEY), path)
        self.scans = self.contract.scans and not windows
        self.chunk = chunk or _usual_chunk(self.scans, self.provider)
        self.calls = 1
        self._refuse_other_graph()
        self._output = self._runtime.outputs[0].name
        self._channels = {spec.name: channel(spec) for spec in self.contract.inputs}

    def _refuse_other_graph(self) -> None:
        """Refuse a graph that its contract does not describe."""
        found = [one.name for one in self._runtime.inputs]
        if found != [spec.name for spec in self.contract.inputs]:
            raise InputError(
                f"has the inputs {', '.join(found)}, which its contract does not describe; "
                "export it again",
                path=self.path,
            )
        (outputs,) = (one.shape[-1] for one in self._runtime.outputs)
        if outputs != len(self.contract.tasks):
            raise InputError(
                f"gives {outputs} scores a bin, but its contract names "
                f"{len(self.contract.tasks)} task(s); export it again",
                path=self.path,
            )

    @property
    def devices(self) -> int:
        """How many devices compute."""
        return self._runtime.devices

    @property
    def span(self) -> int:
        """Base pairs from one chunk's start to the next."""
        return self.chunk * self.contract.geometry.stride

    def scores(self, raw: Mapping[str, Array], chunks: int) -> Scores:
        """Score neighbouring chunks.

        Parameters
        ----------
        raw : mapping of str to ndarray, shape (bases,)
            Raw values under all windows of the chunks.
        chunks : int

        Returns
        -------
        ndarray, shape (chunks * chunk length, tasks), float32

        Raises
        ------
        InputError
            If a GPU's memory does not hold the smallest call that the chunk can be parted into.
        """
        prepared = {name: self._channels[name].prepare(raw[name]) for name in self._channels}
        firsts = range(0, chunks * self.span, self.span)
        return np.concatenate([self._scores_of_chunk(prepared, first) for first in firsts])

    def warm_up(self) -> None:
        """Score a chunk of blank genome, so that the runtime claims the memory of one call."""
        bases = self.contract.geometry.length(self.chunk)
        blank = {name: np.full(bases, one.blank, one.dtype) for name, one in self._channels.items()}
        self.scores(blank, 1)

    def _scores_of_chunk(self, prepared: Mapping[str, Array], first: int) -> Scores:
        """Score one chunk, in calls of half the size from where memory does not suffice on."""
        while True:
            calls = self.calls
            span = self.span // calls
            try:
                return np.concatenate(
                    [
                        self._call(prepared, first + span * i, self.chunk // calls)
                        for i in range(calls)
                    ]
                )
            except DeviceMemoryError as error:
                if (self.chunk // calls) % 2:
                    raise InputError(
                        f"does not fit into the memory of the GPU with {self.chunk // calls} bins "
                        "a call; give a --chunk that is a smaller power of 2, or --device cpu",
                        path=self.path,
                    ) from error
                self.calls = max(self.calls, 2 * calls)  # another thread may have done so already

    def _call(self, prepared: Mapping[str, Array], first: int, bins: int) -> Scores:
        length = self.contract.geometry.length(bins)
        bases = {name: one[first : first + length] for name, one in prepared.items()}
        scores: Scores = self._runtime.run(self._shaped(bases), self._output)
        return scores.reshape(bins, -1)

    def _shaped(self, bases: Mapping[str, Array]) -> dict[str, Array]:
        if self.scans:
            return {name: one[None] for name, one in bases.items()}
        window, stride = self.contract.geometry.window, self.contract.geometry.stride
        return {
            name: np.ascontiguousarray(
                np.lib.stride_tricks.sliding_window_view(one, window)[::stride]
            )
            for name, one in bases.items()
        }


def _usual_chunk(scans: bool, provider: str) -> int:
    return (CHUNK if scans else CHUNK_OF_WINDOWS) * (ON_CUDA if provider == "CUDA" else 1)
