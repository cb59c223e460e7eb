"""A graph's edges as rows, one per pair of nodes and kind: a DiGraph holds one edge a pair, which may carry both kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx


def edges_of(graph: nx.DiGraph[Any]) -> list[dict[str, Any]]:
    """Rows with source, target, kind, calls, errors, p50_ms and p95_ms, in the graph's order."""
    rows = []
    for source, target, attributes in graph.edges(data=True):
        numbers = {key: value for key, value in attributes.items() if key != "kinds"}
        kinds = attributes.get("kinds") or {attributes.get("kind", "sync"): numbers}
        rows.extend({"source": source, "target": target, **values, "kind": kind} for kind, values in kinds.items())
    return rows
