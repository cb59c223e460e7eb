"""The queries for questions about flags, versions, instances, queues and single requests, on small stores."""

from collections.abc import Callable
from typing import Any

import pytest

from traceguard.store import Store, queries

Make = Callable[..., dict[str, Any]]
MS = 1_000_000
HOUR_NS = 3_600_000_000_000
# 2023-11-14T22:00:00Z, the whole hour before the test rows' first span.
HOUR = 1_699_999_200_000_000_000


def _run(store: Store, name: str, **params: Any) -> list[dict[str, Any]]:
    with store.cursor() as cursor:
        return queries.run(cursor, name, params).to_pylist()


def _flag(trace: int, variant: str | None, user: str | None, *, span: int = 1, time_ns: int = HOUR) -> dict[str, Any]:
    return {
        "trace_id": f"{trace:032x}",
        "span_id": f"{span:016x}",
        "flag_key": "prices",
        "variant": variant,
        "context_id": user,
        "time_ns": time_ns,
    }


@pytest.fixture
def rollout(store: Store, make_span: Make, make_batch: Callable[..., Any]) -> Store:
    """Five requests over two hours, received twice: u1 goes from off to on, u2 stays on, u3 is known by a session.

    The last request asks for no flag. Requests under `on` take 30 ms and their quote 20 ms, the others 10 and 5.
    """
    spans, flags = [], []
    plan = [(1, 0, "off", "u1"), (2, 0, "on", "u2"), (3, 1, "on", "u1"), (4, 1, "off", None), (5, 1, None, None)]
    for trace, hour, variant, user in plan:
        start = HOUR + hour * HOUR_NS + trace * 1_000 * MS
        slow = variant == "on"
        root = make_span(
            trace, 1, start_ns=start, dur_ns=(30 if slow else 10) * MS, status="error" if trace == 3 else "unset",
            attributes='{"tenant.id":"t1"}' if trace < 3 else None,
        )  # fmt: skip
        quote = make_span(
            trace, 2, 1, service="pricing", operation="Quote", start_ns=start + MS, dur_ns=(20 if slow else 5) * MS,
            version="2" if slow else "1", instance=f"p{trace % 2}",
        )  # fmt: skip
        spans += [root, quote]
        if variant is not None:
            # The quote's service evaluates; what it says holds for the whole request.
            flags.append(_flag(trace, variant, user, span=2, time_ns=start + MS))
    flags.append(_flag(5, None, "u9"))
    known = [{"trace_id": f"{4:032x}", "span_id": f"{1:016x}", "key": "session.id", "value": "s3"}]
    received = make_batch(spans, flags, known)
    store.append([received, received])
    return store


def test_operations_are_slowest_by_variant(rollout: Store) -> None:
    """An operation's variants stand together, the operation with the slowest of them first, every call counted once."""
    rows = _run(rollout, "slowest_operations_by_variant", flag="prices")
    assert [(r["operation"], r["variant"], r["count"], r["errors"], r["p50_ms"]) for r in rows] == [
        ("GET /", "on", 2, 1, 30.0), ("GET /", "off", 2, 0, 10.0), ("Quote", "on", 2, 0, 20.0),
        ("Quote", "off", 2, 0, 5.0),
    ]  # fmt: skip
    narrowed = _run(rollout, "slowest_operations_by_variant", service="pricing", until=HOUR + HOUR_NS, limit=1)
    assert [(r["operation"], r["variant"], r["count"]) for r in narrowed] == [("Quote", "on", 1)]
    assert _run(rollout, "slowest_operations_by_variant", flag="other") == []


def test_error_rates_by_variant(rollout: Store) -> None:
    """Requests of an entry point under each variant, with those whose root failed."""
    rows = _run(rollout, "error_rate_by_variant")
    assert [
        (r["entry_operation"], r["variant"], r["requests"], r["failed"], r["error_rate"], r["p50_ms"]) for r in rows
    ] == [("GET /", "off", 2, 0, 0.0, 10.0), ("GET /", "on", 2, 1, 0.5, 30.0)]
    assert _run(rollout, "error_rate_by_variant", service="pricing") == []


def test_exposure_is_told_for_each_hour(rollout: Store) -> None:
    """Shares are of the requests that asked for the flag in that hour, and beside them of all its requests."""
    rows = _run(rollout, "flag_exposure_by_hour", flag="prices")
    first, second = "2023-11-14T22:00:00.000000Z", "2023-11-14T23:00:00.000000Z"
    assert [
        (r["hour"], r["variant"], r["requests"], r["contexts"], r["share"], round(r["of_all_requests"], 3))
        for r in rows
    ] == [
        (first, "off", 1, 1, 0.5, 0.5), (first, "on", 1, 1, 0.5, 0.5),
        (second, "off", 1, 0, 0.5, 0.333), (second, "on", 1, 1, 0.5, 0.333),
    ]  # fmt: skip
    assert {r["hour"] for r in _run(rollout, "flag_exposure_by_hour", since=HOUR + HOUR_NS)} == {second}


def test_users_on_both_variants_are_named(rollout: Store, make_batch: Callable[..., Any]) -> None:
    """Who stayed on one variant is not listed; a session counts where no evaluation says for whom it was."""
    (row,) = _run(rollout, "units_on_both_variants")
    assert (row["flag_key"], row["unit"], row["variants"], row["requests"], row["changes"]) == (
        "prices", "u1", "off, on", 2, 1,
    )  # fmt: skip
    assert row["last_trace_id"] == f"{3:032x}"
    back = [_flag(4, "on", None, span=3, time_ns=HOUR + 2 * HOUR_NS), _flag(4, "off", "", time_ns=HOUR + 3 * HOUR_NS)]
    rollout.append([make_batch([], back)])
    rows = _run(rollout, "units_on_both_variants", flag="prices")
    assert [(r["unit"], r["requests"], r["changes"]) for r in rows] == [("s3", 1, 2), ("u1", 2, 1)]
    assert [r["unit"] for r in _run(rollout, "units_on_both_variants", since=HOUR + HOUR_NS)] == ["s3"]
    assert len(_run(rollout, "units_on_both_variants", limit=1)) == 1


def test_flag_coverage_finds_requests_without_a_flag(rollout: Store) -> None:
    """An evaluation covers the whole request, and is credited to the service whose span made it."""
    rows = _run(rollout, "flag_coverage")
    columns = ("service", "requests", "with_flags", "share", "evaluations", "own_flags")
    assert [tuple(r[column] for column in columns) for r in rows] == [
        ("pricing", 5, 4, 0.8, 4, "prices"), ("shop", 5, 4, 0.8, 0, None),
    ]  # fmt: skip
    assert {r["example_trace_id"] for r in rows} == {f"{5:032x}"}
    assert [r["share"] for r in _run(rollout, "flag_coverage", until=HOUR + HOUR_NS)] == [1.0, 1.0]


def test_versions_stand_beside_each_other(rollout: Store) -> None:
    """A row per operation and version, the older first."""
    rows = _run(rollout, "latency_by_version", service="pricing")
    assert [(r["operation"], r["version"], r["count"], r["error_rate"], r["p50_ms"]) for r in rows] == [
        ("Quote", "1", 3, 0.0, 5.0), ("Quote", "2", 2, 0.0, 20.0),
    ]  # fmt: skip


def test_an_instance_that_is_slower_than_the_others_comes_first(
    store: Store, make_span: Make, make_batch: Callable[..., Any]
) -> None:
    """Each is held against the median of its service's instances; calls that leave a service do not count."""
    spans = [
        make_span(trace, 1, instance=name, version="1", dur_ns=took * MS, status="error" if took > 50 else "unset")
        for trace, (name, took) in enumerate((("a", 10), ("b", 10), ("c", 90)), 1)
    ]
    spans.append(make_span(1, 2, 1, kind="client", instance="a", dur_ns=900 * MS))
    store.append([make_batch(spans)] * 2)
    rows = _run(store, "latency_by_instance")
    assert [(r["instance"], r["calls"], r["errors"], r["p95_ms"], r["p95_ratio"]) for r in rows] == [
        ("c", 1, 1, 90.0, 9.0), ("a", 1, 0, 10.0, 1.0), ("b", 1, 0, 10.0, 1.0),
    ]  # fmt: skip
    assert _run(store, "latency_by_instance", service="pricing") == []


def test_cold_starts_compare_an_instance_with_itself(
    store: Store, make_span: Make, make_batch: Callable[..., Any]
) -> None:
    """The first seconds after an instance appeared are told from later ones, operation by operation."""
    calls = [("GET /", second, 80 if second < 60 else 10) for second in (0, 30, 59, 60, 90)] + [("GET /late", 90, 5)]
    spans = [
        make_span(n, 1, operation=name, instance="a", start_ns=HOUR + second * 1_000 * MS, dur_ns=took * MS)
        for n, (name, second, took) in enumerate(calls, 1)
    ]
    store.append([make_batch(spans)] * 2)
    (row,) = _run(store, "cold_starts")
    assert (row["operation"], row["cold_calls"], row["warm_calls"], row["cold_p50_ms"], row["warm_p50_ms"]) == (
        "GET /", 3, 2, 80.0, 10.0,
    )  # fmt: skip
    assert (row["appeared"], row["ratio"], row["cold_most_ms"]) == ("2023-11-14T22:00:00.000000Z", 8.0, 80.0)
    assert [(r["cold_calls"], r["warm_calls"]) for r in _run(store, "cold_starts", seconds=30)] == [(1, 4)]


def test_traffic_by_hour_counts_roots(rollout: Store) -> None:
    """Each entry point has a row in every hour in which it was asked."""
    rows = _run(rollout, "traffic_by_hour")
    assert [(r["hour"], r["entry_operation"], r["requests"], r["failed"], r["p50_ms"]) for r in rows] == [
        ("2023-11-14T22:00:00.000000Z", "GET /", 2, 0, 20.0), ("2023-11-14T23:00:00.000000Z", "GET /", 3, 1, 10.0),
    ]  # fmt: skip
    assert _run(rollout, "traffic_by_hour", service="pricing") == []


def test_slowest_traces_tell_their_size_and_flags(rollout: Store) -> None:
    """By their root's duration, equal ones by trace id; the limit bounds the rows."""
    rows = _run(rollout, "slowest_traces", limit=3)
    assert [(r["trace_id"], r["duration_ms"], r["status"], r["spans"], r["services"], r["flags"]) for r in rows] == [
        (f"{2:032x}", 30.0, "unset", 2, 2, "prices=on"), (f"{3:032x}", 30.0, "error", 2, 2, "prices=on"),
        (f"{1:032x}", 10.0, "unset", 2, 2, "prices=off"),
    ]  # fmt: skip
    assert [r["flags"] for r in _run(rollout, "slowest_traces")][-1] is None
    assert _run(rollout, "slowest_traces", operation="Quote") == []


def test_messages_wait_from_the_end_of_sending(store: Store, make_span: Make, make_batch: Callable[..., Any]) -> None:
    """A parent and a link name the sender alike, once; what was taken before it was sent counts as early."""
    link = f'[{{"trace_id":"{1:032x}","span_id":"{1:016x}"}}]'
    sent = make_span(1, 1, kind="producer", operation="send")
    end = sent["start_ns"] + MS
    mailer = {"kind": "consumer", "service": "mailer", "operation": "process"}
    spans = [
        sent,
        make_span(1, 2, 1, start_ns=end + 4 * MS, links=link, **mailer),
        make_span(2, 1, start_ns=end + 8 * MS, links=link, status="error", **mailer),
        make_span(3, 1, start_ns=end - MS, links=link, kind="consumer", service="audit", operation="record"),
        make_span(4, 2, 9, **mailer),
    ]
    store.append([make_batch(spans)] * 2)
    rows = _run(store, "queue_waits")
    assert [
        (r["sent_as"], r["service"], r["messages"], r["failed"], r["wait_p50_ms"], r["wait_most_ms"], r["early"])
        for r in rows
    ] == [("send", "mailer", 2, 1, 6.0, 8.0, 0), ("send", "audit", 1, 0, -1.0, -1.0, 1)]
    assert rows[0]["longest_trace_id"] == f"{2:032x}"
    assert [r["service"] for r in _run(store, "queue_waits", service="audit")] == ["audit"]


def test_exceptions_are_counted_by_type_and_message(
    store: Store, make_span: Make, make_batch: Callable[..., Any]
) -> None:
    """Caught ones count, other events do not, and a retry's copy counts once."""
    thrown = '[{"name":"exception","attributes":{"exception.type":"TimeoutError","exception.message":"after 2 s"}}]'
    spans = [
        make_span(1, 1, events=thrown, status="error"),
        make_span(2, 1, events=thrown),
        make_span(3, 1, events='[{"name":"retry","attributes":{"text":"an \\"exception\\""}}]'),
    ]
    store.append([make_batch(spans)] * 2)
    (row,) = _run(store, "exceptions")
    assert (row["type"], row["message"], row["count"], row["failed_spans"], row["requests"]) == (
        "TimeoutError", "after 2 s", 2, 1, 2,
    )  # fmt: skip
    assert _run(store, "exceptions", service="bank") == []


def test_a_trace_is_laid_out_as_a_tree(store: Store, make_span: Make, make_batch: Callable[..., Any]) -> None:
    """Children follow their caller in the order of their starts; what lost its parent stands at the top and says so."""
    spans = [
        make_span(1, 1),
        make_span(1, 2, 1, operation="first"),
        make_span(1, 5, 2, operation="inner"),
        make_span(1, 4, 1, operation="second"),
        make_span(1, 9, 8, operation="lost"),
    ]
    store.append([make_batch(spans, [_flag(1, "on", "u1", span=4)])] * 2)
    rows = _run(store, "spans_of_trace", trace=f"{1:032X}")
    assert [(r["depth"], r["operation"], r["starts_ms"], r["flags"], r["missing_parent"]) for r in rows] == [
        (0, "GET /", 0.0, None, False), (1, "first", 1.0, None, False), (2, "inner", 4.0, None, False),
        (1, "second", 3.0, "prices=on", False), (0, "lost", 8.0, None, True),
    ]  # fmt: skip
    assert _run(store, "spans_of_trace", trace=f"{2:032x}") == []


def test_both_sides_of_a_call_may_share_a_span_id(
    store: Store, make_span: Make, make_batch: Callable[..., Any]
) -> None:
    """A child of such an id belongs below the side of its own service, and every span has one row."""
    spans = [
        make_span(1, 1),
        make_span(1, 2, 1, kind="client", operation="call"),
        make_span(1, 2, 1, service="bank", operation="Pay", start_ns=make_span(1, 3)["start_ns"]),
        make_span(1, 4, 2, service="bank", operation="SELECT", kind="client"),
    ]
    store.append([make_batch(spans)])
    rows = _run(store, "spans_of_trace", trace=f"{1:032x}")
    assert [(r["depth"], r["operation"]) for r in rows] == [(0, "GET /"), (1, "call"), (1, "Pay"), (2, "SELECT")]


def test_requests_are_told_apart_by_an_attribute(rollout: Store) -> None:
    """Requests that state none have a row of their own."""
    rows = _run(rollout, "requests_by_attribute", key="tenant.id")
    assert [(r["value"], r["requests"], r["failed"], r["p50_ms"]) for r in rows] == [
        (None, 3, 1, 10.0),
        ("t1", 2, 0, 20.0),
    ]
    assert [r["requests"] for r in _run(rollout, "requests_by_attribute", key="no.such", service="shop")] == [5]


def test_what_people_ask_has_a_query() -> None:
    """The questions that the library promises to answer."""
    promised = {
        "dependency_edges", "slowest_operations_by_variant", "error_origins", "flag_exposure_by_hour",
        "units_on_both_variants", "requests_of", "incomplete_traces", "calls_per_request", "versions_seen",
        "n_plus_one",
    }  # fmt: skip
    assert promised <= set(queries.names())
