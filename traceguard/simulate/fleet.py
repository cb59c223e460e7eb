"""A fleet on paper: services, operations and what they call, flags, users, and what goes wrong.

The model. A request enters at an entry point and runs its operation. An operation works for its own time (log-normal),
split evenly before, between and after its stages. Stages run one after another; the calls inside a stage run in
parallel; the repetitions of one call run one after another. A synchronous call to another service crosses the network
twice: the gaps lie between the CLIENT span of the caller and the SERVER span of the callee. A queue call publishes
(PRODUCER span), goes on, and the CONSUMER starts later. An operation fails on its own or because a call failed that it
does not tolerate; it fails at its end, so a failure does not shorten it.

Flags are assigned per user, versions per request. Everything here is plain frozen data; `generate` turns it into spans.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from traceguard.errors import UsageError

Value = str | int | float | bool
Kind = Literal["server", "internal", "client", "consumer"]


@dataclass(frozen=True, slots=True)
class Version:
    """A released version; its weight among the service's versions moves from `share` to `share_end` (None: stays).

    It moves linearly, or all at once at `step_at`, a fraction of the recording.
    """

    name: str
    share: float = 1.0
    share_end: float | None = None
    instances: int = 1
    step_at: float | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service, how it reports flag evaluations, and whether its server spans carry user and session ids."""

    name: str
    language: str = "go"
    versions: tuple[Version, ...] = (Version("1.0.0"),)
    flags_as: Literal["event", "log"] = "event"
    tags_user: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A call of another operation. A callee of kind `internal` or `client` runs inside the caller's own service.

    `probability` decides once per run of the caller whether the call (with all its repetitions) happens. A `tolerated`
    call may fail without failing the caller. Without `client_span` the caller reports nothing, so the network gaps look
    like its own time.
    """

    service: str
    operation: str
    probability: float = 1.0
    repetitions: int = 1
    client_span: bool = True
    tolerated: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What a service does under one span name.

    `own_ms` is the mean of its own time, `sigma` the spread of that time's logarithm. `network_ms` is the mean time on
    the wire for one call, both ways together (for a consumer: the time in the queue). `caller_name` names the CLIENT or
    PRODUCER span where it differs from `name`.
    """

    service: str
    name: str
    own_ms: float
    sigma: float = 0.4
    kind: Kind = "server"
    stages: tuple[tuple[Call, ...], ...] = ()
    error_rate: float = 0.0
    network_ms: float = 0.6
    caller_name: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """An operation where requests begin; its weight may move linearly from `weight` to `weight_end`."""

    service: str
    operation: str
    weight: float
    weight_end: float | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """A level of a flag with its share of users at the start and (None: the same) at the end of the recording.

    It moves linearly, or all at once at `step_at`, a fraction of the recording.
    """

    name: str
    share: float
    share_end: float | None = None
    step_at: float | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """A feature flag, sticky per user: a user's requests agree, except that a ramp moves users over once.

    `evaluated_in` names (service, operation) pairs; None as operation means every server or consumer operation of the
    service. Evaluate a flag at or above the operations it is planted to change, so that every changed request shows it.
    With `entry` (service, operation) it is evaluated only in requests of that entry point. `follows` gives users, with
    chance `agreement`, the same draw as another flag, which makes the two correlated.
    """

    key: str
    variants: tuple[Variant, ...]
    evaluated_in: tuple[tuple[str, str | None], ...]
    entry: tuple[str, str] | None = None
    follows: str | None = None
    agreement: float = 0.0
    provider: str = "flagd"


@dataclass(frozen=True, slots=True)
class Plant:
    """What goes wrong, where, and for whom: the truth that an analysis should find.

    All of `flags` (key, variant) and `versions` (service, version) must hold, the request must start inside `window`
    (fractions of the recording), and a `share` below 1 hits only that part of such requests. Effects add up: extra own
    milliseconds (`self_sigma` spreads them log-normally), extra network milliseconds before the callee, failures, and
    `extra_calls` more repetitions of `extra_call` (service, operation; None: the first call that the operation makes).
    """

    service: str
    operation: str
    flags: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    share: float = 1.0
    window: tuple[float, float] = (0.0, 1.0)
    self_ms: float = 0.0
    self_sigma: float = 0.0
    inbound_ms: float = 0.0
    error_rate: float = 0.0
    extra_calls: int = 0
    extra_call: tuple[str, str] | None = None

    @property
    def family(self) -> Literal["self", "inbound", "error", "calls"]:
        """The kind of effect, by the first that is set."""
        if self.self_ms:
            return "self"
        if self.inbound_ms:
            return "inbound"
        return "error" if self.error_rate else "calls"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A whole fleet. `activity` is the exponent of the users' Zipf law (0: all alike).

    Own times are multiplied by a log-normal factor of mean 1 per user and per request (their logarithms' spread:
    `user_sigma`, `request_sigma`), so requests of one user resemble each other; `drift` is the relative growth of own
    times over the recording, `growth` that of the traffic.
    """

    name: str
    services: tuple[Service, ...]
    operations: tuple[Operation, ...]
    entries: tuple[EntryPoint, ...]
    flags: tuple[Flag, ...] = ()
    plants: tuple[Plant, ...] = ()
    users: int = 500
    activity: float = 0.8
    user_sigma: float = 0.15
    request_sigma: float = 0.2
    drift: float = 0.0
    growth: float = 0.0
    environment: str = "production"

    def __post_init__(self) -> None:
        """Refuse names that nothing carries: a typo in a plant would otherwise plant nothing."""
        services = {service.name for service in self.services}
        operations = {(operation.service, operation.name) for operation in self.operations}
        called = {(c.service, c.operation) for o in self.operations for stage in o.stages for c in stage}
        wanted = (
            called | {(e.service, e.operation) for e in self.entries} | {(p.service, p.operation) for p in self.plants}
        )
        evaluating = {pair for flag in self.flags for pair in flag.evaluated_in}
        wanted |= {(service, name) for service, name in evaluating if name is not None}
        missing = {f"{s} {o}" for s, o in wanted - operations} | ({s for s, _ in evaluating} - services)
        missing |= {o.service for o in self.operations} - services
        levels = {(flag.key, variant.name) for flag in self.flags for variant in flag.variants}
        versions = {(service.name, version.name) for service in self.services for version in service.versions}
        missing |= {"=".join(pair) for plant in self.plants for pair in plant.flags if pair not in levels}
        missing |= {" ".join(pair) for plant in self.plants for pair in plant.versions if pair not in versions}
        missing |= {flag.follows for flag in self.flags if flag.follows} - {flag.key for flag in self.flags}
        if missing:
            names = ", ".join(sorted(missing))
            raise UsageError(f"The fleet {self.name!r} refers to what it does not have: {names}; correct the names.")

    def shows_at(self, plant: Plant) -> tuple[str, str]:
        """The service and operation whose time a plant changes: its own, but the callee's where it calls more often."""
        if plant.family != "calls":
            return plant.service, plant.operation
        if plant.extra_call is not None:
            return plant.extra_call
        planted = next(o for o in self.operations if (o.service, o.name) == (plant.service, plant.operation))
        first = planted.stages[0][0]
        return first.service, first.operation

    def without_plants(self) -> "Fleet":
        """The same fleet in good health: with the same seed, the same requests without the faults."""
        return replace(self, plants=())
