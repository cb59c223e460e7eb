"""The service map as SVG, laid out here: a page carries a picture, never a layout engine.

Layers from left to right (Sugiyama's method): edges that close a cycle are turned for the layout only, each node
stands one layer right of its furthest caller, long edges pass through empty places, and rows are ordered by
barycentres with few crossings. Equal graphs give equal pictures. Names from spans are escaped; colours come from the
page's style sheet, so a map is dark where the page is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import networkx as nx

from traceguard.graph import edges_of
from traceguard.report.diagrams import edge_label
from traceguard.report.layers import Placed, place_nodes
from traceguard.report.wording import clean, count, percent, quantity, shorten
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

BOX_WIDTH, BOX_HEIGHT = 188, 46
_GAP_X, _GAP_Y, _MARGIN = 72, 22, 14
_LIMIT = 80
_NEAR = 15  # nodes of the part of a larger one
SMALL = 26  # nodes of a map that is drawn whole beside other pictures
_SMALLEST = 0.72  # of its natural size; a narrower page scrolls the map, which must stay legible
_NAME_WIDTH, _SIZE_WIDTH = 20, 24


@dataclass(frozen=True, slots=True)
class Damage:
    """What a map points out: blamed services with a few words each, and the pairs of services on the way to them."""

    notes: Mapping[str, str] = field(default_factory=dict)
    path: frozenset[tuple[str, str]] = frozenset()


def damage(graph: nx.DiGraph[Any], blamed: Mapping[str, str], entries: Mapping[str, list[str]]) -> Damage:
    """The shortest way from the entry services of a cause to its service, for every blamed service in the graph.

    `blamed` gives each blamed service its words, `entries` the services where the requests came in that it hurt.
    """
    steps: set[tuple[str, str]] = set()
    for service in blamed:
        for start in entries.get(service, []):
            if start in graph and service in graph and nx.has_path(graph, start, service):
                steps.update(pairwise(nx.shortest_path(graph, start, service)))
    return Damage({name: words for name, words in blamed.items() if name in graph}, frozenset(steps))


def draw(graph: nx.DiGraph[Any], pointed_out: Damage | None = None, *, alone: bool = True) -> str:
    """An `<svg>` of the graph: at most the 80 busiest nodes, and all that `pointed_out` names.

    One that is not `alone` on its page uses the arrow heads of `markers`. Empty text for an empty graph.
    """
    if not graph.number_of_nodes():
        return ""
    marks = pointed_out or Damage()
    shown = graph.subgraph(chosen(graph, marks, _LIMIT))
    placed = place_nodes(shown)
    edges = edges_of(shown)
    busiest = max((e.get("calls", 0) for e in edges), default=1) or 1
    lines = [
        _edge(e, placed, marks, busiest) for e in sorted(edges, key=lambda e: (e["source"], e["target"]) in marks.path)
    ]
    nodes = [_node(str(name), attributes, placed, marks) for name, attributes in shown.nodes(data=True)]
    width, height = size_of(placed)
    label = (
        f"Service map: {shown.number_of_nodes()} of {graph.number_of_nodes()} services and {len(edges)} dependencies"
    )
    return (
        f'<svg class="map" role="img" aria-label={quoteattr(label)} viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" style="min-width:{min(width, max(620, width * _SMALLEST)):.0f}px">'
        f"<title>{escape(label)}</title>{MARKERS if alone else ''}{''.join(lines)}{''.join(nodes)}</svg>"
    )


def neighbourhood(graph: nx.DiGraph[Any], marks: Damage) -> nx.DiGraph[Any]:
    """The graph itself where it has at most `SMALL` nodes, else the way of the damage with what lies beside it.

    Beside it are the callers and callees of the blamed nodes, then those of the others on the way, the busiest first.
    """
    if graph.number_of_nodes() <= SMALL:
        return graph
    way = set(marks.notes) | {name for step in marks.path for name in step}
    calls: dict[str, tuple[int, float]] = {}
    for edge in edges_of(graph):
        for one, other in ((edge["source"], edge["target"]), (edge["target"], edge["source"])):
            if one in way and other not in way:
                near, busy = calls.get(other, (1, 0.0))
                calls[other] = (min(near, int(one not in marks.notes)), max(busy, float(edge.get("calls", 0))))
    beside = sorted(calls, key=lambda name: (calls[name][0], -calls[name][1], name))
    return graph.subgraph(way | set(beside[: max(_NEAR - len(way), 0)]))


def markers() -> str:
    """The arrow heads that all maps of a page share, as an invisible drawing."""
    return f'<svg class="map sheet" width="0" height="0" aria-hidden="true">{MARKERS}</svg>'


MARKERS = "<defs>" + "".join(
    f'<marker id="tg-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    f'markerUnits="userSpaceOnUse" orient="auto"><path class="{name}" d="M0 0.5L8 4L0 7.5z"/></marker>'
    for name in ("tip", "tip-hurt")
) + "</defs>"  # fmt: skip


def chosen(graph: nx.DiGraph[Any], marks: Damage, limit: int) -> list[str]:
    """The `limit` busiest nodes, and all that `marks` names."""
    needed = set(marks.notes) | {name for step in marks.path for name in step}
    weight = {name: attributes.get("spans", 0) for name, attributes in graph.nodes(data=True)}
    for edge in edges_of(graph):
        weight[edge["target"]] = max(weight[edge["target"]], edge.get("calls", 0))
    ordered = sorted(graph.nodes, key=lambda name: (name not in needed, -weight[name], str(name)))
    return ordered[: max(limit, len(needed))]


def size_of(placed: Placed) -> tuple[float, float]:
    """Width and height of a picture of boxes."""
    width = placed.layers * (BOX_WIDTH + _GAP_X) - _GAP_X + 2 * _MARGIN
    return width, placed.rows * (BOX_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _MARGIN


def place_box(layer: float, row: float) -> tuple[float, float]:
    """The upper left corner of the box of a node."""
    return _x(layer), _y(row) - BOX_HEIGHT / 2


def _x(layer: float) -> float:
    return _MARGIN + layer * (BOX_WIDTH + _GAP_X)


def _y(row: float) -> float:
    return _MARGIN + row * (BOX_HEIGHT + _GAP_Y) + BOX_HEIGHT / 2


def _node(name: str, attributes: Mapping[str, Any], placed: Placed, marks: Damage) -> str:
    x, y = place_box(*placed.at[name])
    kind = str(attributes.get("type", "service"))
    note = marks.notes.get(name)
    hurt = " hurt" if note else " on-path" if any(name in step for step in marks.path) else ""
    spans, errors = attributes.get("spans", 0), attributes.get("errors", 0)
    size = counted(spans, "span") if spans else kind
    failed = f", {percent(errors / spans)} err" if spans and errors else ""
    latency = f", p95 {quantity(attributes['p95_ms'], 'ms')}" if attributes.get("p95_ms") is not None else ""
    under = note_of(attributes, note)
    round_corner = 8 if kind == "service" else 23
    return (
        f'<g class="node{hurt}"><title>{escape(clean(name))}: {escape(size + failed + latency)}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="{round_corner}"/>'
        f'<text class="name" x="{x + 14:.1f}" y="{y + 20:.1f}">{escape(shorten(clean(name), _NAME_WIDTH))}</text>'
        f'<text class="size" x="{x + 14:.1f}" y="{y + 35:.1f}">{escape(shorten(clean(under), _SIZE_WIDTH))}</text></g>'
    )


def note_of(attributes: Mapping[str, Any], why: str | None) -> str:
    """The line below a node's name: why it is pointed out, else how many spans it sent and how many failed."""
    spans, errors = attributes.get("spans", 0), attributes.get("errors", 0)
    if why or not spans:
        return why or str(attributes.get("type", "service"))
    return f"{_short_count(spans)} spans{f', {percent(errors / spans)} err' if errors else ''}"


def edge_width(edge: Mapping[str, Any], busiest: int) -> float:
    """The width of a line, by calls."""
    return float(1 + 2.5 * (edge.get("calls", 0) / busiest) ** 0.5)


def _edge(edge: dict[str, Any], placed: Placed, marks: Damage, busiest: int) -> str:
    source, target = edge["source"], edge["target"]
    hurt = (source, target) in marks.path
    path, _ = way(placed, source, target)
    kind = f"edge {edge['kind']}{' hurt' if hurt else ''}"
    title = escape(f"{clean(str(source))} to {clean(str(target))}, {edge['kind']}: {edge_label(edge)}")
    tip = "tip-hurt" if hurt else "tip"
    return (
        f'<path class="{kind}" d="{path}" stroke-width="{edge_width(edge, busiest):.2f}" marker-end="url(#tg-{tip})">'
        f"<title>{title}</title></path>"
    )


def way(placed: Placed, source: Any, target: Any) -> tuple[str, tuple[float, float]]:
    """The line of an edge as an SVG path, and a point amid it."""
    points = [(_x(layer), _y(row)) for layer, row in placed.ways[source, target]]
    if source == target:
        return _loop(points[0]), (points[0][0] + BOX_WIDTH / 2, points[0][1] - BOX_HEIGHT / 2 - 12)
    forward = points[-1][0] > points[0][0]
    start = (points[0][0] + (BOX_WIDTH if forward else 0), points[0][1])
    end = (points[-1][0] + (0 if forward else BOX_WIDTH), points[-1][1])
    stops = [start]
    for x, y in points[1:-1]:  # an empty place is crossed straight, as wide as a box
        stops += [(x, y), (x + BOX_WIDTH, y)] if forward else [(x + BOX_WIDTH, y), (x, y)]
    stops.append(end)
    # Amid the last gap, where the line enters the callee's layer: there no box lies over it.
    (x0, y0), (x1, y1) = stops[-2:]
    return _curve(stops), ((x0 + x1) / 2, (y0 + y1) / 2)


def _curve(stops: list[tuple[float, float]]) -> str:
    parts = [f"M{stops[0][0]:.1f} {stops[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(stops):
        middle = (x0 + x1) / 2
        parts.append(
            f"L{x1:.1f} {y1:.1f}" if y0 == y1 else f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
        )
    return "".join(parts)


def _loop(at: tuple[float, float]) -> str:
    x, y = at[0] + BOX_WIDTH / 2, at[1] - BOX_HEIGHT / 2
    return f"M{x - 16:.1f} {y:.1f}C{x - 16:.1f} {y - 16:.1f} {x + 16:.1f} {y - 16:.1f} {x + 16:.1f} {y:.1f}"


def _short_count(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return count(value)
