"""The whole way from facts to the report's document: effects, verdict, regressions, causes, caveats."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from traceguard import model
from traceguard.explain.call_time_change import call_time_changes
from traceguard.explain.called_more import credited
from traceguard.explain.causes import (
    Finding,
    entry_document,
    factor_documents,
    improvement_findings,
    rank,
    regression_findings,
)
from traceguard.explain.caveats import warnings_of
from traceguard.explain.compared import Compared, Group, compare
from traceguard.explain.decompose import handled_document, mix_document, moved, origins_document, parts_document
from traceguard.explain.deploys import deploys_document
from traceguard.explain.entries import Clock, EntryEffects, entry_effects
from traceguard.explain.evidence import Evidence, share_of_time
from traceguard.explain.period_findings import lost_calls, scored
from traceguard.explain.question import Question
from traceguard.explain.sign import depends_on_skew
from traceguard.explain.structure import steps_document
from traceguard.explain.structure_change import structure_changes
from traceguard.explain.verdict import Judged, doubtful, judge, settled, unconfirmed
from traceguard.traces.clock_skew import Offset
from traceguard.traces.link import Names
from traceguard.units import Period, format_time

HISTOGRAM_BINS = 40  # bins of the distributions that a report carries


def explain(evidence: Evidence, question: Question, version: str) -> model.Report:
    """Answer the question: verdict, regressions, ranked causes, improvements, warnings."""
    compared = compare(evidence, question)
    clock = Clock(_edges(question))
    basis = (question.baseline, question.candidate, question.references, question.alpha, question.live)

    def effects(group: Group) -> EntryEffects:
        place = group.entry, group.environment
        return evidence.estimates.of(basis, place, lambda: _effects(group, compared, clock, question))

    entries = [] if compared.nothing else [effects(group) for group in compared.groups]
    judged = [j for j in judge(entries, question.alpha) if _asked(j, question)]
    names, environments = evidence.window.names, evidence.environment_labels
    regressions: list[model.Regression] = []
    worse: list[Finding] = []
    better: list[Finding] = []
    for j in judged:
        lost = j.regressed(question.alpha, question.floor)
        regressions += [_regression(j, i, names, environments) for i in lost]
        worse += regression_findings(j, [j.effects.roots[i].metric for i in lost], question.alpha)
        gained = j.improved(question.alpha, question.floor)
        better += improvement_findings(j, [j.effects.roots[i].metric for i in gained], question.alpha)
    weak = _weak_findings(judged, worse, question) if question.candidate is not None else []
    biased = evidence.sampled.bias is not None
    verdict = _verdict(compared, question, regressions, judged, biased=biased)

    def ranked(findings: Sequence[Finding]) -> list[model.Cause]:
        whole = credited(findings, evidence.callers, len(names.operations))
        wanted = [f for f in whole if question.service in (None, names.component(f.component)[0])]
        return rank(wanted, compared, evidence, environments, question.alpha)

    gone: list[Finding] = []
    structure = None
    if evidence.between is not None:
        changes = structure_changes(evidence.between.structure, names, question.alpha)
        weak = scored(weak, call_time_changes(evidence.between.times, names, question.alpha))
        gone = lost_calls(changes, judged)
        steps = steps_document(changes, names, environments)
        structure = model.Structure(new_edges=[], vanished_edges=[], steps=steps)
    causes = ranked([*worse, *weak, *gone])
    unheld = bool(weak) or not all(f.holds for f in gone)
    unsure = _unsure([*worse, *weak, *better], evidence, question)
    return model.Report(
        traceguard_version=version,
        window=_window_document(evidence),
        baseline=_bounds(question.baseline),
        candidate=_bounds(question.candidate),
        verdict=verdict,
        regressions=_ordered(regressions),
        causes=causes,
        improvements=ranked(better),
        warnings=warnings_of(
            evidence, question, compared, judged, verdict, explained=bool(worse), weak=unheld, unsure=unsure
        ),
        alpha=question.alpha,
        inference="anytime_valid" if question.live else "fixed_horizon",
        sampling=model.Sampling(
            stated=evidence.sampled.stated, adjusted_requests=evidence.sampled.adjusted, biased=biased
        ),
        left_out=[model.LeftOut(kind=kind, name=name, requests=n) for kind, name, n in evidence.left_out_by],
        clock_skew=[_skew_document(offset, names) for offset in evidence.offsets],
        critical_paths=_critical_paths(evidence),
        structure=structure,
        mix=mix_document(compared, names, environments),
        deploys=deploys_document(evidence, judged),
        judged=_judged_entries(judged, names, environments),
    )


def _judged_entries(
    judged: Sequence[Judged], names: Names, environments: Sequence[str | None]
) -> list[model.JudgedEntry]:
    """The entry points with a level that could be tested, in the order in which they were looked at."""
    found = {j.where.identity: j for j in judged if j.testable}
    return [
        model.JudgedEntry(entry=entry_document(j, names, environments), requests=j.where.requests)
        for j in found.values()
    ]


def _unsure(findings: Sequence[Finding], evidence: Evidence, question: Question) -> list[Finding]:
    """The findings that would not hold if the estimated clock skew were taken out."""
    if evidence.in_step is None or not findings:
        return []
    compared, clock = compare(replace(evidence, ledger=evidence.in_step), question), Clock(_edges(question))
    asked = {(f.judged.where.entry, f.judged.where.environment) for f in findings}
    groups = [group for group in compared.groups if (group.entry, group.environment) in asked]
    return depends_on_skew(findings, [_effects(group, compared, clock, question) for group in groups])


def _skew_document(offset: Offset, names: Names) -> model.ClockSkew:
    def host(number: int) -> model.Host:
        service, instance = names.hosts[number]
        return model.Host(service=names.services[service], instance=instance or None)

    return model.ClockSkew(
        caller=host(offset.caller), callee=host(offset.callee), offset_ms=offset.estimate / 1e6,
        low_ms=offset.low / 1e6, high_ms=offset.high / 1e6, calls=offset.calls, agree=offset.agree,
    )  # fmt: skip


def _effects(group: Group, compared: Compared, clock: Clock, question: Question) -> EntryEffects:
    mine = group.mine
    return entry_effects(
        group.entry, group.environment, compared.ledger.select(mine).facts(), compared.factors, compared.levels[mine],
        compared.unit[mine], clock, question.alpha, compared.count[mine], live=question.live,
    )  # fmt: skip


def _edges(question: Question) -> tuple[int, ...]:
    periods = [p for p in (question.baseline, question.candidate) if p is not None]
    return tuple(sorted({e for p in periods for e in (p.start_ns, p.end_ns) if e is not None}))


def _weak_findings(judged: Sequence[Judged], found: Sequence[Finding], question: Question) -> list[Finding]:
    """What the candidate period would explain, below alpha: the components that are not among the found ones.

    Time that only moved from one component to another is left out.
    """
    known = {(id(f.judged.effects), f.metric, f.component) for f in found}
    return [
        finding
        for j in judged
        if j.period is not None
        for finding in regression_findings(j.as_period(), ("latency_mean", "error_rate"), question.alpha, weak=True)
        if (id(j.effects), finding.metric, finding.component) not in known
        and not (finding.metric == "latency" and finding.component in moved(j, question.alpha))
    ]


def _ordered(regressions: Sequence[model.Regression]) -> list[model.Regression]:
    """The surest entry point first, its metrics together and in their usual order."""
    surest: dict[model.Entry, tuple[float, float]] = {}
    for r in regressions:
        surest[r.entry] = min(surest.get(r.entry, (1.0, 0.0)), (r.p_adjusted, -r.delta))
    metrics = get_args(model.Metric)
    return sorted(
        regressions,
        key=lambda r: (surest[r.entry], r.entry.service, r.entry.operation, str(r.factors), metrics.index(r.metric)),
    )


def _asked(judged: Judged, question: Question) -> bool:
    """Whether a level, or one that cannot be told apart from it, is what the question is about."""
    return question.flag is None or any(
        level.factor.kind == "period" or (level.factor.kind == "flag" and level.factor.key == question.flag)
        for column in judged.members
        for level in column.levels
    )


def _regression(judged: Judged, i: int, names: Names, environments: Sequence[str | None]) -> model.Regression:
    """Root metric number `i` as the interface writes it."""
    root = judged.effects.roots[i]
    return model.Regression(
        entry=entry_document(judged, names, environments),
        metric=root.metric,
        factors=factor_documents(judged.effects.column),
        reference=root.reference, observed=root.observed, delta=root.delta, low=root.low, high=root.high,
        p_adjusted=judged.p_adjusted[i], q_value=judged.q_value[i],
        distribution=_histogram(judged) if root.metric != "error_rate" else None,
        parts=parts_document(judged, names) if root.metric == "latency_mean" else [],
        error_parts=origins_document(judged, names) if root.metric == "error_rate" else [],
        handled=handled_document(judged) if root.metric == "error_rate" else None,
        pre_period=judged.effects.pre_period,
    )  # fmt: skip


def _histogram(judged: Judged) -> model.Histogram:
    edges, reference, observed = judged.effects.histogram
    step = max(1, -(-observed.size // HISTOGRAM_BINS))
    cuts = np.arange(0, observed.size, step)
    return model.Histogram(
        edges_ms=[*edges[cuts].tolist(), float(edges[-1])],
        reference=np.add.reduceat(reference, cuts).tolist(),
        observed=np.add.reduceat(observed, cuts).tolist(),
    )


def _verdict(
    compared: Compared, question: Question, regressions: Sequence[model.Regression], judged: Sequence[Judged], *,
    biased: bool,
) -> model.Verdict:  # fmt: skip
    if compared.nothing is not None:
        return "no_data"
    if biased and all(r.metric == "error_rate" for r in regressions):
        return "inconclusive"  # neither a rise of such a rate nor its absence says anything about the traffic
    if regressions:
        return "regression"
    # Who names two periods asks about them: flags that were measured well do not answer that.
    asked = judged if question.candidate is None else [j for j in judged if j.period is not None]
    doubts = (doubtful, unconfirmed)
    if any(doubt(asked, question.alpha, question.floor) for doubt in doubts):
        return "inconclusive"
    return "no_regression" if settled(asked) else "inconclusive"


def _window_document(evidence: Evidence) -> model.Window:
    whole = evidence.window.bounds
    watermark = evidence.watermark if evidence.watermark is not None or whole is None else whole[1] + 1
    begun = evidence.window.begun[evidence.judged]
    bounds = (int(begun.min()), int(begun.max())) if begun.size else None
    return model.Window(
        start=format_time(bounds[0]) if bounds else None,
        end=format_time(bounds[1] + 1) if bounds else None,
        traces=evidence.traces,
        spans=evidence.spans,
        requests=evidence.requests,
        incomplete_fraction=evidence.incomplete_fraction,
        watermark=format_time(watermark) if watermark is not None else None,
    )


def _critical_paths(evidence: Evidence) -> model.CriticalPaths | None:
    """How sure the paths are; None where there are no requests."""
    facts = evidence.facts
    if facts.dur.size == 0:
        return None
    return model.CriticalPaths(
        ambiguous_fraction=share_of_time(facts.ambiguous, facts.dur),
        overlapped_fraction=share_of_time(facts.overlapped, facts.dur),
    )


def _bounds(period: Period | None) -> model.PeriodBounds | None:
    if period is None:
        return None
    return model.PeriodBounds(start=format_time(period.start_ns) or "", end=format_time(period.end_ns) or "")
