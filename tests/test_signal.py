"""Signals as arrays: against a literal track, and against pyBigWig on the real one."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from tfbind.errors import InputError
from tfbind.signal import Signal


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """Write a bigWig of two contigs, values on one of them."""
    path = tmp_path / "track.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader([("one", 12), ("two", 5)])
        bigwig.addEntries(["one", "one"], [2, 8], ends=[4, 12], values=[1.5, -2.0])
    return path


@pytest.mark.parametrize(
    ("contig", "start", "end", "expected"),
    [
        ("one", 0, 12, [0, 0, 1.5, 1.5, 0, 0, 0, 0, -2, -2, -2, -2]),
        ("one", -2, 3, [0, 0, 0, 0, 1.5]),
        ("one", 10, 15, [-2, -2, 0, 0, 0]),
        ("one", -9, -6, [0, 0, 0]),
        ("one", 12, 14, [0, 0]),
        ("one", 3, 3, []),
        ("two", -1, 6, [0] * 7),
    ],
)
def test_uncovered_bases_and_those_outside_are_0(
    track: Path, contig: str, start: int, end: int, expected: list[float]
) -> None:
    signal = Signal(track)
    assert signal.sizes == {"one": 12, "two": 5}
    values = signal.values(contig, start, end)
    assert values.tolist() == expected
    assert values.dtype == np.float32


def test_real_values_are_those_of_pybigwig(data: Path) -> None:
    path = data / "K562.dnase.bw"
    signal = Signal(path)
    assert signal.sizes == {"chrX": 69_999_930}
    values = signal.values("chrX", 47_000_000, 49_000_000)
    with pyBigWig.open(str(path)) as bigwig:
        expected = np.nan_to_num(bigwig.values("chrX", 47_000_000, 49_000_000, numpy=True))
    assert (values == expected).all()
    assert values.max() > 100
    assert 0.005 < (values > 0).mean() < 0.1


def test_the_track_is_the_peaks_signal_value(data: Path) -> None:
    signal = Signal(data / "HeLa-S3.dnase.bw")
    with gzip.open(data / "HeLa-S3.dnase.narrowPeak.gz", "rt") as lines:
        peaks = [line.split("\t") for line in lines]
    for fields in (peaks[0], peaks[-1]):
        start, end = int(fields[1]), int(fields[2])
        assert (signal.values("chrX", start, end) == np.float32(fields[6])).all()


def test_threads_read_side_by_side(data: Path) -> None:
    signal = Signal(data / "HeLa-S3.dnase.bw")
    starts = range(46_000_000, 48_000_000, 50_000)
    alone = [signal.values("chrX", start, start + 50_000) for start in starts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda s: signal.values("chrX", s, s + 50_000), starts))
    assert (np.array(alone) == np.array(together)).all()
    assert np.array(alone).any()


@pytest.mark.parametrize("content", [b"", b"chr1\t0\t10\t1.5\n", b"\x1f\x8b\x08\x04"])
def test_what_is_no_bigwig_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "what.bw"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"what\.bw: is no bigWig; convert it"):
        Signal(path)


def test_a_bigbed_is_no_bigwig(tmp_path: Path) -> None:
    path = tmp_path / "what.bb"
    path.write_bytes(bytes.fromhex("ebf28987") + bytes(500))
    with pytest.raises(InputError, match="is no bigWig"):
        Signal(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.bw: cannot be read: No such file or directory"):
        Signal(tmp_path / "none.bw")


@pytest.mark.parametrize("kept", [40, 300, 5_000, 8_000])
def test_a_bigwig_cut_short_is_said(
    data: Path, tmp_path: Path, kept: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.bw"
    path.write_bytes((data / "K562.dnase.bw").read_bytes()[:kept])
    with pytest.raises(InputError, match=r"short\.bw: "):
        Signal(path).values("chrX", 38_000_000, 54_000_000)
    assert capfd.readouterr() == ("", "")


def test_a_bigwig_with_damaged_data_is_said(data: Path, tmp_path: Path) -> None:
    content = bytearray((data / "K562.dnase.bw").read_bytes())
    start, stop = (int.from_bytes(content[at : at + 8], "little") for at in (16, 24))
    content[start + 8 : stop] = bytes(stop - start - 8)
    path = tmp_path / "holes.bw"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"holes\.bw: "):
        Signal(path).values("chrX", 38_000_000, 54_000_000)


def test_a_track_without_values_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "empty.bw"
    with pyBigWig.open(str(path), "w") as bigwig:
        bigwig.addHeader([("chr1", 1000)])
    assert not Signal(path).values("chr1", 0, 500).any()
