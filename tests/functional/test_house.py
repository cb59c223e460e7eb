"""The project's own rules, held by the checks: no machine's paths, no hosts in the pinned versions, light imports."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from gzip import decompress
from pathlib import Path

import pytest

# Folders that only exist on some machine. Written in parts, so that this file passes its own check.
ABSOLUTE = re.compile(
    rb"(?<![\w./:>-])/(?:"
    + b"|".join([b"ro" + b"ot", b"ho" + b"me", b"Us" + b"ers", b"wo" + b"rk", b"t" + b"mp"])
    + rb")/[\w.-]+"
)
# What is written for a shell or a service manager may name the system's own temporary folder.
VENDORED = ("traceguard/report/vendor/",)
HEAVY = (
    "altair",
    "duckdb",
    "grpc",
    "jinja2",
    "networkx",
    "numba",
    "numpy",
    "polars",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
)


def tracked(repository: Path) -> Iterator[Path]:
    """Every file that git follows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    for name in listed.stdout.decode().split("\0"):
        if name and (repository / name).is_file():
            yield repository / name


def test_no_file_names_a_machine(repository: Path) -> None:
    """No tracked file, sample recording or notebook output holds an absolute path of somebody's machine."""
    found = []
    for file in tracked(repository):
        if file.relative_to(repository).as_posix().startswith(VENDORED):
            continue
        data = file.read_bytes()
        text = decompress(data) if file.suffix == ".gz" else data
        found += [f"{file.relative_to(repository)}: {match.decode()}" for match in ABSOLUTE.findall(text)]
    assert found == []


def test_pinned_versions_name_no_host(repository: Path) -> None:
    """The constraints file holds a version for each package and neither addresses nor hashes."""
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+( ; .+)?", pin) for pin in pins)


def test_lock_files_name_no_host(repository: Path) -> None:
    """No lock file of npm records where a package was downloaded from."""
    locks = [file for file in tracked(repository) if file.name in {"package-lock.json", "npm-shrinkwrap.json"}]
    assert [lock.name for lock in locks if '"resolved"' in lock.read_text(encoding="utf-8")] == []


def test_every_dependency_is_bounded_and_pinned(repository: Path) -> None:
    """Each dependency has an upper bound in pyproject.toml and an exact version in constraints.txt."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    pinned = {
        line.partition("==")[0].lower()
        for line in (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    }
    assert [item for item in wanted if "<" not in item] == []
    assert [item for item in wanted if re.split(r"[<>=]", item)[0].lower() not in pinned] == []


def test_notebooks_keep_their_outputs(repository: Path) -> None:
    """A committed notebook was run from top to bottom, shows what came out, and names the kernel of any machine."""
    for file in tracked(repository):
        if file.suffix != ".ipynb":
            continue
        notebook = json.loads(file.read_text(encoding="utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), file.name
        assert any(cell["outputs"] for cell in code), file.name
        assert notebook["metadata"]["kernelspec"]["name"] == "python3", file.name


@pytest.mark.parametrize("module", ["traceguard", "traceguard.cli", "traceguard.cli.app"])
def test_importing_is_light(module: str) -> None:
    """Importing the package or its command line loads none of the heavy libraries."""
    script = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_is_light() -> None:
    """`traceguard --help` loads none of the heavy libraries, so that it answers at once."""
    script = (
        "import sys\nfrom traceguard.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', *sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]


def test_make_says_which_python_it_wants(repository: Path, tmp_path: Path) -> None:
    """On a machine without a Python that fits, make ends with one sentence that says what to install."""
    too_old = tmp_path / "python3"
    too_old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    too_old.chmod(0o755)
    (tmp_path / "sh").symlink_to("/bin/sh")
    target = tmp_path / "venv/bin/python"
    command = [shutil.which("make") or "make", "-C", str(repository), f"VENV={tmp_path / 'venv'}", str(target)]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "python3-venv" in done.stderr
    assert not target.exists()


def test_make_lists_its_targets(repository: Path) -> None:
    """`make` alone shows what there is, the targets of the README among them."""
    done = subprocess.run(["make", "-C", str(repository)], capture_output=True, text=True, check=True)
    assert {"demo", "test", "check", "bench", "sample-data"} <= set(re.findall(r"make ([a-z-]+)", done.stdout))
