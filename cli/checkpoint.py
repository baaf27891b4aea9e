"""What `tfbind train` leaves for `--resume`, and what ties it to its options and tiles."""

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from tfbind.errors import InputError

from .config import FLAGS, Told
from .pictures import check_picture
from .progress import say
from .samples import TOLD_AS_TILES
from .streams import refuse_existing, refuse_no_folder, replacing, writing

if TYPE_CHECKING:
    from tfbind.tilefiles import TileFile

WITHOUT_EFFECT = ("output", "force", "quiet", "resume", "plot", "debug")
TOLD_APART = ("tiles", "config", "arch", "inputs", *FLAGS, *TOLD_AS_TILES)
"""Parameters that are told as what became of them."""


@dataclass(frozen=True)
class Outputs:
    """What training writes.

    Attributes
    ----------
    network, history : str
    picture : str or None
    checkpoint : Path
    resume, replaces : bool
        Go on from the checkpoint; write over files that are there.
    may_be_complete : bool
        The network is there, and no run that was stopped left a checkpoint beside it.
    """

    network: str
    history: str
    picture: str | None
    checkpoint: Path
    resume: bool
    replaces: bool
    may_be_complete: bool

    def writing_network(self) -> AbstractContextManager[Path]:
        """Give a path that becomes the network when it is whole; from now on all is new."""
        if not self.resume:
            self.checkpoint.unlink(missing_ok=True)
        return replacing(self.network, force=self.replaces, part=_part(self.network))

    def writing_history(self) -> AbstractContextManager[BinaryIO]:
        """Open what becomes the history."""
        return writing(self.history, force=self.replaces, part=_part(self.history))

    @contextmanager
    def writing_picture(self) -> Iterator[Path | None]:
        """Give a path that becomes the picture, or nothing if none is wanted."""
        if self.picture is None:
            yield None
            return
        with replacing(self.picture, force=True, part=_part(self.picture)) as part:
            yield part


def claimed(output: str, plot: str | None, *, resume: bool, force: bool) -> Outputs:
    """Refuse what cannot be written, before any work is done for it.

    What a run that was stopped has left is overwritten only if a user says so.
    """
    if Path(output).suffix != ".keras":
        raise typer.BadParameter(f"found -o {output}, expected a name that ends in .keras")
    record, kept = str(Path(output).with_suffix(".history.csv")), Path(f"{output}.checkpoint")
    stopped = kept.exists()
    if stopped and not (resume or force):
        raise InputError(
            f"holds the state of a run that was stopped; give --resume to go on to {output}, or "
            "--force to start afresh",
            path=kept,
        )
    replaces = force or stopped
    complete = resume and not replaces and os.path.isfile(output)
    if not complete:
        for path in (output, record):
            refuse_existing(path, force=replaces)
    if plot is not None:
        check_picture("--plot", plot, force=replaces or complete)
    for path in filter(None, (output, plot)):
        refuse_no_folder(path)
    return Outputs(output, record, plot, kept, resume, replaces, complete)


def _part(output: str) -> str:
    """Name what becomes an output: hidden beside it, where a run after a kill replaces it."""
    target = Path(os.path.realpath(output))
    return str(target.with_name(f".{target.stem}.part{target.suffix}"))


def about_run(
    context: typer.Context,
    told: Told,
    network: Mapping[str, Any],
    files: "Sequence[TileFile]",
    threads: int,
) -> dict[str, str]:
    """Say all that a network depends on, each by a name that a user knows."""
    from importlib.metadata import version

    import keras

    import tfbind
    from tfbind.journal import fingerprint

    backend = keras.backend.backend()
    skipped = (*WITHOUT_EFFECT, *TOLD_APART)
    options = {name: value for name, value in context.params.items() if name not in skipped}
    options["threads"] = threads
    settings = {flag: getattr(told.settings, field) for flag, field in FLAGS.items()}
    settings["one_strand"] = not settings["one_strand"]
    return {
        "tfbind": tfbind.__version__,
        "Keras": keras.__version__,
        backend: version(backend),
        "--arch": told.arch,
        **{f"the network's {name}": str(value) for name, value in network.items()},
        "--inputs": str(told.inputs),
        **{_option(name): str(value) for name, value in {**settings, **options}.items()},
        "the count of tile files": str(len(files)),
        **{f"tile file {number}": fingerprint(file.path) for number, file in enumerate(files, 1)},
        **{f"the file {path}": fingerprint(path) for path in _files_among(options.values())},
    }


def _files_among(values: Iterable[Any]) -> list[str]:
    """Find the files that options name, as FILE or NAME=FILE."""
    texts = [one for value in values for one in (value if isinstance(value, list) else [value])]
    paths = [part for one in texts if isinstance(one, str) for part in (one, one.partition("=")[2])]
    return [path for path in dict.fromkeys(paths) if Path(path).is_file()]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def digest(about: Mapping[str, str]) -> str:
    """Give a short text that tells runs apart."""
    return sha256(repr(sorted(about.items())).encode()).hexdigest()[:16]


def leave_complete(output: str, about: Mapping[str, str], *, quiet: bool) -> int:
    """Say that a network is done already, or refuse one that is of another run.

    Gives the epoch that was kept.
    """
    from tfbind.contract import IN_KERAS, Contract

    try:
        with zipfile.ZipFile(output) as archive:
            contract = Contract.from_json(archive.read(IN_KERAS), output)
        training = contract.training
    except (OSError, KeyError, zipfile.BadZipFile):
        training = {}
    if training.get("run") != digest(about):
        raise InputError(
            "exists and is of a run with other options, tiles or versions, or of one that was "
            "stopped; --force replaces it",
            path=output,
        )
    say(f"{output} is complete: nothing to do", quiet=quiet)
    return int(training["epoch"])
