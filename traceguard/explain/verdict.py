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
from traceguard.explain.everywhere import errors_everywhere
from traceguard.stats.intervals import FixedHorizon
from traceguard.stats.multiplicity import benjamini_hochberg, bonferroni_tarone, holm
from traceguard.stats.sequential import FIRST_LOOK_CLUSTERS, AnytimeValid

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
    slower: int = -1  # the number of the component that surely takes longer, whatever the whole request does; -1: none

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
    by_part, surely_slower = _by_parts([row[:3] for row in tested], alpha)
    by_part = np.where(sure, by_part, 1.0)
    adjusted = np.minimum(np.minimum(adjusted / (1.0 - 2.0 * BY_PARTS), by_part / BY_PARTS), 1.0)
    judged = []
    slower = iter(surely_slower)
    at = 0
    for (entry, effects, by_time, testable), counts in zip(found, counted, strict=True):
        count = len(effects.roots)
        if counts:
            cut = slice(at, at + count)
            values = (tuple(adjusted[cut].tolist()), tuple(q[cut].tolist()), tuple(adjusted_better[cut].tolist()))
            at += count
            part = next(slower)
        else:
            part = -1
            raw = np.array([root.p_worse for root in effects.roots])
            values = ((1.0,) * count, tuple(benjamini_hochberg(raw).tolist()), (1.0,) * count)
        judged.append(Judged(entry, effects, by_time, testable, *values, part if testable else -1))
    return judged


def _by_parts(tested: Sequence[tuple[EntryEffects, LevelEffects, bool]], alpha: float) -> tuple[Floats, list[int]]:
    """Adjusted p-values for worse of the levels' root metrics by way of their parts; 1 where that way is closed.

    And for each pair the number of the component that surely takes longer, -1 for none.

    One component's time, or its failures, vary far less between users than the whole request's, so that they show a
    regression which the root's own test cannot show among so many. So components are tested first, all together, and
    then the pairs of entry point and level that have one which got worse are, adjusted for as many of them: what only
    moved from one component to another (or what differing clocks moved) worsens no request. Of time this second test is
    the root metric's own. Errors begin in one component of a request each, so that those of others, often most of the
    noise, can be left out (`more_than_moved`). What came for everybody at once is left to the root's own way: a handful
    of blocks has no such tails.
    """
    alpha *= BY_PARTS
    opened = {"latency": _surest_time(tested), "errors": _surest_errors(tested, alpha)}
    ways = {"latency_mean": "latency", "latency_p99": "latency", "error_rate": "errors"}
    found, again, way = [], [], []
    for i, (_, effects, _) in enumerate(tested):
        for root in effects.roots:
            way.append(ways.get(root.metric, ""))
            p, part = opened[way[-1]][i] if way[-1] else (1.0, -1)
            found.append(p)
            again.append(effects.more_errors[part] if way[-1] == "errors" and part >= 0 else root.p_worse)
    adjusted, second = np.array(found), np.array(again)
    for each in opened:
        mine = (np.array(way) == each) & (adjusted <= alpha)
        adjusted[mine] = np.maximum(adjusted[mine], holm(second[mine]))
    return adjusted, [part if p <= alpha else -1 for p, part in opened["latency"]]


def _surest_time(tested: Sequence[tuple[EntryEffects, LevelEffects, bool]]) -> list[tuple[float, int]]:
    """Of each pair the component whose time got worse most surely: its p-value and number (-1: none).

    Adjusted for all components, and for there being errors beside time. One without time has nothing to test.
    """
    parts = [np.empty(0) if by_time else effects.latency.p_worse for _, effects, by_time in tested]
    tests = sum(int(np.count_nonzero(p < 1.0)) for p in parts)
    return [(min(1.0, 2.0 * tests * float(p.min())), int(p.argmin())) if p.size else (1.0, -1) for p in parts]


def _surest_errors(
    tested: Sequence[tuple[EntryEffects, LevelEffects, bool]], alpha: float
) -> list[tuple[float, int]]:  # fmt: skip
    """The same of errors: single levels are tested over all entry points of an environment, products where they are."""
    known: dict[tuple[object, ...], tuple[float, float]] = {}
    entries = {entry.identity: entry for entry, _, _ in tested}.values()
    for environment in {entry.environment for entry in entries}:
        here = [e for e in entries if e.environment == environment and e.errors is not None]
        if not here:
            continue
        inference = AnytimeValid(alpha) if any(e.live for e in here) else FixedHorizon(alpha)
        found = errors_everywhere([e.errors for e in here if e.errors is not None], inference)
        known |= {(environment, *place): values for place, values in found.items()}
    for entry, effects, by_time in tested:
        if effects.column.joint and not by_time:
            places = [(*entry.identity, effects.column.levels, c) for c in entry.outcomes.components.tolist()]
            known |= zip(places, ((p, 0.0) for p in effects.errors.p_worse.tolist()), strict=True)
    sure = {place: values for place, values in known.items() if values[0] < 1.0}
    p, least = np.array(list(sure.values())).reshape(-1, 2).T
    adjusted = dict(zip(sure, np.minimum(2.0 * bonferroni_tarone(p, least, alpha / 2.0), 1.0).tolist(), strict=True))
    surest = []
    for entry, effects, by_time in tested:
        where = entry.identity if effects.column.joint else (entry.environment,)
        worse = [] if by_time else np.flatnonzero(effects.errors.estimate > 0.0).tolist()
        components = entry.outcomes.components
        surest.append(
            min(
                ((adjusted.get((*where, effects.column.levels, int(components[c])), 1.0), c) for c in worse),
                default=(1.0, -1),
            )
        )
    return surest


def unconfirmed(judged: Sequence[Judged], alpha: float, floor: Floor) -> list[Judged]:
    """Levels under which a component surely takes longer, while requests may or may not: nobody may call it a pass.

    Where levels nearly come together the whole request's effect is uncertain long after one component's is plain. Time
    that moved to it from others, with requests known to take hardly longer, is no doubt.
    """
    return [
        j for j in judged
        if j.slower >= 0 and not j.regressed(alpha, floor)
        and j.effects.roots[0].high > SETTLED * j.effects.roots[0].reference
    ]  # fmt: skip


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
