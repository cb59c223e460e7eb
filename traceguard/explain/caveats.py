"""What the data cannot answer, and what to keep in mind: a report's warnings, each a stable code and a sentence."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.explain.causes import factor_document
from traceguard.explain.question import Evidence, Question
from traceguard.explain.verdict import Judged, requests_to_settle
from traceguard.traces.factors import MIXED, Factor

_Caveats = Iterator[tuple[str, str]]


def warnings_of(
    evidence: Evidence, question: Question, factors: Sequence[Factor], levels: NDArray[np.int16],
    judged: Sequence[Judged], verdict: model.Verdict, *, weak: bool,
) -> list[model.Warning]:  # fmt: skip
    """All warnings, those about the data before those about the judgement.

    `levels` (r, factors) are the level codes of the compared requests; `weak` says that causes below alpha are listed.
    """
    found = [
        *_about_the_window(evidence),
        *_about_the_factors(evidence, factors, levels),
        *_about_the_design(judged),
        *_about_the_verdict(evidence, question, judged, verdict, weak=weak),
    ]
    return [model.Warning(code=code, message=message) for code, message in found]


def _about_the_window(evidence: Evidence) -> _Caveats:
    traces = evidence.window.trace_hash.size
    if traces == 0:
        yield "no_data", "No request started in the window; widen --since and --until or check what was ingested."
    elif evidence.facts.dur.size == 0:
        yield "no_entry_points", "The window holds spans but no request with a root; check how traces are propagated."
    if evidence.incomplete:
        share = evidence.incomplete / traces
        yield (
            "incomplete_traces",
            (
                f"{evidence.incomplete:,} of {traces:,} traces ({share:.1%}) miss spans;"
                f" {evidence.fragments:,} fragments without their upper part are left out."
            ),
        )
    if evidence.negative_durations:
        spans = f"{evidence.negative_durations:,} spans end before they start"
        yield "end_before_start", f"{spans} and count as zero time; check their host's clock."
    if len(evidence.window.names.environments) > 1:
        listed = ", ".join(e or "unknown" for e in evidence.window.names.environments)
        yield (
            "several_environments",
            (f"The store holds several environments ({listed}), treated apart; name one with --env."),
        )


def _about_the_factors(evidence: Evidence, factors: Sequence[Factor], levels: NDArray[np.int16]) -> _Caveats:
    for key in evidence.read.unbounded_flags:
        yield "unbounded_flag", f"Flag {key} has too many levels to be an assignment and is set aside."
    for f, factor in enumerate(factors):
        mixed = float((levels[:, f] == MIXED).mean()) if levels.size else 0.0
        if mixed > 0:
            yield (
                "mixed_levels",
                (
                    f"{mixed:.1%} of requests ran under several levels of {_name(factor)};"
                    " they are compared with neither side."
                ),
            )


def _about_the_design(judged: Sequence[Judged]) -> _Caveats:
    collinear = {
        (factor_document(j.effects.column), tuple(factor_document(c) for c in j.effects.inseparable))
        for j in judged
        if j.effects.inseparable
    }
    for one, others in sorted(collinear, key=str):
        yield (
            "collinear_factors",
            (
                f"{_level(one)} always came together with {', '.join(map(_level, others))};"
                " give some users only one of them to tell them apart."
            ),
        )
    if few := _names(j for j in judged if not j.testable and not j.by_time):
        yield "few_units", f"Too few users or sessions to judge {few}: fewer than 10 independent groups."
    if few := _names(j for j in judged if not j.testable and j.by_time):
        yield (
            "few_blocks",
            (
                f"Too little time to judge {few}: both sides need six blocks of at least 30 s;"
                " the ranking is shown all the same."
            ),
        )
    if at_once := _names(j for j in judged if j.by_time and not j.is_period):
        yield (
            "rolled_out_at_once",
            (
                f"{at_once} changed for everybody at once, so before is compared with after;"
                " what else changed then cannot be told apart."
            ),
        )


def _about_the_verdict(
    evidence: Evidence, question: Question, judged: Sequence[Judged], verdict: model.Verdict, *, weak: bool
) -> _Caveats:
    if weak:
        listed = "are listed, best first, each with its q-value"
        yield "weak_evidence", f"Period causes that do not hold at alpha {question.alpha:g} {listed}."
    if evidence.facts.dur.size and not judged:
        yield (
            "no_factors",
            (
                "No flag, version or period varies among enough requests; tag spans with flag state, or give --baseline"
                " and --candidate."
            ),
        )
    elif verdict == "inconclusive":
        asked = [j for j in judged if j.testable and (question.candidate is None or j.is_period)]
        need = min((requests_to_settle(j) for j in asked), default=0)
        if need:
            yield (
                "too_little_data",
                (f"The effects are too uncertain to judge; about {need:,} requests of an entry point would settle it."),
            )


def _name(factor: Factor) -> str:
    if factor.kind == "period":
        return "the candidate period"
    return factor.key if factor.service is None else f"{factor.service} {factor.key}"


def _names(judged: Iterator[Judged]) -> str:
    return ", ".join(sorted({_name(j.effects.column.factor) for j in judged}))


def _level(factor: model.Factor) -> str:
    return f"{factor.key}={factor.level}" if factor.service is None else f"{factor.service} {factor.level}"
