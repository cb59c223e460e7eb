"""Fleets drawn at random, each with one planted cause: many of them measure how often an analysis is right."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import UsageError
from traceguard.simulate.fleet import Call, EntryPoint, Flag, Fleet, Operation, Plant, Service, Variant, Version
from traceguard.simulate.generate import generate
from traceguard.simulate.recording import Recording

Family = Literal["self", "inbound", "error", "tail", "calls"]
Cause = Literal["flag", "version", "pair"]

TAIL_SHARE = 0.2  # a tail plant hits one request in five, five times as hard
PILOT_REQUESTS = 2000
REACH = {
    "flag": 0.15,
    "version": 0.25,
    "pair": 0.4,
}  # requests that run the planted operation: enough meet its conditions
DRAFT_MS = 10.0  # plants are drafted at this size and then scaled to what shows at the entry point
VISIBLE = 0.5  # of which at least this part must show
MOST_EXTRA_CALLS = 8
LEVELS = 3  # levels of services below the entry points
RARE_CALLS = (0.05, 0.1, 0.3)  # how often a service is called that nothing else calls
LANGUAGES = ("go", "rust", "java", "python", "nodejs")


def random_fleet(
    seed: int, *, services: int = 20, flags: int = 8, entries: int = 4, family: Family | None = "self",
    cause: Cause = "flag", strength: float = 0.5, users: int = 1000,
) -> Fleet:  # fmt: skip
    """A fleet whose calls form a random graph without cycles, at most four services deep, with one plant or none.

    `strength` is the plant's mean effect on the requests it touches, in standard deviations of the latency of the entry
    point it touches most; an error plant fails `strength` / 10 of the calls. `family=None` plants nothing; `cause` is
    one flag, one version, or a flag and a version together. The planted operation runs in at least the part of the
    requests that `REACH` says, where the fleet has such an operation.
    """
    draw = np.random.default_rng([seed, services, flags, entries])
    members = tuple(_service(draw, number) for number in range(services))
    operations = _adopted(np.random.default_rng([seed, services]), members, _operations(draw, members, entries))
    doors = tuple(
        EntryPoint(o.service, o.name, float(weight))
        for o, weight in zip(operations, draw.uniform(0.5, 2.0, entries), strict=False)
    )
    fleet = Fleet(
        name=f"random-{seed}", services=members, operations=operations, entries=doors, users=users,
        activity=0.6, flags=tuple(_flag(draw, number, doors) for number in range(flags)),
    )  # fmt: skip
    if family is None:
        return fleet
    return replace(fleet, plants=(_plant(draw, fleet, seed, family, cause, strength),))


def _service(draw: np.random.Generator, number: int) -> Service:
    versions: tuple[Version, ...] = (Version(f"1.{draw.integers(20)}.0", instances=int(draw.integers(1, 4))),)
    if draw.random() < 0.4:
        share = float(draw.uniform(0.2, 0.5))
        versions = (replace(versions[0], share=1 - share), Version("2.0.0", share, instances=versions[0].instances))
    language = LANGUAGES[int(draw.integers(len(LANGUAGES)))]
    return Service(f"service-{number:02d}", language, versions, "log" if draw.random() < 0.2 else "event")


def _operations(draw: np.random.Generator, members: tuple[Service, ...], entries: int) -> tuple[Operation, ...]:
    """One operation a service (the first has one an entry point), each calling services of the next level."""
    depth = _depth(len(members))
    below = {level: np.flatnonzero(depth == level + 1) for level in range(int(depth.max()) + 1)}
    found = []
    for number, service in enumerate(members):
        for door in range(entries if number == 0 else 1):
            callees = below[int(depth[number])]
            # Most calls of an entry point always happen: requests that differ twofold are no single population.
            wanted = min(callees.size, int(draw.integers(2, 5) if number == 0 else draw.integers(0, 3)))
            chosen = draw.permutation(callees)[:wanted]
            chances = (0.9, 1.0, 1.0) if number == 0 else (0.5, 0.8, 1.0)
            calls = [
                Call(members[c].name, "handle", float(draw.choice(chances)), 1 + int(draw.random() < 0.1))
                for c in chosen
            ]
            split = int(draw.integers(1, 3))
            stages = [tuple(calls[:split]), tuple(calls[split:])]
            local = _database(number)
            if number and draw.random() < 0.5:
                stages.append((Call(service.name, local.name),))
                found.append((number, replace(local, service=service.name)))
            found.append((number, Operation(
                service.name, f"GET /{door}" if number == 0 else "handle", float(draw.uniform(3, 25)),
                float(draw.uniform(0.3, 0.6)),
                stages=tuple(stage for stage in stages if stage), error_rate=float(draw.choice([0.0, 0.001, 0.004])),
                attributes={"http.request.method": "GET", "http.route": f"/{door}"} if number == 0
                else {"rpc.system.name": "grpc", "rpc.method": f"{service.name}/handle"},
            )))  # fmt: skip
    doors = [operation for number, operation in found if number == 0]
    return (*doors, *(operation for number, operation in found if number != 0))


def _depth(services: int) -> NDArray[np.int64]:
    """The level of each service: the first at the edge, the others in equal parts below."""
    return np.sort(np.concatenate([[0], 1 + np.arange(services - 1) % min(LEVELS, services - 1)]))


def _adopted(
    draw: np.random.Generator, members: tuple[Service, ...], operations: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """Give every service that nothing calls a caller on the level above, which calls it now and then."""
    depth, found = _depth(len(members)), list(operations)
    called = {c.service for o in operations for stage in o.stages for c in stage if c.service != o.service}
    level = {member.name: int(depth[number]) for number, member in enumerate(members)}
    for number in range(1, len(members)):
        if members[number].name in called:
            continue
        above = int(depth[number]) - 1
        caller = int(draw.choice([i for i, o in enumerate(found) if o.kind == "server" and level[o.service] == above]))
        call = Call(members[number].name, "handle", float(draw.choice(RARE_CALLS)))
        found[caller] = replace(found[caller], stages=(*found[caller].stages, (call,)))
    return tuple(found)


def _database(number: int) -> Operation:
    return Operation(
        "",
        "SELECT rows",
        4.0,
        0.5,
        "client",
        attributes={"db.system.name": "postgresql", "db.namespace": f"db{number}"},
    )


def _flag(draw: np.random.Generator, number: int, doors: tuple[EntryPoint, ...]) -> Flag:
    """An on/off flag at the edge; from the fourth on some ramp, follow an earlier one, or belong to one entry point."""
    share = float(draw.uniform(0.2, 0.5))
    end = float(draw.uniform(0.15, 0.7)) if number >= 3 and draw.random() < 0.4 else share
    flag = Flag(
        f"flag-{number:02d}",
        (Variant("off", 1 - share, 1 - end), Variant("on", share, end)),
        ((doors[0].service, None),),
    )
    shape = draw.random() if number >= 3 else 1.0
    if shape < 0.2:
        return replace(flag, entry=(doors[0].service, doors[int(draw.integers(len(doors)))].operation))
    if shape < 0.5:
        return replace(flag, follows=f"flag-{number - 1:02d}", agreement=float(draw.uniform(0.3, 0.8)))
    return flag


def _plant(draw: np.random.Generator, fleet: Fleet, seed: int, family: Family, cause: Cause, strength: float) -> Plant:
    """A plant at a random operation that is reached often enough, sized by pilot runs with and without it.

    The size counts at the entry point: a delay that parallel calls mostly hide is planted elsewhere.
    """
    healthy = _pilot(fleet, seed)
    latency = _latency_ms(healthy)
    entry = np.asarray(healthy.requests["entry_operation"].combine_chunks().indices)
    best: tuple[float, Plant] | None = None
    for plant in _drafts(draw, fleet, healthy, family, cause):
        if family == "error":
            return replace(plant, error_rate=strength / 10)
        ill = _pilot(replace(fleet, plants=(plant,)), seed)
        (touched,) = ill.truth.touched
        if not touched.any():
            continue
        visible = float((_latency_ms(ill) - latency)[touched].mean())
        usual = np.bincount(entry[touched]).argmax()
        factor = strength * float(latency[entry == usual].std()) / max(visible, 1e-6)
        sized = _sized(plant, family, factor)
        if visible > DRAFT_MS * VISIBLE:
            return sized
        best = min((best or (factor, sized)), (factor, sized), key=lambda pair: pair[0])
    if best is None:
        raise UsageError("No request reaches an operation that could be planted; ask for fewer services or more users.")
    return best[1]


def _sized(plant: Plant, family: Family, factor: float) -> Plant:
    """The draft made `factor` times as large; a tail hits fewer requests, each harder."""
    match family:
        case "tail":
            return replace(plant, self_ms=plant.self_ms * factor / TAIL_SHARE, share=TAIL_SHARE)
        case "calls":
            return replace(plant, extra_calls=int(np.clip(round(plant.extra_calls * factor), 1, MOST_EXTRA_CALLS)))
        case _:
            return replace(plant, self_ms=plant.self_ms * factor, inbound_ms=plant.inbound_ms * factor)


def _drafts(
    draw: np.random.Generator, fleet: Fleet, healthy: Recording, family: Family, cause: Cause
) -> Iterator[Plant]:
    """Plants of one size at every operation that suits the family and is reached often enough, in random order."""
    rows = healthy.skeleton.rows
    callers = {(o.service, o.name): o.stages for o in fleet.operations if o.stages}
    several = {service.name for service in fleet.services if len(service.versions) > 1}
    found = []
    for number, site in enumerate(healthy.skeleton.sites):
        name = (fleet.services[site.service].name, site.name)
        suits = site.kind == "server" and (family != "calls" or name in callers)
        suits &= (family != "inbound" or site.service > 0) and (cause == "flag" or name[0] in several)
        if suits:
            found.append((name, np.unique(rows.request[rows.site == number]).size / PILOT_REQUESTS))
    busy = [pair for pair in found if pair[1] >= REACH[cause]] or sorted(found, key=lambda pair: -pair[1])[:1]
    free = [flag for flag in fleet.flags if flag.entry is None]
    for chosen in draw.permutation(len(busy)):
        service, operation = busy[int(chosen)][0]
        versions = next(s.versions for s in fleet.services if s.name == service)
        plant = Plant(
            service, operation,
            flags=() if cause == "version" else ((free[int(draw.integers(len(free)))].key, "on"),),
            versions=() if cause == "flag" else ((service, versions[-1].name),),
        )  # fmt: skip
        match family:
            case "self" | "tail":
                yield replace(plant, self_ms=DRAFT_MS, self_sigma=0.2)
            case "inbound":
                yield replace(plant, inbound_ms=DRAFT_MS)
            case "calls":
                first = callers[service, operation][0][0]
                yield replace(plant, extra_calls=2, extra_call=(first.service, first.operation))
            case "error":
                yield plant


def _pilot(fleet: Fleet, seed: int) -> Recording:
    return generate(fleet, requests=PILOT_REQUESTS, seed=seed + 1, start_ns=0, duration_ns=3_600_000_000_000)


def _latency_ms(recording: Recording) -> NDArray[np.float64]:
    return np.asarray(recording.requests["dur_ns"].to_numpy() / 1e6, dtype=np.float64)
