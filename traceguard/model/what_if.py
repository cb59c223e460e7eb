"""The answer of `what-if`: entry points and objectives before and after a supposed change."""

from typing import Literal

from pydantic import Field

from traceguard.model.document import SCHEMA_VERSION, Document, Warning
from traceguard.model.effect import Histogram
from traceguard.model.entry import Entry


class Scenario(Document):
    """What a what-if supposes: calls of a service that change, or a flag whose level more requests get.

    `delay` is the delay as text, a distribution too, `delay_ms` its mean. Of a flag, `level` is extended in place of
    `reference`, from the part `current_exposure` of the requests that had either to `exposure`.
    """

    service: str | None = None
    operation: str | None = None
    delay_ms: float
    error_rate: float
    exposure: float
    delay: str | None = None
    flag: str | None = None
    level: str | None = None
    reference: str | None = None
    current_exposure: float | None = None


class Outlook(Document):
    """An entry point's latency in milliseconds and its error rate."""

    mean: float
    p50: float
    p95: float
    p99: float
    error_rate: float


class Interval(Document):
    """An estimate and its 95% interval; an end is null where the data do not bound it."""

    estimate: float
    low: float | None
    high: float | None


class OutlookIntervals(Document):
    """What another sample of users might have shown, clustered by user; milliseconds and shares of requests."""

    mean: Interval
    p50: Interval
    p95: Interval
    p99: Interval
    error_rate: Interval


class ForecastEntry(Entry):
    """An entry point before and after the supposed change, over all of its requests.

    `hit_fraction` is the part of them that the change can hit. `distribution` holds the latency before (reference) and
    after (observed).
    """

    requests: int
    before: Outlook
    after: Outlook
    before_interval: OutlookIntervals | None = None
    after_interval: OutlookIntervals | None = None
    change: OutlookIntervals | None = None
    hit_fraction: float | None = None
    distribution: Histogram | None = None


class Budget(Document):
    """What becomes of an objective at an entry point.

    `limit`, `before` and `after` are in milliseconds, of an error rate shares. Where a `target` share of requests has
    to be good, `budget` is the share that may be bad, and a burn rate how many times that the bad ones are;
    `exhausted_in_hours` is how long a full budget lasts at the rate after, null where it lasts or no window is stated.
    """

    slo: str
    entry: Entry
    metric: str
    limit: float
    before: float
    after: float
    kept_before: bool
    kept_after: bool
    target: float | None = None
    budget: float | None = None
    bad_fraction_before: float | None = None
    bad_fraction_after: float | None = None
    burn_rate_before: float | None = None
    burn_rate_after: float | None = None
    window_hours: float | None = None
    exhausted_in_hours: float | None = None


class Limiting(Document):
    """The objective that forbids more, and where."""

    slo: str
    entry: Entry


class Largest(Document):
    """The largest delay (mean, milliseconds) or exposure (share) that keeps every objective.

    `value` is null where nothing is kept even without the change, or where no limit was found up to `searched_to`;
    `reason` then says so. The true limit lies within `precision` above `value`.
    """

    what: Literal["delay", "exposure"]
    value: float | None
    unit: Literal["ms", "fraction"]
    precision: float
    searched_to: float
    limited_by: Limiting | None = None
    reason: str | None = None


class WhatIf(Document):
    """The answer of `what-if`. Where the largest delay or exposure was asked for, it is predicted for that."""

    schema_version: int = SCHEMA_VERSION
    scenario: Scenario
    entries: list[ForecastEntry]
    warnings: list[Warning]
    budgets: list[Budget] = Field(default_factory=list)
    largest: Largest | None = None
