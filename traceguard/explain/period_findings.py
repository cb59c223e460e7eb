"""What two periods show beside their time on the critical path, as findings: calls that are lost, and how unusual.

Causes of one list are scored alike: the lower bound of a change over how much it varies from call to call anyway (see
`call_time_change`). A period's latency findings that do not hold get the score of their calls, which is the surer the
less there is to go by, and keep the effect on requests. Those that hold keep theirs: a median knows of no tail, and
flags compete with them. Lost calls are findings of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from traceguard.explain.call_time_change import CallTimeChange
from traceguard.explain.causes import Finding
from traceguard.explain.structure_change import StructureChange
from traceguard.explain.verdict import Judged

_NEXT = 1e-6  # by how much the less likely of two suspects comes after the other


def scored(findings: Iterable[Finding], slower: Sequence[CallTimeChange]) -> list[Finding]:
    """The findings, those of latency with the score of their component's calls; what has none comes last."""
    score: dict[int, float] = {}
    for change in slower:
        score[change.component] = max(change.score, score.get(change.component, change.score))
    least = min(score.values(), default=0.0)
    return [
        replace(f, score=score.get(f.component, least)) if f.metric == "latency" else f for f in findings
    ]  # fmt: skip


def lost_calls(changes: Iterable[StructureChange], judged: Iterable[Judged]) -> list[Finding]:
    """The lost calls among `changes` at the compared entry points, one finding for each component that is suspected.

    Of several changes that blame a component at an entry point the surest counts. Shares are of all calls lost there.
    """
    where: Mapping[tuple[int, int], Judged] = {
        j.where.identity: j.as_period() for j in judged if j.period is not None
    }  # fmt: skip
    lost = [c for c in changes if c.lost and c.score > 0 and (c.entry, c.environment) in where]
    total: dict[tuple[int, int], float] = {}
    for c in lost:
        total[c.entry, c.environment] = total.get((c.entry, c.environment), 0.0) + c.estimate
    found: dict[tuple[int, int, int], Finding] = {}
    for c in sorted(lost, key=lambda c: (not c.holds, -c.score)):
        at = (c.entry, c.environment)
        for number, component in enumerate(c.suspects):
            finding = Finding(
                where[at], "calls", component, c.estimate, c.low, c.high, c.q_value, c.score - number * _NEXT,
                c.estimate / total[at], c.holds,
            )  # fmt: skip
            found.setdefault((*at, component), finding)
    return list(found.values())
