"""The largest exposure or delay that keeps every objective.

Shares of bad requests and means go linearly with the exposure, so that the largest one is known at once. With the delay
they only grow: the largest one is found by halving, and each step goes over the kept trees instead of the store.
"""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.radius.budgets import measured
from traceguard.radius.objective import Objective
from traceguard.radius.population import SCALE, Population
from traceguard.radius.retimed import Recorded, slowed

LONGEST_NS = 600_000_000_000  # a delay of ten minutes breaks whatever a delay can break
EXPOSURE_STEP = 1e-6
_STEP_NS = 10_000  # delays are found to a hundredth of a millisecond, large ones to a thousandth of them
_PRECISION = 1e-3
_WORKERS = 2


class Case(Protocol):
    """An entry point's requests at every exposure."""

    def at(self, exposure: float) -> Population:
        """The requests if so many were hit."""


Concerned = tuple[Objective, model.Entry]


def largest_exposure(
    cases: Iterable[tuple[model.Entry, Case]], objectives: Sequence[Objective]
) -> tuple[float, model.Largest]:
    """The exposure to predict, and the answer."""
    low, high, limiting = 0.0, 1.0, None
    for entry, case in cases:
        for objective in (o for o in objectives if o.concerns(entry)):
            least, most = _kept_between(objective, case)
            low = max(low, least)
            if most < high:
                high, limiting = most, (objective, entry)
    found = _largest("exposure", "fraction", EXPOSURE_STEP, 1.0)
    if low <= high:
        return high, found.model_copy(update={"value": high, "limited_by": _limiting(limiting)})
    reason = "No exposure from 0% to 100% keeps every objective."
    return 0.0, found.model_copy(update={"limited_by": _limiting(limiting), "reason": reason})


def _kept_between(objective: Objective, case: Case) -> tuple[float, float]:
    """The exposures between which an objective is kept; the first lies above the second where none does."""
    ends = [measured(objective, case.at(exposure)) for exposure in (0.0, 1.0)]
    if all(end.kept for end in ends):
        return 0.0, 1.0
    if not any(end.kept for end in ends):
        return 1.0, -1.0
    first, last = (end.amount for end in ends)
    allowed = objective.bound if objective.budget is None else objective.budget
    crossing = (allowed - first) / (last - first) / EXPOSURE_STEP
    if ends[0].kept:
        steps = math.floor(crossing)
        while steps > 0 and not measured(objective, case.at(steps * EXPOSURE_STEP)).kept:
            steps -= 1
        return 0.0, steps * EXPOSURE_STEP
    steps = math.ceil(crossing)
    while steps * EXPOSURE_STEP < 1.0 and not measured(objective, case.at(steps * EXPOSURE_STEP)).kept:
        steps += 1
    return min(steps * EXPOSURE_STEP, 1.0), 1.0


@dataclass(slots=True)
class _Sums:
    """What a delay cannot change of an objective at an entry point, in whole numbers."""

    requests: int = 0
    before: int = 0  # of all requests: ns together, or how many are slow
    unhit: int = 0  # the same of those that are not hit


@dataclass(slots=True)
class _Search:
    """The latency objectives by entry point, and their sums."""

    recorded: Recorded
    concerned: dict[int, list[Concerned]]  # by entry
    sums: dict[tuple[Objective, int], _Sums] = field(default_factory=dict)
    tries: int = 0

    def prepare(self) -> None:
        for number in range(self.recorded.parts):
            rows, trees = self.recorded.kept(number)
            hit = np.zeros(rows.size, dtype=np.bool_)
            hit[trees.row] = True
            for entry, objectives in self.concerned.items():
                mine = rows["entry"] == entry
                before = rows["before"][mine]
                for objective, _ in objectives:
                    sums = self.sums.setdefault((objective, entry), _Sums())
                    counted = _counted(objective, before)
                    sums.requests += before.size
                    sums.before += int(counted.sum())
                    sums.unhit += int(counted[~hit[mine]].sum())

    def broken(self, delay_ns: float) -> Concerned | None:
        """An objective that this delay breaks, the one that it breaks by most; None where all are kept."""
        self.tries += 1
        delay = self.recorded.scenario.delay.scaled(delay_ns)

        def partial(number: int) -> dict[tuple[Objective, int], int]:
            rows, trees = self.recorded.kept(number)
            after, entry = slowed(trees, delay), rows["entry"][trees.row]
            return {
                (objective, at): int(_counted(objective, after[entry == at]).sum())
                for at, objectives in self.concerned.items()
                for objective, _ in objectives
            }

        hit = round(self.recorded.scenario.exposure * SCALE)
        after = dict.fromkeys(self.sums, 0)
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="traceguard-retime") as pool:
            for part in pool.map(partial, range(self.recorded.parts)):
                for key, value in part.items():
                    after[key] += value
        worst: tuple[float, Concerned] | None = None
        for entry, objectives in self.concerned.items():
            for objective, where in objectives:
                sums = self.sums[objective, entry]
                total = (SCALE - hit) * sums.before + hit * (sums.unhit + after[objective, entry])
                allowed = objective.bound if objective.target is None else 1 - objective.target
                over = total / (sums.requests * SCALE) / float(allowed)
                kept = total < allowed * sums.requests * SCALE if objective.target is None else (
                    total <= allowed * sums.requests * SCALE
                )  # fmt: skip
                if not kept and (worst is None or over > worst[0]):
                    worst = (over, (objective, where))
        return None if worst is None else worst[1]


def _counted(objective: Objective, latency: NDArray[np.int64]) -> NDArray[np.int64]:
    """What is summed up: the latency of a mean, else whether it is too long."""
    return latency if objective.target is None else (latency >= objective.bound).astype(np.int64)


def largest_delay(recorded: Recorded, objectives: Sequence[Objective]) -> tuple[float, model.Largest]:
    """The mean delay to predict, ns, and the answer; error rates do not depend on it."""
    entries = recorded.kept_entries()
    latencies = [o for o in objectives if o.metric != "error_rate"]
    concerned = {
        number: mine for number, entry in entries if (mine := [(o, entry) for o in latencies if o.concerns(entry)])
    }
    search = _Search(recorded, concerned)
    search.prepare()
    found = _largest("delay", "ms", _STEP_NS / 1e6, LONGEST_NS / 1e6)
    if not latencies:
        return 0.0, found.model_copy(update={"reason": "No objective is about latency, so no delay breaks one."})
    limiting = search.broken(0.0)
    if limiting is not None:
        reason = "It is broken without any delay already."
        return 0.0, found.model_copy(update={"limited_by": _limiting(limiting), "reason": reason})
    low, high = (
        0.0,
        min(float(LONGEST_NS), *(float(o.limit) for o in latencies)),
    )  # more than the limit mostly breaks it
    while limiting is None and low < LONGEST_NS:
        limiting = search.broken(high)
        if limiting is None:
            low, high = high, min(high * 4, float(LONGEST_NS))
    if limiting is None:
        reason = f"No delay up to {LONGEST_NS // 60_000_000_000} minutes breaks an objective."
        return low, found.model_copy(update={"reason": reason})
    while (step := max(_STEP_NS, _PRECISION * low)) and high - low > step:
        middle = (low + high) / 2
        broken = search.broken(middle)
        if broken is None:
            low = middle
        else:
            high, limiting = middle, broken
    kept = math.floor(low / _STEP_NS) * _STEP_NS
    updated = {"value": kept / 1e6, "limited_by": _limiting(limiting), "precision": (high - kept) / 1e6}
    return float(kept), found.model_copy(update=updated)


def _largest(what: str, unit: str, precision: float, searched_to: float) -> model.Largest:
    return model.Largest.model_validate(
        {"what": what, "value": None, "unit": unit, "precision": precision, "searched_to": searched_to}
    )


def _limiting(found: Concerned | None) -> model.Limiting | None:
    return None if found is None else model.Limiting(slo=found[0].text, entry=found[1])
