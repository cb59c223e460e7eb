"""Writing a store's file anew, so that nothing of what was deleted is left in its bytes.

DuckDB leaves deleted rows in free blocks, in the statistics of their columns and in its log. The rows that there are
are copied into a new file beside the old one while reading and appending go on, then those that came meanwhile; at
last, with nobody inside, the old file is closed and the new one takes its name. What always holds: at every moment one
whole store lies at the path; where anything fails, it is the old one.
"""

import contextlib
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from traceguard.errors import StoreError, first_line
from traceguard.store.format import attach_new, file_bytes, log_of, quoted
from traceguard.store.hot import CHANGING, TABLES
from traceguard.store.space import Space, measure
from traceguard.units import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from traceguard.store.hot import Store

# Rows that may be left to copy when everyone has to wait for it.
_FEW_ROWS = 50_000

# Appending may be quicker than copying; then the last copy takes longer.
_ROUNDS = 10


def rewrite(
    store: "Store", cursor: "duckdb.DuckDBPyConnection", *, patience: float, without: tuple[str, ...] = ()
) -> None:
    """Replace the file of `store` by one that holds the same rows and nothing of deleted ones.

    `cursor` is that of `Store.upkeep`, and closed afterwards. `without` names tables that the new file shall not have.
    Needs room for a second file. CrowdedError where readers stay longer than `patience` seconds, StoreError where the
    new file cannot be written; then nothing has changed.
    """
    import duckdb

    path = Path(os.path.realpath(store.path))
    _look_for_room(measure(cursor, path), path)
    new = path.with_name(f"{_prefix(path)}{uuid.uuid4().hex}")
    name = None
    try:
        with _pinned(cursor) as pin:
            name = attach_new(cursor, new)
            _give_to_owner_of(path, new)
            copied = _begin(cursor, name, without)
            for _ in range(_ROUNDS):
                few = _copy(cursor, name, copied) <= _FEW_ROWS
                cursor.execute(f"CHECKPOINT {name}")
                if few:
                    break
            with store.alone(patience) as last:
                _copy(cursor, name, copied)
                _copy_changing(cursor, name)
                _compare(cursor, name)
                cursor.execute(f"CHECKPOINT {name}")
                cursor.execute(f"DETACH {name}")
                pin.close()
                cursor.close()
                # The log of the old file must not be left for the new one.
                last.execute("CHECKPOINT")
                last.close()
                store.exchange(lambda: _put_in_place(new, path))
    except (duckdb.Error, OSError) as error:
        said = error.strerror if isinstance(error, OSError) else first_line(error)
        raise StoreError(
            f"{store.path} could not be written anew ({said}); it needs the room of a second file beside it."
        ) from error
    finally:
        if name is not None:
            with contextlib.suppress(duckdb.Error):  # after a success it is detached, and the cursor closed
                cursor.execute(f"DETACH DATABASE IF EXISTS {name}")
        for rest in (new, log_of(new)):
            rest.unlink(missing_ok=True)


def _look_for_room(space: Space, path: Path) -> None:
    """StoreError where the copy would not fit, before the work is done rather than after it."""
    needed, free = space.used + space.log, shutil.disk_usage(path.parent).free
    if free < needed:
        raise StoreError(
            f"{path} cannot be written anew: a second file takes up to {format_size(needed)}, and there are"
            f" {format_size(free)} free."
        )


def sweep(path: Path) -> None:
    """Remove what a rewriting that was killed has left beside the store at `path`; its owner alone may do so."""
    for rest in _beside(path, _prefix(path)):
        rest.unlink(missing_ok=True)


def _beside(path: Path, prefix: str) -> list[Path]:
    return [file for file in path.parent.iterdir() if file.name.startswith(prefix)]


def _prefix(path: Path) -> str:
    return f".{path.name}.rewritten-"


@contextlib.contextmanager
def _pinned(cursor: "duckdb.DuckDBPyConnection") -> "Iterator[duckdb.DuckDBPyConnection]":
    """A transaction that reads the store for as long as the block runs: while it does, no checkpoint renumbers rows."""
    with cursor.cursor() as pin:
        pin.execute("BEGIN")
        for table in TABLES:
            pin.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608  (a constant)
        yield pin


def _begin(cursor: "duckdb.DuckDBPyConnection", name: str, without: tuple[str, ...]) -> dict[str, int]:
    """Make the schema of the store in the database `name` and copy what nobody appends to."""
    ((own,),) = cursor.execute("SELECT current_database()").fetchall()
    cursor.execute(f"COPY FROM DATABASE {quoted(own)} TO {name} (SCHEMA)")
    tables = cursor.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? AND NOT temporary", [own]
    ).fetchall()
    for schema, table in tables:
        if table in without:
            cursor.execute(f"DROP TABLE {name}.{quoted(schema)}.{quoted(table)}")
        elif table not in TABLES and table not in CHANGING:
            place = f"{quoted(schema)}.{quoted(table)}"
            cursor.execute(f"INSERT INTO {name}.{place} SELECT * FROM {quoted(own)}.{place}")  # noqa: S608
    return dict.fromkeys(TABLES, -1)


def _copy(cursor: "duckdb.DuckDBPyConnection", name: str, copied: dict[str, int]) -> int:
    """Copy the rows that came since; `copied` is the last row id of each table. The number of rows copied."""
    total = 0
    for table, last in copied.items():
        ((end,),) = cursor.execute(f"SELECT coalesce(max(rowid), -1) FROM {table}").fetchall()  # noqa: S608
        if end > last:
            ((rows,),) = cursor.execute(
                f"INSERT INTO {name}.{table} SELECT * FROM {table} WHERE rowid > ? AND rowid <= ?",  # noqa: S608
                [last, end],
            ).fetchall()
            copied[table] = end
            total += rows
    return total


def _copy_changing(cursor: "duckdb.DuckDBPyConnection", name: str) -> None:
    """Copy the tables of few rows once nobody writes: a row that changed after it was copied would leave its bytes."""
    for table in CHANGING:
        cursor.execute(f"INSERT INTO {name}.{table} SELECT * FROM {table}")  # noqa: S608  (a constant)


def _compare(cursor: "duckdb.DuckDBPyConnection", name: str) -> None:
    for table in (*TABLES, *CHANGING):
        ((ours, theirs),) = cursor.execute(
            f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM {name}.{table})"  # noqa: S608
        ).fetchall()
        if ours != theirs:
            raise StoreError(f"The copy has {theirs:,} rows in {table} where the store has {ours:,}; nothing changed.")


def _put_in_place(new: Path, path: Path) -> None:
    """Give the whole store `new` the name `path`, whose file nobody may have open."""
    import duckdb

    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.ConnectionException:
        raise StoreError(f"{path} is open elsewhere in this process; close it there and try again.") from None
    left = [log for log in _beside(path, f"{path.name}.wal") if file_bytes(log)]
    if left:
        raise StoreError(f"{left[0]} was not written into its file; try again.")
    _sync(new)
    new.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(path.parent)


def _give_to_owner_of(path: Path, new: Path) -> None:
    """Let nobody read the copy who may not read the store; done while it is still empty."""
    was = path.stat()
    new.chmod(was.st_mode)
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):  # only root may give files away
            os.chown(new, was.st_uid, was.st_gid)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
