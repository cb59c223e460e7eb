"""`traceguard notebook`: what it lays into a folder, how it starts Jupyter, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

NAMES = ["01-first-report.ipynb", "02-explore-flags.ipynb", "03-blast-radius.ipynb"]

# Stands where Jupyter would: writes down how it was started, as the real one cannot be looked at from here.
_JUPYTER = """
import json, os, sys
with open(os.environ["NOTED"], "w") as file:
    json.dump({"arguments": sys.argv[1:], "db": os.environ["TRACEGUARD_DB"]}, file)
"""


@pytest.fixture
def jupyter(tmp_path: Path) -> dict[str, str]:
    """An environment in which a module `jupyterlab` notes down its start."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/jupyterlab.py").write_text(_JUPYTER, encoding="utf-8")
    return {
        "PYTHONPATH": f"{tmp_path / 'modules'}:{os.environ.get('PYTHONPATH', '')}",
        "NOTED": str(tmp_path / "noted"),
    }


@pytest.fixture
def without_jupyter(tmp_path: Path) -> dict[str, str]:
    """An environment in which Jupyter cannot be found, whether it is installed or not."""
    (tmp_path / "modules").mkdir()
    hide = "import sys\nsys.modules['jupyterlab'] = sys.modules['notebook'] = None\n"
    (tmp_path / "modules/sitecustomize.py").write_text(hide, encoding="utf-8")
    return {"PYTHONPATH": f"{tmp_path / 'modules'}:{os.environ.get('PYTHONPATH', '')}"}


def _outputs(notebook: Path) -> list[object]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell["outputs"] or cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]


def test_jupyter_starts_beside_the_notebooks_with_the_store(
    run: Run, shop: Path, tmp_path: Path, jupyter: dict[str, str]
) -> None:
    """It opens the folder, in which the notebooks lie without outputs, and finds the store by its full path."""
    done = run("notebook", "--db", os.path.relpath(shop, tmp_path), "--folder", "look", cwd=tmp_path, env=jupyter)
    assert done.returncode == 0, done.stderr
    noted = json.loads((tmp_path / "noted").read_text(encoding="utf-8"))
    assert noted["arguments"] == [f"--notebook-dir={tmp_path / 'look'}"]
    assert Path(noted["db"]).samefile(shop)
    assert Path(noted["db"]).is_absolute()
    assert sorted(file.name for file in (tmp_path / "look").iterdir()) == NAMES
    for name in NAMES:
        assert not any(_outputs(tmp_path / "look" / name))


def test_without_jupyter_it_says_how_to_get_it(
    run: Run, shop: Path, tmp_path: Path, without_jupyter: dict[str, str]
) -> None:
    """One sentence names the extra, and nothing is written; the notebooks can still be had."""
    done = run("notebook", "--db", shop, "--folder", tmp_path / "look", env=without_jupyter)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install '.[notebook]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "look").exists()
    done = run("notebook", "--db", shop, "--folder", tmp_path / "look", "--no-start", env=without_jupyter)
    assert done.returncode == 0, done.stderr
    assert f"TRACEGUARD_DB={shop}" in done.stderr
    assert (tmp_path / "look" / NAMES[0]).exists()


def test_what_lies_there_is_written_over_only_when_asked(run: Run, shop: Path, tmp_path: Path) -> None:
    """A notebook of the same name is named and left alone; it is kept or replaced by choice, what is missing comes."""
    mine = tmp_path / NAMES[1]
    mine.write_text("{}", encoding="utf-8")
    command = ("notebook", "--db", shop, "--folder", tmp_path, "--no-start")
    done = run(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert NAMES[1] in done.stderr
    assert not (tmp_path / NAMES[0]).exists()
    assert run(*command, "--existing", "keep").returncode == 0
    assert mine.read_text(encoding="utf-8") == "{}"
    assert (tmp_path / NAMES[0]).exists()
    assert run(*command, "--existing", "replace").returncode == 0
    assert json.loads(mine.read_text(encoding="utf-8"))["cells"]
    assert run(*command, "--existing", "perhaps").returncode == 2


def test_a_store_that_cannot_be_opened_is_refused(run: Run, tmp_path: Path) -> None:
    """Nothing is written for a store that is missing, or into a place that is a file."""
    done = run("notebook", "--db", tmp_path / "none.duckdb", "--folder", tmp_path / "look", "--no-start")
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / "look").exists()


def test_a_place_that_cannot_be_written_is_named(run: Run, shop: Path, tmp_path: Path) -> None:
    """A file where the folder should be is told in one sentence."""
    (tmp_path / "look").write_text("", encoding="utf-8")
    done = run("notebook", "--db", shop, "--folder", tmp_path / "look", "--no-start")
    assert (done.returncode, done.stdout) == (2, "")
    assert "name another --folder" in done.stderr


def test_of_a_server_a_snapshot_is_opened(run: Run, shop: Path, tmp_path: Path) -> None:
    """SQL needs a file, so the notebooks get a copy of what the server holds."""
    served = tmp_path / "served.duckdb"
    served.write_bytes(shop.read_bytes())
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEGUARD_", "OTEL_"))}
    command = [sys.executable, "-m", "traceguard", "serve", "--db", served, "--grpc=127.0.0.1:0", "--http=127.0.0.1:0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = next(line for line in server.stderr if "OTLP/HTTP on" in line)
        url = f"http://{said.partition('OTLP/HTTP on ')[2].split()[0].rstrip('.')}"
        done = run("notebook", "--db", url, "--folder", tmp_path / "look", "--no-start")
        server.send_signal(signal.SIGTERM)
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "look" / "snapshot.duckdb"
    assert f"TRACEGUARD_DB={copy}" in done.stderr
    answered = run("query", "totals", "--db", copy, "--format", "json")
    assert answered.returncode == 0, answered.stderr
