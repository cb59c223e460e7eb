"""Results as GitHub's Markdown, made to be a pull request's comment: a marker, the verdict, folded details.

A comment may hold 64 kB; `LIMIT` keeps below that by leaving out the map, then the last rows, saying so. Names from
spans stand in code spans; prose from spans is escaped, mentions and issue numbers included, so that nobody is notified
by a service's name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traceguard.report import reach_tables, tables
from traceguard.report import rollout as wording_of_plans
from traceguard.report.against import table as against_table
from traceguard.report.diagrams import mermaid
from traceguard.report.wording import (
    VERDICTS,
    accepted_text,
    against_text,
    apart_text,
    budgets_text,
    clean,
    confidence,
    count,
    effect_interval,
    effect_text,
    factors_name,
    headline,
    inference_text,
    largest_text,
    mix_text,
    not_known,
    percent,
    place,
    probability,
    reach_text,
    scenario_name,
    target_name,
    what,
    window_text,
)
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard import model
    from traceguard.model import Cause
    from traceguard.report.results import Analysis, Forecast, Radius, Rollout

LIMIT = 60_000
MARKER = "<!-- traceguard:{kind} -->"
_SIGNS = {
    "regression": ":red_circle:",
    "no_regression": ":green_circle:",
    "inconclusive": ":yellow_circle:",
    "no_data": ":white_circle:",
}
_SPECIAL = re.compile(r"[\\`*_\[\]#|~<>&]")
_FEWEST_ROWS = 5


def analysis(result: Analysis) -> str:
    """A report as a comment of at most `LIMIT` bytes."""
    for with_map in (True, False):
        text = _analysis(result, with_map=with_map, rows=200)
        if len(text.encode()) <= LIMIT:
            return text
    rows = 100
    while len(text.encode()) > LIMIT and rows >= _FEWEST_ROWS:
        text, rows = _analysis(result, with_map=False, rows=rows), rows // 2
    return text if len(text.encode()) <= LIMIT else _cut(text)


def _analysis(result: Analysis, *, with_map: bool, rows: int) -> str:
    report = result.document
    level = confidence(report.alpha)
    blocks = [
        MARKER.format(kind="report"),
        f"## {_SIGNS[report.verdict]} {VERDICTS[report.verdict]}",
        f"**{prose(headline(report))}**",
        prose(f"{window_text(report.window)}. {inference_text(report)}"),
    ]
    if report.baseline and report.candidate:
        sides = (("Baseline", report.baseline), ("candidate", report.candidate))
        blocks.append(", ".join(f"{name} {side.start} to {side.end}" for name, side in sides) + ".")
    if report.mix:
        blocks.append(prose(mix_text(report.mix)))
    if report.against is not None:
        shown = _table(against_table(report.against), rows)
        blocks.append(_folded(prose(against_text(report.against)), shown, opened=False))
    if report.causes:
        blocks += ["### Why", *(_cause(cause, level) for cause in report.causes[:3])]
        more = report.causes[3:]
        if more:
            blocks.append(_folded(counted(len(more), "more cause"), _table(tables.causes(more, level), rows)))
    if report.regressions:
        blocks.append(
            _folded("What got worse", _table(tables.regressions(report.regressions, level), rows), opened=True)
        )
    if report.improvements:
        blocks.append(_folded("What got better", _table(tables.causes(report.improvements, level), rows)))
    if result.graph is not None and with_map and result.graph.number_of_nodes():
        blamed = {cause.service for cause in report.causes[:1]}
        blocks.append(_folded("Service map", f"```mermaid\n{mermaid(result.graph, blamed, limit=120)}```"))
    blocks += _warnings(report.warnings)
    method = (
        f"Intervals at {level}; adjusted p over all tests, q over the causes. traceguard {report.traceguard_version}."
    )
    return "\n\n".join([*blocks, f"<sub>{prose(method)}</sub>"]) + "\n"


def radius(result: Radius) -> str:
    """A blast radius as a comment."""
    document = result.document
    reach = document.reach
    whom = f"{counted(reach.traces, 'trace')} of {count(reach.units)} users or sessions"
    blocks = [
        MARKER.format(kind="blast-radius"),
        f"## Blast radius of {code(target_name(document.target))}",
        f"**{prose(unknown)}**"
        if (unknown := not_known(document))
        else f"**Reaches {reach_text(reach)}**: {whom}, in {counted(reach.services, 'service')}.",
        prose(window_text(document.window)),
    ]
    for number, (title, table) in enumerate(reach_tables.sections(document)):
        if number == 0 and document.entries:
            blocks += [f"### {title}", _table(table, 100)]
        else:
            blocks.append(_folded(prose(title), _table(table, 100)))
    if note := reach_tables.untested(document):
        blocks.append(prose(note))
    return "\n\n".join([*blocks, *_warnings(document.warnings)]) + "\n"


def forecast(result: Forecast) -> str:
    """A what-if as a comment."""
    document = result.document
    blocks = [MARKER.format(kind="what-if"), f"## What if: {prose(scenario_name(document.scenario))}"]
    said = [budgets_text(document.budgets), largest_text(document.largest) if document.largest else ""]
    if any(said):
        blocks.append(f"**{prose(' '.join(filter(None, said)))}**")
    if document.budgets:
        blocks += ["### Objectives", _table(tables.budgets(document.budgets), 100), "### By entry point"]
    unknown = not_known(document)
    nothing = f"**{prose(unknown)}**" if unknown else "No recorded request would notice."
    blocks.append(_table(tables.forecast_entries(document), 250) if document.entries else nothing)
    return "\n\n".join([*blocks, *_warnings(document.warnings)]) + "\n"


def rollout(result: Rollout) -> str:
    """A rollout plan as a comment."""
    plan, said = result.document, wording_of_plans
    blocks = [
        MARKER.format(kind="plan"), f"## Rollout plan of {code(target_name(plan.target))}",
        f"**{prose(said.headline(plan))}**",
    ]  # fmt: skip
    if plan.entries:
        blocks += [prose(said.basis(plan)), "### Steps", _table(said.steps(plan), 100), prose(said.least_text(plan))]
        blocks += ["\n".join(f"- {prose(note)}" for note in said.notes())]
        blocks.append(_folded("Where it would show", _table(said.entries(plan), 100)))
    return "\n\n".join([*blocks, *_warnings(plan.warnings)]) + "\n"


def code(text: str, *, cell: bool = False) -> str:
    """Text as a code span, whatever backticks it holds; `cell` also escapes the bars that would end a table's cell."""
    shown = clean(text) or " "
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return (f"{fence}{pad}{shown}{pad}{fence}").replace("|", "\\|") if cell else f"{fence}{pad}{shown}{pad}{fence}"


def prose(text: str) -> str:
    """Text as it is read: no markup, no mention, no link to an issue."""
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    escaped = _SPECIAL.sub(lambda match: entities.get(match[0], f"\\{match[0]}"), clean(text))
    return escaped.replace("@", "@<!-- -->").replace("://", ":<!-- -->//").replace("www", "ww<!-- -->w")


def _cause(cause: Cause, level: str) -> str:
    where = f"{cause.rank}. {code(place(cause))}, {what(cause)}, under {code(factors_name(cause.factors))}"
    effect = f"**{effect_text(cause.effect)}** a request ({level}: {effect_interval(cause.effect)})"
    whom = f"{counted(cause.requests.affected, 'request')} ({percent(cause.requests.fraction)})"
    facts = f"{percent(cause.share)} of the change, {whom}, q {prose(probability(cause.q_value))}"
    lines = [f"{where}: {effect}", f"   {facts}. {prose(cause.summary)}"]
    if cause.inseparable_from:
        lines.append(f"   {prose(apart_text(cause))}")
    if cause.accepted is not None:
        lines.append(f"   {prose(accepted_text(cause))}.")
    return "  \n".join(lines)


def _warnings(warnings: Sequence[model.Warning]) -> list[str]:
    if not warnings:
        return []
    lines = [f"- {prose(warning.message)} ({code(warning.code)})" for warning in warnings[:40]]
    return ["### Keep in mind", "\n".join(lines)]


def _folded(title: str, content: str, *, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{title}</summary>\n\n{content}\n\n</details>"


def _table(table: tables.Table, most: int) -> str:
    """A table of at most `most` rows; the first column of names is code, so that nothing in it acts."""
    names = {"entry point", "under", "where", "service", "call", "system", "called by"}
    head = "| " + " | ".join(table.columns) + " |"
    rule = "|" + "|".join("---:" if index in table.numbers else "---" for index in range(len(table.columns))) + "|"
    rows = [
        "| "
        + " | ".join(
            code(cell, cell=True) if name in names and cell else prose(cell)
            for name, cell in zip(table.columns, row, strict=True)
        )
        + " |"
        for row in table.rows[:most]
    ]
    left_out = len(table.rows) - most
    note = f"\n\n{count(left_out)} more rows are in the JSON report." if left_out > 0 else ""
    return "\n".join([head, rule, *rows]) + note


def _cut(text: str) -> str:
    note = "\n\n</details>\n\nCut to fit a comment; the JSON report has everything.\n"
    return text.encode()[: LIMIT - len(note)].decode(errors="ignore").rpartition("\n")[0] + note
