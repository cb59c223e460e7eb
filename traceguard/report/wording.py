"""The words and numbers of reports: one place decides how a quantity, a factor or a verdict reads in every format.

Text that came in with spans passes through `clean` before it is shown: control and direction characters would let a
span's name move a terminal's cursor or reorder a line. Each format escapes for itself after that.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from traceguard.model import BlastRadius
from traceguard.units import counted, format_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx

    from traceguard.model import (
        Against,
        Budget,
        Cause,
        CauseChange,
        Effect,
        Entry,
        Factor,
        GraphDiff,
        Largest,
        Mix,
        Reach,
        Regression,
        Report,
        Scenario,
        Target,
        WhatIf,
        Window,
    )

METRICS = {
    "latency_mean": "mean latency",
    "latency_p50": "median latency",
    "latency_p95": "p95 latency",
    "latency_p99": "p99 latency",
    "error_rate": "error rate",
}
LOCI = {"self": "its own time", "inbound": "the way to it"}
VERDICTS = {
    "regression": "Regression",
    "no_regression": "No regression",
    "inconclusive": "Inconclusive",
    "no_data": "No data",
}
_CHANGES = {"new": "new", "vanished": "vanished", "changed": "changed", "not_seen": "not seen on one side"}
MINUS = "\N{MINUS SIGN}"
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clean(text: str) -> str:
    """Text without characters that act instead of showing: each becomes the replacement character."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _HIDDEN else c for c in text)


def shorten(text: str, width: int) -> str:
    """At most `width` characters, the middle left out: names of services and operations differ at both ends."""
    if len(text) <= width:
        return text
    head = width // 2
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (width - 1 - head) :]}"


def count(value: float) -> str:
    """A number of things, with thousands separated."""
    return f"{value:,.0f}"


def percent(fraction: float) -> str:
    """A share as a percentage with a sensible number of digits."""
    if not math.isfinite(fraction):
        return "unknown"
    value = fraction * 100
    digits = 0 if abs(value) >= 99.95 or value == 0 else 1 if abs(value) >= 1 else 2
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%".replace("-", MINUS)


def quantity(value: float, unit: str, *, signed: bool = False) -> str:
    """A latency, rate or number of calls with its unit; `signed` shows a plus before what grew."""
    if not math.isfinite(value):
        return "unknown"
    size = abs(value)
    if unit == "ms":
        text = format_ms(size)
    elif unit == "fraction":
        text = percent(size).removesuffix("%") + (" pp" if signed else "%")
    else:
        text = f"{size:.3g} {'call' if size == 1 else 'calls'}"
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    return sign + text


def interval(low: float, high: float, unit: str) -> str:
    """An interval as `+78 to +90.4 ms`: signed, the unit once where both ends share it."""
    (first, _, unit_low), last = quantity(low, unit, signed=True).partition(" "), quantity(high, unit, signed=True)
    return f"{first} to {last}" if unit_low == last.partition(" ")[2] else f"{first} {unit_low} to {last}"


def metric_interval(regression: Regression) -> str:
    """The interval of a metric's change; an end that is zero itself is one that the test rules out: `>0 to +131 ms`."""
    text = interval(regression.low, regression.high, metric_unit(regression.metric))
    if not regression.metric.startswith("latency_p"):
        return text
    if regression.low == 0.0 < regression.high:
        return f">{text}"
    return text.replace(" to 0 ", " to <0 ") if regression.low < 0.0 == regression.high else text


def hours(value: float) -> str:
    """A length of time for people: `12 minutes`, `3.5 hours`, `9.3 days`."""
    for unit, size in (("day", 48.0), ("hour", 1.0)):
        if value >= size:
            return f"{value / (24.0 if unit == 'day' else 1.0):.3g} {unit}s"
    return f"{value * 60:.3g} minutes"


def share_interval(low: float, high: float) -> str:
    """An interval of a share, which has no sign: `12% to 15.3%`."""
    return f"{percent(low)} to {percent(high)}"


def probability(value: float) -> str:
    """A p- or q-value; below one in ten thousand the exact size says nothing more."""
    if not math.isfinite(value):
        return "unknown"
    return "<0.0001" if value < 0.0001 else f"{value:.4f}".rstrip("0").rstrip(".") if value < 0.01 else f"{value:.2g}"


def confidence(alpha: float) -> str:
    """The level of the intervals, such as `95%`."""
    return percent(1 - alpha)


_HOLDS = {
    "fixed_horizon": "holds for one look at a finished window",
    "anytime_valid": "holds at every look while the rollout runs",
}


def apart_text(cause: Cause) -> str:
    """What a cause cannot be told apart from, and what would do it."""
    others = "; ".join(factors_name(factors) for factors in cause.inseparable_from)
    text = f"The data cannot tell this apart from {others}."
    if cause.separation is None:
        return text
    needed = f"about {counted(cause.separation.requests, 'request')} ({counted(cause.separation.units, 'user')})"
    return f"{text} The whole effect is theirs together; {needed} under one without the other would separate them."


def accepted_text(cause: Cause) -> str:
    """That a cause is accepted, until when and why; empty where it is not."""
    if cause.accepted is None:
        return ""
    return clean(f"Accepted until {cause.accepted.until}: {cause.accepted.reason}")


CHANGES = {"new": "new", "gone": "gone", "changed": "changed", "as_before": "as before"}


def against_text(against: Against) -> str:
    """How a report's causes differ from those of the older one that it is held against."""
    counts = {change: sum(c.change == change for c in against.causes) for change in CHANGES}
    said = ", ".join(f"{n} {CHANGES[change]}" for change, n in counts.items() if n) or "none in either"
    period = period_text(against.window)
    when = f" on {period}" if period else ""
    return f"Causes against the older report{when} ({VERDICTS[against.verdict]}): {said}."


def inference_text(report: Report) -> str:
    """For how many looks at the data intervals and verdict hold."""
    return f"The verdict {_HOLDS[report.inference]}."


def factor_name(factor: Factor) -> str:
    """A factor and its level, short: `new-pricing=on`, `payment 1.8.0`, `candidate period`, `region=eu`."""
    if factor.kind == "version":
        return clean(f"{factor.service} {factor.level}" if factor.service else f"version {factor.level}")
    if factor.kind == "period":
        return clean(f"{factor.level} period")
    return clean(f"{factor.key}={factor.level}")


def factors_name(factors: Sequence[Factor]) -> str:
    """Several factors together: all of them are needed."""
    return " and ".join(factor_name(factor) for factor in factors)


def reference_name(factors: Sequence[Factor]) -> str:
    """What the factors are compared with: `off`, `1.7.2`, `the baseline period`."""
    return " and ".join(f"{clean(f.reference)} period" if f.kind == "period" else clean(f.reference) for f in factors)


def entry_name(entry: Entry) -> str:
    """An entry point: `POST /checkout of frontend`, with its environment where the store holds several."""
    name = f"{entry.operation} of {entry.service}"
    return clean(f"{name} in {entry.environment}" if entry.environment else name)


def mix_text(mix: Mix) -> str:
    """How the mean latency of all requests changed between two periods, and how much of that is another mix."""
    whole = f"{quantity(mix.reference_ms, 'ms')} to {quantity(mix.observed_ms, 'ms')}"
    parts = f"{quantity(mix.mix_ms, 'ms', signed=True)} by another mix of entry points"
    return f"All requests, on average: {whole}; {parts}, {quantity(mix.within_ms, 'ms', signed=True)} within them."


def metric_unit(metric: str) -> str:
    """The unit of a regression's metric: `ms` or `fraction`."""
    return "fraction" if metric == "error_rate" else "ms"


def effect_text(effect: Effect) -> str:
    """An effect's estimate, signed."""
    return quantity(effect.estimate, effect.unit, signed=True)


def effect_interval(effect: Effect) -> str:
    """An effect's interval."""
    return interval(effect.low, effect.high, effect.unit)


def place(cause: Cause) -> str:
    """Where a cause lies: `pricing ComputeQuote`."""
    return clean(f"{cause.service} {cause.operation}")


def what(cause: Cause | CauseChange) -> str:
    """What a cause does there: time of its own, time on the way to it, failures, or calls."""
    if cause.metric == "latency":
        return LOCI[cause.locus]
    return "failures that begin there" if cause.metric == "error" else "calls"


def window_text(window: Window) -> str:
    """How many requests and spans a result rests on, and when they began."""
    parts = [
        f"{counted(window.traces, 'request')}, {counted(window.spans, 'span')}",
        incomplete_text(window),
        period_text(window),
    ]
    return ", ".join(filter(None, parts))


def incomplete_text(window: Window) -> str:
    """The share of requests that miss spans; empty where it was not measured."""
    return f"{percent(window.incomplete_fraction)} incomplete" if window.incomplete_fraction is not None else ""


def period_text(window: Window) -> str:
    """When a window's requests began; empty where it has no bounds."""
    return between(window.start, window.end) if window.start and window.end else ""


def between(start: str, end: str) -> str:
    """Two RFC 3339 times in UTC, the day once: `2026-11-23 12:00:00 to 13:00:00 UTC`."""
    (day, first), (other, last) = (_split_time(start), _split_time(end))
    return f"{day} {first} to {last} UTC" if day == other else f"{day} {first} to {other} {last} UTC"


def _split_time(text: str) -> tuple[str, str]:
    day, _, time = text.removesuffix("Z").partition("T")
    return day, time.partition(".")[0]


def change(regression: Regression, level: str = "") -> str:
    """A regression as the end of a sentence: `got 92.3 ms slower (mean 96.4 ms to 189 ms)`.

    With `level`, such as `95%`, also the interval of the change.
    """
    unit = metric_unit(regression.metric)
    sides = f"{quantity(regression.reference, unit)} to {quantity(regression.observed, unit)}"
    sure = f"; {level} interval {metric_interval(regression)}" if level else ""
    if unit == "fraction":
        return f"fails more often ({sides}{sure})"
    statistic = METRICS[regression.metric].removesuffix(" latency")
    return f"got {quantity(regression.delta, unit)} slower ({statistic} {sides}{sure})"


def headline(report: Report, *, with_interval: bool = False) -> str:
    """The verdict in one sentence."""
    if report.verdict == "regression" and report.regressions:
        lead = leading_regression(report)
        others = len({(r.entry.service, r.entry.operation, r.entry.environment) for r in report.regressions}) - 1
        more = f" {counted(others, 'more entry point')} got worse too." if others else ""
        cause = _cause_of(report, lead)
        blame = _blame(cause) if cause else "no single service explains it"
        changed = change(lead, confidence(report.alpha) if with_interval else "")
        return f"{entry_name(lead.entry)} {changed} under {factors_name(lead.factors)}; {blame}.{more}"
    if report.verdict == "regression":
        return "Something got worse, but no entry point's metric stands out."
    if report.verdict == "no_regression":
        return (
            f"Nothing got slower or failed more in {count(_judged(report))} requests, tested at alpha {report.alpha:g}."
        )
    if report.verdict == "inconclusive":
        return f"{count(_judged(report))} requests cannot settle whether anything got worse."
    return "There is no usable request to judge."


def _judged(report: Report) -> int:
    """How many requests were compared; those of the window where none were."""
    return sum(each.requests for each in report.judged) or report.window.traces


def leading_regression(report: Report) -> Regression:
    """The regression a reader should hear of first: the one the first cause explains, the mean before quantiles."""
    first = report.causes[0] if report.causes else None
    entries = [each.entry for each in first.entries] if first else []

    def order(item: tuple[int, Regression]) -> tuple[bool, bool, int, bool, int]:
        index, regression = item
        other_factors = first is not None and regression.factors != first.factors
        other_metric = first is not None and (first.metric == "error") != (regression.metric == "error_rate")
        where = entries.index(regression.entry) if regression.entry in entries else len(entries)
        return other_factors, other_metric, where, regression.metric != "latency_mean", index

    return min(enumerate(report.regressions), key=order)[1]


def _cause_of(report: Report, regression: Regression) -> Cause | None:
    wanted = "error" if regression.metric == "error_rate" else "latency"
    return next((c for c in report.causes if c.factors == regression.factors and c.metric in {wanted, "calls"}), None)


def _blame(cause: Cause) -> str:
    share = f"explains {percent(cause.share)} of it" if math.isfinite(cause.share) else "explains part of it"
    if cause.metric == "latency":
        manner = "its own time" if cause.locus == "self" else "the way to it"
        return f"{place(cause)} ({manner}) {share}"
    return f"{place(cause)} ({what(cause)}) {share}"


def graph_size(graph: nx.DiGraph[Any]) -> str:
    """How many services (or operations) a graph has, and how many databases, queues and other systems they call."""
    inferred = sum(bool(a.get("inferred")) for _, a in graph.nodes(data=True))
    others = f", {count(inferred)} databases, queues and other systems" if inferred else ""
    noun = "operations" if any("operation" in a for _, a in graph.nodes(data=True)) else "services"
    return f"{count(graph.number_of_nodes() - inferred)} {noun}{others}, {count(graph.number_of_edges())} dependencies"


def difference_size(diff: GraphDiff) -> str:
    """How many dependencies are new, vanished, changed or not seen on one side, and how many are as before."""
    edges = [edge.change for edge in diff.edges]
    parts = [f"{count(edges.count(c))} {word}" for c, word in _CHANGES.items() if c in edges]
    return f"{', '.join(parts) or 'no'} dependencies differ, {count(diff.unchanged_edges)} are as before"


def reach_text(reach: Reach) -> str:
    """The part of requests that reach a target, with its interval: `71% of requests (95%: 69% to 73%)`."""
    bounds = f" (95%: {share_interval(reach.low, reach.high)})" if reach.traces else ""
    return f"{percent(reach.requests_fraction)} of requests{bounds}"


def target_name(target: Target) -> str:
    """What a blast radius is about."""
    if target.flag is not None:
        readers = f", read by {', '.join(target.read_by)}" if target.read_by else ""
        return clean(f"flag {target.flag}{readers}")
    name = target.service or ""
    return clean(f"{name} {target.operation}" if target.operation else name)


def not_known(document: BlastRadius | WhatIf) -> str:
    """The headline where no usable request tells anything, which is not the same as no damage; else empty."""
    if all(warning.code != "no_requests" for warning in document.warnings):
        return ""
    if isinstance(document, BlastRadius):
        whom = f"reaches {target_name(document.target)}"
    else:
        supposed = document.scenario
        of = f"{supposed.service} {supposed.operation}" if supposed.operation else supposed.service
        whom = f"ran under both levels of {supposed.flag}" if supposed.flag is not None else f"calls {of}"
    return clean(f"Not known: no usable request of the window {whom}.")


def _rounded(delay: str) -> str:
    """A distribution with at most three digits a number: `lognormal(37.2ms,0.5)`."""
    return _NUMBER.sub(lambda found: f"{float(found[0]):.{3 if float(found[0]) < 1000 else 12}g}", delay)


def scenario_name(scenario: Scenario) -> str:
    """What a what-if supposes: `+50 ms and 1% errors in pricing for 5% of requests`, `new-pricing=on for 50% ...`."""
    whom = "all requests" if scenario.exposure >= 1 else f"{percent(scenario.exposure)} of requests"
    if scenario.flag is not None:
        level = scenario.flag if scenario.level is None else f"{scenario.flag}={scenario.level}"
        now = "" if scenario.current_exposure is None else f" instead of {percent(scenario.current_exposure)}"
        return clean(f"{level} for {whom}{now}")
    parts = []
    if scenario.delay_ms or not scenario.error_rate:
        shape = f" on average ({_rounded(scenario.delay)})" if scenario.delay and "(" in scenario.delay else ""
        parts.append(quantity(scenario.delay_ms, "ms", signed=True) + shape)
    if scenario.error_rate:
        parts.append(f"{percent(scenario.error_rate)} errors")
    where = f"{scenario.service} {scenario.operation}" if scenario.operation else scenario.service
    return clean(f"{' and '.join(parts)} in {where} for {whom}")


def largest_text(found: Largest) -> str:
    """The answer to `--largest` in one sentence."""
    limiting = found.limited_by
    where = "" if limiting is None else f"{limiting.slo} at {entry_name(limiting.entry)}"
    if found.value is None:
        reason = (found.reason or "").rstrip(".")
        return clean(f"No {found.what} can be named: {reason[:1].lower()}{reason[1:]}{f' ({where})' if where else ''}.")
    value = quantity(found.value, found.unit)
    forbids = f"; more would break {where}" if where else ""
    kept = "every objective of latency" if found.what == "delay" else "every objective"
    return clean(f"The largest {found.what} that keeps {kept} is {value}{forbids}.")


def budgets_text(budgets: Sequence[Budget]) -> str:
    """What a scenario does to objectives, in one sentence; empty where there are none."""
    if not budgets:
        return ""
    broken, before = (
        sum(not kept for kept in side) for side in zip(*((b.kept_after, b.kept_before) for b in budgets), strict=True)
    )
    verb = "is" if broken == 1 else "are"
    text = f"{broken} of {count(len(budgets))} objectives {verb} broken" if broken else "Every objective is kept"
    return f"{text} ({before} before)." if broken or before else f"{text}."
