"""The queries about failures and fan-out, on small stores."""

from collections.abc import Callable
from typing import Any

import pytest

from traceguard.store import Store, queries

Make = Callable[..., dict[str, Any]]
MS = 1_000_000


def _run(store: Store, name: str, **params: Any) -> list[dict[str, Any]]:
    with store.cursor() as cursor:
        return queries.run(cursor, name, params).to_pylist()


@pytest.fixture
def retried(store: Store, make_span: Make, make_batch: Callable[..., Any]) -> Store:
    """Two orders, received twice: both ask the bank twice, one of them in vain."""
    spans = []
    for trace, second in ((1, "unset"), (2, "error")):
        spans += [
            make_span(trace, 1, operation="POST /order", status=second, dur_ns=90 * MS),
            make_span(trace, 10, 1, operation="pay", kind="client", status="error", dur_ns=5 * MS),
            make_span(trace, 11, 10, service="bank", operation="Pay", status="error", dur_ns=3 * MS),
            make_span(trace, 20, 1, operation="pay", kind="client", status=second, dur_ns=5 * MS),
            make_span(trace, 21, 20, service="bank", operation="Pay", status=second, dur_ns=3 * MS),
        ]
    received = make_batch(spans)
    store.append([received, received])
    return store


def test_error_paths_lead_through_the_last_attempt(retried: Store) -> None:
    """A request that came through in the end has no path; the other has one, told by the called sides."""
    rows = _run(retried, "error_paths")
    assert [(r["path"], r["errors"], r["requests"]) for r in rows] == [("shop POST /order → bank Pay", 1, 1)]
    assert rows[0]["example_trace_id"] == f"{2:032x}"
    assert _run(retried, "error_paths", service="shop") == []


def test_a_call_that_nobody_answered_ends_the_path(store: Store, make_span: Make, make_batch: Any) -> None:
    """The client span is named where the error began at it."""
    spans = [make_span(1, 1, status="error"), make_span(1, 2, 1, operation="pay", kind="client", status="error")]
    store.append([make_batch(spans)])
    assert [r["path"] for r in _run(store, "error_paths")] == ["shop GET / → shop pay"]


def test_error_propagation_tells_handled_failures_from_passed_ones(retried: Store) -> None:
    """Of four failed steps into the bank each failed its client span; of three failed calls one was handled well."""
    rows = {(r["operation"], r["call_operation"]): r for r in _run(retried, "error_propagation")}
    order = rows["POST /order", "pay"]
    assert (order["failures"], order["passed_on"], order["handled"], order["repeated"]) == (3, 2, 1, 2)
    bank = rows["pay", "Pay"]
    assert (bank["failures"], bank["passed_on"], bank["handled"], bank["repeated"]) == (3, 3, 0, 0)


def test_retries_are_counted_with_what_they_cost(retried: Store) -> None:
    """A row per operation that was called again: two retries, one of which went well, after attempts of 5 ms."""
    (row,) = _run(retried, "retries")
    assert (row["service"], row["operation"], row["calls"], row["retries"], row["recovered"]) == (
        "shop",
        "pay",
        4,
        2,
        1,
    )
    assert (row["attempts_ms"], row["pauses_ms"], row["traces"]) == (10.0, 10.0, 2)


def test_a_resent_request_needs_no_first_one(store: Store, make_span: Make, make_batch: Any) -> None:
    """The span says so itself; calls that are but a method need the same URL to count as repeated."""
    say = {
        2: ("error", '{"url.full":"http://a/"}'), 3: ("unset", '{"url.full":"http://b/"}'),
        4: ("unset", '{"http.request.resend_count":1}'),
    }  # fmt: skip
    calls = [
        make_span(1, n, 1, operation="GET", kind="client", status=status, attributes=attributes)
        for n, (status, attributes) in say.items()
    ]
    store.append([make_batch([make_span(1, 1), *calls])])
    (row,) = _run(store, "retries")
    assert (row["retries"], row["attempts_ms"]) == (1, 0.0)


def _listing(make_span: Make, trace: int, count: int, *, together: bool = False) -> list[dict[str, Any]]:
    items = [
        make_span(trace, 2 + i, 1, operation="SELECT item", kind="client")
        | ({"start_ns": make_span(trace, 2)["start_ns"]} if together else {})
        for i in range(count)
    ]
    return [make_span(trace, 1, operation="GET /list"), *items]


def test_many_calls_in_a_row_in_varying_number_are_suspected(store: Store, make_span: Make, make_batch: Any) -> None:
    """The number grows from the earlier to the later half; a fixed loop and parallel calls are left alone."""
    spans = [s for trace, count in enumerate((2, 4, 16, 18), 1) for s in _listing(make_span, trace, count)]
    store.append([make_batch(spans)])
    (row,) = _run(store, "n_plus_one")
    assert (row["operation"], row["call_operation"], row["parents"]) == ("GET /list", "SELECT item", 4)
    assert (row["mean_calls"], row["most_calls"], row["earlier_mean"], row["later_mean"]) == (10.0, 18, 3.0, 17.0)
    assert row["example_trace_id"] == f"{4:032x}"
    assert _run(store, "n_plus_one", least=19) == []
    assert _run(store, "n_plus_one", service="bank") == []


@pytest.mark.parametrize(("counts", "together"), [((12, 12, 12), False), ((2, 12, 14), True)])
def test_fixed_loops_and_parallel_calls_are_no_suspects(
    store: Store, make_span: Make, make_batch: Any, counts: tuple[int, ...], together: bool
) -> None:
    """The same number each time is the code's own; calls at the same time wait for none before them."""
    spans = [s for t, n in enumerate(counts, 1) for s in _listing(make_span, t, n, together=together)]
    store.append([make_batch(spans)])
    assert _run(store, "n_plus_one") == []
