"""What must hold of every linked trace; two ways to compute its critical path must agree."""

from dataclasses import replace

import numpy as np
from builders.requests import Span, linked_of
from hypothesis import given
from hypothesis import strategies as st

from traceguard.traces.critical_path import own_time
from traceguard.traces.facts import facts_of
from traceguard.traces.link import Linked

KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to three traces of up to twelve spans, with missing parents, cycles, overlaps, zero durations and skew."""
    spans = []
    for trace in range(1, draw(st.integers(1, 3)) + 1):
        for number in range(1, draw(st.integers(1, 12)) + 1):
            start = draw(st.integers(0, 60))
            spans.append(
                Span(
                    id=number,
                    parent=draw(st.one_of(st.none(), st.integers(1, 14))),
                    service=draw(st.sampled_from("abc")),
                    operation=draw(st.sampled_from("xy")),
                    start=start,
                    end=start + draw(st.integers(0, 40)),
                    kind=draw(st.sampled_from(KINDS)),
                    failed=draw(st.booleans()),
                    evaluation=draw(st.integers(0, 9)) == 0,
                    trace=trace,
                )
            )
    return spans


def slow_own_time(linked: Linked) -> list[int]:
    """The definition, an instant at a time: walk back from the end; the last-finishing child owns what it covers."""
    parents = linked.parent.tolist()
    has_child = set(parents)
    children: dict[int, list[int]] = {}
    for i, parent in enumerate(parents):
        if parent >= 0 and not linked.detached[i] and not (linked.evaluation[i] and i not in has_child):
            children.setdefault(parent, []).append(i)
    own = [0] * len(parents)

    def walk(span: int, begin: int, finish: int) -> None:
        now = finish
        waiting = sorted(children.get(span, []), key=lambda c: (linked.end[c], c), reverse=True)
        while now > begin:
            cut = {c: (max(int(linked.start[c]), begin), min(int(linked.end[c]), finish)) for c in waiting}
            ready = [c for c in waiting if cut[c][1] <= now and cut[c][0] < cut[c][1]]
            if not ready:
                own[span] += now - begin
                return
            child = ready[0]
            waiting = waiting[waiting.index(child) + 1 :]
            begun, stop = cut[child]
            own[span] += now - stop
            walk(child, begun, stop)
            now = begun

    for root in linked.root.tolist():
        walk(root, int(linked.start[root]), int(linked.end[root]))
    return own


@given(traces())
def test_own_time_agrees_with_the_definition(spans: list[Span]) -> None:
    """The compiled loop and the recursive definition give every span the same time."""
    linked = linked_of(spans)
    assert own_time(linked).tolist() == slow_own_time(linked)


@given(traces())
def test_parts_sum_to_the_whole(spans: list[Span]) -> None:
    """The own times of a request's spans sum exactly to its root's duration, and so do its facts."""
    linked = linked_of(spans)
    own = own_time(linked)
    for number, root in enumerate(linked.root):
        assert own[linked.request == number].sum() == linked.end[root] - linked.start[root]
    facts = facts_of(linked)
    for i in range(facts.dur.size):
        assert facts.time[facts.first[i] : facts.first[i + 1]].sum() == facts.dur[i]


@given(traces())
def test_no_span_owns_more_than_its_duration(spans: list[Span]) -> None:
    """A span's time on the critical path is between nothing and its duration."""
    linked = linked_of(spans)
    own = own_time(linked)
    assert ((own >= 0) & (own <= linked.end - linked.start)).all()


@given(traces(), st.randoms(use_true_random=False))
def test_order_of_arrival_changes_nothing(spans: list[Span], random: object) -> None:
    """Shuffled arrival, with some spans sent twice, gives the same facts; ids are unique as a tracer makes them."""
    unique = {(s.trace, s.id): s for s in spans}
    spans = list(unique.values())
    shuffled = spans + spans[: len(spans) // 2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = facts_of(linked_of(spans)), facts_of(linked_of(shuffled))
    for name in ("entry", "dur", "failed", "origin", "first", "component", "time", "calls"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


@given(traces(), st.integers(-1_000, 1_000_000_000))
def test_shifting_all_clocks_changes_nothing(spans: list[Span], shift: int) -> None:
    """Facts depend on differences of times only."""
    moved = [replace(s, start=s.start + shift, end=s.end + shift) for s in spans]
    before, after = facts_of(linked_of(spans)), facts_of(linked_of(moved))
    np.testing.assert_array_equal(before.time, after.time)
    np.testing.assert_array_equal(before.start + shift, after.start)


@given(traces())
def test_every_span_belongs_to_one_request(spans: list[Span]) -> None:
    """Following parents from any span ends at its request's root, also where parents form cycles."""
    linked = linked_of(spans)
    for i in range(linked.trace.size):
        top = i
        while linked.parent[top] >= 0 and not linked.detached[top]:
            top = int(linked.parent[top])
        assert linked.root[linked.request[i]] == top
