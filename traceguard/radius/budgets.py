"""What a supposed change does to objectives and to the budgets of bad requests that they leave."""

from dataclasses import dataclass
from fractions import Fraction

from traceguard import model
from traceguard.radius.objective import Objective
from traceguard.radius.population import Population

_NS, _HOUR_NS = 1e6, 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """An objective on one side: the metric in its unit, the share of bad requests, and whether it is kept."""

    value: float
    bad: float | None
    kept: bool


def measured(objective: Objective, side: Population) -> Measured:
    """How an entry point fares under an objective."""
    if objective.metric == "mean":
        value = side.mean(side.value)
        return Measured(value / _NS, None, value < objective.bound)
    target = objective.target or Fraction(0)
    if objective.metric == "error_rate":
        bad = side.mean(side.failing)
        return Measured(bad, bad, bad <= float(1 - target))
    # The quantile is below the limit exactly if enough requests are; whole numbers decide it.
    slow = int(side.weight[side.value >= objective.bound].sum())
    kept = slow <= (1 - target) * side.total
    return Measured(side.order().quantile(target) / _NS, slow / side.total, kept)


def budget(objective: Objective, entry: model.Entry, before: Population, after: Population) -> model.Budget:
    """What becomes of an objective at an entry point that it concerns."""
    first, last = measured(objective, before), measured(objective, after)
    allowed = objective.budget
    burns = [side.bad / allowed if allowed and side.bad is not None else None for side in (first, last)]
    window = None if objective.window_ns is None else objective.window_ns / _HOUR_NS
    spent = window / burns[1] if window is not None and burns[1] is not None and burns[1] > 1.0 else None
    return model.Budget(
        slo=objective.text, entry=entry, metric=objective.shown,
        limit=objective.limit if objective.metric == "error_rate" else objective.limit / _NS,
        before=first.value, after=last.value, kept_before=first.kept, kept_after=last.kept,
        target=None if objective.target is None else float(objective.target), budget=allowed,
        bad_fraction_before=first.bad, bad_fraction_after=last.bad, burn_rate_before=burns[0],
        burn_rate_after=burns[1], window_hours=window, exhausted_in_hours=spent,
    )  # fmt: skip
