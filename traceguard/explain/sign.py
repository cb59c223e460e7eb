"""Which causes rest on clocks being in step: those whose effect would change sign or vanish under the estimated skew.

Clock skew moves time between a service's own span and the way into it, and a result is never corrected for it. The
same effects are estimated a second time with the estimated offsets taken out, and only compared.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.causes import Finding, cause_key
from traceguard.explain.effects import LevelEffects
from traceguard.explain.entries import EntryEffects

VANISHED = 0.1  # part of an effect; what is left of it below that is as good as nothing


def depends_on_skew(findings: Iterable[Finding], in_step: Sequence[EntryEffects]) -> list[Finding]:
    """The first finding of each latency cause that does not hold its sign in the effects `in_step`.

    Effects of several entry points count as in the cause itself: their mean by affected requests.
    """
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        if finding.metric == "latency":
            groups.setdefault(cause_key(finding), []).append(finding)
    return [group[0] for group in groups.values() if not _holds(group, in_step)]


def _holds(group: Sequence[Finding], in_step: Sequence[EntryEffects]) -> bool:
    affected = np.array([f.judged.effects.affected for f in group], dtype=np.float64)
    weight = affected / affected.sum()
    reported = _mean(weight, [(f.estimate, (f.high - f.low) / 2) for f in group])
    without = _mean(weight, [_again(f, in_step) for f in group])
    if np.sign(reported[0]) * without[0] <= VANISHED * abs(reported[0]):
        return False
    sure, still_sure = (abs(estimate) > half for estimate, half in (reported, without))
    return bool(still_sure or not sure)


def _mean(weight: NDArray[np.float64], effects: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Estimate and half the interval of the weighted mean of independent (estimate, half) pairs."""
    estimate, half = np.array(effects).T
    return float((weight * estimate).sum()), float(np.sqrt(((weight * half) ** 2).sum()))


def _again(finding: Finding, in_step: Sequence[EntryEffects]) -> tuple[float, float]:
    """The same component's effect of the same level at the same entry point; nothing where it spends no time there."""
    where, level = finding.judged.where, finding.judged.effects.column
    for entry in in_step:
        if (entry.entry, entry.environment) != (where.entry, where.environment):
            continue
        at = int(np.searchsorted(entry.outcomes.components, finding.component))
        if at == entry.outcomes.components.size or entry.outcomes.components[at] != finding.component:
            return 0.0, 0.0
        for effects in (*entry.within, *entry.by_time):
            if _speaks_for(effects, level.identity):
                parts = effects.latency
                return float(parts.estimate[at]), float(parts.high[at] - parts.low[at]) / 2
    return 0.0, 0.0


def _speaks_for(effects: LevelEffects, identity: tuple[object, ...]) -> bool:
    return any(column.identity == identity for column in (effects.column, *effects.inseparable))
