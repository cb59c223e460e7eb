"""Results as one HTML file each: no network, dark and light, phone and print.

Text from spans reaches a page only through jinja2's autoescaping, the map's own escaping, or JSON in which `<` is
written as its escape sequence; the page's policy then allows no script but ours.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from traceguard.report import cards, differences, rollout, scripts, tables
from traceguard.report.documents import plain
from traceguard.report.service_map import Damage, damage, draw
from traceguard.report.wording import (
    VERDICTS,
    clean,
    confidence,
    count,
    difference_size,
    effect_interval,
    effect_text,
    factors_name,
    graph_size,
    headline,
    incomplete_text,
    inference_text,
    interval,
    leading_regression,
    metric_unit,
    percent,
    period_text,
    place,
    probability,
    quantity,
    scenario_name,
    target_name,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx

    from traceguard.model import Cause, Report
    from traceguard.report.results import Analysis, Difference, Forecast, Radius, Rollout

Fact = tuple[str, str, str]
_SHOWN_WORSE = 12
_LARGEST_EMBEDDED = 1_000_000


def render(kind: str, result: Any) -> str:
    """A result of a kind of `FORMATS` as a complete page."""
    pages = {
        "report": analysis, "graph": graph, "graph-diff": difference, "blast-radius": radius, "what-if": forecast,
        "plan": plan,
    }  # fmt: skip
    return pages[kind](result)


def page(
    template: str,
    *,
    code: Sequence[str] = (),
    blocks: Sequence[tuple[str, object]] = (),
    forms: bool = False,
    **values: object,
) -> str:
    """Fill a template.

    `code` are inline scripts, `blocks` JSON data for them by id; `forms` allows forms to the same server.
    """
    environment = _environment()
    return environment.get_template(template).render(
        policy=scripts.policy(code, forms=forms), scripts=[Markup(text) for text in code],  # noqa: S704  (our own scripts)
        json_blocks=[(name, embedded(data)) for name, data in blocks], css=Markup(_style()), **values,  # noqa: S704  (ours)
    )  # fmt: skip


def fragment(template: str, **values: object) -> str:
    """Fill a template that is a piece of a page, without scripts."""
    return _environment().get_template(template).render(**values)


def embedded(data: object) -> Markup:
    """JSON that is safe inside a script element: no `<`, so neither an end tag nor a comment can begin."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704  (escaped here)


def analysis(result: Analysis) -> str:
    """A report as a page; charts only where there is something to draw, so a quiet report stays small."""
    from traceguard.report.charts import distribution

    report = result.document
    level = confidence(report.alpha)
    worse = cards.regression_cards(report)
    blocks: list[tuple[str, object]] = []
    shown: list[tuple[cards.RegressionCard, str | None]] = []
    for index, card in enumerate(worse[:_SHOWN_WORSE]):
        chart = None
        if card.distribution is not None:
            chart = f"chart-{index}"
            blocks.append((chart, distribution(card.distribution, card.means)))
        shown.append((card, chart))
    code = scripts.chart_scripts() if blocks else ()
    document = plain(report)
    if len(json.dumps(document)) <= _LARGEST_EMBEDDED:
        blocks.append(("traceguard-report", document))
    more_worse = [regression for card in worse[_SHOWN_WORSE:] for regression in card.members]
    marks = damage_of(result.graph, report.causes) if result.graph is not None else Damage()
    return page(
        "report.html", code=code, blocks=blocks, report=report, verdict=VERDICTS[report.verdict],
        headline=headline(report), window=window_text(report.window), about=period_text(report.window),
        inference=inference_text(report), facts=_report_facts(report), level=level,
        causes=cards.cause_cards(report.causes, report, result.settings),
        more_causes=tables.causes(report.causes[12:], level),
        improvements=cards.cause_cards(report.improvements, report, result.settings),
        more_improvements=tables.causes(report.improvements[6:], level),
        worse=shown, more_worse=tables.regressions(more_worse, level), map=draw_map(result.graph, marks),
        map_note=_map_note(report.causes, marks), repeat=_repeat(report), licences=scripts.licences() if code else "",
    )  # fmt: skip


def graph(result: nx.DiGraph[Any]) -> str:
    """A service map with its tables as a page."""
    return page(
        "graph.html", size=graph_size(result), map=draw_map(result, Damage()), nodes=tables.graph_nodes(result),
        edges=tables.graph_edges(result),
    )  # fmt: skip


def difference(result: Difference) -> str:
    """What differs between two graphs as a page: the map of what differs, and its tables."""
    document = result.document
    return page(
        "difference.html", size=difference_size(document).capitalize(), sides=differences.size(result),
        edges=differences.edge_changes(document.edges), nodes=differences.node_changes(document.nodes),
        noun="Services" if document.level == "service" else "Operations",
    )  # fmt: skip


def radius(result: Radius) -> str:
    """A blast radius as a page."""
    document = result.document
    reach = document.reach
    target = target_name(document.target)
    verb = f"{percent(reach.requests_fraction)} of requests" if reach.traces else "no recorded request"
    facts: list[Fact] = [
        ("Traces reached", count(reach.traces), f"{percent(reach.requests_fraction)} of requests"),
        ("Users or sessions", count(reach.units), ""),
        ("Services involved", count(reach.services), ""),
        ("Entry points", count(sum(e.fraction > 0 for e in document.entries)), ""),
    ]
    return page(
        "radius.html", target=target, sentence=f"If {target} goes wrong, it reaches {verb}.", facts=facts,
        tone="inconclusive" if reach.traces else "no_data", about=window_text(document.window),
        entries=tables.reached_entries(document), upstream=tables.neighbours(document.upstream),
        downstream=tables.neighbours(document.downstream), warnings=document.warnings,
    )  # fmt: skip


def forecast(result: Forecast) -> str:
    """A what-if as a page."""
    document = result.document
    scenario = scenario_name(document.scenario)
    worst = max(document.entries, key=lambda e: e.after.p95 - e.before.p95, default=None)
    facts: list[Fact] = [("Entry points", count(len(document.entries)), "")]
    sentence = f"With {scenario}, no recorded request would notice."
    if worst is not None:
        mean, tail = worst.after.mean - worst.before.mean, worst.after.p95 - worst.before.p95
        failed = worst.after.error_rate - worst.before.error_rate
        name = clean(f"{worst.operation} of {worst.service}")
        sides = f"{quantity(worst.before.p95, 'ms')} to {quantity(worst.after.p95, 'ms')}"
        sentence = f"With {scenario}, {name} would change most: p95 {sides}."
        facts += [
            ("Its mean", quantity(mean, "ms", signed=True), f"to {quantity(worst.after.mean, 'ms')}"),
            ("Its p95", quantity(tail, "ms", signed=True), f"to {quantity(worst.after.p95, 'ms')}"),
            ("Its errors", quantity(failed, "fraction", signed=True), f"to {percent(worst.after.error_rate)}"),
        ]
    return page(
        "forecast.html", scenario=scenario, sentence=sentence, facts=facts, tone="inconclusive" if worst else "no_data",
        entries=tables.forecast_entries(document), warnings=document.warnings,
    )  # fmt: skip


def plan(result: Rollout) -> str:
    """A rollout plan as a page."""
    document = result.document
    first = rollout.first_sure(document)
    charts = rollout.charts(document)
    facts: list[Fact] = []
    if first is not None:
        facts = [
            ("First exposure that shows it", percent(first.exposure), rollout.hours(first.hours)),
            ("Power", percent(first.power or 0.0), f"of {percent(document.power)} asked for"),
            ("Users hit until then", count(first.users_hit), f"{count(first.requests)} requests in the step"),
        ]
    facts.append(("Recorded", rollout.hours(document.recorded_hours), f"{count(document.users)} users reached"))
    return page(
        "plan.html", code=scripts.chart_scripts() if charts else (),
        blocks=[(f"chart-{number}", spec) for number, (_, spec) in enumerate(charts)],
        charts=[(f"chart-{number}", title) for number, (title, _) in enumerate(charts)],
        target=target_name(document.target), sentence=rollout.headline(document), facts=facts,
        tone="inconclusive" if first else "no_data", about=window_text(document.window),
        basis=rollout.basis(document), least=rollout.least_text(document), notes=rollout.notes(),
        steps=rollout.steps(document), entries=rollout.entries(document), warnings=document.warnings,
        licences=scripts.licences() if charts else "",
    )  # fmt: skip


def draw_map(of: nx.DiGraph[Any] | None, marks: Damage) -> Markup:
    """The service map for a template; empty where there is no graph."""
    return Markup(draw(of, marks)) if of is not None else Markup("")  # noqa: S704  (draw escapes every name)


def damage_of(of: nx.DiGraph[Any], causes: Sequence[Cause]) -> Damage:
    """What the map points out: the services of the first three causes, and the way to them."""
    first = causes[:3]
    notes: dict[str, str] = {}
    entries: dict[str, list[str]] = {}
    for cause in first:
        notes.setdefault(cause.service, f"{effect_text(cause.effect)}, {factors_name(cause.factors)}")
        entries.setdefault(cause.service, []).extend(each.entry.service for each in cause.entries)
    return damage(of, notes, entries)


def _report_facts(report: Report) -> list[Fact]:
    """The row below the verdict: effect with interval, share, reach and certainty where there are any; the data."""
    facts: list[Fact] = []
    if report.regressions:
        lead = leading_regression(report)
        unit = metric_unit(lead.metric)
        facts.append(("Change", quantity(lead.delta, unit, signed=True), interval(lead.low, lead.high, unit)))
        cause = next((c for c in report.causes if c.factors == lead.factors), None)
        if cause is not None:
            facts += [
                ("Explained", percent(cause.share), f"by {place(cause)}"),
                (
                    "Requests under it",
                    count(cause.requests.affected),
                    f"{percent(cause.requests.fraction)} of requests",
                ),
            ]
        facts.append(("Adjusted p", probability(lead.p_adjusted), "over all tests"))
    elif report.causes:
        best = report.causes[0]
        facts.append(("Best explanation", effect_text(best.effect), effect_interval(best.effect)))
    rest = [f"requests, {count(report.window.spans)} spans", incomplete_text(report.window)]
    facts.append(("Judged on", count(report.window.traces), ", ".join(filter(None, rest))))
    return facts


def _map_note(causes: Sequence[Cause], marks: Damage) -> str:
    if not marks.notes:
        return ""
    first = next(c for c in causes if c.service in marks.notes)
    return clean(f"Red: the way of the damage, to {first.service} first.")


def _repeat(report: Report) -> str:
    parts = ["traceguard report --db STORE"]
    if report.window.start and report.window.end:
        parts.append(f"--since {report.window.start} --until {report.window.end}")
    if report.baseline and report.candidate:
        sides = (("baseline", report.baseline), ("candidate", report.candidate))
        parts += [f"--{name} {side.start}/{side.end}" for name, side in sides]
    live = ["--live"] if report.inference == "anytime_valid" else []
    return " ".join([*parts, f"--alpha {report.alpha:g}", *live])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("traceguard.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["clean"] = clean
    return environment


@cache
def _style() -> str:
    return (files("traceguard.report") / "templates" / "style.css").read_text(encoding="utf-8")
