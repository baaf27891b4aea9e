"""Motifs of transcription factors: files of them, and their scores."""

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tfbind.errors import InputError, three
from tfbind.genome import first_bytes
from tfbind.text import text_blocks

Frequencies = npt.NDArray[np.float64]

LETTERS = "ACGT"
UNIFORM = (0.25, 0.25, 0.25, 0.25)
PSEUDOCOUNT = 0.01
LEAST_PSEUDOCOUNT = 1e-6
"""Below it log-odds are so low that the steps in which p-values count them fill the memory."""

TOLERANCE = 0.02
"""How far from 1 the sum of a row may be: files round to as few as two digits."""

NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")

LARGEST = 1 << 28
"""Bytes of text that no file of motifs has; a genome given by mistake would fill the memory."""


@dataclass(frozen=True, eq=False)
class Motif:
    """A motif as log-odds against a background.

    A position's frequencies f become log2((f + s b) / ((1 + s) b)), with b the background and s the
    pseudocount: a share of the whole, not a count, so that the number of sites has no influence.

    Attributes
    ----------
    name : str
        Unique in its file, such as JASPAR's accession MA0139.2.
    alternative : str
        Another name, such as that of the transcription factor; may be empty.
    frequencies : ndarray, shape (width, 4), float64
        Shares of A, C, G and T at each position.
    background : tuple of 4 floats
        Shares of A, C, G and T that the motif is compared with.
    pseudocount : float
        At least `LEAST_PSEUDOCOUNT`.
    log_odds : ndarray, shape (width, 4), float32, bits
        In the order A C G T.
    """

    name: str
    alternative: str
    frequencies: Frequencies
    background: tuple[float, ...] = UNIFORM
    pseudocount: float = PSEUDOCOUNT
    log_odds: npt.NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        expected = np.array(self.background)
        smooth = (self.frequencies + self.pseudocount * expected) / (1 + self.pseudocount)
        object.__setattr__(self, "log_odds", np.log2(smooth / expected).astype(np.float32))

    def __len__(self) -> int:
        return len(self.frequencies)

    @property
    def title(self) -> str:
        """Both names as one word, such as MA0139.2_CTCF."""
        return f"{self.name}_{self.alternative}" if self.alternative else self.name

    def reverse_complement(self) -> npt.NDArray[np.float32]:
        """Give the log-odds, shape (width, 4), that score the other strand where it is read."""
        return self.log_odds[::-1, ::-1]


def read_motifs(
    path: str | Path,
    *,
    background: Sequence[float] | Literal["file"] = UNIFORM,
    pseudocount: float = PSEUDOCOUNT,
) -> list[Motif]:
    """Read the motifs of a file, plain or gzip.

    As `motifs_in`.
    """
    first_bytes(path, 0)
    with open(path, "rb") as stream:
        return motifs_in(stream, path, background=background, pseudocount=pseudocount)


def motifs_in(
    stream: BinaryIO,
    path: str | Path,
    *,
    background: Sequence[float] | Literal["file"] = UNIFORM,
    pseudocount: float = PSEUDOCOUNT,
) -> list[Motif]:
    """Read motifs: MEME's text (version 4 or 5) or JASPAR's counts, told apart by what is there.

    JASPAR's counts are four rows, A C G T, with letters and brackets or bare, under a line
    `>ACCESSION NAME`; a file of four bare rows alone is one motif, named as the file.

    Parameters
    ----------
    stream : binary file
        Plain or gzip.
    path : str or Path
        The name for messages.
    background : sequence of 4 floats, or 'file'
        Shares of A, C, G and T; or those that a MEME file states. They are made the same for both
        strands (A as T, C as G): each motif is looked for on both.
    pseudocount : float
        As in `Motif`.

    Raises
    ------
    InputError
        At the line that is no motif, or if there is none, or two have one name, or the file states
        no background and is asked for it.
    """
    lines = list(_lines(stream, path))
    meme = any(line.text.startswith("MEME version") for line in lines)
    parsed = (_meme if meme else _jaspar)(lines, path)
    if background == "file":
        background = _background(lines, path, meme=meme)
    a, c, g, t = background
    both = ((a + t) / 2, (c + g) / 2, (c + g) / 2, (a + t) / 2)
    known: dict[str, int] = {}
    motifs = []
    for one in parsed:
        if one.name in known:
            raise InputError(
                f"found motif {one.name!r} again, first on line {known[one.name]}; remove one",
                path=path,
                line=one.line,
            )
        known[one.name] = one.line
        motifs.append(Motif(one.name, one.alternative, one.frequencies, both, pseudocount))
    if not motifs:
        raise InputError("holds no motif, expected some in the format of MEME or JASPAR", path=path)
    return motifs


def choose(motifs: Sequence[Motif], names: Iterable[str], path: str | Path) -> list[Motif]:
    """Pick motifs: by name, or by name without its version, or else all of a transcription factor.

    Parameters
    ----------
    motifs : sequence of Motif
    names : iterable of str
        Capitals matter only where both ways pick something (JASPAR has MAX and Max).
    path : str or Path
        The file that they were read from, for the message.

    Returns
    -------
    list of Motif
        In the order of the names, each once.

    Raises
    ------
    InputError
        If a name picks none; it shows three near ones.
    """
    chosen: dict[str, Motif] = {}
    for name in names:
        asked = name.casefold()
        ways = (
            [one for one in motifs if one.name == name],
            [one for one in motifs if asked in (one.name.casefold(), one.title.casefold())],
            [one for one in motifs if one.name.casefold().rpartition(".")[0] == asked],
            [one for one in motifs if one.alternative == name],
            [one for one in motifs if one.alternative.casefold() == asked],
            # HOCOMOCO's names begin with the factor's: CTCF.H12CORE.0.P.B
            [one for one in motifs if one.name.casefold().partition(".")[0] == asked],
        )
        found = next((way for way in ways if way), [])
        if not found:
            raise InputError(f"holds no motif {name!r}; {_near(name, motifs)}", path=path)
        chosen |= {one.name: one for one in found}
    return list(chosen.values())


def _near(name: str, motifs: Sequence[Motif]) -> str:
    known = {text.casefold(): text for one in motifs for text in (one.name, one.alternative)}
    known.pop("", None)
    near = difflib.get_close_matches(name.casefold(), known, 3, 0.5)
    if near:
        return f"names near it: {three(known[text] for text in near)}"
    return f"the file names {three(one.title for one in motifs)}"


class _Line(NamedTuple):
    number: int
    text: str


class _Parsed(NamedTuple):
    line: int
    name: str
    alternative: str
    frequencies: Frequencies


def _lines(stream: BinaryIO, path: str | Path) -> Iterator[_Line]:
    """Give the lines that are not empty."""
    blocks, size = [], 0
    for block in text_blocks(stream, path):
        blocks.append(block)
        size += len(block)
        if size > LARGEST:
            raise InputError("holds more than 256 MB, expected motifs", path=path)
    text = b"".join(blocks).decode("utf-8", "replace").removeprefix("\ufeff")
    for number, line in enumerate(text.split("\n"), 1):
        if stripped := line.strip():
            yield _Line(number, stripped)


def _meme(lines: Sequence[_Line], path: str | Path) -> Iterator[_Parsed]:
    """Parse MEME's text, of which all but the names and the matrices of frequencies is skipped."""
    heads = [i for i, line in enumerate(lines) if re.match(r"MOTIF(\s|$)", line.text)]
    _refuse_other_alphabet(lines[: heads[0]] if heads else lines, path)
    for first, last in itertools.pairwise([*heads, len(lines)]):
        head, *body = lines[first:last]
        name, *rest = [*head.text.split()[1:], ""]
        if not name:
            raise InputError("found no name behind MOTIF", path=path, line=head.number)
        # MEME's own output goes on with the width.
        alternative = "" if rest[0] == "width" else rest[0]
        at = next(
            (i for i, line in enumerate(body) if line.text.startswith("letter-probability matrix")),
            None,
        )
        if at is None:
            raise InputError(
                f"motif {name!r} has no letter-probability matrix", path=path, line=head.number
            )
        frequencies = _meme_matrix(name, body[at], body[at + 1 :], path)
        yield _Parsed(head.number, name, alternative, frequencies)


def _meme_matrix(name: str, head: _Line, body: Sequence[_Line], path: str | Path) -> Frequencies:
    """Read the rows of a matrix: as many as its head says, or else all that are numbers."""
    letters = _number_after("alength", head.text)
    if letters not in (None, 4):
        raise InputError(
            f"found alength= {letters:g}, expected 4: motifs of DNA", path=path, line=head.number
        )
    end = next((i for i, line in enumerate(body) if not NUMBER.match(line.text)), len(body))
    rows = body[:end]
    width = _number_after("w", head.text)
    if not rows or (width is not None and len(rows) != width):
        expected = "at least 1" if width is None else f"{width:g} by line {head.number}"
        raise InputError(
            f"motif {name!r} ends after {len(rows)} row(s) of numbers, expected {expected}",
            path=path,
            line=(rows[-1] if rows else head).number,
        )
    values = np.array([_numbers(row, row.text.split(), path, 4) for row in rows])
    sums = values.sum(axis=1)
    for row, total in zip(rows, sums, strict=True):
        if abs(total - 1) > TOLERANCE:
            raise InputError(
                f"found frequencies that add up to {total:g}, expected 1",
                path=path,
                line=row.number,
            )
    return np.asarray(values / sums[:, None])


def _refuse_other_alphabet(lines: Sequence[_Line], path: str | Path) -> None:
    for line in lines:
        found = re.match(r"ALPHABET\b\s*=?\s*(.*)", line.text)
        if found and not re.match(r'ACGT$|"?DNA\b', found[1]):
            raise InputError(
                f"found alphabet {found[1]!r}, expected ACGT", path=path, line=line.number
            )


def _background(lines: Sequence[_Line], path: str | Path, *, meme: bool) -> tuple[float, ...]:
    """Read the background letter frequencies that MEME's text states."""
    for i, line in enumerate(lines):
        if not meme or not line.text.startswith("Background letter frequencies"):
            continue
        found: list[str] = []
        for row in lines[i + 1 :]:
            if len(found) >= 8 or not re.match(r"[ACGT]\s+[0-9.]", row.text):
                break
            found += row.text.split()
        if "".join(found[::2]) != LETTERS or len(found) != 8:
            raise InputError(
                "found no frequencies of A, C, G and T below this line", path=path, line=line.number
            )
        shares = _numbers(lines[i + 1], found[1::2], path, 4)
        if min(shares) <= 0 or abs(sum(shares) - 1) > TOLERANCE:
            raise InputError(
                f"found frequencies {shares}, expected four above 0 that add up to 1",
                path=path,
                line=lines[i + 1].number,
            )
        return tuple(share / sum(shares) for share in shares)
    raise InputError("states no background; give --background uniform or A,C,G,T", path=path)


def _jaspar(lines: Sequence[_Line], path: str | Path) -> Iterator[_Parsed]:
    """Parse JASPAR's counts."""
    lines = [line for line in lines if not line.text.startswith("#")]
    heads = [i for i, line in enumerate(lines) if line.text.startswith(">")]
    if not heads and len(lines) == 4:
        name = Path(path).name.partition(".")[0].replace(" ", "_")
        yield _jaspar_motif(_Line(lines[0].number, f">{name}"), lines, path)
        return
    if lines and (not heads or heads[0]):
        raise InputError(
            f"found {lines[0].text[:60]!r}, expected motifs: MEME's text, which says MEME version, "
            "or JASPAR's counts, which begin with >",
            path=path,
            line=lines[0].number,
        )
    for first, last in itertools.pairwise([*heads, len(lines)]):
        yield _jaspar_motif(lines[first], lines[first + 1 : last], path)


def _jaspar_motif(head: _Line, rows: Sequence[_Line], path: str | Path) -> _Parsed:
    names = head.text[1:].split()
    if not names:
        raise InputError("found no name behind >", path=path, line=head.number)
    if len(rows) != len(LETTERS):
        raise InputError(
            f"motif {names[0]!r} has {len(rows)} row(s), expected 4: the counts of A, C, G and T",
            path=path,
            line=head.number,
        )
    counts: list[list[float]] = []
    lettered = False
    for letter, row in zip(LETTERS, rows, strict=True):
        fields = re.sub(r"[\[\]]", " ", row.text).split()
        if fields and fields[0].isalpha():
            if fields[0].upper() != letter:
                raise InputError(
                    f"found the row of {fields[0]!r}, expected {letter!r}",
                    path=path,
                    line=row.number,
                )
            fields, lettered = fields[1:], True
        counts.append(_numbers(row, fields, path, len(counts[0]) if counts else None))
    values = np.array(counts).T
    if not lettered and len(values) == 4 and (abs(values.sum(axis=0) - 1) <= TOLERANCE).all():
        raise InputError(
            f"motif {names[0]!r} has 4 rows that add up to 1 each, as HOMER writes 4 positions; "
            "expected the counts of A, C, G and T: begin the rows with these letters, or turn them",
            path=path,
            line=head.number,
        )
    sums = values.sum(axis=1)
    if not len(sums) or not sums.all():
        raise InputError(
            f"motif {names[0]!r} has a position without a count", path=path, line=head.number
        )
    alternative = names[1] if len(names) > 1 else ""
    return _Parsed(head.number, names[0], alternative, values / sums[:, None])


def _numbers(
    line: _Line, fields: Sequence[str], path: str | Path, count: int | None
) -> list[float]:
    """Read numbers of 0 or more; refuse another count of them."""
    numbers = []
    for text in fields:
        numbers.append(number(text))
        if not 0 <= numbers[-1] < np.inf:
            raise InputError(
                f"found {text[:30]!r}, expected a frequency or a count, 0 or more",
                path=path,
                line=line.number,
            )
    if count is not None and len(numbers) != count:
        raise InputError(
            f"found {len(numbers)} number(s), expected {count}", path=path, line=line.number
        )
    return numbers


def number(text: str) -> float:
    """Read a decimal number; NaN where it is none, such as 1_0, which Python takes for one."""
    return float(text) if NUMBER.fullmatch(text) else np.nan


def _number_after(name: str, text: str) -> float | None:
    found = re.search(rf"\b{name}=\s*({NUMBER.pattern})", text)
    return float(found[1]) if found else None
