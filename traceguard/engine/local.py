"""The reduction on this machine: the store's spans, partition by partition, to linked traces and facts.

A partition holds whole traces, chosen by the hash of the trace id, so memory is bounded by the partition. Text stays in
DuckDB; kernels see hashes and small integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.store import queries
from traceguard.traces.link import Linked, Names, link

if TYPE_CHECKING:
    import duckdb

    from traceguard.units import Period

SPANS_PER_PARTITION = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """The traces an analysis rests on, ordered by ascending hash, and the dictionary of their names."""

    names: Names
    name_codes: pl.DataFrame  # name (uint64 hash), operation, service, environment (int32 ids)
    trace_hash: NDArray[np.uint64]
    trace_ids: NDArray[np.object_]
    begun: NDArray[np.int64]  # start of each trace's root, ns
    rows: int  # spans as stored, repeats included

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Start of the first and of the last trace, ns; None for an empty window."""
        return (int(self.begun.min()), int(self.begun.max())) if self.begun.size else None

    def rows_of(self, trace_hash: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Row numbers of the given traces, all of which must be in the window."""
        return np.searchsorted(self.trace_hash, trace_hash)

    def ids_of(self, trace_hash: NDArray[np.uint64]) -> list[str]:
        """The hex ids of the given traces, all of which must be in the window."""
        return [str(self.trace_ids[row]) for row in self.rows_of(trace_hash)]


def fetch(cursor: "duckdb.DuckDBPyConnection", query: str, **params: Any) -> pl.DataFrame:
    """Run `queries/traces/<query>.sql` and return its rows."""
    text = (queries.folder() / "traces" / f"{query}.sql").read_text(encoding="utf-8")
    used = {name: value for name, value in params.items() if f"${name}" in text}
    frame = pl.from_arrow(cursor.sql(text, params=used or None).to_arrow_table())
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  (narrows the type; a table never becomes a Series)
    return frame


def open_window(
    cursor: "duckdb.DuckDBPyConnection", period: "Period", environment: str | None, gap: "Period | None" = None
) -> Window:
    """Find the traces whose root started in `period`, outside of `gap`.

    They lie beside the store as `window_traces` on this cursor.
    """
    traces = fetch(
        cursor, "window", environment=environment, start_ns=period.start_ns, end_ns=period.end_ns,
        gap_start_ns=gap.start_ns if gap else None, gap_end_ns=gap.end_ns if gap else None,
    )  # fmt: skip
    cursor.register("window_traces", traces.select("trace").to_arrow())
    found = fetch(cursor, "operations")
    services = tuple(sorted(set(found["service"])))
    service_id = {name: i for i, name in enumerate(services)}
    operations = tuple(sorted({(service_id[s], o) for s, o in found.select("service", "operation").iter_rows()}))
    operation_id = {name: i for i, name in enumerate(operations)}
    environments = tuple(sorted(set(found["environment"])))
    environment_id = {name: i for i, name in enumerate(environments)}
    codes = pl.DataFrame(
        [
            (operation_id[service_id[s], o], service_id[s], environment_id[e])
            for s, o, e in found.select("service", "operation", "environment").iter_rows()
        ],
        schema={"operation": pl.Int32, "service": pl.Int32, "environment": pl.Int32},
        orient="row",
    ).with_columns(found["name"])
    return Window(
        names=Names(services, operations, environments),
        name_codes=codes,
        trace_hash=traces["trace"].to_numpy(),
        trace_ids=traces["trace_id"].to_numpy(),
        begun=traces["begun"].to_numpy(),
        rows=int(traces["spans"].sum()),
    )


def linked_partitions(
    cursor: "duckdb.DuckDBPyConnection", window: Window, spans_per_partition: int = SPANS_PER_PARTITION
) -> Iterator[Linked]:
    """The window's traces, linked, a partition of about `spans_per_partition` spans at a time."""
    parts = max(1, -(-window.rows // spans_per_partition))
    for part in range(parts):
        spans = fetch(cursor, "partition_spans", parts=parts, part=part)
        if spans.is_empty():
            continue
        spans = spans.join(window.name_codes, on="name", how="left").drop("name")
        chosen = window.trace_hash % np.uint64(parts) == part
        yield link(spans, window.names, window.trace_ids[chosen], window.trace_hash[chosen])
