"""Accepted causes: marked while they hold, counted again afterwards, and never a pass for what nobody accepted."""

from datetime import date

import pytest
from builders.scenes import recorded, reported

from traceguard import model
from traceguard.explain import failing, with_accepted
from traceguard.report import Analysis
from traceguard.settings import Acceptance
from traceguard.simulate import Plant, shop
from traceguard.units import parse_time

DAY = date(2027, 1, 31)
BEFORE, LAST_MOMENT, AFTER = (
    parse_time(t, 0) for t in ("2027-01-02T00:00:00Z", "2027-01-31T23:59:59Z", "2027-02-01T00:00:00Z")
)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """A shop with a slow flag and a failing one."""
    plants = (
        Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), self_ms=40),
        Plant("payment", "Charge", flags=(("one-click-checkout", "on"),), error_rate=0.2),
    )
    return reported(recorded(shop(plants=plants), requests=6_000), draw_map=False)


def accepted(report: model.Report, now_ns: int = BEFORE, **about: str) -> model.Report:
    """The report with one acceptance."""
    return with_accepted(report, [Acceptance(DAY, "OPS-12", **about)], now_ns)


def test_it_holds_through_its_last_day(analysis: Analysis) -> None:
    """Marked with day and reason until midnight UTC; then not, with a warning that says so."""
    for now in (BEFORE, LAST_MOMENT):
        report = accepted(analysis.document, now, factor="new-pricing")
        assert report.causes[0].accepted == model.Accepted(until="2027-01-31", reason="OPS-12")
        assert report.verdict == "regression"
        assert "acceptance_ended" not in {w.code for w in report.warnings}
    late = accepted(analysis.document, AFTER, factor="new-pricing")
    assert late.causes[0].accepted is None
    (warning,) = [w for w in late.warnings if w.code == "acceptance_ended"]
    assert warning.message == "new-pricing was accepted until 2027-01-31 (OPS-12); it counts again."


def test_what_is_not_about_a_cause_changes_nothing(analysis: Analysis) -> None:
    """Another flag, another level, another service: no mark, and no warning when it ends."""
    for about in ({"factor": "other"}, {"factor": "new-pricing=off"}, {"service": "cart", "factor": "new-pricing"}):
        assert accepted(analysis.document, **about) == analysis.document
        assert accepted(analysis.document, AFTER, **about) == analysis.document


def test_only_accepted_regressions_stop_failing(analysis: Analysis) -> None:
    """One flag accepted leaves the other's regressions; both accepted leave none."""
    both = {f.key for r in failing(analysis.document) for f in r.factors}
    assert len(both) == 2
    one = accepted(analysis.document, factor="new-pricing=on")
    assert {f.key for r in failing(one) for f in r.factors} == {"one-click-checkout"}
    assert failing(accepted(one, factor="one-click-checkout")) == []


def test_a_regression_that_nothing_explains_still_fails(analysis: Analysis) -> None:
    """Nobody can accept what has no cause."""
    bare = analysis.document.model_copy(update={"causes": []})
    assert failing(accepted(bare, factor="new-pricing")) == bare.regressions


def test_one_of_two_causes_of_a_regression_is_not_enough(analysis: Analysis) -> None:
    """A second cause of the same regression that nobody accepted keeps it failing."""
    first = analysis.causes[0]
    other = first.model_copy(update={"rank": 2, "service": "cart"})
    report = analysis.document.model_copy(update={"causes": [first, other]})
    slow = [r for r in failing(accepted(report, service="pricing")) if r.factors == first.factors]
    assert slow
    assert all(r.factors != first.factors for r in failing(accepted(report, factor="new-pricing")))
