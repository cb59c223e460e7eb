"""The graph agrees with a slow and obvious count on random requests; its slices sum to the whole; comparing mirrors."""

from collections import Counter
from typing import Any

from builders.graphs import Row, append, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from traceguard.graph import Sketch, build, build_slices, edges_of, nodes_of
from traceguard.graph.difference import Side, difference, sides
from traceguard.store import open_store
from traceguard.units import Period

KINDS = ["server", "client", "internal", "producer", "consumer"]
Key = tuple[str, str, str]


@st.composite
def traffic(draw: st.DrawFn) -> list[Row]:
    """Draw requests of services a to c with two operations each, some parents missing, some spans repeated."""
    rows = []
    for trace in range(draw(st.integers(1, 6))):
        begun = draw(st.integers(0, 99))
        for number in range(draw(st.integers(1, 7))):
            parent = draw(st.one_of(st.integers(0, number - 1), st.just(99))) if number else None
            row = make_row(
                f"{number:02}", None if parent is None else f"{parent:02}", draw(st.sampled_from("abc")),
                trace_id=f"{trace:032x}", operation=draw(st.sampled_from("xy")), kind=draw(st.sampled_from(KINDS)),
                start_ns=begun + number, dur_ns=draw(st.integers(0, 5_000)),
                status=draw(st.sampled_from(["unset", "error"])), evaluation_only=draw(st.integers(0, 9)) == 9,
            )  # fmt: skip
            rows += [row] * draw(st.integers(1, 2))
    return rows


def slow_edges(rows: list[Row], *, by_operation: bool) -> dict[Key, tuple[int, int]]:
    """Count calls and failed calls of each edge, one span after the other."""

    def node(row: Row) -> str:
        return f"{row['service']} / {row['operation']}" if by_operation else str(row["service"])

    spans = {(row["trace_id"], row["span_id"]): row for row in rows}
    calls: Counter[Key] = Counter()
    errors: Counter[Key] = Counter()
    for row in spans.values():
        parent = spans.get((row["trace_id"], row["parent_span_id"]))
        if row["evaluation_only"] or parent is None or parent["evaluation_only"] or node(parent) == node(row):
            continue
        kind = "async" if row["kind"] == "consumer" or parent["kind"] == "producer" else "sync"
        calls[node(parent), node(row), kind] += 1
        errors[node(parent), node(row), kind] += row["status"] == "error"
    return {key: (calls[key], errors[key]) for key in calls}


def counted(edges: list[dict[str, Any]]) -> dict[Key, tuple[int, int]]:
    """Give the calls and failed calls of edges by their ends and kind."""
    return {(e["source"], e["target"], e["kind"]): (e["calls"], e["errors"]) for e in edges}


@given(traffic(), st.booleans())
@settings(max_examples=60)
def test_edges_are_those_of_a_slow_count(rows: list[Row], by_operation: bool) -> None:
    """Calls and errors of every edge at both levels; the nodes' spans sum to the distinct spans."""
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        append(store, rows)
        graph = build(cursor, Period(), level="operation" if by_operation else "service")
    assert counted(edges_of(graph)) == slow_edges(rows, by_operation=by_operation)
    assert sum(n["spans"] for n in nodes_of(graph)) == len({(row["trace_id"], row["span_id"]) for row in rows})


@given(traffic(), st.integers(1, 120), st.sampled_from(["service", "operation"]))
@settings(max_examples=60)
def test_slices_sum_to_the_whole(rows: list[Row], every_ns: int, level: str) -> None:
    """Requests, spans, calls, errors and sketches of all slices add up to those of the graph without slices."""
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        append(store, rows)
        whole = build(cursor, Period(), level=level, sketches=True)
        slices = build_slices(cursor, Period(), every_ns=every_ns, level=level, sketches=True)
    totals: Counter[tuple[Key, str]] = Counter()
    merged: dict[Key, Sketch] = {}
    spans: Counter[str] = Counter()
    for _, _, graph in slices:
        for edge in edges_of(graph):
            key = edge["source"], edge["target"], edge["kind"]
            totals.update({(key, name): edge[name] for name in ("calls", "errors")})
            merged[key] = merged.get(key, Sketch()) + edge["sketch"]
        spans.update({node["id"]: node["spans"] for node in nodes_of(graph)})
    expected = counted(edges_of(whole))
    assert {key: (totals[key, "calls"], totals[key, "errors"]) for key in merged} == expected
    assert merged == {(e["source"], e["target"], e["kind"]): e["sketch"] for e in edges_of(whole)}
    assert {key: sketch.calls for key, sketch in merged.items()} == {key: calls for key, (calls, _) in expected.items()}
    assert spans == {node["id"]: node["spans"] for node in nodes_of(whole)}
    assert sum(n for _, n, _ in slices) == len({row["trace_id"] for row in rows})


@st.composite
def side(draw: st.DrawFn) -> Side:
    """Draw the sums over the requests of one side, as `queries/graph/sides.sql` would give them."""
    requests = draw(st.integers(1, 80))
    sums = {}
    for key in draw(st.sets(st.sampled_from([(None, "b", None), ("a", "b", "sync"), ("a", "c", "async")]))):
        calls = draw(st.lists(st.integers(1, 9), min_size=1, max_size=requests))
        failed = [draw(st.integers(0, n)) for n in calls]
        sums[key] = {
            "requests": len(calls), "calls": sum(calls), "errors": sum(failed),
            "calls_squared": sum(n * n for n in calls), "errors_squared": sum(n * n for n in failed),
            "calls_errors": sum(n * m for n, m in zip(calls, failed, strict=True)), "p50_ms": 1.0, "p95_ms": 2.0,
        }  # fmt: skip
    return Side(Period(0, 1), requests, sums)


@given(side(), side())
def test_a_comparison_turned_round_is_its_mirror(a: Side, b: Side) -> None:
    """New becomes vanished and back, sides swap, changes turn their sign; a side against itself shows nothing."""
    there, back = difference(a, b), difference(b, a)
    turned = {"new": "vanished", "vanished": "new", "changed": "changed", "not_seen": "not_seen"}
    mirror = {
        (e.source, e.target): (turned[e.change], e.candidate, e.baseline, -e.delta, -e.high, -e.low, e.q_calls)
        for e in back.edges
    }
    assert mirror == {
        (e.source, e.target): (e.change, e.baseline, e.candidate, e.delta, e.low, e.high, e.q_calls)
        for e in there.edges
    }
    assert {(n.node, turned[n.change]) for n in back.nodes} == {(n.node, n.change) for n in there.nodes}
    assert (there.unchanged_edges, there.unchanged_nodes) == (back.unchanged_edges, back.unchanged_nodes)
    same = difference(a, a)
    assert (same.nodes, same.edges) == ([], [])


@given(traffic())
@settings(max_examples=40)
def test_the_sums_of_a_side_are_those_of_a_slow_count(rows: list[Row]) -> None:
    """Requests, calls and squares of every edge on the baseline's side, counted request by request."""
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        append(store, rows)
        found, other = sides(cursor, Period(0, 1_000), Period(1_000, 2_000))
    traces = sorted({row["trace_id"] for row in rows})
    each = [slow_edges([row for row in rows if row["trace_id"] == trace], by_operation=False) for trace in traces]
    assert (found.requests, other.requests, other.sums) == (len(traces), 0, {})
    edges = {key: sums for key, sums in found.sums.items() if key[0] is not None}
    assert set(edges) == {key for edge in each for key in edge}
    for key, sums in edges.items():
        pairs = [edge[key] for edge in each if key in edge]
        assert sums["requests"] == len(pairs)
        assert sums["calls"] == sum(n for n, _ in pairs)
        assert sums["calls_squared"] == sum(n * n for n, _ in pairs)
        assert sums["errors_squared"] == sum(m * m for _, m in pairs)
        assert sums["calls_errors"] == sum(n * m for n, m in pairs)
