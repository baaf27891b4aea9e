"""Workers of a Dask scheduler: one that runs somewhere, or one started here."""

import contextlib
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from tfbind.errors import InputError

from .progress import say

if TYPE_CHECKING:
    from tfbind.cluster import Workers

LOCAL = re.compile(r"local:([1-9]\d{0,3})")
ADDRESS = re.compile(r"(?:tcp|tls)://.+:(\d{1,5})")
PORTS = 1 << 16
ANSWER = 30
"""Seconds that a scheduler has to answer."""

STARTING = 120.0
"""Seconds in which a worker that is started here must have joined."""

REMEMBERED = {"distributed.admin.low-level-log-length": 16}
"""Messages that Dask keeps for debugging, and bins with them: a thousand otherwise."""

RESTARTS = 5
"""Workers started here that may die, each."""


@contextlib.contextmanager
def cluster_workers(address: str, *, quiet: bool) -> Iterator["Workers"]:
    """Connect to the workers of a scheduler.

    Parameters
    ----------
    address : str
        `local:N` starts a scheduler and N workers of one thread here; `tcp://HOST:PORT`,
        `tls://HOST:PORT` or the JSON file of a scheduler name one that runs.
    quiet : bool
        Do not tell that there is no worker yet.

    Raises
    ------
    InputError
        If `distributed` is not installed, or no scheduler answers.
    """
    if importlib.util.find_spec("distributed") is None:
        raise InputError("--cluster needs distributed; run: pip install 'tfbind[cluster]'")
    if not (here := LOCAL.fullmatch(address)) and not _names_scheduler(address):
        raise typer.BadParameter(
            f"found --cluster {address}, expected local:N, tcp://HOST:PORT, tls://HOST:PORT or the "
            "JSON file of a scheduler"
        )
    import dask

    with _silence(), dask.config.set(REMEMBERED):
        if here:
            with _started_here(int(here[1])) as workers:
                yield workers
        else:
            with _found(address, quiet) as workers:
                yield workers


def _names_scheduler(address: str) -> bool:
    found = ADDRESS.fullmatch(address)
    if found or "://" in address:
        return found is not None and int(found[1]) < PORTS
    return address.endswith(".json") or os.path.exists(address)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep Dask's logs and warnings off standard error: errors say what matters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(distributed|tornado|asyncio)(\.|$)")
        import distributed

        warnings.filterwarnings("ignore", category=distributed.versions.VersionMismatchWarning)
        for name in ("distributed", "tornado", "asyncio"):
            logger = logging.getLogger(name)
            logger.handlers = [logging.NullHandler()]
            logger.propagate = False
        yield


@contextlib.contextmanager
def _found(address: str, quiet: bool) -> Iterator["Workers"]:
    from distributed import Client

    from tfbind.cluster import Workers

    try:
        client = Client(_scheduler_of(address, quiet), timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers ({type(error).__name__}: {error})", path=address
        ) from error
    with client:
        yield Workers(client, address, lambda text: say(text, quiet=quiet))


def _scheduler_of(address: str, quiet: bool) -> str:
    """Read the scheduler's address from its JSON file, unless it is an address."""
    if "://" in address:
        return address
    deadline = time.monotonic() + ANSWER
    told = False
    while True:
        text = b""
        try:
            text = Path(address).read_bytes()
            return str(json.loads(text)["address"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            if time.monotonic() > deadline or text.strip()[:1] not in (b"", b"{"):
                raise InputError(
                    f"is no file that dask scheduler --scheduler-file wrote ({error})", path=address
                ) from error
        if not told and time.monotonic() > deadline - ANSWER + 2:
            say(f"waiting for {address}", quiet=quiet)
            told = True
        time.sleep(0.1)  # one script may have started both


@contextlib.contextmanager
def _started_here(count: int) -> Iterator["Workers"]:
    import dask
    from distributed import Client, LocalCluster, Security

    from tfbind.cluster import Workers

    # A scheduler runs what it is sent: without keys, for any user of this machine.
    keys = Security.temporary()
    with (
        tempfile.TemporaryDirectory(prefix="tfbind.", ignore_cleanup_errors=True) as folder,
        dask.config.set({"temporary-directory": folder}),
        LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # None stands for a port that may be taken
            scheduler_kwargs={"dashboard": False},
            security=keys,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        Processes(cluster.scheduler_address, keys, count, Path(folder)) as processes,
    ):
        yield Workers(client, "--cluster", mend=processes.mend, patience=STARTING)


class Processes:
    """Worker processes on this machine, each replaced when it dies.

    Parameters
    ----------
    scheduler : str
        Its address.
    keys : distributed.Security
    count : int
    folder : Path
        Of their own, removed by whoever made it.
    """

    def __init__(self, scheduler: str, keys: Any, count: int, folder: Path) -> None:
        self._folder = folder
        self._left = RESTARTS * count
        files = {
            "tls-ca-file": keys.tls_ca_file,
            "tls-cert": keys.tls_worker_cert,
            "tls-key": keys.tls_worker_key,
        }
        for name, text in files.items():
            (folder / name).write_text(text)
        self._command = [
            *(sys.executable, "-P", "-m", "distributed.cli.dask_worker", scheduler),
            *(f"--{name}={folder / name}" for name in files),
            *("--nthreads=1", "--no-nanny", "--no-dashboard", "--memory-limit=0"),
            *(f"--local-directory={folder}", "--host=127.0.0.1", "--death-timeout=60"),
        ]
        self._log: IO[bytes] = open(folder / "log", "a+b")  # noqa: SIM115
        self._running: list[subprocess.Popen[bytes]] = []
        self._count = count
        self._lock = threading.Lock()

    def __enter__(self) -> "Processes":
        try:
            for _ in range(self._count):
                self._running.append(self._start())
        except BaseException:  # a signal, before `with` has it
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:  # a thread may still want to mend
            running, self._running = self._running, []
        for process in running:
            process.kill()  # they keep nothing
        for process in running:
            process.wait()
        self._log.close()

    def mend(self) -> None:
        """Replace what has died.

        Raises
        ------
        InputError
            If that has happened too often.
        """
        with self._lock:
            for at, process in enumerate(self._running):
                if process.poll() is not None:
                    self._running[at] = self._replacement(process.returncode)

    def _replacement(self, status: int) -> "subprocess.Popen[bytes]":
        if not self._left:
            raise InputError(
                f"the workers end again and again, with status {status}: {self._last_words()}",
                path="--cluster",
            )
        self._left -= 1
        return self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,  # standard input is the bins
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=os.environ | {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__LOGGING": "{}"},
            start_new_session=True,  # Ctrl-C is for this process, which ends them
        )

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read()[-4096:].decode("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "they say nothing")
