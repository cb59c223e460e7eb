"""The answer of `graph` with two periods: nodes and edges that are new, vanished or changed."""

from typing import Literal

from traceguard.model.document import SCHEMA_VERSION, Document

Change = Literal["new", "vanished", "changed", "not_seen"]


class Traffic(Document):
    """The calls along an edge, or into a node, on one side of a comparison.

    `requests` are those with such a call; `calls_per_request` is over all requests of the side.
    """

    requests: int
    calls: int
    errors: int
    calls_per_request: float
    error_rate: float
    p50_ms: float
    p95_ms: float


class TrafficChange(Document):
    """How calls differ between two periods; a side without any is null.

    `not_seen` says that one side lacks them, but had too few requests to call it new or vanished. `delta`, `low` and
    `high` are the change of calls per request with its 95% interval; the q-values those of calls and of failed calls.
    """

    change: Change
    baseline: Traffic | None
    candidate: Traffic | None
    delta: float
    low: float
    high: float
    q_calls: float
    q_errors: float


class NodeChange(TrafficChange):
    """A node that differs between two periods, by the calls into it."""

    node: str


class EdgeChange(TrafficChange):
    """A dependency that differs between two periods."""

    source: str
    target: str
    kind: Literal["sync", "async"]


class GraphSide(Document):
    """A period of a graph's comparison and how many requests started in it."""

    start: str | None
    end: str | None
    requests: int


class GraphDiff(Document):
    """The answer of `graph` with two periods: what differs, and how much does not."""

    schema_version: int = SCHEMA_VERSION
    level: Literal["service", "operation"]
    baseline: GraphSide
    candidate: GraphSide
    nodes: list[NodeChange]
    edges: list[EdgeChange]
    unchanged_nodes: int
    unchanged_edges: int
