"""The answer of `blast-radius`: who is reached if a service, an operation or a flag goes wrong.

Entry points and services around say how far damage goes, gates where it would stop, cohorts and hours of the week whom
it reaches and when. Bounds are at 95%.
"""

from typing import Literal

from pydantic import Field

from traceguard.model.document import SCHEMA_VERSION, Document, Warning
from traceguard.model.entry import Entry
from traceguard.model.window import Window


class Target(Document):
    """What a blast radius is asked about; exactly one of service (with or without operation) and flag is set.

    `read_by` names the services that will read a flag that may not exist yet.
    """

    service: str | None
    operation: str | None
    flag: str | None
    read_by: list[str] = Field(default_factory=list)


class Reach(Document):
    """The target's overall reach.

    `low` and `high` bound `requests_fraction` at 95%; `units_fraction` is the part of all units of the window.
    """

    requests_fraction: float
    traces: int
    units: int
    services: int
    low: float = 0.0
    high: float = 1.0
    units_fraction: float = 0.0


class ReachedEntry(Entry):
    """An entry point whose requests reach the target; 95% bounds of the fraction, and the units of those requests."""

    requests: int
    fraction: float
    calls_per_request: float
    critical_fraction: float
    low: float = 0.0
    high: float = 1.0
    units: int = 0


class Neighbour(Document):
    """A service above or below the target in the dependency graph; 95% bounds, and the units with such a path."""

    service: str
    depth: int
    fraction: float
    kind: Literal["sync", "async"]
    low: float = 0.0
    high: float = 1.0
    units: int = 0


class CohortValue(Document):
    """The reach among the requests that have one value of an attribute; null are those that have none."""

    value: str | None
    requests: int
    reached: int
    fraction: float
    low: float
    high: float
    units: int


class Cohort(Document):
    """Whom a target reaches by an attribute, such as tenants: the values with most reached requests first.

    `total` and `reached` count all values of the window and those with a request that reaches; `more` are not listed.
    """

    key: str
    values: list[CohortValue]
    more: int
    total: int
    reached: int


class ReachEdge(Document):
    """Calls between two services on a way from an entry point to the target (`up`), or below it (`down`).

    `errors_seen` counts calls that failed at least once, `stopped` those of them after which the caller did not fail.
    """

    source: str
    target: str
    kind: Literal["sync", "async"]
    side: Literal["up", "down"]
    calls: int
    errors_seen: int
    stopped: int


class Gate(Document):
    """A step between two services on the way up from the target at which damage would stop, or stopped in part.

    `errors_seen` counts failures that came to it and `stopped` those that went no further (for `fallback`: of those
    that no retry made good). `requests` took this step on their way to the target.
    """

    source: str
    target: str
    kind: Literal["async", "retry", "fallback"]
    errors_seen: int
    stopped: int
    fraction: float | None
    low: float
    high: float
    requests: int


class UntestedEdge(Document):
    """A synchronous step on the way up that was never seen failing: whether it would stop damage is unknown."""

    source: str
    target: str
    requests: int


class UnknownService(Document):
    """Something at or below the target that callers name and that sent no spans: what it does is not known."""

    service: str
    called_by: list[str]
    calls: int
    fraction: float
    low: float
    high: float


class HourOfWeek(Document):
    """The reach in one hour of the week; the window covers `span_hours` hours of it."""

    weekday: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    hour: int
    requests: int
    reached: int
    fraction: float
    low: float
    high: float
    units: int
    span_hours: float


class BlastRadius(Document):
    """The answer of `blast-radius`; hours of the week are in `time_zone`."""

    schema_version: int = SCHEMA_VERSION
    target: Target
    window: Window
    reach: Reach
    entries: list[ReachedEntry]
    upstream: list[Neighbour]
    downstream: list[Neighbour]
    warnings: list[Warning]
    cohorts: list[Cohort] = Field(default_factory=list)
    edges: list[ReachEdge] = Field(default_factory=list)
    gates: list[Gate] = Field(default_factory=list)
    untested_edges: list[UntestedEdge] = Field(default_factory=list)
    unknown: list[UnknownService] = Field(default_factory=list)
    time_zone: str = "UTC"
    by_time: list[HourOfWeek] = Field(default_factory=list)
