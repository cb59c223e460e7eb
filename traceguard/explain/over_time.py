"""Errors of what is compared across time, calibrated for load that is alike from one block to the next.

See `stats.serial`. The degrees of freedom shrink with the effective number of blocks, as the entry point's capped mean
tells it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from traceguard.stats.regression import Fit
from traceguard.stats.serial import Serial

Floats = NDArray[np.float64]

_CAPPED_MEAN = 1  # that outcome's number


def residuals(fitted: Fit, at: int, n: Floats, sx: Floats, sy: Floats, section: NDArray[np.int64]) -> Serial:
    """What column number `at` of a fit without slices leaves of each block's sums: n (B), sx (B, p), sy (B, k)."""
    used = fitted.used
    n, sx, sy = n[used], sx[used], sy[used]
    mean = (sy.sum(0) - sx.sum(0) @ fitted.beta) / n.sum()
    rest = sy - n[:, None] * mean - sx @ fitted.beta
    return Serial(rest, n, sx[:, at] > n / 2, section[used])


def calibrated(fitted: Fit, serial: Mapping[int, Serial]) -> Fit:
    """The fit with the errors of its columns in `serial` calibrated."""
    error, clusters = fitted.error.copy(), fitted.clusters.copy()
    for at, series in serial.items():
        factor, inflation = series.factor(error[at])
        error[at] *= factor
        clusters[at] = 1.0 + fitted.dof[at] / inflation[_CAPPED_MEAN] ** 2
    return replace(fitted, error=error, clusters=clusters)
