"""A what-if says the same in every format: what it does to entry points, to objectives, and what the largest is."""

from types import ModuleType
from typing import Any

import pytest

from traceguard import model
from traceguard.report import Forecast, Radius, render
from traceguard.report.outlines import outlines
from traceguard.report.wording import budgets_text, hours, largest_text, scenario_name

ENTRY = model.Entry(service="frontend", operation="POST /checkout")


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_every_format_tells_changes_and_objectives(documents: ModuleType, form: str) -> None:
    """The change with its interval, what is broken, how fast its budget burns and how long it lasts."""
    text = render(Forecast(documents.what_if()), form)
    for wanted in ("+46 ms", "+5.1 to +6.9 ms", "1 of 2 objectives is broken", "0.2× to 2×", "14 days"):
        assert wanted in text, wanted
    assert "broken" in text
    assert "kept" in text


def test_text_keeps_to_80_columns_and_names_what_stays(documents: ModuleType) -> None:
    """Entry points that do not change take one line."""
    text = render(Forecast(documents.what_if()), "text")
    assert max(map(len, text.splitlines())) <= 80
    assert "Unchanged: GET / of frontend." in text
    assert "93% can be hit" in text


def test_the_page_draws_before_and_after(documents: ModuleType) -> None:
    """One chart for each entry point that changes, with the scripts that draw it and their licences."""
    page = render(Forecast(documents.what_if()), "html")
    assert page.count('data-chart="chart-') == 1
    assert '"before"' in page
    assert "Licences of the chart scripts" in page
    still = documents.what_if(entries=documents.what_if().entries[1:], budgets=[])
    assert "vega" not in render(Forecast(still), "html")


def test_a_notebook_draws_without_scripts(documents: ModuleType) -> None:
    """The distribution is a drawing, the objectives a table."""
    shown = Forecast(documents.what_if())._repr_html_()
    assert "<polygon" in shown
    assert "<script" not in shown
    assert "latency&lt;300ms for 99% in 28d" in shown


def test_outlines_have_a_side_each(documents: ModuleType) -> None:
    """Two outlines over one axis, named."""
    histogram = documents.what_if().entries[0].distribution
    drawn = str(outlines(histogram, ("before", "after")))
    assert (drawn.count("<polygon"), drawn.count(">before<"), drawn.count(">after<")) == (2, 1, 1)
    assert "NaN" not in drawn
    assert "100 ms" in drawn or "200 ms" in drawn


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        ({"service": "a", "delay_ms": 50.0, "delay": "50ms"}, "+50 ms in a for all requests"),
        (
            {"service": "a", "delay_ms": 45.3, "delay": "lognormal(40ms,0.5)", "exposure": 0.05},
            "+45.3 ms on average (lognormal(40ms,0.5)) in a for 5% of requests",
        ),
        (
            {
                "flag": "f",
                "level": "on",
                "reference": "off",
                "current_exposure": 0.01,
                "delay_ms": 0.0,
                "exposure": 0.5,
            },
            "f=on for 50% of requests instead of 1%",
        ),
        ({"flag": "f", "delay_ms": 0.0}, "f for all requests"),
    ],
)
def test_scenarios_have_names(scenario: dict[str, Any], text: str) -> None:
    """What is supposed, for whom, and instead of what."""
    assert scenario_name(model.Scenario(**{"error_rate": 0.0, "exposure": 1.0, **scenario})) == text


def test_the_largest_is_a_sentence() -> None:
    """With what forbids more; where there is none, with why."""
    found = model.Largest(
        what="delay", value=464.5, unit="ms", precision=0.4, searched_to=600_000.0,
        limited_by=model.Limiting(slo="p99<800ms", entry=ENTRY),
    )  # fmt: skip
    said = largest_text(found)
    assert said == (
        "The largest delay that keeps every objective of latency is 464 ms;"
        " more would break p99<800ms at POST /checkout of frontend."
    )
    none = found.model_copy(update={"value": None, "reason": "It is broken without any delay already."})
    assert largest_text(none) == (
        "No delay can be named: it is broken without any delay already (p99<800ms at POST /checkout of frontend)."
    )
    all_of_them = found.model_copy(update={"what": "exposure", "value": 1.0, "unit": "fraction", "limited_by": None})
    assert largest_text(all_of_them) == "The largest exposure that keeps every objective is 100%."


def test_objectives_are_counted(documents: ModuleType) -> None:
    """How many are broken, and how many were before."""
    broken, kept = documents.what_if().budgets
    assert budgets_text([]) == ""
    assert budgets_text([kept]) == "Every objective is kept."
    assert budgets_text([broken, kept]) == "1 of 2 objectives is broken (0 before)."


@pytest.mark.parametrize(("value", "text"), [(0.2, "12 minutes"), (3.5, "3.5 hours"), (223.0, "9.29 days")])
def test_lengths_of_time_read_like_speech(value: float, text: str) -> None:
    """In the unit that fits."""
    assert hours(value) == text


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_no_data_does_not_read_as_safe(documents: ModuleType, form: str) -> None:
    """Without usable requests the headline is that nothing is known, of a forecast and of a blast radius."""
    caveat = [model.Warning(code="no_requests", message="Widen the window.")]
    empty = Forecast(documents.what_if(entries=[], budgets=[], warnings=caveat))
    reach = model.Reach(requests_fraction=0.0, traces=0, units=0, services=0)
    nobody = Radius(documents.radius(reach=reach, entries=[], warnings=caveat))
    for shown in (render(empty, form), render(nobody, form), empty._repr_html_(), nobody._repr_html_()):
        assert "Not known: no usable request of the window" in shown
        assert "would notice" not in shown
        assert "0% of requests" not in shown


def test_open_ends_are_not_known_and_numbers_have_three_digits(documents: ModuleType) -> None:
    """A change without bounds says so; a distribution is rounded for people and kept whole in JSON."""
    open_ = model.Interval(estimate=0.0, low=None, high=None)
    entry = documents.what_if().entries[0]
    entry = entry.model_copy(update={"change": entry.change.model_copy(update={"p99": open_})})
    long = "lognormal(37.1795945059ms,0.5)"
    scenario = model.Scenario(service="pricing", delay_ms=42.1, error_rate=0.0, exposure=1.0, delay=long)
    found = Forecast(documents.what_if(entries=[entry], scenario=scenario))
    assert all("not known" in render(found, form) for form in ("text", "md", "html"))
    assert "lognormal(37.2ms,0.5)" in render(found, "text")
    assert long in render(found, "json")
