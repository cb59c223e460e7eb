"""Reach by the hour of the week, because a Tuesday is not a Sunday."""

from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from traceguard import model
from traceguard.errors import UnknownNameError
from traceguard.stats.clustered import Clusters

WEEKDAYS = get_args(model.HourOfWeek.model_fields["weekday"].annotation)
_SLOTS = 7 * 24
_MINUTE_NS = 60_000_000_000
_BLOCK_NS = 15 * _MINUTE_NS  # every time zone's clock differs from UTC by whole quarters of an hour


def check_time_zone(name: str) -> str:
    """The name itself; UnknownNameError with the nearest names for one that is no time zone of the IANA database."""
    from zoneinfo import available_timezones

    try:
        slots_of(np.zeros(1, np.int64), name)
    except pl.exceptions.PolarsError:
        raise UnknownNameError.of("time zone", name, sorted(available_timezones() | {"UTC"})) from None
    return name


def slots_of(moments: NDArray[np.int64], time_zone: str) -> NDArray[np.int64]:
    """The hour of the week (0 is Monday's first) of moments (ns since the epoch) on the clocks of a time zone."""
    local = pl.Series(moments).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(time_zone)
    slots: NDArray[np.int64] = (
        (local.dt.weekday().cast(pl.Int64) - 1) * 24 + local.dt.hour().cast(pl.Int64)
    ).to_numpy()
    return slots


def hours_covered(start: int, end: int, time_zone: str) -> NDArray[np.float64]:
    """How many hours of each hour of the week lie in `[start, end)` (ns since the epoch); shape 168."""
    first, last = start // _BLOCK_NS, -(-end // _BLOCK_NS)
    weeks = max(0, (last - first) * _BLOCK_NS // (7 * 24 * 60 * _MINUTE_NS) - 52)
    if weeks:  # damaged times may span decades; whole weeks in the middle need no counting
        skipped = weeks * 7 * 24 * 60 * _MINUTE_NS
        return weeks + hours_covered(start + skipped, end, time_zone)
    block = np.arange(first, last, dtype=np.int64) * _BLOCK_NS
    length = np.minimum(block + _BLOCK_NS, end) - np.maximum(block, start)
    hours: NDArray[np.float64] = np.bincount(slots_of(block, time_zone), length, _SLOTS) / (60 * _MINUTE_NS)
    return hours


@dataclass(slots=True)
class ByTime:
    """Requests by the hour of the week in which they started; made anew for each question."""

    time_zone: str
    _sums: Clusters = field(default_factory=Clusters)

    def add(
        self, begun: NDArray[np.int64], unit: NDArray[np.int64], reached: NDArray[np.bool_],
        weight: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Add requests; four arrays of one length, `begun` in ns since the epoch."""
        self._sums.add(slots_of(begun, self.time_zone), unit, reached, weight)

    def rows(self, start: int, end: int) -> list[model.HourOfWeek]:
        """The hours of the week with requests, Monday's first; the window is `[start, end)`."""
        shares = self._sums.shares(_SLOTS)
        low, high = shares.interval()
        covered, fraction = hours_covered(start, end, self.time_zone), shares.fraction
        return [
            model.HourOfWeek(
                weekday=WEEKDAYS[slot // 24],
                hour=slot % 24,
                requests=int(shares.members[slot]),
                reached=int(shares.members_hit[slot]),
                fraction=float(fraction[slot]),
                low=float(low[slot]),
                high=float(high[slot]),
                units=int(shares.clusters_hit[slot]),
                span_hours=round(float(covered[slot]), 4),
            )
            for slot in np.flatnonzero(shares.members).tolist()
        ]

    def warnings(self, start: int, end: int) -> list[model.Warning]:
        """What is known of which days where the window `[start, end)` covers less than a week."""
        covered = hours_covered(start, end, self.time_zone)
        seen = covered > 0
        if covered.min() >= 1 - 1e-9:
            return []
        days = [(name, seen[24 * day :][:24]) for day, name in enumerate(WEEKDAYS)]
        listed = "; ".join(f"{name} {_spans(hours)}" for name, hours in days if hours.any())
        message = (
            f"The window covers only a part of a week ({listed}; {self.time_zone}): at other hours and on other days"
            " the reach may differ, and is not known."
        )
        return [model.Warning(code="part_of_a_week", message=message)]


def _spans(seen: NDArray[np.bool_]) -> str:
    """The hours of a day that are marked, as times from and to."""
    if seen.all():
        return "all day"
    edges = np.flatnonzero(np.diff(np.concatenate(([False], seen, [False])).astype(np.int8)))
    return ", ".join(f"{a:02d} to {b:02d} h" for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
