"""What a plant really does to the requests that an analysis would call affected, from pairs of the same requests.

Every request runs twice, with the plant for everybody and without it; nothing else differs. The effect of a level (or
of several together) at an entry point is the mean difference over all its requests that show the factors, whether or
not they reach the planted operation: assignment is random among those, so it makes no difference which level they had.
Many more requests than a recording holds are taken, with other users: an interval that is estimated from a recording
is about the fleet, not about those very requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import UsageError
from traceguard.simulate.anatomy import Anatomy, dissect
from traceguard.simulate.fleet import Fleet, Plant

QUANTILES = (0.5, 0.95, 0.99)

Component = tuple[str, str, Literal["self", "inbound"]]


@dataclass(frozen=True, slots=True)
class TrueEffect:
    """A plant's effect per affected request of one entry point, in milliseconds, failures and calls.

    `latency_ms`, `quantiles_ms` (of `QUANTILES`) and `failed` are the request's; `part_ms`, `origin` and `calls` are
    the planted component's; `spread_ms` is the standard deviation of the healthy latency of those `requests`.
    """

    requests: int
    latency_ms: float
    quantiles_ms: tuple[float, ...]
    failed: float
    part_ms: float
    origin: float
    calls: float
    spread_ms: float

    def mirrored(self) -> "TrueEffect":
        """The effect of being without the plant."""
        return replace(
            self, latency_ms=-self.latency_ms, quantiles_ms=tuple(-q for q in self.quantiles_ms), failed=-self.failed,
            part_ms=-self.part_ms, origin=-self.origin, calls=-self.calls,
        )  # fmt: skip


def component_of(fleet: Fleet, plant: Plant) -> Component:
    """The component whose time, calls or failures the plant changes."""
    service, operation = fleet.shows_at(plant)
    return service, operation, "inbound" if plant.family == "inbound" else "self"


def true_effects(fleet: Fleet, *, requests: int, seeds: Sequence[int]) -> dict[tuple[str, str], TrueEffect]:
    """The effect of the fleet's only plant by entry point, over `requests` requests for each of the seeds."""
    if len(fleet.plants) != 1:
        raise UsageError(f"An effect is that of one plant, but the fleet has {len(fleet.plants)}; leave one.")
    (plant,) = fleet.plants
    everywhere = replace(fleet, plants=(replace(plant, flags=(), versions=()),))
    pairs = [
        (
            dissect(fleet.without_plants(), requests=requests, seed=seed),
            dissect(everywhere, requests=requests, seed=seed),
        )
        for seed in seeds
    ]
    differences = [_Pair.of(well, ill, plant) for well, ill in pairs]
    return {
        (entry.service, entry.operation): effect
        for number, entry in enumerate(fleet.entries)
        if (effect := _effect([pair.at(number) for pair in differences])) is not None
    }


def showing(anatomy: Anatomy, plant: Plant) -> NDArray[np.bool_]:
    """r: the requests that show every factor of the plant, at whatever level."""
    shown = np.ones(anatomy.requests.keys.size, dtype=np.bool_)
    for key, _ in plant.flags:
        shown &= anatomy.evaluated(key)
    for service, _ in plant.versions:
        shown &= anatomy.reached(service)
    return shown


def affected(anatomy: Anatomy, plant: Plant) -> NDArray[np.bool_]:
    """r: the requests that show every factor at the plant's level, whether or not they reach its operation."""
    fleet, found = anatomy.fleet, showing(anatomy, plant)
    for key, variant in plant.flags:
        names = next([v.name for v in flag.variants] for flag in fleet.flags if flag.key == key)
        found &= anatomy.level(key) == names.index(variant)
    for name, version in plant.versions:
        names = next([v.name for v in service.versions] for service in fleet.services if service.name == name)
        found &= anatomy.version(name) == names.index(version)
    return found


Columns = tuple[NDArray[np.float64], ...]  # latency well and ill; then ill minus well of failed, part, origin, calls


@dataclass(frozen=True, slots=True)
class _Pair:
    """The same requests without and with the plant, those that show the factors."""

    entry: NDArray[np.int32]
    columns: Columns

    @classmethod
    def of(cls, well: Anatomy, ill: Anatomy, plant: Plant) -> "_Pair":
        shown = showing(well, plant)
        component = component_of(well.fleet, plant)
        service, operation, _ = component
        columns = (
            well.dur_ms, ill.dur_ms, ill.failed.astype(np.float64) - well.failed,
            ill.part_ms(*component) - well.part_ms(*component),
            ill.origin(service, operation).astype(np.float64) - well.origin(service, operation),
            ill.calls(service, operation) - well.calls(service, operation),
        )  # fmt: skip
        return cls(well.requests.entry[shown], tuple(column[shown] for column in columns))

    def at(self, number: int) -> Columns:
        return tuple(column[self.entry == number] for column in self.columns)


def _effect(pairs: Sequence[Columns]) -> TrueEffect | None:
    before, after, failed, part, origin, calls = (np.concatenate(columns) for columns in zip(*pairs, strict=True))
    if before.size == 0:
        return None
    return TrueEffect(
        requests=before.size,
        latency_ms=float((after - before).mean()),
        quantiles_ms=tuple((np.quantile(after, QUANTILES) - np.quantile(before, QUANTILES)).tolist()),
        failed=float(failed.mean()), part_ms=float(part.mean()), origin=float(origin.mean()), calls=float(calls.mean()),
        spread_ms=float(before.std()),
    )  # fmt: skip
