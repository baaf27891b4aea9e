"""`tfbind fetch`."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfbind.errors import InputError

from .options import Force, Quiet
from .progress import Advance, progress, say
from .streams import is_pipe_or_device, reading, refuse_existing, writing

if TYPE_CHECKING:
    from tfbind.portal import Portal, PortalFile
    from tfbind.web import Web

TSV = "\t"


def fetch(
    accessions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ACCESSION",
            help="Files, ENCFF...; - is standard input, an accession a line, in the first column.",
        ),
    ] = None,
    listed: Annotated[
        bool,
        typer.Option(
            "--list",
            "--dry-run",
            help="Print what would be downloaded; an experiment, ENCSR..., stands for its files.",
        ),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER|FILE",
            help="Write into this folder, under the portal's names, or one file under this name; "
            "with --list, the list. Default: this folder; the list to standard output.",
        ),
    ] = None,
    portal: Annotated[
        str,
        typer.Option(metavar="URL", envvar="TFBIND_PORTAL", help="The portal."),
    ] = "https://www.encodeproject.org",
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Try again where nothing came for so long."),
    ] = 30.0,
    retries: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Try again so many times, one after another, without getting farther, after 1, 2, "
            "4, ... seconds or what the server asks for.",
        ),
    ] = 6,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Download files of the ENCODE portal by their accessions.

    The bytes go to FILE.part, which becomes FILE when its length and its md5 are those that the
    portal tells. Run again after whatever ended it, the same command goes on where it was; a file
    that is complete already is left as it is. Of several files one that fails is told, and the
    others are fetched; the status is 1 then. Proxies are those of the environment (https_proxy).

    With --list nothing is downloaded: writes a line a file, tab-separated, behind a # header:
    accession, format, output type, assembly, size in bytes, md5, replicates, status.

    For example:

    \b
        tfbind fetch ENCFF000VUS -o K562.bam
        tfbind fetch --list ENCSR000AES | awk -F'\\t' '$2 == "bigWig" && $4 == "hg19"' \\
          | tfbind fetch -
        grep -o 'ENCFF[0-9A-Z]*' files.txt | tfbind fetch - -o tracks/
    """
    from tfbind.portal import Portal
    from tfbind.web import Patience, Web

    if not 0 < timeout <= 86400:
        raise typer.BadParameter(
            f"found --timeout {timeout:g}, expected seconds above 0, up to 86400, a day"
        )
    if listed:
        refuse_existing("-" if output is None else output, force=force)
    wanted = list(dict.fromkeys(_accessions(accessions or ["-"])))
    if not wanted:
        raise InputError("holds no accession, expected one a line", path="standard input")
    folder = "." if output is None else output
    if not listed:
        _check_output(wanted, folder)
    web = Web(Patience(timeout, retries), tell=lambda text: say(text, quiet=quiet))
    files = _described(Portal(portal, web), wanted, quiet)
    if listed:
        _write_list(files, "-" if output is None else output, force=force)
        return
    targets = [(file, _target(file, folder)) for file in files]
    if not force:
        _refuse_others(targets)
    _download(targets, web, force=force, quiet=quiet)


def _accessions(given: list[str]) -> Iterator[str]:
    """Read accessions from the arguments, and from standard input where - stands."""
    from tfbind.text import text_blocks

    if given.count("-") > 1:
        raise typer.BadParameter("- stands twice; standard input can be read once")
    for accession in given:
        if accession != "-":
            if not _is_known(accession):
                raise typer.BadParameter(_expected(accession))
            yield accession
            continue
        with reading("-", what="an ACCESSION") as (stream, path):
            text = b"".join(text_blocks(stream, path)).decode("utf-8", "replace")
            yield from _lines(text.split("\n"), path)


def _lines(lines: list[str], path: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        accession, *_ = line.split() or [""]
        if accession and not accession.startswith("#"):
            if not _is_known(accession):
                raise InputError(_expected(accession), path=path, line=number)
            yield accession


def _is_known(accession: str) -> bool:
    from tfbind.portal import DATASET_ACCESSION, FILE_ACCESSION

    return any(kind.fullmatch(accession) for kind in (FILE_ACCESSION, DATASET_ACCESSION))


def _expected(accession: str) -> str:
    return f"found {accession[:40]!r}, expected an accession such as ENCFF000ABC"


def _check_output(wanted: list[str], output: str) -> None:
    """Refuse, before the portal is asked, what cannot be written."""
    for accession in wanted:
        if accession.startswith("ENCSR"):
            raise InputError(
                f"is an experiment, expected a file, ENCFF...; tfbind fetch --list {accession} "
                "prints its files",
                path=accession,
            )
    if os.path.isdir(output):
        return
    if output == "-":
        raise typer.BadParameter("a file has to be checked before it is used: give -o FILE")
    if not output or output.endswith("/") or len(wanted) > 1:
        raise InputError("is no folder; make it first: mkdir", path=output or "-o ''")
    if is_pipe_or_device(output):
        raise InputError("is a pipe or a device, expected the name of a file", path=output)


def _described(portal: "Portal", wanted: list[str], quiet: bool) -> "list[PortalFile]":
    """Ask the portal for every file before the first is downloaded."""
    found: list[PortalFile] = []
    with progress("ask", "accessions", total=len(wanted), quiet=quiet) as advance:
        for accession in wanted:
            if accession.startswith("ENCSR"):
                found += portal.files(accession)
            else:
                found.append(portal.file(accession))
            advance(1)
    return list({file.accession: file for file in found}.values())


def _write_list(files: "list[PortalFile]", output: str, *, force: bool) -> None:
    from tfbind.portal import COLUMNS

    with writing(output, force=force) as out:
        for row in (COLUMNS, *(file.row() for file in files)):
            start = "#" if row is COLUMNS else ""
            out.write(f"{start}{TSV.join(row)}\n".encode())


def _target(file: "PortalFile", output: str) -> Path:
    target = Path(output, file.name) if os.path.isdir(output) else Path(output)
    if target.is_dir():
        raise InputError("is a folder, expected the name of a file", path=target)
    # A link stays, and what it points to is replaced.
    return Path(os.path.realpath(target)) if target.is_symlink() else target


def _refuse_others(targets: "list[tuple[PortalFile, Path]]") -> None:
    """Refuse to replace another file before the first is downloaded, where its length tells."""
    for file, target in targets:
        if target.exists() and target.stat().st_size != file.size:
            raise _other(file, target)


def _other(file: "PortalFile", target: Path) -> InputError:
    return InputError(
        f"exists and is not {file.accession}: its length or md5 differs from the portal's; give "
        "--force to replace it",
        path=target,
    )


def _download(
    targets: "list[tuple[PortalFile, Path]]", web: "Web", *, force: bool, quiet: bool
) -> None:
    """Download one file after another, and say what was done."""
    from tfbind.fetching import DiskError

    began = time.monotonic()
    got = complete = failed = 0
    total = sum(file.size for file, _ in targets)
    with progress("fetch", "bytes", total=total, quiet=quiet) as advance:
        for file, target in targets:
            if file.status != "released":
                say(f"{file.accession}: its status is {file.status!r}", quiet=quiet)
            try:
                came = _fetch_one(file, target, web, advance, force=force, quiet=quiet)
                complete += came is None
                got += came or 0
            except InputError as error:
                if len(targets) == 1 or isinstance(error, DiskError):
                    raise
                say(str(error), quiet=False)
                failed += 1
    took = time.monotonic() - began
    fetched = len(targets) - complete - failed
    before = f"; {complete} complete already" if complete else ""
    done = f"fetched {fetched} of {len(targets)} files, {got:,} bytes in {took:,.1f} s{before}"
    say(done, quiet=quiet)
    if failed:
        raise InputError(f"{failed} of {len(targets)} files failed; run this again for them")


def _fetch_one(
    file: "PortalFile", target: Path, web: "Web", advance: Advance, *, force: bool, quiet: bool
) -> int | None:
    """Download a file; give the bytes that came, or None if it is complete already."""
    from tfbind.fetching import fetch as fetch_file
    from tfbind.fetching import is_complete

    if is_complete(file, target, advance):
        say(f"{target} is complete already", quiet=quiet)
        return None
    if target.exists() and not force:
        raise _other(file, target)
    try:
        return fetch_file(file, target, web, advance)
    except (KeyboardInterrupt, SystemExit):
        _say_kept(target, quiet)
        raise


def _say_kept(target: Path, quiet: bool) -> None:
    from tfbind.fetching import part_path

    part = part_path(target)
    if part.exists():
        kept = f"{part} keeps {part.stat().st_size:,} bytes"
        say(f"stopped: {kept}; the same command goes on from there", quiet=quiet)
