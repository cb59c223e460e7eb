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

from traceguard.report import differences, reach_tables, rollout, scripts, tables
from traceguard.report.reach_map import draw_reach, draw_week
from traceguard.report.service_map import Damage, damage, draw
from traceguard.report.wording import (
    budgets_text,
    clean,
    count,
    difference_size,
    effect_text,
    entry_name,
    factors_name,
    graph_size,
    largest_text,
    not_known,
    percent,
    quantity,
    reach_text,
    scenario_name,
    target_name,
    window_text,
)
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import networkx as nx

    from traceguard.model import Cause, ForecastEntry, WhatIf
    from traceguard.report.results import Difference, Forecast, Radius, Rollout

Fact = tuple[str, str, str]
ALONE, WITHIN = "base.html", "within.html"  # layouts: a file of its own, or a part of the live page
_SHOWN_WORSE = 12


def render(kind: str, result: Any) -> str:
    """A result of a kind of `FORMATS` as a complete page."""
    from traceguard.report import report_page

    pages = {
        "report": report_page.analysis, "graph": graph, "graph-diff": difference, "blast-radius": radius,
        "what-if": forecast, "plan": plan,
    }  # fmt: skip
    return pages[kind](result)


def page(
    template: str,
    *,
    code: Sequence[str] = (),
    blocks: Sequence[tuple[str, object]] = (),
    layout: str = ALONE,
    **values: object,
) -> str:
    """Fill a template, within one of the layouts.

    `code` are inline scripts, `blocks` JSON data for them by id.
    """
    environment = _environment()
    return environment.get_template(template).render(
        policy=scripts.policy(code), scripts=[Markup(text) for text in code],  # noqa: S704  (our own scripts)
        json_blocks=[(name, embedded(data)) for name, data in blocks], layout=layout,
        css=Markup(whole_style()), **values,  # noqa: S704  (ours)
    )  # fmt: skip


def fragment(template: str, **values: object) -> str:
    """Fill a template that is a piece of a page, without scripts."""
    return _environment().get_template(template).render(**values)


def embedded(data: object) -> Markup:
    """JSON that is safe inside a script element: no `<`, so neither an end tag nor a comment can begin."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704  (escaped here)


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


def radius(result: Radius, layout: str = ALONE) -> str:
    """A blast radius as a page."""
    document = result.document
    reach = document.reach
    target = target_name(document.target)
    verb = reach_text(reach) if reach.traces else "no recorded request"
    unknown = not_known(document)
    facts: list[Fact] = [
        ("Traces reached", count(reach.traces), f"{percent(reach.requests_fraction)} of requests"),
        ("Users or sessions", count(reach.units), f"{percent(reach.units_fraction)} of all"),
        ("Services involved", count(reach.services), f"and {count(len(document.unknown))} that sent no spans"),
        ("Entry points", count(sum(e.fraction > 0 for e in document.entries)), ""),
    ]
    return page(
        "radius.html", layout=layout, target=target,
        sentence=unknown or f"If {target} goes wrong, it reaches {verb}.", facts=[] if unknown else facts,
        tone="inconclusive" if reach.traces else "no_data", about=window_text(document.window),
        entries=reach_tables.entries(document), upstream=reach_tables.neighbours(document.upstream),
        downstream=reach_tables.neighbours(document.downstream), gates=reach_tables.gates(document),
        untested=reach_tables.untested(document), unknown=reach_tables.unknown(document),
        cohorts=[(reach_tables.cohort_title(each), reach_tables.cohort(each)) for each in document.cohorts],
        map=Markup(draw_reach(document)), week=Markup(draw_week(document.by_time)),  # noqa: S704  (they escape every name)
        hours=reach_tables.hours(document.by_time), zone=clean(document.time_zone), warnings=document.warnings,
    )  # fmt: skip


def forecast(result: Forecast, layout: str = ALONE) -> str:
    """A what-if as a page: what it does to objectives, then each entry point before and after."""
    from traceguard.report.charts import distribution

    document = result.document
    scenario = scenario_name(document.scenario)
    moved = sorted(filter(tables.moves, document.entries), key=lambda e: e.before.p95 - e.after.p95)
    broken = [each for each in document.budgets if not each.kept_after]
    facts = _forecast_facts(document)
    sentence = not_known(document) or f"With {scenario}, no recorded request would notice."
    if moved:
        worst = moved[0]
        sides = f"{quantity(worst.before.p95, 'ms')} to {quantity(worst.after.p95, 'ms')}"
        sentence = f"With {scenario}, {entry_name(worst)} would change most: p95 {sides}."
    blocks: list[tuple[str, object]] = []
    cards_: list[tuple[ForecastEntry, tables.Table, str | None]] = []
    for index, entry in enumerate(moved[:_SHOWN_WORSE]):
        chart = None
        if entry.distribution is not None:
            chart = f"chart-{index}"
            means = (entry.before.mean, entry.after.mean)
            blocks.append((chart, distribution(entry.distribution, means, ("before", "after"))))
        cards_.append((entry, tables.forecast_metrics(entry), chart))
    code = scripts.chart_scripts() if blocks else ()
    shown = [entry for entry, _, _ in cards_]
    rest = document.model_copy(update={"entries": [e for e in document.entries if e not in shown]})
    tone = "no_data" if not document.entries else "regression" if broken else "inconclusive"
    return page(
        "forecast.html", layout=layout, code=code, blocks=blocks, scenario=scenario, sentence=sentence, facts=facts,
        tone="no_regression" if document.budgets and not broken else tone,
        largest=largest_text(document.largest) if document.largest else "",
        budgets=tables.budgets(document.budgets), said=budgets_text(document.budgets), cards=cards_,
        entries=tables.forecast_entries(rest), warnings=document.warnings,
        licences=scripts.licences() if code else "",
    )  # fmt: skip


def _forecast_facts(document: WhatIf) -> list[Fact]:
    """The row below the sentence: what is kept, the largest, and how the entry point fares that changes most."""
    facts: list[Fact] = []
    if document.largest is not None:
        value = document.largest.value
        shown = "none" if value is None else quantity(value, document.largest.unit)
        what = "objective" if document.largest.what == "exposure" else "objective of latency"
        facts.append((f"Largest {document.largest.what}", shown, f"that keeps every {what}"))
    if document.budgets:
        kept = sum(each.kept_after for each in document.budgets)
        before = sum(each.kept_before for each in document.budgets)
        facts.append(("Objectives kept", f"{kept} of {len(document.budgets)}", f"{before} before"))
    worst = max(document.entries, key=lambda e: e.after.p95 - e.before.p95, default=None)
    facts.append(("Entry points", count(len(document.entries)), f"{sum(map(tables.moves, document.entries))} change"))
    if worst is not None:
        for label, field, unit in (
            ("Its mean", "mean", "ms"),
            ("Its p95", "p95", "ms"),
            ("Its errors", "error_rate", "fraction"),
        ):
            before_, after_ = getattr(worst.before, field), getattr(worst.after, field)
            facts.append((label, quantity(after_ - before_, unit, signed=True), f"to {quantity(after_, unit)}"))
    return facts


def plan(result: Rollout, layout: str = ALONE) -> str:
    """A rollout plan as a page."""
    document = result.document
    first = rollout.first_sure(document)
    charts = rollout.charts(document)
    facts: list[Fact] = []
    if first is not None:
        facts = [
            ("First exposure that shows it", percent(first.exposure), rollout.hours(first.hours)),
            ("Power", percent(first.power or 0.0), f"of {percent(document.power)} asked for"),
            ("Users hit until then", count(first.users_hit), f"{counted(first.requests, 'request')} in the step"),
        ]
    facts.append(("Recorded", rollout.hours(document.recorded_hours), f"{counted(document.users, 'user')} reached"))
    return page(
        "plan.html", layout=layout, code=scripts.chart_scripts() if charts else (),
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
def whole_style() -> str:
    """The style sheet of all pages."""
    folder = files("traceguard.report") / "templates"
    return "".join((folder / name).read_text(encoding="utf-8") for name in ("style.css", "drawings.css"))


def picture_style(within: str) -> Markup:
    """The rules of the style sheet that pictures need, for those below the selector `within` of a foreign page."""
    rules = [
        line for line in whole_style().splitlines() if line.startswith((".map ", ".week ", "svg.map ", "svg.week "))
    ]
    colors = (
        f"{within}{{--card:transparent;--chip:#7b879822;--text:currentColor;--muted:#7b8798;--line:#7b879855;"
        "--expected:#7b8798;--seen:#d9401f;--bad:#d92d20;--bad-tint:#d92d2018;--unsure:#b87503;--unsure-tint:#b8750322}"
    )
    return Markup("".join([colors, *(f"{within} {rule}" for rule in rules)]))  # noqa: S704  (ours)
