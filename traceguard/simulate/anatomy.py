"""What became of every request, component by component, without a span being written: the exact side of the truth.

A component is (service, operation, `self` | `inbound`). Each instant of a request belongs to one component: of parallel
calls to those that the caller waited longest for, of a call to another service its network time to the callee's way in.
It takes a hundredth of the time that a recording takes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard.simulate.execution import OK, OWN, Block, Execution, execute
from traceguard.simulate.fleet import Fleet
from traceguard.simulate.traffic import Requests, arrive, evaluable

HOUR_NS = 3_600_000_000_000

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The r requests of a run of a fleet; `critical` marks, for each block, the runs that their request waited for."""

    fleet: Fleet
    requests: Requests
    execution: Execution
    critical: tuple[Mask, ...]

    @property
    def dur_ms(self) -> Floats:
        """r: latency in milliseconds."""
        return self._at_roots([block.duration / 1e6 for block in self._roots])

    @property
    def failed(self) -> Mask:
        """r: whether the request failed."""
        return self._at_roots([(block.failure != OK).astype(np.float64) for block in self._roots]) > 0

    def part_ms(self, service: str, operation: str, locus: Literal["self", "inbound"]) -> Floats:
        """r: the milliseconds of the request that belong to a component."""
        part = np.zeros(self.requests.keys.size)
        for block, waited in zip(self.execution.blocks, self.critical, strict=True):
            if (block.operation.service, block.operation.name) == (service, operation):
                spent = _own(block) if locus == "self" else _on_the_way(block)
                np.add.at(part, block.request, np.where(waited, spent / 1e6, 0.0))
        return part

    def origin(self, service: str, operation: str) -> Mask:
        """r: whether the request failed and the operation failed in it on its own."""
        began = np.zeros(self.requests.keys.size, dtype=np.bool_)
        for block in self.runs(service, operation):
            began[block.request[block.failure == OWN]] = True
        return began & self.failed

    def calls(self, service: str, operation: str) -> Floats:
        """r: how often the operation ran."""
        count = np.zeros(self.requests.keys.size)
        for block in self.runs(service, operation):
            np.add.at(count, block.request, 1.0)
        return count

    def reached(self, service: str) -> Mask:
        """r: whether any operation of the service ran, which is when its version is known."""
        found = np.zeros(self.requests.keys.size, dtype=np.bool_)
        for block in self.execution.blocks:
            if block.operation.service == service:
                found[block.request] = True
        return found

    def evaluated(self, key: str) -> Mask:
        """r: whether the request evaluated the flag."""
        flag = next(flag for flag in self.fleet.flags if flag.key == key)
        found = np.zeros(self.requests.keys.size, dtype=np.bool_)
        for block in self.execution.blocks:
            operation = block.operation
            anywhere = operation.kind in ("server", "consumer") and (operation.service, None) in flag.evaluated_in
            if anywhere or (operation.service, operation.name) in flag.evaluated_in:
                found[block.request] = True
        return found & evaluable(self.fleet, self.requests, flag)

    def level(self, key: str) -> NDArray[np.int8]:
        """r: the flag's level that the request's user has, as an index into its variants."""
        return np.asarray(self.requests.assigned[[flag.key for flag in self.fleet.flags].index(key)], dtype=np.int8)

    def version(self, service: str) -> NDArray[np.int8]:
        """r: the version of the service that would serve the request, as an index into its versions."""
        return np.asarray(self.requests.version[[s.name for s in self.fleet.services].index(service)], dtype=np.int8)

    def runs(self, service: str, operation: str) -> list[Block]:
        """The blocks of an operation."""
        return [b for b in self.execution.blocks if (b.operation.service, b.operation.name) == (service, operation)]

    @property
    def _roots(self) -> list[Block]:
        return [block for block in self.execution.blocks if block.call is None]

    def _at_roots(self, values: list[Floats]) -> Floats:
        found = np.zeros(self.requests.keys.size)
        for block, value in zip(self._roots, values, strict=True):
            found[block.request] = value
        return found


def dissect(fleet: Fleet, *, requests: int, seed: int, start_ns: int = 0, duration_ns: int = HOUR_NS) -> Anatomy:
    """Run requests through the fleet; `generate` with the same arguments writes the spans of the same requests."""
    arrivals = arrive(fleet, requests=requests, seed=seed, start_ns=start_ns, duration_ns=duration_ns)
    execution = execute(fleet, arrivals)
    waited = {id(block): np.ones(block.rows.size, dtype=np.bool_) for block in execution.blocks if block.call is None}
    for block in execution.blocks:  # callers before callees
        for stage in block.stages:
            _wait(block, stage, waited)
    return Anatomy(fleet, arrivals, execution, tuple(waited[id(block)] for block in execution.blocks))


def _wait(block: Block, stage: list[list[Block]], waited: dict[int, Mask]) -> None:
    """Mark the runs of a stage that the caller waited for: the call that took longest, with all its repetitions."""
    took = np.zeros((len(stage), block.rows.size), dtype=np.int64)
    for number, repetitions in enumerate(stage):
        for child in repetitions:
            took[number, child.rows] += child.occupied
    longest = took.argmax(axis=0)
    for number, repetitions in enumerate(stage):
        for child in repetitions:
            chosen = waited[id(block)][child.rows] & (longest[child.rows] == number)
            # Nobody waits for what runs behind a queue.
            waited[id(child)] = chosen & (child.operation.kind != "consumer")


def _own(block: Block) -> NDArray[np.int64]:
    """m: the run's own time, with the network time of calls that it does not report."""
    own = block.segment * len(block.stages) + block.last_segment
    for child in block.children():
        if child.call is not None and not child.call.client_span:
            own[child.rows] += child.occupied - (child.duration if child.operation.kind != "consumer" else 0)
    return own


def _on_the_way(block: Block) -> NDArray[np.int64]:
    if block.call is None or not block.call.client_span:
        return np.zeros_like(block.duration)
    return block.occupied - block.duration
