"""The files of a store: made in DuckDB 1.5's format, which 1.5 and 2.0 both read and write; and the log beside them."""

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


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever letters it has."""
    return '"' + name.replace('"', '""') + '"'


def log_of(path: Path) -> Path:
    """The log that DuckDB keeps beside the file, in which commits lie until a checkpoint."""
    return path.with_name(path.name + ".wal")


def file_bytes(path: Path) -> int:
    """The size of a file; 0 if there is none, as for a log that a checkpoint removes at this moment."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
