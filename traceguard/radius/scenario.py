"""What a what-if supposes: a service that gets slower or fails more, or a flag that is extended to more requests."""

from dataclasses import dataclass, field
from typing import Literal

from traceguard import model
from traceguard.errors import UsageError
from traceguard.radius.delay import Delay, parse_delay

Searched = Literal["delay", "exposure"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The supposed change: of calls of a service (or operation), or of who gets a flag's level.

    `search` says which of delay and exposure is not given but looked for: the largest that keeps every objective.
    """

    service: str | None = None
    operation: str | None = None
    delay: Delay = field(default_factory=Delay)
    error_rate: float = 0.0
    exposure: float = 1.0
    flag: str | None = None
    search: Searched | None = None

    def document(self) -> model.Scenario:
        """As the answer repeats it."""
        return model.Scenario(
            service=self.service, operation=self.operation, delay_ms=self.delay.mean_ns / 1e6,
            error_rate=self.error_rate, exposure=self.exposure, delay=self.delay.text if self.service else None,
            flag=self.flag,
        )  # fmt: skip


def make_scenario(
    service: str | None = None, operation: str | None = None, *, delay: str | None = None,
    error_rate: float | None = None, exposure: float | None = None, flag: str | None = None,
    largest: str | None = None, objectives: bool = False,
) -> Scenario:  # fmt: skip
    """The supposed change; UsageError for what cannot be supposed or does not go together.

    `objectives` says whether any are given, which a search needs.
    """
    for name, value in (("error rate", error_rate), ("exposure", exposure)):
        if value is not None and not 0.0 <= value <= 1.0:
            raise UsageError(f"The {name} {value:g} lies outside 0 to 1; write a share such as 0.05 or 5%.")
    added = parse_delay(delay) if delay is not None else Delay()
    if (service is None) == (flag is None):
        raise UsageError(
            "Suppose one thing: a service that changes or a flag that is extended, not both."
            if service is not None
            else "What changes? Name a service, or a flag that is extended."
        )
    if flag is not None and (operation is not None or delay is not None or error_rate is not None):
        raise UsageError(
            "A flag is extended by what requests under it showed, so it takes no operation, delay or error rate; leave"
            " them out, or name the service that changes instead."
        )
    search = _searched(largest, added, delay is not None, exposure is not None, flag is not None, objectives)
    if search == "exposure" and flag is None and added.mean_ns == 0.0 and not error_rate:
        raise UsageError("The largest exposure to what? Add a delay or an error rate.")
    return Scenario(service, operation, added, error_rate or 0.0, 1.0 if exposure is None else exposure, flag, search)


def _searched(
    largest: str | None, added: Delay, delayed: bool, exposed: bool, flag: bool, objectives: bool
) -> Searched | None:
    if largest is None:
        return None
    if largest not in {"delay", "exposure"}:
        raise UsageError(f"{largest!r} cannot be looked for; ask for the largest delay or exposure.")
    if not objectives:
        raise UsageError("The largest that still keeps what? Add an objective (slo), such as 'p99<800ms'.")
    if largest == "exposure":
        if exposed:
            raise UsageError("The largest exposure is looked for; give none.")
        return "exposure"
    if flag:
        raise UsageError("A flag has no delay to look for; ask for the largest exposure.")
    if delayed and (added.kind == "constant" or added.mean_ns == 0.0):
        raise UsageError("The largest delay is looked for; give none, or a distribution whose shape is kept.")
    return "delay"
