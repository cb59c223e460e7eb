"""Two sides of requests compared within strata: what is asked beside the joint effects, one difference at a time.

Means are pooled over strata with the weights of Cochran (1954), so that a stratum that one side lacks counts for
nothing. The error is the leave-one-cluster-out jackknife, never below the one under independence.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard.explain.design import ALONE, CONSTANT
from traceguard.stats.regression import fit, jackknife_error, within_gram
from traceguard.stats.stratified import risk_difference
from traceguard.traces.cells import BUCKETS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contrast:
    """The affected side's mean less the reference side's; `clusters` is the effective number on the smaller side."""

    estimate: float
    without: Floats  # the same without each cluster
    used: NDArray[np.bool_]  # the clusters that have requests
    alone: float  # standard error if requests were independent
    clusters: float

    @property
    def error(self) -> float:
        """The standard error."""
        return max(float(jackknife_error(np.array(self.estimate), self.without[self.used])), self.alone)

    def interval(self, alpha: float) -> tuple[float, float]:
        """The interval that misses the difference in a share `alpha` of cases."""
        half = float(stats.t.ppf(1.0 - alpha / 2.0, _freedom(self.clusters))) * self.error
        return self.estimate - half, self.estimate + half

    def p_value(self) -> float:
        """Two-sided."""
        return 2.0 * p_more(abs(self.estimate), self.error, self.clusters)

    def less(self, other: "Contrast") -> "Contrast":
        """The difference between this and another contrast over the same clusters, whatever requests they share."""
        return Contrast(
            self.estimate - other.estimate, self.without - other.without, self.used | other.used,
            float(np.hypot(self.alone, other.alone)), min(self.clusters, other.clusters),
        )  # fmt: skip


def p_more(estimate: float, error: float, clusters: float) -> float:
    """The one-sided p-value of a difference above zero."""
    return float(stats.t.sf(estimate / error, _freedom(clusters))) if error > 0.0 else 1.0


def contrast(
    value: Floats, affected: NDArray[np.bool_], stratum: NDArray[np.int64], cluster: NDArray[np.int64], weight: Floats,
    clusters: int = BUCKETS,
) -> Contrast | None:  # fmt: skip
    """Compare the requests that `affected` marks with the others; None where no stratum has both.

    All of shape r: `stratum` numbers from 0 on, `cluster` below `clusters`, `weight` how many requests each stands for.
    """
    count = int(stratum.max(initial=-1)) + 1
    cell = stratum * clusters + cluster

    def sums(side: NDArray[np.bool_], of: Floats) -> Floats:
        found = np.bincount(cell[side], weights=(weight * of)[side], minlength=count * clusters)
        by_cell: Floats = found.astype(np.float64).reshape(count, clusters).T
        return by_cell

    one = np.ones_like(value)
    n0, n1 = sums(~affected, one), sums(affected, one)
    y0, y1 = sums(~affected, value), sums(affected, value)
    all0, all1 = n0.sum(0), n1.sum(0)
    both = (all0 > 0.0) & (all1 > 0.0)
    if not both.any():
        return None
    used = (n0 + n1)[:, both].sum(1) > 0.0
    estimate = float(risk_difference(all0, y0.sum(0), all1, y1.sum(0)))
    # A sum less one of its parts leaves rounding where nothing is left; the weights of Cochran must see nothing there.
    left0, left1 = (_left(side.sum(0), side) for side in (n0, n1))
    without = risk_difference(left0, y0.sum(0) - y0, left1, y1.sum(0) - y1)
    inside = both[stratum]
    mean0, mean1 = y0.sum(0) / np.maximum(all0, 1e-300), y1.sum(0) / np.maximum(all1, 1e-300)
    rest = (value - np.where(affected, mean1[stratum], mean0[stratum]))[inside]
    w = weight[inside]
    freedom = max(1.0 - 2.0 * np.count_nonzero(both) / w.size, 1.0 / w.size)
    noise = float((w * rest**2).sum() / w.sum()) / freedom
    pooled = float((all0 * all1 / np.maximum(all0 + all1, 1e-300)).sum())
    alone = float(np.sqrt(noise / pooled * (w**2).sum() / w.sum()))
    sides = (n0[:, both].sum(1), n1[:, both].sum(1))
    return Contrast(estimate, without, used, alone, min(float(s.sum() ** 2 / (s**2).sum()) for s in sides))


def adjusted_contrast(
    value: Floats, affected: NDArray[np.bool_], others: NDArray[np.bool_], stratum: NDArray[np.int64],
    cluster: NDArray[np.int64], weight: Floats, clusters: int = BUCKETS,
) -> Contrast | None:  # fmt: skip
    """The same with what `others` (r, k) mark held constant: least squares within strata.

    None where the sides cannot be told apart from the others, or where no stratum has both.
    """
    count, width = int(stratum.max(initial=-1)) + 1, others.shape[1] + 1
    x = np.column_stack((affected, others)).astype(np.float64)
    cell = stratum * clusters + cluster

    def by_cell(of: Floats) -> Floats:
        found = np.bincount(cell, weights=weight * of, minlength=count * clusters)
        return found.astype(np.float64).reshape(count, clusters)

    def by_cluster(of: Floats) -> Floats:
        return np.bincount(cluster, weights=weight * of, minlength=clusters).astype(np.float64)

    n, sy = by_cell(np.ones_like(value)), by_cell(value)[:, :, None]
    sx = np.stack([by_cell(x[:, j]) for j in range(width)], axis=2)
    xx, xy = np.empty((clusters, width, width)), np.empty((clusters, width, 1))
    for j in range(width):
        xy[:, j, 0] = by_cluster(x[:, j] * value)
        for k in range(j + 1):
            xx[:, j, k] = xx[:, k, j] = by_cluster(x[:, j] * x[:, k])
    kept = _apart(within_gram(n.sum(1), sx.sum(1), xx.sum(0)))
    if 0 not in kept:
        return None
    squares = np.array([(weight * value**2).sum()])
    found = fit(
        n, sx[:, :, kept], sy, xx[np.ix_(range(clusters), kept, kept)], xy[:, kept], squares,
        float((weight**2).sum() / weight.sum()),
    )  # fmt: skip
    without, used = np.full(clusters, found.beta[0, 0]), np.zeros(clusters, dtype=np.bool_)
    without[found.used], used[found.used] = found.without[:, 0, 0], True
    return Contrast(
        float(found.beta[0, 0]), without, used, float(found.independent_error(0)[0]), float(found.clusters[0])
    )


def _apart(gram: Floats) -> list[int]:
    """The columns that those before them leave a part of, by Cholesky factorisation."""
    scale = np.diag(gram)
    alone, factor, kept = scale.copy(), np.zeros_like(gram), list[int]()
    for j in range(scale.size):
        if alone[j] > max(ALONE * scale[j], CONSTANT):
            done = factor[: len(kept)]
            factor[len(kept)] = (gram[j] - done[:, j] @ done) / np.sqrt(alone[j])
            alone -= factor[len(kept)] ** 2
            kept.append(j)
    return kept


def _left(whole: Floats, part: Floats) -> Floats:
    left = whole - part
    return np.where(left > 1e-9 * whole, left, 0.0)


def _freedom(clusters: float) -> float:
    return max(clusters - 1.0, 1.0)
