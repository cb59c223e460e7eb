"""What got worse: an entry point's metric under a factor, and its parts by component."""

from typing import Literal

from pydantic import Field

from traceguard.model.document import Document
from traceguard.model.effect import Factor, Histogram
from traceguard.model.entry import Entry, Locus

Metric = Literal["latency_mean", "latency_p50", "latency_p95", "latency_p99", "error_rate"]


class Part(Document):
    """One component's part in a regression: its change of critical-path milliseconds per affected request.

    `count_ms` comes of more or fewer calls a request, `cost_ms` of more or less time a call; they add up to `delta_ms`.
    """

    service: str
    operation: str
    locus: Locus
    delta_ms: float
    count_ms: float | None = None
    cost_ms: float | None = None


class ErrorPart(Document):
    """One component's part in a change of an error rate: errors that began there, per affected request."""

    service: str
    operation: str
    locus: Locus
    delta: float


class Handled(Document):
    """Failures per request that did not fail the request, among those at the reference level and the affected ones."""

    reference: float
    observed: float


class Regression(Document):
    """A change of an entry point's metric under a factor.

    `reference` is what the affected requests would show at the reference level. `parts` add up to the change of
    latency_mean, `error_parts` to that of error_rate, which also tells of failures that were `handled`. `pre_period`
    says that users were compared who were alike before the factor began.
    """

    entry: Entry
    metric: Metric
    factors: list[Factor]
    reference: float
    observed: float
    delta: float
    low: float
    high: float
    p_adjusted: float
    q_value: float
    distribution: Histogram | None = None
    parts: list[Part] = Field(default_factory=list)
    error_parts: list[ErrorPart] = Field(default_factory=list)
    handled: Handled | None = None
    pre_period: bool = False
