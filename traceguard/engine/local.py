"""The reduction on this machine: the store's spans, partition by partition, to linked traces and facts.

A partition holds whole traces, neighbours by the hash of their ids, so memory is bounded by the partition. Text stays
in DuckDB; kernels see hashes and small integers.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard.engine.lookup import Rows
from traceguard.engine.spill import Spill, columns_of
from traceguard.engine.trace_size import MAX_TRACE_SPANS
from traceguard.store import queries
from traceguard.traces.link import Linked, Names, link
from traceguard.traces.streams import LONG_NS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from traceguard.units import Period

Reduced = TypeVar("Reduced")

SPANS_PER_PARTITION = 1_000_000
SMALL_PARTITION = 300_000  # spans: keeps all CPUs busy to the end, where what is made of a partition is small
_MOST_PARTITIONS = 256  # each may be a file
_MOST_WORKERS = 4
_ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Window:
    """The traces an analysis rests on, ordered by ascending hash, and the dictionary of their names."""

    names: Names
    name_codes: pl.DataFrame  # name (uint64 hash), operation, service, environment, host (int32 ids)
    trace_hash: NDArray[np.uint64]
    trace_ids: pl.Series
    begun: NDArray[np.int64]  # start of each trace's root, ns
    spans: NDArray[np.int64]  # of each trace, as stored, repeats included
    too_large: tuple[str, ...]  # hex ids of traces that are left out for their size
    streams: NDArray[np.bool_]  # by operation: its calls are long-lived streams
    linked: "tuple[Linked, ...] | None" = None  # its traces, where they are held in memory

    @cached_property
    def lookup(self) -> Rows:
        """Rows by trace hash, for loops."""
        return Rows(self.trace_hash)

    @property
    def rows(self) -> int:
        """Spans as stored, repeats included."""
        return int(self.spans.sum())

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Start of the first and of the last trace, ns; None for an empty window."""
        return (int(self.begun.min()), int(self.begun.max())) if self.begun.size else None

    def rows_of(self, trace_hash: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Row numbers of the given traces, all of which must be in the window."""
        return self.lookup.find(trace_hash)

    def ids_of(self, trace_hash: NDArray[np.uint64]) -> list[str]:
        """The hex ids of the given traces, all of which must be in the window."""
        found: list[str] = self.trace_ids.gather(self.rows_of(trace_hash)).to_list()
        return found


def fetch(cursor: "duckdb.DuckDBPyConnection", query: str, **params: Any) -> pl.DataFrame:
    """Run `queries/traces/<query>.sql` and return its rows."""
    text = (queries.folder() / "traces" / f"{query}.sql").read_text(encoding="utf-8")
    used = {name: value for name, value in params.items() if f"${name}" in text}
    frame = pl.from_arrow(cursor.sql(text, params=used or None).to_arrow_table())
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  (narrows the type; a table never becomes a Series)
    return frame


def stream(cursor: "duckdb.DuckDBPyConnection", query: str, **params: Any) -> "pa.RecordBatchReader":
    """The rows of `queries/traces/<query>.sql`, some hundred thousand at a time."""
    text = (queries.folder() / "traces" / f"{query}.sql").read_text(encoding="utf-8")
    return cursor.sql(text, params=params or None).to_arrow_reader(_ROWS_AT_ONCE)


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
    return window_of(cursor, traces)


def window_of(cursor: "duckdb.DuckDBPyConnection", traces: pl.DataFrame) -> Window:
    """The window of traces that were found already: rows as of `queries/traces/window.sql`, ordered by the hash."""
    endless = pl.col("spans") > MAX_TRACE_SPANS
    too_large = tuple(sorted(traces.filter(endless)["trace_id"]))
    traces = traces.filter(~endless)
    cursor.register("window_traces", traces.select("trace").to_arrow())
    found = fetch(cursor, "operations")
    services = tuple(sorted(set(found["service"])))
    service_id = {name: i for i, name in enumerate(services)}
    operations = tuple(sorted({(service_id[s], o) for s, o in found.select("service", "operation").iter_rows()}))
    operation_id = {name: i for i, name in enumerate(operations)}
    environments = tuple(sorted(set(found["environment"])))
    environment_id = {name: i for i, name in enumerate(environments)}
    hosts = tuple(sorted({(service_id[s], i) for s, i in found.select("service", "instance").iter_rows()}))
    host_id = {host: i for i, host in enumerate(hosts)}
    codes = pl.DataFrame(
        [
            (operation_id[service_id[s], o], service_id[s], environment_id[e], host_id[service_id[s], i])
            for s, o, e, i in found.select("service", "operation", "environment", "instance").iter_rows()
        ],
        schema={"operation": pl.Int32, "service": pl.Int32, "environment": pl.Int32, "host": pl.Int32},
        orient="row",
    ).with_columns(found["name"])
    streams = np.zeros(len(operations), dtype=np.bool_)
    for service, operation in fetch(cursor, "streams", long_ns=LONG_NS).iter_rows():
        streams[operation_id[service_id[service], operation]] = True
    return Window(
        names=Names(services, operations, environments, hosts),
        name_codes=codes,
        trace_hash=traces["trace"].to_numpy(),
        trace_ids=traces["trace_id"],
        begun=traces["begun"].to_numpy(),
        spans=traces["spans"].to_numpy(),
        too_large=too_large,
        streams=streams,
    )


def linked_partitions(
    cursor: "duckdb.DuckDBPyConnection", window: Window, spans_per_partition: int = SPANS_PER_PARTITION
) -> Iterator[Linked]:
    """The window's traces, linked, a partition of about `spans_per_partition` spans at a time."""
    return reduced(cursor, window, lambda linked: linked, spans_per_partition)


def reduced(
    cursor: "duckdb.DuckDBPyConnection", window: Window, reduce: Callable[[Linked], Reduced],
    spans_per_partition: int = SPANS_PER_PARTITION, query: str = "partition_spans",
) -> Iterator[Reduced]:  # fmt: skip
    """What `reduce` makes of each partition of linked traces, in the window's order.

    The store is read once, by `query`, or not at all where the window holds its traces. While one result is used, the
    next partitions are linked and reduced on all CPUs.
    """
    if window.linked is not None:
        held = window.linked
        yield from _ahead(lambda number: reduce(held[number]), len(held))
        return
    partition = partition_of(window.spans, spans_per_partition)
    count = int(partition[-1]) + 1 if partition.size else 0
    codes = {name: window.name_codes[name].to_numpy() for name in ("operation", "service", "environment", "host")}
    names = window.name_codes["name"].to_numpy()
    edges = np.searchsorted(partition, np.arange(count + 1))

    def partial(number: int) -> Reduced:
        column = columns_of(spill.partition(number))
        name = column.pop("name")
        column |= {kind: code[name] for kind, code in codes.items()}
        # What was removed since the window was opened has no spans any more.
        there = np.zeros(edges[number + 1] - edges[number], dtype=np.bool_)
        there[column["trace"]] = True
        if not there.all():
            column["trace"] = (np.cumsum(there) - 1)[column["trace"]].astype(np.int32)
        rows = edges[number] + np.flatnonzero(there)
        return reduce(
            link(column, window.names, window.trace_ids.gather(rows), window.trace_hash[rows], window.streams)
        )

    with Spill(window.lookup, partition, names, window.rows) as spill:
        if count:
            spill.take(stream(cursor, query))
        yield from _ahead(partial, count)


def watched(
    partitions: Iterator[Reduced], window: Window, show: Callable[..., None], stage: str,
    spans_per_partition: int = SPANS_PER_PARTITION,
) -> Iterator[Reduced]:  # fmt: skip
    """The same partitions; each is told to `show` with the stage, how many are done, and how many there are."""
    held = window.linked
    total = len(held) if held is not None else int(partition_of(window.spans, spans_per_partition).max(initial=-1)) + 1
    for done, partition in enumerate(partitions):
        show(stage, done, total)
        yield partition


def _ahead(work: Callable[[int], Reduced], count: int) -> Iterator[Reduced]:
    """What `work` makes of the numbers below `count`, in their order; the next are worked on meanwhile."""
    # Each may hold a partition: memory must not grow with the machine.
    workers = min(count, _cpus(), _MOST_WORKERS)
    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="traceguard-link") as pool:
        ahead: deque[Future[Reduced]] = deque()
        for number in range(count):
            ahead.append(pool.submit(work, number))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def partition_of(spans: NDArray[np.int64], most: int = SPANS_PER_PARTITION) -> NDArray[np.int32]:
    """The partition of each trace: neighbours go together until they have about `most` spans."""
    whole = int(spans.sum())
    most = max(most, -(-whole // _MOST_PARTITIONS))
    before = np.cumsum(spans) - spans
    _, partition = np.unique(before // most, return_inverse=True)
    found: NDArray[np.int32] = partition.astype(np.int32)
    return found


def _cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
