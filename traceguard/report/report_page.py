"""A report as one page: the verdict, a card a cause with its pictures, what got worse, warnings, method.

A page never grows past `LIMIT`: where it would, the pictures of the last causes are left out first, and the page says
so. Pictures are drawn by functions from plain data to markup, one module each, which other pages may use as well.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from markupsafe import Markup

from traceguard.report import cards, scripts, tables
from traceguard.report.against import table as against_table
from traceguard.report.documents import plain
from traceguard.report.pages import damage_of, embedded, page
from traceguard.report.service_map import SMALL, Damage, draw, markers
from traceguard.report.tables import Table
from traceguard.report.views import CauseView, view
from traceguard.report.wording import (
    VERDICTS,
    against_text,
    clean,
    confidence,
    count,
    effect_interval,
    effect_text,
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
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import Cause, Report
    from traceguard.report.results import Analysis

Fact = tuple[str, str, str]
LIMIT = 2_900_000
SHOWN_CAUSES = 20
_SHOWN_WORSE = 12
_LARGEST_EMBEDDED = 600_000


def analysis(result: Analysis) -> str:
    """A report as a page of at most `LIMIT` bytes; charts only where there is something to draw."""
    pictured = SHOWN_CAUSES
    while True:
        source = _page(result, pictured)
        if len(source.encode()) <= LIMIT or pictured == 0:
            return source
        pictured = pictured * 2 // 3


def _page(result: Analysis, pictured: int) -> str:
    report = result.document
    level = confidence(report.alpha)
    worse = cards.regression_cards(report)
    blocks = _charts(worse)
    chart_of = {index: name for index, (name, _) in blocks.items()}
    views = _views(result, worse, chart_of, pictured)
    shown_with = {id(found): v.number for v, found in reversed(views)}
    code = scripts.page_scripts(charts=bool(blocks)) if blocks or views else ()
    document = plain(report)
    embedded = [("traceguard-report", document)] if len(json.dumps(document)) <= _LARGEST_EMBEDDED else []
    more_worse = [regression for card in worse[_SHOWN_WORSE:] for regression in card.members]
    whole = _whole_map(result)
    return page(
        "report.html", code=code, blocks=[*blocks.values(), *embedded], report=report, verdict=VERDICTS[report.verdict],
        headline=headline(report, with_interval=True), window=window_text(report.window),
        about=period_text(report.window), inference=inference_text(report), facts=_facts(report), level=level,
        views=[v for v, _ in views], more_causes=tables.causes(report.causes[SHOWN_CAUSES:], level),
        unpictured=max(min(len(views), SHOWN_CAUSES) - pictured, 0) if result.pictures is not None else 0,
        markers=Markup(markers()) if result.graph is not None else "", map=whole,  # noqa: S704  (our own)
        against=(against_text(report.against), against_table(report.against)) if report.against else None,
        improvements=cards.cause_cards(report.improvements, report, result.settings),
        more_improvements=tables.causes(report.improvements[6:], level),
        worse=[(card, chart_of.get(i), shown_with.get(id(card))) for i, card in enumerate(worse[:_SHOWN_WORSE])],
        more_worse=tables.regressions(more_worse, level), parameters=_parameters(report),
        repeat=repeat(report), licences=scripts.licences() if blocks else "",
    )  # fmt: skip


def one_cause(result: Analysis, at: int) -> dict[str, object]:
    """The cause at place `at` of the list for the live page: its view, with what its template needs beside it."""
    report = result.document
    worse = cards.regression_cards(report)
    cause = report.causes[at]
    card = cards.cause_cards(report.causes, report, result.settings)[at]
    found = _card_of(cause, worse)
    block = _charts([worse[found]]).get(0) if found is not None else None
    shown = view(
        cause, card, report, result.settings, found=None if found is None else worse[found],
        chart=None if block is None else block[0], graph=result.graph, pictures=result.pictures,
    )  # fmt: skip
    return {
        "shown": shown, "level": confidence(report.alpha),
        "json_blocks": [(block[0], embedded(block[1]))] if block else [],
        "markers": Markup(markers()),  # noqa: S704  (our own)
    }  # fmt: skip


def _charts(worse: Sequence[cards.RegressionCard]) -> dict[int, tuple[str, object]]:
    """The distributions of the first entry points, by their number, with the id that their places name."""
    from traceguard.report.charts import distribution

    return {
        index: (f"chart-{index}", distribution(card.distribution, card.means))
        for index, card in enumerate(worse[:SHOWN_CAUSES])
        if card.distribution is not None
    }


def _views(
    result: Analysis, worse: Sequence[cards.RegressionCard], chart_of: dict[int, str], pictured: int
) -> list[tuple[CauseView, cards.RegressionCard | None]]:
    report = result.document
    causes = report.causes[:SHOWN_CAUSES]
    found = []
    for i, (cause, card) in enumerate(zip(causes, cards.cause_cards(causes, report, result.settings), strict=True)):
        at = _card_of(cause, worse)
        drawn = i < pictured
        shown = view(
            cause, card, report, result.settings, found=None if at is None else worse[at],
            chart=None if at is None else chart_of.get(at), graph=result.graph if drawn else None,
            pictures=result.pictures if drawn else None,
        )  # fmt: skip
        found.append((shown, None if at is None else worse[at]))
    return found


def _card_of(cause: Cause, worse: Sequence[cards.RegressionCard]) -> int | None:
    """The number of the card of a cause's leading entry point under the cause's factors."""
    entry = cause.entries[0].entry if cause.entries else None
    return next(
        (
            i
            for i, card in enumerate(worse)
            if card.members[0].entry == entry and card.members[0].factors == cause.factors
        ),
        None,
    )


def _whole_map(result: Analysis) -> Markup:
    """The whole map, where no cause's card shows it already."""
    graph = result.graph
    if graph is None or (result.document.causes and graph.number_of_nodes() <= SMALL):
        return Markup("")
    marks = damage_of(graph, result.document.causes) if result.document.causes else Damage()
    return Markup(draw(graph, marks, alone=False))  # noqa: S704  (the map escapes every name)


def _facts(report: Report) -> list[Fact]:
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


def _parameters(report: Report) -> Table:
    """Everything that the answer depends on beside the data."""
    rows = [
        ("Window", f"{report.window.start or 'the whole store'} to {report.window.end or ''}".strip()),
        ("Alpha", f"{report.alpha:g}"),
        ("Inference", inference_text(report)),
    ]
    for name, side in (("Baseline", report.baseline), ("Candidate", report.candidate)):
        if side is not None:
            rows.append((name, f"{side.start} to {side.end}"))
    if report.window.watermark:
        rows.append(("Complete up to", report.window.watermark))
    rows += [(name.capitalize().replace("_", " "), clean(value)) for name, value in _asked(report)]
    if report.left_out:
        rows.append(
            ("Left out", "; ".join(clean(f"{r.name} ({r.kind}): {count(r.requests)}") for r in report.left_out))
        )
    if report.sampling is not None:
        rows.append(("Sampling rate stated", percent(report.sampling.stated)))
    rows.append(("Made by", f"traceguard {report.traceguard_version}, document schema {report.schema_version}"))
    return Table(("parameter", "value"), tuple(rows), frozenset())


def _asked(report: Report) -> list[tuple[str, str]]:
    """The options that were given, as their names and texts."""
    if report.asked is None:
        return []
    given: list[tuple[str, str]] = []
    for name, value in report.asked.model_dump().items():
        for each in value if isinstance(value, list) else [value]:
            given += [(name, str(each))] if each not in (None, False) else []
    return given


def repeat(report: Report) -> str:
    """The command that asks the same again."""
    parts = ["traceguard report --db STORE"]
    if report.window.start and report.window.end:
        parts.append(f"--since {report.window.start} --until {report.window.end}")
    if report.baseline and report.candidate:
        sides = (("baseline", report.baseline), ("candidate", report.candidate))
        parts += [f"--{name} {side.start}/{side.end}" for name, side in sides]
    for name, value in _asked(report):
        option = "--" + name.replace("_", "-")
        parts.append(option if value == "True" else f"{option} {shlex.quote(clean(value))}")
    live = ["--live"] if report.inference == "anytime_valid" else []
    return " ".join([*parts, f"--alpha {report.alpha:g}", *live])
