"""Where more calls began: what a service called more often does below it is put down to those calls.

A service that is called twice instead of once calls its own dependencies twice as well, and these may take longer than
it does. Their time is a consequence; the cause is the first operation on the way down whose calls grew.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.causes import Finding

_BY_COUNT = 0.5  # part of a component's change that more calls make, from which they are its reason
_SURE = 0.001  # p-value of a change of calls below which it is one: chance moves calls, too


def credited(findings: Sequence[Finding], callers: NDArray[np.int64], operations: int) -> list[Finding]:
    """The findings, those where more calls began scored with all that these calls made slower below them.

    `callers` are pairs caller * `operations` + callee, ascending. Estimates and shares stay each component's own.
    """
    of_pair: dict[tuple[int, tuple[int, int]], dict[int, int]] = {}
    for i, finding in enumerate(findings):
        if _by_count(finding) and finding.component % 2 == 0:
            key = (id(finding.judged.effects.column), finding.judged.where.identity)
            of_pair.setdefault(key, {})[finding.component // 2] = i
    above = _parents(callers, operations) if of_pair else {}
    scores = [finding.score for finding in findings]
    for finding in findings:
        mine = of_pair.get((id(finding.judged.effects.column), finding.judged.where.identity), {})
        operation = finding.component // 2
        if not _by_count(finding):
            continue
        first = _first(operation, mine, above)
        if first is not None and first != operation:
            scores[mine[first]] += max(finding.score, 0.0)
    return [replace(f, score=score) for f, score in zip(findings, scores, strict=True)]


def _by_count(finding: Finding) -> bool:
    """Whether more (or fewer) calls make most of a finding's time."""
    effects = finding.judged.effects
    if finding.metric != "latency" or not finding.holds:
        return False
    at = int(np.searchsorted(finding.judged.where.outcomes.components, finding.component))
    whole = float(effects.latency.estimate[at])
    return effects.recalled[at] <= _SURE and whole != 0.0 and float(effects.by_count[at]) / whole >= _BY_COUNT


def _parents(callers: NDArray[np.int64], operations: int) -> dict[int, list[int]]:
    above: dict[int, list[int]] = {}
    for caller, callee in zip(*(part.tolist() for part in np.divmod(callers, operations)), strict=True):
        above.setdefault(callee, []).append(caller)
    return above


def _first(operation: int, grown: dict[int, int], above: dict[int, list[int]]) -> int | None:
    """The highest of the grown operations from which an unbroken way of calls leads down to this one."""
    first = operation if operation in grown else None
    seen, at = {operation}, [operation]
    while at:
        at = sorted({caller for below in at for caller in above.get(below, [])} & set(grown) - seen)
        seen |= set(at)
        first = at[0] if at else first
    return first
