"""What differs between two periods, on hand-made stores whose changes are known."""

from collections.abc import Iterator
from typing import Any

import pytest
from builders.graphs import append, make_row

from traceguard import model
from traceguard.graph.difference import Side, difference, sides
from traceguard.store import Store, open_store
from traceguard.units import Period

BEFORE, AFTER = Period(1_000, 2_000), Period(3_000, 4_000)


@pytest.fixture
def store() -> Iterator[Store]:
    """Give an empty store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


def fill(store: Store, start: int, calls: list[dict[str, int]], failed: int = 0) -> None:
    """Append a request of the shop for each element: how often it calls whom; the first `failed` calls of all fail."""
    rows: list[dict[str, Any]] = []
    for number, callees in enumerate(calls):
        trace = f"{start + number:032x}"
        rows.append(make_row("0", None, "shop", trace_id=trace, start_ns=start + number))
        for callee, times in callees.items():
            for each in range(times):
                status = "error" if failed > 0 else "unset"
                failed -= 1
                rows.append(
                    make_row(f"{callee}{each}", "0", callee, trace_id=trace, start_ns=start + number, status=status)
                )
    append(store, rows)


def compared(store: Store, baseline: Period = BEFORE, candidate: Period = AFTER) -> model.GraphDiff:
    """Give the difference between the periods."""
    with store.cursor() as cursor:
        return difference(*sides(cursor, baseline, candidate))


def changes(found: model.GraphDiff) -> dict[str, str]:
    """Give each changed edge's callee and what happened to it."""
    return {edge.target: edge.change for edge in found.edges}


def test_new_and_vanished_need_support(store: Store) -> None:
    """Of a hundred requests a side, ten with a call show that it is new; three do not."""
    fill(store, 1_000, [{"old": 1} for _ in range(10)] + [{"rare": 1} for _ in range(3)] + [{}] * 87)
    fill(store, 3_000, [{"new": 1} for _ in range(10)] + [{"scarce": 1} for _ in range(3)] + [{}] * 87)
    found = compared(store)
    assert changes(found) == {"new": "new", "old": "vanished", "rare": "not_seen", "scarce": "not_seen"}
    assert {node.node: node.change for node in found.nodes} == changes(found)
    new = next(edge for edge in found.edges if edge.change == "new")
    assert new.baseline is None
    assert new.candidate is not None
    assert (new.candidate.requests, new.candidate.calls_per_request, new.delta) == (10, 0.1, 0.1)
    assert (found.baseline.requests, found.candidate.requests) == (100, 100)


def test_many_calls_of_one_request_are_one_piece_of_evidence(store: Store) -> None:
    """Fifty calls to a new service in a single request do not make it new."""
    fill(store, 1_000, [{}] * 100)
    fill(store, 3_000, [{"batch": 50}] + [{}] * 99)
    assert changes(compared(store)) == {"batch": "not_seen"}


def test_a_side_with_few_requests_shows_nothing_vanished(store: Store) -> None:
    """What 10 of 100 requests call was not to be expected among 5."""
    fill(store, 1_000, [{"old": 1} for _ in range(10)] + [{}] * 90)
    fill(store, 3_000, [{}] * 5)
    assert changes(compared(store)) == {"old": "not_seen"}


def test_calls_per_request_that_changed(store: Store) -> None:
    """Twice the calls are a change with its interval; the same calls are none."""
    fill(store, 1_000, [{"cart": 1 + n % 2, "same": 1 + n % 3} for n in range(60)])
    fill(store, 3_000, [{"cart": 3 + n % 2, "same": 1 + n % 3} for n in range(60)])
    found = compared(store)
    (edge,) = found.edges
    assert (edge.target, edge.change, edge.delta) == ("cart", "changed", 2.0)
    assert 1.7 < edge.low < 2.0 < edge.high < 2.3
    assert edge.q_calls < 1e-6
    assert edge.q_errors == 1.0
    assert found.unchanged_edges == 1


def test_one_request_that_calls_wildly_changes_nothing(store: Store) -> None:
    """The variance lies between requests: a single outlier widens the interval, where Poisson counts would be sure."""
    fill(store, 1_000, [{"cart": 1} for _ in range(60)])
    fill(store, 3_000, [{"cart": 100}] + [{"cart": 1} for _ in range(59)])
    assert changes(compared(store)) == {}


def test_share_of_failed_calls_that_changed(store: Store) -> None:
    """A third of the calls fail on one side only."""
    fill(store, 1_000, [{"cart": 1} for _ in range(60)])
    fill(store, 3_000, [{"cart": 1} for _ in range(60)], failed=20)
    (edge,) = compared(store).edges
    assert edge.change == "changed"
    assert edge.q_errors < 0.001 < edge.q_calls
    assert edge.candidate is not None
    assert edge.candidate.error_rate == pytest.approx(1 / 3)


def test_what_starts_between_the_periods_stays_outside(store: Store) -> None:
    """The gap is of neither side, and a side without requests proves nothing."""
    fill(store, 2_000, [{"between": 1} for _ in range(50)])
    fill(store, 3_000, [{"cart": 1} for _ in range(50)])
    found = compared(store)
    assert changes(found) == {"cart": "not_seen"}
    assert (found.baseline.requests, found.candidate.requests) == (0, 50)


def test_the_baseline_may_be_the_later_period(store: Store) -> None:
    """What is compared is what was asked, whichever came first: a rollback reads as one."""
    fill(store, 1_000, [{"old": 1} for _ in range(20)])
    fill(store, 3_000, [{"new": 1} for _ in range(20)])
    assert changes(compared(store, AFTER, BEFORE)) == {"old": "new", "new": "vanished"}


@pytest.mark.parametrize(
    ("having", "requests", "others", "change"),
    [
        (80, 1_000, 100, "not_seen"),  # 8 expected among 100
        (1, 10, 1_000, "not_seen"),  # 100 expected by the rate of a single request, which is no rate
        (110, 1_000, 100, "vanished"),
        (2, 10, 1_000, "vanished"),
    ],
)
def test_vanished_needs_both_a_rate_and_an_expectation(having: int, requests: int, others: int, change: str) -> None:
    """Sides of different size: enough requests with the call must be there, and enough expected on the other side."""
    sums = {
        "requests": having, "calls": having, "errors": 0, "calls_squared": having, "errors_squared": 0,
        "calls_errors": 0, "p50_ms": 1.0, "p95_ms": 2.0,
    }  # fmt: skip
    found = difference(Side(BEFORE, requests, {("shop", "old", "sync"): sums}), Side(AFTER, others, {}))
    assert changes(found) == {"old": change}
