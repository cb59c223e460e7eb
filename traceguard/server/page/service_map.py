"""The service map of the stretch of time, with the ways to the first causes."""

from dataclasses import replace
from typing import TYPE_CHECKING

from traceguard.report import live

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit


def view(visit: "Visit") -> str:
    """The view with the map."""
    return live.view(
        "later", visit.frame("/map", "Service map", narrow=False), content=drawn(visit) if visit.judged else "",
        part=visit.filters.link("/part/map"), wait=visit.filters.link("/map", wait=1),
        lead="Who calls whom, and the ways to the first three causes.", doing="Drawing the map",
    )  # fmt: skip


def drawn(visit: "Visit") -> str:
    """The map and its tables."""
    from traceguard.report import tables
    from traceguard.report.live_map import drawn_from
    from traceguard.report.pages import damage_of, draw_map, embedded
    from traceguard.report.wording import graph_size

    analysis = visit.judged.analysis if visit.judged else None
    graph = analysis.graph if analysis else None
    if analysis is None or graph is None or not graph:
        return live.part(
            "empty", sentence=(visit.judged.note if visit.judged else "") or "No service sent a span here."
        )
    damage = damage_of(graph, analysis.document.causes)
    data = drawn_from(graph, damage, lambda service: _views(visit, service))
    return live.part(
        "map", map=draw_map(graph, damage), data=data, embedded=embedded(data), size=graph_size(graph),
        left=len(graph) - len(data["nodes"]), nodes=tables.graph_nodes(graph), edges=tables.graph_edges(graph),
    )  # fmt: skip


def _views(visit: "Visit", service: str) -> list[tuple[str, str]]:
    """Where to look next at a service."""
    of = replace(visit.filters, service=service)
    alone = replace(visit.filters, service="", flag="", entry="")
    return [
        ("Requests", of.link("/requests")), ("Causes", of.link("/causes")), ("Traffic", of.link("/")),
        ("Blast radius", alone.link("/blast-radius", service=service)),
        ("What if", alone.link("/what-if", service=service)), ("Plan", alone.link("/plan", service=service)),
    ]  # fmt: skip
