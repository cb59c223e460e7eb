"""A store moves between DuckDB 1.5 and 2.0 in both directions; run by `make test-duckdb15`, which knows both."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

OTHER = os.environ.get("TRACEGUARD_OTHER_PYTHON", "")
EXPECTED = os.environ.get("TRACEGUARD_EXPECT_DUCKDB", "")

pytestmark = pytest.mark.skipif(not (OTHER and EXPECTED), reason="needs both DuckDBs: run make test-duckdb15")


def traceguard(python: str, *arguments: str | Path) -> str:
    """What `traceguard` prints when that Python runs it; it must end with 0."""
    command = [python, "-m", "traceguard", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_this_is_the_duckdb_that_was_asked_for() -> None:
    """The environment really has the older DuckDB in front."""
    assert duckdb.__version__.startswith(EXPECTED)


@pytest.mark.parametrize(
    ("writer", "reader"), [(sys.executable, OTHER), (OTHER, sys.executable)], ids=["old-new", "new-old"]
)
def test_a_store_is_read_by_the_other_version(writer: str, reader: str, sample_data: Path, tmp_path: Path) -> None:
    """What one version wrote, the other reports on with the same document, adds to, and hands back."""
    db = tmp_path / "shop.duckdb"
    traceguard(writer, "ingest", sample_data / "traces.pb.gz", "--db", db)
    assert traceguard(reader, "report", "--db", db, "--format=json") == traceguard(
        writer, "report", "--db", db, "--format=json"
    )
    traceguard(reader, "ingest", sample_data / "logs.jsonl.gz", "--db", db)
    assert '"new-pricing"' in traceguard(writer, "query", "flags", "--db", db, "--format=json")
