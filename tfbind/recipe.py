"""What a worker in another process, perhaps on another machine, must know to score bins."""

import functools
import os
import socket
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa

import tfbind
from tfbind.channels import Sources
from tfbind.contract import Contract
from tfbind.errors import InputError
from tfbind.genome import ContigNames, Genome
from tfbind.intervals import Intervals
from tfbind.journal import fingerprint
from tfbind.model import Model, Scores
from tfbind.scoring import score
from tfbind.signal import Signal
from tfbind.tiles import Stretches

THREADS_ON_CUDA = 4
"""Chunks at a time that keep a GPU busy while others are read."""

FASTEST = 1
"""Level of zlib; bins on a grid shrink to next to nothing on any."""

CODE, STEP = np.dtype(np.int32), np.dtype(np.int64)

OPENED = 2
"""Models with their files that a worker keeps open."""


@dataclass(frozen=True)
class Recipe:
    """All that a worker must know to score bins; it travels with each task.

    Attributes
    ----------
    model : str
        Path; like all paths, absolute.
    sha256 : str
        Of the model.
    fasta : str
    signals : tuple of (name, path)
    cell : str
        The cell type.
    files : tuple of (name, path)
        Of other inputs.
    fingerprints : tuple of str
        Of the FASTA, of each signal and of each other file.
    alias : tuple of (name, name)
    prefix : 'add', 'strip' or None
        As `genome.ContigNames` takes them.
    chunk : int
        Bins in a chunk.
    device : str
        As `runtime.Runtime` takes it.
    windows, tf32, raw : bool
        As `Model` takes them.
    contract : str or None
        JSON text, for a model without a contract of its own.
    columns : tuple of int or None
        Of the model's tasks only these.
    versions : tuple of (name, version)
        Of what decides the scores.
    """

    model: str
    sha256: str
    fasta: str
    signals: tuple[tuple[str, str], ...]
    cell: str
    files: tuple[tuple[str, str], ...]
    fingerprints: tuple[str, ...]
    alias: tuple[tuple[str, str], ...]
    prefix: Literal["add", "strip"] | None
    chunk: int
    device: str
    windows: bool
    tf32: bool
    raw: bool
    contract: str | None
    columns: tuple[int, ...] | None
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls,
        model: Model,
        sources: Sources,
        *,
        device: str = "auto",
        windows: bool = False,
        tf32: bool = False,
        contract: Contract | None = None,
        columns: Sequence[int] | None = None,
    ) -> "Recipe":
        """Write down what was opened here.

        Parameters
        ----------
        model : Model
        sources : Sources
        device : str
            Where the workers compute. `auto` is what this process found, so that all are of a
            kind.
        windows, tf32, contract
            As `Model` was given them.
        columns : sequence of int, optional
            As `scoring.score` takes them.
        """
        if device == "auto":
            device = model.provider.lower()
        signals = tuple((name, _absolute(one.path)) for name, one in sources.signals.items())
        files = tuple((name, _absolute(path)) for name, path in sources.files.items())
        fasta = _absolute(sources.genome.path)
        names = sources.names((), fasta)
        return cls(
            _absolute(model.path),
            model.sha256,
            fasta,
            signals,
            sources.cell,
            files,
            tuple(fingerprint(path) for path in (fasta, *(path for _, path in signals + files))),
            tuple(names.alias.items()),
            names.prefix,
            model.chunk,
            device,
            windows,
            tf32,
            model.raw,
            None if contract is None else contract.to_json(),
            None if columns is None else tuple(columns),
            tuple(versions().items()),
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """The FASTA, the signals and the other files."""
        return self.fasta, *(path for _, path in self.signals + self.files)

    def open(self) -> tuple[Model, Stretches]:
        """Open the model and the files that its inputs are made from, as a worker does.

        Raises
        ------
        InputError
            If a file is not the one of whoever asks, or cannot be used.
        """
        model = self._open_model()
        if model.sha256 != self.sha256:
            raise InputError(
                f"found the sha256 {model.sha256[:12]}, expected {self.sha256[:12]}",
                path=self.model,
            )
        names = functools.partial(ContigNames, alias=dict(self.alias), prefix=self.prefix)
        signals = {name: Signal(path) for name, path in self.signals}
        for path, expected in zip(self.paths, self.fingerprints, strict=True):
            if (found := fingerprint(path)) != expected:
                raise InputError(f"found {found}, expected {expected}", path=path)
        sources = Sources(Genome(self.fasta), signals, names, self.cell, dict(self.files))
        return model, Stretches(model.contract.geometry, model.contract.inputs, sources)

    def _open_model(self) -> Model:
        told = self.contract and Contract.from_json(self.contract, self.model)
        return Model(
            self.model,
            chunk=self.chunk,
            device=self.device,
            windows=self.windows,
            tf32=self.tf32,
            raw=self.raw,
            contract=told or None,
        )


def versions() -> dict[str, str]:
    """Name the versions that decide the bytes of a score."""
    return {
        "tfbind": tfbind.__version__,
        "numpy": np.__version__,  # for its logarithm of signals
        "onnxruntime": onnxruntime.__version__,
    }


def _absolute(path: str) -> str:
    return os.path.abspath(path)


_opening = threading.Lock()


def packed(
    codes: npt.NDArray[np.int32], starts: npt.NDArray[np.int64], minus: npt.NDArray[np.bool_]
) -> bytes:
    """Write bins small: a scheduler remembers its last thousand messages to each worker."""
    codes = codes << 1 | minus
    return zlib.compress(codes.tobytes() + np.diff(starts, prepend=0).tobytes(), FASTEST)


def _unpacked(
    text: bytes,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    columns = zlib.decompress(text)
    count = len(columns) // (CODE.itemsize + STEP.itemsize)
    codes = np.frombuffer(columns, CODE, count)
    starts = np.cumsum(np.frombuffer(columns, STEP, count, codes.nbytes))
    return codes >> 1, starts, (codes & 1).astype(np.bool_)


def score_task(recipe: Recipe, contigs: tuple[str, ...], bins: bytes) -> Scores:
    """Score bins on a worker.

    Parameters
    ----------
    recipe : Recipe
    contigs : tuple of str
        The genome's names, which the codes of the bins index.
    bins : bytes
        n bins, as `packed` wrote them.

    Returns
    -------
    ndarray, shape (n, tasks or columns), float32

    Raises
    ------
    InputError
        If this worker has other versions or other files; it names the worker's host.
    """
    model, stretches = _ready(recipe)
    codes, starts, minus = _unpacked(bins)
    no_text = pa.array([], pa.binary())
    batch = Intervals(contigs, codes, starts, starts, (), no_text, starts, minus)
    # Tasks run in parallel; threads inside a task would only wait for each other.
    threads = 1 if model.provider == "CPU" else THREADS_ON_CUDA * model.devices
    batches = [(batch, list(contigs))]
    scored = score(batches, model, stretches, threads, columns=recipe.columns)
    return np.concatenate([scores for _, scores in scored])


def _ready(recipe: Recipe) -> tuple[Model, Stretches]:
    """Give what the recipe names, opened once a process and again if a file is another now."""
    host = socket.gethostname()
    here, there = versions(), dict(recipe.versions)
    if here != there:
        raise InputError(
            f"the cluster's worker on {host} has {spelt(here)}, but this tfbind {spelt(there)}: "
            "install the same versions on both sides"
        )
    try:
        with _opening:
            return _opened(recipe, tuple(_stamp(path) for path in (recipe.model, *recipe.paths)))
    except InputError as error:
        raise InputError(
            f"{error.message} (on {host}, a worker of the cluster: all workers must see the same "
            "files under the same paths)",
            path=error.path,
        ) from error


@functools.lru_cache(OPENED)
def _opened(recipe: Recipe, stamps: tuple[tuple[int, ...], ...]) -> tuple[Model, Stretches]:
    return recipe.open()


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    return found.st_ino, found.st_size, found.st_mtime_ns


def spelt(found: Mapping[str, str]) -> str:
    """Write versions into a sentence."""
    *others, last = (f"{name} {version}" for name, version in found.items())
    return f"{', '.join(others)} and {last}"
