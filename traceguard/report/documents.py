"""Documents to JSON: the promise to scripts. One document, in the model's order of fields, and never a NaN."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from traceguard.graph import Sketch, edges_of, nodes_of
from traceguard.units import format_time

if TYPE_CHECKING:
    import networkx as nx

    from traceguard.model import Document
    from traceguard.report.results import Slices


_COUNTS = re.compile(r'"counts": \[[\d,\s]*\]')


def plain(document: Document) -> dict[str, Any]:
    """A document as dictionaries and lists; a number that is not finite becomes None, since JSON has no word for it."""
    finite: dict[str, Any] = _finite(document.to_dict())
    return finite


def as_json(document: Document) -> str:
    """A document as JSON text with a closing newline."""
    return dump(plain(document))


def graph_document(graph: nx.DiGraph[Any]) -> dict[str, Any]:
    """networkx's node-link form; one edge per pair of nodes and kind, every attribute of nodes kept.

    `model.Graph` says what stands in it. A graph that somebody added attributes to is written with them.
    """
    edges = edges_of(graph)
    nodes = nodes_of(graph)
    parallel = len(edges) > graph.number_of_edges()
    document: dict[str, Any] = _finite(
        {"directed": True, "multigraph": parallel, "graph": {}, "nodes": nodes, "edges": edges}
    )
    return document


def slices_document(slices: Slices) -> dict[str, Any]:
    """The graphs of all slices of time, each with its period, requests, nodes and edges: see `model.GraphSlices`."""
    found: dict[str, Any] = _finite(
        {
            "slices": [
                {
                    "start": format_time(each.period.start_ns), "end": format_time(each.period.end_ns),
                    "requests": each.requests, "nodes": nodes_of(each.graph), "edges": edges_of(each.graph),
                }
                for each in slices
            ]
        }
    )  # fmt: skip
    return found


def slices_json(slices: Slices) -> str:
    """The document of `graph --every --format json`."""
    return dump(slices_document(slices))


def graph_json(graph: nx.DiGraph[Any]) -> str:
    """The document of `graph --format json`."""
    return dump(graph_document(graph))


def dump(value: object) -> str:
    """JSON text, indented for people, legible beyond ASCII; the counts of a sketch stay on one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Counts are whole numbers, so no text of a span can look like this: its quotes and line breaks are escaped.
    return _COUNTS.sub(lambda match: re.sub(r"\s+", " ", match[0]).replace("[ ", "[").replace(" ]", "]"), text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sketch):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
