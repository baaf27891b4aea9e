"""What the portal may tell of a file, and what of that is believed."""

import json
from typing import Any

import pytest
from fake_portal import (
    ACCESSION,
    EXPERIMENT,
    NAME,
    OTHER,
    PAGE,
    THIRD,
    Site,
    answers,
    chunked,
    hangs_up,
)

from tfbind.errors import InputError
from tfbind.portal import Portal
from tfbind.web import Patience, Web


def portal(site: Site) -> Portal:
    return Portal(site.url, Web(Patience(timeout=0.5, retries=1, wait=0.01), site.notes.append))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"file_size": -1}, "has the file_size -1, expected a number of bytes"),
        ({"file_size": "5"}, "has the file_size '5'"),
        ({"file_size": True}, "has the file_size True"),
        ({"file_size": None}, "has the file_size None"),
        ({"md5sum": None}, "has the md5sum None, expected 32 hexadecimal digits"),
        ({"md5sum": "x" * 32}, "has the md5sum 'xxx"),
        ({"accession": OTHER, "href": f"/x/{OTHER}"}, f"the portal told of {OTHER} instead"),
        ({"accession": "../../x"}, r"has the accession '../../x', expected that of a file"),
        ({"accession": ["ENCFF000VUS"]}, "has the accession ['ENCFF000VUS']"),
        ({"no_file_available": True}, "the portal tells of this file but does not have it"),
        ({"href": None}, "has the href None, expected one that ends in a name such as ENCFF000VUS"),
        ({"href": "/files/../../x"}, "has the href '/files/../../x'"),
        ({"href": "/x/ENCFF000VUS.bed%2f..%2f..%2fx"}, "has the href"),
        ({"href": "/x/..%2fENCFF000VUS.bed%00"}, "has the href"),
        ({"href": "/x/ENCFF000VUS..part"}, "has the href"),
        ({"href": "file:///etc/ENCFF000VUS"}, "found the URL 'file:///etc/ENCFF000VUS', expected"),
        ({"href": "http://[::1/ENCFF000VUS"}, "found the URL"),
        ({"href": "/x y/ENCFF000VUS.bam"}, "found the URL"),
    ],
)
def test_a_reply_that_cannot_be_right(changed: dict[str, Any], said: str, site: Site) -> None:
    site.tell(**changed)
    with pytest.raises(InputError) as refused:
        portal(site).file(ACCESSION)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{ACCESSION}: ")


def test_a_place_that_ends_in_a_slash_names_the_file(site: Site) -> None:
    site.tell(href="/x/ENCFF000VUS/")
    assert portal(site).file(ACCESSION).name == ACCESSION


def test_an_odd_file_does_not_hide_the_others(site: Site) -> None:
    odd = [
        site.tell(OTHER, file_size=None, status="uploading"),
        site.tell(THIRD, href="/x/y"),
        site.tell(accession="TSTFF000VUS"),
        site.tell(accession=None) | {"@id": "/files/new\x1b/"},
        {},
    ]
    site.told[EXPERIMENT] = {"accession": EXPERIMENT, "files": [*odd, site.tell()]}
    assert [file.accession for file in portal(site).files(EXPERIMENT)] == [ACCESSION]
    left = f"{EXPERIMENT}: left out "
    assert [note.partition(", expected")[0] for note in site.notes] == [
        f"{left}{OTHER}: the portal's reply has the file_size None",
        f"{left}{THIRD}: the portal's reply has the href '/x/y'",
        f"{left}TSTFF000VUS: the portal's reply has the accession 'TSTFF000VUS'",
        f"{left}/files/new /: the portal's reply has the accession None",
        f"{left}a file without a name: the portal's reply has the accession None",
    ]


@pytest.mark.parametrize("told", ["ENCSR999ZZZ", None], ids=str)
def test_files_of_another_experiment(told: str | None, site: Site) -> None:
    reply = {"accession": told, "files": [site.tell()]}
    site.told[EXPERIMENT] = reply
    with pytest.raises(InputError, match=f"the portal told of {told or 'nothing'} instead"):
        portal(site).files(EXPERIMENT)
    if told:
        site.told[EXPERIMENT] = reply | {"alternate_accessions": [EXPERIMENT]}
        assert len(portal(site).files(EXPERIMENT)) == 1
        assert site.notes == [f"{EXPERIMENT} was replaced by {told}, which is taken"]


@pytest.mark.parametrize("body", [PAGE, b"[]", b"", b"[" * 100_000, b"\xff\xfe", b"1e999999"])
def test_what_is_no_json(body: bytes, site: Site) -> None:
    site.json_faults = [answers(200, body)]
    with pytest.raises(InputError, match=r"expected JSON from .*, found what begins with b'") as no:
        portal(site).file(ACCESSION)
    assert len(str(no.value)) < 500


def test_a_reply_that_breaks_off_is_asked_for_again(site: Site) -> None:
    site.json_faults = [lambda handler: handler.start(200, Content_Length="9")]
    assert portal(site).file(ACCESSION).name == NAME
    assert site.notes[0].endswith("broke off; trying again in 0.01 s (1 of 1)")
    site.content = json.dumps(site.told[ACCESSION]).encode()
    site.json_faults = [chunked(5), chunked()]
    assert portal(site).file(ACCESSION).name == NAME
    site.json_faults = [hangs_up, hangs_up]
    with pytest.raises(InputError, match="without response"):
        portal(site).file(ACCESSION)


def test_a_replaced_file(site: Site) -> None:
    site.told[OTHER] = site.tell(alternate_accessions=[OTHER])
    assert portal(site).file(OTHER).accession == ACCESSION
    assert site.notes == [f"{OTHER} was replaced by {ACCESSION}, which is taken"]


def test_what_a_server_says_does_not_command_the_terminal(site: Site) -> None:
    site.json_faults = [answers(404, reason="\x1b[31mNo")]
    with pytest.raises(InputError, match=r"HTTP status 404  \[31mNo from http://127"):
        portal(site).file(ACCESSION)
