"""From effects to a verdict: which entry points regressed under which level, with family-wise control.

The tests of the verdict are entry point by root metric by tested level, one-sided, adjusted by Holm: the chance that
anything is called a regression when nothing is stays below alpha, of which a part goes to tests of components. A change
must also be large enough to matter (`Floor`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.design import Column
from traceguard.explain.effects import LevelEffects, RootEffect
from traceguard.explain.entries import MIN_CLUSTERS, EntryEffects
from traceguard.stats.multiplicity import benjamini_hochberg, holm
from traceguard.stats.sequential import FIRST_LOOK_CLUSTERS

BY_PARTS = 0.25  # part of alpha for the tests of components, and once more for the roots of those that got worse
SETTLED = 0.25  # an upper bound below this part of the reference latency counts as "no regression that matters"


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Floor:
    """Smaller changes are not called regressions: a part of the reference, milliseconds, an error fraction."""

    relative: float = 0.01
    latency_ms: float = 0.05
    error_rate: float = 0.001

    def reached(self, root: RootEffect) -> bool:
        """Whether the change is at least the floor."""
        if root.metric == "error_rate":
            return abs(root.delta) >= self.error_rate
        return abs(root.delta) >= max(self.latency_ms, self.relative * abs(root.reference))


@dataclass(frozen=True, slots=True)
class Judged:
    """A tested level at an entry point with its adjusted p- and q-values per root metric, for worse and for better."""

    where: EntryEffects
    effects: LevelEffects
    by_time: bool
    testable: bool
    p_adjusted: tuple[float, ...]
    q_value: tuple[float, ...]
    p_better: tuple[float, ...]

    def regressed(self, alpha: float, floor: Floor) -> list[int]:
        """Numbers of the root metrics that regressed."""
        return [
            i for i, root in enumerate(self.effects.roots)
            if self.testable and self.p_adjusted[i] <= alpha and root.delta > 0 and floor.reached(root)
        ]  # fmt: skip

    def improved(self, alpha: float, floor: Floor) -> list[int]:
        """Numbers of the root metrics that improved."""
        return [
            i for i, root in enumerate(self.effects.roots)
            if self.testable and self.p_better[i] <= alpha and root.delta < 0 and floor.reached(root)
        ]  # fmt: skip

    @property
    def period(self) -> Column | None:
        """The candidate period's column, if the level is the period or cannot be told apart from it."""
        return next((column for column in self.members if column.period), None)

    @property
    def members(self) -> tuple[Column, ...]:
        """The level's column and those that cannot be told apart from it."""
        return (self.effects.column, *self.effects.inseparable)

    def as_period(self) -> "Judged":
        """The same effects under the name of the period, where it is a member."""
        period = self.period
        if period is None:
            return self
        others = tuple(c for c in self.members if c is not period)
        return replace(self, effects=replace(self.effects, column=period, inseparable=others))


def judge(entries: Sequence[EntryEffects], alpha: float) -> list[Judged]:
    """Adjust the p-values of all tests together.

    Levels with too few clusters of units or blocks of time are not tested; at a running rollout none across time is.
    """
    found: list[tuple[EntryEffects, LevelEffects, bool, bool]] = []
    for entry in entries:
        least = FIRST_LOOK_CLUSTERS if entry.live else MIN_CLUSTERS
        found += [(entry, effects, False, effects.clusters >= least) for effects in entry.within]
        found += [
            (entry, effects, True, not entry.live and effects.column.identity not in entry.few_blocks)
            for effects in entry.by_time
        ]
    # While it runs, tests to come count from the beginning: the more they grow, the weaker is what was promised.
    counted = [testable or (entry.live and not by_time) for entry, _, by_time, testable in found]
    tested = [row for row, counts in zip(found, counted, strict=True) if counts]
    sure = np.array([testable for _, effects, _, testable in tested for _ in effects.roots], dtype=np.bool_)
    worse = np.array([root.p_worse for _, effects, _, _ in tested for root in effects.roots])
    better = np.array([root.p_better for _, effects, _, _ in tested for root in effects.roots])
    worse, better = np.where(sure, worse, 1.0), np.where(sure, better, 1.0)
    adjusted, q, adjusted_better = holm(worse), benjamini_hochberg(worse), holm(better)
    by_part = np.where(
        sure, _by_parts([(effects, by_time) for _, effects, by_time, _ in tested], BY_PARTS * alpha), 1.0
    )
    adjusted = np.minimum(np.minimum(adjusted / (1.0 - 2.0 * BY_PARTS), by_part / BY_PARTS), 1.0)
    judged = []
    at = 0
    for (entry, effects, by_time, testable), counts in zip(found, counted, strict=True):
        count = len(effects.roots)
        if counts:
            cut = slice(at, at + count)
            values = (tuple(adjusted[cut].tolist()), tuple(q[cut].tolist()), tuple(adjusted_better[cut].tolist()))
            at += count
        else:
            raw = np.array([root.p_worse for root in effects.roots])
            values = ((1.0,) * count, tuple(benjamini_hochberg(raw).tolist()), (1.0,) * count)
        judged.append(Judged(entry, effects, by_time, testable, *values))
    return judged


def _by_parts(tested: Sequence[tuple[LevelEffects, bool]], alpha: float) -> Floats:
    """Adjusted p-values for worse of the levels' root metrics by way of their parts; 1 where that way is closed.

    One component's time, or its failures, vary far less between users than the whole request's, so that they show a
    regression which the root's own test cannot show among so many. So components are tested first, all together, and
    then the pairs of entry point and level that have one which got worse are, adjusted for as many of them: what only
    moved from one component to another (or what differing clocks moved) worsens no request. Of time this second test is
    the root metric's own. Errors begin in one component of a request each, so that those of others, often most of the
    noise, can be left out as well (`more_than_moved`). What came for everybody at once is left to the root's own way: a
    handful of blocks has no such tails.
    """
    none = np.empty(0)
    latency = [none if by_time else effects.latency.p_worse for effects, by_time in tested]
    errors = [none if by_time else effects.errors.p_worse for effects, by_time in tested]
    adjusted = {"latency": _surest(latency), "errors": _surest(errors)}
    ways = {"latency_mean": "latency", "latency_p99": "latency", "error_rate": "errors"}
    roots = [
        (i, root.metric, _more(effects, root))
        for i, (effects, _) in enumerate(tested) for root in effects.roots
    ]  # fmt: skip
    found = np.array([adjusted[ways[metric]][i] if metric in ways else 1.0 for i, metric, _ in roots])
    for way in adjusted:
        mine = np.array([ways.get(metric) == way for _, metric, _ in roots], dtype=np.bool_) & (found <= alpha)
        found[mine] = np.maximum(
            found[mine], holm(np.array([p for (_, _, p), m in zip(roots, mine, strict=True) if m]))
        )
    return found


def _more(effects: LevelEffects, root: RootEffect) -> float:
    """The p-value that what was found in a part is more of the root metric, of errors in either of two ways."""
    if root.metric != "error_rate":
        return root.p_worse
    return min(1.0, 2.0 * min(root.p_worse, effects.more_errors))


def _surest(parts: Sequence[Floats]) -> Floats:
    """The smallest p-value of each pair's parts, adjusted for all parts of this kind and for there being two kinds.

    A component without time or errors has nothing to test.
    """
    tests = sum(int(np.count_nonzero(p < 1.0)) for p in parts)
    return np.array([min(1.0, 2.0 * tests * float(p.min(initial=1.0))) for p in parts])


def settled(judged: Sequence[Judged]) -> bool:
    """Whether some level was measured so closely that a regression that matters would have shown."""
    return any(j.testable and j.effects.roots[0].high <= SETTLED * j.effects.roots[0].reference for j in judged)


def doubtful(judged: Sequence[Judged], alpha: float, floor: Floor) -> list[Judged]:
    """Levels that cannot be judged for want of units or time although they look worse: nobody may call that a pass."""
    unjudged = [j for j in judged if not j.testable]
    if not unjudged:
        return []
    alone = holm(np.array([root.p_alone for j in unjudged for root in j.effects.roots]))
    worse = alone.reshape(len(unjudged), -1) <= alpha
    return [
        j
        for j, metrics in zip(unjudged, worse, strict=True)
        if any(metrics[i] and root.delta > 0 and floor.reached(root) for i, root in enumerate(j.effects.roots))
    ]


def requests_to_settle(judged: Judged) -> int:
    """How many requests of the entry point would bring the upper bound of a null effect below `SETTLED`."""
    root = judged.effects.roots[0]
    half = (root.high - root.low) / 2
    target = max(SETTLED * root.reference, 1e-9)
    return int(np.ceil(judged.where.requests * (half / target) ** 2))
