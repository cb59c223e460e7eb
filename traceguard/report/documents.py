"""Documents to JSON: the promise to scripts. One document, in the model's order of fields, and never a NaN."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from traceguard.graph import edges_of, nodes_of

if TYPE_CHECKING:
    import networkx as nx

    from traceguard.model import Document


def plain(document: Document) -> dict[str, Any]:
    """A document as dictionaries and lists; a number that is not finite becomes None, since JSON has no word for it."""
    finite: dict[str, Any] = _finite(document.to_dict())
    return finite


def as_json(document: Document) -> str:
    """A document as JSON text with a closing newline."""
    return dump(plain(document))


def graph_document(graph: nx.DiGraph[Any]) -> dict[str, Any]:
    """networkx's node-link form; one edge per pair of nodes and kind, every attribute of nodes kept."""
    edges = edges_of(graph)
    nodes = nodes_of(graph)
    parallel = len(edges) > graph.number_of_edges()
    document: dict[str, Any] = _finite(
        {"directed": True, "multigraph": parallel, "graph": {}, "nodes": nodes, "edges": edges}
    )
    return document


def graph_json(graph: nx.DiGraph[Any]) -> str:
    """The document of `graph --format json`."""
    return dump(graph_document(graph))


def dump(value: object) -> str:
    """JSON text, indented for people, legible beyond ASCII."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
