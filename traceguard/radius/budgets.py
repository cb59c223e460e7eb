"""What a supposed change does to objectives and to the budgets of bad requests that they leave."""

from dataclasses import dataclass
from fractions import Fraction

from traceguard import model
from traceguard.radius.objective import Objective
from traceguard.radius.population import Population

_NS, _HOUR_NS = 1e6, 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """An objective on one side: the mean (ns) or else the share of bad requests, and whether that is kept."""

    amount: float
    kept: bool


def measured(objective: Objective, side: Population) -> Measured:
    """How an entry point fares under an objective."""
    if objective.metric == "mean":
        mean = side.mean(side.value)
        return Measured(mean, mean < objective.bound)
    target = objective.target or Fraction(0)
    if objective.metric == "error_rate":
        bad = side.mean(side.failing)
        return Measured(bad, bad <= float(1 - target))
    # The quantile is below the limit exactly if enough requests are; whole numbers decide it.
    slow = int(side.weight[side.value >= objective.bound].sum())
    return Measured(slow / side.total, slow <= (1 - target) * side.total)


def _value(objective: Objective, side: Population, found: Measured) -> float:
    """The metric in the unit of the answer."""
    if objective.metric == "latency":
        return side.order().quantile(objective.target or Fraction(0)) / _NS
    return found.amount / _NS if objective.metric == "mean" else found.amount


def budget(objective: Objective, entry: model.Entry, before: Population, after: Population) -> model.Budget:
    """What becomes of an objective at an entry point that it concerns."""
    first, last = measured(objective, before), measured(objective, after)
    allowed = objective.budget
    bad = [None if allowed is None else side.amount for side in (first, last)]
    burns = [share / allowed if allowed and share is not None else None for share in bad]
    window = None if objective.window_ns is None else objective.window_ns / _HOUR_NS
    spent = window / burns[1] if window is not None and burns[1] is not None and burns[1] > 1.0 else None
    return model.Budget(
        slo=objective.text, entry=entry, metric=objective.shown,
        limit=objective.limit if objective.metric == "error_rate" else objective.limit / _NS,
        before=_value(objective, before, first),
        after=_value(objective, after, last), kept_before=first.kept, kept_after=last.kept,
        target=None if objective.target is None else float(objective.target), budget=allowed,
        bad_fraction_before=bad[0], bad_fraction_after=bad[1], burn_rate_before=burns[0],
        burn_rate_after=burns[1], window_hours=window, exhausted_in_hours=spent,
    )  # fmt: skip
