"""Results for a terminal."""

from types import ModuleType

import polars as pl
import pyarrow as pa
import pytest

from traceguard.report import Analysis, Forecast, Radius, render

LONG = "a" * 150


def test_a_report_leads_with_the_verdict(documents: ModuleType) -> None:
    """The first words are the verdict, then come what got worse, why, what got better, and the warnings."""
    text = render(Analysis(documents.report()), "text")
    assert text.startswith("REGRESSION  POST /checkout of frontend got 92.3 ms slower")
    headings = ["What got worse", "Why", "What got better", "Keep in mind"]
    assert sorted(headings, key=text.index) == headings


def test_a_cause_shows_effect_interval_share_requests_and_traces(documents: ModuleType) -> None:
    """Everything a colleague asks about a cause stands at it."""
    text = render(Analysis(documents.report()), "text")
    for part in (
        "1. pricing ComputeQuote, its own time, under new-pricing=on", "+84.2 ms a request (95%: +78 to +90.4 ms)",
        "91% of the change, 1,512 requests (12.1%), q <0.0001", "5b8efff798038103d269b633813fc60c",
        "cannot tell this apart from fast-retry=true",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_nothing_is_wider_than_the_terminal(documents: ModuleType, width: int) -> None:
    """Long names fold instead of breaking the columns."""
    cause = documents.cause(service=LONG, operation=LONG, summary=f"{LONG} {LONG}")
    report = documents.report(regressions=[documents.regression(entry=documents.entry(LONG, LONG))], causes=[cause])
    for result in (
        Analysis(report), Analysis(documents.period_report()), Radius(documents.radius()),
        Forecast(documents.what_if()),
        documents.graph(),
    ):  # fmt: skip
        assert max(map(len, render(result, "text", width=width).split("\n"))) <= width


def test_text_has_no_escape_sequences_unless_colour_is_asked_for(documents: ModuleType) -> None:
    """A file or pipe gets plain text, a terminal gets colour."""
    result = Analysis(documents.report())
    assert "\x1b" not in render(result, "text")
    assert "\x1b[" in render(result, "text", color=True)


def test_names_cannot_move_the_cursor_or_use_markup(documents: ModuleType) -> None:
    """Escape characters in a span's name are replaced, and rich's markup stays text."""
    hostile = "\x1b]0;owned\x07[red]boo[/red]"
    result = Analysis(documents.report(causes=[documents.cause(service=hostile, summary=hostile)]))
    text = render(result, "text", width=120)
    assert "\x1b" not in text
    assert "[red]boo[/red]" in text


def test_weak_candidates_are_not_called_the_reason(documents: ModuleType) -> None:
    """Without a regression the causes are introduced as weak evidence."""
    text = render(Analysis(documents.period_report()), "text")
    assert "on evidence too weak to judge" in text
    assert "\nWhy\n" not in text
    assert "baseline 2026-11-23T12:00:00Z to 2026-11-23T12:30:00Z" in text


def test_many_causes_are_cut_with_a_pointer(documents: ModuleType) -> None:
    """A terminal shows the first ten and says where the others are."""
    report = documents.report(causes=[documents.cause(rank=rank) for rank in range(1, 26)])
    text = render(Analysis(report), "text")
    assert "15 more; --format json or html lists them all." in text
    assert "  11. " not in text


def test_many_entries_are_cut_with_a_pointer(documents: ModuleType) -> None:
    """A terminal shows the first twelve entry points that got worse."""
    found = [documents.regression(entry=documents.entry(f"s{n}")) for n in range(30)]
    text = render(Analysis(documents.report(regressions=found)), "text")
    assert text.count("metric ") == 12
    assert "18 more; --format json or html lists them all." in text


def test_no_data_says_what_to_look_at(documents: ModuleType) -> None:
    """A report without requests names the next step."""
    assert "traceguard query" in render(Analysis(documents.quiet_report("no_data")), "text")


def test_a_blast_radius_reads_as_a_sentence_and_tables(documents: ModuleType) -> None:
    """Reach first, then entry points, callers and callees."""
    text = render(Radius(documents.radius()), "text")
    assert text.startswith("pricing reaches 71% of requests (95%: 69% to 73%): 8,860 traces")
    for words in ("audit", "async", "38 of 40", "Never seen failing", "redis:cache", "acme"):
        assert words in text
    assert "By tenant.id: 4 of 5 values reached, the 2 with most reached requests listed" in text
    assert "not set" in text
    assert "Sunday 22 h" in text


def test_many_hours_are_drawn_as_a_week(documents: ModuleType) -> None:
    """A row a day and a column an hour within 80 columns; `##` stands for all requests, a dot for none recorded."""
    hours = [documents.hour("Tuesday", at, 1.0 if at else 0.5) for at in range(23)]
    text = render(Radius(documents.radius(by_time=hours)), "text")
    line = next(line for line in text.splitlines() if line.strip().startswith("Tue"))
    assert line.split() == ["Tue", "50", *["##"] * 22, "\N{MIDDLE DOT}"]
    assert max(map(len, text.splitlines())) <= 80


def test_a_forecast_shows_before_and_after(documents: ModuleType) -> None:
    """Each statistic has its change."""
    text = render(Forecast(documents.what_if()), "text")
    assert text.startswith("What if: +50 ms and 1% errors in pricing for 5% of requests")
    assert "+46 ms" in text


def test_a_graph_lists_services_and_calls(documents: ModuleType) -> None:
    """Inferred systems are counted apart from services."""
    text = render(documents.graph(), "text")
    assert text.startswith("8 services, 3 databases, queues and other systems, 12 dependencies")


@pytest.mark.parametrize(
    "frame", [pa.table({"n": [1, 2], "name": ["a", None]}), pl.DataFrame({"n": [1, 2], "name": ["a", None]})]
)
def test_a_query_shows_its_rows(frame: pa.Table | pl.DataFrame) -> None:
    """Arrow tables and polars frames look the same."""
    assert render(frame, "text").split() == ["n", "name", "─" * 8, "1", "a", "2"]


def test_a_query_keeps_each_row_on_one_line() -> None:
    """Ids are not folded, so that they can be copied."""
    text = render(pa.table({"a": ["x" * 70], "b": ["y" * 70]}), "text")
    assert f"{'x' * 70}   {'y' * 70}" in text


def test_a_query_without_rows_names_its_columns() -> None:
    """Nothing found is a sentence, not an empty screen."""
    assert render(pl.DataFrame({"n": [], "name": []}), "text") == "No rows (n, name).\n"
