"""The file format that stores are made in: DuckDB 1.5's, which 1.5 and 2.0 both read and write."""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

STORAGE_VERSION = "v1.5.0"


def attach_new(cursor: "duckdb.DuckDBPyConnection", path: Path) -> str:
    """Make the database file `path` and attach it to the cursor's database; returns the name to detach it by."""
    name = f"new_{uuid.uuid4().hex}"
    literal = str(path).replace("'", "''")  # ATTACH binds no values
    cursor.execute(f"ATTACH '{literal}' AS {name} (READ_WRITE, STORAGE_VERSION '{STORAGE_VERSION}')")
    return name
