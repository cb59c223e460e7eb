"""Count and cost: how much of a component's change of time is more calls, and how much more time a call.

Time is calls times cost. The product's change is split at the midpoint of both sides, which is Shapley's value of two
factors: neither goes first, and nothing is left. Inbound time has no calls of its own and takes those of its operation.
Where a side has no calls, the other side's cost stands for it, so that what appears or vanishes is all count.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST = 1e-9  # calls a request; an estimate below it is rounding


def count_part(components: NDArray[np.int32], time: tuple[Floats, Floats], calls: tuple[Floats, Floats]) -> Floats:
    """The part of each component's change of time that its number of calls makes; the rest is time a call.

    `components` (c, ascending) go with `time` and `calls` (c each) per request, of the reference and as observed.
    """
    own = np.searchsorted(components, components - components % 2)
    there = components[np.minimum(own, components.size - 1)] == components - components % 2
    before, after = (np.where(there, np.maximum(side[np.minimum(own, side.size - 1)], 0.0), 0.0) for side in calls)
    cost_before, cost_after = (
        np.divide(spent, number, out=np.zeros_like(spent), where=number > LEAST)
        for spent, number in zip(time, (before, after), strict=True)
    )
    cost_before = np.where(before > LEAST, cost_before, cost_after)
    cost_after = np.where(after > LEAST, cost_after, cost_before)
    part: Floats = (after - before) * (cost_before + cost_after) / 2
    return part
