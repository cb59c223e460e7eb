"""What the data cannot answer, and what to keep in mind: a report's warnings, each a stable code and a sentence."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from traceguard import model
from traceguard.engine.trace_size import too_large
from traceguard.explain.causes import Finding, factor_documents
from traceguard.explain.compared import MAX_ENTRIES, MIN_ENTRY_REQUESTS, Compared
from traceguard.explain.design import Column
from traceguard.explain.entries import MIN_CLUSTERS
from traceguard.explain.evidence import Evidence, share_of_time
from traceguard.explain.guards import guards
from traceguard.explain.question import Question
from traceguard.explain.verdict import Judged, requests_to_settle, unconfirmed
from traceguard.stats.sequential import FIRST_LOOK_CLUSTERS
from traceguard.traces.factors import MIXED, Factor
from traceguard.traces.link import Names
from traceguard.units import counted, format_ms, format_time

AMBIGUOUS_TIME = 0.05  # part of the requests' time that several calls could claim which is worth a warning

_Caveats = Iterator[tuple[str, str]]

MANY_RETRIES = 0.001  # retries per request that are worth a warning
SUSPECTS = 3  # N+1 patterns in a warning
# Well-known paths of probes (Kubernetes, Spring, common frameworks) and the gRPC health protocol.
_HEALTH_CHECK = re.compile(
    r"grpc\.health\.v1\.Health/|/(healthz?|livez|readyz|startupz|liveness|readiness|ping|health[_-]?check)(/|$|\?)",
    re.IGNORECASE,
)


def warnings_of(
    evidence: Evidence, question: Question, compared: Compared, judged: Sequence[Judged], verdict: model.Verdict, *,
    explained: bool, weak: bool, unsure: Sequence[Finding] = (),
) -> list[model.Warning]:  # fmt: skip
    """All warnings, those about the data before those about the judgement.

    `explained` says that some component explains a regression, `weak` that causes below alpha are listed; `unsure` are
    the findings that clock skew may have made.
    """
    found = [
        *_about_the_window(evidence, compared),
        *_about_the_traces(evidence),
        *_about_the_calls(evidence),
        *_about_skew(unsure, evidence),
        *_about_the_factors(evidence, compared),
        *guards(question, compared, evidence.window.names),
        *_about_the_design(judged),
        *_about_the_parts(question, judged, evidence.window.names),
        *_about_the_verdict(question, compared, judged, verdict, explained=explained, weak=weak),
    ]
    return [model.Warning(code=code, message=message) for code, message in found]


def _about_the_window(evidence: Evidence, compared: Compared) -> _Caveats:
    if compared.nothing is not None:
        yield compared.nothing
    traces = evidence.traces
    entries, requests = compared.left_out
    if entries:
        which = f"{counted(entries, 'entry point')} with {counted(requests, 'request')}"
        why = f"fewer than {MIN_ENTRY_REQUESTS} requests each, or not among the {MAX_ENTRIES} busiest"
        yield "entries_left_out", f"Not compared: {which} ({why})."
    if evidence.left_out_by:
        listed = "; ".join(f"{count:,} by {kind} {name}" for kind, name, count in evidence.left_out_by)
        yield "left_out", f"Left out as asked, in requests (of other environments in traces): {listed}."
    yield from _about_the_sampling(evidence, compared)
    if evidence.incomplete:
        share = evidence.incomplete / traces
        yield (
            "incomplete_traces",
            (
                f"{evidence.incomplete:,} of {traces:,} traces ({share:.1%}) miss spans;"
                f" {evidence.fragments:,} fragments without their upper part are left out."
            ),
        )
    if evidence.skewed:
        listed = ", ".join(f"{service} ({part:.0%} of calls)" for service, part in sorted(evidence.skewed.items()))
        outside = f"Calls of {listed} lie outside their callers' spans although they are shorter"
        yield "clock_skew", f"{outside}: clocks differ, so take self and inbound time of these services together."
    if evidence.past_watermark and evidence.watermark is not None:
        late = f"{counted(evidence.past_watermark, 'trace')} began after {format_time(evidence.watermark)}"
        why = "when unusually many spans are missing, which may still come"
        done = (
            "they are not judged (--ignore-watermark does)"
            if not evidence.judged.all()
            else "they are judged all the same"
        )
        yield "past_watermark", f"{late}, {why}; {done}."
    if evidence.negative_durations:
        spans = f"{evidence.negative_durations:,} spans end before they start"
        yield "end_before_start", f"{spans} and count as zero time; check their host's clock."
    if len(evidence.environments) > 1:
        listed = ", ".join(e or "unknown" for e in evidence.environments)
        yield (
            "several_environments",
            (f"The store holds several environments ({listed}), treated apart; name one with --env."),
        )


def _about_the_calls(evidence: Evidence) -> _Caveats:
    repeats, names = evidence.ledger.repeats(), evidence.window.names
    retried = int(repeats.retries.sum())
    if retried > MANY_RETRIES * evidence.facts.dur.size:
        by_operation = np.bincount(repeats.component, weights=repeats.retries, minlength=2 * len(names.operations))
        service, operation, _ = names.component(int(by_operation.argmax()))
        spent = format_ms(float(repeats.attempts.sum()) / 1e6)
        yield (
            "retries",
            (
                f"{retried:,} calls repeat a failed attempt, most of them of {service} {operation};"
                f" the {spent} that requests waited for failed attempts count as their callers' own time."
            ),
        )
    fan_out = evidence.fan_out
    suspects = fan_out.suspects
    if suspects.size:
        width = len(names.operations)
        listed = []
        for k in suspects[:SUSPECTS]:
            caller, callee = (" ".join(names.component(2 * o)[:2]) for o in divmod(int(fan_out.pair[k]), width))
            listed.append(f"{caller} calls {callee} up to {fan_out.most[k]:,} times")
        more = f" and {suspects.size - SUSPECTS} more" if suspects.size > SUSPECTS else ""
        yield (
            "n_plus_one",
            (
                f"Calls one after another in varying number, as N+1 patterns make: {'; '.join(listed)}{more};"
                " see the query n_plus_one."
            ),
        )


def _about_the_sampling(evidence: Evidence, compared: Compared) -> _Caveats:
    sampled = evidence.sampled
    if sampled.bias is not None:
        unknown = "errors are probably kept and the rest dropped at an unknown rate, so no error rate is judged"
        advice = "let the sampler write ot=th: into the trace state, or name its attribute in sample_rate_keys"
        yield "unknown_sampling", f"{sampled.bias}: {unknown}; {advice}."
    elif sampled.stated < 1.0 and sampled.adjusted > sampled.requests:
        without = f"{1 - sampled.stated:.1%} of requests state no sampling rate and count once"
        yield "partly_stated_sampling", f"{without}, beside others that stand for many."
    if sampled.adjusted > sampled.requests:
        stand = f"{sampled.requests:,} recorded requests stand for about {sampled.adjusted:,.0f}"
        yield "adjusted_counts", f"As their sampling rates say, {stand}; rates and times are weighted accordingly."
    names = evidence.window.names
    checks = sorted({
        f"{names.services[service]} {operation}"
        for service, operation in (names.operations[group.entry] for group in compared.groups)
        if _HEALTH_CHECK.search(operation)
    })  # fmt: skip
    if checks:
        look = f"{', '.join(checks)} look like health checks and are compared like users' requests"
        yield "health_checks", f"{look}; name them in leave_out_entries if they should not be."


def _about_skew(unsure: Sequence[Finding], evidence: Evidence) -> _Caveats:
    if not unsure:
        return
    listed = []
    for finding in unsure:
        service, operation, locus = evidence.window.names.component(finding.component)
        level = _levels(finding.judged.effects.column)
        listed.append(f"{service} {operation} ({locus}, {level})")
    effects = f"With the estimated clock skew taken out, the effect of {', '.join(sorted(set(listed)))}"
    yield "sign_depends_on_skew", f"{effects} would vanish or change its sign; synchronise these hosts' clocks."


def _about_the_traces(evidence: Evidence) -> _Caveats:
    if too_large_traces := too_large(evidence.window):
        yield too_large_traces
    if evidence.streams:
        total = sum(evidence.streams.values())
        ranked = sorted(evidence.streams.items(), key=lambda found: (-found[1], found[0]))
        listed = ", ".join(f"{name} ({count:,})" for name, count in ranked)
        yield (
            "long_lived_streams",
            f"{total:,} long-lived streams are left out, as their length is no latency: {listed}.",
        )
    ambiguous = share_of_time(evidence.facts.ambiguous, evidence.facts.dur)
    if ambiguous > AMBIGUOUS_TIME:
        overlapped = share_of_time(evidence.facts.overlapped, evidence.facts.dur)
        either = f"For {ambiguous:.1%} of the requests' time several parallel calls end together, and either could be"
        beside = f"other work runs beside the path for {overlapped:.1%}"
        yield "ambiguous_paths", f"{either} the one that was waited for; {beside}. Take such calls together."


def _about_the_factors(evidence: Evidence, compared: Compared) -> _Caveats:
    for key, levels in zip(evidence.read.unbounded_flags, evidence.read.unbounded_levels, strict=True):
        yield "unbounded_flag", f"Flag {key} has {levels:,} levels, too many for an assignment, and is set aside."
    yield from _about_the_attributes(evidence, compared)
    if evidence.read.evaluations_without_level:
        without = f"{evidence.read.evaluations_without_level:,} flag evaluations carry no variant and no value"
        yield "flag_without_level", f"{without}; their requests count as never having evaluated the flag."
    for service in evidence.read.unclear_versions:
        both = f"Several versions of {service} were there from the store's first moments"
        yield "ambiguous_reference", f"{both}; the lowest number, else the commonest, is taken for the older."
    for key in compared.one_level:
        only = f"Every request that evaluated the flag {key} got the same level"
        yield "one_level", f"{only}; those that never evaluated it may differ in other ways and are not compared."
    for f, factor in enumerate(compared.factors):
        mixed = float((compared.levels[:, f] == MIXED).mean()) if compared.levels.size else 0.0
        if mixed > 0:
            yield (
                "mixed_levels",
                (
                    f"{mixed:.1%} of requests ran under several levels of {_name(factor)};"
                    " they are compared with neither side."
                ),
            )
    traces = evidence.window.trace_hash.size
    if compared.factors and evidence.read.traces_with_unit < traces / 2:
        known = f"Only {evidence.read.traces_with_unit:,} of {traces:,} traces say whose request they are"
        advice = "the others count as independent, too sure where one user sends many; name one with --unit"
        yield "no_units", f"{known}; {advice}."


def _about_the_attributes(evidence: Evidence, compared: Compared) -> _Caveats:
    factors = {factor.key for factor in compared.factors if factor.kind == "attribute"}
    for attribute in evidence.read.attributes:
        if len(attribute.values) > 1 and attribute.key not in factors:
            many = f"The attribute {attribute.key} has {len(attribute.values):,} values, too many to compare each"
            yield "unbounded_attribute", f"{many}; causes are narrowed down to them all the same."
        elif not attribute.values:
            yield "attribute_not_seen", f"No span of the window has the attribute {attribute.key} of the settings."


def _about_the_design(judged: Sequence[Judged]) -> _Caveats:
    collinear = {
        f"{_levels(j.effects.column)} always came together with"
        f" {', '.join(_levels(other) for other in j.effects.inseparable)}"
        for j in judged
        if j.effects.inseparable
    }
    for together in sorted(collinear):
        yield "collinear_factors", f"{together}; give some requests only one of them to tell them apart."
    if few := _names(j for j in judged if not j.testable and not j.by_time):
        least = max(FIRST_LOOK_CLUSTERS if j.where.live else MIN_CLUSTERS for j in judged)
        yield "few_units", f"Too few users or sessions to judge {few}: fewer than {least:.0f} independent groups."
    if unsettled := _names(j for j in judged if j.by_time and j.where.live):
        yield (
            "live_by_time",
            (
                f"{unsettled[0].upper()}{unsettled[1:]} can only be compared before with after, and no such interval"
                " holds at every look: it makes no regression with --live. Ask again without it when all is over."
            ),
        )
    if few := _names(j for j in judged if j.by_time and not j.testable and not j.where.live):
        yield (
            "few_blocks",
            (
                f"Too little time to judge {few}: both sides need six blocks of at least 30 s;"
                " the ranking is shown all the same."
            ),
        )
    if at_once := _names(j for j in judged if j.by_time and not j.effects.column.period):
        yield (
            "rolled_out_at_once",
            (
                f"{at_once[0].upper()}{at_once[1:]} changed for everybody at once, so before is compared with after;"
                " what else changed then cannot be told apart."
            ),
        )


def _about_the_parts(question: Question, judged: Sequence[Judged], names: Names) -> _Caveats:
    found = unconfirmed(judged, question.alpha, question.floor)
    if not found:
        return
    first, root = found[0], found[0].effects.roots[0]
    service, operation, locus = names.component(int(first.where.outcomes.components[first.slower]))
    entry = " ".join(names.component(2 * first.where.entry)[:2])
    low, high = first.effects.latency.low[first.slower], first.effects.latency.high[first.slower]
    where = f"{service} {operation}" if locus == "self" else f"the way into {service} {operation}"
    more = f"; so with {len(found) - 1} more pairs of level and entry point" if len(found) > 1 else ""
    yield (
        "unconfirmed_component",
        (
            f"Under {_levels(first.effects.column)} {where} surely takes longer at {entry} ({format_ms(low)} to"
            f" {format_ms(high)}), but its requests may take {format_ms(root.low)} to {format_ms(root.high)} more:"
            f" other levels come with it, or users differ too much{more}."
        ),
    )


def _about_the_verdict(
    question: Question, compared: Compared, judged: Sequence[Judged], verdict: model.Verdict, *, explained: bool,
    weak: bool,
) -> _Caveats:  # fmt: skip
    if verdict == "regression" and not explained:
        why = "no component's mean time holds as its cause: it is in the tail, or spread over many parts"
        yield "unexplained_regression", f"Something got worse, but {why}."
    if weak:
        listed = "are listed, best first, each with its q-value"
        yield "weak_evidence", f"Period causes that do not hold at alpha {question.alpha:g} {listed}."
    if compared.nothing is None and not judged:
        yield (
            "no_factors",
            (
                "No flag, version or period varies among enough requests; tag spans with flag state, or give --baseline"
                " and --candidate."
            ),
        )
    elif verdict == "inconclusive":
        asked = [j for j in judged if j.testable and (question.candidate is None or j.period is not None)]
        more = [(need, j.where.requests) for j in asked if (need := requests_to_settle(j)) > j.where.requests]
        if more:
            need, have = min(more)
            enough = f"about {need:,} requests of an entry point (it has {have:,}), of as many more users"
            yield "too_little_data", f"The effects are too uncertain to judge; {enough}, would settle it."


def _name(factor: Factor) -> str:
    if factor.kind == "period":
        return "the candidate period"
    return factor.key if factor.service is None else f"the version of {factor.service}"


def _names(judged: Iterator[Judged]) -> str:
    return ", ".join(sorted({" and ".join(_name(level.factor) for level in j.effects.column.levels) for j in judged}))


def _levels(column: Column) -> str:
    return " and ".join(map(_level, factor_documents(column)))


def _level(factor: model.Factor) -> str:
    return f"{factor.key}={factor.level}" if factor.service is None else f"{factor.service} {factor.level}"
