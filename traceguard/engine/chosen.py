"""Some traces of a window, linked again: for what is drawn of a few thousand requests, not reckoned from all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from traceguard.engine.local import Window, fetch, reduced, window_of
from traceguard.traces.link import Linked

if TYPE_CHECKING:
    import duckdb

_NAME = "chosen_traces"


def open_traces(cursor: "duckdb.DuckDBPyConnection", trace_ids: Sequence[str]) -> Window:
    """The window that holds just the given traces; those that the store does not have are not in it."""
    with _named(cursor, pl.Series(trace_ids, dtype=pl.String)):
        return window_of(cursor, fetch(cursor, "window_of"))


def linked_again(
    cursor: "duckdb.DuckDBPyConnection", window: Window, rows: NDArray[np.int64], most_spans: int
) -> Iterator[Linked]:
    """The traces in these rows of the window, linked, a partition at a time.

    Rows past those that hold `most_spans` spans together are left out; the first one never is.
    """
    within = np.cumsum(window.spans[rows]) <= most_spans
    within[:1] = True
    chosen = np.unique(rows[within])
    some = replace(
        window, trace_hash=window.trace_hash[chosen], trace_ids=window.trace_ids.gather(chosen),
        begun=window.begun[chosen], spans=window.spans[chosen],
    )  # fmt: skip
    with _named(cursor, some.trace_ids):
        yield from reduced(cursor, some, lambda linked: linked, query="chosen_spans")


def span_ids(cursor: "duckdb.DuckDBPyConnection", trace_ids: pl.Series) -> dict[tuple[int, int], str]:
    """The span ids of the given traces by (hash of the trace, hash of the span)."""
    with _named(cursor, trace_ids):
        found = fetch(cursor, "chosen_span_ids")
    return {(trace, span): name for trace, span, name in found.iter_rows()}


@contextmanager
def _named(cursor: "duckdb.DuckDBPyConnection", trace_ids: pl.Series) -> Iterator[None]:
    cursor.register(_NAME, pa.table({"trace_id": trace_ids.to_arrow()}))
    try:
        yield
    finally:
        cursor.unregister(_NAME)
