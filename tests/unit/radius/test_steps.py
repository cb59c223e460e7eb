"""Gates: where a failure below stops on its way up, and which steps nobody has seen failing."""

from builders.requests import Span, linked_of

from traceguard import model
from traceguard.radius.names import Target
from traceguard.radius.reach import reach
from traceguard.units import Period

Gates = dict[tuple[str, str, str], tuple[int, int]]


def ask(spans: list[Span], service: str = "db", **target: str) -> model.BlastRadius:
    """The reach of a service among the spans, in one partition."""
    return reach([linked_of(spans)], Target(**({"service": service} | target)), Period())


def gates(found: model.BlastRadius) -> Gates:
    """Stopped and seen failures by source, target and kind."""
    return {(g.source, g.target, g.kind): (g.stopped, g.errors_seen) for g in found.gates}


def call(trace: int, *, failed: bool = False, caller_failed: bool = False) -> list[Span]:
    """Web calls cart through a client span, cart calls the database."""
    return [
        Span(1, None, "web", 0, 100, trace=trace, failed=caller_failed),
        Span(2, 1, "web", 10, 50, kind="client", trace=trace, failed=failed),
        Span(3, 2, "cart", 12, 48, trace=trace, failed=failed),
        Span(4, 3, "db", 20, 30, trace=trace),
    ]


def test_a_failure_that_did_not_fail_its_caller_is_a_fallback() -> None:
    """Two of three failures of cart were handled by web; its step to the database was never seen failing."""
    spans = [
        *call(1), *call(2, failed=True), *call(3, failed=True), *call(4, failed=True, caller_failed=True),
    ]  # fmt: skip
    found = ask(spans)
    assert gates(found) == {("web", "cart", "fallback"): (2, 3)}
    assert found.gates[0].fraction == 2 / 3
    assert found.gates[0].requests == 4
    assert 0 < found.gates[0].low < 2 / 3 < found.gates[0].high < 1
    assert [(e.source, e.target, e.requests) for e in found.untested_edges] == [("cart", "db", 4)]


def test_a_failure_that_always_climbs_is_no_gate() -> None:
    """It is tested, and shows among the steps with nothing stopped."""
    found = ask([*call(1), *call(2, failed=True, caller_failed=True)])
    assert found.gates == []
    step = next(e for e in found.edges if (e.source, e.target) == ("web", "cart"))
    assert (step.calls, step.errors_seen, step.stopped) == (2, 1, 0)
    assert [e.source for e in found.untested_edges] == ["cart"]


def attempts(trace: int, outcomes: str, *, arrives: bool = True, caller_failed: bool = False) -> list[Span]:
    """Web calls cart as often as there are outcomes (x: it failed), one attempt after the other."""
    spans = [Span(1, None, "web", 0, 1000, trace=trace, failed=caller_failed)]
    for number, failed in enumerate(outcome == "x" for outcome in outcomes):
        first, start = 10 * (number + 1), 100 * number + 1
        last = number == len(outcomes) - 1
        spans.append(
            Span(first, 1, "web", start, start + 80, operation="call", kind="client", trace=trace, failed=failed)
        )
        if arrives or last:
            spans.append(
                Span(first + 1, first, "cart", start + 5, start + 70, operation="Get", trace=trace, failed=failed)
            )
            spans.append(Span(first + 2, first + 1, "db", start + 10, start + 60, trace=trace))
    return spans


def test_a_retry_that_went_well_is_a_gate() -> None:
    """Attempts of one call are one failure, whether they got to the callee or not."""
    spans = [
        *attempts(1, "x."),
        *attempts(2, "xx."),
        *attempts(3, "x.", arrives=False),
        *attempts(4, "xx", caller_failed=True),
        *attempts(5, "."),
    ]
    found = ask(spans)
    assert gates(found) == {("web", "cart", "retry"): (3, 4)}
    step = next(e for e in found.edges if (e.source, e.target) == ("web", "cart"))
    assert (step.errors_seen, step.stopped) == (4, 3)


def test_what_retries_leave_the_caller_may_still_handle() -> None:
    """The fallback is judged by what no attempt made good."""
    spans = [*attempts(1, "x."), *attempts(2, "xx"), *attempts(3, "xx", caller_failed=True)]
    assert gates(ask(spans)) == {("web", "cart", "retry"): (1, 3), ("web", "cart", "fallback"): (1, 2)}


def test_nobody_waits_for_a_message() -> None:
    """An asynchronous step is a gate even if no failure was seen; then nothing is said of how often it stopped one."""
    spans = [
        Span(1, None, "web", 0, 100),
        Span(2, 1, "web", 10, 20, kind="producer"),
        Span(3, 2, "mail", 200, 300, kind="consumer"),
        Span(4, 3, "db", 220, 230),
    ]
    found = ask(spans)
    assert gates(found) == {("web", "mail", "async"): (0, 0)}
    assert found.gates[0].fraction is None
    assert (found.gates[0].low, found.gates[0].high) == (0.0, 1.0)
    failing = [
        *spans,
        *(Span(s.id, s.parent, s.service, s.start, s.end, kind=s.kind, trace=2, failed=s.id == 3) for s in spans),
    ]
    assert gates(ask(failing)) == {("web", "mail", "async"): (1, 1)}


def test_failures_elsewhere_do_not_speak_for_the_way_up() -> None:
    """What web does about failures of an operation that never calls the target is not told of those that do."""
    other = [Span(1, None, "web", 0, 100, trace=9), Span(2, 1, "cart", 10, 20, operation="Ping", trace=9, failed=True)]
    found = ask([*call(1), *other])
    assert found.gates == []
    assert {(e.source, e.target) for e in found.untested_edges} == {("web", "cart"), ("cart", "db")}


def test_steps_lie_on_both_sides() -> None:
    """Above the target up to the entry point, below it down to the last service; partitions add up."""
    spans = [*call(1), *call(2, failed=True)]
    found = ask(spans, "cart")
    assert {(e.source, e.target, e.side) for e in found.edges} == {("web", "cart", "up"), ("cart", "db", "down")}
    names = linked_of(spans).names
    parts = [linked_of([s for s in spans if s.trace == trace], names) for trace in (2, 1)]
    again = reach(parts, Target(service="cart"), Period())
    assert (again.edges, again.gates, again.untested_edges) == (found.edges, found.gates, found.untested_edges)
