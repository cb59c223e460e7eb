"""What tells two periods apart beside the time on the critical path: which call follows which, and time per call."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.left_out import LeftOut
from traceguard.engine.local import Window
from traceguard.traces.call_time import CallTimes, call_times_of, no_call_times
from traceguard.traces.link import Linked
from traceguard.traces.structure import Structure, blocks_of, no_structure, shapes_and_ways, structure_of
from traceguard.units import Period


@dataclass(frozen=True, slots=True)
class Between:
    """Structure and times of the calls of two periods; merges by `+`."""

    structure: Structure
    times: CallTimes

    def __add__(self, other: "Between") -> "Between":
        """The sums of both."""
        return Between(self.structure + other.structure, self.times + other.times)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        frames = (self.structure.steps, self.structure.requests, self.times.rows)
        return sum(int(frame.estimated_size()) for frame in frames)


def nothing_between() -> Between:
    """Of no requests."""
    return Between(no_structure(), no_call_times())


def between(
    window: Window, left_out: LeftOut, baseline: Period, candidate: Period, judged: NDArray[np.bool_] | None = None
) -> Callable[[Linked, NDArray[np.int32]], Between]:
    """What makes a partition's part of linked traces and their `callees`; several threads may use it at once.

    `judged` marks the traces of the window that count, all where it is None.
    """
    of_trace = blocks_of(window.begun, baseline, candidate)
    if judged is not None:
        of_trace[~judged] = -1

    def part(linked: Linked, callee: NDArray[np.int32]) -> Between:
        rows = window.rows_of(linked.trace_hash)[linked.trace[linked.root]]
        block = np.where(left_out.rule_of(linked.operation[linked.root], rows) < 0, of_trace[rows], np.int32(-1))
        shaped = shapes_and_ways(linked, callee)
        return Between(structure_of(linked, callee, block, shaped), call_times_of(linked, callee, block, shaped))

    return part
