"""Motifs of the JASPAR database, as the package pyjaspar brings it."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from tfbind.errors import InputError
from tfbind.motifs import LETTERS, Motif


def jaspar_motifs(names: Sequence[str]) -> list[Motif]:
    """Find motifs by accession, such as MA0139.2, or all of a transcription factor by its name.

    Parameters
    ----------
    names : sequence of str
        An accession without its version is the latest.

    Returns
    -------
    list of Motif
        In the order of the names, each once.

    Raises
    ------
    InputError
        If pyjaspar is not installed, or the database has no such motif.
    """
    if find_spec("pyjaspar") is None:
        raise InputError(
            f"jaspar:{','.join(names)} needs JASPAR's motifs: give their file in MEME or JASPAR "
            "format by --motifs FILE or TFBIND_MOTIFS, or pip install 'tfbind[jaspar]'"
        )
    import pyjaspar

    database = pyjaspar.jaspardb()
    found: dict[str, Motif] = {}
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown accession is told below
            one = database.fetch_motif_by_id(name)
            some = [one] if one is not None else database.fetch_motifs_by_name(name)
        if not some:
            raise InputError(f"{database.release} has no motif {name!r}, expected one as MA0139.2")
        found |= {motif.matrix_id: _motif(motif) for motif in some}
    return list(found.values())


def _motif(found: Any) -> Motif:
    counts = np.array([found.counts[letter] for letter in LETTERS], np.float64).T
    return Motif(found.matrix_id, found.name, counts / counts.sum(axis=1, keepdims=True))
