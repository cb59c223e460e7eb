"""How results show themselves in a notebook: a piece of HTML without scripts, in the notebook's own colours.

It must not disturb the page around it: all rules hang on one class, and nothing is fetched or executed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from traceguard.report import pages, reach_tables, rollout, rollout_drawing, tables
from traceguard.report.reach_map import draw_reach, draw_week
from traceguard.report.wording import (
    VERDICTS,
    budgets_text,
    confidence,
    count,
    entry_name,
    headline,
    largest_text,
    not_known,
    reach_text,
    scenario_name,
    target_name,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard import model
    from traceguard.report.results import Analysis, Forecast, Radius, Rollout
    from traceguard.report.tables import Table

_SHOWN_PLOTS = 4


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
    whom = f"{reach_text(reach)}, {count(reach.units)} users or sessions"
    sentence = not_known(document) or f"{target_name(document.target)} reaches {whom}."
    # The week is drawn; a table of it would say the same once more.
    shown = document.model_copy(update={"by_time": []}) if len(document.by_time) > reach_tables.FEW_HOURS else document
    pictures = [draw_reach(document), "" if shown is document else draw_week(document.by_time)]
    return _fill(
        "inconclusive", "Blast radius", sentence, window_text(document.window), reach_tables.sections(shown),
        document.warnings, pictures=[Markup(picture) for picture in pictures],  # noqa: S704  (they escape every name)
        after=reach_tables.untested(document),
    )  # fmt: skip


def show_forecast(forecast: Forecast) -> str:
    """What becomes of objectives, and each entry point before and after, with plots of those that change most."""
    from traceguard.report.outlines import outlines

    document = forecast.document
    said = [
        not_known(document),
        largest_text(document.largest) if document.largest else "",
        budgets_text(document.budgets),
    ]
    sections = [("Objectives", tables.budgets(document.budgets)), ("By entry point", tables.forecast_entries(document))]
    plots = [
        (entry_name(entry), outlines(entry.distribution, ("before", "after")))
        for entry in filter(tables.moves, document.entries)
        if entry.distribution is not None
    ]
    return _fill(
        "inconclusive", "What if", scenario_name(document.scenario), " ".join(filter(None, said)), sections,
        document.warnings, plots[:_SHOWN_PLOTS],
    )  # fmt: skip


def show_rollout(result: Rollout) -> str:
    """The steps and the entry points, with a drawing of power against time."""
    plan = result.document
    note = f"{rollout.basis(plan)} {rollout.least_text(plan)}" if plan.entries else ""
    sections = [("Steps", rollout.steps(plan)), ("Where it would show", rollout.entries(plan))]
    drawing = rollout_drawing.draw(plan)
    return _fill(
        "inconclusive", "Rollout plan", rollout.headline(plan), note, sections, plan.warnings, pictures=[drawing]
    )


def _fill(
    tone: str,
    label: str,
    sentence: str,
    note: str,
    sections: Sequence[tuple[str, Table]],
    warnings: Sequence[model.Warning],
    plots: Sequence[tuple[str, str]] = (),
    pictures: Sequence[Markup] = (),
    after: str = "",
) -> str:
    shown = [picture for picture in pictures if picture]
    return pages.fragment(
        "notebook.html", tone=tone, label=label, sentence=sentence, note=note,
        plots=plots,
        sections=[(title, table) for title, table in sections if table.rows], warnings=warnings, pictures=shown,
        after=after, picture_style=pages.picture_style(".tg-result") if shown else "",
    )  # fmt: skip
