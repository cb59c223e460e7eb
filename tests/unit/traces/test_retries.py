"""Retries: which calls repeat another, whose time the attempts are, and that a repeated failure is handled."""

import numpy as np
import pytest
from builders.requests import Span, linked_of

from traceguard.traces.critical_path import callees
from traceguard.traces.error_origin import error_paths, path_text
from traceguard.traces.facts import Facts, facts_and_paths, facts_of
from traceguard.traces.link import Linked
from traceguard.traces.retries import retries


def two_attempts(*, second_fails: bool = False, root_fails: bool = False) -> list[Span]:
    """A checkout that asks pricing twice, 10 ns apart, because the first attempt failed."""
    return [
        Span(1, None, "checkout", 0, 100, "POST /order", "server", failed=root_fails),
        Span(2, 1, "checkout", 10, 40, "quote", "client", failed=True),
        Span(3, 2, "pricing", 15, 35, "Quote", "server", failed=True),
        Span(4, 3, "db", 20, 30, "SELECT", "server", failed=True),
        Span(5, 1, "checkout", 50, 80, "quote", "client", failed=second_fails),
        Span(6, 5, "pricing", 55, 75, "Quote", "server", failed=second_fails),
    ]


def rows_of(linked: Linked, facts: Facts) -> dict[tuple[str, str, str], tuple[int, int, int, int]]:
    """Time, calls, retries and time of attempts by component, of a partition with one request."""
    rows = zip(facts.component, facts.time, facts.calls, facts.retries, facts.attempts, strict=True)
    return {linked.names.component(int(c)): (int(t), int(n), int(r), int(a)) for c, t, n, r, a in rows}


def test_a_failed_attempt_that_was_repeated_costs_the_caller_and_not_the_callee() -> None:
    """The callee's latency is that of the attempt that counted; every attempt is a call; parts sum to the whole."""
    linked = linked_of(two_attempts())
    facts = facts_of(linked)
    rows = rows_of(linked, facts)
    assert rows["checkout", "POST /order", "self"] == (70, 1, 0, 30)
    assert rows["pricing", "Quote", "self"] == (20, 2, 1, 0)
    assert rows["pricing", "Quote", "inbound"] == (10, 0, 0, 0)
    assert rows["db", "SELECT", "self"] == (0, 1, 0, 0)
    assert facts.time.sum() == 100


def test_an_attempt_that_was_repeated_well_is_handled() -> None:
    """Where the parent fails all the same, the error began at the parent."""
    linked = linked_of(two_attempts(root_fails=True))
    facts = facts_of(linked)
    assert linked.names.component(int(facts.origin[0])) == ("checkout", "POST /order", "self")


def test_where_the_repeat_fails_too_the_error_began_there() -> None:
    """The last attempt stands for all of them, and the way leads through it."""
    linked = linked_of(two_attempts(second_fails=True, root_fails=True))
    facts, paths = facts_and_paths(linked)
    assert linked.names.component(int(facts.origin[0])) == ("pricing", "Quote", "self")
    assert [path_text(linked.names, p) for p in paths.values()] == ["checkout POST /order → pricing Quote"]
    assert int(facts.path[0]) in paths


def test_an_attempt_that_never_arrived_is_repeated_by_the_next_call_of_its_name() -> None:
    """A refused connection has no server span; the client span's name tells that it is the same operation."""
    spans = [s for s in two_attempts() if s.id not in {3, 4}]
    linked = linked_of(spans)
    assert retries(linked, callees(linked)).of.max() >= 0


def test_a_bare_method_names_no_operation() -> None:
    """Two calls that are both called GET may go anywhere, unless both arrived at the same operation."""
    spans = [
        Span(1, None, "a", 0, 100, "r"),
        Span(2, 1, "a", 10, 20, "GET", "client", failed=True),
        Span(3, 1, "a", 30, 40, "GET", "client"),
    ]
    linked = linked_of(spans)
    assert not retries(linked, callees(linked)).again.any()
    arrived = [*spans, Span(4, 2, "b", 12, 18, "GET /x"), Span(5, 3, "b", 32, 38, "GET /x")]
    linked = linked_of(arrived)
    assert retries(linked, callees(linked)).again.sum() == 1
    elsewhere = [*spans, Span(4, 2, "b", 12, 18, "GET /x"), Span(5, 3, "c", 32, 38, "GET /x")]
    linked = linked_of(elsewhere)
    assert not retries(linked, callees(linked)).again.any()


def test_in_a_loop_only_the_next_call_repeats_a_failed_one() -> None:
    """A loop over items in which one call fails has one retry at most, however long it goes on."""
    loop = [Span(i, 1, "a", 10 * i, 10 * i + 5, "x", "client", failed=i == 3) for i in range(2, 10)]
    linked = linked_of([Span(1, None, "a", 0, 200, "r"), *loop])
    found = retries(linked, callees(linked))
    assert (found.again.sum(), found.repeated.sum()) == (1, 1)


def test_a_failed_call_is_repeated_once_also_from_below_another_failure() -> None:
    """A call reaches past a later failure of another operation, and takes that attempt from those that follow."""
    spans = [Span(1, None, "a", 0, 100, "r")]
    for number, (callee, failed) in enumerate((("b", True), ("c", True), ("b", False), ("b", False)), 1):
        spans.append(Span(10 * number, 1, "a", 10 * number, 10 * number + 6, "ask", "client", failed=failed))
        spans.append(Span(10 * number + 1, 10 * number, callee, 10 * number + 1, 10 * number + 5, "Answer"))
    linked = linked_of(spans)
    found = retries(linked, callees(linked))
    pairs = [(int(linked.span_hash[j]), int(linked.span_hash[i])) for i, j in enumerate(found.of) if j >= 0]
    assert pairs == [(10, 30)]


def test_calls_that_run_at_the_same_time_repeat_nothing() -> None:
    """A call that began before the other had failed is no answer to its failure."""
    spans = [
        Span(1, None, "a", 0, 100, "r"),
        Span(2, 1, "a", 10, 50, "x", "client", failed=True),
        Span(3, 1, "a", 40, 60, "x", "client"),
    ]
    linked = linked_of(spans)
    assert not retries(linked, callees(linked)).again.any()


def test_a_span_that_says_it_was_sent_again_is_a_retry_also_without_the_first() -> None:
    """What `http.request.resend_count` says needs no earlier span."""
    linked = linked_of([Span(1, None, "a", 0, 100, "r"), Span(2, 1, "a", 10, 50, "GET", "client")])
    found = retries(linked, callees(linked), np.array([False, True]))
    assert (found.of.tolist(), found.again.tolist()) == ([-1, -1], [False, True])


def test_attempts_below_one_client_span_cost_the_caller_above_it() -> None:
    """Where a library repeats the call unseen, two server spans lie below one client span."""
    spans = [
        Span(1, None, "checkout", 0, 100, "POST /order", "server"),
        Span(2, 1, "checkout", 10, 90, "quote", "client"),
        Span(3, 2, "pricing", 20, 40, "Quote", "server", failed=True),
        Span(4, 2, "pricing", 50, 80, "Quote", "server"),
    ]
    linked = linked_of(spans)
    rows = rows_of(linked, facts_of(linked))
    assert rows["checkout", "POST /order", "self"] == (40, 1, 0, 20)
    assert rows["pricing", "Quote", "self"] == (30, 2, 1, 0)


@pytest.mark.parametrize("attempts", [2, 33, 200])
def test_attempts_form_a_chain(attempts: int) -> None:
    """Each attempt repeats the one before it, however many there are; all but the last are handled."""
    spans = [Span(i, 1, "a", 10 * i, 10 * i + 5, "x", "client", failed=True) for i in range(2, attempts + 2)]
    linked = linked_of([Span(1, None, "a", 0, 10_000, "r", failed=True), *spans])
    callee = callees(linked)
    found = retries(linked, callee)
    assert found.of.tolist() == [-1, -1, *range(1, attempts)]
    origin = np.array([attempts], dtype=np.int32)
    _, paths = error_paths(linked, origin, callee)
    assert [path_text(linked.names, p) for p in paths.values()] == ["a r → a x"]
    assert facts_of(linked).attempts.sum() == 5 * (attempts - 1)
