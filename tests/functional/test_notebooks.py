"""Every notebook runs from top to bottom, on the recording and on somebody's own store, and keeps what it showed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, repository: Path) -> None:
    """No cell fails, with nothing but what the checkout holds."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEGUARD_", "OTEL_"))}
    command = [sys.executable, str(repository / "tools/notebooks.py"), str(notebook)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_showed(notebook: Path) -> None:
    """Every cell of code that shows something keeps its output, none an error, and none names this machine."""
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len(cells) >= 6
    assert sum(bool(cell["outputs"]) for cell in cells) >= len(cells) - 1
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert not re.findall(r"/(?:tmp|home|root|work|Users)/", json.dumps(outputs))


@pytest.fixture(scope="module")
def plain(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of forty requests without a flag, a version or a user, in which nothing can be judged."""
    folder = tmp_path_factory.mktemp("plain")

    def span(trace: int, number: int, name: str, kind: int, took_ms: int, parent: str = "") -> dict[str, object]:
        start = 1_790_000_000_000_000_000 + trace * 10**9
        return {
            "traceId": f"{trace:032x}", "spanId": f"{number:016x}", "parentSpanId": parent, "name": name, "kind": kind,
            "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + took_ms * 10**6),
        }  # fmt: skip

    services = {
        "web": [span(trace, 1, "GET /", 2, 20 + trace % 5) for trace in range(1, 41)],
        "bank": [span(trace, 2, "Pay", 2, 5, f"{1:016x}") for trace in range(1, 41)],
    }
    resources = [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]},
            "scopeSpans": [{"spans": spans}],
        }
        for name, spans in services.items()
    ]
    (folder / "plain.json").write_text(json.dumps({"resourceSpans": resources}), encoding="utf-8")
    done = run("ingest", folder / "plain.json", "--db", folder / "plain.duckdb")
    assert done.returncode == 0, done.stderr
    return folder / "plain.duckdb"


def test_notebooks_run_against_a_store_without_flags(
    run: Callable[..., subprocess.CompletedProcess[str]], plain: Path, repository: Path, tmp_path: Path
) -> None:
    """What `traceguard notebook` lays into a folder runs there, also where there is no flag and no cause."""
    done = run("notebook", "--db", plain, "--folder", tmp_path, "--no-start")
    assert done.returncode == 0, done.stderr
    command = [sys.executable, str(repository / "tools/notebooks.py"), *map(str, sorted(tmp_path.glob("*.ipynb")))]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEGUARD_", "OTEL_"))}
    environment["TRACEGUARD_DB"] = str(plain)
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count(": ran") == len(NOTEBOOKS) == 3
