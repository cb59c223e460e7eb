"""The service map of the stretch of time, with the ways to the first causes."""

from typing import TYPE_CHECKING

from traceguard.report import live

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit


def view(visit: "Visit") -> str:
    """The view with the map."""
    return live.view(
        "later", visit.frame("/map", "Service map"), content=drawn(visit) if visit.judged else "",
        part=visit.filters.link("/part/map"), wait=visit.filters.link("/map", wait=1),
        lead="Who calls whom, and the ways to the first three causes.", doing="Drawing the map",
    )  # fmt: skip


def drawn(visit: "Visit") -> str:
    """The map and its tables."""
    from traceguard.report import tables
    from traceguard.report.pages import damage_of, draw_map
    from traceguard.report.wording import graph_size

    analysis = visit.judged.analysis if visit.judged else None
    graph = analysis.graph if analysis else None
    if analysis is None or graph is None or not graph:
        return live.part(
            "empty", sentence=(visit.judged.note if visit.judged else "") or "No service sent a span here."
        )
    return live.part(
        "map", map=draw_map(graph, damage_of(graph, analysis.document.causes)), size=graph_size(graph),
        nodes=tables.graph_nodes(graph), edges=tables.graph_edges(graph),
    )  # fmt: skip
