"""What explains regressions: factors at a component, ranked, with the evidence for each.

A cause's parts are null or empty where they do not apply: errors alone have paths and timeouts, only a cause whose
requests share one value is narrowed to it.
"""

from typing import Literal

from pydantic import Field

from traceguard.model.document import Document
from traceguard.model.effect import Effect, Factor
from traceguard.model.entry import Entry, Locus, Step


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
