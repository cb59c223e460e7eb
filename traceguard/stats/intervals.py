"""How an estimate becomes an interval and p-values: for one look at the data (here), or for any number (`sequential`).

Both answer in standard errors, from the degrees of freedom of that error and the information behind it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


class Inference(Protocol):
    """A way to be sure. `information` is by how much an outcome's variance exceeds the squared error (`Fit`)."""

    def margin(self, information: Floats, dof: float) -> Floats:
        """Half the width of a two-sided interval, in standard errors; shape of `information`."""

    def p_values(self, t: Floats, information: Floats, dof: float) -> tuple[Floats, Floats]:
        """One-sided p-values of estimates that lie `t` standard errors above zero: above it, and below it."""

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

    def of_few_events(self, p_values: Floats) -> Floats:
        """They count."""
        return p_values
