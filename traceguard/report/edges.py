"""A graph out of its JSON document: what a server answered, as the networkx graph it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceguard.errors import InputError
from traceguard.graph import Sketch
from traceguard.report.results import Slice, Slices
from traceguard.units import Period, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    import networkx as nx


def from_document(document: Mapping[str, Any]) -> nx.DiGraph[str]:
    """The inverse of `documents.graph_document`: nodes and edges with their numbers, both kinds of a pair on one edge.

    InputError where the document is not a graph in node-link form.
    """
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    try:
        for node in document["nodes"]:
            graph.add_node(node["id"], **{key: value for key, value in node.items() if key != "id"})
        for edge in document["edges"]:
            numbers = {key: value for key, value in edge.items() if key not in {"source", "target"}}
            if "sketch" in numbers:
                numbers["sketch"] = Sketch.from_dict(numbers["sketch"])
            if graph.has_edge(edge["source"], edge["target"]):
                graph.edges[edge["source"], edge["target"]]["kinds"][edge["kind"]] = numbers
            else:
                graph.add_edge(edge["source"], edge["target"], **numbers, kinds={edge["kind"]: numbers})
    except (KeyError, TypeError) as error:
        raise InputError(f"The answer is not a service graph ({error!r}); is this a traceguard server?") from None
    return graph


def slices_from_document(document: Mapping[str, Any]) -> Slices:
    """The inverse of `documents.slices_document`. InputError where the document has no slices."""
    try:
        return Slices(
            tuple(
                Slice(
                    Period(parse_time(each["start"], 0), parse_time(each["end"], 0)),
                    each["requests"],
                    from_document(each),
                )
                for each in document["slices"]
            )
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"The answer has no slices of a graph ({error!r}); is this a traceguard server?") from None
