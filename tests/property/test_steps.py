"""Steps and what became of them must agree with a slow and obvious count on random traces."""

from collections import Counter
from dataclasses import replace

from builders.requests import Span, linked_of, names_of
from hypothesis import given, settings
from hypothesis import strategies as st

from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.names import Target
from traceguard.radius.reach import reach
from traceguard.traces.critical_path import callees
from traceguard.traces.link import Linked
from traceguard.traces.retries import retries
from traceguard.units import Period

KINDS = ["internal", "server", "client", "client", "producer", "consumer"]


@st.composite
def traffic(draw: st.DrawFn) -> list[Span]:
    """Draw traces of services a to d in which calls fail, repeat and begin asynchronous work."""
    spans = []
    for trace in range(1, draw(st.integers(1, 4)) + 1):
        for number in range(1, draw(st.integers(1, 12)) + 1):
            parent = draw(st.integers(max(1, number - 4), number - 1)) if number > 1 else None
            start = draw(st.integers(0, 20))
            service, kind = draw(st.sampled_from("abcd")), draw(st.sampled_from(KINDS))
            failed = draw(st.booleans())
            end = start + draw(st.integers(0, 6))
            spans.append(Span(number, parent, service, start, end, kind=kind, failed=failed, trace=trace))
    return spans


def fate(linked: Linked, head: list[int], inner: int) -> str | None:
    """What became of the step into a visit: fine, retried, handled, passed; None if a later attempt got there."""
    parent, failed = linked.parent, linked.failed
    climbs = bool(failed[head[parent[inner]]])
    if linked.detached[inner]:
        return ("passed" if climbs else "handled") if failed[inner] else "fine"
    callee = callees(linked)
    repeats = retries(linked, callee).of
    call = int(parent[inner]) if callee[parent[inner]] == inner else inner
    later, last = [i for i in range(repeats.size) if repeats[i] == call], call
    while later:
        if callee[later[0]] >= 0 or head[later[0]] == later[0]:
            return None
        last = later[0]
        later = [i for i in range(repeats.size) if repeats[i] == last]
    if failed[last] or (last == call and failed[inner]):
        return "passed" if climbs else "handled"
    return "retried" if repeats[call] >= 0 or last != call else "fine"


@given(traffic(), st.sampled_from("abcd"))
@settings(max_examples=300)
def test_steps_equal_the_reference(spans: list[Span], service: str) -> None:
    """Calls, failures and what stopped them, upward and downward, are those that one step at a time gives."""
    linked = linked_of(spans)
    found = reach([linked], Target(service=service), Period())
    visits = visits_of(linked)
    head = visits.head.tolist()
    marked, _ = calls_of(linked, visits, members(linked, service, None))
    above: list[set[int]] = []
    for i in range(len(head)):
        chain = {i}
        at = i
        while linked.parent[at] >= 0:
            at = int(linked.parent[at])
            chain.add(at)
        above.append(chain)
    carrying = {head[i] for c in range(len(head)) if marked[c] for i in above[c]}
    name = [linked.names.services[s] for s in linked.service]
    calls: Counter[tuple[str, str, str, str]] = Counter()
    seen, stopped = calls.copy(), calls.copy()
    for h in {h for h in head if linked.parent[h] >= 0}:
        below = any(marked[i] for i in above[int(linked.parent[h])])
        what = fate(linked, head, h)
        if what is None or not (h in carrying or below):
            continue
        kind = "async" if linked.detached[h] else "sync"
        key = (name[head[linked.parent[h]]], name[h], kind, "up" if h in carrying else "down")
        calls[key] += 1
    # Failures are told of all calls between operations that are on the side; here every service has one operation.
    sides = {(k[0], k[1], k[2]): set() for k in calls}
    for k in calls:
        sides[k[0], k[1], k[2]].add(k[3])
    for h in {h for h in head if linked.parent[h] >= 0}:
        kind = "async" if linked.detached[h] else "sync"
        pair = (name[head[linked.parent[h]]], name[h], kind)
        what = fate(linked, head, h)
        for side in sides.get(pair, ()):
            seen[*pair, side] += what in {"retried", "handled", "passed"}
            stopped[*pair, side] += what in {"retried", "handled"}
    got = {(e.source, e.target, e.kind, e.side): (e.calls, e.errors_seen, e.stopped) for e in found.edges}
    assert got == {k: (n, seen[k], stopped[k]) for k, n in calls.items()}


@given(traffic(), st.sampled_from("abcd"))
def test_gates_are_sums_of_steps(spans: list[Span], service: str) -> None:
    """Every synchronous step upward is untested, or has as many stopped failures as its gates; parts add up."""
    names = names_of(spans)
    whole = reach([linked_of(spans, names)], Target(service=service), Period())
    untested = {(e.source, e.target) for e in whole.untested_edges}
    for e in (e for e in whole.edges if e.side == "up" and e.kind == "sync"):
        gates = [g for g in whole.gates if (g.source, g.target) == (e.source, e.target) and g.kind != "async"]
        assert ((e.source, e.target) in untested) == (e.errors_seen == 0)
        assert sum(g.stopped for g in gates) == e.stopped
        assert all(g.low <= (g.fraction or 0) <= g.high for g in gates)
    later = [replace(s, trace=s.trace + 10) for s in spans]
    twice = reach([linked_of(spans, names), linked_of(later, names)], Target(service=service), Period())
    assert [(e.calls, e.stopped) for e in twice.edges] == [(2 * e.calls, 2 * e.stopped) for e in whole.edges]
