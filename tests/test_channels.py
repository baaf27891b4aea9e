"""Raw values of an input to what a graph takes, and to the other strand."""

import numpy as np
import pytest

from tfbind.channels import channel
from tfbind.contract import Input
from tfbind.errors import InputError
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
