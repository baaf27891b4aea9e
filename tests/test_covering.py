"""From overlapping bins to bases."""

import io

import numpy as np
import pytest

from tfbind.errors import InputError
from tfbind.interpret.archives import ArrayFile
from tfbind.interpret.average import Moments, inside, positions
from tfbind.interpret.covering import Bases, Covering, Stretch
from tfbind.interpret.explanation import ascending, one_strand
from tfbind.interpret.tracks import bedgraph, table_header, table_lines
from tfbind.intervals import IntervalReader
from tfbind.strands import stranded


def stretch(contig: str, start: int, values: list[float]) -> Stretch:
    once = np.ones(len(values), np.int64)
    codes = (np.arange(start, start + len(values)) % 4).astype(np.uint8)
    return Stretch(contig, start, codes, once, np.array(values, np.float32)[:, None])


def test_a_base_has_the_mean_over_the_bins_that_cover_it() -> None:
    covering = Covering({"x": 12, "y": 100})
    found: list[Bases] = []
    for one in (
        stretch("x", -2, [9, 9, 1, 2, 3]),  # begins before the contig
        stretch("x", 1, [4, 5, 6]),
        stretch("x", 1, [7]),
        stretch("x", 10, [8, 8, 9, 9]),  # and ends behind it
        stretch("y", 3, [1]),
    ):
        found += covering.add(one)
    found += covering.end()
    told = [(one.contig, one.start, one.means[:, 0].tolist()) for one in found]
    assert told == [
        ("x", 0, [1]),
        ("x", 1, [pytest.approx(13 / 3), 4, 6]),
        ("x", 10, [8, 8]),
        ("y", 3, [1]),
    ]
    assert [one.codes.tolist() for one in found] == [[0], [1, 2, 3], [2, 3], [3]]


def test_tracks_join_equal_neighbours_and_tables_do_not() -> None:
    means = np.array([[0, 1], [0, 2], [0.5, 3]], np.float32)
    bases = Bases("x", 7, np.array([0, 4, 3], np.uint8), means)
    assert bedgraph(bases, 0) == b"x\t7\t9\t0\nx\t9\t10\t0.5\n"
    assert table_lines(bases).splitlines()[1] == b"x\t8\t9\tN\t0\t2"
    assert table_header(["dnase"], bases=False) == b"#contig\tstart\tend\tbase\tdnase\n"
    assert table_header(["sequence"], bases=True).startswith(
        b"#contig\tstart\tend\tbase\tsequence\thypothetic"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x\t5\t6\nx\t4\t5\n", "line 2: found a bin on x behind a later one"),
        ("x\t5\t6\ny\t4\t5\nx\t9\t10\n", "line 3: found a bin on x behind a later one, or behind"),
    ],
)
def test_a_track_needs_order(text: str, line: str) -> None:
    batches = ((one, list(one.contigs)) for one in IntervalReader(io.BytesIO(text.encode()), "a"))
    with pytest.raises(InputError, match=line):
        list(ascending(batches, "a"))


def test_a_track_is_of_one_strand() -> None:
    text = b"x\t5\t6\ta\t0\t+\nx\t7\t8\ta\t0\t-\n"
    read = (stranded(one, "a") for one in IntervalReader(io.BytesIO(text), "a"))
    batches = ((one, list(one.contigs)) for one in read)
    with pytest.raises(InputError, match="line 2: found a bin of the other strand"):
        list(one_strand(batches, "a"))


def test_an_array_file_grows_by_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.npz"
    first, more = np.arange(6.0).reshape(2, 3), np.arange(3.0)[None]
    with ArrayFile(path) as file:
        file.add({"arr_0": first, "name": np.array(["a", "b"])})
        file.add({"arr_0": more, "name": np.array(["c"])})
    with np.load(path) as archive:
        assert archive["arr_0"].tolist() == [*first.tolist(), *more.tolist()]
        assert archive["name"].tolist() == ["a", "b", "c"]


def test_moments_are_those_of_all_sites_at_once() -> None:
    values = np.random.default_rng(1).normal(3, 2, (23, 5)).astype(np.float32)
    moments = Moments()
    for some in np.split(values, [4, 4, 5, 20]):
        moments.add({"x": some})
    profile = moments.profile("x")
    np.testing.assert_allclose(profile.mean, values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(profile.error, values.std(0, ddof=1) / 23**0.5, rtol=1e-6)
    assert profile.sites == 23


def test_positions_are_counted_from_the_centre() -> None:
    assert positions(4).tolist() == [-2, -1, 0, 1]
    assert positions(200)[inside(200, (-35, -20))].tolist() == list(range(-35, -20))
