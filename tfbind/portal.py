"""What the ENCODE portal tells of a file, by its accession."""

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from tfbind.errors import InputError
from tfbind.web import PassingError, Web, checked_url, printable

FILE_ACCESSION = re.compile(r"ENCFF[0-9]{3}[A-Z]{3}")
DATASET_ACCESSION = re.compile(r"ENCSR[0-9]{3}[A-Z]{3}")
COLUMNS = ("accession", "format", "output_type", "assembly", "size", "md5", "replicates", "status")
LONGEST_REPLY = 1 << 27
"""Bytes; the description of an experiment of a thousand files has some millions."""


@dataclass(frozen=True)
class PortalFile:
    """A file as the portal tells of it: `size` in bytes, `md5` in hexadecimal digits."""

    accession: str
    format: str
    output_type: str
    assembly: str
    size: int
    md5: str
    replicates: str
    status: str
    url: str
    name: str

    def row(self) -> tuple[str, ...]:
        """Give the values of `COLUMNS`."""
        return tuple(str(getattr(self, column)) for column in COLUMNS)


class Portal:
    """The portal, or another server that speaks as it does.

    Parameters
    ----------
    url : str
        Such as `ENCODE`.
    web : Web

    Raises
    ------
    InputError
        If the URL is none of http or https.
    """

    def __init__(self, url: str, web: Web) -> None:
        self._url = checked_url(url.rstrip("/") + "/", "the portal")
        self._web = web

    def file(self, accession: str) -> PortalFile:
        """Describe a file; one that was replaced stands for the accession it had before.

        Raises
        ------
        InputError
            If there is none, it cannot be downloaded, or the reply is not as the portal's are.
        """
        found = self._json(f"files/{accession}/?frame=object&format=json", accession)
        described = self._described(found, accession)
        self._refuse_other(found, accession)
        return described

    def files(self, accession: str) -> list[PortalFile]:
        """Describe all files of an experiment or another dataset that can be downloaded.

        Those that cannot, or are described in another way than the portal's are, are told of.

        Raises
        ------
        InputError
            If there is no such dataset, or the reply lists no files.
        """
        found = self._json(f"{accession}/?format=json", accession)
        self._refuse_other(found, accession)
        listed = found.get("files")
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise InputError("the portal's reply lists no files for it", path=accession)
        there = [one for one in listed if not one.get("no_file_available")]
        if len(there) < len(listed):
            self._web.tell(f"{accession}: {len(listed) - len(there)} files are not on the portal")
        return [file for one in there if (file := self._fit(one, accession))]

    def _fit(self, found: dict[str, Any], dataset: str) -> PortalFile | None:
        """Describe a file of a dataset; tell of one that cannot be downloaded."""
        try:
            return self._described(found, dataset)
        except InputError as error:
            name = _text(found.get("accession") or found.get("@id"))[:40] or "a file without a name"
            self._web.tell(f"{dataset}: left out {name}: {error.message}")
            return None

    def _refuse_other(self, found: dict[str, Any], asked: str) -> None:
        """Refuse the description of something else; what was replaced keeps its accession."""
        told, former = _text(found.get("accession"))[:40], found.get("alternate_accessions")
        if told == asked:
            return
        if not told or not isinstance(former, list) or asked not in former:
            raise InputError(f"the portal told of {told or 'nothing'} instead", path=asked)
        self._web.tell(f"{asked} was replaced by {told}, which is taken")

    def _json(self, path: str, accession: str) -> dict[str, Any]:
        url = urljoin(self._url, path)

        def ask() -> bytes:
            with self._web.reply(url, {"Accept": "application/json"}, accession) as reply:
                text = bytearray()
                while block := self._web.read(reply, LONGEST_REPLY - len(text)):
                    text += block
                if reply.length:  # no error says that some are missing
                    raise PassingError(f"the reply from {urlsplit(reply.url).netloc} broke off")
                return bytes(text)

        text = self._web.retrying(ask, accession)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InputError(
                f"expected JSON from {url}, found what begins with {text[:40]!r}; is it the "
                "portal's URL, and does no login page stand between?",
                path=accession,
            )
        return found

    def _described(self, found: dict[str, Any], asked: str) -> PortalFile:
        """Read the description of a file, with all that a download relies on."""

        def refuse(key: str, expected: str) -> InputError:
            said = f"the portal's reply has the {key} {found.get(key)!r}, expected {expected}"
            return InputError(said, path=asked)

        accession = found.get("accession")
        if not isinstance(accession, str) or not FILE_ACCESSION.fullmatch(accession):
            raise refuse("accession", "that of a file, as ENCFF000ABC")
        if found.get("no_file_available"):
            raise InputError("the portal tells of this file but does not have it", path=asked)
        size, md5, href = (found.get(key) for key in ("file_size", "md5sum", "href"))
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise refuse("file_size", "a number of bytes")
        if not isinstance(md5, str) or not re.fullmatch("[0-9a-f]{32}", md5):
            raise refuse("md5sum", "32 hexadecimal digits")
        url = checked_url(href, asked, self._url) if isinstance(href, str) else ""
        # The name becomes a path here: nothing but the accession and what says the format.
        name = PurePosixPath(unquote(urlsplit(url).path)).name
        if not re.fullmatch(rf"{accession}(\.[A-Za-z0-9]+)*", name):
            raise refuse("href", f"one that ends in a name such as {accession}.bed.gz")
        replicates = found.get("biological_replicates")
        return PortalFile(
            accession=accession,
            format=_text(found.get("file_type") or found.get("file_format")),
            output_type=_text(found.get("output_type")),
            assembly=_text(found.get("assembly")),
            size=size,
            md5=md5,
            replicates=",".join(map(_text, replicates)) if isinstance(replicates, list) else "",
            status=_text(found.get("status")),
            url=url,
            name=name,
        )


def _text(value: object) -> str:
    """Give a value as one field of a table."""
    return "" if value is None else printable(str(value))
