"""How much room a store takes, and giving back what nobody uses.

DuckDB frees the blocks of deleted rows only in a checkpoint that runs alone, uses freed blocks for what comes next, and
shortens its file only where the last blocks are free. After old rows are gone the free blocks lie at the front, so rows
that lie at the end are moved there: copied and deleted in one transaction, a row group at a time. That needs no second
file, costs at most what was freed, and a crash leaves the store as it was before or after a move.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traceguard.store.hot import TABLES, roll_back

if TYPE_CHECKING:
    import duckdb

    from traceguard.store.hot import Store

# Of a row group, which DuckDB drops, merges and places as a whole.
_ROWS = 122_880

# Plans are made anew so often, since rows that come in meanwhile may take what was freed.
_ROUNDS = 4

# A row group with fewer of its rows left than this is worth moving wherever it lies.
_SPARSE = 0.9


@dataclass(frozen=True, slots=True)
class Space:
    """Room on disk in bytes: the file with its log, what of the file is in use, and what a row group of spans takes."""

    file: int
    log: int
    used: int
    block: int
    row_group: int

    @property
    def on_disk(self) -> int:
        """File and log together."""
        return self.file + self.log


def on_disk(path: Path) -> int:
    """Bytes that the store at `path` takes with its log; 0 for one in memory."""
    return sum(file.stat().st_size for file in (path, log_of(path)) if file.exists())


def log_of(path: Path) -> Path:
    """The log that DuckDB keeps beside the file."""
    return path.with_name(path.name + ".wal")


def measure(cursor: "duckdb.DuckDBPyConnection", path: Path) -> Space:
    """The room that the store takes now."""
    ((block, used, spans),) = cursor.execute(
        """
        SELECT block_size, used_blocks, estimated_size FROM pragma_database_size(), duckdb_tables() AS tables
        WHERE tables.database_name = current_database() AND table_name = 'spans'
          AND pragma_database_size.database_name = current_database()
        """
    ).fetchall()
    log = log_of(path)
    return Space(
        file=path.stat().st_size if path.exists() else 0,
        log=log.stat().st_size if log.exists() else 0,
        used=block * used,
        block=block,
        row_group=block * used * _ROWS // max(spans, _ROWS),
    )


def settle(cursor: "duckdb.DuckDBPyConnection") -> None:
    """Write the log into the file and free the blocks of deleted rows; the cursor must be alone with the store."""
    # Where an earlier checkpoint met readers it left deleted rows in place, and the next one does nothing at all unless
    # something changed in between.
    cursor.execute("CREATE OR REPLACE TABLE traceguard_settling (nothing INTEGER)")
    cursor.execute("DROP TABLE traceguard_settling")
    cursor.execute("CHECKPOINT")


def shrink(
    store: "Store", space: Space, goal: int, *, patience: float, rest: Callable[[float], object] = time.sleep
) -> Space:
    """Move rows to the front of the file until it has at most `goal` bytes or nothing more can be gained.

    `space` is that of the settled store; a row group cannot be placed in parts, so the file may stay larger than `goal`
    by two of them. Readers and writers wait for one row group at a time, and `rest` waits as long as they had to; what
    it returns says whether to stop. CrowdedError where readers stay longer than `patience` seconds; what was moved
    stays moved.
    """
    for _ in range(_ROUNDS):
        if space.file <= goal:
            break
        before = space.file
        with store.cursor() as cursor:
            plan = _plan(cursor, first=max(goal, space.used) // space.block)
        for table, start, end in plan:
            began = time.monotonic()
            with store.alone(patience) as cursor:
                _move(cursor, table, start, end)
                settle(cursor)
                space = measure(cursor, store.path)
            if space.file <= goal or rest(time.monotonic() - began):
                return space
        # The last blocks are free once the checkpoint is over that freed them; the next one cuts them off.
        space = settled(store, patience)
        if space.file >= before:
            break
    return space


def settled(store: "Store", patience: float) -> Space:
    """Settle the store as soon as nobody reads; the room that it takes then. CrowdedError as `Store.alone`."""
    with store.cursor() as cursor:
        cursor.execute("CHECKPOINT")  # most of the work, while others read and append
    with store.alone(patience) as cursor:
        settle(cursor)
        return measure(cursor, store.path)


def _plan(cursor: "duckdb.DuckDBPyConnection", first: int) -> list[tuple[str, int, int]]:
    """Ranges of row ids to move: row groups that reach into the block `first` or beyond, and those with few rows left.

    Within a table the last comes first: when a row group is gone, the ids behind it change, and no others.
    """
    return [
        (table, start, start + rows)
        for table in TABLES
        for start, rows, last in reversed(_row_groups(cursor, table))
        if last >= first or _left(cursor, table, start, rows) < _SPARSE * rows
    ]


def _row_groups(cursor: "duckdb.DuckDBPyConnection", table: str) -> list[tuple[int, int, int]]:
    """First row id, rows (deleted ones included) and last block of each row group."""
    return cursor.execute(
        """
        SELECT (sum(rows) OVER (ORDER BY row_group_id) - rows)::BIGINT, rows, last
        FROM (
            SELECT row_group_id,
                   max("start" + count) FILTER (column_id = 0) AS rows,
                   coalesce(max(greatest(block_id, list_max(additional_block_ids))), -1) AS last
            FROM pragma_storage_info(?) GROUP BY row_group_id
        )
        ORDER BY row_group_id
        """,
        [table],
    ).fetchall()


def _left(cursor: "duckdb.DuckDBPyConnection", table: str, start: int, rows: int) -> int:
    ((left,),) = cursor.execute(
        f"SELECT count(*) FROM {table} WHERE rowid >= ? AND rowid < ?",  # noqa: S608  (a constant of this room)
        [start, start + rows],
    ).fetchall()
    return int(left)


def _move(cursor: "duckdb.DuckDBPyConnection", table: str, start: int, end: int) -> None:
    """Write the rows with ids from `start` to before `end` anew, wherever there is room."""
    cursor.execute("BEGIN")
    try:
        these = f"FROM {table} WHERE rowid >= ? AND rowid < ?"
        cursor.execute(f"INSERT INTO {table} SELECT * {these}", [start, end])
        cursor.execute(f"DELETE {these}", [start, end])
        cursor.execute("COMMIT")
    except BaseException:
        roll_back(cursor)
        raise
