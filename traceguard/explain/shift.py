"""Whether what grew in one component only moved there from others, whose part shrank meanwhile.

Failures of requests begin in one component each, so a level under which checks moved from one service to another shows
more of them here and as many less there, and fails no more requests than before.
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.stats.intervals import Inference
from traceguard.stats.regression import Fit, jackknife_error

_SHRANK = 1.64  # standard errors below zero from which a component may be where it came from: one in twenty by chance


def more_than_moved(fit: Fit, at: int, parts: slice, inference: Inference) -> NDArray[np.float64]:
    """One-sided p-values that each of c parts grew by more than others shrank; shape c.

    `parts` are the outcomes that tell of the components' parts. Held against each are the component that shrank most
    and all that did so by more than chance would have it; in healthy fleets, too, some one shrank most, so the test
    errs to the side of a shift. What shrank itself has not grown: 1.
    """
    estimate, error = fit.beta[at, parts], fit.error[at, parts]
    if estimate.size == 0:
        return np.empty(0)
    shrunk = estimate < -_SHRANK * error
    shrunk[np.argmin(estimate)] |= estimate.min() < 0.0
    without = fit.without[:, at, parts]
    net = estimate + estimate[shrunk].sum()
    together = jackknife_error(net, without + without[:, shrunk].sum(1, keepdims=True))
    # Where events are rare the jackknife may be near zero by chance, its parts are not: see `fit`.
    spread = np.maximum(together, np.sqrt(error**2 + (error[shrunk] ** 2).sum()))
    noise = fit.noise[parts] + fit.noise[parts][shrunk].sum()
    known = (spread > 0.0) & ~shrunk
    spread = np.where(known, spread, 1.0)
    worse, _ = inference.p_values(net / spread, noise / spread**2, float(fit.dof[at]))
    return np.where(known, worse, 1.0)
