"""Rows of the table `spans` for tests of the graph, and a store that holds them."""

from typing import Any

import pyarrow as pa

from traceguard.otlp.columns import SPANS, Decoded
from traceguard.store import Store

TRACE = "a" * 32
Row = dict[str, Any]


def make_row(span_id: str, parent: str | None, service: str, **given: object) -> Row:
    """Give a row of the table `spans`; names not given have quiet defaults."""
    quiet: Row = {
        "trace_id": TRACE, "span_id": span_id, "parent_span_id": parent, "service": service, "operation": "op",
        "kind": "server", "start_ns": 1_000, "dur_ns": 2_000_000, "status": "unset", "flags": 1,
        "evaluation_only": False, "dropped_attributes": 0, "dropped_events": 0, "dropped_links": 0,
        "end_before_start_ns": 0,
    }  # fmt: skip
    return {**dict.fromkeys(SPANS.names), **quiet, **given}


def append(store: Store, rows: list[Row]) -> None:
    """Put rows into a store."""
    store.append([Decoded(spans=pa.Table.from_pylist(rows, schema=SPANS), received=len(rows))])
