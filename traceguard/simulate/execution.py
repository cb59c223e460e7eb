"""Requests to executions: which operations run, for how long, when, and which fail.

A `Block` is every run of one operation at one place of the call tree (one call, one repetition of one caller's block),
as arrays over the requests that get there, so the work per fleet is a few hundred array operations however many
requests there are. Times are whole nanoseconds throughout: a synchronous child lies inside its parent exactly, and
segments and stages add up to the run without rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import UsageError
from traceguard.simulate.draws import Keys, lognormal, mix, uniform
from traceguard.simulate.fleet import Call, Fleet, Operation, Plant
from traceguard.simulate.traffic import Requests, afflicted

MAX_DEPTH = 40  # a call tree this deep is a cycle

Nanos = NDArray[np.int64]
OK, OWN, UPSTREAM = 0, 1, 2  # values of Block.failure


@dataclass(slots=True)
class Block:
    """The m runs of an operation at one place of the call tree; times are measured upward, then placed downward."""

    operation: Operation
    call: Call | None  # None: an entry point
    caller: "Block | None"
    rows: NDArray[np.int64]  # m: positions in the caller's arrays
    request: NDArray[np.int64]  # m: request numbers
    key: Keys  # m
    stages: list[list[list["Block"]]] = field(default_factory=list)  # stage → call → repetition
    segment: Nanos = field(
        default_factory=lambda: np.empty(0, np.int64)
    )  # m: own time before, between and after stages
    last_segment: Nanos = field(default_factory=lambda: np.empty(0, np.int64))
    before: Nanos = field(default_factory=lambda: np.empty(0, np.int64))  # m: from the call to the start of the run
    duration: Nanos = field(default_factory=lambda: np.empty(0, np.int64))
    occupied: Nanos = field(default_factory=lambda: np.empty(0, np.int64))  # m: how long the caller waits
    offset: Nanos = field(default_factory=lambda: np.empty(0, np.int64))  # m: from the caller's start to the call
    start: Nanos = field(default_factory=lambda: np.empty(0, np.int64))  # m: ns since the epoch
    failure: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))  # m: OK, OWN or UPSTREAM

    def children(self) -> Iterator["Block"]:
        """Every block that this one calls, in the order of the calls."""
        for stage in self.stages:
            for repetitions in stage:
                yield from repetitions


@dataclass(frozen=True, slots=True)
class Execution:
    """What ran: the blocks, callers before callees, and per plant the requests (r booleans) that it really touched."""

    blocks: tuple[Block, ...]
    touched: tuple[NDArray[np.bool_], ...]


def execute(fleet: Fleet, requests: Requests) -> Execution:
    """Run every request through the fleet."""
    return _Run(fleet, requests).everything()


class _Run:
    """The state of one `execute`: the fleet's operations by name and which requests each plant afflicts."""

    def __init__(self, fleet: Fleet, requests: Requests) -> None:
        self.requests = requests
        self.entries = fleet.entries
        self.operations = {(o.service, o.name): o for o in fleet.operations}
        self.plants: dict[tuple[str, str], list[tuple[int, Plant]]] = {}
        for number, plant in enumerate(fleet.plants):
            self.plants.setdefault((plant.service, plant.operation), []).append((number, plant))
        self.afflicted = [afflicted(fleet, requests, number) for number in range(len(fleet.plants))]
        self.touched = [np.zeros(requests.keys.size, np.bool_) for _ in fleet.plants]
        self.blocks: list[Block] = []

    def everything(self) -> Execution:
        for number, entry in enumerate(self.entries):
            chosen = np.flatnonzero(self.requests.entry == number)
            if chosen.size:
                operation = self.operations[entry.service, entry.operation]
                root = Block(operation, None, None, chosen, chosen, mix(self.requests.keys[chosen], "run"))
                self._grow(root, 0)
                self._place(root, self.requests.start[chosen])
        return Execution(tuple(self.blocks), tuple(self.touched))

    def _plants(self, block: Block) -> list[tuple[Plant, NDArray[np.bool_], str]]:
        """The plants at this block's operation with the runs they hit."""
        found = []
        for number, plant in self.plants.get((block.operation.service, block.operation.name), []):
            hit = self.afflicted[number][block.request]
            self.touched[number][block.request[hit]] = True
            found.append((plant, hit, f"plant/{number}"))
        return found

    def _grow(self, block: Block, depth: int) -> None:
        """Give the block its children and them theirs, then its duration and failures, which follow from theirs."""
        if depth > MAX_DEPTH:
            name = f"{block.operation.service} {block.operation.name}"
            raise UsageError(f"The operation {name!r} calls itself; remove the cycle from the fleet.")
        self.blocks.append(block)
        plants = self._plants(block)
        for s, stage in enumerate(block.operation.stages):
            block.stages.append([self._called(block, call, f"{s}/{c}", plants) for c, call in enumerate(stage)])
        for child in block.children():
            self._grow(child, depth + 1)
        self._own_time(block, plants)
        self._measure(block)
        self._fail(block, plants)

    def _called(
        self, block: Block, call: Call, name: str, plants: list[tuple[Plant, NDArray[np.bool_], str]]
    ) -> list[Block]:
        """One block per repetition of a call; a plant's extra ones come last, so they change no other's draws."""
        happens = np.ones(block.key.size, np.bool_)
        if call.probability < 1.0:
            happens = uniform(block.key, f"call/{name}") < call.probability
        first = block.operation.stages[0][0]
        masks = [happens] * call.repetitions
        for plant, hit, _ in plants:
            target = plant.extra_call or (first.service, first.operation)
            if plant.extra_calls and target == (call.service, call.operation):
                masks += [happens & hit] * plant.extra_calls
        callee = self.operations[call.service, call.operation]
        blocks = []
        for repetition, mask in enumerate(masks):
            rows = np.flatnonzero(mask)
            if rows.size:
                key = mix(block.key[rows], f"run/{name}/{repetition}")
                blocks.append(Block(callee, call, block, rows, block.request[rows], key))
        return blocks

    def _own_time(self, block: Block, plants: list[tuple[Plant, NDArray[np.bool_], str]]) -> None:
        operation = block.operation
        own = lognormal(block.key, "own", operation.own_ms, operation.sigma) * self.requests.pace[block.request]
        total = _nanos(own)
        gaps = len(block.stages) + 1
        block.segment = total // gaps
        block.last_segment = total - block.segment * (gaps - 1)
        wire = _nanos(lognormal(block.key, "network", operation.network_ms, 0.5))
        inside = block.call is None or operation.kind in ("internal", "client")
        block.before = np.zeros_like(wire) if inside else wire // (1 if operation.kind == "consumer" else 2)
        after = np.zeros_like(wire) if inside else wire - wire // 2
        for plant, hit, name in plants:
            extra = lognormal(block.key, f"{name}/self", plant.self_ms, plant.self_sigma)
            block.last_segment += np.where(hit, _nanos(extra), 0)
            if not inside:
                block.before += np.where(hit, _nanos(np.full(hit.shape, plant.inbound_ms)), 0)
        # Until the run itself is measured, `occupied` holds what the caller waits beyond it.
        if operation.kind == "consumer":
            block.occupied = _nanos(lognormal(block.key, "publish", 0.8, 0.3))
            block.before += block.occupied
        else:
            block.occupied = block.before + after

    def _measure(self, block: Block) -> None:
        clock = block.segment.copy() if block.stages else np.zeros_like(block.segment)
        for stage in block.stages:
            longest = np.zeros_like(clock)
            for repetitions in stage:
                waited = np.zeros_like(clock)
                for child in repetitions:
                    child.offset = clock[child.rows] + waited[child.rows]
                    waited[child.rows] += child.occupied
                np.maximum(longest, waited, out=longest)
            clock += longest + block.segment
        # The loop adds a plain segment after the last stage too; the last one carries the remainder and the plants.
        if block.stages:
            clock -= block.segment
        block.duration = clock + block.last_segment
        if block.operation.kind != "consumer":
            block.occupied += block.duration

    def _fail(self, block: Block, plants: list[tuple[Plant, NDArray[np.bool_], str]]) -> None:
        own = uniform(block.key, "error") < block.operation.error_rate
        for plant, hit, name in plants:
            if plant.error_rate:
                own |= hit & (uniform(block.key, f"{name}/error") < plant.error_rate)
        block.failure = np.where(own, OWN, OK).astype(np.int8)
        for child in block.children():
            if child.call is not None and not child.call.tolerated and child.operation.kind != "consumer":
                block.failure[child.rows[child.failure != OK]] = UPSTREAM

    def _place(self, block: Block, start: Nanos) -> None:
        block.start = start
        for child in block.children():
            self._place(child, start[child.rows] + child.offset + child.before)


def _nanos(ms: NDArray[np.float64]) -> Nanos:
    return np.asarray(np.rint(ms * 1e6), dtype=np.int64)
