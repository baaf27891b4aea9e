"""Motifs of the JASPAR database, as the package pyjaspar brings it."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from tfbind.errors import InputError
from tfbind.motifs import LETTERS, Motif


def jaspar_motifs(names: Sequence[str]) -> tuple[list[Motif], str]:
    """Find motifs by accession, such as MA0139.2, or by the transcription factor's name.

    Parameters
    ----------
    names : sequence of str
        An accession without its version is the latest. A name is looked for among the latest
        versions of vertebrates in the collection CORE, as other species and collections have other
        motifs of the same name.

    Returns
    -------
    motifs : list of Motif
        In the order of the names, each once.
    release : str
        Of the database.

    Raises
    ------
    InputError
        If pyjaspar is not installed, or the database has no such motif, or several of one name.
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
        motif = _found(database, name)
        found[motif.matrix_id] = _motif(motif)
    return list(found.values()), str(database.release)


def _found(database: Any, name: str) -> Any:
    """Find the only motif of an accession or a name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is unknown is told below
        one = database.fetch_motif_by_id(name)
        if one is not None:
            return one
        some = database.fetch_motifs(collection="CORE", tax_group=["vertebrates"], tf_name=name)
    if not some:
        raise InputError(
            f"{database.release} has no motif {name!r} of vertebrates, expected an accession as "
            "MA0139.2, or a name as CTCF"
        )
    if len(some) > 1:
        known = ", ".join(f"{motif.matrix_id} ({len(motif)} bp)" for motif in some)
        raise InputError(
            f"{database.release} has {len(some)} motifs named {name!r}: {known}; give the "
            "accessions of those that are wanted"
        )
    return some[0]


def _motif(found: Any) -> Motif:
    counts = np.array([found.counts[letter] for letter in LETTERS], np.float64).T
    return Motif(found.matrix_id, found.name, counts / counts.sum(axis=1, keepdims=True))
