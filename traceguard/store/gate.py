"""A gate before the store: readers pass as they come, until someone needs the store to be empty for a moment.

DuckDB gives the space of deleted rows back only in a checkpoint that runs alone, and a file can be replaced only when
nobody has it open. What always holds: a closed gate opens again, at the latest when the patience of who closed it ends.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traceguard.errors import StoreError

if TYPE_CHECKING:
    import duckdb


class CrowdedError(StoreError):
    """Readers did not leave in time; nothing was done."""


class Gate:
    """Counts who is inside; safe to use from several threads."""

    __slots__ = ("_changed", "_closed", "_given_up", "_inside")

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._inside = 0
        self._given_up = False

    def enter(self) -> None:
        """Be inside from now on; waits while the gate is closed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1

    def leave(self) -> None:
        """Be outside again."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    @contextmanager
    def emptied(self, patience: float) -> Iterator[None]:
        """Let nobody in and run the block when the last one has left.

        CrowdedError after `patience` seconds, or as soon as someone calls `give_up`.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed, self._given_up = True, False
            self._changed.wait_for(lambda: self._inside == 0 or self._given_up, patience)
            if self._inside:
                self._open()
                if self._given_up:
                    raise CrowdedError("Readers were busy with the store, and waiting for them was broken off.")
                raise CrowdedError(f"Readers were busy with the store for {patience:g} seconds; try again.")
        try:
            yield
        finally:
            with self._changed:
                self._open()

    def give_up(self) -> None:
        """Let whoever waits for the last one to leave wait no longer; does nothing where nobody waits."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def _open(self) -> None:
        self._closed = False
        self._changed.notify_all()


class Reader:
    """A cursor behind the gate: inside from when it is made until it is closed, or until its `with` block ends."""

    __slots__ = ("_cursor", "_gate")

    def __init__(self, gate: Gate, connect: "Callable[[], duckdb.DuckDBPyConnection]") -> None:
        self._gate: Gate | None = None
        gate.enter()
        try:
            self._cursor = connect()
        except BaseException:
            gate.leave()
            raise
        self._gate = gate

    def close(self) -> None:
        """Close the cursor and leave; again is fine."""
        gate, self._gate = self._gate, None
        if gate is not None:
            self._cursor.close()
            gate.leave()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __enter__(self) -> "duckdb.DuckDBPyConnection":
        return self._cursor

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
