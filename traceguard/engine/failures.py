"""What a window's spans say of their failures themselves: resends, timeouts, and the limits at which calls end.

Read once per window by small queries that touch the text of failed or resent spans only; the limits need all calls of
an operation, so that every partition judges by the same.
"""

from typing import TYPE_CHECKING

import numpy as np

from traceguard.engine.local import Window, fetch
from traceguard.traces.timeouts import Marks, Stated

if TYPE_CHECKING:
    import duckdb


def read_failures(cursor: "duckdb.DuckDBPyConnection", window: Window) -> Stated:
    """What the spans of the window, opened on `cursor`, state."""
    limits = fetch(cursor, "time_limits").join(window.name_codes, on="name")
    # An operation with a limit in several environments gets bounds that hold all of them.
    shortest = np.full(len(window.names.operations), np.iinfo(np.int64).max, dtype=np.int64)
    longest = np.full(len(window.names.operations), -1, dtype=np.int64)
    np.minimum.at(shortest, limits["operation"].to_numpy(), limits["shortest"].to_numpy())
    np.maximum.at(longest, limits["operation"].to_numpy(), limits["longest"].to_numpy())
    return Stated(_marks(cursor, "resends"), _marks(cursor, "timeouts"), shortest, longest)


def _marks(cursor: "duckdb.DuckDBPyConnection", query: str) -> Marks:
    rows = fetch(cursor, query)
    return Marks.of(rows["trace"].to_numpy(), rows["span"].to_numpy())
