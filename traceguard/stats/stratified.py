"""Two sides compared within strata: whether one of them has more events than chance gives (Mantel and Haenszel 1959).

Each stratum is a two-by-two table: trials and events of the reference side and of the affected side. Given the events
of both, those of the affected side are hypergeometric if nothing changed; over strata they add up.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

MOST_EXACT = 4_000  # values that the sum may take; beyond, its distribution is as good as normal

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def informative(n0: Counts, e0: Counts, n1: Counts, e1: Counts) -> NDArray[np.bool_]:
    """The strata that can tell: trials on both sides, and neither events always nor never."""
    events = e0 + e1
    return (n0 > 0) & (n1 > 0) & (events > 0) & (events < n0 + n1)


def more_events(n0: Counts, e0: Counts, n1: Counts, e1: Counts) -> tuple[float, float]:
    """One-sided p-values of more and of fewer events among the `n1` trials than chance gives; shapes (strata).

    Exact where the sum takes few values, else by its normal limit with a correction for continuity.
    """
    use = informative(n0, e0, n1, e1)
    if not use.any():
        return 1.0, 1.0
    n0, e0, n1, e1 = n0[use], e0[use], n1[use], e1[use]
    trials, events, seen = n0 + n1, e0 + e1, int(e1.sum())
    least, most = np.maximum(events - n0, 0), np.minimum(events, n1)
    if int((most - least).sum()) <= MOST_EXACT:
        share = np.ones(1)
        for total, hit, drawn, low, high in zip(trials, events, n1, least, most, strict=True):
            share = np.convolve(share, stats.hypergeom.pmf(np.arange(low, high + 1), total, hit, drawn))
        at = seen - int(least.sum())
        return min(float(share[at:].sum()), 1.0), min(float(share[: at + 1].sum()), 1.0)
    part = n1 / trials
    mean = float((events * part).sum())
    variance = float((events * part * (1 - part) * (trials - events) / np.maximum(trials - 1, 1)).sum())
    z = np.array([seen - mean - 0.5, mean - seen - 0.5]) / np.sqrt(variance)
    more, fewer = stats.norm.sf(z).tolist()
    return more, fewer


def risk_difference(n0: Floats, e0: Floats, n1: Floats, e1: Floats) -> Floats:
    """Events a trial of the affected side less those of the reference side, pooled over strata (the last axis).

    Weights of Cochran (1954), n0·n1/(n0+n1): strata that one side lacks count for nothing. 0 where no stratum counts.
    """
    weight = n0 * n1 / np.maximum(n0 + n1, 1.0)
    difference = e1 / np.maximum(n1, 1.0) - e0 / np.maximum(n0, 1.0)
    whole = weight.sum(-1)
    pooled: Floats = (weight * difference).sum(-1) / np.where(whole > 0.0, whole, 1.0)
    return pooled


def risk_difference_error(n0: Floats, e0: Floats, n1: Floats, e1: Floats) -> float:
    """The standard error of `risk_difference` if trials were independent.

    Shares are those with half an event and half a failure added, so that what never or always happened is not taken for
    certain.
    """
    weight = n0 * n1 / np.maximum(n0 + n1, 1.0)
    variance = np.zeros_like(weight)
    for n, e in ((n0, e0), (n1, e1)):
        share = (e + 0.5) / (n + 1.0)
        variance += share * (1.0 - share) / np.maximum(n, 1.0)
    return float(np.sqrt((weight**2 * variance).sum()) / max(weight.sum(), 1e-300))
