"""What spans say of their failures: resends, timeouts in words and codes, and limits at which calls end."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from builders.facts import concatenate

from traceguard.engine.failures import read_failures
from traceguard.engine.local import linked_partitions, open_window
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, SPANS, Decoded
from traceguard.store import open_store
from traceguard.traces.critical_path import callees
from traceguard.traces.facts import Facts, facts_of
from traceguard.units import Period

MS = 1_000_000


def row(trace: int, number: int, parent: int | None, start: float, end: float, **changed: Any) -> dict[str, Any]:
    """A span's row, times in milliseconds from the trace's begin; attributes and events as values."""
    given = {
        "trace_id": f"{trace:032x}", "span_id": f"{number:016x}",
        "parent_span_id": None if parent is None else f"{parent:016x}",
        "service": "shop", "operation": "GET /", "kind": "server",
        "start_ns": 10**18 + trace * 10**9 + int(start * MS), "dur_ns": int((end - start) * MS),
        "status": "unset", "flags": 1, "dropped_attributes": 0, "dropped_events": 0, "dropped_links": 0,
        "evaluation_only": False, "end_before_start_ns": 0,
    } | changed  # fmt: skip
    return given | {k: json.dumps(given[k]) for k in ("attributes", "events") if given.get(k) is not None}


def facts_from(rows: Sequence[dict[str, Any]], partitions: int = 1) -> Facts:
    """Facts of all requests, ordered by start."""
    with open_store(":memory:", mode="write") as store:
        empty = (pa.Table.from_pylist([], schema=schema) for schema in (FLAG_RECORDS, CORRELATIONS))
        store.append([Decoded(pa.Table.from_pylist(list(rows), schema=SPANS), *empty, received=len(rows))])
        with store.cursor() as cursor:
            window = open_window(cursor, Period(), None)
            stated = read_failures(cursor, window)
            parts = linked_partitions(cursor, window, max(1, len(rows) // partitions))
            facts = concatenate([facts_of(linked, callees(linked), stated) for linked in parts])
    return facts


def failed_call(**said: Any) -> list[dict[str, Any]]:
    """A request whose call of the bank fails without an answer."""
    return [
        row(1, 1, None, 0, 100, status="error"),
        row(1, 2, 1, 10, 60, operation="Pay", kind="client", **({"status": "error"} | said)),
    ]


@pytest.mark.parametrize(
    ("said", "timeout"),
    [
        ({"status_message": "context deadline exceeded"}, True),
        ({"status_message": "Request TIMED OUT"}, True),
        ({"attributes": {"error.type": "java.net.SocketTimeoutException"}}, True),
        ({"attributes": {"error.type": "timeout"}}, True),
        ({"attributes": {"rpc.grpc.status_code": 4}}, True),
        ({"attributes": {"rpc.grpc.status_code": 14}}, False),
        ({"attributes": {"rpc.response.status_code": "DEADLINE_EXCEEDED"}}, True),
        ({"attributes": {"http.response.status_code": 504}}, True),
        ({"attributes": {"http.status_code": 503}}, False),
        ({"events": [{"name": "exception", "attributes": {"exception.type": "asyncio.TimeoutError"}}]}, True),
        ({"events": [{"name": "exception", "attributes": {"exception.message": "read timed out"}}]}, True),
        (
            {
                "events": [
                    {
                        "name": "exception",
                        "attributes": {"exception.message": "refused", "exception.stacktrace": "at setTimeout"},
                    }
                ]
            },
            False,
        ),
        ({"status_message": "connection refused", "attributes": {"timeout.ms": 50}}, False),
        ({}, False),
    ],
)
def test_a_failed_span_may_say_that_it_ran_out_of_time(said: dict[str, Any], timeout: bool) -> None:
    """Words and codes of a timeout count where a failure is described, and nowhere else."""
    facts = facts_from(failed_call(**said))
    assert facts.timed_out.tolist() == [timeout]


def test_a_callee_that_was_cancelled_is_asked_together_with_its_caller() -> None:
    """The error began in the callee, which knows only that it was cancelled; the caller knows why."""
    rows = [
        *failed_call(status_message="deadline exceeded"),
        row(1, 3, 2, 20, 60, service="bank", operation="Pay", status="error", status_message="context canceled"),
    ]
    assert facts_from(rows).timed_out.tolist() == [True]


def limited(trace: int, dur: float, *, server: float | None, failed: bool = True) -> list[dict[str, Any]]:
    """A request that calls the bank for `dur` ms; the bank works `server` ms, None for an answerless call."""
    status = "error" if failed else "unset"
    rows = [
        row(trace, 1, None, 0, 500, status=status),
        row(trace, 2, 1, 10, 10 + dur, operation="Pay", kind="client", status=status),
    ]
    if server is not None:
        rows.append(row(trace, 3, 2, 12, 12 + server, service="bank", operation="Pay"))
    return rows


def healthy() -> list[dict[str, Any]]:
    """Forty calls that went well in 20 to 59 ms."""
    return [r for i in range(40) for r in limited(100 + i, 20 + i, server=15 + i, failed=False)]


@pytest.mark.parametrize("partitions", [1, 7])
def test_calls_that_end_at_the_same_limit_are_timeouts(partitions: int) -> None:
    """Failed calls of 200 ms, longer than any that went well, whose server went on or never answered, were cut off."""
    rows = healthy()
    for trace in range(6):
        rows += limited(trace, 200 + trace / 5, server=300 if trace % 2 else None)
    rows += limited(50, 5, server=None)
    facts = facts_from(rows, partitions)
    assert facts.timed_out.sum() == 6
    assert facts.timed_out[facts.failed].size == 7


def test_calls_that_are_refused_at_once_are_no_timeouts() -> None:
    """They all take the same time, too, but calls that go well take longer: that is no limit."""
    rows = healthy()
    for trace in range(8):
        rows += limited(trace, 1, server=None)
    assert not facts_from(rows).timed_out.any()


def test_long_failures_of_any_length_are_no_timeouts() -> None:
    """Without a length that half of them share there is no limit to see."""
    rows = healthy()
    for trace in range(8):
        rows += limited(trace, 100 + 30 * trace, server=None)
    assert not facts_from(rows).timed_out.any()


def test_without_calls_that_went_well_there_is_no_saying() -> None:
    """Nobody knows then whether the common length is a limit."""
    rows = [r for trace in range(8) for r in limited(trace, 200, server=None)]
    assert not facts_from(rows).timed_out.any()


def test_a_resent_request_is_a_retry() -> None:
    """The count stands on the span that was sent again; zero and words are no count."""
    rows = [row(1, 1, None, 0, 100)]
    for number, count in enumerate((1, "2", 0, "many", None), 2):
        attributes = None if count is None else {"http.request.resend_count": count}
        rows.append(
            row(1, number, 1, 10 * number, 10 * number + 5, operation="GET", kind="client", attributes=attributes)
        )
    facts = facts_from(rows)
    assert facts.retries.sum() == 2
    assert facts.calls.sum() == 6
