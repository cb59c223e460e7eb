"""What functional tests share: the program as its users start it, and a store made from the project's own recording."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def _environment() -> dict[str, str]:
    """This process's environment without settings that would change what the program does."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("TRACEGUARD_", "OTEL_"))}


@pytest.fixture(scope="session")
def run() -> Run:
    """Run `traceguard` with arguments; `cwd` and `env` may be added. Returns what it printed and its exit code."""

    def _run(
        *arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "traceguard", *map(str, arguments)],
            cwd=cwd,
            env=_environment() | (env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return _run


@pytest.fixture(scope="session")
def shop(run: Run, sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the sample recording; tests only read it."""
    db = tmp_path_factory.mktemp("shop") / "shop.duckdb"
    done = run("ingest", sample_data, "--db", db)
    assert done.returncode == 0, done.stderr
    return db


@pytest.fixture(scope="session")
def borrow() -> Callable[[Path], Path]:
    """Make an environment with this one's packages, except traceguard, and its own scripts; gives its folder `bin`."""

    def _borrow(folder: Path) -> Path:
        venv.create(folder, with_pip=False)
        here = Path(sysconfig.get_path("purelib"))
        there = next(folder.glob("lib/python*/site-packages"))
        # A plain path line: files that add to the path, such as an editable traceguard, are not followed from there.
        (there / "borrowed.pth").write_text(f"{here}\n", encoding="utf-8")
        return folder / "bin"

    return _borrow
