"""The live store: one DuckDB file that one process owns, appended to in whole transactions.

What always holds: `append` returns after COMMIT, so what it took survives `kill -9`; it adds all of its batches or
none. Spans carry no index and no key; duplicates that a client's retry made are dropped when reading. Everyone who
reads takes an own cursor.
"""

import contextlib
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from traceguard.errors import StoreError, first_line
from traceguard.store.format import file_bytes, log_of
from traceguard.store.gate import Gate, Reader
from traceguard.store.snapshot import write_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    import duckdb
    import pyarrow as pa

# DuckDB checkpoints when its log reaches this size, amid a COMMIT that then takes a second or two for each 256 MB; a
# store that has time for it should `settle` before. As much is in memory until then, and is replayed after a crash.
CHECKPOINT_BYTES = 512_000_000

# What was read stays in the cache until this is reached; the operating system caches the file anyway. It is enough to
# group 1.5 million trace ids, and a report on 20 M spans holds 0.8 GB less than with all memory that there is.
READING_BYTES = 600 * 2**20
# Spans and log records that one INSERT takes; fewer cost speed, more only memory.
ROWS_PER_INSERT = 200_000

# How long opening the file anew waits for those who are amid a statement. DuckDB 2.0 refuses to close before them.
_PATIENCE = 1.0

# Those that only grow, until requests are removed whole; and those of few rows, which change in place.
TABLES = ("spans", "flag_records", "correlations", "logs")
CHANGING = ("verdicts",)


class Batch(Protocol):
    """What `append` takes: an Arrow table per table of the store, columns found by name; `otlp`'s Decoded is one."""

    @property
    def spans(self) -> "pa.Table":
        """Rows for `spans`."""

    @property
    def flag_records(self) -> "pa.Table":
        """Rows for `flag_records`."""

    @property
    def correlations(self) -> "pa.Table":
        """Rows for `correlations`."""

    @property
    def logs(self) -> "pa.Table":
        """Rows for `logs`."""


class Store:
    """An open store; made by `open_store`. Safe to use from several threads; a context manager that closes itself."""

    __slots__ = (
        "__weakref__", "_checkpoint_bytes", "_connection", "_cursors", "_gate", "_guard", "_memory", "_reconnect",
        "_tender", "_threads", "_upkeep", "_writable", "_writer", "generation", "path",
    )  # fmt: skip

    def __init__(self, path: Path, connect: "Callable[[], duckdb.DuckDBPyConnection]", *, writable: bool) -> None:
        self.path = path
        self._reconnect = connect
        self._writable = writable
        self._guard = threading.Lock()
        self._writer = threading.Lock()
        self._upkeep = threading.Lock()
        self._tender: duckdb.DuckDBPyConnection | None = None
        self._cursors: weakref.WeakSet[duckdb.DuckDBPyConnection] = weakref.WeakSet()
        self._gate = Gate()
        self._checkpoint_bytes = CHECKPOINT_BYTES
        self._threads: int | None = None
        self._memory: int | None = None if writable else READING_BYTES
        self.generation = 0  # how often the file was exchanged for another, whose rows may have other numbers
        self._connection = self._connected()

    @property
    def lasting(self) -> "Store":
        """Itself; who reads for one question only has another one behind it."""
        return self

    def append(self, batches: "Iterable[Batch]") -> None:
        """Add all rows of all batches in one transaction; returns after COMMIT.

        Batches are taken as they come and inserted some hundred thousand rows at a time, so a large file need not fit
        into memory. StoreError if the store is open to read, or if DuckDB could not write; then, and when the batches
        themselves raise, nothing of them is in the store.
        """
        import duckdb

        if not self._writable:
            raise StoreError(f"{self.path} is open for reading only; open it with mode='write' to add to it.")
        with self._writer, self._cursor() as cursor:
            try:
                cursor.execute("BEGIN")
                for group in _grouped(batches):
                    for table in TABLES:
                        _insert(cursor, table, [getattr(batch, table) for batch in group])
                cursor.execute("COMMIT")
            except duckdb.Error as error:
                roll_back(cursor)
                raise StoreError(
                    f"{self.path} could not be written ({first_line(error)}); check the disk's space and try again."
                ) from error
            except BaseException:
                roll_back(cursor)
                raise

    @contextlib.contextmanager
    def changing(self, patience: float) -> "Iterator[duckdb.DuckDBPyConnection]":
        """One short transaction on the tables that change in place; appending waits while the block runs.

        StoreError if the store is open to read, if others write to it for longer than `patience` seconds, or if DuckDB
        could not write; then nothing has changed.
        """
        import duckdb

        if not self._writable:
            raise StoreError(f"{self.path} is open for reading only; open it with mode='write' to change it.")
        if not self._writer.acquire(timeout=patience):
            raise StoreError(f"{self.path} was being written for {patience:g} seconds; try again.")
        try:
            with self._cursor() as cursor:
                try:
                    cursor.execute("BEGIN")
                    yield cursor
                    cursor.execute("COMMIT")
                except duckdb.Error as error:
                    roll_back(cursor)
                    raise StoreError(f"{self.path} could not be written ({first_line(error)}).") from error
                except BaseException:
                    roll_back(cursor)
                    raise
        finally:
            self._writer.release()

    def settle(self, beyond: int) -> bool:
        """Write the log into the file if it has more than `beyond` bytes; appending waits meanwhile. True if it had.

        StoreError if it cannot be written.
        """
        import duckdb

        if log_bytes(self.path) <= beyond:
            return False
        with self._writer, self._cursor() as cursor:
            try:
                cursor.execute("CHECKPOINT")
            except duckdb.Error as error:
                raise StoreError(
                    f"{self.path} could not be written ({first_line(error)}); check the disk's space."
                ) from error
        return True

    def use_threads(self, count: int | None) -> None:
        """Let DuckDB work on so many threads from now on, on as many as there are CPUs with None.

        For the small transactions of a server one is best: to wake others for them costs more than they do.
        """
        self._threads = count
        self._tell(_set_threads, count)

    def bound_memory(self, size: int | None) -> None:
        """Let DuckDB keep at most `size` bytes of the store in memory from now on; most of the machine's with None.

        What is committed stays there until a checkpoint, and blocks of the file as long as there is room.
        """
        self._memory = size
        self._tell(_set_memory, size)

    def bound_log(self, size: int) -> None:
        """Let the log grow to about `size` bytes at most, where that is less than it may otherwise."""
        self._checkpoint_bytes = min(size, CHECKPOINT_BYTES)
        self._tell(_set_checkpoint, self._checkpoint_bytes)

    def cursor(self) -> Reader:
        """A connection of its own for one request or thread; close it after use (it is a context manager)."""
        return Reader(self._gate, self._cursor)

    def further_cursor(self) -> "duckdb.DuckDBPyConnection":
        """Another one for a reader who has one already, and closes it later than this; it waits for nobody.

        Behind the gate, such a reader would wait for who waits for all readers to end.
        """
        return self._cursor()

    @contextlib.contextmanager
    def upkeep(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A connection for who tends the store, one at a time, while others read and append."""
        if not self._writable:
            raise StoreError(f"{self.path} is open for reading only; open it with mode='write' to change it.")
        with self._upkeep, self._cursor() as cursor:
            self._tender = cursor
            try:
                yield cursor
            finally:
                self._tender = None

    def interrupt_upkeep(self) -> None:
        """Stop the statement that upkeep runs, or its waiting for readers; it ends with an error, and is undone.

        Does nothing between two statements: who wants upkeep to end calls it until it does.
        """
        import duckdb

        self._gate.give_up()
        tender = self._tender
        if tender is not None:
            with contextlib.suppress(duckdb.Error):  # it has just ended
                tender.interrupt()

    @contextlib.contextmanager
    def alone(self, patience: float) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A connection while nobody else reads or appends; who comes meanwhile waits until the block ends.

        CrowdedError if readers do not end within `patience` seconds; appending goes on while they are waited for.
        """
        with self._gate.emptied(patience), self._writer, self._cursor() as cursor:
            yield cursor

    def snapshot(self, out: Path) -> None:
        """Write a consistent copy of the store to the new file `out`, while reading and writing go on."""
        with self.cursor() as cursor:
            write_snapshot(cursor, out)

    def exchange(self, replace: "Callable[[], None]") -> None:
        """Close the file, run `replace`, and open what lies there then; only inside `alone`, with no cursor left.

        StoreError if somebody uses the file all the same, and nothing was done; or if it cannot be opened again.
        """
        with self._guard:
            self.generation += 1
            self._reopen(replace)

    def revive(self) -> None:
        """Open the file anew if DuckDB gave up the database, as it may after an error amid COMMIT; else do nothing.

        Cursors taken before then no longer work. StoreError if the file cannot be opened, or not yet: whoever is amid
        a statement holds on to the database that was given up, and is about to fail.
        """
        import duckdb

        try:
            with self._cursor() as cursor:
                cursor.execute("SELECT count(*) FROM schema_version").fetchall()
        except (duckdb.Error, StoreError):
            with self._writer, self._guard:
                self._reopen()

    def close(self) -> None:
        """Let go of the file; DuckDB writes its log into it.

        What still reads is interrupted. Who does not end for all that keeps the file, and loses nothing.
        """
        with self._writer, self._guard:
            self._close(interrupt=True)

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Close the store."""
        self.close()

    def _cursor(self) -> "duckdb.DuckDBPyConnection":
        import duckdb

        with self._guard:
            try:
                cursor = self._connection.cursor()
            except duckdb.Error as error:
                raise StoreError(f"{self.path} is closed, or waits to be opened anew; try again.") from error
            self._cursors.add(cursor)
            return cursor

    def _tell(self, setting: "Callable[[duckdb.DuckDBPyConnection, Any], None]", value: int | None) -> None:
        """Change a setting of the database, at the gate like every reader: it must not stand in an exchange's way."""
        import duckdb

        with self.cursor() as cursor:
            try:
                setting(cursor, value)
            except duckdb.Error as error:
                raise StoreError(f"{self.path} cannot be used ({first_line(error)}); try again.") from error

    def _reopen(self, between: "Callable[[], None] | None" = None) -> None:
        """Close the connection, do what comes between, and connect; who holds the guard calls it.

        Ends with an open connection or a StoreError. Where the connection does not close because someone is amid a
        statement, `between` is not done.
        """
        import duckdb

        closed = self._close(interrupt=False)
        try:
            if between is not None:
                if not closed:
                    raise StoreError(f"{self.path} is in use by a statement that does not end; try again.")
                between()
        finally:
            try:
                self._connection = self._connected()
            except duckdb.Error as error:
                raise StoreError(f"{self.path} cannot be opened anew yet ({first_line(error)}); try again.") from error

    def _close(self, *, interrupt: bool) -> bool:
        """Close the connection, for about a second if someone is amid a statement; whether the file is let go of."""
        import duckdb

        deadline = time.monotonic() + _PATIENCE
        while True:
            if interrupt:
                for cursor in self._cursors:
                    with contextlib.suppress(duckdb.Error):  # it is closed
                        cursor.interrupt()
            try:
                self._connection.close()
            except duckdb.Error:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.01)
            else:
                return True

    def _connected(self) -> "duckdb.DuckDBPyConnection":
        connection = self._reconnect()
        _set_checkpoint(connection, self._checkpoint_bytes)
        _set_threads(connection, self._threads)
        _set_memory(connection, self._memory)
        # Everything needed is built in; a query that names something else shall fail here and not ask another host.
        connection.execute("SET GLOBAL autoinstall_known_extensions = false")
        return connection


def log_bytes(path: Path) -> int:
    """The size of the store's log, in which commits lie until a checkpoint."""
    return file_bytes(log_of(path))


def _set_checkpoint(connection: "duckdb.DuckDBPyConnection", size: int) -> None:
    connection.execute(f"SET GLOBAL checkpoint_threshold = '{size:d}B'")


def _set_threads(connection: "duckdb.DuckDBPyConnection", count: int | None) -> None:
    connection.execute("RESET GLOBAL threads" if count is None else f"SET GLOBAL threads = {count:d}")


def _set_memory(connection: "duckdb.DuckDBPyConnection", size: int | None) -> None:
    connection.execute("RESET GLOBAL memory_limit" if size is None else f"SET GLOBAL memory_limit = '{size:d}B'")


def _grouped(batches: "Iterable[Batch]") -> "Iterator[list[Batch]]":
    """Gather batches until one insert is worth its while."""
    group: list[Batch] = []
    rows = 0
    for batch in batches:
        group.append(batch)
        rows += batch.spans.num_rows + batch.logs.num_rows
        if rows >= ROWS_PER_INSERT:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _insert(cursor: "duckdb.DuckDBPyConnection", table: str, parts: "list[pa.Table]") -> None:
    import pyarrow as pa

    filled = [part for part in parts if part.num_rows]
    if not filled:
        return
    # Many small requests would reach DuckDB as many short vectors: one chunk makes 1,000 requests of 10 spans several
    # times quicker.
    rows = filled[0] if len(filled) == 1 else pa.concat_tables(filled).unify_dictionaries().combine_chunks()
    # As a relation: a view that is registered anew for every insert, and bound by name, costs a millisecond more.
    cursor.from_arrow(rows).insert_into(table)


def roll_back(cursor: "duckdb.DuckDBPyConnection") -> None:
    """Undo the transaction of `cursor` if there still is one."""
    import duckdb

    # A failed COMMIT has already ended the transaction; a database that DuckDB gave up refuses even this.
    with contextlib.suppress(duckdb.Error):
        cursor.execute("ROLLBACK")
