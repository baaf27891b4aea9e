"""Scores that are kept until their files are complete: `score --resume`."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .outputs import Target
from .progress import say

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.journal import Journal
    from tfbind.model import Model

DRAINED = 1 << 20


def journal_path(wanted: Sequence[Target]) -> Path:
    """Name the journal after the first of the files."""
    return Path(wanted[0].path + ".journal")


def is_finished(wanted: Sequence[Target]) -> bool:
    """Tell whether all files are there; each appears only when it is complete."""
    return all(os.path.exists(target.path) for target in wanted)


def leave_finished(wanted: Sequence[Target], stream: BinaryIO) -> None:
    """Remove a journal that a kill left, and let the writer of a pipe finish without error."""
    journal_path(wanted).unlink(missing_ok=True)
    while stream.read(DRAINED):
        pass


def open_journal(wanted: Sequence[Target], about: dict[str, str], quiet: bool) -> "Journal":
    """Open the journal, and tell how much it holds."""
    from tfbind.journal import Journal

    journal = Journal(journal_path(wanted), about, sum(len(one.tasks) for one in wanted))
    if journal.bins:
        say(f"{journal.bins:,} bins were scored before: going on from there", quiet=quiet)
    return journal


def about_scores(
    model: "Model", sources: "Sources", tasks: Sequence[str], missing: str
) -> dict[str, str]:
    """Say all that scores depend on but for the bins."""
    import onnxruntime

    import tfbind
    from tfbind.journal import fingerprint

    names = sources.names(tuple(sources.genome.sizes), sources.genome.path)
    return {
        "tfbind": tfbind.__version__,
        "ONNX Runtime": onnxruntime.__version__,
        "the model": f"sha256 {model.sha256}",
        "its contract": f"sha256 {sha256(model.contract.to_json().encode()).hexdigest()}",
        "its device": model.provider + (" with TF32" if model.tf32 else ""),
        "--chunk": str(model.chunk),
        "the way": "a scan" if model.scans else "windows",
        "the tasks": ",".join(tasks),
        "the genome": fingerprint(sources.genome.path),
        **{f"the signal {name}": fingerprint(one.path) for name, one in sources.signals.items()},
        "--missing": missing,
        "--alias": str(sorted(names.alias.items())),
        "--chr-prefix": str(names.prefix),
    }
