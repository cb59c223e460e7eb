"""How much room a store takes on disk, and freeing what deleted rows took of it.

DuckDB frees the blocks of deleted rows only in a checkpoint that runs alone. What comes next uses freed blocks again,
so a store whose old rows go as new ones come stops growing. Its file gets shorter only by being written anew
(`rewrite`), because what lies last in it stays there.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traceguard.store.format import file_bytes, log_of

if TYPE_CHECKING:
    import duckdb

    from traceguard.store.hot import Store

# Of a row group, which DuckDB drops, merges and writes as a whole.
_ROWS = 122_880


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
    return file_bytes(path) + file_bytes(log_of(path))


def measure(cursor: "duckdb.DuckDBPyConnection", path: Path) -> Space:
    """The room that the store takes now."""
    ((block, used, spans),) = cursor.execute(
        """
        SELECT block_size, used_blocks, estimated_size FROM pragma_database_size(), duckdb_tables() AS tables
        WHERE tables.database_name = current_database() AND table_name = 'spans'
          AND pragma_database_size.database_name = current_database()
        """
    ).fetchall()
    return Space(
        file=file_bytes(path),
        log=file_bytes(log_of(path)),
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


def settled(store: "Store", patience: float) -> Space:
    """Settle the store as soon as nobody reads; the room that it takes then. CrowdedError as `Store.alone`."""
    import duckdb

    # Most of the work is done while others read and append; where one of them stands in the way, it is done after them.
    with store.cursor() as cursor, contextlib.suppress(duckdb.TransactionException):
        cursor.execute("CHECKPOINT")
    with store.alone(patience) as cursor:
        settle(cursor)
        return measure(cursor, store.path)
