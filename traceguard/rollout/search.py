"""The shortest time, the smallest exposure and the smallest change that reach a power."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from traceguard.explain.design import MIN_REQUESTS
from traceguard.rollout.noise import Entry
from traceguard.rollout.power import DRAWS, Detection
from traceguard.traces.cells import BUCKETS

EVER_HOURS = 876_600.0  # a century: what that does not show, no waiting does
_SHORTEST_HOURS = 1.0 / 3600.0
_COARSE = 256  # draws that suffice to find a time nearly
_NEAR = 1.04  # to this factor
_USUAL = 25.0  # square of the standard errors at which a report usually calls a change one: where the search begins
_CLOSE_HOURS = 1.005  # and with all draws to this one
_LEAST_EXPOSURE = 1e-4
_LARGEST = 64.0  # times the size asked for, up to which the smallest change is looked for
_CLOSE = 1.03  # an exposure and a size are found to this factor
_PROMISING = 4  # entry points that are searched: those whose change stands out most


@dataclass(frozen=True, slots=True)
class Soonest:
    """The entry point that shows a change first, after so many hours; None where none ever does."""

    entry: int
    hours: float | None


@dataclass(frozen=True, slots=True)
class Search:
    """Entry points in the order of how much the change stands out among their requests."""

    entries: Sequence[Entry]
    detection: Detection
    wanted: float
    _known: dict[tuple[int, float], float | None] = field(default_factory=dict)

    def hours(self, number: int, exposure: float) -> float | None:
        """The hours until one entry point's change is shown with the wanted power; None: no time is enough."""
        key = (number, exposure)
        if key not in self._known:
            self._known[key] = self._hours(self.entries[number], exposure)
        return self._known[key]

    def _hours(self, entry: Entry, exposure: float) -> float | None:
        def shows(hours: float, draws: int = DRAWS) -> bool:
            return self.detection.power(entry, exposure, hours, draws=draws) >= self.wanted

        # A little above the fewest requests, so that a time told in round numbers has them, too.
        least = max(_SHORTEST_HOURS, 1.01 * MIN_REQUESTS / (entry.rate * min(exposure, 1.0 - exposure)))
        told = entry.stands_out * exposure * (1.0 - exposure)
        low, high = 0.0, min(max(least, _USUAL / told if told > 0.0 else 0.0), EVER_HOURS)
        if shows(high, _COARSE):
            while high > least and shows(max(high / 2.0, least), _COARSE):
                high = max(high / 2.0, least)
            low = high / 2.0 if high > least else 0.0
        while high < EVER_HOURS and not shows(high, _COARSE):
            low, high = high, min(2.0 * high, EVER_HOURS)
        # Few draws find the time nearly; all find it, near there.
        low = max(low, high / 3.0)
        while high / low > _NEAR:
            middle = (low * high) ** 0.5
            low, high = (low, middle) if shows(middle, _COARSE) else (middle, high)
        step = _NEAR
        while not shows(high):
            if high >= EVER_HOURS:
                return None
            low, high, step = high, min(step * high, EVER_HOURS), step**2
        step = _NEAR
        while low > _SHORTEST_HOURS and shows(low):
            low, high, step = low / step, low, step**2
        while high / low > _CLOSE_HOURS:
            middle = (low * high) ** 0.5
            low, high = (low, middle) if shows(middle) else (middle, high)
        return high

    def soonest(self, exposure: float) -> Soonest:
        """The entry point that shows the change first at an exposure."""
        best = Soonest(0, None)
        for number in range(len(self.entries[:_PROMISING])):
            hours = self.hours(number, exposure)
            if hours is not None and (best.hours is None or hours < best.hours):
                best = Soonest(number, hours)
        return best

    def strongest(self, exposure: float, hours: float) -> tuple[int, float]:
        """The entry point with the most power after so many hours, and that power."""
        powers = [self.detection.power(entry, exposure, hours) for entry in self.entries[:_PROMISING]]
        best = max(range(len(powers)), key=lambda number: powers[number])
        return best, powers[best]

    def least_exposure(self, hours: float) -> float | None:
        """The smallest exposure, up to a half, that shows the change within so many hours; None: not even a half."""
        low, high = _LEAST_EXPOSURE, 0.5
        if self.strongest(high, hours)[1] < self.wanted:
            return None
        while high / low > _CLOSE:
            middle = (low * high) ** 0.5
            if self.strongest(middle, hours)[1] >= self.wanted:
                high = middle
            else:
                low = middle
        return high

    def least_scale(self, entry: Entry, exposure: float, hours: float) -> float | None:
        """By how much the change may shrink (or must grow) to be shown with just the wanted power after these hours."""
        low, high = 1.0 / _LARGEST, 1.0
        while self.detection.power(entry, exposure, hours, high) < self.wanted:
            if high >= _LARGEST:
                return None
            low, high = high, 2.0 * high
        while high / low > _CLOSE:
            middle = (low * high) ** 0.5
            if self.detection.power(entry, exposure, hours, middle) >= self.wanted:
                high = middle
            else:
                low = middle
        return high

    def clusters_ever(self, entry: Entry, exposure: float) -> float:
        """The effective number of clusters in the end: where users come back it does not grow for ever."""
        return min(self.detection.clusters(entry, exposure, EVER_HOURS)[0], float(BUCKETS))
