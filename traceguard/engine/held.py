"""A window of a store that is held in memory: read once, asked many times.

What all questions about a window have in common, its linked traces first of all, takes most of their time. A held
window stays as it was read: spans that arrived since are not in it, and that is the bargain. What was removed from the
store must not live on in it, so after a removal it refuses to be asked.
"""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pyarrow as pa

from traceguard.engine.kept import State, removed_since, state_of
from traceguard.engine.local import SMALL_PARTITION, Window, linked_partitions, open_window, watched
from traceguard.errors import StoreError, UsageError

if TYPE_CHECKING:
    import duckdb

    from traceguard.store import Store
    from traceguard.store.interruptible import Interruptible
    from traceguard.units import Period

Read = TypeVar("Read")

# Linked traces take some 62 bytes a span, and what was read once for all questions up to 40 more.
MOST_SPANS = 4_000_000


class TooLargeError(UsageError):
    """A window has more spans than are held in memory."""


class OutdatedError(StoreError):
    """Something was removed from the store since the window was read; hold it anew."""


@dataclass(slots=True)
class _Place:
    """Where one thing is kept that is read once; whoever needs it waits for who reads it, and for nobody else."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    known: bool = False
    value: Any = None


@dataclass(slots=True)
class _Memory:
    """What was read once, by name; shared by everyone who asks."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    places: dict[Hashable, _Place] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldWindow:
    """A window, as every function of the pipeline takes it in place of a store; safe to use from several threads."""

    store: "Store | Interruptible"
    period: "Period"
    environment: str | None
    window: Window
    state: State
    read_at: float  # on the clock of time.monotonic
    memory: _Memory = field(default_factory=_Memory, repr=False)

    @classmethod
    def read(
        cls, store: "Store | Interruptible", period: "Period", environment: str | None,
        show: Callable[..., None] = lambda *_: None,
    ) -> Self:  # fmt: skip
        """Read and link the traces of a period; TooLargeError for more than `MOST_SPANS` spans."""
        began = time.monotonic()
        with store.cursor() as cursor:
            state = state_of(store.lasting, cursor)
            _end_at(cursor, state)
            window = open_window(cursor, period, environment)
            if window.rows > MOST_SPANS:
                raise TooLargeError(
                    f"The window has {window.rows:,} spans, and at most {MOST_SPANS:,} are held in memory; hold a"
                    " shorter one, or ask the store itself."
                )
            linked = linked_partitions(cursor, window, SMALL_PARTITION)
            parts = tuple(watched(linked, window, show, "Linking traces", SMALL_PARTITION))
        return cls(store, period, environment, replace(window, linked=parts), state, began)

    @property
    def lasting(self) -> "Store":
        """The store behind it."""
        return self.store.lasting

    def asked_by(self, store: "Store | Interruptible") -> "HeldWindow":
        """The same window, for another question to the same store."""
        return replace(self, store=store)

    def open(self, cursor: "duckdb.DuckDBPyConnection") -> Window:
        """The window, with its traces beside the store as `window_traces` on this cursor, as `open_window` leaves them.

        What else the cursor reads is the store as it was when the window was read: of spans that came late, and of
        flags and users that were told since, it knows nothing.
        OutdatedError where something was removed from the store since.
        """
        if removed_since(cursor, self.state, self.lasting):
            raise OutdatedError("Something was removed from the store since this window was read; hold it anew.")
        _end_at(cursor, self.state)
        cursor.register("window_traces", pa.table({"trace": self.window.trace_hash}))
        return self.window

    def once(self, name: Hashable, read: Callable[[], Read]) -> Read:
        """What `read` gives, or gave when it was first asked for under this name."""
        with self.memory.lock:
            place = self.memory.places.setdefault(name, _Place())
        with place.lock:
            if not place.known:
                place.value, place.known = read(), True
            found: Read = place.value
            return found


def _end_at(cursor: "duckdb.DuckDBPyConnection", state: State) -> None:
    """Let the tables end, for this cursor, where the store ended then: views before them that bear their names.

    Rows are only ever added behind the others, and keep their numbers until some are removed.
    """
    ((catalog,),) = cursor.execute("SELECT current_database()").fetchall()
    source = f'"{catalog.replace(chr(34), 2 * chr(34))}".main'
    for table, end in state.ends_by_table.items():
        # A number is a column here, because a view has none of its own.
        text = f"SELECT *, rowid FROM {source}.{table} WHERE rowid < {end}"  # noqa: S608  (our tables, and whole numbers)
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS {text}")
