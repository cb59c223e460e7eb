"""Whether what grew in one component only moved there from others, whose part shrank meanwhile.

Failures of requests begin in one component each, so a level under which checks moved from one service to another shows
more of them here and as many less there, and fails no more requests than before.
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.stats.intervals import Inference
from traceguard.stats.regression import Fit, jackknife_error

_SHRANK = 1.64  # standard errors below zero from which a component may be where it came from: one in twenty by chance


def more_than_moved(fit: Fit, at: int, parts: slice, p_worse: NDArray[np.float64], inference: Inference) -> float:
    """One-sided p-value that the part which most surely grew did so by more than others shrank.

    `parts` are the outcomes that tell of c components' parts, `p_worse` (c) their p-values. Held against it are the
    component that shrank most and all that did so by more than chance would have it; in healthy fleets, too, some one
    shrank most, so the test errs to the side of a shift.
    """
    if p_worse.size == 0:
        return 1.0
    estimate, error = fit.beta[at, parts], fit.error[at, parts]
    grown = int(np.argmin(p_worse))
    members = estimate < -_SHRANK * error
    members[np.argmin(estimate)] |= estimate.min() < 0.0
    members[grown] = True
    columns = parts.start + np.flatnonzero(members)
    net = float(estimate[members].sum())
    together = float(jackknife_error(fit.beta[at, columns].sum(), fit.without[:, at, columns].sum(1)))
    # Where events are rare the jackknife may be near zero by chance, its parts are not: see `fit`.
    spread = max(together, float(np.sqrt((error[members] ** 2).sum())))
    if spread <= 0.0:
        return 1.0
    information = np.array([fit.noise[columns].sum() / spread**2])
    worse, _ = inference.p_values(np.array([net / spread]), information, float(fit.dof[at]))
    return float(worse[0])
