"""Who asks for what, when, and under which flags and versions: the requests of a recording before anything runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.simulate.draws import Floats, Keys, lognormal, mix, numbered, uniform
from traceguard.simulate.fleet import Flag, Fleet, Plant

SESSION_NS = 30 * 60 * 1_000_000_000  # a user's requests within half an hour share a session


@dataclass(frozen=True, slots=True)
class Process:
    """One running instance of a version of a service: what an OTLP resource describes."""

    service: int  # index into fleet.services
    version: str
    instance: str


@dataclass(frozen=True, slots=True)
class Requests:
    """The r requests of a recording, in order of their start.

    `assigned` holds the flag level of each request's user whether or not the request evaluates the flag; `version` and
    `process` say which version and instance of each service would serve the request.
    """

    processes: tuple[Process, ...]
    keys: Keys  # r
    start: NDArray[np.int64]  # r: ns since the epoch
    position: Floats  # r: 0 at the start of the recording, 1 at its end
    entry: NDArray[np.int32]  # r: index into fleet.entries
    user: NDArray[np.int32]  # r
    user_key: Keys  # r
    session_key: Keys  # r
    pace: Floats  # r: multiplies every own time
    assigned: NDArray[np.int8]  # flags by r: index into the flag's variants
    version: NDArray[np.int8]  # services by r: index into the service's versions
    process: NDArray[np.int32]  # services by r: index into processes


def arrive(fleet: Fleet, *, requests: int, seed: int, start_ns: int, duration_ns: int) -> Requests:
    """Requests at random moments of `[start_ns, start_ns + duration_ns)`, each by a user at an entry point."""
    keys = numbered(requests, "request", seed)
    position = _moments(np.sort(uniform(numbered(requests, "arrival", seed), "position")), fleet.growth)
    start = start_ns + np.minimum((position * duration_ns).astype(np.int64), duration_ns - 1)
    entry = _pick(uniform(keys, "entry"), _moving([(e.weight, e.weight_end, None) for e in fleet.entries], position))
    activity = np.cumsum(np.arange(1, fleet.users + 1, dtype=np.float64) ** -fleet.activity)
    user = np.searchsorted(activity, uniform(keys, "user") * activity[-1]).astype(np.int32)
    user_key = numbered(fleet.users, "user", seed)[user]
    session_key = mix(user_key ^ (start // SESSION_NS).astype(np.uint64), "session")
    pace = lognormal(user_key, "pace", 1.0, fleet.user_sigma) * lognormal(keys, "pace", 1.0, fleet.request_sigma)
    processes, version, process = _served_by(fleet, keys, position)
    return Requests(
        processes=processes, keys=keys, start=start, position=position, entry=entry.astype(np.int32), user=user,
        user_key=user_key, session_key=session_key, pace=pace * (1.0 + fleet.drift * position),
        assigned=_assign(fleet, user_key, position), version=version, process=process,
    )  # fmt: skip


def afflicted(fleet: Fleet, requests: Requests, number: int) -> NDArray[np.bool_]:
    """r: the requests that meet the conditions of plant `number`, whether or not they reach its operation."""
    plant: Plant = fleet.plants[number]
    first, last = plant.window
    hit = (requests.position >= first) & (requests.position < last)
    keys = [flag.key for flag in fleet.flags]
    names = [service.name for service in fleet.services]
    for key, variant in plant.flags:
        flag = fleet.flags[keys.index(key)]
        level = [v.name for v in flag.variants].index(variant)
        hit &= (requests.assigned[keys.index(key)] == level) & evaluable(fleet, requests, flag)
    for service, version in plant.versions:
        level = [v.name for v in fleet.services[names.index(service)].versions].index(version)
        hit &= requests.version[names.index(service)] == level
    if plant.share < 1.0:
        hit &= uniform(requests.keys, f"plant/{number}") < plant.share
    return hit


def evaluable(fleet: Fleet, requests: Requests, flag: Flag) -> NDArray[np.bool_]:
    """r: the requests whose entry point evaluates the flag at all."""
    if flag.entry is None:
        return np.ones(requests.keys.size, dtype=np.bool_)
    wanted = [i for i, e in enumerate(fleet.entries) if (e.service, e.operation) == flag.entry]
    return np.isin(requests.entry, wanted)


def _moments(even: Floats, growth: float) -> Floats:
    """Moments of traffic that grows linearly to 1 + `growth` times its rate, from evenly spread ones (both 0 to 1)."""
    if growth == 0.0:
        return even
    return np.asarray((np.sqrt(1.0 + even * growth * (growth + 2.0)) - 1.0) / growth, dtype=np.float64)


def _moving(shares: list[tuple[float, float | None, float | None]], position: Floats) -> Floats:
    """Cumulative shares, rows by r, scaled to end at 1.

    A share moves from its first to its last value, linearly or where a third number says at that position.
    """
    rows = []
    for first, last, step in shares:
        moved = position if step is None else (position >= step).astype(np.float64)
        rows.append(first + ((first if last is None else last) - first) * moved)
    cumulative = np.cumsum(np.array(rows), axis=0)
    return np.asarray(cumulative / cumulative[-1], dtype=np.float64)


def _pick(draw: Floats, cumulative: Floats) -> NDArray[np.int64]:
    return np.asarray((draw[None, :] >= cumulative[:-1]).sum(axis=0), dtype=np.int64)


def _assign(fleet: Fleet, user_key: Keys, position: Floats) -> NDArray[np.int8]:
    levels = np.zeros((len(fleet.flags), user_key.size), dtype=np.int8)
    for row, flag in enumerate(fleet.flags):
        draw = uniform(user_key, f"flag/{flag.key}")
        if flag.follows is not None:
            agrees = uniform(user_key, f"agrees/{flag.key}") < flag.agreement
            draw = np.where(agrees, uniform(user_key, f"flag/{flag.follows}"), draw)
        levels[row] = _pick(draw, _moving([(v.share, v.share_end, v.step_at) for v in flag.variants], position))
    return levels


def _served_by(
    fleet: Fleet, keys: Keys, position: Floats
) -> tuple[tuple[Process, ...], NDArray[np.int8], NDArray[np.int32]]:
    processes: list[Process] = []
    version = np.zeros((len(fleet.services), keys.size), dtype=np.int8)
    process = np.zeros((len(fleet.services), keys.size), dtype=np.int32)
    for row, service in enumerate(fleet.services):
        shares = [(v.share, v.share_end, v.step_at) for v in service.versions]
        version[row] = _pick(uniform(keys, f"version/{service.name}"), _moving(shares, position))
        first = np.array([0, *np.cumsum([v.instances for v in service.versions])[:-1]]) + len(processes)
        instances = np.array([v.instances for v in service.versions])
        chosen = uniform(keys, f"instance/{service.name}") * instances[version[row]]
        process[row] = first[version[row]] + chosen.astype(np.int32)
        processes += [
            Process(row, v.name, f"{service.name}-{v.name}-{number}")
            for v in service.versions
            for number in range(v.instances)
        ]
    return tuple(processes), version, process
