"""The built wheel works in a foreign folder: what running needs is inside, and where it lies may be read-only."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=repository, capture_output=True, check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def program(
    wheel: Path, borrow: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run the installed `traceguard` in a folder without the repository; its own folder is read-only."""
    home = tmp_path_factory.mktemp("foreign")
    programs = borrow(home / "env")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python")]
    command = [*pip, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, capture_output=True, check=True)
    package = next((home / "env").glob("lib/python*/site-packages/traceguard"))
    _chmod(package, folder=0o555, file=0o444)

    def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        }
        return subprocess.run(
            [str(programs / "traceguard"), *map(str, arguments)],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    before = sorted(path for path in package.rglob("*") if path.suffix != ".pyc")
    yield _run
    assert sorted(path for path in package.rglob("*") if path.suffix != ".pyc") == before
    _chmod(package, folder=0o755, file=0o644)


def _chmod(package: Path, *, folder: int, file: int) -> None:
    for path in [package, *package.rglob("*")]:
        path.chmod(folder if path.is_dir() else file)


def test_the_wheel_carries_what_running_needs(wheel: Path, repository: Path) -> None:
    """Queries, notebooks, templates and vendored scripts with licences are inside; tests and recordings are not."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("queries", "notebooks", "traceguard/report/templates", "traceguard/report/vendor"):
        wanted = [path for path in (repository / folder).rglob("*") if path.is_file()]
        assert wanted, folder
        missing = [
            p
            for p in wanted
            if f"traceguard/{p.relative_to(repository).as_posix().removeprefix('traceguard/')}" not in inside
        ]
        assert missing == []
    assert not [name for name in inside if name.startswith(("tests/", "sample_data/", "benchmarks/"))]
    assert [name for name in inside if name.endswith("LICENSE")]


def test_the_installed_program_answers_without_the_repository(
    program: Callable[..., subprocess.CompletedProcess[str]], sample_data: Path, tmp_path: Path
) -> None:
    """From files to a report and an HTML page, with nothing but the wheel."""
    helped = program("--help")
    assert helped.returncode == 0, helped.stderr
    listed = program("query", "--format", "json")
    assert {"services", "flag_evaluations"} <= {query["name"] for query in json.loads(listed.stdout)["queries"]}
    db, page = tmp_path / "shop.duckdb", tmp_path / "report.html"
    for arguments in (
        ["ingest", sample_data, "--db", db],
        ["query", "services", "--db", db],
        ["report", "--db", db, "-o", page],
    ):
        done = program(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
    laid = program("notebook", "--db", db, "--folder", tmp_path / "look", "--no-start")
    assert (laid.returncode, len(list((tmp_path / "look").glob("*.ipynb")))) == (0, 3), laid.stderr
    assert "ComputeQuote" in page.read_text(encoding="utf-8")
    report = json.loads(program("report", "--db", db, "--format", "json").stdout)
    assert report["causes"][0]["service"] == "pricing"


def test_compiled_loops_work_where_nothing_can_be_written(tmp_path: Path) -> None:
    """Where no cache folder can be written, loops compile into a temporary one."""
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    script = (
        "from traceguard.kernels import kernel\n"
        "import os\n"
        "@kernel('int64(int64)')\n"
        "def twice(n):\n    return 2 * n\n"
        "assert twice(21) == 42\n"
        "print(os.environ['NUMBA_CACHE_DIR'])\n"
    )
    (tmp_path / "loops.py").write_text(script, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | {
        "XDG_CACHE_HOME": str(blocked)
    }
    done = subprocess.run(
        [sys.executable, str(tmp_path / "loops.py")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "traceguard-kernels-" in done.stdout
