"""Families of planted causes: what goes wrong in a random fleet, at a size that is known where users would notice it.

A scenario is a fleet with one plant (or none), what an analysis should name, and how much it shows: the effect per
affected request at the scenario's entry point, in standard deviations of its latency or in failures. Every family and
seed has another fleet of 20 to 60 services and 5 to 20 flags; some flags ramp, follow each other or belong to one entry
point, some services run two versions side by side.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import UsageError
from traceguard.simulate.anatomy import Anatomy, dissect
from traceguard.simulate.fleet import Flag, Fleet, Operation, Plant, Variant, Version
from traceguard.simulate.random_fleet import random_fleet
from traceguard.simulate.true_effect import Component, TrueEffect, affected, component_of, true_effects

PILOT_REQUESTS = 6000
SIZES = (20, 30, 40, 60)
FEWEST_FLAGS, MOST_FLAGS = 5, 20
LEAST_REACH = 0.3  # of the affected requests of the entry point at least this part runs the planted operation
NEARLY_ALL = 0.8  # the same for a tail: one request in twenty is hit, not one in fifty
LEAST_EXPOSED = 200
VISIBLE = 0.5  # of the component's delay at least this part shows: the rest hides behind parallel calls
DRAFT_MS, DRAFT_ERRORS, MOST_EXTRA_CALLS = 20.0, 0.3, 8
TAIL_SHARE = 0.05
CLOSE = 0.02  # a plant's size is corrected until it is that close to what was asked, relatively

Kind = Literal["self", "inbound", "error", "tail", "calls"]


@dataclass(frozen=True, slots=True)
class Level:
    """A factor's level, as a report names it."""

    kind: Literal["flag", "version"]
    key: str
    service: str | None
    level: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet, and what an analysis of it should say.

    `cause` is empty where nothing is wrong. Where it is `inseparable` no data tells it from its twin, and to name it
    among those that cannot be told apart is right. `improves`: requests under the cause are better off.
    """

    fleet: Fleet
    cause: frozenset[Level] = frozenset()
    inseparable: bool = False
    improves: bool = False
    entry: tuple[str, str] | None = None

    @property
    def component(self) -> Component | None:
        """Where it goes wrong."""
        return component_of(self.fleet, self.fleet.plants[0]) if self.fleet.plants else None

    def exposed(self, *, requests: int, seed: int) -> int:
        """How many of a recording's requests at the scenario's entry point run under the cause."""
        anatomy = dissect(self.fleet.without_plants(), requests=requests, seed=seed)
        return int((affected(anatomy, _named(self.fleet, self.cause)) & _enters(anatomy, self.entry)).sum())

    def truth(self, *, requests: int, seeds: Iterable[int]) -> dict[tuple[str, str], TrueEffect]:
        """The effect of the cause by entry point."""
        effects = true_effects(self.fleet, requests=requests, seeds=tuple(seeds))
        return {entry: effect.mirrored() for entry, effect in effects.items()} if self.improves else effects


Drafts = Iterator[tuple[Fleet, Plant]]
Build = Callable[[np.random.Generator, Fleet, int], Scenario]


def scenario(family: str, seed: int) -> Scenario:
    """Scenario number `seed` of a family of `FAMILIES`."""
    if family not in FAMILIES:
        raise UsageError(f"There is no family {family!r}; choose one of {', '.join(FAMILIES)}.")
    number = zlib.crc32(family.encode()) % 10_000 * 10_000 + seed
    draw = np.random.default_rng(number)
    services, flags = int(draw.choice(SIZES)), int(draw.integers(FEWEST_FLAGS, MOST_FLAGS + 1))
    entries = 1 if "one entry" in family else 4
    fleet = random_fleet(number, services=services, flags=flags, entries=entries, family=None)
    return FAMILIES[family](draw, fleet, number)


# --- the families ---


def _nothing(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:  # noqa: ARG001  (one shape for all)
    return Scenario(fleet)


def _nothing_by_few_users(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:  # noqa: ARG001
    return Scenario(_few_users(fleet))


def _nothing_under_load(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:  # noqa: ARG001
    return Scenario(_nested_ramp(draw, fleet)[0])


def _one_flag(kind: Kind, strength: float, share: float | None = None, reach: float = LEAST_REACH) -> Build:
    """A flag slows or breaks one service; of the fleet's flags as they are, or with that share."""

    def build(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
        (key,) = _keys(draw, fleet, 1)
        changed = fleet if share is None else _plain(fleet, key, share)
        return _settled(seed, _anywhere(draw, changed, kind, flags=((key, "on"),)), strength, reach=reach)

    return build


def _improvement(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """A flag makes one service faster."""
    (key,) = _keys(draw, fleet, 1)
    drafts = _anywhere(draw, fleet, "self", flags=((key, "off"),))
    return _settled(seed, drafts, 1.0, cause=frozenset({Level("flag", key, None, "on")}))


def _both_flags(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """Only requests with both flags on are slow."""
    first, second = _keys(draw, fleet, 2)
    fleet = _plain(_plain(fleet, first, float(draw.uniform(0.4, 0.6))), second, float(draw.uniform(0.4, 0.6)))
    return _settled(seed, _anywhere(draw, fleet, "self", flags=((first, "on"), (second, "on"))), 1.0)


def _flag_and_version(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """Only the new version is slow, and only with the flag on."""
    (key,) = _keys(draw, fleet, 1)
    fleet = _plain(fleet, key, float(draw.uniform(0.4, 0.6)))
    share = float(draw.uniform(0.4, 0.6))
    return _settled(seed, _versions(_anywhere(draw, fleet, "self", flags=((key, "on"),)), share), 1.0)


def _correlated(agreement: float) -> Build:
    """Two flags mostly come together; one of them acts."""

    def build(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
        keys = _keys(draw, fleet, 2)
        share = float(draw.uniform(0.35, 0.5))
        fleet = _plain(fleet, keys[0], share)
        fleet = _plain(fleet, keys[1], share, follows=keys[0], agreement=agreement)
        acting = keys[int(draw.integers(2))]
        drafts = _anywhere(draw, fleet, "self", flags=((acting, "on"),))
        return _settled(seed, drafts, 1.0, inseparable=agreement >= 0.9)

    return build


def _ramp(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """One flag ramps up inside another while traffic, its mix and everybody's latency grow; one of them acts."""
    fleet, keys = _nested_ramp(draw, fleet)
    acting = keys[int(draw.integers(2))]
    return _settled(seed, _anywhere(draw, fleet, "self", flags=((acting, "on"),)), 1.0)


def _targeted(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """The flag exists at one entry point only."""
    (key,) = _keys(draw, fleet, 1)
    doors = sorted(fleet.entries, key=lambda entry: -entry.weight)[:2]
    door = doors[int(draw.integers(len(doors)))]
    fleet = _plain(fleet, key, float(draw.uniform(0.3, 0.5)), entry=(door.service, door.operation))
    return _settled(seed, _anywhere(draw, fleet, "self", flags=((key, "on"),)), 1.0)


def _version(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """A version that serves a part of the requests is slow."""
    return _settled(seed, _versions(_anywhere(draw, fleet, "self"), float(draw.uniform(0.3, 0.5))), 1.0)


def _version_with_flag(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """A version and a flag come for everybody at the same moment; one of them acts."""
    (key,) = _keys(draw, fleet, 1)
    fleet = _plain(fleet, key, 0.0, end=1.0, step_at=0.5)
    by_flag = bool(draw.integers(2))

    def drafts() -> Drafts:
        for changed, plant in _versions(_anywhere(draw, fleet, "self"), 0.0, end=1.0, step_at=0.5):
            yield changed, replace(plant, flags=((key, "on"),), versions=()) if by_flag else plant

    return _settled(seed, drafts(), 1.0, inseparable=True)


def _some_paths(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """The flag is evaluated by the service that it slows, which not every request reaches."""
    (key,) = _keys(draw, fleet, 1)
    share = float(draw.uniform(0.4, 0.5))

    def drafts() -> Drafts:
        for _, plant in _anywhere(draw, fleet, "self", flags=((key, "on"),)):
            if plant.service != fleet.entries[0].service:
                yield _plain(fleet, key, share, evaluated_in=((plant.service, None),)), plant

    return _settled(seed, drafts(), 1.0)


def _upstream(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """The flag is evaluated by one service on the way, and slows another one below it."""
    (key,) = _keys(draw, fleet, 1)
    share = float(draw.uniform(0.4, 0.5))

    def drafts() -> Drafts:
        for _, plant in _anywhere(draw, fleet, "self", flags=((key, "on"),)):
            above = _always_above(fleet, plant.service)
            if above:
                where = ((above[int(draw.integers(len(above)))], None),)
                yield _plain(fleet, key, share, evaluated_in=where), plant

    return _settled(seed, drafts(), 1.0)


def _by_few_users(draw: np.random.Generator, fleet: Fleet, seed: int) -> Scenario:
    """A few users, who differ, send most of the requests."""
    (key,) = _keys(draw, fleet, 1)
    fleet = _plain(_few_users(fleet), key, float(draw.uniform(0.3, 0.5)))
    return _settled(seed, _anywhere(draw, fleet, "self", flags=((key, "on"),)), 1.0)


FAMILIES: dict[str, Build] = {
    "self, 1 sd": _one_flag("self", 1.0),
    "self, 0.3 sd": _one_flag("self", 0.3),
    "self, 0.1 sd": _one_flag("self", 0.1),
    "self, 3% exposed": _one_flag("self", 1.0, 0.03),
    "tail, 0.3 sd": _one_flag("tail", 0.3, reach=NEARLY_ALL),
    "inbound, 1 sd": _one_flag("inbound", 1.0),
    "errors, 2 points, one entry": _one_flag("error", 0.02),
    "errors, 2 points": _one_flag("error", 0.02),
    "errors, 5 points": _one_flag("error", 0.05),
    "extra calls, 1 sd": _one_flag("calls", 1.0),
    "both flags": _both_flags,
    "flag and version": _flag_and_version,
    "correlated 0.5": _correlated(0.5),
    "correlated 0.9": _correlated(0.9),
    "identical flags": _correlated(1.0),
    "nested ramp, load": _ramp,
    "targeted at an entry": _targeted,
    "version": _version,
    "version with flag": _version_with_flag,
    "flag on some paths": _some_paths,
    "flag upstream": _upstream,
    "few users": _by_few_users,
    "improvement": _improvement,
    "nothing": _nothing,
    "nothing, few users": _nothing_by_few_users,
    "nothing, ramp, load": _nothing_under_load,
}


# --- what they are made of ---


def _keys(draw: np.random.Generator, fleet: Fleet, count: int) -> list[str]:
    """Some of the flags that every entry point evaluates."""
    free = [flag.key for flag in fleet.flags if flag.entry is None]
    return [free[int(chosen)] for chosen in draw.permutation(len(free))[:count]]


def _plain(
    fleet: Fleet, key: str, share: float, *, end: float | None = None, step_at: float | None = None,
    follows: str | None = None, agreement: float = 0.0, entry: tuple[str, str] | None = None,
    evaluated_in: tuple[tuple[str, str | None], ...] | None = None,
) -> Fleet:  # fmt: skip
    """The fleet with its flag `key` made on/off with that share; who followed it still does."""
    last = share if end is None else end
    variants = (Variant("off", 1 - share, 1 - last, step_at), Variant("on", share, last, step_at))
    flag = Flag(key, variants, evaluated_in or ((fleet.entries[0].service, None),), entry, follows, agreement)
    others = (replace(f, follows=None, agreement=0.0) if f.key == follows else f for f in fleet.flags)
    return replace(fleet, flags=tuple(flag if f.key == key else f for f in others))


def _few_users(fleet: Fleet) -> Fleet:
    """The hundred busiest of a thousand users send seven in ten requests, and users differ twice as much and more."""
    return replace(fleet, users=1000, activity=1.0, user_sigma=0.4)


def _nested_ramp(draw: np.random.Generator, fleet: Fleet) -> tuple[Fleet, list[str]]:
    outer, inner = _keys(draw, fleet, 2)
    fleet = _plain(fleet, outer, 0.05, end=float(draw.uniform(0.5, 0.7)))
    fleet = _plain(fleet, inner, 0.02, end=float(draw.uniform(0.25, 0.4)), follows=outer, agreement=1.0)
    entries = tuple(replace(e, weight_end=e.weight * float(draw.uniform(0.3, 3.0))) for e in fleet.entries)
    return replace(fleet, entries=entries, drift=0.5, growth=1.5), [outer, inner]


def _anywhere(
    draw: np.random.Generator, fleet: Fleet, kind: Kind, flags: tuple[tuple[str, str], ...] = ()
) -> Drafts:  # fmt: skip
    """Plants of that kind at every operation that suits it, in random order."""
    edge = fleet.entries[0].service
    servers = [o for o in fleet.operations if o.kind == "server"]
    for chosen in draw.permutation(len(servers)):
        operation = servers[int(chosen)]
        plant = Plant(operation.service, operation.name, flags)
        away = operation.service != edge
        match kind:
            case "self":
                yield fleet, replace(plant, self_ms=DRAFT_MS, self_sigma=0.2)
            case "tail":
                yield fleet, replace(plant, self_ms=DRAFT_MS / TAIL_SHARE, self_sigma=0.2, share=TAIL_SHARE)
            case "inbound" if away:
                yield fleet, replace(plant, inbound_ms=DRAFT_MS)
            case "error" if away:
                yield fleet, replace(plant, error_rate=DRAFT_ERRORS)
            case "calls" if called := _elsewhere(operation):
                yield fleet, replace(plant, extra_calls=1, extra_call=called[int(draw.integers(len(called)))])


def _elsewhere(operation: Operation) -> list[tuple[str, str]]:
    """What the operation calls in other services."""
    calls = (call for stage in operation.stages for call in stage)
    return [(call.service, call.operation) for call in calls if call.service != operation.service]


def _versions(drafts: Drafts, share: float, *, end: float | None = None, step_at: float | None = None) -> Drafts:
    """The same plants in a new version of the planted service, which has that share of its requests."""
    last = share if end is None else end
    for fleet, plant in drafts:
        service = next(s for s in fleet.services if s.name == plant.service)
        old, instances = service.versions[0].name, service.versions[0].instances
        versions = (
            Version(old, 1 - share, 1 - last, instances, step_at), Version("2.0.0", share, last, instances, step_at)
        )  # fmt: skip
        services = tuple(replace(s, versions=versions) if s is service else s for s in fleet.services)
        yield replace(fleet, services=services), replace(plant, versions=((service.name, "2.0.0"),))


def _always_above(fleet: Fleet, service: str) -> list[str]:
    """The services other than the first one that every way to a service leads through."""
    callees = {(o.service, o.name): [(c.service, c.operation) for s in o.stages for c in s] for o in fleet.operations}

    def reached(without: str) -> set[str]:
        todo = [(e.service, e.operation) for e in fleet.entries]
        seen = set(todo)
        while todo:
            new = {o for o in callees[todo.pop()] if o[0] != without} - seen
            seen |= new
            todo += new
        return {name for name, _ in seen}

    edge = fleet.entries[0].service
    return [s.name for s in fleet.services if s.name not in {edge, service} and service not in reached(s.name)]


def _settled(
    seed: int, drafts: Drafts, strength: float, *, cause: frozenset[Level] | None = None, inseparable: bool = False,
    reach: float = LEAST_REACH,
) -> Scenario:  # fmt: skip
    """The first draft that enough requests reach and that shows, made as large as asked.

    Without one that reaches `LEAST_EXPOSED` requests it is the one that reaches most.
    """
    pilots: dict[int, Anatomy] = {}
    small: list[tuple[int, Scenario, Plant]] = []
    for fleet, plant in drafts:
        if id(fleet) not in pilots:
            pilots = {id(fleet): dissect(fleet, requests=PILOT_REQUESTS, seed=seed + 1)}
        named = _levels(plant) if cause is None else cause
        entry, exposed, reached = _door(pilots[id(fleet)], plant, named)
        candidate = Scenario(fleet, named, inseparable, cause is not None, entry)
        if reached < reach:
            continue
        if exposed < LEAST_EXPOSED:
            small.append((exposed, candidate, plant))
        elif (sized := _sized(candidate, plant, strength, seed)) is not None:
            return sized
    for _, candidate, plant in sorted(small, key=lambda found: -found[0]):
        if (sized := _sized(candidate, plant, strength, seed)) is not None:
            return sized
    raise UsageError("No operation of the fleet can be planted as asked; ask for another seed.")


def _levels(plant: Plant) -> frozenset[Level]:
    flags = {Level("flag", key, None, variant) for key, variant in plant.flags}
    return frozenset(flags | {Level("version", "service.version", name, level) for name, level in plant.versions})


def _named(fleet: Fleet, cause: frozenset[Level]) -> Plant:
    """A plant at nothing in particular whose conditions are those of the cause."""
    return replace(
        fleet.plants[0],
        flags=tuple((level.key, level.level) for level in cause if level.kind == "flag"),
        versions=tuple((level.service or "", level.level) for level in cause if level.kind == "version"),
    )


def _door(anatomy: Anatomy, plant: Plant, cause: frozenset[Level]) -> tuple[tuple[str, str], int, float]:
    """The entry point most of whose affected requests run the planted operation, their number, and that part."""
    under = affected(anatomy, _named(replace(anatomy.fleet, plants=(plant,)), cause))
    runs = anatomy.calls(plant.service, plant.operation) > 0
    doors = [(entry.service, entry.operation) for entry in anatomy.fleet.entries]
    counts = [(int((under & runs & _enters(anatomy, door)).sum()), door) for door in doors]
    hit, door = max(counts)
    exposed = int((under & _enters(anatomy, door)).sum())
    return door, exposed, hit / max(exposed, 1)


def _enters(anatomy: Anatomy, entry: tuple[str, str] | None) -> NDArray[np.bool_]:
    number = [(e.service, e.operation) for e in anatomy.fleet.entries].index(entry or ("", ""))
    return np.asarray(anatomy.requests.entry == number, dtype=np.bool_)


def _sized(candidate: Scenario, plant: Plant, strength: float, seed: int) -> Scenario | None:
    """The candidate with the plant made so large that it shows as much as asked; None if it hides or cannot be."""
    entry = candidate.entry or ("", "")
    for _ in range(MOST_EXTRA_CALLS):
        fleet = replace(candidate.fleet, plants=(plant,))
        effect = true_effects(fleet, requests=PILOT_REQUESTS, seeds=(seed + 1,))[entry]
        shown = effect.failed if plant.family == "error" else effect.latency_ms / effect.spread_ms
        found = replace(candidate, fleet=fleet)
        if plant.family == "error":
            return _failing(found, plant, strength / max(shown, 1e-9))
        if plant.family == "calls":
            if shown >= strength:
                return found
            plant = replace(plant, extra_calls=plant.extra_calls + 1)
            continue
        if abs(shown / strength - 1.0) < CLOSE:
            return found if effect.latency_ms >= VISIBLE * effect.part_ms else None
        factor = strength / max(shown, strength / 10)
        plant = replace(plant, self_ms=plant.self_ms * factor, inbound_ms=plant.inbound_ms * factor)
    return None


def _failing(found: Scenario, plant: Plant, factor: float) -> Scenario | None:
    rate = plant.error_rate * factor
    return replace(found, fleet=replace(found.fleet, plants=(replace(plant, error_rate=rate),))) if rate < 1 else None
