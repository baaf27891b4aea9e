"""The command `tfbind fetch`, and what the portal may tell it."""

import datetime
import fcntl
import gzip
import hashlib
import ipaddress
import os
import pty
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import Tfbind, environment
from fake_portal import (
    ACCESSION,
    EXPERIMENT,
    NAME,
    OTHER,
    THIRD,
    Site,
    answers,
    breaks,
    drips,
    moved,
    serving,
    stalls,
)

from tfbind.portal import COLUMNS


class Run:
    """Run the command against the server, writing to a folder."""

    def __init__(self, tfbind: Tfbind, site: Site, folder: Path) -> None:
        self.folder = folder
        self.target = folder / NAME
        self.part = folder / f"{NAME}.part"
        self._tfbind = tfbind
        self.env = {"TFBIND_PORTAL": site.url}
        self.out = b""

    def __call__(
        self,
        *args: str | Path,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        status: int = 0,
    ) -> str:
        """Give standard error, after a look at the status."""
        where = () if "-o" in args or "--list" in args else ("-o", self.folder)
        done = self._tfbind("fetch", *args, *where, stdin=stdin, env=self.env | dict(env or {}))
        said = done.stderr.decode()
        assert (done.returncode, "Traceback" in said) == (status, False), said
        self.out = done.stdout
        return said

    def start(self, *args: str | Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start the command, to be stopped on the way."""
        return subprocess.Popen(
            [sys.executable, "-m", "tfbind", "fetch", ACCESSION, "-o", self.folder, *args],
            env=environment(self.env | {"TERM": "xterm-256color"}),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )

    def wait_for(self, size: int) -> None:
        """Wait until so many bytes have come."""
        for _ in range(600):
            if self.part.exists() and self.part.stat().st_size >= size:
                return
            time.sleep(0.05)
        raise AssertionError("no bytes came")


@pytest.fixture
def run(tfbind: Tfbind, site: Site, tmp_path: Path) -> Run:
    return Run(tfbind, site, tmp_path)


# Files


def test_files_come_under_their_names(run: Run, site: Site, content: bytes) -> None:
    site.tell(OTHER, status="archived")
    site.faults = [breaks(9000)]
    said = run(ACCESSION, OTHER, ACCESSION).splitlines()
    assert run.target.read_bytes() == (run.folder / f"{OTHER}.bed.gz").read_bytes() == content
    assert sorted(os.listdir(run.folder)) == [f"{OTHER}.bed.gz", NAME]
    assert said[0].endswith("broke off after 9,000 of 23,496 bytes; trying again in 1 s (1 of 6)")
    assert said[1] == f"tfbind: {OTHER}: its status is 'archived'"
    assert said[2].startswith("tfbind: fetched 2 of 2 files, 46,992 bytes in ")
    assert run.out == b""
    site.seen.clear()
    assert run(ACCESSION, OTHER, "--quiet") == ""
    assert site.ranges() == []


def test_accessions_from_a_pipe(run: Run, site: Site) -> None:
    site.tell(OTHER)
    text = b"#accession\tformat\r\n\r\nENCFF000VUS\tbed narrowPeak\r\n  ENCFF000VUQ"
    assert "fetched 2 of 2 files" in run("-", stdin=text)
    said = run(stdin=text)
    assert f"{run.target} is complete already" in said
    assert "fetched 0 of 2 files, 0 bytes in 0.0 s; 2 complete already" in said
    assert "2 complete already" in run("-", stdin=gzip.compress(text))
    said = run("-", stdin=b"ENCFF000VUS\nENCFF00VUS\n", status=1)
    assert said == (
        "tfbind: standard input: line 2: found 'ENCFF00VUS', expected an accession such as "
        "ENCFF000ABC\n"
    )


def test_one_file_under_another_name(run: Run, content: bytes) -> None:
    target = run.folder / "K562.bed.gz"
    run(ACCESSION, "-o", target)
    assert target.read_bytes() == content
    link = run.folder / "link"
    link.symlink_to("K562.bed.gz")
    target.write_bytes(b"x")
    run(ACCESSION, "-o", link, "--force")
    assert link.is_symlink()
    assert target.read_bytes() == content
    target.write_bytes(b"x")
    run.target.symlink_to("K562.bed.gz")
    run(ACCESSION, "--force")
    assert run.target.is_symlink()
    assert target.read_bytes() == content


def test_another_file_is_not_replaced_without_force(run: Run, content: bytes) -> None:
    for other in (b"mine", bytes(len(content))):
        run.target.write_bytes(other)
        said = run(ACCESSION, status=1)
        assert said == (
            f"tfbind: {run.target}: exists and is not {ACCESSION}: its length or md5 differs from "
            "the portal's; give --force to replace it\n"
        )
        assert run.target.read_bytes() == other
    run(ACCESSION, "--force")
    assert run.target.read_bytes() == content
    assert "is complete already" in run(ACCESSION, "--force")


def test_another_file_is_told_before_anything_is_downloaded(run: Run, site: Site) -> None:
    site.tell(OTHER)
    other = run.folder / f"{OTHER}.bed.gz"
    other.write_bytes(b"mine")
    assert f"{other}: exists and is not {OTHER}" in run(ACCESSION, OTHER, status=1)
    assert site.ranges() == []
    assert os.listdir(run.folder) == [other.name]


def test_the_others_are_fetched_where_one_fails(run: Run, site: Site, content: bytes) -> None:
    site.tell(OTHER, md5sum="0" * 32)
    site.tell(THIRD)
    one, last = run(OTHER, ACCESSION, THIRD, "--quiet", status=1).splitlines()
    assert one.startswith(f"tfbind: {run.folder / OTHER}.bed.gz: has the md5 ")
    assert last == "tfbind: 1 of 3 files failed; run this again for them"
    assert sorted(os.listdir(run.folder)) == [f"{THIRD}.bed.gz", NAME]
    assert (run.folder / f"{THIRD}.bed.gz").read_bytes() == content
    said = run(OTHER, ACCESSION, THIRD, status=1).splitlines()
    assert said[-2].startswith("tfbind: fetched 0 of 3 files, 0 bytes in ")
    assert said[-2].endswith("; 2 complete already")


def test_where_nothing_can_be_written(run: Run, site: Site) -> None:
    none, fifo = run.folder / "none", run.folder / "fifo"
    os.mkfifo(fifo)
    for output, accessions, said in (
        (f"{none}/", [ACCESSION], "is no folder; make it first: mkdir"),
        (str(none), [ACCESSION, OTHER], "is no folder; make it first: mkdir"),
        (str(fifo), [ACCESSION], "is a pipe or a device, expected the name of a file"),
        ("", [ACCESSION], "is no folder"),
    ):
        assert said in run(*accessions, "-o", output, status=1)
        assert site.seen == []
    assert "give -o FILE" in run(ACCESSION, "-o", "-", status=2)
    gone = none / "file"
    assert f"{gone}.part: cannot be written: No such file or" in run(
        ACCESSION, "-o", gone, status=1
    )
    run.target.mkdir()
    assert f"{run.target}: is a folder, expected the name of a file" in run(ACCESSION, status=1)


def test_a_full_disk_is_one_line_and_keeps_what_came(run: Run, site: Site, content: bytes) -> None:
    script = f"ulimit -f 8; exec {sys.executable} -m tfbind fetch {ACCESSION} -o {run.folder}"
    full = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {script}"],
        capture_output=True,
        text=True,
        env=environment(run.env | {"PYTHONDONTWRITEBYTECODE": "1"}),
        cwd=run.folder,
        timeout=60,
        check=False,
    )
    assert full.returncode == 1
    assert full.stderr == (
        f"tfbind: {run.part}: cannot be written: File too large; {run.part} keeps 8,192 of "
        "23,496 bytes: run this again to go on\n"
    )
    assert run.part.read_bytes() == content[:8192]
    site.tell(OTHER)
    site.seen.clear()
    several = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; {script} {OTHER}"],
        capture_output=True,
        env=environment(run.env | {"PYTHONDONTWRITEBYTECODE": "1"}),
        cwd=run.folder,
        timeout=60,
        check=False,
    )
    assert several.returncode == 1
    assert several.stderr.count(b"cannot be written") == len(site.ranges()) == 1
    run(ACCESSION)
    assert run.target.read_bytes() == content


# Stopped on the way


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_what_came_before_a_signal_is_kept(
    number: signal.Signals, status: int, run: Run, site: Site, content: bytes
) -> None:
    site.faults = [stalls(9000)]
    process = run.start()
    run.wait_for(9000)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == status
    kept = f"tfbind: stopped: {run.part} keeps 9,000 bytes; the same command goes on from there\n"
    assert said == ("" if number == signal.SIGKILL else kept)
    assert not run.target.exists()
    said = run(ACCESSION)
    assert f"{NAME}: going on behind 9,000 of 23,496 bytes" in said
    assert "fetched 1 of 1 files, 14,496 bytes" in said
    assert run.target.read_bytes() == content
    assert site.ranges() == [None, "bytes=9000-"]


def test_two_runs_at_one_file(run: Run, site: Site, content: bytes) -> None:
    site.faults = [drips(20, 0.2)]
    process = run.start("-q")
    run.wait_for(1000)
    said = run(ACCESSION, status=1)
    assert f"{run.part}: is in use by another run; wait until that has ended" in said
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0
    assert run.target.read_bytes() == content


def test_the_lock_is_that_of_the_part_which_is_there(run: Run, content: bytes) -> None:
    run.part.write_bytes(content[:9000])
    with open(run.part, "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run.part.rename(run.target)  # as the other run does when it is done
        said = run(ACCESSION, "--force")
    assert "fetched 1 of 1 files" in said
    assert run.target.read_bytes() == content


def test_a_terminal_shows_bytes_rate_and_time_left(run: Run, site: Site) -> None:
    site.faults = [drips(10, 0.1)]
    ours, theirs = pty.openpty()
    process = run.start(stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 1 << 16)
        except OSError:
            break
    os.close(ours)
    assert process.wait(60) == 0
    text = shown.decode()
    assert f"fetch {NAME}" in text
    assert "of 23,496 bytes" in text
    assert "bytes/s" in text
    assert "fetched 1 of 1 files, 23,496 bytes in " in text


# What the portal tells


def test_a_list_of_what_would_be_downloaded(run: Run, site: Site, content: bytes) -> None:
    one = site.tell()
    two = site.tell(OTHER, file_type="bigWig", output_type="fold\tchange\x1b[31m", assembly=None)
    del two["biological_replicates"]
    away = site.tell("ENCFF000VUR", no_file_available=True)
    site.told[EXPERIMENT] = {"accession": EXPERIMENT, "files": [one, two, away]}
    said = run("--list", ACCESSION, EXPERIMENT)
    assert said == f"tfbind: {EXPERIMENT}: 1 files are not on the portal\n"
    md5 = hashlib.md5(content).hexdigest()
    header, first, second = run.out.decode().splitlines()
    assert header == "#" + "\t".join(COLUMNS)
    assert first == f"{ACCESSION}\tbed narrowPeak\tpeaks\thg19\t23496\t{md5}\t1,2\treleased"
    assert second == f"{OTHER}\tbigWig\tfold change [31m\t\t23496\t{md5}\t\treleased"
    assert os.listdir(run.folder) == []
    assert site.ranges() == []
    assert "fetched 2 of 2 files" in run("-", stdin=run.out)


def test_a_list_can_be_written_to_a_file(run: Run, site: Site) -> None:
    path = run.folder / "files.tsv"
    run("--list", ACCESSION, "-o", path)
    assert run.out == b""
    listed = path.read_text()
    assert listed.splitlines()[1].startswith(f"{ACCESSION}\tbed narrowPeak\t")
    site.seen.clear()
    assert "give --force to replace it" in run("--list", ACCESSION, "-o", path, status=1)
    assert "is a folder" in run("--list", ACCESSION, "-o", run.folder, status=1)
    assert site.seen == []
    path.write_text("old")
    run("--list", ACCESSION, "-o", path, "--force")
    assert path.read_text() == listed
    run("--list", ACCESSION, "-o", "-")
    assert run.out.decode() == listed
    assert os.listdir(run.folder) == ["files.tsv"]


def test_an_experiment_is_no_file(run: Run, site: Site) -> None:
    assert run(EXPERIMENT, status=1) == (
        f"tfbind: {EXPERIMENT}: is an experiment, expected a file, ENCFF...; tfbind fetch --list "
        f"{EXPERIMENT} prints its files\n"
    )
    assert site.seen == []
    site.told[EXPERIMENT] = {"accession": EXPERIMENT, "files": ["/files/ENCFF000VUS/"]}
    assert "the portal's reply lists no files" in run("--list", EXPERIMENT, status=1)


def test_wrong_usage(run: Run) -> None:
    for args in (["--timeout", "0"], ["--retries", "-1"], ["--timeout", "nan"], ["-", "-"]):
        run(ACCESSION, *args, status=2)
    assert "up to 86400" in run(ACCESSION, "--timeout", "1e6", status=2)
    assert "found 'K562', expected an accession such as ENCFF000ABC" in run("K562", status=2)


def test_dead_accessions_are_told_before_anything_is_downloaded(run: Run, site: Site) -> None:
    said = run(ACCESSION, OTHER, status=1)
    assert said == (
        f"tfbind: {OTHER}: HTTP status 404 Not Found from {site.url}/files/{OTHER}/: there is no "
        "such thing; check the accession\n"
    )
    assert os.listdir(run.folder) == []
    site.faults = [answers(403)]
    said = run(ACCESSION, status=1)
    assert "HTTP status 403 Forbidden" in said
    assert said.endswith("it is not released, or not for everybody\n")
    assert os.listdir(run.folder) == []


# Other servers on the way


@pytest.mark.parametrize("status", [302, 307, 308])
def test_the_file_may_be_elsewhere(status: int, run: Run, site: Site, content: bytes) -> None:
    with serving(Site(content)) as store:
        store.faults = [breaks(9000)]
        site.faults = [moved(store.url, status)] * 2
        run(ACCESSION)
        assert store.ranges() == site.ranges() == [None, "bytes=9000-"]
        assert store.seen[-1][1]["If-Range"] == '"one"'
    assert run.target.read_bytes() == content


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc/passwd?",
        "ftp://127.0.0.1",
        "data:text/plain,",
        "http://[",
        "http://127.0.0.1:99999",
        "http://a..b",
        "http://" + "a" * 70 + ".org",
    ],
    ids=["file", "ftp", "data", "bracket", "port", "two dots", "long name"],
)
def test_the_file_is_not_taken_from_elsewhere_than_the_web(
    place: str, run: Run, site: Site
) -> None:
    site.faults = [moved(place)]
    said = run(ACCESSION, status=1)
    host = site.url.removeprefix("http://")
    assert said.startswith(f"tfbind: {NAME}: {host} sent on: found the URL '{place[:20]}")
    assert said.endswith("', expected https://HOST/...\n")
    assert os.listdir(run.folder) == []


def test_the_host_that_failed_is_told_not_the_one_that_was_asked(run: Run, site: Site) -> None:
    site.faults = [moved("http://127.0.0.1:1")]
    said = run(ACCESSION, "--retries", "0", status=1)
    assert said == f"tfbind: {NAME}: 127.0.0.1:1: Connection refused; gave up, retries: 0\n"


def test_a_proxy_that_is_no_web_address_is_one_line(run: Run, site: Site) -> None:
    env = {"TFBIND_PORTAL": "http://portal.invalid", "http_proxy": "http://a..b:3128"}
    said = run(ACCESSION, env=env, status=1)
    assert said.startswith(f"tfbind: {ACCESSION}: ")
    assert f"(http://portal.invalid/files/{ACCESSION}/)" in said
    assert said.count("\n") == 1


@pytest.fixture
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that nobody else vouches for, and its key."""
    x509 = pytest.importorskip(
        "cryptography.x509", reason="it makes a certificate: pip install 'tfbind[cluster]'"
    )
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "portal.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_server_is_believed_only_with_a_certificate(
    certificate: Path, run: Run, content: bytes
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(Site(content), tls) as safe:
        safe.tell()
        run.env["TFBIND_PORTAL"] = safe.url
        said = run(ACCESSION, status=1)
        assert said.startswith(f"tfbind: {ACCESSION}: ")
        assert "certificate verify failed" in said
        assert said.endswith(f"({safe.url}/files/{ACCESSION}/)\n")
        assert said.count("\n") == 1
        assert (safe.seen, os.listdir(run.folder)) == ([], [])
        run(ACCESSION, env={"SSL_CERT_FILE": str(certificate)})
    assert run.target.read_bytes() == content


def test_a_circle_of_redirections_ends(run: Run, site: Site) -> None:
    site.faults = [moved(site.url, 302) for _ in range(50)]
    assert "infinite loop" in run(ACCESSION, status=1)
    assert len(site.ranges()) <= 11


def test_the_proxy_of_the_environment_is_used(run: Run, site: Site, content: bytes) -> None:
    env = {"TFBIND_PORTAL": "http://portal.invalid", "http_proxy": site.url}
    run(ACCESSION, env=env)
    assert run.target.read_bytes() == content
    assert {headers["Host"] for _, headers in site.seen} == {"portal.invalid"}


@pytest.mark.parametrize(
    "url", ["ftp://host", "file:///etc", "host", "", "http://h:0", "http://[x"]
)
def test_a_portal_that_is_no_web_address(url: str, run: Run) -> None:
    said = run(ACCESSION, "--portal", url, status=1)
    assert said.startswith("tfbind: the portal: found the URL '")
    assert said.endswith("', expected https://HOST/...\n")


def test_no_network_is_one_line(run: Run) -> None:
    said = run(ACCESSION, "--portal", "http://127.0.0.1:1", "--retries", "0", status=1)
    assert said == (f"tfbind: {ACCESSION}: 127.0.0.1:1: Connection refused; gave up, retries: 0\n")


def test_no_accession_is_no_success(tfbind: Tfbind) -> None:
    for args in ((), ("-",)):
        empty = tfbind("fetch", *args, stdin="# nothing\n")
        assert (empty.returncode, empty.stderr) == (
            1, b"tfbind: standard input: holds no accession, expected one a line\n"
        )  # fmt: skip
