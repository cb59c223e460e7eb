"""The demo judges itself: only the planted flags, service and operation at rank 1 count as found."""

import pytest

from traceguard import demo
from traceguard.errors import UsageError
from traceguard.model import Cause, Effect, Exemplars, Factor, Report, Requests, Window
from traceguard.report import Analysis
from traceguard.simulate import Plant

PLANT = Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), self_ms=60.0)


def cause(service: str = "pricing", operation: str = "ComputeQuote", **levels: str) -> Cause:
    """A cause at a place under flags with their levels."""
    return Cause(
        rank=1,
        factors=[Factor(kind="flag", key=k, service=None, level=v, reference="off") for k, v in levels.items()],
        service=service,
        operation=operation,
        locus="self",
        metric="latency",
        effect=Effect(estimate=60.0, low=55.0, high=65.0, unit="ms"),
        share=1.0,
        q_value=0.001,
        requests=Requests(affected=10, fraction=0.5),
        inseparable_from=[],
        exemplars=Exemplars(affected=[], reference=[]),
        entries=[],
        summary="It is slower.",
    )


def analysis(*causes: Cause) -> Analysis:
    """A report with these causes."""
    window = Window(start=None, end=None, traces=0, spans=0)
    return Analysis(
        Report(
            traceguard_version="0",
            window=window,
            baseline=None,
            candidate=None,
            verdict="regression",
            regressions=[],
            causes=list(causes),
            improvements=[],
            warnings=[],
        )
    )


RIGHT = cause(**{"new-pricing": "on"})
WRONG = [
    cause("cart", **{"new-pricing": "on"}),
    cause(operation="load rules", **{"new-pricing": "on"}),
    cause(**{"new-pricing": "off"}),
    cause(**{"dark-mode": "on"}),
    cause(**{"new-pricing": "on", "dark-mode": "on"}),
]


def test_the_planted_cause_at_rank_one_is_found() -> None:
    """What stands below the first cause does not matter."""
    assert demo.is_first(analysis(RIGHT, WRONG[0]), PLANT)


@pytest.mark.parametrize("first", WRONG)
def test_anything_else_at_rank_one_is_not_found(first: Cause) -> None:
    """Another service, operation, level or flag, or a flag too many, is not what was planted."""
    assert not demo.is_first(analysis(first, RIGHT), PLANT)


def test_an_empty_report_finds_nothing() -> None:
    """Without a cause there is nothing at rank 1."""
    assert not demo.is_first(analysis(), PLANT)


def test_a_format_that_the_demo_has_not_is_refused_before_anything_starts() -> None:
    """The sentence lists the formats that there are."""
    with pytest.raises(UsageError, match="text, json, md"):
        demo.run(None, requests=200, seed=1, format="pdf", show=lambda *_: None)
