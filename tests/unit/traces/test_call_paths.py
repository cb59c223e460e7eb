"""Call paths: what is one step, and what is another."""

import numpy as np
from builders.requests import Span, linked_of

from traceguard.traces.call_paths import call_paths
from traceguard.traces.critical_path import callees


def paths_of(spans: list[Span]) -> dict[int, tuple[int, bool]]:
    """By span id (its start tells it) the number of its path and whether it is on the way there."""
    linked = linked_of(spans)
    found = call_paths(linked, callees(linked), np.ones(linked.root.size, dtype=np.bool_))
    number: dict[int, int] = {}
    by_start = {span.start: span.id for span in spans}
    return {
        by_start[int(start)]: (number.setdefault(int(path), len(number)), bool(inbound))
        for start, path, inbound in zip(linked.start, found.path, found.inbound, strict=True)
    }


def test_a_client_span_and_its_server_span_are_one_step() -> None:
    """The client's own time is on the way; two calls of the same operation are one path."""
    spans = [
        Span(1, None, "frontend", 0, 100, "GET /", "server"),
        Span(2, 1, "frontend", 10, 40, "quote", "client"), Span(3, 2, "pricing", 12, 38, "Quote", "server"),
        Span(4, 1, "frontend", 50, 90, "quote", "client"), Span(5, 4, "pricing", 52, 88, "Quote", "server"),
    ]  # fmt: skip
    found = paths_of(spans)
    assert found[2][0] == found[3][0] == found[4][0] == found[5][0] != found[1][0]
    assert [found[i][1] for i in (2, 3, 4, 5)] == [True, False, True, False]


def test_the_same_operation_below_another_caller_is_another_path() -> None:
    """Where a call comes from belongs to it."""
    spans = [
        Span(1, None, "frontend", 0, 100, "GET /", "server"), Span(2, 1, "cart", 10, 40, "Get", "server"),
        Span(3, 2, "db", 12, 38, "SELECT", "server"), Span(4, 1, "db", 50, 90, "SELECT", "server"),
    ]  # fmt: skip
    found = paths_of(spans)
    assert found[3][0] != found[4][0]


def test_a_flags_evaluation_spends_its_callers_time() -> None:
    """A span that only records it is no step."""
    spans = [
        Span(1, None, "frontend", 0, 100, "GET /", "server"),
        Span(2, 1, "frontend", 10, 20, "evaluate", "internal", evaluation=True),
        Span(3, 2, "frontend", 12, 15, "fetch", "internal"),
    ]  # fmt: skip
    found = paths_of(spans)
    assert found[2][0] == found[1][0] != found[3][0]
