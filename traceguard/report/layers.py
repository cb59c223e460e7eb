"""A layered drawing of a directed graph: which layer and row each node gets, and which places a long edge passes.

The four steps of Sugiyama, Tagawa and Toda (1981). Deterministic: ties go by the order of the graph's nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import networkx as nx

if TYPE_CHECKING:
    from collections.abc import Hashable

_SWEEPS = 12
_SETTLING = 8
_SLACK = 0.12  # of the distance to the next place above that is kept where nothing is in between


@dataclass(frozen=True, slots=True)
class Placed:
    """A layout in layers and rows. `at` gives each node's (layer, row); rows may be fractions.

    `ways` gives for each edge (source, target) the places from its source to its target, both included.
    """

    at: dict[Any, tuple[int, float]]
    ways: dict[tuple[Any, Any], list[tuple[int, float]]]
    layers: int
    rows: float


def place_nodes(graph: nx.DiGraph[Any]) -> Placed:
    """Lay a graph out; it may have cycles, loops and several components."""
    forward = _without_cycles(graph)
    layer = _layers(forward)
    chains = {(a, b): [a, *(("", a, b, i) for i in range(layer[a] + 1, layer[b])), b] for a, b in forward.edges}
    columns: list[list[Hashable]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in forward.nodes:
        columns[layer[node]].append(node)
    for chain in chains.values():
        for place in chain[1:-1]:
            columns[place[3]].append(place)
    before: dict[Hashable, list[Hashable]] = {place: [] for column in columns for place in column}
    after: dict[Hashable, list[Hashable]] = {place: [] for column in columns for place in column}
    for chain in chains.values():
        for a, b in pairwise(chain):
            after[a].append(b)
            before[b].append(a)
    columns = _ordered(columns, before, after)
    rows = _rows(columns, before, after)
    where = {place: (index, rows[place]) for index, column in enumerate(columns) for place in column}
    ways = {}
    for a, b in graph.edges:
        chain = chains.get((a, b)) or list(reversed(chains.get((b, a), [b, a])))
        ways[a, b] = [where[place] for place in chain]
    return Placed({node: where[node] for node in graph.nodes}, ways, len(columns), max(rows.values(), default=0) + 1)


def _without_cycles(graph: nx.DiGraph[Any]) -> nx.DiGraph[Any]:
    """The same nodes with every edge that closes a cycle turned around; loops are left out.

    Walking starts at nodes without callers, then at those that call most more than they are called, so few edges turn.
    """
    result: nx.DiGraph[Any] = nx.DiGraph()
    result.add_nodes_from(graph.nodes)
    order = {node: index for index, node in enumerate(graph.nodes)}
    roots = sorted(
        graph.nodes, key=lambda n: (graph.in_degree(n) > 0, graph.in_degree(n) - graph.out_degree(n), order[n])
    )
    done: set[Hashable] = set()
    open_: set[Hashable] = set()
    for root in roots:
        if root in done:
            continue
        stack = [(root, iter(list(graph.successors(root))))]
        open_.add(root)
        while stack:
            node, callees = stack[-1]
            callee = next(callees, None)
            if callee is None:
                stack.pop()
                open_.discard(node)
                done.add(node)
            elif callee in open_:
                if callee != node:
                    result.add_edge(callee, node)
            else:
                result.add_edge(node, callee)
                if callee not in done:
                    open_.add(callee)
                    stack.append((callee, iter(list(graph.successors(callee)))))
    return result


def _layers(acyclic: nx.DiGraph[Any]) -> dict[Any, int]:
    layer: dict[Any, int] = {}
    for node in nx.topological_sort(acyclic):
        layer[node] = max((layer[caller] + 1 for caller in acyclic.predecessors(node)), default=0)
    return layer


def _ordered(columns: list[list[Any]], before: dict[Any, list[Any]], after: dict[Any, list[Any]]) -> list[list[Any]]:
    """Sort each column by the mean row of its neighbours, sweeping right and left; keep the fewest crossings."""
    best, fewest = [list(c) for c in columns], _crossings(columns, after)
    current = [list(c) for c in columns]
    for sweep in range(_SWEEPS):
        rightwards = sweep % 2 == 0
        indices = range(1, len(current)) if rightwards else range(len(current) - 2, -1, -1)
        neighbours = before if rightwards else after
        for index in indices:
            fixed = current[index - 1 if rightwards else index + 1]
            row = {place: i for i, place in enumerate(fixed)}
            own = {place: i for i, place in enumerate(current[index])}

            def centre(place: Any, row: dict[Any, int] = row, own: dict[Any, int] = own) -> tuple[float, int]:
                rows = [row[n] for n in neighbours[place]]  # noqa: B023  (called before the next sweep)
                return (sum(rows) / len(rows) if rows else float(own[place]), own[place])

            current[index].sort(key=centre)
        crossings = _crossings(current, after)
        if crossings < fewest:
            best, fewest = [list(c) for c in current], crossings
    return best


def _crossings(columns: list[list[Any]], after: dict[Any, list[Any]]) -> int:
    total = 0
    for left, right in pairwise(columns):
        row = {place: i for i, place in enumerate(right)}
        ends = [row[n] for place in left for n in sorted(after[place], key=row.__getitem__)]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _rows(columns: list[list[Any]], before: dict[Any, list[Any]], after: dict[Any, list[Any]]) -> dict[Any, float]:
    """Rows near the middle of each place's neighbours, at least one apart (an empty place needs less), from 0 on."""
    rows = {place: float(i) for column in columns for i, place in enumerate(column)}
    for turn in range(_SETTLING):
        for column in columns if turn % 2 == 0 else list(reversed(columns)):
            wanted = {}
            for place in column:
                around = [rows[n] for n in (*before[place], *after[place])]
                wanted[place] = sum(around) / len(around) if around else rows[place]
            _spread(column, wanted, rows)
    return _compact(columns, rows)


def _compact(columns: list[list[Any]], rows: dict[Any, float]) -> dict[Any, float]:
    """The rows moved together: which of two places in any columns is the lower stays so, empty stripes shrink."""
    above = {place: column[i - 1] if i else None for column in columns for i, place in enumerate(column)}
    ordered = sorted(rows, key=lambda place: rows[place])
    found: dict[Any, float] = {}
    last = None
    for place in ordered:
        row = found[last] + _SLACK * (rows[place] - rows[last]) if last is not None else 0.0
        neighbour = above[place]
        if neighbour is not None:
            row = max(row, found[neighbour] + _distance(neighbour, place))
        found[place] = row
        last = place
    return found


def _spread(column: list[Any], wanted: dict[Any, float], rows: dict[Any, float]) -> None:
    """Give a column rows in its order, as near to `wanted` as the distances allow.

    Places are pushed down until they are far enough apart, then the mean error is taken back.
    """
    last: float | None = None
    previous: Any = None
    for place in column:
        row = wanted[place] if last is None else max(wanted[place], last + _distance(previous, place))
        rows[place] = last = row
        previous = place
    if column:
        shift = sum(rows[p] - wanted[p] for p in column) / len(column)
        for place in column:
            rows[place] -= shift


def _distance(above: Any, below: Any) -> float:
    empty = isinstance(above, tuple) + isinstance(below, tuple)
    return (1.0, 0.7, 0.4)[empty]
