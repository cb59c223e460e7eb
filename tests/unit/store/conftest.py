"""Stores and span rows for the tests of the store's room."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, SPANS, Decoded
from traceguard.store import Store, open_store

START_NS = 1_700_000_000_000_000_000

Make = Callable[..., dict[str, Any]]


def span(trace: int, number: int, parent: int | None = None, **changed: Any) -> dict[str, Any]:
    """A span's row: ids from small numbers, one millisecond long, starting `number` milliseconds into its trace."""
    row = {
        "trace_id": f"{trace:032x}",
        "span_id": f"{number:016x}",
        "parent_span_id": None if parent is None else f"{parent:016x}",
        "service": "shop",
        "operation": "GET /",
        "kind": "server",
        "start_ns": START_NS + trace * 1_000_000_000 + number * 1_000_000,
        "dur_ns": 1_000_000,
        "status": "unset",
        "flags": 1,
        "dropped_attributes": 0,
        "dropped_events": 0,
        "dropped_links": 0,
        "evaluation_only": False,
        "end_before_start_ns": 0,
    }
    return row | changed


def batch(
    spans: list[dict[str, Any]],
    flags: list[dict[str, Any]] | None = None,
    correlations: list[dict[str, Any]] | None = None,
) -> Decoded:
    """What a decoder hands over, from rows."""
    return Decoded(
        spans=pa.Table.from_pylist(spans, schema=SPANS),
        flag_records=pa.Table.from_pylist(flags or [], schema=FLAG_RECORDS),
        correlations=pa.Table.from_pylist(correlations or [], schema=CORRELATIONS),
        received=len(spans),
    )


@pytest.fixture(name="make_span")
def _make_span() -> Make:
    return span


@pytest.fixture(name="make_batch")
def _make_batch() -> Callable[..., Decoded]:
    return batch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's store lies."""
    return tmp_path / "traces.duckdb"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An empty store, open to write."""
    with open_store(path, mode="write") as opened:
        yield opened


@pytest.fixture
def shop(store: Store) -> Store:
    """Two requests and an orphan, received three times: a page, and an order whose payment fails behind a queue."""
    spans = [
        span(1, 1, operation="GET /", version="1.0", environment="prod", dur_ns=9_000_000),
        span(1, 2, 1, service="prices", operation="Quote", version="7", environment="prod", dur_ns=4_000_000),
        span(1, 3, 1, service="prices", operation="Quote", version="8", environment="prod", dur_ns=2_000_000),
        span(2, 1, operation="POST /order", version="1.0", environment="prod", status="error", dur_ns=8_000_000),
        span(2, 2, 1, operation="send order", kind="producer", environment="prod"),
        span(2, 3, 2, service="orders", operation="take order", kind="consumer", environment="prod", status="error"),
        span(2, 4, 3, service="bank", operation="Pay", environment="prod", status="error", status_message="no money"),
        span(2, 5, 1, operation="feature_flag.evaluation", kind="internal", evaluation_only=True, environment="prod"),
        span(3, 2, 1, service="prices", operation="Quote", environment="test", dur_ns=6_000_000),
    ]
    on = {"trace_id": f"{1:032x}", "span_id": f"{2:016x}", "flag_key": "new-prices", "variant": "on"}
    flags = [
        on | {"context_id": "u1", "provider": "flagd", "time_ns": START_NS + 5},
        on | {"context_id": "", "provider": None, "time_ns": START_NS + 3},
        on | {"trace_id": f"{2:032x}", "variant": "off", "context_id": "u2", "time_ns": START_NS + 9},
    ]
    known = [{"trace_id": f"{2:032x}", "span_id": f"{1:016x}", "key": "user.id", "value": "u2"}]
    received = batch(spans, flags, known)
    store.append([received, received])
    store.append([received])
    return store
