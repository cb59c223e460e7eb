"""What differs between two graphs as tables, Mermaid and DOT: green is new, red gone, amber changed, grey unsure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceguard.report.diagrams import dot_text, mermaid_text
from traceguard.report.tables import Table
from traceguard.report.wording import clean, count, percent, quantity
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceguard.model import EdgeChange, NodeChange, Traffic, TrafficChange
    from traceguard.report.results import Difference

WORDS = {"new": "new", "vanished": "vanished", "changed": "changed", "not_seen": "not seen"}
_COLOURS = {"new": "#1a7f37", "vanished": "#b42318", "changed": "#b7791f", "not_seen": "#8a8f98"}
_LIMIT = 400


def node_changes(changes: Sequence[NodeChange]) -> Table:
    """A row per node that differs."""
    return _table(("node", ""), [((clean(c.node), WORDS[c.change]), c) for c in changes])


def edge_changes(changes: Sequence[EdgeChange]) -> Table:
    """A row per edge that differs."""
    rows = [((clean(c.source), clean(c.target), c.kind, WORDS[c.change]), c) for c in changes]
    return _table(("caller", "callee", "kind", ""), rows)


def _table(names: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], TrafficChange]]) -> Table:
    columns = (*names, "calls per request", "errors", "p50", "p95")
    body = tuple((*name, *_cells(change)) for name, change in rows)
    return Table(columns, body, frozenset(range(len(names), len(columns))))


def _cells(change: TrafficChange) -> tuple[str, str, str, str]:
    a, b = change.baseline, change.candidate

    def cell(of: str, unit: str) -> str:
        return " → ".join("-" if side is None else _number(side, of, unit) for side in (a, b))

    return (
        cell("calls_per_request", "calls"),
        cell("error_rate", "fraction"),
        cell("p50_ms", "ms"),
        cell("p95_ms", "ms"),
    )


def _number(side: Traffic, of: str, unit: str) -> str:
    value = getattr(side, of)
    return f"{value:.3g}" if unit == "calls" else percent(value) if unit == "fraction" else quantity(value, unit)


def mermaid(result: Difference) -> str:
    """A flowchart of what differs, the busiest 400 edges at most: GitHub refuses to draw more than 500."""
    edges = _drawn(result)
    ids = {name: f"n{index}" for index, name in enumerate(_names(result, edges))}
    changes = {c.node: c.change for c in result.document.nodes}
    lines = ["flowchart LR"]
    if len(edges) < len(result.document.edges):
        lines.append(f"  %% the {len(edges)} busiest of {len(result.document.edges)} differences")
    lines += [f'  {ids[name]}["{mermaid_text(_node_label(name, changes))}"]' for name in ids]
    for edge in edges:
        arrow = "-.->" if edge.kind == "async" else "-->"
        lines.append(f'  {ids[edge.source]} {arrow}|"{mermaid_text(_label(edge))}"| {ids[edge.target]}')
    lines += [
        f"  linkStyle {index} stroke:{_COLOURS[edge.change]},color:{_COLOURS[edge.change]}"
        for index, edge in enumerate(edges)
    ]
    lines += [
        f"  style {ids[name]} stroke:{_COLOURS[change]},color:{_COLOURS[change]}"
        for name, change in changes.items()
        if name in ids
    ]
    return "\n".join(lines) + "\n"


def dot(result: Difference) -> str:
    """A digraph of what differs; asynchronous edges are dashed."""
    edges = list(result.document.edges)
    changes = {c.node: c.change for c in result.document.nodes}
    lines = ["digraph difference {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for name in _names(result, edges):
        colour = f', color="{_COLOURS[changes[name]]}"' if name in changes else ""
        lines.append(f"  {dot_text(name)} [label={dot_text(_node_label(name, changes))}{colour}];")
    for edge in edges:
        colour, dashed = _COLOURS[edge.change], ", style=dashed" if edge.kind == "async" else ""
        paint = f'color="{colour}", fontcolor="{colour}"{dashed}'
        lines.append(f"  {dot_text(edge.source)} -> {dot_text(edge.target)} [label={dot_text(_label(edge))}, {paint}];")
    return "\n".join([*lines, "}"]) + "\n"


def _drawn(result: Difference) -> list[EdgeChange]:
    return sorted(result.document.edges, key=lambda e: -max(t.calls for t in (e.baseline, e.candidate) if t))[:_LIMIT]


def _names(result: Difference, edges: Sequence[EdgeChange]) -> list[str]:
    ends = {name for edge in edges for name in (edge.source, edge.target)}
    shown = ends if len(edges) < len(result.document.edges) else ends | {c.node for c in result.document.nodes}
    return sorted(shown)


def _node_label(name: str, changes: Mapping[str, str]) -> str:
    return f"{name} ({WORDS[changes[name]]})" if name in changes else name


def _label(edge: EdgeChange) -> str:
    calls = _cells(edge)[0].replace("→", "to")
    return f"{WORDS[edge.change]}, {calls} calls per request"


def size(result: Difference) -> str:
    """How many requests each side had, for the head of a text."""
    a, b = result.document.baseline, result.document.candidate
    return f"{counted(a.requests, 'request')} in the baseline, {count(b.requests)} in the candidate"
