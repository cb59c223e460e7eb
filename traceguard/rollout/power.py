"""How often a report calls a planted regression one, at an exposure after a time: its own tests on drawn estimates.

A few thousand estimates of all outcomes are drawn as the report would get them (normal, correlated as the requests'
outcomes are; the clustered error by its degrees of freedom, never below that of independent requests), and go through
the report's own inference: for one look at the end, or at any look. Detected is what its verdict would call a
regression: a root metric below its part of alpha over all tests, or one below another part among the entry points
where the target's own time or errors show (`explain.verdict`), and a change of at least the floor.

Draws are the same for every question, so equal input gives equal plans.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from traceguard.explain.design import MIN_REQUESTS
from traceguard.explain.effects import MIN_EXPECTED_EVENTS
from traceguard.explain.entries import MAX_SLICES, MIN_CLUSTERS, REQUESTS_PER_SLICE
from traceguard.explain.verdict import BY_PARTS, Floor
from traceguard.rollout.noise import FAILED, MEAN, ORIGIN, OUTCOMES, P50, P95, P99, SLOW, TIME, Entry, Noise
from traceguard.rollout.varying import Tests
from traceguard.stats.intervals import FixedHorizon, Inference, quick_chi_square, quick_scores
from traceguard.stats.sequential import FIRST_LOOK_CLUSTERS, AnytimeValid
from traceguard.traces.cells import BUCKETS

Floats = NDArray[np.float64]

DRAWS = 2048  # a power of two, as Sobol's points want
_SEED = 20
_RATES = np.array([P50, P95, P99, FAILED, SLOW, ORIGIN])
_ROOTS = (MEAN, P50, P95, P99, FAILED)
_NS_PER_MS = 1e6


def _draws() -> tuple[Floats, Floats, Floats]:
    """Standard normal numbers for outcomes (d, k), for their errors (d), for clusters (d), all quasi-random."""
    points = np.clip(stats.qmc.Sobol(OUTCOMES + 2, seed=_SEED).random(DRAWS), 1e-9, 1.0 - 1e-9)
    normal = stats.norm.ppf(points)
    return normal[:, :OUTCOMES], normal[:, OUTCOMES], normal[:, OUTCOMES + 1]


@dataclass(frozen=True, slots=True)
class Rules:
    """How the report will be asked: its alpha, whether it is looked at all the time, and how many tests it makes."""

    alpha: float
    live: bool
    tests: Tests
    floor: Floor = field(default_factory=Floor)

    @property
    def inference(self) -> Inference:
        """The report's way to be sure."""
        return AnytimeValid(self.alpha) if self.live else FixedHorizon(self.alpha)

    @property
    def least_clusters(self) -> float:
        """Effective clusters that a level needs."""
        return FIRST_LOOK_CLUSTERS if self.live else MIN_CLUSTERS


class Detection:
    """Power at entry points under the rules of a report."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._normal, self._errors, self._luck = _draws()

    def power(self, entry: Entry, exposure: float, hours: float, scale: float = 1.0, draws: int = DRAWS) -> float:
        """The chance that the report calls the entry point's change a regression after so many hours at an exposure.

        `draws`, a power of two up to all, says of how many draws it is a share.
        """
        n = entry.rate * hours
        if min(exposure, 1.0 - exposure) * n < MIN_REQUESTS or not entry.changes:
            return 0.0
        clusters, by_user = self.clusters(entry, exposure, hours)
        if clusters <= 1.5:
            return 0.0
        noise = entry.noise(exposure, scale)
        sides = np.array([1.0 - exposure, exposure])[:, None]
        left, jackknifed = self._adjustment(entry, hours)
        per_side = n * left * sides
        true = ((noise.alone + noise.shared * hours / entry.hours) / per_side).sum(0)
        pooled = (noise.alone * sides).sum(0)
        independent = pooled / (n * left * exposure * (1.0 - exposure))
        freedom = min(clusters, float(BUCKETS)) - 1.0
        wobble = quick_chi_square(self._errors[:draws], freedom)
        error = np.sqrt(np.maximum(jackknifed * true * wobble[:, None], independent))
        estimate = noise.effect + np.sqrt(true) * (self._normal[:draws] @ noise.together.T)
        known = error > 0.0
        t = estimate / np.where(known, error, np.inf)
        information = np.where(known, pooled / np.where(known, error, 1.0) ** 2, 0.0)
        # What the change does not touch is called a regression by chance only, which alpha bounds.
        p = np.ones_like(t)
        touched = np.flatnonzero(known.any(0) & (noise.effect > 0.0))
        scores = quick_scores(t[:, touched], freedom)
        p[:, touched] = self.rules.inference.p_of_scores(scores, information[:, touched])
        p = self._of_rare(p, estimate, noise, n, exposure, left, freedom)
        found = self._found(p, estimate, noise)
        # How many users come to the smaller side is chance, too.
        lucky = 1.0 / by_user / np.maximum(1.0 + self._luck[:draws] / np.sqrt(by_user) * _smaller(exposure), 0.05)
        drawn = 1.0 / (lucky + 1.0 / BUCKETS)
        return float((found & (drawn >= self.rules.least_clusters)).mean())

    def _adjustment(self, entry: Entry, hours: float) -> tuple[float, float]:
        """What is left of the exposure's variance, and by how much the jackknife overstates that of its estimate.

        Other levels and slices take their part by chance: those that go by user one of as many as there are effective
        users, the others one of the requests. Without a bucket its own requests are predicted worse than they were
        fitted (HC3 and CR3 alike).
        """
        n = entry.rate * hours
        by_user, by_request = entry.levels.by_user, entry.levels.by_request
        slices = max(1.0, min(n // REQUESTS_PER_SLICE, MAX_SLICES))
        users = n / (1.0 + entry.again * hours / entry.hours)
        buckets = 1.0 / (1.0 / users + 1.0 / BUCKETS)
        left = 1.0 - by_user / users - (by_request + slices) / n
        return max(left, 0.05), 1.0 / max(1.0 - (by_user + 1.0) / buckets - by_request / n, 0.05)

    def clusters(self, entry: Entry, exposure: float, hours: float) -> tuple[float, float]:
        """Effective number of clusters of the exposure's column, in buckets of users and of the users themselves."""
        squared = 1.0 + entry.again * hours / entry.hours  # Σn² / Σn
        e, n = exposure, entry.rate * hours
        once = e * (1.0 - e)
        by_user = n * once**2 / (squared * (e * (1.0 - e) ** 4 + (1.0 - e) * e**4))
        return 1.0 / (1.0 / by_user + 1.0 / BUCKETS), by_user

    def _of_rare(
        self, p: Floats, estimate: Floats, noise: Noise, n: float, exposure: float, left: float, freedom: float
    ) -> Floats:
        """The same with the tests of rates of which too few events are expected.

        At any look these count for nothing; at one the error that they had if nothing changed and an exact test do.
        """
        together = (noise.usual * np.array([[1.0 - exposure], [exposure]])).sum(0)
        # As many events as there are, which vary with the estimate.
        seen = together + exposure * (estimate - noise.effect)
        if self.rules.live:
            p[:, _RATES] = np.where(n * exposure * seen[:, _RATES] < MIN_EXPECTED_EVENTS, 1.0, p[:, _RATES])
            return p
        rare = _RATES[n * exposure * together[_RATES] < 2.0 * MIN_EXPECTED_EVENTS]
        if rare.size == 0:
            return p
        spread = np.sqrt(together[rare] * (1.0 - together[rare]) / (n * left * exposure * (1.0 - exposure)))
        # Where events are few they are counts, drawn by the same chance as the estimate.
        chance = stats.norm.cdf((estimate[:, rare] - noise.effect[rare]) / np.maximum(estimate[:, rare].std(0), 1e-12))
        chance = np.clip(chance, 1e-9, 1.0 - 1e-9)
        own = stats.poisson.ppf(chance, n * exposure * noise.usual[1, rare])
        others = np.rint(n * (1.0 - exposure) * noise.usual[0, rare])
        difference = own / (n * exposure) - others / (n * (1.0 - exposure))
        adjusted = special.stdtr(freedom, -difference / np.where(spread > 0, spread, np.inf))
        hit = np.floor(BUCKETS * -np.expm1(own * np.log1p(-1.0 / BUCKETS)) + 0.5)
        exact = stats.binom.sf(hit - 1, hit + others, exposure)
        few = n * exposure * seen[:, rare] < MIN_EXPECTED_EVENTS
        p[:, rare] = np.where(few, np.maximum(adjusted, exact), p[:, rare])
        return p

    def _found(self, p: Floats, estimate: Floats, noise: Noise) -> NDArray[np.bool_]:
        alpha, tests, floor = self.rules.alpha, self.rules.tests, self.rules.floor
        direct = (1.0 - 2.0 * BY_PARTS) * alpha / tests.roots
        part = BY_PARTS * alpha
        # Time by its mean or its tail, of which either is enough; the two kinds are apart.
        slower = 2.0 * np.minimum(p[:, TIME], p[:, SLOW]) <= part / (2.0 * tests.components)
        failing = p[:, ORIGIN] <= part / (2.0 * tests.origins)
        way = {MEAN: (slower, 2 * tests.pairs), P99: (slower, 2 * tests.pairs), FAILED: (failing, tests.pairs)}
        found = np.zeros(p.shape[0], dtype=np.bool_)
        for metric in _ROOTS:
            sure = p[:, metric] <= direct
            if metric in way:
                shown, count = way[metric]
                sure |= shown & (p[:, metric] <= part / count)
            found |= sure & self._matters(metric, estimate, noise, floor)
        return found

    def _matters(self, metric: int, estimate: Floats, noise: Noise, floor: Floor) -> NDArray[np.bool_]:
        if metric == FAILED:
            large: NDArray[np.bool_] = estimate[:, FAILED] >= floor.error_rate
            return large
        least = max(floor.latency_ms, floor.relative * noise.mean_ms)
        if metric == MEAN:
            # Reported is the uncapped mean, which differs from the capped one as the planted change does.
            raw = noise.raw_ms + (estimate[:, MEAN] - noise.effect[MEAN]) / _NS_PER_MS
            return np.asarray(raw >= least)
        moved = noise.moved[(P50, P95, P99).index(metric)]
        return np.full(estimate.shape[0], moved >= least)


def _smaller(exposure: float) -> float:
    """How much the number of clusters hangs on who comes to the smaller side: 0 at halves, nearly 1 at few."""
    e = exposure
    return 1.0 - (e * (1.0 - e)) ** 2 / (e * (1.0 - e) ** 4 + (1.0 - e) * e**4)
