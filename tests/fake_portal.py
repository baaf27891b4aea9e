"""A server that speaks as the ENCODE portal does, and fails as servers fail, when it is told to."""

import contextlib
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

ACCESSION, NAME = "ENCFF000VUS", "ENCFF000VUS.bed.gz"
OTHER, THIRD, EXPERIMENT = "ENCFF000VUQ", "ENCFF000VUR", "ENCSR000AES"
PAGE = b"<!DOCTYPE html><title>Log in</title>"

Fault = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: "Server"

    def do_GET(self) -> None:
        site = self.server.site
        path = re.sub("^http://[^/]*", "", self.path)  # whole where this is the proxy
        site.seen.append((path, {name: self.headers[name] for name in self.headers}))
        script = site.faults if "@@download" in path else site.json_faults
        with contextlib.suppress(ConnectionError):  # a client that stops waiting
            (script.pop(0) if script else serve)(self)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def start(self, status: int, /, *, reason: str | None = None, **headers: str) -> None:
        """Send the head of a reply; _ stands for - in the names of its headers."""
        self.send_response(status, reason)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """A server that knows what it serves."""

    daemon_threads = True
    request_queue_size = 20

    def __init__(self, site: "Site") -> None:
        self.site = site
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: object) -> None:
        """Let a broken connection be."""


class Site:
    """What is served, and how.

    Attributes
    ----------
    content : bytes
        Of every file.
    told : dict of str to dict
        What the portal tells of each accession.
    faults, json_faults : list
        Taken one by one for the coming requests; then all goes well.
    notes : list of str
        What a client was told, where a test wants it.
    seen : list
        The path and the headers of each request.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag: str | None = '"one"'
        self.told: dict[str, dict[str, Any]] = {}
        self.faults: list[Fault] = []
        self.json_faults: list[Fault] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.url = ""
        self.notes: list[str] = []
        self.closing = threading.Event()

    def tell(self, accession: str = ACCESSION, /, **changed: object) -> dict[str, Any]:
        """Describe a file as the portal would, with some values changed."""
        self.told[accession] = {
            "@id": f"/files/{accession}/",
            "@type": ["File", "Item"],
            "accession": accession,
            "alternate_accessions": [],
            "assembly": "hg19",
            "biological_replicates": [1, 2],
            "dataset": "/experiments/ENCSR000AES/",
            "file_format": "bed",
            "file_type": "bed narrowPeak",
            "file_size": len(self.content),
            "href": f"/files/{accession}/@@download/{accession}.bed.gz",
            "md5sum": hashlib.md5(self.content).hexdigest(),
            "output_type": "peaks",
            "status": "released",
        } | changed
        return self.told[accession]

    def ranges(self) -> list[str | None]:
        """List what was asked for of files, request for request."""
        return [headers.get("Range") for path, headers in self.seen if "@@download" in path]


@contextmanager
def serving(site: Site, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve from a thread, over HTTPS if it is told how."""
    server = Server(site)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


# What a server may do with a request


def serve(handler: Handler) -> None:
    """Do as HTTP says."""
    site = handler.server.site
    if "@@download" in handler.path:
        send(handler)
        return
    found = re.search(r"/(ENC(?:FF|SR)\w+)/\?", handler.path)
    told = site.told.get(found[1]) if found else None
    text = json.dumps(told or {"@type": ["HTTPNotFound", "Error"], "code": 404}).encode()
    handler.start(
        200 if told else 404, Content_Length=str(len(text)), Content_Type="application/json"
    )
    handler.wfile.write(text)


def send(
    handler: Handler,
    *,
    upto: int | None = None,
    ranges: bool = True,
    if_range: bool = True,
    length: int | None = None,
    told: bool = True,
) -> None:
    """Send the file or the part that was asked for; not all of it, or untruly, if told so."""
    site = handler.server.site
    headers = {"Content_Type": "binary/octet-stream"} | ({"ETag": site.etag} if site.etag else {})
    whole = len(site.content)
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = not if_range or handler.headers.get("If-Range", site.etag) == site.etag
    first = int(asked[1]) if asked and ranges and same else 0
    if first >= whole > 0:
        handler.start(416, Content_Length="0", Content_Range=f"bytes */{whole}")
        return
    rest = site.content[first:]
    if asked and ranges and same:
        headers["Content_Range"] = f"bytes {first}-{whole - 1}/{whole}"
    if told:
        headers["Content_Length"] = str(len(rest) if length is None else length)
    handler.start(206 if "Content_Range" in headers else 200, **headers)
    handler.wfile.write(rest[:upto])
    handler.wfile.flush()


def breaks(upto: int, **how: Any) -> Fault:
    """Close the connection after so many bytes of the reply."""
    return lambda handler: send(handler, upto=upto, **how)


def resets(upto: int) -> Fault:
    """Reset the connection after so many bytes."""

    def fault(handler: Handler) -> None:
        send(handler, upto=upto)
        linger = struct.pack("ii", 1, 0)
        connection = cast(socket.socket, handler.connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.rfile.close()
        handler.wfile.close()
        connection.close()

    return fault


def stalls(upto: int) -> Fault:
    """Send so many bytes and then nothing more."""

    def fault(handler: Handler) -> None:
        send(handler, upto=upto)
        handler.server.site.closing.wait(60)

    return fault


def drips(blocks: int, pause: float) -> Fault:
    """Send the file in so many blocks, with pauses, to be stopped on the way."""

    def fault(handler: Handler) -> None:
        site = handler.server.site
        handler.start(200, Content_Length=str(len(site.content)))
        size = -(-len(site.content) // blocks)
        for start in range(0, len(site.content), size):
            handler.wfile.write(site.content[start : start + size])
            if site.closing.wait(pause):
                return

    return fault


def answers(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Answer with a status of its own."""

    def fault(handler: Handler) -> None:
        handler.start(status, Content_Length=str(len(body)), **headers)
        handler.wfile.write(body)

    return fault


def hangs_up(handler: Handler) -> None:
    """Close the connection without a word."""


def moved(url: str, status: int = 307) -> Fault:
    """Send on to the same path of another server."""

    def fault(handler: Handler) -> None:
        handler.start(status, Content_Length="0", Location=url + handler.path)

    return fault


def chunked(upto: int | None = None) -> Fault:
    """Send the file in chunks, its length untold; end without the last one if told where."""

    def fault(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.close_connection = True
        handler.start(200, Transfer_Encoding="chunked")
        body = handler.server.site.content[:upto]
        for start in range(0, len(body), 1000):
            block = body[start : start + 1000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        if upto is None:
            handler.wfile.write(b"0\r\n\r\n")

    return fault


def after(change: Callable[[Site], object], fault: Fault = serve) -> Fault:
    """Change what is served, and go on."""

    def changed(handler: Handler) -> None:
        change(handler.server.site)
        fault(handler)

    return changed
