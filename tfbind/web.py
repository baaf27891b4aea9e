"""Requests over HTTP that are tried again.

The standard library does the talking: it follows redirects, and takes the proxies of the
environment and the certificates of the system.
"""

import re
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from ssl import SSLCertVerificationError
from typing import IO, TypeVar
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit

from tfbind import __version__
from tfbind.errors import InputError

PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)
ADVICE = {
    401: "it is not released, or not for everybody",
    403: "it is not released, or not for everybody",
    404: "there is no such thing; check the accession",
}
LONGEST_WAIT = 600.0
BLOCK = 1 << 18
"""Bytes of a reply that are read at once."""

Result = TypeVar("Result")


class PassingError(Exception):
    """What went wrong with a request that may go well at the next try.

    Parameters
    ----------
    message : str
    after : float, optional
        Seconds to wait, where the server tells.
    """

    def __init__(self, message: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(message)


class RangeRefusedError(Exception):
    """The server has no bytes where the rest of the file was asked for."""


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes
    ----------
    timeout : float
        For a server that sends nothing.
    retries : int
        Tries, after the first, that may fail one after another and get no farther.
    wait : float
        Before the first of them; each of the others waits twice as long as the one before.
    """

    timeout: float = 30.0
    retries: int = 6
    wait: float = 1.0


class _Redirects(request.HTTPRedirectHandler):
    """Go where a server sends on to, and remember where that is.

    Attributes
    ----------
    url : str
        What was asked for last.
    """

    url = ""

    def http_error_302(
        self,
        req: request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
    ) -> HTTPResponse | None:
        """Refuse a place that is no web address, which `urllib` would fail on in many ways."""
        if place := headers.get("Location"):
            place = quote(place, encoding="iso-8859-1", safe=string.punctuation)
            try:
                self.url = checked_url(place, base=req.full_url)
            except InputError:
                fp.close()
                raise
        reply: HTTPResponse | None = super().http_error_302(req, fp, code, msg, headers)
        return reply

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Web:
    """Requests that are tried again.

    Parameters
    ----------
    patience : Patience
    tell : callable
        Gets a line of text before each wait.
    """

    def __init__(
        self, patience: Patience | None = None, tell: Callable[[str], None] = lambda text: None
    ) -> None:
        self.patience = patience or Patience()
        self.tell = tell
        self._opener = request.OpenerDirector()  # not `build_opener`'s: no file:, ftp: or data:
        self._redirects = _Redirects()
        for handler in (
            request.ProxyHandler(),
            request.UnknownHandler(),
            request.HTTPHandler(),
            request.HTTPSHandler(),
            request.HTTPDefaultErrorHandler(),
            self._redirects,
            request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)
        self._opener.addheaders = [("User-Agent", f"tfbind/{__version__}")]

    def reply(self, url: str, headers: Mapping[str, str], what: str) -> HTTPResponse:
        """Ask for a URL, and give the reply, to be closed.

        Raises
        ------
        PassingError, RangeRefusedError
        InputError
            If another try would end alike.
        """
        asked = request.Request(url, headers=dict(headers))
        self._redirects.url = url
        try:
            reply: HTTPResponse = self._opener.open(asked, timeout=self.patience.timeout)
        except HTTPError as error:
            with error:
                raise _refusal(error, what) from None
        except InputError as error:
            raise InputError(f"{urlsplit(url).netloc} sent on: {error}", path=what) from error
        except URLError as error:
            if isinstance(error.reason, str | SSLCertVerificationError):
                raise InputError(f"{error.reason} ({self._asked()})", path=what) from None
            raise PassingError(self._said(error.reason, self._asked())) from error
        except (InvalidURL, ValueError) as error:  # of the proxy, for example
            raise InputError(f"{error} ({self._asked()})", path=what) from None
        except (OSError, HTTPException) as error:
            raise PassingError(self._said(error, self._asked())) from error
        return reply

    def read(self, reply: HTTPResponse, most: int) -> bytes:
        """Read what has come of a reply, some bytes at least; none at its end.

        Raises
        ------
        PassingError
        """
        try:
            return reply.read1(min(most, BLOCK))
        except (OSError, HTTPException) as error:
            raise PassingError(self._said(error, reply.url)) from error

    def _asked(self) -> str:
        """Give the URL that was asked for last, without the signature that may stand behind it."""
        return self._redirects.url.partition("?")[0]

    def _said(self, error: BaseException, url: str) -> str:
        if isinstance(error, TimeoutError):
            return f"{urlsplit(url).netloc} sent nothing for {self.patience.timeout:g} s"
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"{urlsplit(url).netloc}: {said}"

    def retrying(
        self, step: Callable[[], Result], what: str, got: Callable[[], int] = lambda: 0
    ) -> Result:
        """Repeat a step until it ends well; what gets farther than before has all tries anew."""
        failed, farthest = 0, got()
        while True:
            try:
                return step()
            except PassingError as passing:
                if got() > farthest:
                    failed, farthest = 0, got()
                failed += 1
                if failed > self.patience.retries:
                    gave_up = f"{passing}; gave up, retries: {self.patience.retries}"
                    raise InputError(gave_up, path=what) from passing
                doubled: float = self.patience.wait * 2 ** (failed - 1)
                wait = min(max(doubled, passing.after or 0), LONGEST_WAIT)
                again = f"trying again in {wait:g} s ({failed} of {self.patience.retries})"
                self.tell(f"{what}: {passing}; {again}")
                time.sleep(wait)


def _refusal(error: HTTPError, what: str) -> Exception:
    """Say what an HTTP status means for this run."""
    place = error.url.partition("?")[0]  # behind it a signature may stand, of a thousand letters
    status = f"HTTP status {error.code} {printable(str(error.reason))} from {place}"
    if error.code in PASSING_STATUSES:
        return PassingError(status, _seconds(error.headers.get("Retry-After", "")))
    if error.code == 416:
        return RangeRefusedError(status)
    advice = ADVICE.get(error.code)
    return InputError(f"{status}: {advice}" if advice else status, path=what)


def _seconds(retry_after: str) -> float | None:
    """Read the header Retry-After: seconds, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def checked_url(url: str, what: str | None = None, base: str = "") -> str:
    """Refuse what `urllib` would fail on in other ways than a server does, or read from a disk.

    Parameters
    ----------
    url : str
    what : str, optional
        For the message.
    base : str
        Where the URL stood, if it may be relative to that.

    Raises
    ------
    InputError
        If the URL is none of http or https.
    """
    try:
        joined = urljoin(base, url)
        parts = urlsplit(joined)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        (parts.hostname or "").encode("idna")  # as is done when it is looked up
    except ValueError:
        joined, known = url, False
    if not known or not re.fullmatch(r"[!-~]+", joined):
        raise InputError(f"found the URL {joined!r}, expected https://HOST/...", path=what)
    return joined


def printable(text: str) -> str:
    """Put a space for what is no letter or sign: a terminal may obey it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
