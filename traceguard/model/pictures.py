"""What a page draws beside a report: call paths and typical traces, read from the traces themselves."""

from traceguard.model.document import Document
from traceguard.model.effect import Factor
from traceguard.model.entry import Entry


class PathNode(Document):
    """A call path on the critical path of an entry point's requests, and the mean time of a request on each side.

    `above` is the number of the caller's path in the list, -1 for the root; it comes before. The milliseconds are
    those of the path itself, without what it calls; `inbound` is the part of them on the way to it. `smaller` counts
    the paths that one without a service stands for.
    """

    above: int
    service: str
    operation: str
    reference_ms: float
    observed_ms: float
    reference_inbound_ms: float = 0.0
    observed_inbound_ms: float = 0.0
    smaller: int = 0


class CallPaths(Document):
    """The critical path of an entry point's requests by call path, with and without factors.

    Means over `reference` and `observed` recorded requests (a sample where there are many), weighted by how many each
    stands for. Each side's milliseconds add up to the mean latency of its requests.
    """

    entry: Entry
    factors: list[Factor]
    reference: int
    observed: int
    paths: list[PathNode]


class TraceSpan(Document):
    """A span of a typical trace: where it lies from the request's start, and the times it is on the critical path.

    `above` is the number of its caller in the list, -1 for the root. `marked` says that its time belongs to the blamed
    component.
    """

    above: int
    service: str
    operation: str
    start_ms: float
    duration_ms: float
    on_path: list[tuple[float, float]]
    failed: bool
    marked: bool


class TypicalTrace(Document):
    """A typical request: its spans from the root on, those that matter most; `left_out` counts the others.

    `start_ms` and `end_ms` are since the epoch; `span_id` is the span to look at. `blamed_ms` is the critical-path time
    of the blamed component.
    """

    trace_id: str
    span_id: str | None
    start_ms: int
    end_ms: int
    duration_ms: float
    blamed_ms: float
    spans: list[TraceSpan]
    left_out: int


class CausePictures(Document):
    """What to draw for the cause of a rank: the number of its call paths, and pairs of typical traces."""

    rank: int
    paths: int | None
    reference: list[TypicalTrace]
    affected: list[TypicalTrace]


class Pictures(Document):
    """What a page draws beside a report, read from the traces themselves."""

    paths: list[CallPaths]
    causes: list[CausePictures]
