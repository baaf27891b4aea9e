"""Text to intervals and back, in bulk, beside a parser that goes line by line."""

import gzip
from io import BytesIO, RawIOBase

import numpy as np
import pyarrow as pa
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfbind.text
from tfbind.errors import InputError
from tfbind.intervals import (
    IntervalReader,
    Intervals,
    bed_lines,
    concatenate,
    merged,
    read_intervals,
)
from tfbind.lines import with_columns

Row = tuple[str, int, int, list[bytes], int]


def read(text: bytes) -> list[Intervals]:
    return list(IntervalReader(BytesIO(text), "test"))


def rows(batches: list[Intervals]) -> list[Row]:
    return [
        (
            batch.contigs[batch.codes[i]],
            int(batch.starts[i]),
            int(batch.ends[i]),
            [column[i].as_py() for column in batch.extra],
            int(batch.numbers[i]),
        )
        for batch in batches
        for i in range(len(batch))
    ]


def naive(text: bytes) -> list[Row]:
    """Read as it is told, a line at a time."""
    found = []
    for number, line in enumerate(text.split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if line.strip() and not line.startswith((b"#", b"track", b"browser")):
            contig, start, end, *extra = line.split(b"\t")
            found.append((contig.decode(), int(start), int(end), extra, number))
    return found


word = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=6
)
contig = word.filter(
    lambda text: text.strip() != "" and not text.startswith(("#", "track", "browser", "\ufeff"))
)
place = st.tuples(contig, st.integers(0, 10**12), st.integers(1, 10**6))
noise = st.sampled_from(["", "", "", "#comment\tx", "track name=x", "browser position x"])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    columns = draw(st.integers(0, 3))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for name, start, length in draw(st.lists(place, max_size=20)):
        if draw(st.integers(0, 3)) == 0:
            lines.append(draw(noise))
        extra = [draw(word) for _ in range(columns)]
        lines.append("\t".join([name, str(start), str(start + length), *extra]))
    text = line_end.join(lines) + (line_end if draw(st.booleans()) else "")
    return text.encode()


@settings(deadline=None)
@given(texts(), st.integers(1, 200))
def test_the_bulk_parser_agrees_with_a_naive_one(text: bytes, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfbind.text, "BLOCK", block)
        batches = read(text)
    assert rows(batches) == naive(text)


@settings(deadline=None)
@given(texts())
def test_text_comes_back(text: bytes) -> None:
    expected = b"".join(
        line + b"\n"
        for line in text.replace(b"\r\n", b"\n").split(b"\n")
        if line.strip() and not line.startswith((b"#", b"track", b"browser"))
    )
    batches = read(text)
    assert b"".join(batch.lines() for batch in batches) == expected
    whole = concatenate(batches)
    assert whole.lines() == expected
    every_other = np.arange(len(whole)) % 2 == 1
    assert whole.select(every_other).lines().splitlines() == expected.splitlines()[1::2]


@settings(deadline=None)
@given(texts(), st.integers(1, 5))
def test_gzip_members_joined_read_as_one(text: bytes, pieces: int) -> None:
    size = len(text) // pieces + 1
    joined = b"".join(gzip.compress(text[i : i + size]) for i in range(0, len(text) + 1, size))
    assert rows(read(joined)) == naive(text)


def bgzf(text: bytes, path: str) -> bytes:
    with pysam.BGZFile(path, "w", None) as stream:
        stream.write(text)
    with open(path, "rb") as raw:
        return raw.read()


LINES = b"".join(b"chr1\t%d\t%d\n" % (i, i + 200) for i in range(0, 500_000, 50))
HEAD = LINES[: LINES.index(b"chr1\t7000\t")]


def test_bgzf_is_read_and_its_end_is_missed(tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = bgzf(LINES, str(tmp_path_factory.mktemp("bgzf") / "x.gz"))
    assert sum(map(len, read(whole))) == 10_000
    for cut in (whole[:-28], whole[:-10], whole[: len(whole) // 2]):
        with pytest.raises(InputError, match=r"^test: the (BGZF|gzip) data are .*cut short"):
            read(cut)


@pytest.mark.parametrize("lost", [1, 8, 9, 5000])
def test_truncated_gzip_is_an_error(lost: int) -> None:
    with pytest.raises(InputError, match=r"^test: the gzip data are damaged or cut short"):
        read(gzip.compress(LINES)[:-lost])


def test_damaged_gzip_is_an_error() -> None:
    damaged = bytearray(gzip.compress(LINES))
    damaged[200:220] = bytes(20)
    with pytest.raises(InputError, match=r"^test: the gzip data are damaged"):
        read(bytes(damaged))
    with pytest.raises(InputError, match=r"^test: the gzip data are damaged"):
        read(gzip.compress(LINES) + b"and more")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"c\t1\n", "line 1: found 2 column(s) in 'c 1', expected at least 3, parted by tabs"),
        (b"c 1 2\n", "line 1: found 1 column(s) in 'c 1 2', expected at least 3"),
        (b"c\t1\t2\nc\t1\t2\t3\n", "line 2: found 4 columns, expected 3 as in the first line"),
        (b"c\t1\t2\tx\nc\t1\t2\n", "line 2: found 3 columns, expected 4 as in the first line"),
        (b"#x\r\n\r\nc\t1\t2\r\nc\tone\t2\r\n", "line 4: found start 'one', expected a number"),
        (b"c\t1\t2.5\n", "line 1: found end '2.5', expected a number of base pairs"),
        (b"c\t-1\t2\n", "line 1: found start '-1', expected a number of base pairs, 0 or more"),
        (b"c\t\t2\n", "line 1: found start '', expected a number"),
        (b"c\t3\t3\n", "line 1: found end 3 at or before start 3, expected start < end"),
        (b"c\t9\t3", "line 1: found end 3 at or before start 9"),
    ],
)
def test_the_first_bad_line_is_named(text: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    assert str(caught.value).startswith(f"test: {message}")


def test_line_numbers_count_over_blocks() -> None:
    text = LINES * 20 + b"#note\n" + LINES * 20 + b"chr1\tx\t5\n"
    with pytest.raises(InputError, match=r"^test: line 400002: found start 'x'"):
        read(text)


def test_header_lines_are_those_above_the_first_interval() -> None:
    reader = IntervalReader(BytesIO(b"#one\n\ntrack x\n#two\r\nc\t1\t2\n#three\n"), "test")
    assert len(list(reader)) == 1
    assert reader.header == ["#one", "#two"]


class _Trickle(RawIOBase):
    """A stream that gives a few bytes at a time, as a slow pipe may."""

    def __init__(self, text: bytes, step: int) -> None:
        self.rest = text
        self.step = step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        step = min(self.step, len(view))
        part, self.rest = self.rest[:step], self.rest[step:]
        view[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("step", [1, 2, 7, 13])
@pytest.mark.parametrize("text", [HEAD + b"chr1\t1\t2", gzip.compress(HEAD, mtime=0)])
def test_a_stream_may_come_in_pieces(text: bytes, step: int) -> None:
    batches = list(IntervalReader(_Trickle(text, step), "test"))  # type: ignore[arg-type]
    plain = text if text.startswith(b"chr") else gzip.decompress(text)
    assert rows(batches) == naive(plain)


def test_runs_are_stretches_on_one_contig() -> None:
    batch = read_intervals(BytesIO(b"a\t1\t2\na\t3\t4\nb\t1\t2\na\t5\t6\n"), "test")
    assert [(name, part.start, part.stop) for name, part in batch.runs()] == [
        ("a", 0, 2),
        ("b", 2, 3),
        ("a", 3, 4),
    ]
    assert list(concatenate([]).runs()) == []


def test_columns_are_appended_and_text_is_written() -> None:
    batch = read_intervals(BytesIO(b"a\t1\t2\tx\nb\t3\t4\ty\n"), "test")
    added = with_columns(batch.text, pa.array(["B", "U"]), pa.array(["1", "2"]))
    assert added == b"a\t1\t2\tx\tB\t1\nb\t3\t4\ty\tU\t2\n"
    starts = np.array([0, 50])
    scores = np.array([0.1, 1e-7], np.float32)
    lines = bed_lines("chr1", starts, starts + 50, scores)
    assert [np.float32(line.split(b"\t")[3]) for line in lines.splitlines()] == scores.tolist()
    assert bed_lines("chr1", starts, starts + 50) == b"chr1\t0\t50\nchr1\t50\t100\n"


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-5, 15)), max_size=20))
def test_merged_covers_the_same_bases(pairs: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in pairs], np.int64)
    ends = starts + np.array([length for _, length in pairs], np.int64)
    covered = np.zeros(80, bool)
    for start, end in zip(starts, ends, strict=True):
        covered[start : max(start, end)] = True
    found = np.zeros(80, bool)
    firsts, lasts = merged(starts, ends)
    for first, last in zip(firsts, lasts, strict=True):
        found[first:last] = True
    assert np.array_equal(found, covered)
    assert (firsts < lasts).all()
    assert (firsts[1:] > lasts[:-1]).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c\t0x10\t200\n", "line 1: found start '0x10'"),
        ("c\t1\t9\nc\t 5\t200\n", "line 2: found start ' 5'"),
        ("c\t5\t200 \n", "line 1: found end '200 '"),
        ("c\t+5\t200\n", "line 1: found start '\\+5'"),
        ("c\t5\t99999999999999999999\n", "line 1: found end 99999999999999999999"),
        ("c\t1\t2\n\t5\t200\n", "line 2: found no contig"),
    ],
)
def test_what_bed_does_not_know_is_no_number(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(text.encode())


def test_contigs_may_begin_like_track_lines() -> None:
    text = b"track name=x\nbrowser position c:1-2\ntrack1\t1\t2\nbrowserX\t3\t4\ntrack\n"
    assert [row[0] for row in rows(read(text))] == ["track1", "browserX"]


def test_a_comment_among_intervals_is_no_header() -> None:
    reader = IntervalReader(BytesIO(b"#above\nc\t1\t2\tU\n#c\t5\t6\tA\nc\t7\t8\tU\n"), "x")
    assert sum(map(len, reader)) == 2
    assert reader.header == ["#above"]


def test_a_byte_order_mark_is_passed_over() -> None:
    (batch,) = read(b"\xef\xbb\xbfc\t1\t2\n")
    assert batch.contigs == ("c",)
    assert batch.lines() == b"c\t1\t2\n"


PARTED = b"#a comment\nchr1\t0\t5\tx\n\nchr1\t5\t9\ty\ntrack name=t\nchr2\t0\t3\tz\nchr2\t3\t6\tw"


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("last", range(5))
def test_a_part_is_a_slice_of_the_whole(first: int, last: int) -> None:
    part = list(IntervalReader(BytesIO(PARTED), "test", part=(first, last)))
    assert rows(part) == rows(read(PARTED))[first:last]


def test_parts_of_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfbind.text, "BLOCK", 64)
    text = b"".join(b"chr1\t%d\t%d\n" % (n, n + 1) for n in range(100))
    assert IntervalReader(BytesIO(text), "test").count_all() == 100
    whole = rows(read(text))
    for first, last in [(0, 100), (0, 1), (3, 50), (50, 99), (99, 100), (60, 60)]:
        part = list(IntervalReader(BytesIO(text), "test", part=(first, last)))
        assert rows(part) == whole[first:last]


def test_counting_passes_over_comments() -> None:
    assert IntervalReader(BytesIO(PARTED), "test").count_all() == 4
    assert IntervalReader(BytesIO(gzip.compress(PARTED)), "test").count_all() == 4
    assert IntervalReader(BytesIO(b""), "test").count_all() == 0
