"""Reach as a picture: entry points left, the target marked, what it depends on right; and the week as a heat map.

Colours come from the style sheet around them, names from spans are escaped. Equal documents give equal pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape, quoteattr

import networkx as nx

from traceguard.report.layers import place_nodes
from traceguard.report.service_map import BOX_HEIGHT, BOX_WIDTH, MARKERS, place_box, size_of, way
from traceguard.report.wording import clean, count, percent, share_interval, shorten
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import BlastRadius, Gate, HourOfWeek, ReachEdge
    from traceguard.report.layers import Placed

_SHOWN_ENTRIES = 8
_SHOWN_SERVICES = 60
_LETTERS = {"async": "A", "retry": "R", "fallback": "F"}
_CELL_WIDTH, _CELL_HEIGHT, _LEFT, _TOP = 36, 22, 46, 20
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_Node = tuple[str, str, str, str]  # class, name, words below, title


@dataclass(frozen=True, slots=True)
class _Key:
    """What stands for a box: a service, an entry point of one, or something without spans."""

    kind: Literal["service", "entry", "unknown"]
    service: str
    operation: str = ""
    environment: str | None = None


def _service(name: str) -> _Key:
    return _Key("service", name)


def draw_reach(document: BlastRadius) -> str:
    """An `<svg>` of the reach as a layered graph; empty text where no request reaches the target."""
    if not document.entries:
        return ""
    nodes = _nodes(document)
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    pairs = [(e, _service(e.source), _service(e.target)) for e in document.edges if e.source != e.target]
    edges = [(e, a, b) for e, a, b in pairs if a in nodes and b in nodes]
    graph.add_edges_from((a, b) for _, a, b in edges)
    starts = [(key, _service(key.service)) for key in nodes if key.kind == "entry"]
    ends = [(_service(name), _Key("unknown", u.service)) for u in document.unknown for name in u.called_by]
    plain = [(a, b) for a, b in starts + ends if a in nodes and b in nodes]
    graph.add_edges_from(plain)
    placed = place_nodes(graph)
    busiest = max((e.calls for e, _, _ in edges), default=1)
    lines = [_line(way(placed, a, b)[0], "edge", 1.0, "") for a, b in plain]
    lines += [_edge(e, way(placed, a, b)[0], busiest) for e, a, b in edges]
    marks = _gates(document, placed, {(a, b) for _, a, b in edges})
    boxes = [_box(*node, *place_box(*placed.at[key])) for key, node in nodes.items()]
    label = f"Reach: {counted(len(starts), 'entry point')}, {counted(len(edges), 'call')} between services"
    width, height = size_of(placed)
    return (
        f'<svg class="map" role="img" aria-label={quoteattr(label)} viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}"><title>{escape(label)}</title>'
        f"{MARKERS}{''.join(lines)}{''.join(boxes)}{''.join(marks)}</svg>"
    )


def _nodes(document: BlastRadius) -> dict[_Key, _Node]:
    """What is drawn; entry points first, so that they stand left."""
    nodes: dict[_Key, _Node] = {}
    for e in document.entries[:_SHOWN_ENTRIES]:
        title = f"{e.operation} of {e.service}: {share_interval(e.low, e.high)} of {counted(e.requests, 'request')}"
        part = f"{percent(e.fraction)} of {count(e.requests)}"
        nodes[_Key("entry", e.service, e.operation, e.environment)] = ("entry", e.operation, part, title)
    more = len(document.entries) - _SHOWN_ENTRIES
    readers = {n.service for n in document.downstream if n.depth == 1} if document.target.flag else set()
    services: dict[str, _Node] = {}
    for side, neighbours in (("up", document.upstream), ("down", document.downstream)):
        for n in neighbours:
            part = f"{percent(n.fraction)} of {'its' if side == 'up' else 'the'} requests"
            reads = n.service in readers
            words = "reads the flag" if reads else part
            title = f"{n.service}: {part}, {share_interval(n.low, n.high)}"
            services.setdefault(n.service, ("hurt" if reads else "", n.service, words, title))
    shown = sorted(services, key=lambda name: services[name][0] != "hurt")[:_SHOWN_SERVICES]
    nodes |= {_service(name): services[name] for name in shown}
    target = document.target
    if target.service is not None:
        whole = target.operation or "the target"
        nodes[_service(target.service)] = ("hurt", target.service, whole, f"{target.service}: {whole}")
    for name in target.read_by:
        nodes[_service(name)] = ("hurt", name, "will read the flag", f"{name} will read the flag")
    if more > 0:
        service = document.entries[_SHOWN_ENTRIES].service
        title = counted(more, "more entry point")
        nodes[_Key("entry", service)] = ("entry", f"{count(more)} more", "entry points", title)
    for u in document.unknown[:_SHOWN_SERVICES]:
        title = f"{u.service} sent no spans: unknown, not safe; {percent(u.fraction)} of requests come there"
        nodes[_Key("unknown", u.service)] = ("unknown", u.service, "no spans: unknown", title)
    return nodes


def _edge(edge: ReachEdge, path: str, busiest: int) -> str:
    seen = f"{count(edge.stopped)} of {count(edge.errors_seen)} failures stopped here"
    after = seen if edge.errors_seen else "never seen failing"
    title = f"{edge.source} to {edge.target}, {edge.kind}: {counted(edge.calls, 'call')}, {after}"
    width = 1 + 2.5 * (edge.calls / max(busiest, 1)) ** 0.5
    return _line(path, f"edge {edge.kind}{' hurt' if edge.side == 'up' else ''}", width, title)


def _line(path: str, kind: str, width: float, title: str) -> str:
    tip = "tip-hurt" if kind.endswith("hurt") else "tip"
    about = f"<title>{escape(clean(title))}</title>" if title else ""
    return f'<path class="{kind}" d="{path}" stroke-width="{width:.2f}" marker-end="url(#tg-{tip})">{about}</path>'


def _gates(document: BlastRadius, placed: Placed, drawn: set[tuple[_Key, _Key]]) -> list[str]:
    at: dict[tuple[_Key, _Key], list[Gate]] = {}
    for gate in document.gates:
        pair = (_service(gate.source), _service(gate.target))
        if pair in drawn:
            at.setdefault(pair, []).append(gate)
    marks = []
    for pair, gates in at.items():
        x, y = way(placed, *pair)[1]
        for number, gate in enumerate(gates):
            seen = f"{count(gate.stopped)} of {count(gate.errors_seen)} failures" if gate.errors_seen else "none seen"
            title = escape(clean(f"{gate.kind} between {gate.source} and {gate.target}: {seen} stopped"))
            left = x + 20 * (number - (len(gates) - 1) / 2)
            marks.append(
                f'<g class="gate"><title>{title}</title><circle cx="{left:.1f}" cy="{y:.1f}" r="9"/>'
                f'<text x="{left:.1f}" y="{y + 3.6:.1f}">{_LETTERS[gate.kind]}</text></g>'
            )
    return marks


def _box(kind: str, name: str, words: str, title: str, x: float, y: float) -> str:
    corner = 23 if kind == "unknown" else 8
    return (
        f'<g class="node {kind}"><title>{escape(clean(title))}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="{corner}"/>'
        f'<text class="name" x="{x + 14:.1f}" y="{y + 20:.1f}">{escape(shorten(clean(name), 20))}</text>'
        f'<text class="size" x="{x + 14:.1f}" y="{y + 35:.1f}">{escape(shorten(clean(words), 26))}</text></g>'
    )


def draw_week(found: Sequence[HourOfWeek]) -> str:
    """An `<svg>` of seven days by 24 hours: darker where more requests an hour are reached, with the part of all."""
    if not found:
        return ""
    rate = [h.reached / max(h.span_hours, 1 / 60) for h in found]
    most = max(rate) or 1.0
    cells = [_hour(h, each / most) for h, each in zip(found, rate, strict=True)]
    days = [
        f'<text class="day" x="{_LEFT - 8}" y="{_TOP + row * _CELL_HEIGHT + 15}">{day[:3]}</text>'
        for row, day in enumerate(_DAYS)
    ]
    hours = [
        f'<text class="clock" x="{_LEFT + hour * _CELL_WIDTH + _CELL_WIDTH / 2:.0f}" y="13">{hour:02d}</text>'
        for hour in range(24)
    ]
    width, height = _LEFT + 24 * _CELL_WIDTH + 2, _TOP + 7 * _CELL_HEIGHT + 2
    empty = (
        f'<rect class="empty" x="{_LEFT}" y="{_TOP}" width="{24 * _CELL_WIDTH}" height="{7 * _CELL_HEIGHT}" rx="4"/>'
    )
    label = "Part of the requests that reach the target, by weekday and hour"
    return (
        f'<svg class="week" role="img" aria-label="{label}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><title>{label}</title>{empty}{"".join(days)}{"".join(hours)}{"".join(cells)}</svg>'
    )


def _hour(of: HourOfWeek, strength: float) -> str:
    x, y = _LEFT + of.hour * _CELL_WIDTH, _TOP + _DAYS.index(of.weekday) * _CELL_HEIGHT
    title = (
        f"{of.weekday} {of.hour:02d} h: {count(of.reached)} of {counted(of.requests, 'request')} "
        f"({share_interval(of.low, of.high)}), {counted(of.units, 'user')}, in {of.span_hours:.3g} h"
    )
    return (
        f'<g class="hour"><title>{escape(title)}</title><rect x="{x + 1}" y="{y + 1}" width="{_CELL_WIDTH - 2}" '
        f'height="{_CELL_HEIGHT - 2}" rx="3" fill-opacity="{0.1 + 0.55 * strength:.3f}"/>'
        f'<text x="{x + _CELL_WIDTH / 2:.0f}" y="{y + 15}">{round(of.fraction * 100)}%</text></g>'
    )
