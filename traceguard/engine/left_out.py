"""What the settings leave out: entry points by name, traces by an attribute of their root, such as synthetic traffic.

Nothing is left out unless the settings say so, and what is left out is counted by the rule that says it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.engine.local import Window, fetch

if TYPE_CHECKING:
    import duckdb

    from traceguard.units import Period

Kind = Literal["entry", "attribute", "environment"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rules and what they leave out.

    Shapes: `operation` per operation of the window's names, `trace` per trace of the window; both the number of the
    first rule that fits, -1 for none. `elsewhere` counts the traces of other environments, where one was asked for.
    """

    rules: tuple[tuple[Kind, str], ...]
    operation: NDArray[np.int32]
    trace: NDArray[np.int32]
    elsewhere: tuple[tuple[str, int], ...] = ()

    @classmethod
    def nothing(cls, window: Window) -> "LeftOut":
        """No rules."""
        return cls(
            rules=(),
            operation=np.full(len(window.names.operations), -1, dtype=np.int32),
            trace=np.full(window.trace_hash.size, -1, dtype=np.int32),
        )

    def entries_and_traces(self, window: Window) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """Which operations do not count as entry points (one mark each), and the hashes of traces that do not count."""
        return self.operation >= 0, window.trace_hash[self.trace >= 0]

    def rule_of(self, entry: NDArray[np.int32], row: NDArray[np.intp]) -> NDArray[np.int32]:
        """The rule that leaves out each request, -1 for none, by its entry's operation and its trace's row."""
        by_entry, by_trace = self.operation[entry], self.trace[row]
        rule: NDArray[np.int32] = np.where(by_entry >= 0, by_entry, by_trace)
        return rule


def read_left_out(
    cursor: "duckdb.DuckDBPyConnection", window: Window, entries: Sequence[str], attributes: Mapping[str, str]
) -> LeftOut:
    """What `entries` (operations, or "service operation") and `attributes` (key to value) leave out of the window.

    `*` in them stands for any text.
    """
    found = LeftOut.nothing(window)
    services = window.names.services
    patterns = [pattern(text) for text in entries]
    for number, (service, operation) in enumerate(window.names.operations):
        texts = (operation, f"{services[service]} {operation}")
        fits = (i for i, pattern in enumerate(patterns) if any(pattern.fullmatch(text) for text in texts))
        found.operation[number] = next(fits, -1)
    rules: list[tuple[Kind, str]] = [("entry", text) for text in entries]
    for key, wanted in attributes.items():
        rows = fetch(cursor, "root_attribute", key=key)
        wanted_value = pattern(wanted)
        values = [value for value in rows["value"].unique() if wanted_value.fullmatch(value)]
        fitting = rows.filter(pl.col("value").is_in(pl.Series(values, dtype=pl.String).implode()))
        at = window.rows_of(fitting["trace"].to_numpy())
        found.trace[at[found.trace[at] < 0]] = len(rules)
        rules.append(("attribute", f"{key} = {wanted}"))
    return LeftOut(tuple(rules), found.operation, found.trace)


def traces_elsewhere(
    cursor: "duckdb.DuckDBPyConnection", period: "Period", environment: str, gap: "Period | None" = None
) -> tuple[tuple[str, int], ...]:
    """The other environments and how many of their traces began in `period`, outside of `gap`."""
    rows = fetch(
        cursor, "other_environments", environment=environment, start_ns=period.start_ns, end_ns=period.end_ns,
        gap_start_ns=gap.start_ns if gap else None, gap_end_ns=gap.end_ns if gap else None,
    )  # fmt: skip
    return tuple((name or "unknown", traces) for name, traces in rows.iter_rows())


def pattern(text: str) -> re.Pattern[str]:
    """What `text` matches as a whole, `*` standing for any text."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
