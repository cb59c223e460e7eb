"""Quantiles of a population of which a part behaves differently, without drawing that part at random.

Each request counts with the whole numbers `SCALE - hit` as it was and `hit` as it would be, so sums are exact: a
request that would not change gives the same quantiles at every exposure, and no quantile falls when requests slow down.
"""

import numpy as np
from numpy.typing import NDArray

SCALE = 10_000_000  # exposure counts in units of 1e-7; int64 sums stay exact up to 9e9 requests
PERCENTS = (50, 95, 99)


def quantiles(before: NDArray[np.int64], after: NDArray[np.int64], exposure: float) -> tuple[int, ...]:
    """The 50th, 95th and 99th percentile of the mixture of `before` (1 - exposure) and `after` (exposure).

    Both of one shape, not empty. The smallest value that at least the wanted share does not exceed, as numpy's
    `inverted_cdf` (Hyndman and Fan's type 1).
    """
    hit = round(exposure * SCALE)
    values = np.concatenate((before, after))
    weights = np.repeat(np.array([SCALE - hit, hit], dtype=np.int64), (before.size, after.size))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    wanted = [-(-percent * before.size * SCALE // 100) for percent in PERCENTS]
    return tuple(int(values[order[at]]) for at in np.searchsorted(reached, wanted))
