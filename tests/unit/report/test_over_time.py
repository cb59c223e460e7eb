"""Small drawings over a stretch of time."""

import re

from hypothesis import given
from hypothesis import strategies as st

from traceguard.report import over_time
from traceguard.report.over_time import HEIGHT, WIDTH, Axis

MINUTE = 60 * 10**9
AXIS = Axis(1_800_000_000 * 10**9, MINUTE, 48)


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """x, y, width and height of every rectangle."""
    found = re.findall(r'<rect class="[^"]+" x="([^"]+)" y="([^"]+)" width="([^"]+)" height="([^"]+)"', svg)
    return [(float(x), float(y), float(width), float(height)) for x, y, width, height in found]


@given(st.dictionaries(st.integers(0, 47), st.integers(1, 10**7), min_size=1))
def test_bars_stay_within_their_drawing(counts: dict[int, int]) -> None:
    """However many requests there are, the tallest bar fits below a round number."""
    for x, y, width, height in boxes(over_time.counts(AXIS, counts, "requests")):
        assert x >= 0
        assert x + width <= WIDTH + 0.1
        assert y >= 0
        assert y + height <= HEIGHT


@given(st.lists(st.dictionaries(st.integers(0, 47), st.integers(1, 1000)), min_size=1, max_size=6))
def test_shares_fill_every_slice(series: list[dict[int, int]]) -> None:
    """Shares of a slice are stacked on each other up to 100%."""
    tall: dict[float, float] = {}
    named = [(f"v{number}", values) for number, values in enumerate(series)]
    for x, _, _, height in boxes(over_time.shares(AXIS, named, "flag")):
        tall[x] = tall.get(x, 0.0) + height
    assert len(tall) == len({slice_ for values in series for slice_ in values})
    assert all(abs(height - 60.0) < 1.0 for height in tall.values())


def test_hostile_names_stay_text() -> None:
    """Names of variants and versions are escaped in titles and labels."""
    name = '"><script>alert(1)</script>'
    axis = Axis(AXIS.since, MINUTE, 48, [(AXIS.since + 5 * MINUTE, name)])
    drawn = over_time.shares(axis, [(name, {0: 1})], name) + over_time.counts(axis, {0: 1}, name)
    assert "<script>" not in drawn


def test_a_gap_breaks_the_line() -> None:
    """A slice without requests has no latency, and none is drawn for it."""
    values = {0: 10.0, 1: 12.0, 5: 11.0}
    drawn = over_time.latency(AXIS, values, values, "latency")
    path = re.search(r'<path class="line median" d="([^"]+)"', drawn)
    assert path is not None
    assert path[1].count("M") == 2


def test_the_scale_has_units() -> None:
    """Milliseconds, percent and requests are told apart on the axis."""
    assert "20 ms" in over_time.latency(AXIS, {0: 9.0}, {0: 12.0}, "latency")
    assert "5%" in over_time.rates(AXIS, {0: 0.04}, "failed")
    assert "12:00" not in over_time.counts(AXIS, {0: 1}, "requests")
    assert "08:00" in over_time.counts(AXIS, {0: 1}, "requests")
