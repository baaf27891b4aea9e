"""An ONNX model and its contract: from raw values under a chunk of bins to their scores.

Every call of the runtime has one shape and every chunk its place on the contig, so a bin's score
depends on its coordinate and the chunk length alone: neither on the other bins of the input nor on
the threads.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfbind.calibration import calibrated
from tfbind.channels import channel
from tfbind.channels.base import Array
from tfbind.contract import METADATA_KEY, Contract, Geometry
from tfbind.errors import InputError
from tfbind.foreign import Foreign, contract_of, graph_text
from tfbind.runtime import DeviceMemoryError, Runtime
from tfbind.tensors import (
    Feeds,
    Scores,
    Slot,
    fit,
    in_batches,
    scanned,
    stacked,
    stretch,
    to_scores,
    windowed,
)

CHUNK = 256
"""Bins in a chunk: so many that flanks cost little, so few that a processor's cache holds them."""

CHUNK_OF_WINDOWS = 32
"""Windows in a chunk for a network that takes these: nothing is shared, so a few are enough."""

BASES_OF_WINDOWS = 32 * 1024
"""Bases under the windows of such a chunk, of which a window may have more."""

ON_CUDA = 16
"""How many times longer chunks are on a GPU, which has more to keep busy."""

__all__ = ["CHUNK", "Model", "Scores"]


class Model:
    """An ONNX model with a contract, ready to score chunks.

    Parameters
    ----------
    path : str or Path
    chunk : int, optional
        Bins in a chunk; default: 256 where the network scans, or those of 32 windows, of fewer if
        these hold more than 32 kb or 256 bins; on a GPU 16 times as many. Made longer until it
        holds whole windows, and whole calls of a graph that has their size fixed.
    device : str
        As `runtime.Runtime` takes it.
    windows : bool
        Give the network one window a bin, though it could scan: slower, for comparison.
    tf32 : bool
        As `runtime.Runtime` takes it.
    contract : Contract or Foreign, optional
        Of a file that has none, or what is known of such a file.
    elsewhere : bool
        Others will compute it, perhaps on a GPU that is not here.
    raw : bool
        Leave out the calibration that the contract may hold.

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
        If the file is no ONNX model, or has no contract where none is described or one where it
        is, or the device cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        chunk: int | None = None,
        device: str = "auto",
        windows: bool = False,
        tf32: bool = False,
        contract: Contract | Foreign | None = None,
        elsewhere: bool = False,
        raw: bool = False,
    ) -> None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from error
        self.path = str(path)
        if content.startswith(b"PK"):
            raise InputError(
                "is no ONNX file, but seems to be a Keras network: tfbind export makes one of it",
                path=path,
            )
        self.sha256 = hashlib.sha256(content).hexdigest()
        away = elsewhere and device.startswith("cuda")
        self._runtime = Runtime(content, "cpu" if away else device, self.path, tf32=tf32)
        self.provider = "CUDA" if away else self._runtime.provider
        self.tf32 = tf32 and self.provider == "CUDA"
        self.contract = self._contract(contract)
        self.raw = raw
        if raw:
            self.contract = replace(self.contract, calibration={})
        self.scans = self.contract.scans and not windows
        self._refuse_other_graph()
        self._slots = self._fit()
        self._batch = max((slot.batch or 0 for slot in self._slots), default=0) or None
        self._unit = self.contract.geometry.outputs * (self._batch or 1)
        wanted = chunk or _usual_chunk(self.scans, self.provider, self.contract.geometry)
        self.chunk = -(-wanted // self._unit) * self._unit
        self.calls = 1
        self._output = self.contract.output or self._runtime.outputs[0].name
        self._channels = {spec.name: channel(spec) for spec in self.contract.fed}

    def _contract(self, given: Contract | Foreign | None) -> Contract:
        """Read the file's contract, or take the given one, or make one of what is known."""
        text = self._runtime.metadata.get(METADATA_KEY)
        graph = graph_text(self._runtime)
        if given is not None and text is not None:
            raise InputError(
                "holds a contract of tfbind, so that --input, --window, --stride, --step and the "
                "like have nothing to say: leave them out",
                path=self.path,
            )
        if isinstance(given, Contract):
            return given
        if given is None and text is None:
            raise InputError(
                f"holds no contract of tfbind; {graph}: describe it by --input, --window, and "
                "--stride or --step",
                path=self.path,
            )
        if given is None:
            return Contract.from_json(text, self.path)
        try:
            return contract_of(given, self._runtime)
        except InputError as error:
            raise InputError(f"{error.message}; {graph}", path=self.path) from error

    def _refuse_other_graph(self) -> None:
        """Refuse a graph that its contract does not describe."""
        found = [one.name for one in self._runtime.inputs]
        if found != [spec.name for spec in self.contract.graph or self.contract.fed]:
            raise InputError(
                f"has the inputs {', '.join(found)}, which its contract does not describe; "
                "export it again",
                path=self.path,
            )
        if self.contract.graph:
            return
        (outputs,) = (one.shape[-1] for one in self._runtime.outputs)
        if outputs != len(self.contract.tasks):
            raise InputError(
                f"gives {outputs} scores a bin, but its contract names "
                f"{len(self.contract.tasks)} task(s); export it again",
                path=self.path,
            )

    def _fit(self) -> list[Slot]:
        """Fit the contract's tensors to the graph; a graph that was made here has none."""
        values = {value.name: value for value in self._runtime.inputs}
        try:
            return [fit(one, values[one.name], self.contract) for one in self.contract.graph]
        except InputError as error:
            raise InputError(error.message, path=self.path) from error

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
        raw : mapping of str to ndarray, shape (bases,) or (values,)
            Raw values under all windows of the chunks, and of the cell type.
        chunks : int

        Returns
        -------
        ndarray, shape (chunks * chunk length, tasks), float32
            Probabilities of the tasks that the contract holds a calibration of.

        Raises
        ------
        InputError
            If a GPU's memory does not hold the smallest call that the chunk can be parted into.
        """
        prepared = {name: self._channels[name].prepare(raw[name]) for name in self._channels}
        firsts = range(0, chunks * self.span, self.span)
        scores = np.concatenate([self._scores_of_chunk(prepared, first) for first in firsts])
        for column, task in enumerate(self.contract.tasks):
            if task in self.contract.calibration:
                calibration = self.contract.calibration[task]
                scores[:, column] = calibrated(scores[:, column], calibration)
        return scores

    def warm_up(self) -> None:
        """Score a chunk of blank genome, so that the runtime claims the memory of one call."""
        bases = self.contract.geometry.length(self.chunk)
        blank = {spec.name: self._channels[spec.name].blanks(bases) for spec in self.contract.fed}
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
                if (self.chunk // calls) % (2 * self._unit):
                    where = "GPU" if self.provider == "CUDA" else "machine"
                    raise InputError(
                        f"does not fit into the memory of the {where} with {self.chunk // calls} "
                        "bins a call; give a --chunk that is a smaller power of 2",
                        path=self.path,
                    ) from error
                self.calls = max(self.calls, 2 * calls)  # another thread may have done so already

    def _call(self, prepared: Mapping[str, Array], first: int, bins: int) -> Scores:
        length = self.contract.geometry.length(bins)
        feeds = self._feeds(stretch(prepared, self.contract, first, length))
        parts = [
            to_scores(self._runtime.run(each, self._output), self.contract)
            for each in in_batches(feeds, self._batch)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _feeds(self, bases: Mapping[str, Array]) -> Feeds:
        if self._slots:
            return stacked(bases, self._slots, self.contract)
        return scanned(bases) if self.scans else windowed(bases, self.contract)


def _usual_chunk(scans: bool, provider: str, geometry: Geometry) -> int:
    most = (CHUNK_OF_WINDOWS, BASES_OF_WINDOWS // geometry.window, CHUNK // geometry.outputs)
    bins = CHUNK if scans else max(min(most), 1) * geometry.outputs
    return bins * (ON_CUDA if provider == "CUDA" else 1)
