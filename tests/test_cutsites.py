"""Cut sites as arrays: against dense arrays, whatever the batch, and what is held meanwhile."""

import os
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from aligned import SIZES, Read, sam
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfbind.cutsites import (
    CutSites,
    Places,
    Track,
    Values,
    fold_over_control,
    per_million,
    raw,
    side_by_side,
    spooled,
)
from tfbind.errors import InputError
from tfbind.reads import ReadFile, ReadFilter
from tfbind.regions import SPAN, Cover

Value = Callable[[npt.NDArray[np.int64]], Values]
Arrays = dict[str, npt.NDArray[np.float64]]
UNMAPPED: Read = ("*", 4, -1, "*", 0)


@dataclass(frozen=True)
class Case:
    """Reads, and what is to be made of them."""

    samples: list[list[Read]]
    controls: list[list[Read]]
    shift: tuple[int, int] = (0, 0)
    window: int = 1
    cpm: bool = False
    black: tuple[tuple[str, int, int], ...] = ()
    shown: tuple[tuple[str, int, int], ...] = ()
    batch: int = 1000

    @property
    def spools(self) -> bool:
        """Tell whether all is read before anything is written."""
        return self.cpm or bool(self.controls)


def on_axis(places: Sequence[tuple[str, int, int]]) -> tuple[Places, Places]:
    origins = {name: rank * SPAN for rank, name in enumerate(SIZES)}
    starts = [origins[contig] + start for contig, start, _ in places]
    ends = [origins[contig] + end for contig, _, end in places]
    return np.array(starts, np.int64), np.array(ends, np.int64)


def marked(places: Sequence[tuple[str, int, int]]) -> dict[str, npt.NDArray[np.bool_]]:
    masks = {name: np.zeros(size, np.bool_) for name, size in SIZES.items()}
    for contig, start, end in places:
        masks[contig][start:end] = True
    return masks


def dense(reads: Sequence[Read], case: Case) -> tuple[Arrays, int]:
    """Count into whole contigs, one cut at a time; tell how many count too."""
    arrays = {name: np.zeros(size) for name, size in SIZES.items()}
    black, total = marked(case.black), 0
    for contig, flag, start, cigar, _ in reads:
        if flag & 4:
            continue
        cut = start + int(cigar[:-1]) - 1 + case.shift[1] if flag & 16 else start + case.shift[0]
        if 0 <= cut < SIZES[contig] and not black[contig][cut]:
            first = cut - case.window // 2
            arrays[contig][max(first, 0) : max(first + case.window, 0)] += 1
            total += 1
    return arrays, total


def joined(files: Sequence[list[Read]]) -> list[Read]:
    return [read for reads in files for read in reads]


def expected(case: Case) -> Arrays:
    """Give the values of all bases, NaN where none is to be written."""
    sample, total = dense(joined(case.samples), case)
    control, background = dense(joined(case.controls), case)
    shown = marked(case.shown or [(name, 0, size) for name, size in SIZES.items()])
    values = sample
    if case.controls:
        least = min(total, background)
        values = {
            name: (sample[name] * (least / total) + 0.7)
            / (control[name] * (least / background) + 0.7)
            for name in SIZES
        }
    elif case.cpm:
        values = {name: array * (1e6 / max(total, 1)) for name, array in sample.items()}
    return {
        name: np.where(shown[name] & ((array != 0) | bool(case.controls)), array, np.nan)
        for name, array in values.items()
    }


def runs_of(case: Case, folder: Path) -> list[tuple[str, int, int, float]]:
    """Run the library over files of the reads."""
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("tfbind.reads.BATCH", case.batch)
        files = []
        for number, reads in enumerate([*case.samples, *case.controls]):
            path = folder / f"{number}.sam"
            path.write_text(sam(reads))
            stream = stack.enter_context(open(path, "rb"))
            files.append(stack.enter_context(ReadFile(stream, str(path))))
        cover = Cover(*on_axis(case.black)) if case.black else None
        sites = [CutSites(file, ReadFilter(), case.shift, cover) for file in files]
        columns = [0] * len(case.samples) + [1] * len(case.controls)
        cuts = side_by_side(sites, columns)
        value: Value = raw
        if case.spools:
            cuts, totals = stack.enter_context(spooled(cuts))
            counts = [int(total) for total in totals]
            value = fold_over_control(counts, 0.7) if case.controls else per_million(counts[0])
        shown = on_axis(case.shown) if case.shown else None
        track = Track(files[0].contigs, case.window, value, shown, zeros=bool(case.controls))
        found = [
            (contig, int(start), int(end), float(value))
            for contig, *columns in track.runs(cuts)
            for start, end, value in zip(*columns, strict=True)
        ]
        assert [file.read for file in files] == [
            len(reads) for reads in [*case.samples, *case.controls]
        ]
    return found


def check(case: Case, folder: Path) -> None:
    values = expected(case)
    runs = runs_of(case, folder)
    found = {name: np.full(size, np.nan) for name, size in SIZES.items()}
    for contig, start, end, value in runs:
        assert np.isnan(found[contig][start:end]).all(), "runs overlap"
        found[contig][start:end] = value
    kind = np.float32 if case.spools else np.float64
    for name, array in values.items():
        np.testing.assert_array_equal(found[name].astype(kind), array.astype(kind))
    order = list(SIZES)
    for before, after in pairwise(runs):
        assert (order.index(before[0]), before[2]) <= (order.index(after[0]), after[1])
        touching = before[0] == after[0] and before[2] == after[1]
        assert not touching or before[3] != after[3], "not joined"


reads_of_any_length = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from(list(SIZES)),
            st.sampled_from([0, 16]),
            st.integers(0, 60),
            st.integers(1, 60).map(lambda length: f"{length}M"),
            st.just(30),
        ),
        max_size=30,
    ).map(lambda reads: sorted(reads, key=lambda read: (list(SIZES).index(read[0]), read[2]))),
    st.integers(0, 3),
).map(lambda parts: [*parts[0], *[UNMAPPED] * parts[1]])

some_places = st.lists(
    st.tuples(st.sampled_from(list(SIZES)), st.integers(0, 100), st.integers(1, 20)).map(
        lambda place: (place[0], place[1], place[1] + place[2])
    ),
    max_size=3,
).map(tuple)

cases = st.builds(
    Case,
    samples=st.lists(reads_of_any_length, min_size=1, max_size=3),
    controls=st.lists(reads_of_any_length, max_size=2),
    shift=st.sampled_from([(0, 0), (4, -5), (4, 4), (-7, 9), (-4, -30), (30, 50), (500, -500)]),
    window=st.sampled_from([1, 2, 5, 30, 1000]),
    cpm=st.booleans(),
    black=some_places,
    shown=some_places,
    batch=st.sampled_from([1, 7, 1000]),
)


@settings(deadline=None, max_examples=80)
@given(cases)
def test_runs_are_those_of_dense_arrays_whatever_the_batch(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    # There is no fold where one side has no cuts.
    assume(
        not case.controls or all(dense(joined(s), case)[1] for s in (case.samples, case.controls))
    )
    check(case, tmp_path_factory.mktemp("dense"))


LOW: list[Read] = [("one", 0, start, "20M", 30) for start in (5, 10, 20, 90)]
HIGH: list[Read] = [("one", 16, 40, "20M", 30), ("two", 0, 3, "5M", 30), ("two", 16, 80, "9M", 30)]


@pytest.mark.parametrize("shift", [(4, 4), (-4, -4), (4, -5), (-5, 4), (0, 0)])
@pytest.mark.parametrize("tails", [(0, 3), (3, 0), (3, 5)])
@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_unmapped_reads_at_the_ends_of_files_end_nothing(
    tmp_path: Path, shift: tuple[int, int], tails: tuple[int, int], batch: int
) -> None:
    files = [[*reads, *[UNMAPPED] * tail] for reads, tail in zip((LOW, HIGH), tails, strict=True)]
    case = Case(files, [], shift, window=30, batch=batch)
    check(case, tmp_path)
    check(replace(case, cpm=True), tmp_path)
    check(replace(case, samples=files[:1], controls=files[1:]), tmp_path)


def test_files_side_by_side_are_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    starts = np.sort(rng.integers(0, 250, 500)).tolist()
    reads: list[Read] = [("one", int(rng.integers(2)) * 16, start, "20M", 9) for start in starts]
    one = runs_of(Case([reads], []), tmp_path)
    assert runs_of(Case([reads[i::3] for i in range(3)], [], batch=16), tmp_path) == one


def test_fold_is_one_where_both_are_alike() -> None:
    fold = fold_over_control([10, 40], 2.0)
    assert fold(np.array([[0, 0], [1, 4], [6, 8]])).tolist() == [1.0, 1.0, 2.0]


@pytest.mark.parametrize("cpm", [False, True])
def test_memory_is_that_of_a_batch(tmp_path: Path, cpm: bool) -> None:
    sizes = {"one": 100_000_000, "two": 100_000_000}
    peaks = []
    for count in (1000, 20_000, 120_000):  # what the first imports is not counted
        paths = []
        for number in range(2):
            contigs = ["one", "two"][number:]  # the second file has nothing on the first contig
            reads: list[Read] = [
                (contig, 16 * (start % 2), 500 * start, "36M", 9)
                for contig in contigs
                for start in range(count // len(contigs))
            ]
            paths.append(tmp_path / f"{count}.{number}.sam")
            paths[-1].write_text(sam([*reads, *[UNMAPPED] * count], sizes))
        peaks.append(most_held(paths, cpm=cpm))
    assert peaks[2] < 1.2 * peaks[1]


def most_held(paths: Sequence[Path], *, cpm: bool) -> int:
    """Give the most bytes that are held while the cuts of files become a track."""
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("tfbind.reads.BATCH", 1000)
        stack.callback(tracemalloc.stop)
        tracemalloc.start()
        streams = [stack.enter_context(open(path, "rb")) for path in paths]
        files = [stack.enter_context(ReadFile(stream, "x")) for stream in streams]
        cuts = side_by_side([CutSites(file, ReadFilter()) for file in files], [0] * len(files))
        value: Value = raw
        if cpm:
            cuts, totals = stack.enter_context(spooled(cuts))
            value = per_million(int(totals[0]))
        for _ in Track(files[0].contigs, 100, value).runs(cuts):
            pass
        return tracemalloc.get_traced_memory()[1]


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    path, bad = tmp_path / "x.sam", tmp_path / "bad.sam"
    path.write_text(sam(LOW[:1] * 200_000))
    bad.write_text("chr1\t0\t10\n")
    before = open_files()
    for _ in range(5):
        with open(path, "rb") as stream, ReadFile(stream, "x") as reads:
            next(iter(reads))
        with open(bad, "rb") as stream, pytest.raises(InputError, match="holds no alignments"):
            ReadFile(stream, "x")
        with spooled([]):
            pass  # whoever asked for the cuts took none
    until = time.monotonic() + 20  # a thread closes what it read
    while open_files() > before and time.monotonic() < until:
        time.sleep(0.05)
    assert open_files() == before


def test_what_nobody_foresaw_is_not_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(head: bytes) -> bytes:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("tfbind.reads._end_mark", broken)
    with pytest.raises(RuntimeError, match="unforeseen"):
        runs_of(Case([LOW], []), tmp_path)
