"""Linking: roots, entry points, asynchronous work, and what is missing."""

from builders.requests import Span, linked_of

from traceguard.traces.critical_path import callees, components, own_time
from traceguard.traces.error_origin import error_origins
from traceguard.traces.facts import facts_of


def spans_of_a_call(**server: object) -> list[Span]:
    """A frontend that calls a pricing service: server, client and server span."""
    return [
        Span(1, None, "frontend", 0, 100, "GET /", "server"),
        Span(2, 1, "frontend", 10, 60, "quote", "client"),
        Span(3, 2, "pricing", 20, 50, "Quote", **{"kind": "server", **server}),  # type: ignore[arg-type]
    ]


def test_the_gap_between_client_and_server_is_the_callees_inbound_edge() -> None:
    """A client span's own time is charged to the way into the service it waits for."""
    linked = linked_of(spans_of_a_call())
    own, component = own_time(linked), components(linked, callees(linked))
    named = {}
    for i in range(3):
        service, operation = linked.names.operations[component[i] // 2]
        named[linked.names.services[service], operation, "inbound" if component[i] % 2 else "self"] = int(own[i])
    assert named == {
        ("frontend", "GET /", "self"): 50,
        ("pricing", "Quote", "inbound"): 20,
        ("pricing", "Quote", "self"): 30,
    }


def test_without_kinds_a_span_with_one_child_elsewhere_is_a_client_span() -> None:
    """Recordings that lose the kind still tell network time from own time."""
    spans = [
        Span(1, None, "frontend", 0, 100, "GET /", "unspecified"),
        Span(4, 1, "frontend", 70, 80, "render", "unspecified"),
        Span(2, 1, "frontend", 10, 60, "quote", "unspecified"),
        Span(3, 2, "pricing", 20, 50, "Quote", "unspecified"),
    ]
    linked = linked_of(spans)
    waiting = [i for i in range(4) if callees(linked)[i] >= 0]
    assert [linked.names.operations[linked.operation[i]][1] for i in waiting] == ["quote"]


def test_a_consumer_is_a_request_of_its_own() -> None:
    """What a message starts is not on the sender's path."""
    spans = [
        Span(1, None, "shop", 0, 100, "POST /order", "server"),
        Span(2, 1, "shop", 10, 20, "send", "producer"),
        Span(3, 2, "mailer", 500, 900, "process", "consumer"),
    ]
    facts = facts_of(linked_of(spans))
    assert sorted(facts.dur.tolist()) == [100, 400]
    assert facts.detached.tolist().count(True) == 1


def test_work_that_starts_after_its_parents_end_is_a_request_of_its_own() -> None:
    """Fire-and-forget work in the same service does not lengthen the request."""
    spans = [Span(1, None, "shop", 0, 100), Span(2, 1, "shop", 150, 300, "flush", "internal")]
    assert sorted(facts_of(linked_of(spans)).dur.tolist()) == [100, 150]


def test_a_lost_span_leaves_a_fragment_that_is_no_entry_point() -> None:
    """Below a missing span the rest is kept and counted, but does not pose as a request."""
    spans = [Span(1, None, "frontend", 0, 100), Span(3, 2, "pricing", 20, 50)]
    linked = linked_of(spans)
    assert linked.incomplete.tolist() == [True]
    assert facts_of(linked).dur.tolist() == [100]


def test_a_caller_that_is_not_instrumented_makes_its_callee_the_entry_point() -> None:
    """A server span whose remote parent sends no spans begins a complete request."""
    linked = linked_of([Span(1, 99, "frontend", 0, 100), Span(2, 1, "frontend", 10, 20, "db", "client")])
    assert linked.incomplete.tolist() == [False]
    assert facts_of(linked).dur.tolist() == [100]


def test_a_cycle_of_parents_is_cut_and_counted() -> None:
    """Spans that are each other's ancestors still form a tree, marked incomplete."""
    linked = linked_of([Span(1, None, "a", 0, 100), Span(2, 3, "a", 0, 10), Span(3, 2, "a", 5, 10)])
    assert linked.incomplete.tolist() == [True]
    assert linked.missing_parent.sum() == 1


def test_a_span_that_only_records_an_evaluation_is_no_call() -> None:
    """Extra spans of flag hooks own no time and count as no call."""
    spans = [
        Span(1, None, "a", 0, 100),
        Span(2, 1, "a", 10, 20, "feature_flag.evaluation", "internal", evaluation=True),
    ]
    facts = facts_of(linked_of(spans))
    assert facts.time.tolist() == [100]
    assert facts.calls.tolist() == [1]


def test_parallel_children_the_last_to_finish_is_on_the_path() -> None:
    """Of two overlapping children the earlier one held nobody up."""
    spans = [
        Span(1, None, "a", 0, 100, "r"),
        Span(2, 1, "a", 10, 50, "x", "internal"),
        Span(3, 1, "a", 20, 90, "y", "internal"),
    ]
    linked = linked_of(spans)
    by_name = {linked.names.operations[linked.operation[i]][1]: int(t) for i, t in enumerate(own_time(linked))}
    assert by_name == {"r": 30, "x": 0, "y": 70}


def test_an_error_began_at_the_deepest_failed_span() -> None:
    """What failed above only passed the error on."""
    spans = [
        Span(1, None, "frontend", 0, 100, "GET /", "server", failed=True),
        Span(2, 1, "frontend", 10, 60, "quote", "client", failed=True),
        Span(3, 2, "pricing", 20, 50, "Quote", "server", failed=True),
    ]
    linked = linked_of(spans)
    (origin,) = error_origins(linked)
    assert linked.names.services[linked.service[origin]] == "pricing"


def test_a_failed_client_of_a_healthy_server_blames_the_edge() -> None:
    """A timeout belongs to the way into the callee, not to the callee's own time."""
    spans = [
        Span(1, None, "frontend", 0, 100, "GET /", "server", failed=True),
        Span(2, 1, "frontend", 10, 60, "quote", "client", failed=True),
        Span(3, 2, "pricing", 20, 50, "Quote", "server"),
    ]
    linked = linked_of(spans)
    facts = facts_of(linked)
    service, operation = linked.names.operations[facts.origin[0] // 2]
    assert (linked.names.services[service], operation, int(facts.origin[0] % 2)) == ("pricing", "Quote", 1)


def test_a_handled_error_is_not_the_requests_error() -> None:
    """A request that succeeded has no origin of an error, whatever failed inside it."""
    facts = facts_of(linked_of(spans_of_a_call(failed=True)))
    assert facts.origin.tolist() == [-1]


def test_a_chain_of_ten_thousand_spans_links() -> None:
    """Depth costs neither the stack nor quadratic time."""
    chain = [Span(i, i - 1 if i > 1 else None, "a", i, 30_000 - i, "op", "internal") for i in range(1, 10_001)]
    linked = linked_of(chain)
    assert own_time(linked).sum() == linked.end[linked.root[0]] - linked.start[linked.root[0]]
