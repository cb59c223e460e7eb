"""The service map of the live page, as what its script draws: nodes and calls as plain text and numbers.

ELK lays it out in the browser, Cytoscape.js draws it. Ids are made up, so that no name from a span is ever read as
anything but text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceguard.graph import edges_of
from traceguard.report.diagrams import edge_label
from traceguard.report.service_map import Damage, chosen, edge_width, note_of
from traceguard.report.wording import clean, count, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import networkx as nx

LIMIT = 150  # nodes: with 300 edges between any of them they are laid out in some two seconds on a busy laptop
_KINDS = {
    "service": "service", "database": "database, sends no spans", "cache": "cache, sends no spans",
    "queue": "queue, sends no spans", "external": "external, sends no spans",
}  # fmt: skip
_CALLS = {"sync": "waits for the answer", "async": "asynchronous"}


def drawn_from(
    graph: nx.DiGraph[Any], marks: Damage, links: Callable[[str], list[tuple[str, str]]]
) -> dict[str, list[dict[str, Any]]]:
    """Nodes and edges of the map; `links` gives the views of a service as (label, address)."""
    shown = graph.subgraph(chosen(graph, marks, LIMIT))
    ids = {name: f"n{number}" for number, name in enumerate(shown.nodes)}
    way = {name for step in marks.path for name in step}
    nodes = [
        _node(ids[name], str(name), attributes, marks, on_way=name in way, links=links)
        for name, attributes in shown.nodes(data=True)
    ]
    edges = edges_of(shown)
    busiest = max((edge.get("calls", 0) for edge in edges), default=1) or 1
    return {"nodes": nodes, "edges": [_edge(f"e{n}", edge, ids, marks, busiest) for n, edge in enumerate(edges)]}


def _node(
    number: str, name: str, attributes: Mapping[str, Any], marks: Damage, *, on_way: bool,
    links: Callable[[str], list[tuple[str, str]]],
) -> dict[str, Any]:  # fmt: skip
    kind = str(attributes.get("type", "service"))
    why = marks.notes.get(name)
    spans, errors = attributes.get("spans", 0), attributes.get("errors", 0)
    facts = [("spans", count(spans)), ("failed", percent(errors / spans))] if spans else []
    return {
        "id": number, "name": clean(name), "type": kind, "kind": _KINDS.get(kind, kind),
        "facts": [*facts, *_latency(attributes)],
        "note": clean(note_of(attributes, why)), "why": clean(why or ""),
        "mark": "hurt" if why else "way" if on_way else "", "links": links(name) if kind == "service" else [],
    }  # fmt: skip


def _edge(
    number: str, edge: dict[str, Any], ids: Mapping[Any, str], marks: Damage, busiest: int
) -> dict[str, Any]:  # fmt: skip
    calls, errors = edge.get("calls", 0), edge.get("errors", 0)
    facts = [("calls", count(calls)), ("failed", percent(errors / max(calls, 1))), *_latency(edge)]
    return {
        "id": number, "source": ids[edge["source"]], "target": ids[edge["target"]], "kind": edge["kind"],
        "type": _CALLS.get(edge["kind"], edge["kind"]), "label": edge_label(edge), "facts": facts,
        "width": round(edge_width(edge, busiest), 2),
        "mark": "way" if (edge["source"], edge["target"]) in marks.path else "",
    }  # fmt: skip


def _latency(of: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Median and 95th percentile, where they are known."""
    named = (("median", "p50_ms"), ("p95", "p95_ms"))
    return [(label, quantity(of[key], "ms")) for label, key in named if of.get(key) is not None]
