"""The journal of scores: what is in it is not computed again, and nothing else is taken for it."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import tfbind.text
from tfbind.errors import InputError
from tfbind.intervals import IntervalReader, Intervals
from tfbind.journal import HEAD, Checked, Journal, fingerprint

ABOUT = {"the model": "sha256 1", "--chunk": "256"}
TEXT = b"".join(b"chr1\t%d\t%d\n" % (n, n + 1) for n in range(1000))

Scores = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfbind.text, "BLOCK", 500)


class Scorer:
    """Score a bin by where it starts, and count the work."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.scored = 0
        self._dies_at = dies_at

    def __call__(self, batches: Iterator[Checked]) -> Iterator[tuple[Intervals, Scores]]:
        for batch, _ in batches:
            if self._dies_at is not None and self.scored >= self._dies_at:
                raise KeyboardInterrupt
            self.scored += len(batch)
            yield batch, np.stack([batch.starts, -batch.starts], 1).astype(np.float32)


def run(path: Path, scorer: Scorer, text: bytes = TEXT, about: dict[str, str] = ABOUT) -> Scores:
    batches = ((batch, ["chr1"]) for batch in IntervalReader(io.BytesIO(text), "bins.bed"))
    with Journal(path, about, 2) as journal:
        parts = [scores for _, scores in journal.resume(batches, scorer)]
    return np.concatenate(parts)


def interrupted(path: Path, at: int) -> int:
    scorer = Scorer(dies_at=at)
    with pytest.raises(KeyboardInterrupt):
        run(path, scorer)
    return scorer.scored


EXPECTED = np.stack([np.arange(1000), -np.arange(1000)], 1).astype(np.float32)


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = interrupted(path, 300)
    rest = Scorer()
    assert np.array_equal(run(path, rest), EXPECTED)
    assert 300 <= first < 1000
    assert rest.scored == 1000 - first
    done = Scorer()
    assert np.array_equal(run(path, done), EXPECTED)
    assert done.scored == 0


def test_records_need_not_fall_on_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    first = interrupted(path, 300)
    for block, left in ((37, 1000 - first), (4000, 0)):
        monkeypatch.setattr(tfbind.text, "BLOCK", block)
        rest = Scorer()
        assert np.array_equal(run(path, rest), EXPECTED)
        assert rest.scored == left


@pytest.mark.parametrize("lost", [1, 7, 200, HEAD.size + 5])
def test_a_record_that_was_cut_is_computed_again(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "journal"
    first = interrupted(path, 300)
    path.write_bytes(path.read_bytes()[:-lost])
    rest = Scorer()
    assert np.array_equal(run(path, rest), EXPECTED)
    assert rest.scored > 1000 - first


def test_a_byte_that_changed_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = interrupted(path, 300)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    rest = Scorer()
    assert np.array_equal(run(path, rest), EXPECTED)
    assert rest.scored > 1000 - first


def test_a_size_that_makes_no_sense_ends_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    interrupted(path, 300)
    with path.open("ab") as out:
        out.write(struct.pack("<QI32s", 1 << 60, 0, b""))
    assert np.array_equal(run(path, Scorer()), EXPECTED)


def test_a_kill_before_the_first_line_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"--ch')
    assert np.array_equal(run(path, Scorer()), EXPECTED)


def test_scores_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    interrupted(path, 300)
    kept = path.read_bytes()
    with pytest.raises(InputError, match="begun with --chunk 256, but now --chunk is 64") as error:
        run(path, Scorer(), about=ABOUT | {"--chunk": "64"})
    assert error.value.path == path
    with pytest.raises(InputError, match="begun with the genome unknown, but now the genome is x"):
        run(path, Scorer(), about=ABOUT | {"the genome": "x"})
    assert path.read_bytes() == kept


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(b"chr1\t7\t", b"chr1\t6\t"),
        TEXT[: TEXT.index(b"chr1\t100\t")],
        b"",
        TEXT.replace(b"chr1", b"chr2"),
    ],
    ids=["a bin", "shorter", "empty", "a contig"],
)
def test_other_bins_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "journal"
    interrupted(path, 300)
    with pytest.raises(InputError, match="holds scores of other bins than the input"):
        run(path, Scorer(), text=text)


@pytest.mark.parametrize("content", [b"chr1\t0\t5\t0.5\n", b"no line end", b"[1]\n"])
def test_a_file_that_is_no_journal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no journal of scores"):
        run(path, Scorer())
    assert path.read_bytes() == content


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, ABOUT, 2), pytest.raises(InputError, match="in use by another run"):
        Journal(path, ABOUT, 2)


def test_fingerprints_tell_files_apart(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(1 << 20)
    path = tmp_path / "a"
    path.write_bytes(content)
    known = fingerprint(path)
    (tmp_path / "b").write_bytes(content)
    assert fingerprint(tmp_path / "b") == known
    for changed in (content[:-1], content + b"x", b"x" + content[1:], content[:-1] + b"x"):
        path.write_bytes(changed)
        assert fingerprint(path) != known
    path.write_bytes(b"")
    assert fingerprint(path).startswith("0 bytes")
