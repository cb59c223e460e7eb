"""How many users come in how much time: the recording's accumulation curve, and beyond it.

Users come at random at rates that differ (mixed Poisson). Within the recording the expected number of users seen
after a time follows from how often each was seen (Good and Toulmin 1956, interpolation); beyond it rates are taken to
be gamma distributed, which makes counts negative binomial (Fisher, Corbet and Williams 1943; Efron and Thisted 1976),
with the shape that fits the number of users seen by half time. That is a model: nobody saw those users.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHAPES = (1e-3, 1e3)
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a recording of `hours`, each with how many requests; `population` and `shape` are those fitted."""

    counts: NDArray[np.int64]
    hours: float
    population: float
    shape: float

    @classmethod
    def of(cls, unit: NDArray[np.uint64], hours: float) -> "Users":
        """The users of requests whose units are given."""
        counts = np.unique(unit, return_counts=True)[1].astype(np.int64)
        return cls(counts, hours, *_fitted(counts))

    def seen(self, hours: float) -> float:
        """Expected number of distinct users after this time."""
        part = hours / self.hours
        if part <= 1.0:
            # 1 - (1 - part)^count is the chance that a user with so many requests sends one of them so early.
            return float((1.0 - (1.0 - part) ** self.counts).sum())
        if not np.isfinite(self.population):
            return float(self.counts.size * part)
        seen = _seen(self.population, self.shape, int(self.counts.sum()), part)
        return float(self.counts.size + seen - _seen(self.population, self.shape, int(self.counts.sum()), 1.0))


def _seen(population: float, shape: float, requests: int, part: float) -> float:
    rate = requests / population
    return float(-population * np.expm1(-shape * np.log1p(rate * part / shape)))


def _fitted(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Population and shape; the population is infinite where no user came twice."""
    requests, users = int(counts.sum()), counts.size
    if requests <= users:
        return np.inf, 1.0
    half = float((1.0 - 0.5**counts).sum())
    low, high = np.log(_SHAPES)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        # Of users who are alike nearly all were there by half time; of very different ones the rare go on to come.
        population = _population(users, requests, np.exp(middle))
        if _seen(population, np.exp(middle), requests, 0.5) < half:
            low = middle
        else:
            high = middle
    shape = float(np.exp((low + high) / 2))
    return _population(users, requests, shape), shape


def _population(users: int, requests: int, shape: float) -> float:
    """How many users there are, if so many of them were seen with so many requests."""
    low, high = np.log(users), np.log(users) + 20.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _seen(np.exp(middle), shape, requests, 1.0) < users:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
