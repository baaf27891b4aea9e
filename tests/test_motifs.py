"""Files of motifs, their log-odds, and picking from them."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfbind.errors import InputError
from tfbind.motifs import Motif, choose, read_motifs

MEME = """MEME version 4

ALPHABET= ACGT

strands: + -

Background letter frequencies
A 0.3 C 0.2 G 0.2 T 0.3

MOTIF M1.2 Fac
letter-probability matrix: alength= 4 w= 2 nsites= 10 E= 0
 0.5 0.5 0.0 0.0
 0.1 0.2 0.3 0.4
URL http://example.org

MOTIF M2.1

letter-probability matrix: alength= 4 w= 1
 0.333\t0.333\t0.333\t0
"""
JASPAR = """>M1.2\tFac
A  [ 5  1 ]
C  [ 5  2 ]
G  [ 0  3 ]
T  [ 0  4 ]
>M3.1 Other more
1 0
0 1
0 0
0 0
"""
HOMER = """>AACG\tname\t6.0
0.97 0.01 0.01 0.01
0.97 0.01 0.01 0.01
0.01 0.97 0.01 0.01
0.01 0.01 0.97 0.01
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "some motifs.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_meme_file(tmp_path: Path) -> None:
    first, second = read_motifs(written(tmp_path, MEME))
    assert (first.name, first.alternative, first.title) == ("M1.2", "Fac", "M1.2_Fac")
    assert (second.name, second.alternative, second.title) == ("M2.1", "", "M2.1")
    assert first.frequencies.tolist() == [[0.5, 0.5, 0, 0], [0.1, 0.2, 0.3, 0.4]]
    # Rounded frequencies are made to add up to 1.
    np.testing.assert_allclose(second.frequencies, [[1 / 3, 1 / 3, 1 / 3, 0]], atol=1e-15)


def test_log_odds_are_of_smoothed_frequencies_against_the_background(tmp_path: Path) -> None:
    first, _ = read_motifs(written(tmp_path, MEME))
    assert first.log_odds.dtype == np.float32
    low, half = np.log2(0.01 / 1.01), np.log2((0.5 + 0.0025) / 1.01 / 0.25)
    np.testing.assert_allclose(first.log_odds[0], [half, half, low, low], rtol=1e-6)
    other, _ = read_motifs(written(tmp_path, MEME), background="file", pseudocount=0.1)
    assert other.background == (0.3, 0.2, 0.2, 0.3)
    expected = np.log2((0.5 + 0.03) / 1.1 / 0.3), np.log2((0.5 + 0.02) / 1.1 / 0.2)
    np.testing.assert_allclose(other.log_odds[0, :2], expected, rtol=1e-6)


def test_a_background_is_made_that_of_both_strands(tmp_path: Path) -> None:
    first, _ = read_motifs(written(tmp_path, MEME), background=(0.4, 0.3, 0.1, 0.2))
    np.testing.assert_allclose(first.background, [0.3, 0.2, 0.2, 0.3])


def test_the_reverse_complement_is_of_both_axes(tmp_path: Path) -> None:
    first, _ = read_motifs(written(tmp_path, MEME))
    np.testing.assert_array_equal(first.reverse_complement()[0], first.log_odds[1][::-1])
    np.testing.assert_array_equal(first.reverse_complement()[1, 0], first.log_odds[0, 3])


def test_jaspar_counts_with_letters_and_bare(tmp_path: Path) -> None:
    first, second = read_motifs(written(tmp_path, JASPAR))
    meme, _ = read_motifs(written(tmp_path, MEME))
    assert first.title == "M1.2_Fac"
    np.testing.assert_array_equal(first.log_odds, meme.log_odds)
    assert (second.title, second.alternative) == ("M3.1_Other", "Other")
    assert second.frequencies.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]


def test_four_bare_rows_are_one_motif_named_as_the_file(tmp_path: Path) -> None:
    (motif,) = read_motifs(written(tmp_path, "1 0 2\n0 1 0\n0 0 0\n0 0 2"))
    assert motif.name == "some_motifs"
    assert motif.frequencies.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0, 0, 0.5]]


def test_rows_that_add_up_to_1_are_bases_where_letters_say_so(tmp_path: Path) -> None:
    head, *rows = HOMER.splitlines()
    text = "\n".join([head, *(" ".join(pair) for pair in zip("ACGT", rows, strict=True))])
    (motif,) = read_motifs(written(tmp_path, text))
    np.testing.assert_allclose(motif.frequencies[0] * 1.96, [0.97, 0.97, 0.01, 0.01])


@pytest.mark.parametrize("text", [MEME, JASPAR])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: gzip.compress(text.encode()),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
    ],
    ids=["gzip", "CRLF", "no last newline", "byte order mark", "empty lines"],
)
def test_the_same_motifs_however_the_text_is_stored(
    tmp_path: Path, text: str, change: Callable[[str], bytes]
) -> None:
    plain = read_motifs(written(tmp_path, text))
    changed = read_motifs(written(tmp_path, change(text)))
    assert [one.title for one in changed] == [one.title for one in plain]
    for one, other in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(one.log_odds, other.log_odds)


def test_the_text_that_meme_itself_writes(tmp_path: Path) -> None:
    text = """********
MEME - Motif discovery tool
********
MEME version 5.5.5 (Release date: Thu)

ALPHABET "DNA" DNA-LIKE
A "Adenine" CC0000 ~ T "Thymine" 008000
C "Cytosine" 0000CC ~ G "Guanine" FFB300
END ALPHABET

MOTIF ACG MEME-1\twidth =   2  sites =  22  llr = 309  E-value = 1.3e-088
--------
\tMotif ACG MEME-1 position-specific scoring matrix
--------
log-odds matrix: alength= 4 w= 2 n= 7392 bayes= 8.4 E= 1.3e-088
  -1110    127     81   -234
   -119     81     46    -12
--------
letter-probability matrix: alength= 4 w= 2 nsites= 22 E= 1.3e-088
 0.000000  0.590909  0.363636  0.045455
 0.136364  0.409091  0.272727  0.181818
--------
"""
    (motif,) = read_motifs(written(tmp_path, text))
    assert motif.title == "ACG_MEME-1"
    np.testing.assert_allclose(motif.frequencies[1], [0.136364, 0.409091, 0.272727, 0.181818])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no motif, expected some in the format of MEME or JASPAR"),
        ("MEME version 4\n", "holds no motif"),
        (
            "chr1\t0\t200\n",
            "line 1: found 'chr1\\t0\\t200', expected motifs: MEME's text, which says MEME "
            "version, or JASPAR's counts, which begin with >",
        ),
        (
            MEME.replace("0.5 0.5 0.0 0.0", "0.5 0.6 0.0 0.0"),
            "line 12: found frequencies that add up to 1.1, expected 1",
        ),
        (MEME.replace("0.5 0.5 0.0 0.0", "0.5 0.5 0.0"), "line 12: found 3 number(s), expected 4"),
        (
            MEME.replace("0.5 0.5 0.0 0.0", "0.5 0.5 x 0.0"),
            "line 12: found 'x', expected a frequency or a count, 0 or more",
        ),
        (
            MEME.replace("0.5 0.5 0.0 0.0", "0.5 0.5 nan 0.0"),
            "line 12: found 'nan', expected a frequency",
        ),
        (
            MEME.replace("w= 2", "w= 3"),
            "line 13: motif 'M1.2' ends after 2 row(s) of numbers, expected 3 by line 11",
        ),
        (
            MEME.replace("w= 2", "w= 1"),
            "line 13: motif 'M1.2' ends after 2 row(s) of numbers, expected 1 by line 11",
        ),
        (MEME.replace("alength= 4 w= 2", "alength= 20 w= 2"), "line 11: found alength= 20"),
        (
            MEME.replace("ALPHABET= ACGT", "ALPHABET= ACGU"),
            "line 3: found alphabet 'ACGU', expected ACGT",
        ),
        (
            MEME.replace("M2.1", "M1.2"),
            "line 16: found motif 'M1.2' again, first on line 10; remove one",
        ),
        (MEME.replace("M2.1", ""), "line 16: found no name behind MOTIF"),
        (
            MEME[: MEME.index("letter-")],
            "line 10: motif 'M1.2' has no letter-probability matrix",
        ),
        (JASPAR.replace("5  2", "5  -2"), "line 3: found '-2', expected a frequency or a count"),
        (JASPAR.replace("0  3", "0"), "line 4: found 1 number(s), expected 2"),
        (JASPAR.replace("G  [", "T  ["), "line 4: found the row of 'T', expected 'G'"),
        (
            JASPAR.replace("T  [ 0  4 ]\n", ""),
            "line 1: motif 'M1.2' has 3 row(s), expected 4: the counts of A, C, G and T",
        ),
        (
            JASPAR.replace("1 0\n0 1", "1 0\n0 0"),
            "line 6: motif 'M3.1' has a position without a count",
        ),
        (JASPAR.replace(">M3.1 Other more", ">"), "line 6: found no name behind >"),
        (JASPAR.replace("M3.1", "M1.2"), "line 6: found motif 'M1.2' again, first on line 1"),
        (JASPAR.replace("5  2", "5  1_0"), "line 3: found '1_0', expected a frequency or a count"),
        (JASPAR.replace("5  2", "5  \u0662"), "line 3: found '\u0662', expected a frequency"),
        (MEME.replace("0.5 0.5 0.0", "0_1 0.5 0.0"), "line 12: found '0_1', expected a frequency"),
        (
            HOMER,
            "line 1: motif 'AACG' has 4 rows that add up to 1 each, as HOMER writes 4 positions; "
            "expected the counts of A, C, G and T: begin the rows with these letters",
        ),
        (HOMER.partition("\n")[2], "line 1: motif 'some_motifs' has 4 rows that add up to 1 each"),
    ],
)
def test_what_is_malformed_is_said_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=re.escape(problem)) as raised:
        read_motifs(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_background_that_is_none_is_said(tmp_path: Path) -> None:
    text = MEME.replace("A 0.3 C 0.2 G 0.2 T 0.3", "A 0.3 C 0.2")
    with pytest.raises(InputError, match="line 7: found no frequencies of A, C, G and T below"):
        read_motifs(written(tmp_path, text), background="file")
    text = MEME.replace("A 0.3 C 0.2", "A 0.0 C 0.5")
    with pytest.raises(InputError, match=r"line 8: found frequencies .* four above 0"):
        read_motifs(written(tmp_path, text), background="file")
    for text in (MEME.replace("Background letter", "Other"), JASPAR):
        with pytest.raises(InputError, match="states no background; give --background uniform or"):
            read_motifs(written(tmp_path, text), background="file")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.meme: cannot be read: No such file"):
        read_motifs(tmp_path / "none.meme")


def test_real_motifs(data: Path) -> None:
    motifs = read_motifs(data / "motifs.meme")
    assert [one.title for one in motifs] == [
        "MA0139.2_CTCF",
        "MA1930.2_CTCF",
        "MA0058.4_MAX",
        "MA0108.3_TBP",
    ]
    assert [len(one) for one in motifs] == [15, 33, 6, 7]
    consensus = "".join("ACGT"[i] for i in motifs[2].log_odds.argmax(axis=1))
    assert consensus == "CACGTG"


def named(*names: tuple[str, str]) -> list[Motif]:
    return [Motif(name, alternative, np.full((1, 4), 0.25)) for name, alternative in names]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (["MA2.1"], ["MA2.1"]),
        (["ma2.1"], ["MA2.1"]),
        (["MA3"], ["MA3.2"]),
        (["MAX"], ["MA1.1", "MA3.2"]),
        (["Max"], ["MA2.1"]),
        (["max"], ["MA1.1", "MA2.1", "MA3.2"]),
        (["MA3.2_MAX", "MAX"], ["MA3.2", "MA1.1"]),
        (["plain", "MA1.1"], ["plain", "MA1.1"]),
    ],
)
def test_motifs_are_picked_by_any_of_their_names(asked: list[str], chosen: list[str]) -> None:
    motifs = named(("MA1.1", "MAX"), ("MA2.1", "Max"), ("MA3.2", "MAX"), ("plain", ""))
    assert [one.name for one in choose(motifs, asked, "x.meme")] == chosen


def test_a_motif_that_is_not_there_is_an_error_with_near_names(data: Path) -> None:
    motifs = read_motifs(data / "motifs.meme")
    with pytest.raises(InputError, match=r"x\.meme: holds no motif 'CTFC'; names near it: CTCF$"):
        choose(motifs, ["CTFC"], "x.meme")
    with pytest.raises(InputError, match=r"names near it: MA0139\.2, MA1930\.2, MA0108\.3$"):
        choose(motifs, ["MA0139.9"], "x.meme")
    with pytest.raises(
        InputError, match=r"the file names MA0139\.2_CTCF, MA1930\.2_CTCF, MA0058\.4_MAX, \.\.\.$"
    ):
        choose(motifs, ["zzz"], "x.meme")


def test_hocomocos_motifs_are_found_by_their_factor() -> None:
    names = ("CTCF.H12CORE.0.P.B", "CTCF.H12CORE.1.P.B", "CTCFL.H12CORE.0.P.B")
    known = [Motif(name, "", np.full((4, 4), 0.25)) for name in names]
    assert [one.name for one in choose(known, ["ctcf"], "H12.meme")] == list(names[:2])
