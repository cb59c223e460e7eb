"""A dependency graph as Mermaid (pull requests, wikis) and as DOT (Graphviz): the same nodes, edges and numbers.

Node names come from spans. Ids are made up (`n0`, `n1`), and labels are escaped for the language they stand in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceguard.graph import edges_of
from traceguard.report.wording import clean, count, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Collection

    import networkx as nx

_MERMAID_SHAPES = {"database": ("[(", ")]"), "cache": ("[(", ")]"), "queue": ("[/", "/]"), "external": ("([", "])")}
_DOT_SHAPES = {"database": "cylinder", "cache": "cylinder", "queue": "cds", "external": "ellipse"}


def mermaid(graph: nx.DiGraph[Any], blamed: Collection[str] = (), limit: int = 400) -> str:
    """A flowchart from left to right; asynchronous edges are dotted, services in `blamed` are red.

    At most the `limit` busiest edges are drawn: GitHub refuses to draw more than 500.
    """
    edges = sorted(edges_of(graph), key=lambda e: -e.get("calls", 0))
    drawn = edges[:limit]
    ids = {name: f"n{index}" for index, name in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    if len(edges) > limit:
        lines.append(f"  %% the {limit} busiest of {len(edges)} dependencies")
    shown = {e["source"] for e in drawn} | {e["target"] for e in drawn} if len(edges) > limit else set(graph.nodes)
    for name, attributes in graph.nodes(data=True):
        if name in shown:
            left, right = _MERMAID_SHAPES.get(str(attributes.get("type")), ("[", "]"))
            lines.append(f'  {ids[name]}{left}"{mermaid_text(str(name))}"{right}')
    for edge in drawn:
        arrow = "-.->" if edge["kind"] == "async" else "-->"
        lines.append(f'  {ids[edge["source"]]} {arrow}|"{mermaid_text(edge_label(edge))}"| {ids[edge["target"]]}')
    red = [ids[name] for name in graph.nodes if name in blamed and name in shown]
    if red:
        lines += ["  classDef blamed fill:#fde2e1,stroke:#b42318,color:#7a1610", f"  class {','.join(red)} blamed"]
    return "\n".join(lines) + "\n"


def dot(graph: nx.DiGraph[Any]) -> str:
    """A digraph from left to right; asynchronous edges are dashed."""
    lines = ["digraph dependencies {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for name, attributes in graph.nodes(data=True):
        shape = _DOT_SHAPES.get(str(attributes.get("type")))
        lines.append(f"  {dot_text(str(name))}{f' [shape={shape}]' if shape else ''};")
    for edge in edges_of(graph):
        style = ", style=dashed" if edge["kind"] == "async" else ""
        ends = f"{dot_text(str(edge['source']))} -> {dot_text(str(edge['target']))}"
        lines.append(f"  {ends} [label={dot_text(edge_label(edge))}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def edge_label(edge: dict[str, Any]) -> str:
    """Calls, the 95th percentile of their latency, and the share that failed where any did."""
    parts = [f"{count(edge.get('calls', 0))} calls"]
    if edge.get("p95_ms") is not None:
        parts.append(f"p95 {quantity(edge['p95_ms'], 'ms')}")
    if edge.get("errors"):
        parts.append(f"{percent(edge['errors'] / max(edge.get('calls', 0), 1))} errors")
    return ", ".join(parts)


def mermaid_text(text: str) -> str:
    """Mermaid's own entity codes for everything that could end a label or start markup."""
    return "".join(c if c.isalnum() or c in " ._/:,%-" else f"#{ord(c)};" for c in clean(text))


def dot_text(text: str) -> str:
    """A quoted string of DOT."""
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
