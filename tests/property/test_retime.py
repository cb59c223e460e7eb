"""Retiming must agree with two slow references on random traces, and keep its promises.

One is the definition, by recursion over spans; the other knows no spans' lengths at all: it replays the events of a
whole trace in absolute time, until none of them moves any more.
"""

from functools import cache

import numpy as np
import pytest
from builders.requests import Span, linked_of
from hypothesis import given, settings
from hypothesis import strategies as st

from traceguard.radius.retime import retime, stretched
from traceguard.radius.trees import Trees
from traceguard.traces.link import Linked

KINDS = ["internal", "server", "client", "producer", "consumer"]
Case = tuple[list[Span], list[int]]


class Reference:
    """The definition of retiming, by recursion over one span at a time."""

    def __init__(self, linked: Linked, extra: list[int]) -> None:
        self.linked, self.extra = linked, extra
        self.start, self.end = linked.start.tolist(), linked.end.tolist()
        self.parent = linked.parent.tolist()
        waited = [
            i
            for i, parent in enumerate(self.parent)
            if parent >= 0 and not linked.detached[i] and not (linked.evaluation[i] and i not in self.parent)
        ]
        self.children = {p: [i for i in waited if self.parent[i] == p] for p in range(len(self.parent))}
        self.length, self.offset = cache(self.length), cache(self.offset)  # type: ignore[method-assign]

    def length(self, i: int) -> int:
        """Give the new duration of a span."""
        events = [(self.start[i], self.start[i])]
        for c in self.children[i]:
            over = self.end[c] - self.end[i]
            ended = self.start[i] + self.offset(c) + self.length(c)
            if over <= 0:
                events.append((self.end[c], ended))
            elif self.linked.service[c] != self.linked.service[i] and not self.linked.failed[i]:
                events.append((self.end[i], ended - over))
        return self.moved(events) - self.start[i] + self.end[i] + self.extra[i]

    def offset(self, c: int) -> int:
        """Give the new distance of a child's start from its parent's."""
        parent = self.parent[c]
        events = [(self.start[parent], self.start[parent])]
        for s in self.children[parent]:
            before = (self.start[s], self.end[s], s) < (self.start[c], self.end[c], c)
            if before and self.end[s] <= self.start[c]:
                events.append((self.end[s], self.start[parent] + self.offset(s) + self.length(s)))
        return self.moved(events) + self.start[c] - self.start[parent]

    @staticmethod
    def moved(events: list[tuple[int, int]]) -> int:
        """Give by how much the latest of some events moved: (as recorded, as moved) each."""
        return max(now for _, now in events) - max(then for then, _ in events)

    def times(self) -> dict[int, tuple[int, int]]:
        """Give the new start and end of every span that a request waits for."""
        found: dict[int, tuple[int, int]] = {}
        pending = [(root, self.start[root]) for root in self.linked.root.tolist()]
        while pending:
            i, at = pending.pop()
            found[i] = (at, at + self.length(i))
            pending += [(c, at + self.offset(c)) for c in self.children[i]]
        return found


class Replay:
    """Starts and ends as events that wait for other events; each happens as long after the latest of them as it did.

    All events begin at minus infinity and are moved until nothing changes: no order, no recursion, no tree.
    """

    def __init__(self, linked: Linked, extra: list[int]) -> None:
        self.recorded: dict[tuple[str, int], int] = {}
        self.waits_for: dict[tuple[str, int], list[tuple[tuple[str, int], int]]] = {}  # event, as recorded
        self.extra = extra
        recorder = [bool(linked.evaluation[i]) and i not in linked.parent.tolist() for i in range(len(extra))]
        waited = [
            (int(linked.parent[i]), i)
            for i in range(linked.start.size)
            if linked.parent[i] >= 0 and not linked.detached[i] and not recorder[i]
        ]
        inside = {child for _, child in waited} | set(linked.root.tolist())
        for i in inside:
            self.recorded["start", i], self.recorded["end", i] = int(linked.start[i]), int(linked.end[i])
            self.waits_for["end", i] = [(("start", i), int(linked.start[i]))]
        for parent, child in waited:
            self.waits_for["start", child] = [(("start", parent), int(linked.start[parent]))]
            late = int(linked.end[child] - linked.end[parent])
            if late <= 0:
                self.waits_for["end", parent].append((("end", child), int(linked.end[child])))
            elif linked.service[child] != linked.service[parent] and not linked.failed[parent]:
                self.waits_for["end", parent].append((("end", child), int(linked.end[parent])))
        for parent, child in waited:
            for other, sibling in waited:
                rank = [(self.recorded["start", i], self.recorded["end", i], i) for i in (sibling, child)]
                if other == parent and rank[0] < rank[1] and self.recorded["end", sibling] <= rank[1][0]:
                    self.waits_for["start", child].append((("end", sibling), self.recorded["end", sibling]))

    def times(self) -> dict[int, tuple[int, int]]:
        """Give the new start and end of every span that a request waits for."""
        now = dict.fromkeys(self.recorded, float("-inf"))
        moving = True
        while moving:
            moving = False
            for event, recorded in self.recorded.items():
                before = self.waits_for.get(event)
                if before is None:  # a root starts when it did
                    happens: float = recorded
                else:
                    # A child that outlived its parent counts as having ended with it.
                    happened = max(now[e] + then - self.recorded[e] for e, then in before)
                    happens = happened + recorded - max(then for _, then in before)
                    happens += self.extra[event[1]] if event[0] == "end" else 0
                if happens != now[event]:
                    now[event], moving = happens, True
        return {i: (int(now["start", i]), int(now["end", i])) for kind, i in self.recorded if kind == "start"}


@st.composite
def cases(draw: st.DrawFn, *, tidy: bool = False) -> Case:
    """Draw the spans of one trace, and extra time for each; `tidy` spans lie within their parents."""
    spans: list[Span] = []
    for number in range(1, draw(st.integers(1, 9)) + 1):
        parent = draw(st.integers(1, number - 1)) if number > 1 else None
        low, high = (spans[parent - 1].start, spans[parent - 1].end) if tidy and parent else (0, 24)
        start = draw(st.integers(low, high))
        end = draw(st.integers(start, high))
        span = Span(number, parent, draw(st.sampled_from("abc")), start, end, kind="internal")
        if not tidy:
            kind, failed = draw(st.sampled_from(KINDS)), draw(st.booleans())
            evaluation = draw(st.sampled_from([False] * 7 + [True]))
            span = Span(number, parent, span.service, start, end, kind=kind, failed=failed, evaluation=evaluation)
        spans.append(span)
    if not tidy:
        spans += draw(st.lists(st.sampled_from(spans), max_size=2))  # sent again
    return spans, [draw(st.sampled_from([0, 0, 1, 5, 40])) for _ in spans]


@given(cases())
@settings(max_examples=400)
def test_compiled_retiming_equals_the_references(case: Case) -> None:
    """All three give every span the same start and end, to the nanosecond."""
    spans, extra = case
    linked = linked_of(spans)
    extra = extra[: linked.start.size]
    start, end = retime(linked, np.array(extra, dtype=np.int64))
    replayed = Replay(linked, extra).times()
    assert replayed == Reference(linked, extra).times()
    for i, times in replayed.items():
        assert (start[i], end[i]) == times


@given(cases(), st.data())
@settings(max_examples=300)
def test_kept_trees_take_as_long_as_whole_requests(case: Case, data: st.DataObject) -> None:
    """What is left out of a tree, everything that lies neither above a call nor beside one, changes nothing."""
    linked = linked_of(case[0])
    call = np.array(data.draw(st.lists(st.booleans(), min_size=linked.start.size, max_size=linked.start.size)))
    replayed = Replay(linked, [0] * linked.start.size).times()
    call &= np.isin(np.arange(call.size), list(replayed))  # nobody waits for what only records an evaluation
    trees = Trees.of(linked, np.ones(linked.root.size, dtype=np.bool_), call)
    extra = np.where(call, 7, 0)
    _, end = retime(linked, extra)
    hit = np.unique(linked.request[call])
    assert trees.row.tolist() == hit.tolist()
    inside = np.zeros(trees.parent.size, dtype=np.int64)
    inside[trees.call] = 7
    assert stretched(trees, inside).tolist() == (end - linked.start)[linked.root[hit]].tolist()


@pytest.mark.parametrize("children", [40, 200])
def test_wide_fan_out_equals_the_reference(children: int) -> None:
    """Both ways of sorting children, by insertion and by merging, keep the same order."""
    rng = np.random.default_rng(children)
    starts = (rng.integers(0, 400, children) * 12).tolist()
    spans = [Span(1, None, "a", 0, 5_000)]
    spans += [Span(2 + i, 1, "b", s, s + int(rng.integers(0, 60))) for i, s in enumerate(starts)]
    linked = linked_of(spans)
    extra = rng.integers(0, 30, linked.start.size)
    start, end = retime(linked, extra)
    for i, times in Reference(linked, extra.tolist()).times().items():
        assert (start[i], end[i]) == times


@given(cases())
def test_nothing_moves_without_extra_time(case: Case) -> None:
    """Retiming without a delay returns what was recorded, however odd the recording."""
    linked = linked_of(case[0])
    start, end = retime(linked, np.zeros(linked.start.size, dtype=np.int64))
    assert (start == linked.start).all()
    assert (end == linked.end).all()


@given(cases())
def test_a_root_slows_by_no_more_than_what_was_added_below_it(case: Case) -> None:
    """Parallel work can absorb delays; nothing can multiply them."""
    linked = linked_of(case[0])
    extra = np.array(case[1][: linked.start.size], dtype=np.int64)
    _, end = retime(linked, extra)
    slower = (end - linked.end)[linked.root]
    added = np.zeros(linked.root.size, dtype=np.int64)
    np.add.at(added, linked.request, extra)
    assert (slower >= 0).all()
    assert (slower <= added).all()


@given(cases(tidy=True), st.integers(0, 50))
def test_more_delay_never_ends_earlier(case: Case, more: int) -> None:
    """Ends grow with the delay."""
    linked = linked_of(case[0])
    extra = np.array(case[1][: linked.start.size], dtype=np.int64)
    assert (retime(linked, extra + more)[1] >= retime(linked, extra)[1]).all()
