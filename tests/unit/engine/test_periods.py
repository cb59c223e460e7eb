"""The periods of a question: read from what was given, and how they lie to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceguard.engine.periods import hull, parse_compared, parse_window, within
from traceguard.errors import UsageError
from traceguard.units import Period

MOMENTS = st.integers(min_value=1, max_value=1_000)
BOUNDS = st.none() | MOMENTS


def apart(moments: list[int]) -> tuple[Period, Period]:
    """Two periods that do not overlap, from four ascending moments."""
    first, second, third, fourth = moments
    return Period(first, second), Period(third, fourth)


APART = st.lists(MOMENTS, min_size=4, max_size=4, unique=True).map(sorted).map(apart)
WINDOWS = st.builds(Period, BOUNDS, BOUNDS)


def holds(period: Period, moment: int) -> bool:
    """Whether a moment lies in a period, either side of which may be open."""
    after = period.start_ns is None or moment >= period.start_ns
    return after and (period.end_ns is None or moment < period.end_ns)


@given(APART, WINDOWS, MOMENTS, st.booleans())
def test_hull_without_gap_is_both_periods_in_the_window(
    pair: tuple[Period, Period], window: Period, moment: int, swapped: bool
) -> None:
    """A moment lies in the hull and outside of the gap exactly where it lies in the window and in either period."""
    whole, gap = hull(window, *(pair[::-1] if swapped else pair))
    wanted = holds(window, moment) and any(holds(period, moment) for period in pair)
    assert (holds(whole, moment) and not holds(gap, moment)) == wanted


@given(APART, WINDOWS, MOMENTS)
def test_within_is_what_both_hold(pair: tuple[Period, Period], window: Period, moment: int) -> None:
    """The part of a period within a window holds the moments that both hold, and never ends before it starts."""
    part = within(window, pair[0])
    assert part.start_ns is not None
    assert part.end_ns is not None
    assert part.start_ns <= part.end_ns
    assert holds(part, moment) == (holds(window, moment) and holds(pair[0], moment))


def test_no_periods_compare_nothing() -> None:
    """Where neither period is given nothing is compared."""
    assert parse_compared(None, None) is None


def test_periods_are_read_from_text() -> None:
    """A period as text and one as it is are the two that are compared."""
    found = parse_compared("1970-01-01T00:00:01Z/1970-01-01T00:00:02Z", Period(3, 5))
    assert found == (Period(10**9, 2 * 10**9), Period(3, 5))


@pytest.mark.parametrize(
    ("baseline", "candidate", "sentence"),
    [
        (Period(1, 2), None, "needs both periods"),
        (None, Period(1, 2), "needs both periods"),
        (Period(1, None), Period(3, 4), "need a start and an end"),
        (Period(1, 4), Period(3, 5), "overlap"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(
    baseline: Period | None, candidate: Period | None, sentence: str
) -> None:
    """One period alone, an open one, and two that overlap are refused with what is wrong."""
    with pytest.raises(UsageError, match=sentence):
        parse_compared(baseline, candidate)


def test_an_empty_window_is_refused() -> None:
    """A window has to end after it starts."""
    with pytest.raises(UsageError, match="window is empty"):
        parse_window("1970-01-01T00:00:01Z", 10**9)
