"""What a result rests on: the window's requests, and what is known of how good their data are.

It says which requests were looked at and which were left out, what is missing of them, and how far their sampling,
their hosts' clocks and their critical paths can be trusted.
"""

from typing import Literal

from traceguard.model.document import Document


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
