"""How an estimate becomes an interval and p-values: for one look at the data (here), or for any number (`sequential`).

Both answer in standard errors, from the degrees of freedom of that error and the information behind it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]


class Inference(Protocol):
    """A way to be sure, at level `alpha`.

    `information` is by how much an outcome's variance exceeds the squared error (`Fit`).
    """

    @property
    def alpha(self) -> float:
        """The chance of being wrong."""

    def margin(self, information: Floats, dof: float) -> Floats:
        """Half the width of a two-sided interval, in standard errors; shape of `information`."""

    def p_values(self, t: Floats, information: Floats, dof: float) -> tuple[Floats, Floats]:
        """One-sided p-values of estimates that lie `t` standard errors above zero: above it, and below it."""

    def p_of_scores(self, z: Floats, information: Floats) -> Floats:
        """The first of them from standard normal scores: as far in its tail as `t` is in Student's."""

    def of_few_events(self, p_values: Floats) -> Floats:
        """What counts of p-values that an exact test at one look gives where events are too few for a limit."""


@dataclass(frozen=True, slots=True)
class FixedHorizon:
    """Student's t: holds at level alpha for a window that is looked at once, when it is finished."""

    alpha: float

    def margin(self, information: Floats, dof: float) -> Floats:
        """The same for all."""
        return np.full(information.shape, float(stats.t.ppf(1 - self.alpha / 2, dof)))

    def p_values(self, t: Floats, information: Floats, dof: float) -> tuple[Floats, Floats]:  # noqa: ARG002
        """Tails of the t distribution."""
        return stats.t.sf(t, dof), stats.t.cdf(t, dof)

    def p_of_scores(self, z: Floats, information: Floats) -> Floats:  # noqa: ARG002
        """The tail of the normal distribution."""
        return np.asarray(special.ndtr(-z))

    def of_few_events(self, p_values: Floats) -> Floats:
        """They count."""
        return p_values


LEAST_P = 1e-80  # below, tails are not exact any more
_NODES = 256
_MANY = 20.0  # degrees of freedom


def normal_scores(t: Floats, dof: float) -> Floats:
    """Standard normal scores z as far in the tail as `t` is in that of Student's t: P(Z > z) = P(T > t); same shape."""
    z = -special.ndtri(np.maximum(special.stdtr(dof, -np.abs(t)), LEAST_P))
    scores: Floats = np.copysign(z, t)
    return scores


def quick_scores(t: Floats, dof: float) -> Floats:
    """`normal_scores` for thousands of draws, to 0.011 up to a score of 6.

    From 20 degrees of freedom on by Wallace's formula (1959, "Bounds on normal approximations to Student's and the
    chi-square distributions"), below linear between nodes even in arsinh t, to 0.001.
    """
    if dof >= _MANY:
        z: Floats = (8.0 * dof + 1.0) / (8.0 * dof + 3.0) * np.sqrt(dof * np.log1p(t * t / dof))
        return np.copysign(z, t)
    width = np.arcsinh(np.abs(t))
    nodes = np.linspace(0.0, max(float(width.max(initial=0.0)), 1.0), _NODES)
    return np.copysign(np.interp(width, nodes, normal_scores(np.sinh(nodes), dof)), t)


def quick_chi_square(normal: Floats, dof: float) -> Floats:
    """Chi-square quantiles over their degrees of freedom, at the tails of standard `normal` scores; same shape.

    From 20 degrees of freedom on by Wilson and Hilferty (1931), right to 0.7% in the root up to a score of 3.
    """
    if dof >= _MANY:
        part = 2.0 / (9.0 * dof)
        return np.asarray((1.0 - part + normal * np.sqrt(part)) ** 3)
    return np.asarray(2.0 * special.gammaincinv(dof / 2.0, special.ndtr(normal)) / dof)
