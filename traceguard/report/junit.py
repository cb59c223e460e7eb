"""A report as JUnit XML, for any build server: one suite an entry point, one case a metric, and one for the verdict.

Every entry point that was judged has a case for every metric, so that a list of tests keeps its length from run to run.
A case fails for a regression that holds at alpha, unless all that explains it is accepted. Accepted, inconclusive and
no data are `skipped`: neither passed nor failed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from traceguard.explain.accepted import failing, is_accepted
from traceguard.report.wording import (
    METRICS,
    entry_name,
    factors_name,
    headline,
    interval,
    metric_unit,
    place,
    probability,
    quantity,
    reference_name,
    window_text,
)

if TYPE_CHECKING:
    from traceguard.model import Regression, Report
    from traceguard.report.results import Analysis

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(analysis: Analysis) -> str:
    """The report as one `testsuites` document."""
    report = analysis.document
    cases: dict[str, dict[str, list[Regression]]] = {
        entry_name(each.entry): {metric: [] for metric in METRICS.values()} for each in report.judged
    }
    for regression in report.regressions:
        metrics = cases.setdefault(entry_name(regression.entry), {})
        metrics.setdefault(METRICS[regression.metric], []).append(regression)
    suites = [_suite("traceguard", [_verdict_case(report)])]
    suites += [
        _suite(entry, [_metric_case(entry, metric, found, report) for metric, found in metrics.items()])
        for entry, metrics in cases.items()
    ]
    body = "\n".join(suites)
    totals = _totals(body)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="traceguard" {totals}>\n{body}\n</testsuites>\n'


def _suite(name: str, cases: list[str]) -> str:
    body = "\n".join(cases)
    return f"  <testsuite name={_attribute(name)} {_totals(body)}>\n{body}\n  </testsuite>"


def _totals(body: str) -> str:
    return (
        f'tests="{body.count("<testcase ")}" failures="{body.count("<failure ")}" errors="0" '
        f'skipped="{body.count("<skipped ")}"'
    )


def _verdict_case(report: Report) -> str:
    sentence = headline(report)
    about = _text(window_text(report.window))
    skipped = f"<skipped message={_attribute(sentence)} />"
    fails = f'<failure type="regression" message={_attribute(sentence)}>{_text(_why(report))}</failure>'
    if report.verdict == "regression" and not failing(report):
        skipped, fails = f"<skipped message={_attribute(f'Accepted: {sentence}')} />", ""
    inner = {"regression": fails or skipped, "no_regression": ""}.get(report.verdict, skipped)
    said = f"{_text(sentence)} Judged on {about}." if report.verdict == "no_regression" else f"Judged on {about}."
    return _case("traceguard", "verdict", f"{inner}<system-out>{said}</system-out>")


def _why(report: Report) -> str:
    causes = [f"{c.rank}. {place(c)} under {factors_name(c.factors)}: {c.summary}" for c in report.causes]
    return "\n".join(causes) or "No cause stands out."


def _metric_case(entry: str, metric: str, found: list[Regression], report: Report) -> str:
    lines = [
        f"under {factors_name(r.factors)} (against {reference_name(r.factors)}): "
        f"{quantity(r.reference, metric_unit(r.metric))} expected, {quantity(r.observed, metric_unit(r.metric))} seen, "
        f"change {quantity(r.delta, metric_unit(r.metric), signed=True)} "
        f"({interval(r.low, r.high, metric_unit(r.metric))}), adjusted p {probability(r.p_adjusted)}"
        for r in found
    ]
    text = _text("\n".join(lines) or "did not get worse")
    held = [r for r in found if r.p_adjusted <= report.alpha]
    if not held:
        return _case(entry, metric, f"<system-out>{text}</system-out>")
    if all(is_accepted(r, report) for r in held):
        message = _attribute(f"{metric} got worse, which is accepted for now")
        return _case(entry, metric, f"<skipped message={message} /><system-out>{text}</system-out>")
    message = _attribute(f"{metric} got worse under {factors_name(found[0].factors)}")
    return _case(entry, metric, f'<failure type="regression" message={message}>{text}</failure>')


def _case(suite: str, name: str, inner: str) -> str:
    return f"    <testcase classname={_attribute(suite)} name={_attribute(name)}>{inner}</testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text), {"\n": "&#10;"})


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))
