"""Every loop of linking against a slow, obvious reference, on traces as broken as they come."""

from dataclasses import replace

import numpy as np
from builders.requests import KINDS, Span, linked_of
from hypothesis import given, settings
from hypothesis import strategies as st

from traceguard.traces.critical_path import callees, components, critical_path
from traceguard.traces.facts import facts_of
from traceguard.traces.link import CLIENT, CONSUMER, PRODUCER, SERVER, UNSPECIFIED, Linked

STREAMS = ("s",)


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to two traces with repeated ids, cycles, lost parents, streams, links, zero durations and skew.

    Few ids, services and instants, so that what is rare in life (two spans of an id, ends close together) is common.
    """
    parent = st.sampled_from([None, 1, 1, 2, 2, 3, 4, 5, 9, 10])
    kind = st.sampled_from([*KINDS, "client", "server", "client", "server"])
    length = st.one_of(st.integers(0, 12), st.integers(200, 206), st.sampled_from([2_500, 2_510]))
    span = st.builds(
        lambda start, length, **about: Span(start=start, end=start + length, **about),
        start=st.integers(0, 12), length=length, id=st.integers(1, 6), parent=parent, service=st.sampled_from("aab"),
        operation=st.sampled_from("xys"), kind=kind, evaluation=st.sampled_from([False] * 7 + [True]),
        follows=st.sampled_from([False] * 7 + [True]), trace=st.sampled_from([1, 1, 1, 2]),
    )  # fmt: skip
    return draw(st.lists(span, min_size=1, max_size=14))


def arrived(spans: list[Span]) -> list[Span]:
    """The distinct spans in the order that linking promises: by trace, start, id, kind, service, longest first."""

    def place(s: Span) -> tuple[object, ...]:
        shortness = -(s.end - s.start)
        return (
            s.trace,
            s.start,
            s.id,
            KINDS[s.kind],
            s.service,
            shortness,
            s.service,
            s.operation,
            False,
            s.parent or 0,
        )

    kept: dict[tuple[object, ...], Span] = {}
    for s in sorted(spans, key=place):
        kept.setdefault((s.trace, s.id, s.start, s.kind, s.service), s)
    return list(kept.values())


def call_of(one: Span, other: Span) -> tuple[Span, Span] | None:
    """The two as (client, server) if one answers the other."""
    for client, server in ((one, other), (other, one)):
        if (client.kind, server.kind) in {("client", "server"), ("producer", "consumer")}:
            return client, server
    return None


def slow_parents(spans: list[Span]) -> tuple[list[int], list[bool], list[bool]]:
    """Each span's parent, whether it is missing, and whether a cycle was cut there."""
    at = {id(s): i for i, s in enumerate(spans)}
    holders: dict[tuple[int, int], list[Span]] = {}
    for s in spans:
        holders.setdefault((s.trace, s.id), []).append(s)
    parents, missing = [-1] * len(spans), [False] * len(spans)
    for i, s in enumerate(spans):
        if s.parent is None:
            continue
        found = holders.get((s.trace, s.parent), [])
        call = call_of(found[0], found[1]) if len(found) > 1 else None
        chosen = found[0] if found else None
        if call is not None:
            client, server = call
            chosen = client if s.service == client.service and s.service != server.service else server
        if chosen is None or chosen is s:
            missing[i] = True
        else:
            parents[i] = at[id(chosen)]
    for found in holders.values():
        call = call_of(found[0], found[1]) if len(found) > 1 else None
        if call is not None and call[1].parent in {call[0].parent, None, call[1].id}:
            parents[at[id(call[1])]], missing[at[id(call[1])]] = at[id(call[0])], False
    return parents, missing, slow_cuts(parents, missing)


def slow_cuts(parents: list[int], missing: list[bool]) -> list[bool]:
    """Cut each cycle of parents at its earliest span."""
    cut = [False] * len(parents)
    for i in range(len(parents)):
        above, j = [i], parents[i]
        while j >= 0 and j not in above:
            above.append(j)
            j = parents[j]
        if j == i and i == min(above):
            parents[i], missing[i], cut[i] = -1, True, True
    return cut


def slow_detached(spans: list[Span], parents: list[int]) -> list[bool]:
    """Messages, late work of one service, what follows by a link, streams that live on."""
    detached = []
    for s, p in zip(spans, parents, strict=True):
        if p < 0:
            detached.append(False)
            continue
        above = spans[p]
        stream = s.operation in STREAMS and s.kind in {"server", "client"}
        detached.append(
            s.kind == "consumer"
            or (above.kind == "producer" and above.service != s.service)
            or (above.service == s.service and s.start > above.end)
            or s.follows
            or (stream and s.end > above.end and (s.end - s.start) // 10 > above.end - above.start)
        )
    return detached


def children_of(linked: Linked, span: int) -> list[int]:
    """The synchronous children as they are threaded."""
    found, child = [], int(linked.first_child[span])
    while child >= 0:
        found.append(child)
        child = int(linked.next_sibling[child])
    return found


@settings(max_examples=400)
@given(traces())
def test_spans_parents_and_asynchronous_work(spans: list[Span]) -> None:
    """Distinct spans, their parents, cut cycles and detached work are what a plain search finds."""
    linked, plain = linked_of(spans, streams=STREAMS), arrived(spans)
    assert [(s.start, s.end) for s in plain] == list(zip(linked.start.tolist(), linked.end.tolist(), strict=True))
    assert [linked.names.operations[o][1] for o in linked.operation] == [s.operation for s in plain]
    parents, missing, _ = slow_parents(plain)
    assert linked.parent.tolist() == parents
    assert linked.missing_parent.tolist() == missing
    assert linked.detached.tolist() == slow_detached(plain, parents)


@settings(max_examples=400)
@given(traces())
def test_trees_and_requests(spans: list[Span]) -> None:
    """Children come latest end first, without evaluations that nobody called from; roots are in the spans' order."""
    linked, plain = linked_of(spans, streams=STREAMS), arrived(spans)
    for i in range(len(plain)):
        expected = [
            c
            for c in np.flatnonzero(linked.parent == i).tolist()
            if not linked.detached[c] and (not plain[c].evaluation or (linked.parent == c).any())
        ]
        assert children_of(linked, i) == sorted(expected, key=lambda c: (plain[c].end, c), reverse=True)
    assert linked.root.tolist() == np.flatnonzero((linked.parent < 0) | linked.detached).tolist()


@settings(max_examples=400)
@given(traces())
def test_fragments_streams_and_torn_traces(spans: list[Span]) -> None:
    """What is torn off, what is a stream, and which traces miss spans."""
    linked, plain = linked_of(spans, streams=STREAMS), arrived(spans)
    _, missing, cut = slow_parents(plain)
    tops = [i for i in linked.root.tolist() if not linked.detached[i]]
    rooted = {plain[i].trace for i in tops if not missing[i] and not plain[i].evaluation}
    torn = set()
    for request, i in enumerate(linked.root.tolist()):
        s = plain[i]
        begins = s.kind in {"server", "consumer", "unspecified"}
        lost = missing[i] and (s.trace in rooted or cut[i] or not begins)
        assert linked.fragment[request] == (lost or s.evaluation)
        assert linked.stream[request] == (s.operation in STREAMS and s.kind in {"server", "client"})
        if lost:
            torn.add(s.trace)
    for trace in {s.trace for s in plain}:
        if len({plain[i].parent for i in tops if missing[i] and plain[i].trace == trace}) > 1:
            torn.add(trace)
    assert linked.incomplete.tolist() == [t in torn for t in sorted({s.trace for s in plain})]


@settings(max_examples=400)
@given(traces())
def test_callees(spans: list[Span]) -> None:
    """A client span waits for the first child that serves or runs elsewhere; without kinds, for an only child."""
    linked = linked_of(spans, streams=STREAMS)
    for i, found in enumerate(callees(linked).tolist()):
        children, mine = children_of(linked, i), linked.service[i]
        expected = -1
        if linked.kind[i] == CLIENT:
            expected = next((c for c in children if linked.kind[c] == SERVER or linked.service[c] != mine), -1)
        elif linked.kind[i] == UNSPECIFIED and len(children) == 1 and linked.service[children[0]] != mine:
            expected = children[0]
        assert found == expected


def slow_doubts(linked: Linked) -> tuple[list[int], list[int]]:
    """Ambiguous and overlapped time per request, an instant at a time."""
    ambiguous, overlapped = [0] * linked.root.size, [0] * linked.root.size
    for request, root in enumerate(linked.root.tolist()):
        unsure: set[int] = set()
        beside: set[int] = set()
        waiting = [(root, int(linked.start[root]), int(linked.end[root]))]
        while waiting:
            span, begin, finish = waiting.pop()
            cut = {
                c: (max(int(linked.start[c]), begin), min(int(linked.end[c]), finish))
                for c in children_of(linked, span)
            }
            cut = {c: (a, b) for c, (a, b) in cut.items() if a < b}
            slack = min(1_000, int(linked.end[span] - linked.start[span]) // 100)
            now, left = finish, list(cut)
            while left:
                child = left.pop(0)
                begun, stop = cut[child]
                if stop > now:
                    beside.update(range(begun, stop))
                    continue
                if any(cut[other][1] >= stop - slack for other in left):
                    unsure.update(range(begun, stop))
                waiting.append((child, begun, stop))
                now = begun
        ambiguous[request], overlapped[request] = len(unsure), len(beside)
    return ambiguous, overlapped


@settings(max_examples=400)
@given(traces())
def test_ambiguous_and_overlapped_time(spans: list[Span]) -> None:
    """The instants at which another child could be the one, and those at which work ran beside the path, counted."""
    linked = linked_of(spans, streams=STREAMS)
    path = critical_path(linked)
    ambiguous, overlapped = slow_doubts(linked)
    assert path.ambiguous.tolist() == ambiguous
    assert path.overlapped.tolist() == overlapped


@settings(max_examples=400)
@given(traces())
def test_facts_are_sums_over_spans(spans: list[Span]) -> None:
    """A fact is the own time and the number of calls of one component in one request.

    A client span that waited for a server span is that one's call, and none of its own.
    """
    linked = linked_of(spans, streams=STREAMS)
    waited = callees(linked) >= 0
    facts, own, component = facts_of(linked), critical_path(linked).own, components(linked, callees(linked))
    kept = np.flatnonzero(linked.whole)
    assert facts.dur.size == kept.size
    for i, request in enumerate(kept.tolist()):
        time: dict[int, int] = {}
        calls: dict[int, int] = {}
        for span in np.flatnonzero(linked.request == request).tolist():
            time[int(component[span])] = time.get(int(component[span]), 0) + int(own[span])
            if not linked.evaluation[span] and not waited[span]:
                calls[2 * int(linked.operation[span])] = calls.get(2 * int(linked.operation[span]), 0) + 1
        rows = slice(int(facts.first[i]), int(facts.first[i + 1]))
        listed = facts.component[rows].tolist()
        assert sorted(listed) == sorted(time.keys() | calls.keys())
        assert dict(zip(listed, facts.time[rows].tolist(), strict=True)) == {c: time.get(c, 0) for c in listed}
        assert dict(zip(listed, facts.calls[rows].tolist(), strict=True)) == {c: calls.get(c, 0) for c in listed}


@given(traces(), st.randoms(use_true_random=False), st.integers(-1_000, 10**18))
def test_arrival_and_clocks_change_nothing(spans: list[Span], random: object, shift: int) -> None:
    """Shuffled arrival with every second span sent twice, and clocks moved together, give the same facts."""
    moved = [replace(s, start=s.start + shift, end=s.end + shift) for s in spans + spans[::2]]
    random.shuffle(moved)  # type: ignore[attr-defined]
    before, after = facts_of(linked_of(spans, streams=STREAMS)), facts_of(linked_of(moved, streams=STREAMS))
    names = ("entry", "dur", "failed", "origin", "detached", "first", "component", "time", "calls")
    for name in (*names, "incomplete", "ambiguous", "overlapped"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_kinds_are_those_of_the_kernels() -> None:
    """The builder's numbers are the product's."""
    assert (KINDS["server"], KINDS["client"], KINDS["producer"], KINDS["consumer"]) == (
        SERVER, CLIENT, PRODUCER, CONSUMER,
    )  # fmt: skip
