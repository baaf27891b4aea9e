"""Scores that are kept until their files are complete: `score --resume`."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tfbind.errors import InputError

from .outputs import Layout, Target, tasks_of
from .progress import say

if TYPE_CHECKING:
    from tfbind.channels import Sources
    from tfbind.journal import Journal
    from tfbind.model import Model

DRAINED = 1 << 20
LONGEST_HEADER = 1 << 16


def journal_path(wanted: Sequence[Target]) -> Path:
    """Name the journal after the first of the files."""
    return Path(wanted[0].path + ".journal")


def is_finished(wanted: Sequence[Target]) -> bool:
    """Tell whether all files are there: each appears only when it is complete, and has bytes."""
    return all(os.path.isfile(one.path) and os.path.getsize(one.path) for one in wanted)


def refuse_other(wanted: Sequence[Target], layout: Layout) -> None:
    """Refuse a finished text that begins otherwise than this run's would; a bigWig cannot tell.

    Nor can a submission, which is never taken for this run's: it may be sent in.
    """
    if layout.format == "dream":
        raise InputError(
            "exists, and a submission cannot tell which model made it; --force replaces it",
            path=wanted[0].path,
        )
    for target in wanted if layout.header and layout.format != "bigwig" else ():
        with open(target.path, "rb") as file:
            found = file.readline(LONGEST_HEADER)
        expected = layout.first_line(target)
        if found != expected:
            differing = set(found.split()) ^ set(expected.split())
            shown = ", ".join(sorted(field.decode("utf-8", "replace") for field in differing))[:300]
            raise InputError(
                f"exists and is of another run (they differ in {shown}); --force replaces it",
                path=target.path,
            )


def leave_finished(stream: BinaryIO) -> None:
    """Let the writer of a pipe finish without error."""
    while stream.read(DRAINED):
        pass


def open_journal(wanted: Sequence[Target], about: dict[str, str], quiet: bool) -> "Journal":
    """Open the journal, and tell how much it holds."""
    from tfbind.journal import Journal

    journal = Journal(journal_path(wanted), about, len(tasks_of(wanted)))
    if journal.bins:
        say(f"{journal.bins:,} bins were scored before: going on from there", quiet=quiet)
    return journal


def about_scores(
    model: "Model", sources: "Sources", tasks: Sequence[str], missing: str
) -> dict[str, str]:
    """Say all that scores depend on but for the bins."""
    import numpy as np
    import onnxruntime

    import tfbind
    from tfbind.journal import content_hash

    names = sources.names(tuple(sources.genome.sizes), sources.genome.path)
    return {
        "tfbind": tfbind.__version__,
        "ONNX Runtime": onnxruntime.__version__,
        "NumPy": np.__version__,
        "the model": f"sha256 {model.sha256}",
        "its contract": f"sha256 {sha256(model.contract.to_json().encode()).hexdigest()}",
        "its device": model.provider + (" with TF32" if model.tf32 else ""),
        "the way": "a scan" if model.scans else "windows",
        "--chunk": str(model.chunk),
        "the tasks": ",".join(tasks),
        "the genome": content_hash(sources.genome.path),
        **{f"the signal {name}": content_hash(one.path) for name, one in sources.signals.items()},
        **({"the cell type": sources.cell} if model.contract.wants_cell else {}),
        **{f"the file of {name}": content_hash(path) for name, path in sources.files.items()},
        "--missing": missing,
        "--alias": str(sorted(names.alias.items())),
        "--chr-prefix": str(names.prefix),
    }
