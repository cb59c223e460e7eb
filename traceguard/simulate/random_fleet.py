"""Fleets drawn at random, each with one planted cause: many of them measure how often an analysis is right."""

from dataclasses import replace
from typing import Literal

import numpy as np

from traceguard.simulate.fleet import Call, EntryPoint, Flag, Fleet, Operation, Plant, Service, Variant, Version
from traceguard.simulate.generate import generate

Family = Literal["self", "inbound", "error", "tail", "calls"]
Cause = Literal["flag", "version", "pair"]

TAIL_SHARE = 0.2  # a tail plant hits one request in five, five times as hard
PILOT_REQUESTS = 2000
REACH = {
    "flag": 0.15,
    "version": 0.25,
    "pair": 0.4,
}  # requests that run the planted operation: enough meet its conditions
LEVELS = 3  # levels of services below the entry points
LANGUAGES = ("go", "rust", "java", "python", "nodejs")


def random_fleet(
    seed: int, *, services: int = 20, flags: int = 8, entries: int = 4, family: Family | None = "self",
    cause: Cause = "flag", strength: float = 0.5, users: int = 1000,
) -> Fleet:  # fmt: skip
    """A fleet whose calls form a random graph without cycles, at most four services deep, with one plant or none.

    `strength` is the plant's mean effect in standard deviations of the latency of the entry point it reaches most; an
    error plant fails `strength` / 10 of the calls. `family=None` plants nothing; `cause` is one flag, one version, or a
    flag and a version together. The planted operation runs in at least the part of the requests that `REACH` says,
    where the fleet has such an operation.
    """
    draw = np.random.default_rng([seed, services, flags, entries])
    members = tuple(_service(draw, number) for number in range(services))
    operations = _operations(draw, members, entries)
    doors = tuple(
        EntryPoint(o.service, o.name, float(weight))
        for o, weight in zip(operations, draw.uniform(0.5, 2.0, entries), strict=False)
    )
    fleet = Fleet(
        name=f"random-{seed}", services=members, operations=operations, entries=doors, users=users,
        flags=tuple(_flag(draw, number, doors) for number in range(flags)),
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
    depth = np.sort(np.concatenate([[0], 1 + np.arange(len(members) - 1) % min(LEVELS, len(members) - 1)]))
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
    """A plant at a random operation that is reached often enough, sized by a pilot run of the healthy fleet."""
    pilot = generate(fleet, requests=PILOT_REQUESTS, seed=seed + 1, start_ns=0, duration_ns=3_600_000_000_000)
    rows, sites = pilot.skeleton.rows, pilot.skeleton.sites
    callers = {(o.service, o.name): o for o in fleet.operations if o.stages}
    candidates = []
    for number, site in enumerate(sites):
        served = np.unique(rows.request[rows.site == number])
        name = (fleet.services[site.service].name, site.name)
        suits = (
            site.kind == "server"
            and (family != "calls" or name in callers)
            and (family != "inbound" or site.service > 0)
        )
        if suits:
            candidates.append((name, served))
    if cause != "flag":
        several = {service.name for service in fleet.services if len(service.versions) > 1}
        candidates = [candidate for candidate in candidates if candidate[0][0] in several] or candidates
    busy = [candidate for candidate in candidates if candidate[1].size >= PILOT_REQUESTS * REACH[cause]]
    candidates = busy or [max(candidates, key=lambda candidate: candidate[1].size)]
    (service, operation), served = candidates[int(draw.integers(len(candidates)))]
    latency = pilot.requests["dur_ns"].to_numpy() / 1e6
    entry = np.asarray(pilot.requests["entry_operation"].combine_chunks().indices)
    usual = np.bincount(entry[served]).argmax()
    effect_ms = strength * float(latency[entry == usual].std())
    free = [flag for flag in fleet.flags if flag.entry is None]
    flag = free[int(draw.integers(len(free)))]
    versions = next(s.versions for s in fleet.services if s.name == service)
    by_version = cause != "flag" and len(versions) > 1
    plant = Plant(
        service, operation, flags=() if cause == "version" and by_version else ((flag.key, "on"),),
        versions=((service, versions[-1].name),) if by_version else (),
    )  # fmt: skip
    match family:
        case "self":
            return replace(plant, self_ms=effect_ms, self_sigma=0.2)
        case "tail":
            return replace(plant, self_ms=effect_ms / TAIL_SHARE, self_sigma=0.2, share=TAIL_SHARE)
        case "inbound":
            return replace(plant, inbound_ms=effect_ms)
        case "error":
            return replace(plant, error_rate=strength / 10)
        case "calls":
            return replace(plant, extra_calls=3)
