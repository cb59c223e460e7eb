"""Results for a terminal: the verdict first, then what got worse, why, what got better, and what to keep in mind.

Names from spans go in as `rich.text.Text`, never as markup, so `[red]` in an operation stays what it is.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from traceguard.report import differences, reach_tables, rollout, tables
from traceguard.report.wording import (
    CHANGES,
    VERDICTS,
    accepted_text,
    against_text,
    apart_text,
    budgets_text,
    clean,
    confidence,
    count,
    difference_size,
    effect_interval,
    effect_text,
    entry_name,
    factors_name,
    graph_size,
    headline,
    inference_text,
    largest_text,
    mix_text,
    not_known,
    percent,
    place,
    probability,
    reach_text,
    reference_name,
    scenario_name,
    target_name,
    what,
    window_text,
)
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import networkx as nx

    from traceguard import model
    from traceguard.model import Cause, Regression, Report
    from traceguard.report.results import Analysis, Difference, Forecast, Radius, Rollout, Slices

_COLORS = {"regression": "bold red", "no_regression": "bold green", "inconclusive": "bold yellow", "no_data": "bold"}
_NARROWEST = 40
_SHOWN_CAUSES = 10
_SHOWN_ENTRIES = 12
_ONE_LINE = 100_000
_FEW_COLUMNS, _MANY_COLUMNS = 6, 12
_INTERVAL_WIDTH = 9


def render(kind: str, result: Any, *, width: int, color: bool) -> str:
    """A result of a kind of `FORMATS` as text of at most `width` columns; escape sequences only with `color`.

    A query's rows are the exception: a line each, however long, so that ids can be copied and lines filtered.
    """
    builders: dict[str, Callable[[Any], Group]] = {
        "report": _analysis, "graph": _graph, "graph-slices": _slices, "graph-diff": _difference,
        "blast-radius": _radius, "what-if": _forecast, "plan": _rollout, "query": _frame,
    }  # fmt: skip
    console = Console(
        file=StringIO(), width=_ONE_LINE if kind == "query" else max(width, _NARROWEST),
        force_terminal=color, color_system="standard" if color else None,
        highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    with console.capture() as capture:
        console.print(builders[kind](result))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().rstrip().split("\n"))


def _analysis(analysis: Analysis) -> Group:
    report = analysis.document
    level = confidence(report.alpha)
    parts: list[RenderableType] = [
        Text.assemble((VERDICTS[report.verdict].upper(), _COLORS[report.verdict]), "  ", headline(report)),
        Text(window_text(report.window), "dim"),
        Text(inference_text(report), "dim"),
    ]
    if report.baseline and report.candidate:
        periods = [f"{p.start} to {p.end}" for p in (report.baseline, report.candidate)]
        parts.append(Text(f"baseline {periods[0]}\ncandidate {periods[1]}", "dim"))
    if report.mix:
        parts.append(Text(mix_text(report.mix), "dim"))
    if report.regressions:
        parts += [_heading("What got worse"), _regressions(report.regressions, level)]
    why = "Why" if report.verdict == "regression" else "What would explain it best, on evidence too weak to judge"
    parts += _causes(why, report.causes, level)
    parts += _causes("What got better", report.improvements, level)
    if report.against is not None:
        parts += [_heading(against_text(report.against)), *_changes(report.against)]
    return Group(*parts, *_warnings(report.warnings), *_next_step(report))


def _changes(against: model.Against) -> list[RenderableType]:
    """A line a cause that is new, gone or changed."""
    lines: list[RenderableType] = []
    for change in against.causes:
        if change.change != "as_before":
            before, after = (effect_text(side) if side else "nothing" for side in (change.before, change.after))
            where = clean(f"{change.service} {change.operation}")
            line = Text.assemble((CHANGES[change.change], "bold"), f": {where}, {what(change)}, under ")
            line.append(factors_name(change.factors), "cyan").append(f": {before} to {after}")
            lines.append(_indent(line))
    return lines[:_SHOWN_ENTRIES]


def _heading(title: str) -> Text:
    return Text(f"\n{title}", "bold")


def _indent(content: RenderableType, left: int = 2) -> Padding:
    return Padding(content, (0, 0, 0, left))


def _regressions(found: Sequence[Regression], level: str) -> Group:
    """One small table per entry point and factors: their names would not fit beside the numbers."""
    groups = tables.by_entry(found)
    blocks: list[RenderableType] = []
    for members in groups[:_SHOWN_ENTRIES]:
        first = members[0]
        under = Text.assemble((entry_name(first.entry), "bold"), " under ", (factors_name(first.factors), "cyan"))
        under.append(f", against {reference_name(first.factors)}")
        blocks += [_indent(under), _grid(tables.metrics(members, level)), Text("")]
    left_out = len(groups) - _SHOWN_ENTRIES
    if left_out > 0:
        blocks += [Text(f"  {count(left_out)} more; --format json or html lists them all.", "dim"), Text("")]
    return Group(*blocks[:-1])


def _causes(title: str, causes: Sequence[Cause], level: str) -> list[RenderableType]:
    if not causes:
        return []
    blocks = [part for cause in causes[:_SHOWN_CAUSES] for part in (_cause(cause, level), Text(""))][:-1]
    left_out = len(causes) - _SHOWN_CAUSES
    note = [Text(f"\n  {count(left_out)} more; --format json or html lists them all.", "dim")] if left_out > 0 else []
    return [_heading(title), *blocks, *note]


def _cause(cause: Cause, level: str) -> Group:
    title = Text.assemble(
        (f"{cause.rank}. ", "bold"), (place(cause), "bold"), f", {what(cause)}, under ",
        (factors_name(cause.factors), "cyan"),
    )  # fmt: skip
    share = f"{percent(cause.share)} of the change" if cause.share == cause.share else "share unknown"
    whom = f"{counted(cause.requests.affected, 'request')} ({percent(cause.requests.fraction)})"
    numbers = Text.assemble(
        (effect_text(cause.effect), "bold"), f" a request ({level}: {effect_interval(cause.effect)})\n",
        f"{share}, {whom}, q {probability(cause.q_value)}",
    )  # fmt: skip
    lines: list[RenderableType] = [_indent(title), _indent(numbers, 5), _indent(Text(clean(cause.summary)), 5)]
    if cause.inseparable_from:
        lines.append(_indent(Text(apart_text(cause), "yellow"), 5))
    if cause.accepted is not None:
        lines.append(_indent(Text(accepted_text(cause), "yellow"), 5))
    if len(cause.entries) > 1:
        lines.append(_indent(_grid(tables.cause_entries(cause, level)), 3))
    sides = (("with it", cause.exemplars.affected), ("without", cause.exemplars.reference))
    lines += [_indent(Text(f"typical trace {side}: {clean(ids[0])}", "dim"), 5) for side, ids in sides if ids]
    return Group(*lines)


def _warnings(warnings: Sequence[model.Warning]) -> list[RenderableType]:
    if not warnings:
        return []
    table = RichTable.grid(padding=(0, 2, 0, 0))
    for warning in warnings:
        table.add_row(Text("!", "yellow"), Text.assemble(clean(warning.message), (f" ({clean(warning.code)})", "dim")))
    return [_heading("Keep in mind"), _indent(table)]


def _next_step(report: Report) -> list[RenderableType]:
    if report.verdict != "no_data":
        return []
    return [
        Text("\nCheck the period, and that root spans come in: `traceguard query entry_points` lists what is there.")
    ]


def _grid(table: tables.Table, *, tight: bool = False) -> Padding:
    crowded = _MANY_COLUMNS >= len(table.columns) > _FEW_COLUMNS
    between = {"padding": (0, 0, 0, 0), "collapse_padding": True} if tight else {"padding": (0, 1)}
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim", **between)
    for index, name in enumerate(table.columns):
        # Beside many numbers names would be squeezed to a few letters a line, so intervals take two lines.
        most = _INTERVAL_WIDTH if crowded and name.endswith("interval") else None
        grid.add_column(
            Text(name), justify="right" if index in table.numbers else "left", overflow="fold", max_width=most
        )
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    return _indent(grid)


def _graph(graph: nx.DiGraph[Any]) -> Group:
    title = Text(graph_size(graph), "bold")
    if not graph.number_of_nodes():
        return Group(title)
    return Group(
        title,
        _heading("Operations" if any("operation" in a for _, a in graph.nodes(data=True)) else "Services"),
        _grid(tables.graph_nodes(graph)),
        _heading("Calls"),
        _grid(tables.graph_edges(graph)),
    )


def _slices(slices: Slices) -> Group:
    if not len(slices):
        return Group(Text("No requests.", "bold"))
    return Group(
        Text("1 slice of time" if len(slices) == 1 else f"{count(len(slices))} slices of time", "bold"),
        Text(""),
        _grid(tables.graph_slices(slices)),
    )


def _difference(result: Difference) -> Group:
    document = result.document
    parts: list[RenderableType] = [
        Text(f"{difference_size(document).capitalize()}", "bold"), Text(differences.size(result), "dim"),
    ]  # fmt: skip
    if document.edges:
        parts += [_heading("Calls"), _grid(differences.edge_changes(document.edges))]
    if document.nodes:
        nodes = "Services" if document.level == "service" else "Operations"
        parts += [_heading(nodes), _grid(differences.node_changes(document.nodes))]
    return Group(*parts)


def _radius(radius: Radius) -> Group:
    document = radius.document
    reach = document.reach
    sentence = (
        f" reaches {reach_text(reach)}: {counted(reach.traces, 'trace')} of {count(reach.units)} users or sessions"
        f" ({percent(reach.units_fraction)}), through {counted(reach.services, 'service')}."
    )
    unknown = not_known(document)
    headline_ = Text(unknown, "bold") if unknown else Text.assemble((target_name(document.target), "bold"), sentence)
    parts: list[RenderableType] = [
        headline_, Text(window_text(document.window), "dim"),
    ]  # fmt: skip
    for title, table in reach_tables.sections(document):
        parts += [_heading(title), _grid(table, tight=len(table.columns) > _MANY_COLUMNS)]
    if note := reach_tables.untested(document):
        parts += [Text(""), _indent(Text(note))]
    return Group(*parts, *_warnings(document.warnings))


def _forecast(forecast: Forecast) -> Group:
    document = forecast.document
    parts: list[RenderableType] = [Text.assemble("What if: ", (scenario_name(document.scenario), "bold"))]
    if document.largest is not None:
        parts.append(Text(largest_text(document.largest), "bold"))
    if not document.entries:
        parts.append(Text(not_known(document) or "No recorded request would notice."))
    moved = [entry for entry in document.entries if tables.moves(entry)]
    still = [entry_name(entry) for entry in document.entries if not tables.moves(entry)]
    for entry in moved[:_SHOWN_ENTRIES]:
        title = Text.assemble((entry_name(entry), "bold"), f", {counted(entry.requests, 'request')}")
        if entry.hit_fraction is not None and entry.hit_fraction < 1:
            title.append(f", {percent(entry.hit_fraction)} can be hit")
        parts += [Text(""), _indent(title), _grid(tables.forecast_metrics(entry))]
    if len(moved) > _SHOWN_ENTRIES:
        more = f"\n  {count(len(moved) - _SHOWN_ENTRIES)} more; --format json or html lists them all."
        parts.append(Text(more, "dim"))
    if still:
        row = RichTable.grid(padding=(0, 1, 0, 0))
        more = " ..." if len(still) > _SHOWN_ENTRIES else ""
        row.add_row(Text("Unchanged:", "dim"), Text(f"{', '.join(still[:_SHOWN_ENTRIES])}{more}.", "dim"))
        parts += [Text(""), _indent(row)]
    if document.budgets:
        parts += [_heading("Objectives"), _indent(Text(budgets_text(document.budgets))), *_budgets(document.budgets)]
    return Group(*parts, *_warnings(document.warnings))


def _budgets(found: Sequence[model.Budget]) -> list[RenderableType]:
    """A line for what an objective is, then its numbers: texts of objectives would not fit beside them."""
    blocks: list[RenderableType] = []
    for slo in dict.fromkeys(each.slo for each in found):
        mine = [each for each in found if each.slo == slo]
        table = tables.budgets(mine[:_SHOWN_ENTRIES])
        blocks += [Text(""), _indent(Text(clean(slo), "bold")), _grid(table.without(0))]
        if len(mine) > _SHOWN_ENTRIES:
            blocks.append(Text(f"  {counted(len(mine) - _SHOWN_ENTRIES, 'more entry point')} in --format json.", "dim"))
    return blocks


def _rollout(result: Rollout) -> Group:
    plan = result.document
    parts: list[RenderableType] = [Text(rollout.headline(plan), "bold")]
    if plan.entries:
        parts += [Text(rollout.basis(plan), "dim"), _heading("Steps"), _grid(rollout.steps(plan))]
        parts += [_indent(Text(f"{rollout.least_text(plan)} {' '.join(rollout.notes()[:2])}", "dim"))]
        parts += [_heading("Where it would show"), _grid(rollout.entries(plan))]
        parts += [_indent(Text(rollout.notes()[2], "dim"))]
    return Group(*parts, *_warnings(plan.warnings))


def _frame(frame: Any) -> Group:
    from traceguard.report.frames import as_table

    table, left_out = as_table(frame)
    if not table.rows:
        return Group(Text(f"No rows ({', '.join(table.columns)})."))
    note = [Text(f"\n{count(left_out)} more rows; --format csv or json shows all.", "dim")] if left_out else []
    return Group(_grid(table), *note)
