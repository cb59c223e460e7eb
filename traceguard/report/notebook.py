"""How results show themselves in a notebook: a piece of HTML without scripts, in the notebook's own colours.

It must not disturb the page around it: all rules hang on one class, and nothing is fetched or executed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceguard.report import pages, rollout, rollout_drawing, tables
from traceguard.report.wording import (
    VERDICTS,
    confidence,
    count,
    headline,
    percent,
    scenario_name,
    target_name,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from traceguard import model
    from traceguard.report.results import Analysis, Forecast, Radius, Rollout
    from traceguard.report.tables import Table


def show_analysis(analysis: Analysis) -> str:
    """The verdict, the causes, what got worse, what got better and the warnings."""
    report = analysis.document
    level = confidence(report.alpha)
    sections = [
        ("Why", tables.causes(report.causes, level)),
        ("What got worse", tables.regressions(report.regressions, level)),
        ("What got better", tables.causes(report.improvements, level)),
    ]
    return _fill(
        report.verdict,
        VERDICTS[report.verdict],
        headline(report),
        window_text(report.window),
        sections,
        report.warnings,
    )


def show_radius(radius: Radius) -> str:
    """The reach, the entry points and the services on both sides."""
    document = radius.document
    reach = document.reach
    whom = f"{percent(reach.requests_fraction)} of requests, {count(reach.units)} users or sessions"
    sentence = f"{target_name(document.target)} reaches {whom}."
    sections = [
        ("Entry points it can hurt", tables.reached_entries(document)),
        ("Who depends on it", tables.neighbours(document.upstream)),
        ("What it depends on", tables.neighbours(document.downstream)),
    ]
    return _fill("inconclusive", "Blast radius", sentence, window_text(document.window), sections, document.warnings)


def show_forecast(forecast: Forecast) -> str:
    """Each entry point before and after."""
    document = forecast.document
    sections = [("By entry point", tables.forecast_entries(document))]
    return _fill("inconclusive", "What if", scenario_name(document.scenario), "", sections, document.warnings)


def show_rollout(result: Rollout) -> str:
    """The steps and the entry points, with a drawing of power against time."""
    plan = result.document
    note = f"{rollout.basis(plan)} {rollout.least_text(plan)}" if plan.entries else ""
    sections = [("Steps", rollout.steps(plan)), ("Where it would show", rollout.entries(plan))]
    drawing = rollout_drawing.draw(plan)
    return _fill("inconclusive", "Rollout plan", rollout.headline(plan), note, sections, plan.warnings, drawing)


def _fill(
    tone: str,
    label: str,
    sentence: str,
    note: str,
    sections: Sequence[tuple[str, Table]],
    warnings: Sequence[model.Warning],
    drawing: Markup | None = None,
) -> str:
    return pages.fragment(
        "notebook.html", tone=tone, label=label, sentence=sentence, note=note,
        sections=[(title, table) for title, table in sections if table.rows], warnings=warnings,
        drawing=drawing,
    )  # fmt: skip
