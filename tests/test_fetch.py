"""Downloads: they go on where they broke off, and nothing but the portal's file gets a name."""

import errno
import hashlib
import os
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from fake_portal import (
    ACCESSION,
    NAME,
    PAGE,
    Fault,
    Site,
    after,
    answers,
    breaks,
    chunked,
    hangs_up,
    resets,
    send,
    stalls,
)

from tfbind.errors import InputError
from tfbind.fetching import DiskError, Part, fetch, is_complete
from tfbind.portal import Portal, PortalFile
from tfbind.web import Patience, Web


class Client:
    """Fetch as the command does, with little patience; keep what was told."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.told: list[str] = []
        self.web = Web(Patience(timeout=0.5, retries=3, wait=0.01), self.told.append)
        self.target = folder / NAME
        self.part = folder / f"{NAME}.part"
        self.advanced = 0.0
        self._site = site

    def file(self, accession: str = ACCESSION) -> PortalFile:
        return Portal(self._site.url, self.web).file(accession)

    def fetch(self) -> int:
        return fetch(self.file(), self.target, self.web, self._advance)

    def fails(self) -> str:
        with pytest.raises(InputError) as failed:
            self.fetch()
        assert not self.target.exists()
        return str(failed.value)

    def is_complete(self) -> bool:
        return is_complete(self.file(), self.target, self._advance)

    def _advance(self, amount: float, note: str = "") -> None:
        self.advanced += amount


@pytest.fixture
def client(site: Site, tmp_path: Path) -> Client:
    return Client(site, tmp_path)


# Transfers that break off


def test_a_file_comes_whole(client: Client, site: Site, content: bytes) -> None:
    assert not client.is_complete()
    assert client.fetch() == len(content) == client.advanced
    assert client.target.read_bytes() == content
    assert not client.part.exists()
    assert client.is_complete()
    assert site.ranges() == [None]
    assert client.target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert site.seen[0][0] == f"/files/{ACCESSION}/?frame=object&format=json"
    assert site.seen[0][1]["User-Agent"].startswith("tfbind/")
    assert site.seen[1][1]["Accept-Encoding"] == "identity"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    "fault", [breaks(9000), resets(9000), stalls(9000)], ids=["breaks", "resets", "stalls"]
)
def test_a_broken_transfer_goes_on(
    fault: Fault, client: Client, site: Site, content: bytes
) -> None:
    site.faults = [fault]
    got = client.fetch()
    assert client.target.read_bytes() == content
    first, second = site.ranges()
    assert first is None
    assert second is not None
    begun = int(second.removeprefix("bytes=").removesuffix("-"))
    assert 0 < begun <= 9000  # a reset may lose what was on the way
    assert got == client.advanced == len(content)
    assert site.seen[-1][1]["If-Range"] == '"one"'
    assert [line for line in client.told if "trying again in 0.01 s (1 of 3)" in line]


def test_all_tries_are_had_anew_where_more_came(client: Client, site: Site, content: bytes) -> None:
    site.faults = [breaks(1000) for _ in range(12)]
    assert client.fetch() == len(content)
    assert len(site.ranges()) == 13
    assert [line for line in client.told if "(2 of 3)" in line] == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (answers(500), "HTTP status 500 Internal Server Error from"),
        (answers(503), "HTTP status 503"),
        (answers(429, Retry_After="0"), "HTTP status 429"),
        (hangs_up, "without response"),
        (stalls(0), "sent nothing for 0.5 s"),
    ],
    ids=["500", "503", "429", "hangs up", "stalls"],
)
def test_a_server_that_fails_is_tried_again(
    fault: Fault, said: str, client: Client, site: Site, content: bytes
) -> None:
    site.faults, site.json_faults = [fault, fault], [fault]
    if said.startswith("sent"):
        site.faults, site.json_faults = [fault], []
    assert client.fetch() == len(content)
    assert client.target.read_bytes() == content
    assert said in client.told[0]


FAR = "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"


@pytest.mark.parametrize(
    ("wait", "expected"),
    [("1", 1.0), ("in an hour", 600.0), ("x", 0.01), ("-1", 0.01), (FAR, 0.01)],
    ids=["seconds", "date", "word", "negative", "beyond all dates"],
)
def test_a_server_says_how_long_to_wait(
    wait: str, expected: float, client: Client, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tfbind.web.time.sleep", slept.append)
    if wait == "in an hour":
        wait = formatdate(time.time() + 3600, usegmt=True)
    site.json_faults = [answers(429, Retry_After=wait)]
    assert client.file().accession == ACCESSION
    assert slept == [expected]


def test_waits_grow(client: Client, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tfbind.web.time.sleep", slept.append)
    site.json_faults = [answers(502)] * 4
    with pytest.raises(InputError, match=r"502 .*; gave up, retries: 3"):
        client.file()
    assert slept == [0.01, 0.02, 0.04]


def test_what_came_is_kept_when_a_server_fails_for_good(
    client: Client, site: Site, content: bytes
) -> None:
    site.faults = [breaks(9000), *[answers(503)] * 3]
    said = client.fails()
    assert f"{client.part} keeps 9,000 of {len(content):,} bytes: run this again" in said
    assert client.part.read_bytes() == content[:9000]
    site.seen.clear()
    client.advanced = 0
    assert client.fetch() == len(content) - 9000
    assert client.advanced == len(content)
    assert client.target.read_bytes() == content
    assert site.ranges() == ["bytes=9000-"]
    assert client.told[-1] == f"{NAME}: going on behind 9,000 of {len(content):,} bytes"


def test_a_server_that_never_sends_a_byte_leaves_nothing(client: Client, site: Site) -> None:
    site.faults = [hangs_up] * 9
    assert "without response" in client.fails()
    assert list(client.part.parent.iterdir()) == []


# Servers that know no ranges, or whose file changes


def test_a_server_without_ranges_begins_again(client: Client, site: Site, content: bytes) -> None:
    site.faults = [breaks(9000), lambda handler: send(handler, ranges=False)]
    assert client.fetch() == 9000 + len(content)
    assert client.target.read_bytes() == content
    assert client.advanced == len(content)


def test_no_end_of_tries_without_ranges_is_no_endless_loop(client: Client, site: Site) -> None:
    site.faults = [breaks(9000, ranges=False) for _ in range(20)]
    assert "; gave up, retries: 3" in client.fails()
    assert len(site.ranges()) == 4


def test_a_file_that_changes_between_two_tries_is_fetched_anew(
    client: Client, site: Site, content: bytes
) -> None:
    other = bytes(reversed(content))
    site.content = other
    site.faults = [breaks(9000), after(lambda site: _swap(site, content))]
    client.fetch()
    assert client.target.read_bytes() == content
    assert site.ranges() == [None, "bytes=9000-"]


def _swap(site: Site, content: bytes, etag: str | None = '"two"') -> None:
    site.content, site.etag = content, etag


@pytest.mark.parametrize("etag", ['"two"', "", 'W/"weak"'])
def test_a_file_that_changes_under_a_server_without_if_range(
    etag: str, client: Client, site: Site, content: bytes
) -> None:
    site.content = bytes(reversed(content))
    if etag != '"two"':  # then the md5 alone can tell
        site.etag = etag or None
    change = after(
        lambda site: _swap(site, content, etag or None),
        lambda handler: send(handler, if_range=False),
    )
    site.faults = [breaks(9000), change]
    client.fetch()
    assert client.target.read_bytes() == content
    assert site.ranges() == [None, "bytes=9000-", None]
    told = "of another file" if etag == '"two"' else "do not fit; starting again"
    assert [line for line in client.told if told in line]


@pytest.mark.parametrize("where", ["bytes 5000-9999/{0}", "bytes x", "bytes 0-9/{0}", ""])
def test_another_part_than_that_asked_for(
    where: str, client: Client, site: Site, content: bytes
) -> None:
    other = answers(206, b"x" * 10, Content_Range=where.format(len(content)))
    site.faults = [breaks(9000), other]
    client.fetch()
    assert client.target.read_bytes() == content


def test_a_range_that_is_refused(client: Client, site: Site, content: bytes) -> None:
    client.part.write_bytes(content[:9000])
    site.faults = [answers(416)]
    client.fetch()
    assert client.target.read_bytes() == content
    assert site.ranges() == ["bytes=9000-", None]
    client.target.unlink()
    site.faults = [answers(416)]
    assert "HTTP status 416" in client.fails()


# What an earlier run left


def test_a_whole_part_needs_no_request(client: Client, site: Site, content: bytes) -> None:
    client.part.write_bytes(content)
    assert client.fetch() == 0
    assert client.target.read_bytes() == content
    assert site.ranges() == []


@pytest.mark.parametrize("left", [9000, 23496, 50000, 0])
def test_a_part_of_another_file_is_dropped(
    left: int, client: Client, site: Site, content: bytes
) -> None:
    assert len(content) == 23496
    client.part.write_bytes(b"x" * left)
    client.fetch()
    assert client.target.read_bytes() == content
    assert client.advanced == len(content)


def test_a_part_in_use_is_left_alone(client: Client, site: Site, content: bytes) -> None:
    import fcntl

    client.part.write_bytes(content[:9000])
    with open(client.part, "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "is in use by another run; wait until that has ended" in client.fails()
    assert client.part.read_bytes() == content[:9000]
    client.fetch()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_part_that_is_no_file_of_an_earlier_run(
    kind: str, client: Client, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "mine"
    elsewhere.write_bytes(b"mine")
    if kind == "link":
        client.part.symlink_to(elsewhere)
    else:
        os.mkfifo(client.part)
    assert f"{client.part}: is a link, a pipe or a device" in client.fails()
    assert elsewhere.read_bytes() == b"mine"
    assert client.part.is_symlink() or client.part.is_fifo()


class Failing:
    def truncate(self, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_fails_is_no_server_that_fails(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        Part(client.part, client.file(), client._advance) as part,
        monkeypatch.context() as changed,
    ):
        changed.setattr(part, "_stream", Failing())
        with pytest.raises(DiskError, match="part: cannot be written: Input/output error"):
            part.restart()


# Servers that lie


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(
    client: Client, site: Site, content: bytes
) -> None:
    site.tell(md5sum="0" * 32)
    said = client.fails()
    md5 = hashlib.md5(content).hexdigest()
    assert f"{NAME}: has the md5 {md5}, where the portal tells {'0' * 32}; it is removed" in said
    assert list(client.part.parent.iterdir()) == []
    assert site.ranges() == [None]


def test_pieces_with_a_wrong_checksum_are_tried_once_more(client: Client, site: Site) -> None:
    site.tell(md5sum="0" * 32)
    site.faults = [breaks(9000)]
    assert "has the md5" in client.fails()
    assert site.ranges() == [None, "bytes=9000-", None]
    assert list(client.part.parent.iterdir()) == []


@pytest.mark.parametrize("by", [-1, 1, 10**12])
def test_another_length_than_the_portal_tells(
    by: int, client: Client, site: Site, content: bytes
) -> None:
    size = len(content) + by
    site.tell(file_size=size)
    said = client.fails()
    assert f"has {len(content):,} bytes, where the portal tells {size:,}" in said
    assert list(client.part.parent.iterdir()) == []


@pytest.mark.parametrize("length", [None, 10])
def test_a_length_that_the_server_tells_untruly(
    length: int | None, client: Client, site: Site, content: bytes
) -> None:
    if length is None:
        site.faults = [chunked(9000), chunked(), lambda handler: send(handler, told=False)]
        client.fetch()
        assert client.target.read_bytes() == content
        return
    site.faults = [lambda handler: send(handler, length=length)]
    assert "has 10 bytes, where the portal tells 23,496" in client.fails()


def test_bytes_without_end_are_cut(client: Client, site: Site, content: bytes) -> None:
    site.content = content + b"more" * 100_000
    site.faults = [lambda handler: send(handler, told=False)]
    client.fetch()
    assert client.target.read_bytes() == content


def test_a_web_page_is_no_file_and_what_came_is_kept(
    client: Client, site: Site, content: bytes
) -> None:
    site.faults = [breaks(9000), answers(200, PAGE, Content_Type="text/html; charset=utf-8")]
    assert "sent a web page instead; does a login page" in client.fails()
    assert client.part.read_bytes() == content[:9000]


def test_an_empty_file(client: Client, site: Site) -> None:
    site.content = b""
    site.tell()
    assert client.fetch() == 0
    assert client.target.read_bytes() == b""
