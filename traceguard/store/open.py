"""Opening a store: everything that can be wrong with a path becomes one sentence that says what to do.

New files are created in the storage format of DuckDB 1.5, so that 1.5 and 2.0 both read them; DuckDB keeps the format
of a file that exists. A store of an older schema version is migrated on the way, also when it is opened to read.
"""

import contextlib
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from traceguard.errors import StoreError, first_line
from traceguard.store.format import attach_new
from traceguard.store.hot import Store
from traceguard.store.migrations import STEPS, check, migrate
from traceguard.store.rewrite import sweep

if TYPE_CHECKING:
    import duckdb

Mode = Literal["read", "write"]

_MEMORY = ":memory:"

# A DuckDB file is three headers of 4 KiB and then its blocks.
_HEADER_BYTES = 3 * 4096

_PID = re.compile(r"\(PID (\d+)\)")


def open_store(path: str | Path, *, mode: Mode = "read") -> Store:
    """Open the store at `path`; `write` creates and migrates it, `read` wants it to exist.

    Readers share a file with other readers only: a writer owns it alone. `:memory:` with `write` is a store that
    vanishes when it is closed. StoreError says why a store cannot be used: missing, a folder, held by another
    process, newer than the program, not a store, damaged.
    """
    path = Path(path)
    if str(path) != _MEMORY:
        _look(path, mode)
    store = Store(path, partial(_open_to_write if mode == "write" else _open_to_read, path), writable=mode == "write")
    if mode == "write" and str(path) != _MEMORY:
        try:
            sweep(Path(os.path.realpath(path)))
            _sweep_spilled(path)
        except BaseException:
            store.close()
            raise
    return store


def open_existing(path: Path) -> Store:
    """Open the store at `path`, which must exist, to change it; errors as `open_store`."""
    return open_store(path, mode="write" if path.exists() else "read")


def _sweep_spilled(path: Path) -> None:
    """Remove rows that DuckDB put aside for want of memory and that a kill left beside the store.

    Whoever uses such a file at this moment, in this process, goes on using it.
    """
    folder = path.with_name(path.name + ".tmp")
    if not folder.is_dir():
        return
    for rest in folder.glob("duckdb_temp_*"):
        rest.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds something else
        folder.rmdir()


def _look(path: Path, mode: Mode) -> None:
    """Find out what DuckDB would say in its own words only."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a store; name a file in it with --db.")
    if path.exists():
        return
    if mode == "read":
        raise StoreError(
            f"There is no store at {path}; `traceguard ingest PATH --db {path}` makes one, or name another with --db."
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"The store {path} cannot be made: the folder {folder} does not exist; make it first.")


def _open_to_write(path: Path) -> "duckdb.DuckDBPyConnection":
    if str(path) != _MEMORY and not path.exists():
        _create(path)
    connection = _connect(path, read_only=False)
    try:
        _look_whole(connection, path)
        migrate(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _open_to_read(path: Path) -> "duckdb.DuckDBPyConnection":
    connection = _connect(path, read_only=True)
    try:
        _look_whole(connection, path)
        version = check(connection, str(path))
    except BaseException:
        connection.close()
        raise
    if version == STEPS[-1].version:
        return connection
    connection.close()
    if version == 0:
        raise StoreError(
            f"{path} is an empty DuckDB file, no store; fill it with `traceguard ingest PATH --db {path}`."
        )
    _open_to_write(path).close()
    return _connect(path, read_only=True)


def _look_whole(connection: "duckdb.DuckDBPyConnection", path: Path) -> None:
    """Refuse a file that was cut short; DuckDB itself would say so only when a query reaches the missing blocks."""
    import duckdb

    if str(path) == _MEMORY:
        return
    ((size, total),) = connection.execute("SELECT block_size, total_blocks FROM pragma_database_size()").fetchall()
    there = (path.stat().st_size - _HEADER_BYTES) // size
    if there >= total:
        return
    # DuckDB counts blocks before it writes them: after a full disk and a kill the last ones may be missing while free.
    try:
        used = _last_used_block(connection)
    except duckdb.Error:
        used = total
    if used >= there:
        raise StoreError(f"{path} is damaged or cut short: its last blocks are missing; restore it from a snapshot.")


def _last_used_block(connection: "duckdb.DuckDBPyConnection") -> int:
    """The number of the last block that holds rows or metadata."""
    last = connection.execute("SELECT max(block_id) FROM pragma_metadata_info()").fetchall()
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        last += connection.execute(
            "SELECT greatest(max(block_id), max(list_max(additional_block_ids))) FROM pragma_storage_info(?)", [table]
        ).fetchall()
    return max((block for (block,) in last if block is not None), default=-1)


def _create(path: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        try:
            connection.execute(f"DETACH {attach_new(connection, path)}")
        except duckdb.Error as error:
            raise _explain(path, error) from error


def _connect(path: Path, *, read_only: bool) -> "duckdb.DuckDBPyConnection":
    import duckdb

    try:
        return duckdb.connect(str(path), read_only=read_only)
    except duckdb.ConnectionException as error:
        if read_only:
            # This process already owns the file to write (a server, a notebook): its instance serves readers as well.
            return _connect(path, read_only=False)
        raise _explain(path, error) from error
    except duckdb.Error as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> StoreError:
    """The sentence for what DuckDB answered when it could not open or make `path`."""
    said = first_line(error)
    if "lock" in said and (holder := _PID.search(said)):
        return StoreError(
            f"{path} is held by another process (PID {holder[1]}); if that is a traceguard server, name it with"
            f" --db http://127.0.0.1:4318, else stop it, or read a snapshot."
        )
    if "different configuration" in said:
        return StoreError(f"{path} is open for reading in this process; close it before writing to it.")
    if "not a valid DuckDB database" in said:
        return StoreError(f"{path} is not a traceguard store but some other file; name a store with --db.")
    if "Trying to read a database file with version" in said or "newer version of DuckDB" in said:
        return StoreError(f"{path} was written by a newer DuckDB than the installed one; upgrade the package duckdb.")
    if "Permission denied" in said or "Read-only file system" in said:
        return StoreError(f"{path} cannot be opened: permission denied; check who owns it and its folder.")
    return StoreError(f"{path} cannot be opened; it may be damaged or cut short ({said}); restore it from a snapshot.")
