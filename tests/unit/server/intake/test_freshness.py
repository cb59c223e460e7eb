"""How old spans are when they are committed."""

import math

import pyarrow as pa
import pytest

from traceguard.otlp.columns import SPANS
from traceguard.server.intake.freshness import Freshness
from traceguard.server.watch.counters import Counters

_NOW = 1_800_000_000 * 10**9


def _spans(*ends_before_now: float) -> pa.Table:
    """Spans of 1 s that ended so many seconds ago."""
    starts = [_NOW - int(seconds * 1e9) - 10**9 for seconds in ends_before_now]
    rows = [
        {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "start_ns": start, "dur_ns": 10**9}
        for number, start in enumerate(starts)
    ]
    return pa.Table.from_pylist(rows, SPANS)


def test_lag_is_that_of_the_newest_span() -> None:
    """The gauge follows the newest end, grows with the clock, and is unknown before the first span."""
    now = [_NOW]
    fresh = Freshness(counters := Counters(), lambda: now[0])
    fresh.committed([_spans()])
    assert math.isnan(fresh.lag_seconds())
    assert "traceguard_span_lag_seconds NaN" in counters.text()
    fresh.committed([_spans(30.0, 4.0), _spans(9.0)])
    assert fresh.lag_seconds() == pytest.approx(4.0, abs=1e-3)
    now[0] += 10**9
    assert fresh.lag_seconds() == pytest.approx(5.0, abs=1e-3)
    fresh.committed([_spans(60.0)])
    assert fresh.lag_seconds() == pytest.approx(5.0, abs=1e-3)
    assert counters.value("commit_lag_seconds") == 4


def test_clocks_ahead_count_as_none_ahead() -> None:
    """A span from the future is fresh now and hides no later lag; times beyond all bounds do no harm."""
    now = [_NOW]
    fresh = Freshness(counters := Counters(), lambda: now[0])
    fresh.committed([_spans(-3600.0)])
    assert fresh.lag_seconds() == 0.0
    now[0] += 7 * 10**9
    assert fresh.lag_seconds() == pytest.approx(7.0, abs=1e-3)
    rows = [{"trace_id": "t", "span_id": "s", "start_ns": n, "dur_ns": n} for n in (2**63 - 1, 0)]
    fresh.committed([pa.Table.from_pylist(rows, SPANS)])
    assert fresh.lag_seconds() == 0.0
    assert 'traceguard_commit_lag_seconds_bucket{le="0.1"} 2' in counters.text()
    assert 'traceguard_commit_lag_seconds_bucket{le="+Inf"} 3' in counters.text()


def test_what_came_before_is_counted() -> None:
    """A span that is committed again is a duplicate, whether in the same transaction or in a later one."""
    fresh = Freshness(counters := Counters(), lambda: _NOW)
    fresh.committed([_spans(1.0, 2.0, 3.0)])
    assert counters.value("spans_duplicate") == 0
    fresh.committed([_spans(1.0, 2.0), _spans(1.0), _spans()])
    assert counters.value("spans_duplicate") == 3
