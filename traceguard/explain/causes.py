"""From regressions to causes: which service and operation, under which level, explains them; best explanation first.

Inside each regressed (entry point, level) pair the components are tested with false-discovery control
(Benjamini-Hochberg). The same component under the same level at several entry points is one cause. Order: the lower
bound of the robust effect, in units of the entry point's spread, so that milliseconds and failures compete fairly.
Between two periods calls also get lost (see `period_findings`): these come after what explains a regression, and before
what does not hold.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.ledger import Ledger
from traceguard.explain.compared import Compared
from traceguard.explain.design import Column
from traceguard.explain.effects import PartEffects
from traceguard.explain.evidence import Evidence
from traceguard.explain.exemplars import exemplars
from traceguard.explain.failures import failures
from traceguard.explain.narrow import Narrowing, in_order
from traceguard.explain.separation import separation
from traceguard.explain.slices import over_time
from traceguard.explain.verdict import Judged
from traceguard.stats.multiplicity import benjamini_hochberg
from traceguard.traces.link import Names
from traceguard.units import counted, format_ms

LEAST_SHARE = 0.02  # parts below this share of the regression are not worth a line
SHOWN = 50  # causes in a report
FOLLOWED = 20  # of them are followed through time
_WEAK = 2  # a finding's standing that does not hold
_UNITS: Mapping[str, Literal["ms", "fraction", "calls"]] = {"latency": "ms", "error": "fraction", "calls": "calls"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A component's effect under a level at one entry point."""

    judged: Judged
    metric: Literal["latency", "error", "calls"]
    component: int
    estimate: float
    low: float
    high: float
    q_value: float
    score: float
    share: float
    holds: bool  # at alpha, and testable at all


def regression_findings(judged: Judged, metrics: Iterable[str], alpha: float, *, weak: bool = False) -> list[Finding]:
    """The components that explain a regression of the given root metrics.

    With `weak` also those that do not hold at alpha.
    """
    names, effects = set(metrics), judged.effects
    found: list[Finding] = []
    if names - {"error_rate"}:
        found += _explain(judged, "latency", effects.latency, alpha, weak=weak)
    if "error_rate" in names:
        found += _explain(judged, "error", effects.errors, alpha, weak=weak)
    return found


def improvement_findings(judged: Judged, metrics: Iterable[str], alpha: float) -> list[Finding]:
    """The components that explain an improvement, found as the mirror image of a regression."""
    effects = judged.effects
    mirror = replace(effects, latency=effects.latency.mirrored(), errors=effects.errors.mirrored())
    return [
        replace(f, judged=judged, estimate=-f.estimate, low=-f.high, high=-f.low)
        for f in regression_findings(replace(judged, effects=mirror), metrics, alpha)
    ]


def _explain(
    judged: Judged, metric: Literal["latency", "error"], parts: PartEffects, alpha: float, *, weak: bool
) -> list[Finding]:
    facts = judged.where.facts
    root = next(
        r for r in judged.effects.roots if r.metric == ("latency_mean" if metric == "latency" else "error_rate")
    )
    # Where parts offset each other, a part is held against all that got worse: shares never add up to more than one.
    whole = max(root.delta, float(parts.estimate[parts.estimate > 0].sum()), 1e-12)
    values = facts.dur / 1e6 if metric == "latency" else facts.failed.astype(np.float64)
    spread = max(_spread(values, judged.where.stands_for), 1e-9)
    q_values = benjamini_hochberg(parts.p_worse)
    sure = parts.sure if judged.testable else parts.hint
    found = []
    for i in np.flatnonzero(parts.estimate > 0):
        share = float(parts.estimate[i]) / whole
        holds = q_values[i] <= alpha and share >= LEAST_SHARE
        if holds or weak:
            found.append(
                Finding(
                    judged, metric, int(judged.where.outcomes.components[i]), float(parts.estimate[i]),
                    float(parts.low[i]), float(parts.high[i]), float(q_values[i]), float(sure[i]) / spread,
                    share, bool(holds) and judged.testable,
                )
            )  # fmt: skip
    return found


def _spread(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """The standard deviation of weighted values."""
    return float(np.sqrt(np.average((values - np.average(values, weights=weight)) ** 2, weights=weight)))


def rank(
    findings: Sequence[Finding], compared: Compared, evidence: Evidence, environments: Sequence[str | None],
    alpha: float,
) -> list[model.Cause]:  # fmt: skip
    """Gather findings of the same level, component and metric over entry points into causes, best explanation first."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault(cause_key(finding), []).append(finding)
    ordered = sorted(
        groups.values(),
        key=lambda group: (min(map(_standing, group)), -max(f.score for f in group), group[0].component),
    )
    ordered = _spread_over_services(ordered, evidence.window.names)
    shown = [sorted(group, key=lambda f: -f.score) for group in ordered[:SHOWN]]
    ledgers = {(g.entry, g.environment): compared.ledger.select(g.mine) for g in compared.groups}
    units = {(g.entry, g.environment): compared.unit[g.mine] for g in compared.groups}
    typical: dict[int, model.Exemplars] = {}
    timed: dict[int, model.OverTime | None] = {}
    # Each entry point's rows are read once for all its causes.
    for where in {f.judged.where.identity for f, *_ in shown}:
        facts = ledgers[where].facts()
        for i, (best, *_) in enumerate(shown):
            if best.judged.where.identity == where:
                typical[i] = exemplars(best.judged, facts, best.component, evidence.window)
                if i < FOLLOWED:
                    entry = entry_document(best.judged, evidence.window.names, environments)
                    timed[i] = over_time(best.judged, facts, best.component, best.metric, units[where], entry, alpha)
    narrowing = Narrowing(compared, evidence, alpha)
    causes = [
        narrowing.narrowed(
            _cause(i + 1, group, ledgers, evidence, environments, alpha, typical[i], timed.get(i)), group
        )
        for i, group in enumerate(shown)
    ]
    return in_order(causes)


def _standing(finding: Finding) -> int:
    """What explains a regression comes first, then lost calls, then what does not hold, whatever the scores."""
    return _WEAK if not finding.holds else 1 if finding.metric == "calls" else 0


def _spread_over_services(ordered: Sequence[list[Finding]], names: Names) -> list[list[Finding]]:
    """Of what does not hold each service's best first, then each one's second, and so on.

    A service of many operations would fill the first places with guesses at the same thing.
    """
    seen: Counter[str] = Counter()
    turns = []
    for group in ordered:
        service = names.component(group[0].component)[0]
        weak = min(map(_standing, group)) == _WEAK
        turns.append(seen[service] if weak else -1)
        seen[service] += 1
    return [ordered[i] for i in sorted(range(len(ordered)), key=lambda i: turns[i])]


def cause_key(finding: Finding) -> tuple[object, ...]:
    """What findings of the same cause have in common: level, reference, component and metric."""
    return finding.judged.effects.column.levels, finding.component, finding.metric


def factor_documents(column: Column) -> list[model.Factor]:
    """A column's levels as the interface writes them."""
    return [
        model.Factor(
            kind=level.factor.kind, key=level.factor.key, service=level.factor.service,
            level=level.factor.levels[level.code], reference=level.factor.levels[level.reference],
        )
        for level in column.levels
    ]  # fmt: skip


def entry_document(judged: Judged, names: Names, environments: Sequence[str | None]) -> model.Entry:
    """An entry point as the interface writes it; the environment is named only where a store holds several."""
    service, operation = names.operations[judged.where.entry]
    return model.Entry(
        service=names.services[service], operation=operation, environment=environments[judged.where.environment]
    )


def _cause(
    number: int, group: list[Finding], ledgers: Mapping[tuple[int, int], Ledger], evidence: Evidence,
    environments: Sequence[str | None], alpha: float, typical: model.Exemplars, timed: model.OverTime | None,
) -> model.Cause:  # fmt: skip
    best, names = group[0], evidence.window.names
    column = best.judged.effects.column
    service, operation, locus = where = names.component(best.component)
    unit = _UNITS[best.metric]
    adjusted = np.array([f.judged.effects.adjusted for f in group], dtype=np.float64)
    weight = adjusted / adjusted.sum()
    estimate = float((weight * [f.estimate for f in group]).sum())
    half = float(np.sqrt(((weight * [(f.high - f.low) / 2 for f in group]) ** 2).sum()))
    entries = [
        model.CauseEntry(
            entry=entry_document(f.judged, names, environments),
            effect=model.Effect(estimate=f.estimate, low=f.low, high=f.high, unit=unit),
            requests=_requests([f]),
        )
        for f in group
    ]
    effect = model.Effect(estimate=estimate, low=estimate - half, high=estimate + half, unit=unit)
    share = float((weight * [f.share for f in group]).sum())
    requests = _requests(group)
    factors = factor_documents(column)
    failed = failures(
        [(f.judged, ledgers[f.judged.where.identity]) for f in group], best.component, best.metric, names,
        evidence.error_paths,
    )  # fmt: skip
    return model.Cause(
        rank=number,
        factors=factors,
        service=service,
        operation=operation,
        locus=locus,
        metric=best.metric,
        effect=effect,
        share=share,
        q_value=best.q_value,
        requests=requests,
        inseparable_from=[factor_documents(other) for other in best.judged.effects.inseparable],
        separation=separation(best.judged, best.estimate, (best.high - best.low) / 2),
        exemplars=typical,
        entries=entries,
        summary=_summary(factors, where, effect, share, requests, entries, alpha, failed.timeout_fraction),
        timeout_fraction=failed.timeout_fraction,
        error_paths=failed.error_paths,
        retries_per_request=failed.retries_per_request,
        over_time=timed,
    )


def _requests(group: Sequence[Finding]) -> model.Requests:
    """The requests that the findings are about, at all their entry points."""
    affected = sum(f.judged.effects.affected for f in group)
    adjusted = sum(f.judged.effects.adjusted for f in group)
    stated = any(f.judged.where.stated for f in group)
    return model.Requests(
        affected=affected, fraction=adjusted / sum(f.judged.where.adjusted for f in group),
        adjusted=adjusted if stated else None,
    )  # fmt: skip


def _summary(
    factors: Sequence[model.Factor], where: tuple[str, str, model.Locus], effect: model.Effect, share: float,
    requests: model.Requests, entries: Sequence[model.CauseEntry], alpha: float, timeouts: float | None,
) -> str:  # fmt: skip
    """One sentence that a person can read out."""
    when = " and ".join(map(_circumstance, factors))
    when = when[0].upper() + when[1:] + (" together" if len(factors) > 1 else "")
    service, operation, locus = where
    what = f"{service} {operation}" if locus == "self" else f"the way into {service} {operation}"
    entry = entries[0].entry
    at = f"{entry.service} {entry.operation}"
    if len(entries) > 1:
        at += f" and {counted(len(entries) - 1, 'more entry point')}"
    more, changed = ("more", "worse") if effect.estimate > 0 else ("less", "better")
    if effect.unit == "ms":
        amount = f"takes {format_ms(abs(effect.estimate))} {more} per request"
        interval = f"{format_ms(effect.low)} to {format_ms(effect.high)}"
    else:
        amount = f"fails {abs(effect.estimate):.2%} {more} of requests"
        interval = f"{effect.low:.2%} to {effect.high:.2%}"
    amount += f" ({1 - alpha:.0%} interval {interval})"
    if timeouts is not None and timeouts > 0.5:
        amount += ", mostly by timeouts"
    part = f"that is {share:.0%} of what got {changed} at {at}"
    if effect.unit == "calls":
        amount = f"is where {abs(effect.estimate):.2g} calls per request are lost"
        amount += f" ({1 - alpha:.0%} interval {effect.low:.2g} to {effect.high:.2g})"
        part = f"that is {share:.0%} of the calls lost at {at}"
    return f"{when}, {what} {amount}; {part}, {counted(requests.affected, 'request')} affected."


def _circumstance(factor: model.Factor) -> str:
    if factor.kind == "period":
        return "in the candidate period"
    if factor.kind == "version":
        return f"with version {factor.level} of {factor.service}"
    return f"with {factor.key}={factor.level}"
