"""The service dependency graph: who calls whom, how often, how slowly, how wrongly.

Built by set SQL over distinct spans (`queries/graph`). What always holds: the spans of all nodes sum to the window's
distinct spans; what a retry repeated counts once; a call is a span whose parent ran in another service, or that a span
link ties to one. Databases, caches, queues and external systems send no spans: they are inferred from the client spans
that no other service answered, and have none.
"""

from typing import TYPE_CHECKING, Any

from traceguard.store import queries

if TYPE_CHECKING:
    import duckdb
    import networkx as nx

    from traceguard.units import Period

_TABLES = ("graph_calls", "graph_spans")


def build(cursor: "duckdb.DuckDBPyConnection", period: "Period", environment: str | None = None) -> "nx.DiGraph[str]":
    """The graph of the requests whose root started in `period`; in one deployment environment, or in all with None.

    Nodes carry `spans`, `errors`, `calls` (calls that enter it), `p50_ms`, `p95_ms` (of those calls), `type` (service,
    database, cache, queue, external) and `inferred`. Edges carry `kind`, `calls`, `errors`, `p50_ms`, `p95_ms`; where a
    pair of nodes is joined both ways, the synchronous numbers, with those of every kind under `kinds` (see `edges_of`).
    Temporary tables on `cursor` are dropped again.
    """
    import networkx as nx

    window = {"start_ns": period.start_ns, "end_ns": period.end_ns, "environment": environment}
    try:
        cursor.execute(_sql("spans"), window)
        cursor.execute(_sql("calls"))
        nodes = _rows(cursor, "nodes")
        edges = _rows(cursor, "edges")
    finally:
        for table in _TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS temp.{table}")
    graph: nx.DiGraph[str] = nx.DiGraph()
    for node in nodes:
        graph.add_node(node.pop("id"), **node)
    for edge in edges:
        source, target = edge.pop("source"), edge.pop("target")
        if graph.has_edge(source, target):
            graph.edges[source, target]["kinds"][edge["kind"]] = edge
        else:
            # The query yields sync before async: the edge's own attributes are the synchronous ones if there are any.
            graph.add_edge(source, target, **edge, kinds={edge["kind"]: edge})
    return graph


def nodes_of(graph: "nx.DiGraph[str]") -> list[dict[str, Any]]:
    """The nodes as flat dictionaries with their `id`, in the graph's order (by name)."""
    return [{"id": node, **attributes} for node, attributes in graph.nodes(data=True)]


def edges_of(graph: "nx.DiGraph[str]") -> list[dict[str, Any]]:
    """The edges as flat dictionaries with `source` and `target`: one per pair of nodes and kind."""
    return [
        {"source": source, "target": target, **edge}
        for source, target, kinds in graph.edges(data="kinds")
        for edge in kinds.values()
    ]


def _sql(name: str) -> str:
    return (queries.folder() / "graph" / f"{name}.sql").read_text(encoding="utf-8")


def _rows(cursor: "duckdb.DuckDBPyConnection", name: str) -> list[dict[str, Any]]:
    # A row per node or edge: few enough for dictionaries.
    found = cursor.execute(_sql(name))
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]
