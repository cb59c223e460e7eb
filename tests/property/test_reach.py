"""Reach must agree with a slow and obvious count on random traces."""

from collections import defaultdict
from itertools import pairwise

from builders.requests import Span, linked_of, names_of
from hypothesis import given, settings
from hypothesis import strategies as st

from traceguard import model
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.names import Target
from traceguard.radius.reach import reach
from traceguard.traces.link import Linked
from traceguard.units import Period

KINDS = ["internal", "server", "client", "producer", "consumer"]
Rows = dict[str, tuple[int, float, str]]


@st.composite
def traffic(draw: st.DrawFn) -> list[Span]:
    """Draw a few traces of services a to d with every kind of span, missing parents included."""
    spans = []
    for trace in range(1, draw(st.integers(1, 4)) + 1):
        for number in range(1, draw(st.integers(1, 10)) + 1):
            parent = draw(st.sampled_from([number - 1, number - 1, draw(st.integers(1, 11))])) if number > 1 else None
            start = draw(st.integers(0, 9))
            end = start + draw(st.integers(0, 9))
            service, kind = draw(st.sampled_from("abcd")), draw(st.sampled_from(KINDS))
            evaluation = draw(st.sampled_from([False] * 9 + [True]))
            spans.append(Span(number, parent, service, start, end, kind=kind, trace=trace, evaluation=evaluation))
    return spans


def ancestors(linked: Linked, i: int) -> list[int]:
    """Give a span and everything above it, asynchronous parents included."""
    found = [i]
    while linked.parent[found[-1]] >= 0:
        found.append(int(linked.parent[found[-1]]))
    return found


def path(linked: Linked, low: int, high: int) -> tuple[int, bool]:
    """Give the changes of service on the way up from `low` to `high`, and whether no step is asynchronous."""
    steps = ancestors(linked, low)
    steps = steps[: steps.index(high) + 1]
    hops = sum(bool(linked.service[a] != linked.service[b] and not linked.evaluation[a]) for a, b in pairwise(steps))
    return hops, not any(linked.detached[i] for i in steps[:-1])


def rows(ways: dict[str, list[tuple[int, bool]]], units: dict[str, set[int]], of: dict[str, int]) -> Rows:
    """Give the documented row of each service to which there is a way."""
    return {
        service: (
            min(hops for hops, _ in found),
            len(units[service]) / of[service],
            "sync" if any(waits for _, waits in found) else "async",
        )
        for service, found in ways.items()
    }


def reference(linked: Linked, service: str) -> tuple[dict[str, tuple[int, int, int]], Rows, Rows]:
    """Count entries (requests, reached, calls) and the rows of both sides, one pair of spans at a time."""
    visits = visits_of(linked)
    marked, _ = calls_of(linked, visits, members(linked, service, None))
    calls = [i for i in range(marked.size) if marked[i]]
    heads = [i for i in range(marked.size) if visits.head[i] == i and not linked.evaluation[i]]
    name = [linked.names.services[s] for s in linked.service]
    entries: dict[str, tuple[int, int, int]] = {}
    for r, root in enumerate(linked.root.tolist()):
        if not linked.fragment[r]:
            below = sum(root in ancestors(linked, c) for c in calls)
            requests, reached, total = entries.get(name[root], (0, 0, 0))
            entries[name[root]] = (requests + 1, reached + (below > 0), total + below)
    up: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    down: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    up_units: dict[str, set[int]] = defaultdict(set)
    down_units: dict[str, set[int]] = defaultdict(set)
    outermost = [c for c in calls if not set(calls) & set(ancestors(linked, c)[1:])]
    for c in calls:
        for h in {int(visits.head[i]) for i in ancestors(linked, int(visits.head[c]))[1:]} & set(heads):
            up[name[h]].append(path(linked, c, h))
            up_units[name[h]].add(h)
    for h in heads:
        for c in set(calls) & set(ancestors(linked, h)[1:]):
            down[name[h]].append(path(linked, h, c))
            down_units[name[h]] |= set(outermost) & set(ancestors(linked, c))
    of_visits = {s: sum(name[h] == s for h in heads) for s in set(name)}
    for side in (up, down):
        side.pop(service, None)
    return (entries, rows(up, up_units, of_visits), rows(down, down_units, defaultdict(lambda: len(outermost))))


def documented(side: list[model.Neighbour]) -> Rows:
    """Give the rows of one side of a document."""
    return {n.service: (n.depth, n.fraction, n.kind) for n in side}


@given(traffic(), st.sampled_from("abcd"))
@settings(max_examples=400)
def test_reach_equals_the_reference(spans: list[Span], service: str) -> None:
    """Entries, depths, fractions and kinds are those that counting pairs of spans gives."""
    linked = linked_of(spans)
    found = reach([linked], Target(service=service), Period())
    entries, upstream, downstream = reference(linked, service)
    counted = {
        e.service: (e.requests, round(e.fraction * e.requests), round(e.calls_per_request * e.requests))
        for e in found.entries
    }
    assert counted == {name: row for name, row in entries.items() if row[1]}
    assert documented(found.upstream) == upstream
    assert documented(found.downstream) == downstream


@given(traffic(), st.sampled_from("abcd"))
def test_partitions_add_up(spans: list[Span], service: str) -> None:
    """However traces are dealt to partitions, the document is the same."""
    names = names_of(spans)
    parts = [linked_of([s for s in spans if s.trace == trace], names) for trace in sorted({s.trace for s in spans})]
    assert reach(parts, Target(service=service), Period()) == reach(
        [linked_of(spans, names)], Target(service=service), Period()
    )
