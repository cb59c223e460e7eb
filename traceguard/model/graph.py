"""The answer of `graph`: nodes and edges in networkx's node-link form, of a whole window or slice by slice.

The numbers are those of `traceguard.graph`, and the documents are written from its graphs as they are: what was not
asked for is absent, not null. These models say what stands in them, for the schemas and for whoever reads them back.
"""

from typing import Any, Literal

from traceguard.model.document import Document


class LatencySketch(Document):
    """How many calls took how long: `counts[i]` took from 2^(b/16) up to 2^((b+1)/16) ns, where b is `low_bin` + i.

    Sketches merge by adding the counts of equal bins.
    """

    low_bin: int
    counts: list[int]


class GraphNode(Document):
    """A service, or one of its operations, or something that callers name and that sent no spans (`inferred`).

    `spans` are those that it sent itself, so that their sum over all nodes is the window's distinct spans. `calls` are
    those that enter it and `p50_ms` and `p95_ms` their latency, 0 without any; `errors` counts its failed spans, or its
    failed calls where it sent none. Of a graph of operations a node also has `service`, and `operation`, which is null
    where it is inferred.
    """

    id: str
    spans: int
    errors: int
    calls: int
    p50_ms: float
    p95_ms: float
    type: Literal["service", "database", "cache", "queue", "external"]
    inferred: bool
    service: str | None = None
    operation: str | None = None


class GraphEdge(Document):
    """The calls of one kind between a pair of nodes; errors and latency are the callee's.

    Where sketches were asked for, `sketch` counts the calls by latency.
    """

    source: str
    target: str
    kind: Literal["sync", "async"]
    calls: int
    errors: int
    p50_ms: float
    p95_ms: float
    sketch: LatencySketch | None = None


class Graph(Document):
    """The answer of `graph`, which `networkx.node_link_graph(document, edges="edges")` reads.

    `multigraph` says that a pair of nodes is joined by both kinds of edges; `graph` is networkx's place for what
    belongs to the whole, and empty.
    """

    directed: Literal[True]
    multigraph: bool
    graph: dict[str, Any]
    nodes: list[GraphNode]
    edges: list[GraphEdge]


class GraphSlice(Document):
    """The graph of the requests that started in `[start, end)`, and how many they are."""

    start: str
    end: str
    requests: int
    nodes: list[GraphNode]
    edges: list[GraphEdge]


class GraphSlices(Document):
    """The answer of `graph --every`: consecutive slices of time, earliest first, those without requests included."""

    slices: list[GraphSlice]
