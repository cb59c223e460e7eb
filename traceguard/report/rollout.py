"""A rollout plan for people: its sentence, its tables, and the chart of power against time and users hit."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from traceguard.report.tables import Table
from traceguard.report.wording import clean, count, percent, quantity, target_name
from traceguard.units import counted

if TYPE_CHECKING:
    from traceguard.model import Entry, Plan, PlannedSize, PlanStep


def hours(value: float | None) -> str:
    """A duration in the unit that reads well."""
    if value is None:
        return "never"
    for unit, length in (("d", 24.0), ("h", 1.0), ("min", 1.0 / 60.0)):
        if value >= 2.0 * length:
            number = value / length
            return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
    return f"{value * 3600:.3g} s"


def size_name(size: PlannedSize) -> str:
    """The planned regression: `+20 ms`, `1% errors`."""
    return f"{percent(size.error_rate)} errors" if size.error_rate else quantity(size.delay_ms, "ms", signed=True)


def entry_text(entry: Entry) -> str:
    """An entry point as its own name."""
    return clean(f"{entry.operation} of {entry.service}" + (f" in {entry.environment}" if entry.environment else ""))


def first_sure(plan: Plan) -> PlanStep | None:
    """The first step that shows the regression with the planned power."""
    return next((s for s in plan.steps if s.hours is not None and (s.power or 0.0) >= plan.power), None)


def headline(plan: Plan) -> str:
    """The answer in a sentence."""
    what = f"{size_name(plan.size)} in {target_name(plan.target)}"
    if not plan.entries:
        return f"No recorded request reaches {target_name(plan.target)}."
    first = first_sure(plan)
    if first is None or first.entry is None:
        return f"No step would show {what} with {percent(plan.power)} power."
    about = "about " if first.extrapolated else ""
    return (
        f"{what} shows after {hours(first.hours)} at {percent(first.exposure)} of users, with"
        f" {percent(first.power or 0.0)} power, at {entry_text(first.entry)}; {about}{count(first.users_hit)}"
        " users are hit until then."
    )


def basis(plan: Plan) -> str:
    """What the plan rests on, in a sentence or two."""
    read = (
        "read at any time (report --live); once at the end of a step is sooner (--fixed)"
        if plan.looks == "any_time"
        else "read once, at the end of a step"
    )
    assumed = "; the size is an assumption, a tenth of the mean latency of what is reached" if plan.size.assumed else ""
    return (
        f"Planned for {size_name(plan.size)} a call{assumed}. A report at alpha {plan.alpha:g} over {count(plan.tests)}"
        f" tests, {read}. Traffic: {count(round(plan.requests_per_hour))} requests an hour that reach the target,"
        f" {counted(plan.users, 'user')} in {hours(plan.recorded_hours)} recorded."
    )


def least_text(plan: Plan) -> str:
    """The smallest exposure that shows the regression."""
    within = f"within {hours(plan.step_hours)}" if plan.step_hours else "however long one waits"
    if plan.least_exposure is None:
        return f"No exposure shows it {within}." if plan.entries else ""
    return f"The smallest exposure that shows it {within} is {percent(plan.least_exposure)}."


def steps(plan: Plan) -> Table:
    """A row a step."""
    rows = []
    for step in plan.steps:
        lasts = hours(step.hours) if step.hours is not None else ("open" if step.exposure >= 1 else "never")
        shown = ""
        if step.detects_ms is not None:
            shown = quantity(step.detects_ms, "ms", signed=True)
        elif step.detects_errors is not None:
            shown = percent(step.detects_errors)
        rows.append(
            (
                percent(step.exposure), lasts, count(step.requests) if step.hours else "",
                f"+{count(step.users_new)}" if step.hours else "", count(step.users_hit),
                percent(step.power) if step.power is not None else "none", shown,
            )
        )  # fmt: skip
    columns = ("exposure", "lasts", "requests", "users", "in all", "power", "shows")
    return Table(columns, tuple(rows), frozenset(range(7)))


def entries(plan: Plan) -> Table:
    """A row an entry point, those that show the regression first first."""
    rows = [
        (
            entry_text(e), count(e.requests),
            percent(e.added_errors) if plan.size.error_rate else quantity(e.added_ms, "ms", signed=True),
            quantity(e.spread_ms, "ms"), f"{e.user_effect:.3g}",
            f"{hours(e.least_hours)}" if e.least_hours is not None else "blind",
        )
        for e in plan.entries
    ]  # fmt: skip
    columns = ("entry point", "requests", "adds", "spread", "alike", "shows after")
    return Table(columns, tuple(rows), frozenset(range(1, 6)))


def notes() -> list[str]:
    """What the columns mean."""
    return [
        "users: hit for the first time in the step, and in all until its end; whoever was exposed stays so.",
        (
            "power: chance that the report calls the regression one at the step's end. shows: the smallest change at"
            " the target that the step shows with the planned power."
        ),
        "alike: by how much requests of the same users tell less than as many of different ones.",
    ]


def charts(plan: Plan) -> list[tuple[str, dict[str, Any]]]:
    """Power against time, and users hit against time, a line an exposure, each with its title; none without a curve."""
    from traceguard.report.charts import filled

    rows: list[dict[str, Any]] = [
        {"exposure": percent(step.exposure), "hours": point.hours, "power": point.power, "users": point.users_hit}
        for step in plan.steps
        for point in step.curve
    ]
    if not rows:
        return []
    power, users = _shapes(tuple(dict.fromkeys(row["exposure"] for row in rows)))
    power, users = filled(power, [rows, [{"power": plan.power}]]), filled(users, [rows])
    span = [min(row["hours"] for row in rows), max(row["hours"] for row in rows)]
    for lines in (power["layer"][0], users):
        lines["encoding"]["x"]["scale"]["domain"] = span
    return [
        ("Power against time; dashed: what was asked for", power),
        ("Users hit until then, those of earlier steps included", users),
    ]


@lru_cache
def _shapes(exposures: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two charts without their rows and the bounds of their time."""
    import altair as alt

    from traceguard.report.charts import empty_chart, shape

    axis = alt.Axis(format=",~r", tickCount=6, labelOverlap="greedy")
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("hours:Q", title="hours since the step began (logarithmic)", scale=scale, axis=axis)
    # Lines are told apart by opacity of one colour, so that they read the same in print and in the dark.
    legend = alt.Legend(orient="top", symbolType="square", symbolFillColor="var(--seen)", symbolStrokeWidth=0)
    shades = alt.Scale(domain=list(exposures), range=_shades(len(exposures)))
    shade = alt.Opacity("exposure:N", sort=list(exposures), title="exposure", scale=shades, legend=legend)
    tooltip = [
        alt.Tooltip("exposure:N"), alt.Tooltip("hours:Q", format=",.3~r"), alt.Tooltip("power:Q", format=".0%"),
        alt.Tooltip("users:Q", title="users hit", format=",d"),
    ]  # fmt: skip
    line: dict[str, Any] = {
        "strokeWidth": 2,
        "color": "var(--seen)",
        "clip": True,
        "point": {"size": 22, "color": "var(--seen)"},
    }
    share = alt.Axis(format=".0%", tickCount=5)
    power_axis = alt.Y("power:Q", title="power", scale=alt.Scale(domain=[0, 1]), axis=share)
    users_axis = alt.Y("users:Q", title="users hit", axis=alt.Axis(format=",~s", tickCount=4))
    power, users = (
        empty_chart().mark_line(**line).encode(x=x, y=y, opacity=shade, tooltip=tooltip)
        for y in (power_axis, users_axis)
    )
    wanted = empty_chart().mark_rule(strokeDash=[4, 3], color="var(--muted)").encode(y="power:Q")
    return shape(power + wanted, 210), shape(users, 210)


def _shades(number: int) -> list[float]:
    return [0.35 + 0.65 * at / max(number - 1, 1) for at in range(number)]
