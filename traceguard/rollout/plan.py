"""Exposure steps, how long each must last, whom it hits until then, and what it would show: the document of a plan.

Users are exposed by chance, each always to the same side, and whoever was exposed stays so when the exposure rises.
Every step is judged on its own requests (a report over several steps sees no less). Traffic is the recording's, at its
average rate.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.errors import UsageError
from traceguard.rollout.noise import Traffic
from traceguard.rollout.planner import Planner, hours_text
from traceguard.rollout.power import Detection, Rules
from traceguard.rollout.recorded import Recorded, Size
from traceguard.rollout.varying import Tests
from traceguard.units import Period, format_time

if TYPE_CHECKING:
    from traceguard.radius.names import Target

ASSUMED_PART = 0.10  # of the mean latency, where nobody says how large a regression must not go unnoticed
STEPS = (0.01, 0.05, 0.25, 0.5, 1.0)
_LONG_HOURS = 7 * 24.0
_YEAR_HOURS = 366 * 24.0
_NAMED = 3  # entry points that a warning names


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a plan."""

    power: float = 0.8
    steps: tuple[float, ...] = STEPS
    step_hours: float | None = None
    most_users: int | None = None

    def check(self, alpha: float) -> None:
        """UsageError for what no plan can meet."""
        for name, value in (("power", self.power), ("alpha", alpha)):
            if not 0.0 < value < 1.0:
                raise UsageError(f"The {name} {value:g} must lie between 0 and 1, such as 0.8 or 5%.")
        if not self.steps or any(not 0.0 < step <= 1.0 for step in self.steps):
            raise UsageError("Each step must lie above 0% and at most at 100%; write them like 1%,5%,25%,100%.")
        if any(a >= b for a, b in pairwise(self.steps)):
            raise UsageError("The steps must rise; write them like 1%,5%,25%,100%.")
        if self.step_hours is not None and self.step_hours <= 0.0:
            raise UsageError("A step must last longer than nothing; write its time like 1h or 30m.")
        if self.step_hours is not None and self.step_hours > _YEAR_HOURS:
            raise UsageError("A step must not last longer than a year; write its time like 1h or 7d.")
        if self.most_users is not None and self.most_users < 1:
            raise UsageError("The most users to hit must be at least 1.")


def assumed_delay(reached: NDArray[np.int64]) -> int:
    """The delay that is planned for where none was asked for, ns: a part of the mean latency of what is reached."""
    return max(int(ASSUMED_PART * reached.mean()), 1) if reached.size else 1


def make_plan(
    target: "Target", size: Size, wish: Wish, recorded: Recorded, traffic: Traffic, tests: Tests, period: Period,
    *, alpha: float, live: bool, assumed: bool, sampled: bool,
) -> model.Plan:  # fmt: skip
    """The plan for a rollout of `target` with a planted regression of `size` that was followed in `recorded`.

    `live` plans for a report that is looked at all the time. Without requests that reach the target the plan has no
    entries but the warning `no_requests`.
    """
    planner = Planner(recorded, traffic, Detection(Rules(alpha, live, tests)), size, wish.power, wish.step_hours)
    known = bool(planner.all)
    steps = [] if not known else planner.steps(wish.steps)
    entries = planner.entries(steps)
    lasting = wish.step_hours
    return model.Plan(
        target=model.Target(
            service=target.service, operation=target.operation, flag=target.flag_text, read_by=list(target.read_by)
        ),
        window=_window(traffic, period),
        size=model.PlannedSize(delay_ms=size.delay_ns / 1e6, error_rate=size.error_rate, assumed=assumed),
        power=wish.power, alpha=alpha, looks="any_time" if live else "end_of_step", step_hours=lasting,
        most_users=wish.most_users, recorded_hours=traffic.hours,
        requests_per_hour=planner.rate, users=planner.users.counts.size, tests=tests.roots,
        least_exposure=planner.least_exposure(steps) if known else None, entries=entries, steps=steps,
        warnings=[
            model.Warning(code=code, message=message)
            for code, message in _warnings(target, wish, recorded, planner, steps, entries, sampled=sampled)
        ],
    )  # fmt: skip


def _window(traffic: Traffic, period: Period) -> model.Window:
    start, end = period.start_ns, period.end_ns
    if traffic.begun.size:
        start, end = int(traffic.begun.min()), int(traffic.begun.max()) + 1
    return model.Window(
        start=format_time(start), end=format_time(end), traces=int(traffic.begun.size), spans=traffic.spans
    )


def _warnings(
    target: "Target", wish: Wish, recorded: Recorded, planner: Planner, steps: list[model.PlanStep],
    entries: list[model.PlannedEntry], *, sampled: bool,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    """Code and sentence of each caveat."""
    name = target.flag_text or " ".join(filter(None, (target.service, target.operation)))
    if not entries:
        yield "no_requests", f"No usable request of the window reaches {name}; widen the window or send its traffic."
    if recorded.torn:
        yield (
            "incomplete_traces",
            (
                f"{recorded.torn} fragments of requests reach {name}, but the spans above them are missing, so"
                " their entry points are unknown and not planned for."
            ),
        )
    if recorded.streams:
        listed = ", ".join(f"{name} ({count:,})" for name, count in recorded.streams.most_common(3))
        yield (
            "long_lived_streams",
            (f"{recorded.streams.total():,} long-lived streams do not count as requests: {listed}."),
        )
    yield from _of_steps(planner, steps)
    yield from _beside_the_wish(wish, planner, steps)
    blind = [entry for entry in entries if entry.blind is not None]
    if blind:
        names = "; ".join(f"{e.operation} of {e.service} ({e.blind})" for e in blind[:_NAMED])
        more = f" and {len(blind) - _NAMED} more" if len(blind) > _NAMED else ""
        yield "blind_entry_points", f"No step shows the regression by itself at {names}{more}."
    if sampled:
        yield (
            "sampled_traffic",
            (
                "The recording holds a sample of the requests, so requests and users are those that are recorded; more"
                " are hit."
            ),
        )
    if planner.all and planner.users.counts.size == planner.requests:
        yield (
            "users_unknown",
            (
                "No user came twice, or requests do not say whose they are: each counts as a user of its own,"
                " so power may be overstated; name users in user.id, session.id or the flag's context."
            ),
        )


def _of_steps(planner: Planner, steps: Sequence[model.PlanStep]) -> Iterator[tuple[str, str]]:
    never = [s for s in steps if s.exposure < 1.0 and s.hours_needed is None]
    if never:
        which = ", ".join(f"{100 * s.exposure:.3g}%" for s in never)
        yield "blind_step", f"At {which} no waiting shows the regression: {never[-1].reason}."
    slow = [s for s in steps if s.hours_needed is not None and s.hours_needed > max(_LONG_HOURS, planner.hours)]
    if slow:
        each = "; ".join(_need(planner, s.exposure, s.hours_needed or 0.0) for s in slow)
        yield "slow_step", f"The traffic is thin for this size: {each}."
    if any(s.extrapolated for s in steps):
        yield (
            "extrapolated",
            (
                f"The recording lasts {hours_text(planner.hours)}; longer steps are extrapolated at its average"
                " rate, and how many users come that it has not seen is a guess."
            ),
        )
    if steps and steps[-1].exposure >= 1.0:
        yield (
            "no_control",
            (
                "At 100% nobody is left to compare with at the same time: what shows then rests on before and"
                " after, which everything else that changes moves, too."
            ),
        )


def _beside_the_wish(wish: Wish, planner: Planner, steps: Sequence[model.PlanStep]) -> Iterator[tuple[str, str]]:
    weak = [s for s in steps if s.hours and s.power is not None and s.power < wish.power]
    if weak:
        each = ", ".join(f"{100 * s.exposure:.3g}% ({s.power:.0%})" for s in weak)
        yield "weak_step", f"These steps end before the regression shows with {wish.power:.0%} power: {each}."
    first = next((s for s in steps if s.hours is not None and s.power is not None and s.power >= wish.power), None)
    if steps and wish.most_users is not None and (first is None or first.users_hit > wish.most_users):
        fewest = planner.fewest_users()
        best = (
            f"the fewest are about {fewest[1]:,.0f}, at {fewest[0]:.3g} exposure" if fewest else "no exposure shows it"
        )
        yield "too_many_users", f"More than {wish.most_users:,} users are hit before the regression shows: {best}."


def _need(planner: Planner, exposure: float, hours: float) -> str:
    exposed = round(planner.rate * hours * exposure)
    return f"{100 * exposure:.3g}% needs {hours_text(hours)}, {exposed:,} requests exposed"
