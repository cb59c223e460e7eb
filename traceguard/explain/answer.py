"""The whole way from facts to the report's document: effects, verdict, regressions, causes, caveats."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.local import Window
from traceguard.explain.causes import (
    Finding,
    entry_document,
    factor_document,
    improvement_findings,
    rank,
    regression_findings,
)
from traceguard.explain.caveats import warnings_of
from traceguard.explain.entries import Clock, EntryEffects, entry_effects
from traceguard.explain.question import Evidence, Question
from traceguard.explain.verdict import Judged, doubtful, judge, settled
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, Factor
from traceguard.traces.facts import Facts
from traceguard.traces.link import Names
from traceguard.units import Period, format_time

MIN_ENTRY_REQUESTS = 40  # an entry point with fewer is not compared
MAX_ENTRIES = 64
HISTOGRAM_BINS = 40  # bins of the distributions that a report carries


def explain(evidence: Evidence, question: Question, version: str) -> model.Report:
    """Answer the question: verdict, regressions, ranked causes, improvements, warnings."""
    factors, levels, facts = _with_period(evidence, question)
    environments = _environment_labels(evidence.window)
    entries = _entries(evidence, question, factors, levels, facts)
    judged = [j for j in judge(entries) if _asked(j, question)]
    names = evidence.window.names
    regressions: list[model.Regression] = []
    worse: list[Finding] = []
    better: list[Finding] = []
    for j in judged:
        metrics = [j.effects.roots[i].metric for i in j.regressed(question.alpha, question.floor)]
        if metrics:
            regressions += [_regression(j, metric, names, environments) for metric in metrics]
            worse += regression_findings(j, metrics, question.alpha)
        gains = [j.effects.roots[i].metric for i in j.improved(question.alpha, question.floor)]
        if gains:
            better += improvement_findings(j, gains, question.alpha)
    weak = False
    if question.candidate is not None and not any(f.judged.is_period for f in worse):
        for j in judged:
            if j.is_period:
                worse += regression_findings(j, ("latency_mean", "error_rate"), question.alpha, weak=True)
                weak = True
    keep = [f for f in worse if question.service in (None, names.services[names.operations[f.component // 2][0]])]
    gains_kept = [
        f for f in better if question.service in (None, names.services[names.operations[f.component // 2][0]])
    ]
    verdict = _verdict(evidence, question, regressions, judged)
    regressions = _ordered(regressions)
    return model.Report(
        traceguard_version=version,
        window=_window_document(evidence),
        baseline=_bounds(question.baseline),
        candidate=_bounds(question.candidate),
        verdict=verdict,
        regressions=regressions,
        causes=_name_exemplars(rank(keep, names, environments), evidence.window),
        improvements=_name_exemplars(rank(gains_kept, names, environments), evidence.window),
        warnings=warnings_of(evidence, question, factors, levels, judged, verdict, weak=weak),
        alpha=question.alpha,
    )


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


def _with_period(evidence: Evidence, question: Question) -> tuple[list[Factor], NDArray[np.int16], Facts]:
    """Factors, level codes per request, and the facts of the periods compared (all facts where none are named)."""
    facts, factors = evidence.facts, list(evidence.read.factors)
    circumstances = evidence.read.circumstances
    rows = circumstances.rows_of(facts.trace_hash)
    levels = circumstances.levels[rows]
    if question.baseline is None or question.candidate is None:
        return factors, levels, facts
    begun = evidence.window.begun[np.searchsorted(evidence.window.trace_hash, facts.trace_hash)]
    codes = np.full(facts.dur.size, ABSENT, dtype=np.int16)
    for code, period in ((FIRST_LEVEL, question.baseline), (FIRST_LEVEL + 1, question.candidate)):
        codes[_inside(begun, period)] = code
    keep = codes != ABSENT
    factors.append(Factor("period", "period", None, ("", "", "baseline", "candidate"), FIRST_LEVEL))
    return factors, np.column_stack((levels, codes))[keep], facts.select(keep)


def _inside(begun: NDArray[np.int64], period: Period) -> NDArray[np.bool_]:
    low = period.start_ns if period.start_ns is not None else np.iinfo(np.int64).min
    high = period.end_ns if period.end_ns is not None else np.iinfo(np.int64).max
    inside: NDArray[np.bool_] = (begun >= low) & (begun < high)
    return inside


def _entries(
    evidence: Evidence, question: Question, factors: Sequence[Factor], levels: NDArray[np.int16], facts: Facts
) -> list[EntryEffects]:
    """Effects at the entry points with enough requests, the busiest first."""
    if facts.dur.size == 0:
        return []
    names = evidence.window.names
    unit = evidence.read.circumstances.unit[evidence.read.circumstances.rows_of(facts.trace_hash)]
    begun = evidence.window.begun[np.searchsorted(evidence.window.trace_hash, facts.trace_hash)]
    bounds = [p for p in (question.baseline, question.candidate) if p is not None]
    edges = sorted({e for p in bounds for e in (p.start_ns, p.end_ns) if e is not None})
    clock = Clock(int(begun.min()), int(begun.max()) + 1, tuple(edges))
    group = facts.entry.astype(np.int64) * len(names.environments) + facts.environment
    found, counts = np.unique(group, return_counts=True)
    effects = []
    for at in np.argsort(-counts, kind="stable")[:MAX_ENTRIES]:
        if counts[at] < MIN_ENTRY_REQUESTS:
            break
        entry, environment = divmod(int(found[at]), len(names.environments))
        if question.entry is not None and names.operations[entry][1] != question.entry:
            continue
        mine = group == found[at]
        part = replace(facts.select(mine), start=begun[mine])
        effects.append(
            entry_effects(entry, environment, part, factors, levels[mine], unit[mine], clock, question.alpha)
        )
    return effects


def _asked(judged: Judged, question: Question) -> bool:
    factor = judged.effects.column.factor
    return question.flag is None or factor.kind == "period" or (factor.kind == "flag" and factor.key == question.flag)


def _environment_labels(window: Window) -> list[str | None]:
    several = len(window.names.environments) > 1
    return [(e or "unknown") if several else None for e in window.names.environments]


def _regression(
    judged: Judged, metric: model.Metric, names: Names, environments: Sequence[str | None]
) -> model.Regression:
    i = next(i for i, r in enumerate(judged.effects.roots) if r.metric == metric)
    root = judged.effects.roots[i]
    return model.Regression(
        entry=entry_document(judged, names, environments),
        metric=metric,
        factors=[factor_document(judged.effects.column)],
        reference=root.reference, observed=root.observed, delta=root.delta, low=root.low, high=root.high,
        p_adjusted=judged.p_adjusted[i], q_value=judged.q_value[i],
        distribution=_histogram(judged) if metric != "error_rate" else None,
        parts=_parts(judged, names) if metric == "latency_mean" else [],
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


def _parts(judged: Judged, names: Names) -> list[model.Part]:
    estimate = judged.effects.latency.estimate
    parts = []
    for i in np.argsort(-np.abs(estimate), kind="stable"):
        component = int(judged.where.outcomes.components[i])
        service, operation = names.operations[component // 2]
        parts.append(
            model.Part(
                service=names.services[service], operation=operation, locus="inbound" if component % 2 else "self",
                delta_ms=float(estimate[i]),
            )
        )  # fmt: skip
    return parts


def _verdict(
    evidence: Evidence, question: Question, regressions: Sequence[model.Regression], judged: Sequence[Judged]
) -> model.Verdict:
    if evidence.facts.dur.size == 0:
        return "no_data"
    if regressions:
        return "regression"
    # Who names two periods asks about them: flags that were measured well do not answer that.
    asked = judged if question.candidate is None else [j for j in judged if j.is_period]
    if doubtful(asked, question.alpha, question.floor):
        return "inconclusive"
    return "no_regression" if settled(asked) else "inconclusive"


def _window_document(evidence: Evidence) -> model.Window:
    bounds = evidence.window.bounds
    return model.Window(
        start=format_time(bounds[0]) if bounds else None,
        end=format_time(bounds[1] + 1) if bounds else None,
        traces=int(evidence.window.trace_hash.size),
        spans=evidence.spans,
    )


def _bounds(period: Period | None) -> model.PeriodBounds | None:
    if period is None:
        return None
    return model.PeriodBounds(start=format_time(period.start_ns) or "", end=format_time(period.end_ns) or "")


def _name_exemplars(causes: Sequence[model.Cause], window: Window) -> list[model.Cause]:
    def ids(hashes: Sequence[str]) -> list[str]:
        at = np.searchsorted(window.trace_hash, np.array([int(h) for h in hashes], dtype=np.uint64))
        return [str(window.trace_ids[i]) for i in at]

    return [
        c.model_copy(
            update={
                "exemplars": model.Exemplars(affected=ids(c.exemplars.affected), reference=ids(c.exemplars.reference))
            }
        )
        for c in causes
    ]
