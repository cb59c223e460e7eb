"""Intervals and p-values that hold at every look at growing data: asymptotic confidence sequences.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
sequences". With z = estimate / error and v = rho² · information, the mixture over normal effects gives the interval

    z ± sqrt(2 (v + 1) / v · log(sqrt(v + 1) / alpha)),

which holds at all looks together with probability 1 - alpha; the mixture over positive effects (half-normal, Robbins
1970) gives a one-sided p-value that may be read at any time, and whose chance of ever being below alpha is alpha.
Dividing alpha by the number of tests, or adjusting such p-values by Holm, bounds the chance of a false verdict at any
look.

**What time is.** The clock of the boundary is the information that the clustered error itself states, outcome variance
over squared error: as many independent requests would have that error. Counting clusters would not do: buckets of users
fill up within minutes, and a boundary whose clock stands still is crossed in the end (law of the iterated logarithm).

**What is asymptotic.** The error is estimated and the estimate normal only in the limit. What few clusters add is taken
care of as at a single look: t is brought to the normal scale by its tail under Student's t. Looks before the first that
counts (`FIRST_LOOK_CLUSTERS`, and 20 expected events of a rate) say nothing; the guarantee runs from there.

**What is approximate.** The mixture needs estimates whose later gains are independent of what was seen before:
Cov(b_s, b_t) = Var(b_t) for s < t. For requests of users with persistent effects that holds if the users of any early
look have, among all users of a later one, neither more nor fewer requests than others. Where early users go on, their
estimates agree more than that, which makes a crossing rarer (Slepian 1962); where users come and go it holds; only
where later users are ever heavier are looks less alike than assumed. Slices, caps and the edges of quantiles are
chosen anew at each look: that moves an estimate by less than its error, and not on purpose. Tests that appear later
(a new flag) raise the number that alpha is divided by, but only from then on: if it grows from m to M the chance of a
false verdict is at most alpha · (1 + log(M / m)). What acts only together is searched for at every look among units
that its test does not use; where another set is found each time, each is such a later test.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from traceguard.stats.intervals import LEAST_P, normal_scores

Floats = NDArray[np.float64]

FIRST_LOOK_CLUSTERS = 20.0
TIGHTEST_AT = 400.0  # requests worth of information: where an effect of a fifth of a standard deviation shows
TIGHTEST_LEVEL = (
    0.05 / 20
)  # for as many tests as a small report has; a wrong guess costs little, a changing one validity
_LEAST = 1e-9  # information below which nothing is known
_WIDEST = 1e6  # standard errors


def _tightest(level: float) -> float:
    """The v at which the boundary at `level` is tightest, nearly (equation 9 of the paper)."""
    squared = -2.0 * np.log(level)
    return float(squared + np.log(squared + 1.0))


RHO_SQUARED = _tightest(TIGHTEST_LEVEL) / TIGHTEST_AT


@dataclass(frozen=True, slots=True)
class AnytimeValid:
    """An `Inference` that holds at level alpha at all looks together."""

    alpha: float

    def margin(self, information: Floats, dof: float) -> Floats:
        """The normal mixture's boundary, brought to the scale of t."""
        v = RHO_SQUARED * np.maximum(information, _LEAST)
        z = np.sqrt(2.0 * (v + 1.0) / v * np.log(np.sqrt(v + 1.0) / self.alpha))
        margin: Floats = np.minimum(stats.t.isf(np.maximum(special.ndtr(-z), LEAST_P), dof), _WIDEST)
        return margin

    def p_values(self, t: Floats, information: Floats, dof: float) -> tuple[Floats, Floats]:
        """The inverse of the half-normal mixture's likelihood ratio, at most 1."""
        z = normal_scores(t, dof)
        return self.p_of_scores(z, information), self.p_of_scores(-z, information)

    def p_of_scores(self, z: Floats, information: Floats) -> Floats:
        """The same from normal scores."""
        return anytime_p(z, information)

    def of_few_events(self, p_values: Floats) -> Floats:
        """They hold at one look only."""
        return np.ones_like(p_values)


def anytime_p(z: Floats, information: Floats) -> Floats:
    """One-sided p-values of z scores at this information that hold at any look; same shape."""
    v = RHO_SQUARED * np.maximum(information, 0.0)
    x = np.maximum(z, 0.0) * np.sqrt(v / (v + 1.0))  # at 0 and below p is 1
    # 1 / p = 2 Φ(x) exp(x² / 2) / sqrt(v + 1)
    log_p = 0.5 * np.log1p(v) - np.log(2.0) - special.log_ndtr(x) - 0.5 * x**2
    p: Floats = np.exp(np.minimum(log_p, 0.0))
    return p
