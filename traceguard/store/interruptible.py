"""A store as one question reads it: whoever asked may change their mind, and what runs ends soon.

DuckDB stops a statement in the middle; between statements the next one is refused. Nothing else is touched.
"""

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceguard.errors import StoreError
from traceguard.store.snapshot import write_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from traceguard.store.hot import Store


class TakenBackError(StoreError):
    """The question was taken back before it was answered."""


class Interruptible:
    """The reading half of a `Store`, for one question; `interrupt` may be called from any thread, also twice."""

    __slots__ = ("_guard", "_open", "_store", "interrupted")

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._guard = threading.Lock()
        self._open: set[duckdb.DuckDBPyConnection] = set()
        self.interrupted = False

    @property
    def path(self) -> Path:
        """Where the store lies."""
        return self._store.path

    @property
    def lasting(self) -> "Store":
        """The store that is still open when the question is answered."""
        return self._store

    @contextmanager
    def cursor(self) -> "Iterator[Any]":
        """A cursor as `Store.cursor` gives it; TakenBackError for every statement after `interrupt`."""
        self.check()
        with self._guard:
            inside = bool(self._open)
        with self._store.further_cursor() if inside else self._store.cursor() as cursor:
            with self._guard:
                self._open.add(cursor)
            try:
                yield _Cursor(self, cursor)
            finally:
                with self._guard:
                    self._open.discard(cursor)

    def snapshot(self, out: Path) -> None:
        """Write a consistent copy of the store to the new file `out`, while reading and writing go on."""
        with self.cursor() as cursor:
            write_snapshot(cursor, out)

    def interrupt(self) -> None:
        """Stop what runs; the thread that asked gets an error, DuckDB's own or TakenBackError."""
        with self._guard:
            self.interrupted = True
            for cursor in self._open:
                cursor.interrupt()

    def check(self) -> None:
        """TakenBackError if the question was taken back; for long work between statements."""
        if self.interrupted:
            raise TakenBackError("The question was taken back before it was answered.")


class _Cursor:
    """A cursor that starts no statement once its question was taken back."""

    def __init__(self, question: Interruptible, cursor: Any) -> None:
        self._question = question
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        self._question.check()
        return getattr(self._cursor, name)
