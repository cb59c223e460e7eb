"""The dependency graph: who calls whom, how often, how slowly, how wrongly.

Built by set SQL over distinct spans (`queries/graph`). What always holds: the spans of all nodes sum to the window's
distinct spans; what a retry repeated counts once; a call is a span whose parent ran in another node, or that a span
link ties to one. Nodes are services or, finer, their operations. Databases, caches, queues and external systems send no
spans: they are inferred from the client spans that no other service answered, and have none.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traceguard.errors import UsageError
from traceguard.graph.sketch import Sketch
from traceguard.store import queries
from traceguard.units import Period, format_duration

if TYPE_CHECKING:
    import duckdb
    import networkx as nx

LEVELS = ("service", "operation")
MOST_SLICES = 2_000
"""A graph has at most this many slices of time, empty ones included: each is a graph of its own."""

_TABLES = ("graph_calls", "graph_spans", "graph_requests")
_Rows = list[dict[str, Any]]


def build(
    cursor: "duckdb.DuckDBPyConnection", period: Period, environment: str | None = None, *, level: str = "service",
    sketches: bool = False,
) -> "nx.DiGraph[str]":  # fmt: skip
    """The graph of the requests whose root started in `period`; in one deployment environment, or in all with None.

    Nodes carry `spans`, `errors`, `calls` (calls that enter it), `p50_ms`, `p95_ms` (of those calls), `type` (service,
    database, cache, queue, external) and `inferred`. Edges carry `kind`, `calls`, `errors`, `p50_ms`, `p95_ms`; where a
    pair of nodes is joined both ways, the synchronous numbers, with those of every kind under `kinds` (see `edges_of`).

    With the level `operation` nodes are `service / operation`, with both as attributes too, and steps between
    operations of one service are edges. With `sketches` edges carry a `Sketch` of their latency. Temporary tables on
    `cursor` are dropped again. UsageError for another level.
    """
    with collected(cursor, period, environment, level=level):
        nodes, edges = read(cursor, "nodes"), _edges(cursor, sketches=sketches)
    return _graph(nodes, edges, level)


def build_slices(
    cursor: "duckdb.DuckDBPyConnection", period: Period, environment: str | None = None, *, every_ns: int,
    level: str = "service", sketches: bool = False,
) -> "list[tuple[Period, int, nx.DiGraph[str]]]":  # fmt: skip
    """The graphs of consecutive slices of `every_ns`, each with its period and number of requests, in one pass.

    A slice begins at a multiple of its length since the epoch, the first and the last are cut to `period`; one without
    requests in between is an empty graph. A request belongs to the slice in which its root started, so that spans,
    calls, errors and sketches of all slices sum to those of the whole. UsageError for slices too short for the window.
    """
    if every_ns <= 0:
        raise UsageError("A slice of time must have a length, such as --every 5m.")
    with collected(cursor, period, environment, level=level, every_ns=every_ns):
        requests = {row["slice"]: row["requests"] for row in read(cursor, "slices")}
        if not requests:
            return []
        first, last = min(requests), max(requests)
        if last - first >= MOST_SLICES:
            raise UsageError(
                f"The window has {last - first + 1:,} slices of {format_duration(every_ns)}, more than {MOST_SLICES:,};"
                " ask for longer ones or a shorter window."
            )
        nodes, edges = _by_slice(read(cursor, "nodes")), _by_slice(_edges(cursor, sketches=sketches))
    return [
        (_slice(n, every_ns, period), requests.get(n, 0), _graph(nodes[n], edges[n], level))
        for n in range(first, last + 1)
    ]


@contextmanager
def collected(
    cursor: "duckdb.DuckDBPyConnection", period: Period, environment: str | None, *, level: str,
    every_ns: int | None = None, gap: Period | None = None,
) -> Iterator[None]:  # fmt: skip
    """The window's requests, spans and calls as temporary tables on `cursor`, dropped at the end.

    Their `slice` counts from the epoch with `every_ns`; else it is 0, and 1 for what started after `gap`.
    """
    if level not in LEVELS:
        raise UsageError(f"{level!r} is not a level of the graph; choose one of {', '.join(LEVELS)}.")
    by_operation = {"by_operation": level == "operation"}
    window = {
        "start_ns": period.start_ns, "end_ns": period.end_ns, "environment": environment, "every_ns": every_ns,
        "gap_start_ns": gap.start_ns if gap else None, "gap_end_ns": gap.end_ns if gap else None,
    }  # fmt: skip
    try:
        cursor.execute(_sql("requests"), window)
        cursor.execute(_sql("spans"), by_operation)
        cursor.execute(_sql("calls"), by_operation)
        yield
    finally:
        for table in _TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS temp.{table}")


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


def read(cursor: "duckdb.DuckDBPyConnection", name: str) -> _Rows:
    """The rows of `queries/graph/<name>.sql` over the collected tables: one per node or edge, few enough for this."""
    found = cursor.execute(_sql(name))
    columns = [column[0] for column in found.description]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def _sql(name: str) -> str:
    return (queries.folder() / "graph" / f"{name}.sql").read_text(encoding="utf-8")


def _edges(cursor: "duckdb.DuckDBPyConnection", *, sketches: bool) -> _Rows:
    edges = read(cursor, "edges")
    if not sketches:
        return edges
    bins: defaultdict[tuple[Any, ...], dict[int, int]] = defaultdict(dict)
    for row in read(cursor, "sketches"):
        bins[_key(row)][row["bin"]] = row["calls"]
    return [{**edge, "sketch": Sketch.of(bins[_key(edge)])} for edge in edges]


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["slice"], row["source"], row["target"], row["kind"]


def _by_slice(rows: _Rows) -> defaultdict[int, _Rows]:
    found: defaultdict[int, _Rows] = defaultdict(list)
    for row in rows:
        found[row["slice"]].append(row)
    return found


def _slice(number: int, every_ns: int, within: Period) -> Period:
    start, end = number * every_ns, (number + 1) * every_ns
    return Period(max(start, within.start_ns or start), end if within.end_ns is None else min(end, within.end_ns))


def _graph(nodes: _Rows, edges: _Rows, level: str) -> "nx.DiGraph[str]":
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    for node in nodes:
        kept = {key: value for key, value in node.items() if key not in {"slice", "id", "service", "operation"}}
        if level == "operation":
            # What was inferred has no operation: its callers know only its name.
            kept |= {"service": node["service"] or node["id"], "operation": node["operation"]}
        graph.add_node(node["id"], **kept)
    for edge in edges:
        source, target = edge["source"], edge["target"]
        numbers = {key: value for key, value in edge.items() if key not in {"slice", "source", "target"}}
        if graph.has_edge(source, target):
            graph.edges[source, target]["kinds"][edge["kind"]] = numbers
        else:
            # The query yields sync before async: the edge's own attributes are the synchronous ones if there are any.
            graph.add_edge(source, target, **numbers, kinds={edge["kind"]: numbers})
    return graph
