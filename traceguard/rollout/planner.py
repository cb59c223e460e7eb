"""Entry points, users and the search for steps, for one recording and one size of regression."""

from collections.abc import Sequence

import numpy as np

from traceguard import model
from traceguard.rollout.noise import FAILED, MEAN, Entry, Traffic
from traceguard.rollout.power import Detection
from traceguard.rollout.recorded import Recorded, Size
from traceguard.rollout.search import EVER_HOURS, Search
from traceguard.rollout.traffic import Users
from traceguard.traces.cells import BUCKETS

_POINTS = 14  # of a curve of power over time
_MORE = 0.01  # of power beyond what was asked for: a smaller change would do
_FEWEST_USERS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)  # exposures tried for the fewest users hit


def hours_text(hours: float) -> str:
    """A duration for people: `12 minutes`, `5.5 hours`, `12 days`."""
    for unit, length in (("days", 24.0), ("hours", 1.0), ("minutes", 1.0 / 60.0)):
        if hours >= 2.0 * length:
            return f"{hours / length:.3g} {unit}"
    return f"{hours * 3600:.3g} seconds"


class Planner:
    """What is asked of one recording; `all` are the entry points by key, `keys` those in the order of the search."""

    def __init__(
        self, recorded: Recorded, traffic: Traffic, detection: Detection, size: Size, power: float,
        step_hours: float | None,
    ) -> None:  # fmt: skip
        self._names, self._detection, self._size, self._lasting = recorded.names, detection, size, step_hours
        self.hours = traffic.hours
        requests, unit = recorded.requests, traffic.unit
        reached = requests.reached
        traces, first = np.unique(requests.trace_hash[reached], return_index=True)
        self.requests = int(traces.size)
        self.rate = self.requests / self.hours
        self.users = Users.of(unit[reached][first], self.hours)
        self.all: dict[int, Entry] = {}
        for key in np.unique(requests.entry[reached]).tolist():
            mine = reached & (requests.entry == key)
            levels = detection.rules.tests.levels.get(key)
            self.all[key] = Entry(requests.select(mine), unit[mine], self.hours, levels)
        strength = {key: entry.stands_out for key, entry in self.all.items()}
        self._keys = sorted(self.all, key=lambda key: (-strength[key], key))
        self._several = np.unique(requests.entry // max(len(self._names.operations), 1)).size > 1
        self._search = Search([self.all[key] for key in self._keys], detection, power)

    def steps(self, exposures: Sequence[float]) -> list[model.PlanStep]:
        """One step an exposure, ascending; users hit before are among those hit later."""
        done: list[tuple[float, float]] = []
        found = []
        for exposure in exposures:
            step = self._step(exposure, done)
            found.append(step)
            if step.hours is not None:
                done.append((exposure, step.hours))
        return found

    def hit(self, steps: Sequence[tuple[float, float]]) -> float:
        """Distinct users exposed in steps of (exposure, hours): who joined at a step stays from then on."""
        total, before = 0.0, 0.0
        for at, (exposure, _) in enumerate(steps):
            total += (exposure - before) * self.users.seen(sum(hours for _, hours in steps[at:]))
            before = exposure
        return total

    def least_exposure(self, steps: Sequence[model.PlanStep]) -> float | None:
        """The smallest exposure that shows the change within a step, however long where no length was asked for.

        It is searched for to a few percent, so it may be one of the `steps` that show it.
        """
        shown = [step.exposure for step in steps if (step.power or 0.0) >= self._search.wanted]
        found = self._search.least_exposure(self._lasting or EVER_HOURS)
        return min([*shown, *([] if found is None else [found])], default=None)

    def fewest_users(self) -> tuple[float, float] | None:
        """The exposure that hits the fewest users until the change shows, and how many; None where none shows it."""
        tried = []
        for exposure in _FEWEST_USERS:
            hours = self._search.soonest(exposure).hours
            if hours is not None:
                tried.append((self.hit([(exposure, hours)]), exposure))
        return min(tried)[::-1] if tried else None

    def entries(self, steps: Sequence[model.PlanStep]) -> list[model.PlannedEntry]:
        """The reached entry points, those that show the change first first."""
        exposures = [step.exposure for step in steps if step.exposure < 1.0]
        found = []
        for number, key in enumerate(self._keys):
            entry = self.all[key]
            noise = entry.noise(0.5)
            times = [hours for e in exposures if (hours := self._search.hours(number, e)) is not None]
            where = self._entry(key)
            found.append(
                model.PlannedEntry(
                    service=where.service, operation=where.operation, environment=where.environment,
                    requests=entry.size, requests_per_hour=entry.rate, users=int(entry.counts.size),
                    added_ms=noise.raw_ms, added_errors=float(noise.effect[FAILED]),
                    spread_ms=float(np.sqrt(noise.alone[0, MEAN])) / 1e6,
                    user_effect=float(1.0 + noise.shared[0, MEAN] / max(noise.alone[0, MEAN], 1e-9)),
                    least_hours=min(times, default=None),
                    blind=None if times or not exposures else self._why_never(entry, exposures[-1]),
                )
            )  # fmt: skip
        return sorted(found, key=lambda e: (e.least_hours is None, e.least_hours or 0.0))

    def _step(self, exposure: float, done: Sequence[tuple[float, float]]) -> model.PlanStep:
        before, lasting = self.hit(done), self._lasting
        soonest = self._search.soonest(exposure) if exposure < 1.0 else None
        needed = soonest.hours if soonest is not None else None
        hours = lasting or needed
        after = self.hit([*done, (exposure, hours)]) if hours is not None else before
        number, power = 0, None
        if exposure < 1.0 and hours is not None:
            number, power = self._search.strongest(exposure, hours)
        leading = self._search.entries[number]
        scale = None if power is None else 1.0
        # More power than asked for: not the size but the users who must tell of it set the time.
        if power is not None and hours is not None and (lasting is not None or power > self._search.wanted + _MORE):
            scale = self._search.least_scale(leading, exposure, hours)
        reason = None
        if needed is None:
            reason = self._why_never(leading, exposure) if exposure < 1.0 else "nobody is left to compare with"
        return model.PlanStep(
            exposure=exposure, hours=hours, hours_needed=needed,
            requests=round(self.rate * exposure * (hours or 0.0)), users_new=round(after) - round(before),
            users_hit=round(after), power=power, entry=self._entry(self._keys[number]) if power is not None else None,
            clusters=self._clusters(leading, exposure, hours or EVER_HOURS) if exposure < 1.0 else 0.0,
            detects_ms=scale * self._size.delay_ns / 1e6 if scale and self._size.delay_ns else None,
            detects_errors=min(scale * self._size.error_rate, 1.0) if scale and self._size.error_rate else None,
            extrapolated=hours is not None and hours > self.hours, reason=reason,
            curve=self._curve(leading, exposure, done, max(hours, needed or 0.0)) if power and hours else [],
        )  # fmt: skip

    def _curve(
        self, entry: Entry, exposure: float, done: Sequence[tuple[float, float]], until: float
    ) -> list[model.PlanPoint]:
        times = 1.5 * until * np.arange(1, _POINTS + 1) / _POINTS
        return [
            model.PlanPoint(
                hours=hours, power=self._detection.power(entry, exposure, hours),
                users_hit=round(self.hit([*done, (exposure, hours)])),
            )
            for hours in times.tolist()
        ]  # fmt: skip

    def _clusters(self, entry: Entry, exposure: float, hours: float) -> float:
        return min(self._detection.clusters(entry, exposure, hours)[0], float(BUCKETS))

    def _why_never(self, entry: Entry, exposure: float) -> str:
        if not entry.changes:
            return "the change adds nothing to these requests"
        least, ever = self._detection.rules.least_clusters, self._clusters(entry, exposure, EVER_HOURS)
        if ever < least:
            return f"users are too few, as if {ever:.3g} equal ones told of the exposure where {least:.0f} must"
        if ever < 1.3 * least:
            return (
                f"users are barely enough: as if {ever:.3g} equal ones told of the exposure, by chance often fewer than"
                f" the {least:.0f} who must"
            )
        return "the change is too small beside how users differ, or below what a report calls a regression"

    def _entry(self, key: int) -> model.Entry:
        environment, operation = divmod(key, len(self._names.operations))
        service, text = self._names.operations[operation]
        name = self._names.environments[environment] or "unknown"
        return model.Entry(
            service=self._names.services[service], operation=text, environment=name if self._several else None
        )
