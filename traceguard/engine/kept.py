"""What an open store was asked before: evidence of a window that has not changed since is not gathered again.

A window has changed when spans arrived that began in it, or anything of a request that is in it, or when rows were
removed; also when spans elsewhere in the store tell of other versions, or of another one that came first. So a live
store answers about yesterday at once, however much comes in today.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import pyarrow as pa

from traceguard.engine.circumstances import version_factors
from traceguard.engine.local import Window, fetch

if TYPE_CHECKING:
    import duckdb

    from traceguard.store import Store
    from traceguard.store.interruptible import Interruptible
    from traceguard.units import Period

Kept = TypeVar("Kept")

# Per store. Evidence of a million spans takes some 30 MB.
MOST, MOST_BYTES = 4, 512 * 2**20

_TABLES = ("spans", "flag_records", "correlations")


@dataclass(frozen=True, slots=True)
class State:
    """How far a store's tables go: the number after the last row of each, and how many rows lie before it."""

    generation: int
    ends: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def ends_by_table(self) -> dict[str, int]:
        """The number after the last row, by table."""
        return dict(zip(_TABLES, self.ends, strict=True))


@dataclass(slots=True)
class _Entry(Generic[Kept]):
    state: State
    versions: Hashable  # as the whole store tells of them
    window: Window
    value: Kept
    size: int


class Shelf(Generic[Kept]):
    """Values by what was asked, for the stores of this process that are open; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: weakref.WeakKeyDictionary[Store, OrderedDict[Hashable, _Entry[Kept]]] = (
            weakref.WeakKeyDictionary()
        )

    def get(
        self, asker: "Store | Interruptible", cursor: "duckdb.DuckDBPyConnection", asked: Hashable, period: "Period",
        gather: Callable[[], tuple[Window, Kept, int]],
    ) -> Kept:  # fmt: skip
        """What `gather` gives for `asked`, or gave when nothing in `period` has changed since.

        It gives a window, the value to keep, and the bytes that keeping both takes.
        """
        store = asker.lasting
        now = state_of(store, cursor)
        with self._lock:
            entry = self._stores.setdefault(store, OrderedDict()).get(asked)
        if entry is None or not _same(cursor, entry, now, period):
            entry = _Entry(now, version_factors(cursor), *gather())
        else:
            entry.state = now
        with self._lock:
            entries = self._stores.setdefault(store, OrderedDict())
            entries[asked] = entry
            entries.move_to_end(asked)
            while len(entries) > MOST or (entries and sum(kept.size for kept in entries.values()) > MOST_BYTES):
                entries.popitem(last=False)
        return entry.value


def state_of(store: "Store", cursor: "duckdb.DuckDBPyConnection") -> State:
    """How far the store goes now."""
    # Taken before anything is read: what arrives meanwhile is looked at again next time.
    generation = store.generation
    found = fetch(cursor, "extent")
    return State(generation, tuple(found["after"]), tuple(found["rows"]))


def removed_since(cursor: "duckdb.DuckDBPyConnection", before: State, store: "Store") -> bool:
    """Whether rows that were there have been removed from the store."""
    return before.generation != store.generation or _rows_before(cursor, before) != before.rows


def _rows_before(cursor: "duckdb.DuckDBPyConnection", before: State) -> tuple[int, ...]:
    return tuple(fetch(cursor, "arrived", **_firsts(before))["rows"].to_list()[: len(_TABLES)])


def _firsts(before: State) -> dict[str, int]:
    return {f"first_{table}": end for table, end in before.ends_by_table.items()}


def _same(cursor: "duckdb.DuckDBPyConnection", entry: _Entry[Kept], now: State, period: "Period") -> bool:
    """Whether nothing of the window, or of what the whole store tells about it, was added or removed since."""
    before = entry.state
    if before == now:
        return True
    if before.generation != now.generation:
        return False
    if _rows_before(cursor, before) != before.rows:
        return False
    cursor.register("known_traces", pa.table({"trace": entry.window.trace_hash}))
    try:
        changed = fetch(cursor, "changed", start_ns=period.start_ns, end_ns=period.end_ns, **_firsts(before))
    finally:
        cursor.unregister("known_traces")
    return not np.any(changed["rows"].to_numpy()) and version_factors(cursor) == entry.versions
