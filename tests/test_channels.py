"""Raw values of an input to what a graph takes, and to the other strand."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tfbind import shape
from tfbind.channels import channel, described
from tfbind.channels.base import Lookup, Matrices
from tfbind.contract import Distribution, Input
from tfbind.errors import InputError, RequestError
from tfbind.genome import base_codes


def test_sequence_is_given_as_codes_and_complemented() -> None:
    sequence = channel(Input("sequence", "sequence", "uint8"))
    codes = base_codes(b"AACGTN")
    assert np.array_equal(sequence.prepare(codes), codes)
    assert sequence.reverse_complement(codes).tolist() == base_codes(b"NACGTT").tolist()


def test_signal_is_transformed_and_standardised() -> None:
    signal = channel(Input("dnase", "signal", "float16", "log1p", mean=0.5, deviation=2.0))
    raw = np.array([0, 1, 7], np.float16)
    expected = (np.log1p([0.0, 1.0, 7.0]) - 0.5) / 2
    prepared = signal.prepare(raw)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, expected, rtol=1e-6)
    assert raw.tolist() == [0, 1, 7]
    assert signal.reverse_complement(raw).tolist() == [7, 1, 0]


def test_signal_without_transform_is_raw() -> None:
    raw = np.array([-3, 0, 2.5], np.float32)
    prepared = channel(Input("fold", "signal", "float32")).prepare(raw)
    assert np.array_equal(prepared, raw)


def test_log1p_of_what_has_none_is_refused() -> None:
    signal = channel(Input("fold", "signal", "float32", "log1p"))
    with pytest.raises(InputError, match=r"'fold' holds -1, expected more than -1"):
        signal.prepare(np.array([0, -1], np.float32))


@dataclass(frozen=True)
class Cells:
    """Training cells with one signal each."""

    tracks: dict[str, list[float]]

    @property
    def cells(self) -> list[str]:
        return list(self.tracks)

    def distributions(self, name: str) -> list[Distribution]:
        return [
            Distribution(0.5, tuple(np.quantile(track, [0, 0.5, 1]).tolist()))
            for track in self.tracks.values()
        ]

    def values(self, name: str) -> Iterator[tuple[npt.NDArray[np.generic], Distribution]]:
        for track, found in zip(self.tracks.values(), self.distributions(name), strict=True):
            yield np.array([0, *track], np.float16), found


TWO = Cells({"low": [1, 2, 3], "high": [10, 20, 30]})
SIGNAL = Input("dnase", "signal", "float16")


def test_log1p_is_the_usual_transform() -> None:
    spec = channel(SIGNAL).fitted(TWO, "")
    assert (spec.transform, spec.clip, spec.scale, spec.ranks) == ("log1p", None, 1, ())
    assert spec.trained == (Distribution(0.5, (1, 2, 3)), Distribution(0.5, (10, 20, 30)))
    assert channel(SIGNAL).fitted(TWO, "none").transform == "none"


def test_clip_and_percentile_are_taken_before_log1p() -> None:
    spec = channel(SIGNAL).fitted(TWO, "clip:20,percentile:50,log1p")
    assert (spec.clip, spec.scale, spec.transform) == (20, 11, "log1p")
    prepared = channel(spec).prepare(np.array([0, 11, 500], np.float16))
    np.testing.assert_allclose(prepared, np.log1p([0, 1, 20 / 11]), rtol=1e-6)


def test_zscore_is_of_all_bases_of_all_cells() -> None:
    spec = channel(SIGNAL).fitted(TWO, "zscore")
    values = np.array([0, 1, 2, 3, 0, 10, 20, 30])
    assert spec.mean == pytest.approx(values.mean())
    assert spec.deviation == pytest.approx(values.std())
    prepared = channel(spec).prepare(values.astype(np.float16))
    assert prepared.mean() == pytest.approx(0, abs=1e-6)
    assert prepared.std() == pytest.approx(1)


def test_ranks_bring_cells_to_one_distribution() -> None:
    spec = channel(SIGNAL).fitted(TWO, "rank,zscore")
    assert spec.ranks == (5.5, 11, 16.5)
    low, high = TWO.distributions("dnase")
    kind = channel(spec)
    brought = kind.aligned(np.array([0, 1, 1.5, 2, 3, 9], np.float16), low)
    assert brought.tolist() == [0, 5.5, 8.25, 11, 16.5, 16.5]
    assert kind.aligned(np.array([0, 10, 30], np.float16), high).tolist() == [0, 5.5, 16.5]
    both = np.array([0, 5.5, 11, 16.5])
    assert spec.mean == pytest.approx(both.mean())
    assert channel(SIGNAL).aligned(np.array([7.0]), low).tolist() == [7]


def test_ranks_need_values(tmp_path: Path) -> None:
    class Empty(Cells):
        def distributions(self, name: str) -> list[Distribution]:
            return [Distribution(0, ()), Distribution(0.5, (1, 2))]

    with pytest.raises(InputError, match="no value other than 0 in a training cell"):
        channel(SIGNAL).fitted(Empty({}), "rank")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("log2", "found the transform 'log2', expected none or some of rank, clip:VALUE"),
        ("clip", "found the transform 'clip'"),
        ("log1p:3", "found the transform 'log1p:3'"),
        ("clip:none", "found clip:none, expected a number over 0"),
        ("percentile:101", "expected a number over 0 and up to 100"),
        ("log1p,clip:3", "found clip behind log1p; transforms are taken in the order rank, clip"),
        ("zscore,zscore", "found zscore twice in the transform zscore,zscore"),
        ("none,log1p", "found the transform none,log1p, but none stands alone"),
    ],
)
def test_transforms_that_cannot_be(wanted: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        channel(SIGNAL).fitted(TWO, wanted)


def test_only_signals_have_a_transform_to_choose() -> None:
    with pytest.raises(RequestError, match="'sequence' has no transform to choose, found 'zscore'"):
        channel(Input("sequence", "sequence", "uint8")).fitted(TWO, "zscore")


def test_shape_is_looked_up_and_standardised() -> None:
    spec = described("shape")[0]
    assert (spec.along, spec.of, spec.features) == ("sequence", "sequence", shape.FEATURES)
    lookup = channel(spec).graph
    assert isinstance(lookup, Lookup)
    assert (lookup.width, lookup.rows.shape) == (6, (5**6, 4))
    known = lookup.rows[(np.indices((5,) * 6) < 4).all(axis=0).ravel()]
    assert len(known) == 4**6
    np.testing.assert_allclose(known.mean(axis=0, dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(known.std(axis=0, dtype=np.float64), 1, atol=1e-6)
    assert lookup.rows[-1].tolist() == [0, 0, 0, 0]  # six unknown bases


EXPRESSION = "cell\tMYC\tJUN\nHeLa-S3\t1\t5\nK562\t3\t5\nA549\t8\t0\n"


def test_expression_is_standardised_on_the_training_cells(tmp_path: Path) -> None:
    table = tmp_path / "cells.tsv"
    table.write_text(EXPRESSION)
    spec = described(f"expression={table}")[0]
    assert (spec.along, spec.features) == ("cell", ("MYC", "JUN"))
    fitted = channel(spec).fitted(Cells({"HeLa-S3": [1], "K562": [1]}), "")
    assert (fitted.mean, fitted.deviation) == ((2, 5), (1, 0))
    kind = channel(fitted)
    # JUN is the same in both training cells: what it is elsewhere must not change scores.
    assert kind.prepare(kind.of_cell("A549")).tolist() == [6, 0]
    with pytest.raises(InputError, match="no cell type 'HUVEC': there is A549, HeLa-S3, K562"):
        kind.of_cell("HUVEC")


def test_expression_of_one_cell_teaches_nothing(tmp_path: Path) -> None:
    (tmp_path / "cells.tsv").write_text(EXPRESSION)
    kind = channel(described(f"expression={tmp_path / 'cells.tsv'}")[0])
    with pytest.raises(InputError, match=r"the same in all training cells \(K562\), so nothing"):
        kind.fitted(Cells({"K562": [1]}), "")


MOTIFS = """MEME version 4

ALPHABET= ACGT

MOTIF short
letter-probability matrix: alength= 4 w= 1
 1 0 0 0

MOTIF long
letter-probability matrix: alength= 4 w= 4
 1 0 0 0
 1 0 0 0
 0 1 0 0
 0 0 1 0
"""


def test_motifs_get_one_width_and_keep_their_place_on_both_strands(tmp_path: Path) -> None:
    (tmp_path / "motifs.meme").write_text(MOTIFS)
    spec = described(f"motif={tmp_path / 'motifs.meme'}")[0]
    assert spec.features == ("short", "long")
    matrices = channel(spec).graph
    assert isinstance(matrices, Matrices)
    assert matrices.forward.shape == matrices.reverse.shape == (2, 4, 4)
    assert np.flatnonzero(matrices.forward[0].any(axis=1)).tolist() == [1]
    assert np.flatnonzero(matrices.reverse[0].any(axis=1)).tolist() == [1]
    assert matrices.reverse[0, 1].argmax() == 3  # A is T on the other strand
    assert np.array_equal(matrices.reverse[1], matrices.forward[1, ::-1, ::-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour", "found --channel colour, expected one of shape, motif, expression"),
        ("shape=file", "expected shape, which takes no file"),
        ("motif", "expected motif=FILE"),
        ("expression", "expected expression=FILE"),
        ("signal=x.bw", "expected one of shape, motif, expression"),
    ],
)
def test_channels_that_cannot_be_asked_for(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        described(text)


def test_an_input_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="'x' is of a kind 'colour' that this tfbind does not"):
        channel(Input("x", "colour", "float32"))
