"""Reach over hand-made requests whose fractions can be counted on fingers."""

import numpy as np
import pytest
from builders.requests import Span, linked_of

from traceguard import model
from traceguard.radius.evaluators import Evaluators
from traceguard.radius.names import Target
from traceguard.radius.reach import reach
from traceguard.traces.factors import Circumstances
from traceguard.traces.link import Linked
from traceguard.units import Period


def shop() -> list[Span]:
    """Four requests: two buy (web > checkout > pricing twice, and a mail by message), one looks, one asks pricing."""
    spans = []
    for trace in (1, 2):
        spans += [
            Span(1, None, "web", 0, 100, operation="POST /buy", trace=trace),
            Span(2, 1, "checkout", 10, 90, operation="Place", trace=trace),
            Span(3, 2, "pricing", 20, 30, operation="Quote", trace=trace),
            Span(4, 2, "pricing", 40, 60, operation="Quote", trace=trace),
            Span(5, 2, "checkout", 80, 85, kind="producer", trace=trace),
            Span(6, 5, "mailer", 200, 260, operation="mail", kind="consumer", trace=trace),
        ]
    spans += [Span(1, None, "web", 0, 50, operation="GET /", trace=3)]
    spans += [Span(1, None, "web", 0, 50, operation="GET /", trace=4), Span(2, 1, "pricing", 10, 20, trace=4)]
    return spans


def ask(target: Target, spans: list[Span] | None = None, **more: object) -> model.BlastRadius:
    """Ask for the reach of the target among the spans, the shop's unless given."""
    linked = linked_of(shop() if spans is None else spans)
    return reach([linked], target, Period(), **more)  # type: ignore[arg-type]


def entries(found: model.BlastRadius) -> dict[str, tuple[int, float, float]]:
    """Give requests, fraction and calls per request by entry operation."""
    return {e.operation: (e.requests, e.fraction, e.calls_per_request) for e in found.entries}


def sides(neighbours: list[model.Neighbour]) -> dict[str, tuple[int, float, str]]:
    """Give depth, fraction and kind by service."""
    return {n.service: (n.depth, n.fraction, n.kind) for n in neighbours}


def test_entries_count_requests_and_calls() -> None:
    """Each entry point shows the part of its requests that call the target, and calls over all of its requests."""
    found = ask(Target(service="pricing"))
    assert entries(found) == {"POST /buy": (2, 1.0, 2.0), "GET /": (2, 0.5, 0.5)}
    assert (found.reach.traces, found.reach.units) == (3, 3)
    assert found.reach.requests_fraction == pytest.approx(3 / 4)
    assert (found.window.traces, found.window.spans) == (4, 15)
    assert [w.code for w in found.warnings] == ["nothing_seen_below", "part_of_a_week"]


def test_neighbours_have_hops_fractions_and_kinds() -> None:
    """Above, the part of a service's visits that reach the target; below, the part of the target's calls."""
    found = ask(Target(service="pricing"))
    assert sides(found.upstream) == {"checkout": (1, 1.0, "sync"), "web": (1, 0.75, "sync")}
    assert found.downstream == []
    assert found.reach.services == 3
    below = ask(Target(service="web"))
    assert sides(below.downstream) == {
        "pricing": (1, 0.75, "sync"),
        "checkout": (1, 0.5, "sync"),
        "mailer": (2, 0.5, "async"),
    }
    assert below.upstream == []


def test_messages_reach_too_and_say_so() -> None:
    """A consumer is reached from the request that sent the message, asynchronously, and is an entry itself."""
    found = ask(Target(service="mailer"))
    assert entries(found) == {"POST /buy": (2, 1.0, 1.0), "mail": (2, 1.0, 1.0)}
    assert sides(found.upstream) == {"checkout": (1, 1.0, "async"), "web": (2, 0.5, "async")}


def test_critical_fraction_is_time_in_the_target_on_the_critical_path() -> None:
    """The share of the entry's whole time, asynchronous work not counted."""
    found = {e.operation: e.critical_fraction for e in ask(Target(service="pricing")).entries}
    assert found == {"POST /buy": pytest.approx(30 / 100), "GET /": pytest.approx(10 / 100)}
    assert {e.operation: e.critical_fraction for e in ask(Target(service="mailer")).entries} == {
        "POST /buy": 0.0,
        "mail": 1.0,
    }


def test_operation_is_narrower_than_its_service() -> None:
    """Only requests that call this operation count."""
    found = ask(Target(service="pricing", operation="Quote"))
    assert entries(found) == {"POST /buy": (2, 1.0, 2.0)}


def test_flag_reaches_what_its_requests_touch() -> None:
    """A flag stands for its evaluators in the traces that evaluated it; all that these traces touch lies below it."""
    evaluators = Evaluators(np.array([1], np.uint64), np.array([0], np.int32), ("checkout",))
    found = ask(Target(flag="new", variant="on"), evaluators=evaluators)
    assert found.target.flag == "new=on"
    assert entries(found) == {"POST /buy": (2, 0.5, 0.5)}
    assert sides(found.upstream) == {"web": (1, 0.25, "sync")}
    assert sides(found.downstream) == {
        "checkout": (1, 1.0, "sync"),
        "pricing": (2, 1.0, "sync"),
        "mailer": (2, 1.0, "async"),
    }


def test_flag_lists_services_beside_its_evaluators() -> None:
    """A sibling of the evaluator is below the flag at its distance in calls."""
    spans = [
        Span(1, None, "web", 0, 90),
        Span(2, 1, "rank", 1, 5),
        Span(3, 1, "cart", 10, 20),
        Span(4, 3, "db", 11, 19),
    ]
    evaluators = Evaluators(np.array([1], np.uint64), np.array([0], np.int32), ("rank",))
    found = ask(Target(flag="model"), spans, evaluators=evaluators)
    assert sides(found.downstream) == {"rank": (1, 1.0, "sync"), "cart": (3, 1.0, "sync"), "db": (4, 1.0, "sync")}
    assert found.reach.services == 4


def test_evaluation_without_its_span_counts_where_the_trace_begins() -> None:
    """A flag record whose span is missing still belongs to its request."""
    evaluators = Evaluators(np.array([3, 99], np.uint64), np.array([-1, -1], np.int32), ())
    assert entries(ask(Target(flag="new"), evaluators=evaluators)) == {"GET /": (2, 0.5, 0.5)}


def test_units_are_counted_once() -> None:
    """Two traces of one user are one unit."""
    traces = np.array([1, 2, 3, 4], np.uint64)
    known = Circumstances(traces, np.zeros((4, 0), np.int16), np.array([7, 7, 8, 9], np.uint64))
    assert ask(Target(service="checkout"), circumstances=known).reach.units == 1
    assert ask(Target(service="pricing"), circumstances=known).reach.units == 2


def test_partitions_add_up() -> None:
    """However the traces are dealt to partitions, the answer is the same."""
    spans = shop()
    names = linked_of(spans).names
    parts = [linked_of([s for s in spans if s.trace in some], names) for some in ({1, 3}, {2, 4})]
    for target in (Target(service="pricing"), Target(service="web"), Target(service="mailer")):
        assert reach(parts, target, Period()) == ask(target)


def test_unreached_target_has_a_whole_document_and_a_warning() -> None:
    """A service that no request of the window calls has no entries and says so."""
    found = ask(Target(service="ledger"))
    assert (found.entries, found.upstream, found.downstream) == ([], [], [])
    assert [w.code for w in found.warnings] == ["no_requests"]
    assert [w.code for w in reach([], Target(service="ledger"), Period(5, 9)).warnings] == ["no_requests"]


def test_fragments_have_no_entry_and_are_warned_of() -> None:
    """Calls below a missing parent belong to no entry point."""
    spans = [Span(1, None, "web", 0, 90), Span(7, 99, "pricing", 10, 20)]
    found = ask(Target(service="pricing"), spans)
    assert found.entries == []
    assert {w.code for w in found.warnings} == {"no_requests", "incomplete_traces"}


def test_entries_left_out_do_not_count() -> None:
    """Health checks are no traffic."""
    linked = linked_of(shop())
    leave_out = np.array([text == "GET /" for _, text in linked.names.operations])
    found = reach([linked], Target(service="pricing"), Period(), leave_out=leave_out)
    assert entries(found) == {"POST /buy": (2, 1.0, 2.0)}


def test_environments_are_apart() -> None:
    """The same entry in two environments is two entries, each with its name."""
    spans = [Span(1, None, "web", 0, 9), Span(1, None, "web", 0, 9, trace=2, environment="staging")]
    assert {e.environment for e in ask(Target(service="web"), spans).entries} == {"prod", "staging"}


def traces_of(linked: Linked, operation: str) -> set[int]:
    """The hashes of traces whose request enters at the operation."""
    entered = (i for i in linked.root if linked.names.operations[linked.operation[i]][1] == operation)
    return {int(linked.trace_hash[linked.trace[i]]) for i in entered}


def test_sampled_requests_count_as_often_as_they_stand_for() -> None:
    """Fractions are those of the traffic, numbers of requests and traces those of the record."""
    linked = linked_of(shop())
    looks = traces_of(linked, "GET /")
    pricing = linked.service == linked.names.services.index("pricing")
    asks = {int(h) for h in linked.trace_hash[np.unique(linked.trace[pricing])]}
    # Of the two requests that look one asks pricing, and stands for four.
    counts = np.array([4.0 if h in looks & asks else 1.0 for h in linked.trace_hash.tolist()])
    found = ask(Target(service="pricing"), sampling=(linked.trace_hash, counts))
    assert entries(found) == {"POST /buy": (2, 1.0, 2.0), "GET /": (2, 4 / 5, 4 / 5)}
    assert found.reach.requests_fraction == pytest.approx(6 / 7)
    assert found.reach.traces == 3


def test_traces_that_are_left_out_are_no_requests() -> None:
    """What the settings leave out by an attribute reaches nothing."""
    buyers = np.array(sorted(traces_of(linked_of(shop()), "POST /buy")), dtype=np.uint64)
    found = ask(Target(service="pricing"), leave_out_traces=buyers)
    assert list(entries(found)) == ["GET /"]
    assert found.reach.requests_fraction == pytest.approx(1 / 2)
