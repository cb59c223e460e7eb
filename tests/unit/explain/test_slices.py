"""A cause slice by slice: steady where it is steady, against the baseline where periods are compared."""

import pytest
from builders.scenes import DURATION_NS, START_NS, recorded, reported

from traceguard.explain.slices import FEWEST, MOST_SLICES
from traceguard.simulate import Plant, shop
from traceguard.units import Period

FLAG = ("new-pricing", "on")
HALF = START_NS + DURATION_NS // 2


def test_a_steady_delay_shows_in_every_slice() -> None:
    """Both sides ran at the same time, so each slice is held against its own reference; the delay is inside of most."""
    first = reported(recorded(shop(plants=(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30),)))).causes[0]
    over = first.over_time
    assert over is not None
    assert (over.against, over.entry) == ("slice", first.entries[0].entry)
    assert 2 < len(over.slices) <= MOST_SLICES
    assert [s.start for s in over.slices] == sorted(s.start for s in over.slices)
    effects = [s.effect for s in over.slices if s.effect is not None]
    inside = [e.low <= first.entries[0].effect.estimate <= e.high for e in effects]
    assert sum(inside) >= 0.7 * len(effects)
    assert all(e.unit == "ms" and e.low < e.estimate < e.high for e in effects)


def test_slices_count_every_compared_request_once() -> None:
    """Affected requests of all slices are those of the leading entry point."""
    first = reported(recorded(shop(plants=(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30),)))).causes[0]
    assert first.over_time is not None
    assert sum(s.affected for s in first.over_time.slices) == first.entries[0].requests.affected


def test_periods_are_held_against_the_baseline() -> None:
    """Nobody ran under both at once: slices of the candidate against the whole baseline, whose own lie around zero."""
    slow = shop(plants=(Plant("pricing", "ComputeQuote", self_ms=40),))
    before = recorded(shop(plants=()), part=(0, 2))
    after = recorded(slow, part=(1, 2), seed=2)
    analysis = reported(
        [before, after], baseline=Period(START_NS, HALF), candidate=Period(HALF, START_NS + DURATION_NS), draw_map=False
    )
    first = analysis.causes[0]
    assert first.factors[0].kind == "period"
    over = first.over_time
    assert over is not None
    assert over.against == "window"
    late = [s for s in over.slices if s.affected]
    early = [s for s in over.slices if s.reference]
    assert early
    assert not any(s.affected and s.reference for s in over.slices)
    assert all(s.effect is not None and s.effect.low > 0 for s in late)
    assert all(s.effect is not None and s.effect.low < 15 for s in early)


def test_errors_are_shares() -> None:
    """A cause of errors has its effect by slice as a fraction."""
    plant = Plant("pricing", "ComputeQuote", flags=(FLAG,), error_rate=0.2)
    first = reported(recorded(shop(plants=(plant,)))).causes[0]
    assert first.metric == "error"
    assert first.over_time is not None
    effects = [s.effect for s in first.over_time.slices if s.effect is not None]
    assert {e.unit for e in effects} == {"fraction"}
    assert sum(e.estimate for e in effects) / len(effects) == pytest.approx(first.entries[0].effect.estimate, abs=0.05)


def test_a_side_with_hardly_anybody_says_nothing() -> None:
    """Fewer requests than that on a side give no effect."""
    first = reported(recorded(shop(plants=(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30),)))).causes[0]
    assert first.over_time is not None
    assert all((s.effect is None) == (min(s.affected, s.reference) < FEWEST) for s in first.over_time.slices)
