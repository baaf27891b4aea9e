"""Motifs as MEME's text, which the programs of the MEME Suite read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfbind.motifs import LETTERS, UNIFORM, Frequencies

USUAL_SITES = 20
"""What MEME's programs take a motif to be made from where it is not said."""


@dataclass(frozen=True)
class Counted:
    """A motif with the number of sites that it was made from.

    Attributes
    ----------
    name : str
        Without spaces; different from all others of a file.
    alternative : str
        Another name, without spaces; may be empty.
    frequencies : ndarray, shape (width, 4), float64
        Shares of A, C, G and T.
    sites : int
    """

    name: str
    alternative: str
    frequencies: Frequencies
    sites: int = USUAL_SITES


def meme_text(motifs: Iterable[Counted], background: Sequence[float] = UNIFORM) -> str:
    """Write motifs in MEME's minimal format, version 4.

    Parameters
    ----------
    motifs : iterable of Counted
    background : sequence of 4 floats
        Shares of A, C, G and T.
    """
    shares = " ".join(
        f"{letter} {share:.6f}" for letter, share in zip(LETTERS, background, strict=True)
    )
    head = (
        f"MEME version 4\n\nALPHABET= {LETTERS}\n\nstrands: + -\n\n"
        f"Background letter frequencies\n{shares}\n"
    )
    return head + "".join(map(_motif, motifs))


def _motif(motif: Counted) -> str:
    rows = "".join(
        " ".join(f"{value:.6f}" for value in row) + "\n" for row in motif.frequencies.tolist()
    )
    return (
        f"\nMOTIF {motif.name} {motif.alternative}".rstrip()
        + f"\nletter-probability matrix: alength= 4 w= {len(motif.frequencies)} "
        f"nsites= {motif.sites} E= 0\n{rows}"
    )
