"""The documents that traceguard answers with, as typed values; their JSON is the promise of the interface.

Latency is in milliseconds, rates are fractions, timestamps RFC 3339 text in UTC. Documents are frozen: analysis builds
them, reports only read them. Fields are added, never renamed.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

Metric = Literal["latency_mean", "latency_p50", "latency_p95", "latency_p99", "error_rate"]
Verdict = Literal["regression", "no_regression", "inconclusive", "no_data"]
Inference = Literal["fixed_horizon", "anytime_valid"]
Locus = Literal["self", "inbound"]


class Document(BaseModel):
    """Base of all documents: immutable, and strict about unknown fields so that a typo cannot pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_dict(self) -> dict[str, Any]:
        """The document as plain dictionaries and lists, ready for JSON."""
        return self.model_dump(mode="json")


class Warning(Document):  # noqa: A001  (the interface's own word; nothing here uses the builtin)
    """A caveat that travels with the result: a stable code and one sentence."""

    code: str
    message: str


class Window(Document):
    """The requests a result rests on: those whose root started in `[start, end)`, and their distinct spans.

    `watermark` is up to when the data is complete enough to judge, where that was looked at.
    A trace holds several requests where it starts asynchronous work. `incomplete_fraction` is the share of `requests`
    that miss spans; a trace without its root counts as one. Both are null where they are not measured.
    """

    start: str | None
    end: str | None
    traces: int
    spans: int
    watermark: str | None = None
    requests: int | None = None
    incomplete_fraction: float | None = None


class CriticalPaths(Document):
    """How sure the critical paths of the window's requests are, as shares of their time.

    Ambiguous is the time of a child where a sibling ended so shortly before it that either could be what the caller
    waited for; overlapped the time during which work that is not on the path ran beside it.
    """

    ambiguous_fraction: float
    overlapped_fraction: float


class PeriodBounds(Document):
    """A named period of a comparison."""

    start: str
    end: str


class Entry(Document):
    """An entry point: the service and operation of a request's root span.

    `environment` is set only where a store holds several.
    """

    service: str
    operation: str
    environment: str | None = None


class Factor(Document):
    """Something a request ran under that may explain it, at one level against its reference level."""

    kind: Literal["flag", "version", "period", "attribute"]
    key: str
    service: str | None
    level: str
    reference: str


class Histogram(Document):
    """Latency distributions of both sides, as shares of common bins; `edges_ms` has one element more than they."""

    edges_ms: list[float]
    reference: list[float]
    observed: list[float]


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


class Effect(Document):
    """An estimate with its interval, per affected request."""

    estimate: float
    low: float
    high: float
    unit: Literal["ms", "fraction", "calls"]


class Requests(Document):
    """How many requests ran under the factors, and their part of the entry point's (or all) requests.

    `affected` counts recorded requests; `adjusted` is how many they stand for as their sampling rates say, None where
    none is stated. The part is one of adjusted requests.
    """

    affected: int
    fraction: float
    adjusted: float | None = None


class Exemplars(Document):
    """Trace ids of typical requests on both sides."""

    affected: list[str]
    reference: list[str]


class Step(Document):
    """An operation on the way of an error."""

    service: str
    operation: str


class ErrorPath(Document):
    """A way that errors took, from the entry point down to where they began, and how many affected requests' errors.

    `requests` counts recorded ones; `adjusted` is how many they stand for, None where no sampling rate is stated.
    """

    steps: list[Step]
    requests: int
    adjusted: float | None = None


class NarrowedTo(Document):
    """The one value of an attribute whose requests a cause is about.

    `inside` and `outside` are the effects per affected request with and without the value; `share` is the part of the
    whole effect, `fraction` that of the affected requests, that has it.
    """

    key: str
    value: str
    share: float
    fraction: float
    inside: Effect
    outside: Effect


class CauseEntry(Document):
    """A cause as seen at one entry point."""

    entry: Entry
    effect: Effect
    requests: Requests


class EffectSlice(Document):
    """What a cause did in a stretch of time, `[start, end)`: recorded requests of both sides, and their difference.

    `effect` is null where a side has too few requests to say.
    """

    start: str
    end: str
    affected: int
    reference: int
    effect: Effect | None


class OverTime(Document):
    """A cause's effect slice by slice at its leading entry point: plain differences, adjusted for nothing else.

    `against` says what each slice is held against: the reference requests of the same slice, or, where both sides
    hardly ran at the same time, those of the whole window; slices of the reference itself then show how steady it was.
    """

    entry: Entry
    against: Literal["slice", "window"]
    slices: list[EffectSlice]


class Accepted(Document):
    """That a cause is known and accepted, until the end of a day (UTC), and why."""

    until: str
    reason: str


class Separation(Document):
    """What would tell a cause's level from those that came together with it.

    `shared` is the part of the effect that is theirs together; `requests` (of about `units` users) would run under one
    of them without the others, half under each.
    """

    shared: float
    requests: int
    units: int


class Cause(Document):
    """A factor (or several together) at a service and operation that explains part of a regression.

    Where `metric` is error, `timeout_fraction` is the part of the errors that began here in affected requests that are
    timeouts (null where there are none), and `error_paths` are their commonest ways, most requests first.
    `retries_per_request` counts the calls of the operation per affected request that repeat a failed attempt. In all
    three a request counts as often as it stands for.
    """

    rank: int
    factors: list[Factor]
    service: str
    operation: str
    locus: Locus
    metric: Literal["latency", "error", "calls"]
    effect: Effect
    share: float
    q_value: float
    requests: Requests
    inseparable_from: list[list[Factor]]
    exemplars: Exemplars
    entries: list[CauseEntry]
    summary: str
    timeout_fraction: float | None = None
    error_paths: list[ErrorPath] = Field(default_factory=list)
    retries_per_request: float = 0.0
    narrowed_to: NarrowedTo | None = None
    separation: Separation | None = None
    over_time: OverTime | None = None
    accepted: Accepted | None = None


class Sampling(Document):
    """How the requests were sampled: the part whose rate is stated, and how many requests the recorded ones stand for.

    `biased` says that failed requests look kept and others dropped at an unknown rate: error rates are then no rates of
    the traffic, and nobody may pass or fail a gate on them.
    """

    stated: float
    adjusted_requests: float
    biased: bool


class LeftOut(Document):
    """How many requests a rule leaves out (of another environment: how many traces)."""

    kind: Literal["entry", "attribute", "environment"]
    name: str
    requests: int


class Host(Document):
    """Whose clock it is: an instance of a service; null where spans state none."""

    service: str
    instance: str | None


class ClockSkew(Document):
    """Two hosts whose clocks differ: the callee's minus the caller's, estimated from `calls` calls between them.

    No result is corrected by it. `low_ms` and `high_ms` bound what is feasible for `agree`, the part of the calls.
    """

    caller: Host
    callee: Host
    offset_ms: float
    low_ms: float
    high_ms: float
    calls: int
    agree: float


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


class StepChange(Document):
    """A change of what a caller does after a call: it stops where it went on before, or the other way round.

    `after` is null for callers that (no longer) call anything. `reference` and `observed` are shares of stops, among
    callers reached the same way whose call did the same; `calls` are those lost (negative) or new per request.
    """

    entry: Entry
    caller: Step
    after: Step | None
    reference: float
    observed: float
    calls: Effect
    q_value: float


class Deploy(Document):
    """A version of a service that was first seen in the window, and the one that it is compared with.

    `at_once` says that some entry point's requests all came to it at one moment, so that before is compared with after.
    """

    service: str
    version: str
    reference: str
    first_seen: str
    at_once: bool


class MixEntry(Document):
    """An entry point's share of all requests of both periods, and what it adds to the change of their mean latency."""

    entry: Entry
    reference_share: float
    observed_share: float
    mix_ms: float
    within_ms: float


class Mix(Document):
    """The change of the mean latency of all requests between two periods, in two parts that add up to it.

    `mix_ms` comes of another share of entry points in the traffic, `within_ms` of entry points that changed themselves.
    """

    reference_ms: float
    observed_ms: float
    delta_ms: float
    mix_ms: float
    within_ms: float
    entries: list[MixEntry]


class Structure(Document):
    """What only one of two compared periods has, with enough requests to say so.

    Edges are dependencies between services, `steps` the calls that follow other calls.
    """

    new_edges: list[EdgeChange]
    vanished_edges: list[EdgeChange]
    steps: list[StepChange] = Field(default_factory=list)


class JudgedEntry(Document):
    """An entry point that was judged, whether it got worse or not, and its compared requests."""

    entry: Entry
    requests: int


class CauseChange(Document):
    """A cause of this report or of the older one that it is held against; `changed` where the intervals are apart."""

    change: Literal["new", "gone", "changed", "as_before"]
    factors: list[Factor]
    service: str
    operation: str
    locus: Locus
    metric: Literal["latency", "error", "calls"]
    before: Effect | None
    after: Effect | None


class Against(Document):
    """An older report that this one is held against: its window and verdict, and how the causes differ."""

    window: Window
    verdict: Verdict
    causes: list[CauseChange]


class Asked(Document):
    """The options that a report was asked with, beside its window, periods, alpha and inference."""

    flag: str | None = None
    service: str | None = None
    entry: str | None = None
    unit: str | None = None
    env: str | None = None
    reference: list[str] = Field(default_factory=list)
    attribute: list[str] = Field(default_factory=list)
    where: list[str] = Field(default_factory=list)
    ignore_watermark: bool = False


class Report(Document):
    """The answer of `report`. `structure` and `mix` are set where two periods were compared.

    The verdict is what the data say; that a cause is accepted changes nothing about it. `judged` are all entry points
    that were judged; `against` is set where an older report was given.
    """

    schema_version: int = SCHEMA_VERSION
    traceguard_version: str
    window: Window
    baseline: PeriodBounds | None
    candidate: PeriodBounds | None
    verdict: Verdict
    regressions: list[Regression]
    causes: list[Cause]
    improvements: list[Cause]
    warnings: list[Warning]
    alpha: float = 0.05
    inference: Inference = "fixed_horizon"
    sampling: Sampling | None = None
    left_out: list[LeftOut] = Field(default_factory=list)
    clock_skew: list[ClockSkew] = Field(default_factory=list)
    critical_paths: CriticalPaths | None = None
    structure: Structure | None = None
    mix: Mix | None = None
    deploys: list[Deploy] = Field(default_factory=list)
    judged: list[JudgedEntry] = Field(default_factory=list)
    against: Against | None = None
    asked: Asked | None = None


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


class PlannedEntry(Entry):
    """An entry point whose requests reach what is rolled out.

    `requests` are the recorded ones that reach it; `added_ms` and `added_errors` what the planned regression adds to
    one of them, `spread_ms` the standard deviation of their latency (capped at its 99% quantile) and `user_effect` by
    how much the variance of their mean exceeds that of independent requests, over the recording. `least_hours` is the
    time until the planned power at the exposure that shows it soonest, null where the plan is blind, and `blind` then
    says why.
    """

    requests: int
    requests_per_hour: float
    users: int
    added_ms: float
    added_errors: float
    spread_ms: float
    user_effect: float
    least_hours: float | None
    blind: str | None


class PlanPoint(Document):
    """The power after so many hours of a step, and the users hit in the step until then."""

    hours: float
    power: float
    users_hit: int


class PlanStep(Document):
    """One step of a rollout: an exposure and how long it lasts.

    `hours` is null where no time reaches the power (`reason` says why) and where nobody is left to compare with.
    `requests` and `users_hit` are those exposed in this step and, users, in all steps until its end; `users_new` are
    hit for the first time. `power` is that at `entry`, null without a concurrent control. `clusters` is the effective
    number of clusters there. `detects_ms` and `detects_errors` are the smallest change at the target that the step
    shows with the planned power. `hours_needed` is the time until that power, whatever the step lasts.
    """

    exposure: float
    hours: float | None
    hours_needed: float | None
    requests: int
    users_new: int
    users_hit: int
    power: float | None
    entry: Entry | None
    clusters: float
    detects_ms: float | None
    detects_errors: float | None
    extrapolated: bool
    reason: str | None
    curve: list[PlanPoint]


class PlannedSize(Document):
    """The regression that must not go unnoticed, added to every call of the target; `assumed` where nobody named it."""

    delay_ms: float
    error_rate: float
    assumed: bool


class Plan(Document):
    """The answer of `plan`.

    `power` and `alpha` are those asked for, `looks` how the report is read: `any_time` (live) or `end_of_step`.
    `tests` is the number of root tests that it adjusts for. `least_exposure` is the smallest exposure at which the
    regression shows within `step_hours` (null: within a year of waiting).
    """

    schema_version: int = SCHEMA_VERSION
    target: Target
    window: Window
    size: PlannedSize
    power: float
    alpha: float
    looks: Literal["any_time", "end_of_step"]
    step_hours: float | None
    most_users: int | None
    recorded_hours: float
    requests_per_hour: float
    users: int
    tests: int
    least_exposure: float | None
    entries: list[PlannedEntry]
    steps: list[PlanStep]
    warnings: list[Warning]
