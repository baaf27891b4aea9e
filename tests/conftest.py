"""What every test may ask for: the example data and the program itself."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parent.parent


class Tfbind(Protocol):
    """Run the program and wait for it; the status is the test's to check."""

    def __call__(
        self, *args: str | Path, stdin: bytes | str = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Give `stdin` to `tfbind ARGS`, with `env` over the environment."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give this environment without what would change the program's defaults."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TFBIND_", "_TFBIND")) and name != "PYTHONUNBUFFERED"
    }
    # Help is folded to the terminal's width, which tests must not depend on.
    return kept | {"COLUMNS": "100"} | dict(extra or {})


@pytest.fixture(scope="session")
def data() -> Path:
    """Find the folder of example data."""
    return ROOT / "examples" / "data"


@pytest.fixture(scope="session")
def tfbind(tmp_path_factory: pytest.TempPathFactory) -> Tfbind:
    """Run the real program, away from the checkout so that only the installed one is found."""
    folder = tmp_path_factory.mktemp("work")

    def run(
        *args: str | Path, stdin: bytes | str = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "tfbind", *map(str, args)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=environment(env),
            cwd=folder,
            timeout=240,
            check=False,
        )

    return run
