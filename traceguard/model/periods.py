"""What changed over time beside metrics: deploys, dependencies and steps that came or went, the mix of traffic."""

from pydantic import Field

from traceguard.model.document import Document
from traceguard.model.effect import Effect
from traceguard.model.entry import Entry, Step
from traceguard.model.graph_difference import EdgeChange


class PeriodBounds(Document):
    """A named period of a comparison."""

    start: str
    end: str


class Deploy(Document):
    """A version of a service that was first seen in the window, and the one that it is compared with.

    `at_once` says that some entry point's requests all came to it at one moment, so that before is compared with after.
    """

    service: str
    version: str
    reference: str
    first_seen: str
    at_once: bool


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


class Structure(Document):
    """What only one of two compared periods has, with enough requests to say so.

    Edges are dependencies between services, `steps` the calls that follow other calls.
    """

    new_edges: list[EdgeChange]
    vanished_edges: list[EdgeChange]
    steps: list[StepChange] = Field(default_factory=list)


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
