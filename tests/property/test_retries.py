"""Retries and the way of errors: the compiled loops against their definitions."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from builders.requests import Span, linked_of
from hypothesis import given, settings
from hypothesis import strategies as st

from traceguard.traces.critical_path import callees, own_time
from traceguard.traces.error_origin import Path, error_origins, error_paths
from traceguard.traces.facts import facts_and_paths, facts_of
from traceguard.traces.link import CLIENT, SERVER, UNSPECIFIED, Linked
from traceguard.traces.retries import retries


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Up to two traces with many short calls below few parents, most of them failed, some of them answered."""
    spans = []
    for trace in range(1, draw(st.integers(1, 2)) + 1):
        spans.append(Span(1, draw(st.sampled_from([None, None, 99])), "a", 0, 30, "r", failed=True, trace=trace))
        for number in range(2, draw(st.integers(2, 16)) + 1):
            start = draw(st.integers(0, 16))
            kind = draw(
                st.sampled_from(["client", "client", "client", "server", "unspecified", "internal", "consumer"])
            )
            spans.append(
                Span(
                    id=number,
                    parent=draw(st.sampled_from([1, 1, 1, 1, 2, 2, 3, 4, 5])),
                    service=draw(st.sampled_from("aab" if kind == "client" else "bcc")),
                    operation=draw(st.sampled_from(["x", "GET"])),
                    start=start,
                    end=start + draw(st.integers(0, 5)),
                    kind=kind,
                    failed=draw(st.integers(0, 3)) > 0,
                    evaluation=draw(st.integers(0, 19)) == 0,
                    trace=trace,
                )
            )
    return spans


def children_of(linked: Linked) -> dict[int, list[int]]:
    """The synchronous children of each span."""
    children: dict[int, list[int]] = {}
    for p in range(linked.parent.size):
        child = int(linked.first_child[p])
        while child >= 0:
            children.setdefault(p, []).append(child)
            child = int(linked.next_sibling[child])
    return children


def slow_retries(linked: Linked, callee: np.ndarray, resent: np.ndarray) -> list[int]:
    """The definition: each call in turn takes the failed call of its operation that ended last and is still free."""
    of = [-1] * linked.parent.size
    names = linked.names.operations

    def is_call(i: int) -> bool:
        p = linked.parent[i]
        elsewhere = linked.kind[i] == UNSPECIFIED and (callee[i] >= 0 or linked.service[i] != linked.service[p])
        return not linked.evaluation[i] and (linked.kind[i] in (CLIENT, SERVER) or bool(elsewhere))

    def same(i: int, j: int) -> bool:
        if linked.operation[i] != linked.operation[j]:
            return False
        if resent[i]:
            return True
        if callee[i] >= 0 and callee[j] >= 0:
            return bool(linked.operation[callee[i]] == linked.operation[callee[j]])
        return names[linked.operation[i]][1] != "GET"

    for children in children_of(linked).values():
        called = [c for c in children if is_call(c)]
        for i in sorted(called, key=lambda c: (linked.start[c], linked.end[c], c)):
            free = [
                j
                for j in called
                if linked.failed[j] and j not in of and linked.end[j] <= linked.start[i] and same(i, j)
                and (linked.end[j], j) < (linked.end[i], i)
            ]  # fmt: skip
            if free:
                of[i] = max(free, key=lambda j: (linked.end[j], j))
    return of


def slow_charges(linked: Linked, callee: np.ndarray, repeated: np.ndarray) -> list[int]:
    """The definition: the caller above the outermost repeated attempt pays for all below it."""
    charged = []
    for i in range(linked.parent.size):
        payer, span, attached = -1, i, True
        has_children = linked.first_child[i] >= 0
        while attached and linked.parent[span] >= 0 and not linked.detached[span]:
            parent = int(linked.parent[span])
            if repeated[span]:
                caller = parent
                while callee[caller] >= 0 and linked.parent[caller] >= 0 and not linked.detached[caller]:
                    caller = int(linked.parent[caller])
                payer = 2 * int(linked.operation[caller])
            span = parent
        charged.append(-1 if linked.evaluation[i] and not has_children else payer)
    return charged


def slow_path(linked: Linked, r: int, handled: np.ndarray, callee: np.ndarray) -> tuple[int, Path]:
    """The definition: down through unhandled failed children, the last to finish first; then the names of the steps."""
    span = int(linked.root[r])
    if not linked.failed[span]:
        return -1, ()
    children = children_of(linked)
    spans = [span]
    while failed := [c for c in children.get(span, []) if linked.failed[c] and not handled[c]]:
        span = max(failed, key=lambda c: (linked.end[c], c))
        spans.append(span)
    steps = [s for s, below in pairwise(spans) if callee[s] != below]
    last = callee[span] if callee[span] >= 0 else span
    return span, tuple(int(linked.operation[s]) for s in (*steps, last))


@settings(max_examples=400)
@given(traces(), st.integers(0, 2**16))
def test_retries_agree_with_the_definition(spans: list[Span], marks: int) -> None:
    """The compiled loops and the quadratic definitions find the same pairs and the same payers."""
    linked = linked_of(spans)
    callee = callees(linked)
    resent = np.array([bool(marks >> (i % 16) & 1) for i in range(linked.parent.size)])
    found = retries(linked, callee, resent)
    assert found.of.tolist() == slow_retries(linked, callee, resent)
    assert found.charged.tolist() == slow_charges(linked, callee, found.repeated)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.booleans()), min_size=33, max_size=60))
def test_many_calls_below_one_parent_agree_with_the_definition(calls: list[tuple[int, int, bool]]) -> None:
    """Parents with more calls than are sorted by insertion follow the same rule."""
    spans = [Span(1, None, "a", 0, 100, "r")]
    spans += [Span(i, 1, "a", s, s + d, "x", "client", failed=f) for i, (s, d, f) in enumerate(calls, 2)]
    linked = linked_of(spans)
    callee, resent = callees(linked), np.zeros(len(spans), dtype=bool)
    assert retries(linked, callee).of.tolist() == slow_retries(linked, callee, resent)


@given(traces())
def test_a_call_repeats_at_most_one_and_is_repeated_at_most_once(spans: list[Span]) -> None:
    """Attempts form chains that go forward in time, of failed calls up to the last."""
    linked = linked_of(spans)
    found = retries(linked, callees(linked))
    pairs = [(int(j), i) for i, j in enumerate(found.of) if j >= 0]
    assert len({j for j, _ in pairs}) == len(pairs)
    for j, i in pairs:
        assert linked.failed[j]
        assert linked.end[j] <= linked.start[i]
        assert linked.parent[i] == linked.parent[j]


@given(traces())
def test_error_paths_agree_with_the_definition(spans: list[Span]) -> None:
    """Origins and paths are those of a walk through lists, and equal paths have equal numbers."""
    linked = linked_of(spans)
    callee = callees(linked)
    handled = retries(linked, callee).repeated
    origin = error_origins(linked, handled)
    numbers, paths = error_paths(linked, origin, callee)
    expected = [slow_path(linked, r, handled, callee) for r in range(linked.root.size)]
    assert origin.tolist() == [o for o, _ in expected]
    assert [paths.get(int(n), ()) for n in numbers] == [path for _, path in expected]
    assert len(set(paths.values())) == len(paths)


@given(traces())
def test_repeated_attempts_move_time_and_lose_none(spans: list[Span]) -> None:
    """Parts still sum to the whole; what waited for repeated attempts is part of them, and is told apart."""
    linked = linked_of(spans)
    facts = facts_of(linked)
    for i in range(facts.dur.size):
        assert facts.time[facts.first[i] : facts.first[i + 1]].sum() == facts.dur[i]
    assert ((facts.attempts >= 0) & (facts.attempts <= facts.time)).all()
    assert (facts.retries <= facts.calls).all()
    within = retries(linked, callees(linked)).charged >= 0
    kept = ~linked.fragment[linked.request]
    assert facts.attempts.sum() == own_time(linked)[within & kept].sum()


@given(traces(), st.randoms(use_true_random=False))
def test_order_of_arrival_changes_no_retry(spans: list[Span], random: object) -> None:
    """Shuffled arrival with repeats gives the same retries, paths and attempts."""
    unique = list({(s.trace, s.id): replace(s) for s in spans}.values())
    shuffled = unique + unique[::2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    (before, known), (after, same) = facts_and_paths(linked_of(unique)), facts_and_paths(linked_of(shuffled))
    assert known == same
    for name in ("retries", "attempts", "path", "timed_out"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
