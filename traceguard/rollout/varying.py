"""What varies among the requests already: how many tests a report on the rollout makes, and what it adjusts for."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.compared import MIN_ENTRY_REQUESTS
from traceguard.explain.design import Column, design_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.rollout.recorded import Recorded
    from traceguard.traces.factors import Circumstances, Factor

METRICS = 5  # root metrics that a report tests


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels at one entry point that a report on the rollout adjusts for, as columns of its regression.

    `by_user` (flags) and `by_request` say how many there are besides those of the flag that is rolled out. `active`
    (r, a) holds, for each request that reaches the target, the numbers of those that apply, closed by -1: all of them,
    as what the flag does at its present exposure goes when users are moved.
    """

    by_user: int
    by_request: int
    active: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Tests:
    """How many tests a report on the rollout would make, for which it adjusts.

    `roots`: entry point by root metric by level; `components`: entry point by level by component, of time; `origins`:
    level by component in which errors began, which are tested over all entry points of an environment; `pairs`: entry
    points under the new level; `levels` by entry.
    """

    roots: int
    components: int
    origins: int
    pairs: int
    levels: dict[int, Levels] = field(default_factory=dict)


def count_tests(
    recorded: "Recorded", factors: "Sequence[Factor]", circumstances: "Circumstances", flag: str | None
) -> Tests:
    """Count the levels that vary now at each entry point, and the one that is rolled out where it is reached.

    A `flag` that varies already counts once.
    """

    def rolled_out(column: Column) -> bool:
        factor = column.levels[0].factor
        return factor.kind == "flag" and factor.key == flag

    requests = recorded.requests
    rows = circumstances.rows_of(requests.trace_hash)
    operations = max(len(recorded.names.operations), 1)
    width = 2 * operations
    roots = components = pairs = 0
    adjusted: dict[int, Levels] = {}
    errors: set[tuple[int, object, int]] = set()
    for entry in np.unique(requests.entry).tolist():
        mine = requests.entry == entry
        if np.count_nonzero(mine) < MIN_ENTRY_REQUESTS:
            continue
        design = design_of(factors, circumstances.levels[rows[mine]])
        tested = [c for c in design.columns if c.tested]
        others = [c for c in design.columns if not rolled_out(c)]
        flags = sum(c.levels[0].factor.kind == "flag" for c in others)
        reached = requests.reached[mine]
        adjusted[entry] = Levels(flags, len(others) - flags, design.active[reached].astype(np.int16))
        levels: list[object] = [c.identity for c in tested]
        if reached.any() and not any(rolled_out(c) for c in tested):
            levels.append("rolled out")
        roots += METRICS * len(levels)
        components += len(levels) * int(np.count_nonzero(recorded.components // width == entry))
        origins = recorded.origins[recorded.origins // width == entry] % width
        errors |= {(entry // operations, level, origin) for level in levels for origin in origins.tolist()}
        pairs += int(reached.any())
    return Tests(max(roots, METRICS), max(components, 1), max(len(errors), 1), max(pairs, 1), adjusted)
