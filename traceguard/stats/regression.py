"""Least squares from additive sums: slice fixed effects, standard errors clustered by bucket, leave one bucket out.

Model: y = slice effect + x·b + error, x being p indicators. Everything is computed from sums by (slice, bucket), so no
row is ever seen. The variance is the leave-one-bucket-out jackknife (CR3 of MacKinnon, Nielsen and Webb 2023), with the
slice effects estimated anew without each bucket. Degrees of freedom follow Carter, Schnepel and Steigerwald (2017): the
effective number of clusters from each coefficient's leverages. A clustered standard error is never taken below the one
under independence, which the sandwich falls short of when events are rare (its variance is then near zero by chance).
"""

import contextlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Least pivot of a correlation matrix that still counts as regular: 1 - R² of a column on the others is its square.
SINGULAR = 1e-3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """Estimates for p columns and k outcomes.

    `beta` (p, k); `without` (G, p, k): the same without each non-empty bucket; `used` (G): those buckets; `gram` (p,
    p): within-slice cross products; `noise` (k): residual variance under independence; `inverse_diagonal` (p);
    `clusters` (p): effective number.
    """

    beta: Floats
    without: Floats
    used: NDArray[np.int64]
    gram: Floats
    inverse_diagonal: Floats
    noise: Floats
    clusters: Floats
    error: Floats

    @property
    def dof(self) -> Floats:
        """Degrees of freedom of each column's t test; shape p."""
        return np.maximum(np.minimum(self.clusters, self.used.size) - 1.0, 1.0)

    def independent_error(self, at: int) -> Floats:
        """Standard errors of column number `at` if requests were independent; shape k."""
        error: Floats = np.sqrt(self.inverse_diagonal[at] * self.noise)
        return error

    def information(self, at: int) -> Floats:
        """How many independent observations would tell the coefficients of column number `at` as well; shape k.

        The residual variance over the squared error, 0 where there is no error to speak of.
        """
        error = self.error[at]
        told: Floats = np.where(error > 0.0, self.noise / np.where(error > 0.0, error, 1.0) ** 2, 0.0)
        return told


def jackknife_error(whole: Floats, without: Floats) -> Floats:
    """Delete-one-group jackknife standard error of a statistic; `without` has the groups as its first axis."""
    groups = without.shape[0]
    error: Floats = np.sqrt((groups - 1) / groups * ((without - whole) ** 2).sum(axis=0))
    return error


def within_gram(n: Floats, sx: Floats, xx: Floats) -> Floats:
    """Cross products of the columns about their slice means, from sums by slice: n (S), sx (S, p), xx (p, p)."""
    weight = 1.0 / np.maximum(n, 1.0)
    between: Floats = np.einsum("s,sp,sq->pq", weight, sx, sx)
    return xx - between


def within_moment(n: Floats, sx: Floats, sy: Floats, xy: Floats) -> Floats:
    """Cross products of columns and outcomes about their slice means: n (S), sx (S, p), sy (S, k), xy (p, k)."""
    between: Floats = np.einsum("s,sp,sk->pk", 1.0 / np.maximum(n, 1.0), sx, sy)
    return xy - between


def fit(n: Floats, sx: Floats, sy: Floats, xx: Floats, xy: Floats, yy: Floats, inflation: Floats | float = 1.0) -> Fit:
    """Fit p linearly independent columns.

    Sums by (slice, bucket): n (S, B), sx (S, B, p), sy (S, B, k); by bucket: xx (B, p, p), xy (B, p, k); in all: yy
    (k). Where rows count with weights, `inflation` (k) is by how much these raise the variance under independence (the
    design effect of Kish 1965); the clustered one sees it by itself.
    """
    n_s, sx_s, sy_s = n.sum(1), sx.sum(1), sy.sum(1)
    xx_all, xy_all = xx.sum(0), xy.sum(0)
    weight = 1.0 / np.maximum(n_s, 1.0)
    gram = within_gram(n_s, sx_s, xx_all)
    moment = within_moment(n_s, sx_s, sy_s, xy_all)
    inverse = np.linalg.inv(gram)
    beta = inverse @ moment
    rows, columns = n_s.sum(), xx_all.shape[0]
    explained = np.einsum("s,sk->k", weight, sy_s**2) + (beta * moment).sum(0)
    freedom = max(rows - columns - np.count_nonzero(n_s), 1.0)
    noise = inflation * np.maximum(yy - explained, 0.0) / freedom
    used = np.flatnonzero(n.sum(0))
    without = np.empty((used.size, *beta.shape))
    leverage = np.empty((used.size, columns))
    mean_x = sx_s * weight[:, None]
    for at, b in enumerate(used):
        left = 1.0 / np.maximum(n_s - n[:, b], 1.0)
        rest_x, rest_y = sx_s - sx[:, b], sy_s - sy[:, b]
        rest_gram = xx_all - xx[b] - (rest_x * left[:, None]).T @ rest_x
        rest_moment = xy_all - xy[b] - (rest_x * left[:, None]).T @ rest_y
        # A bucket may hold all requests of a level: the rest then says nothing about it, and the least-norm answer is
        # 0.
        without[at] = _solve(rest_gram, rest_moment)
        own = xx[b] - mean_x.T @ sx[:, b] - sx[:, b].T @ mean_x + (mean_x * n[:, b][:, None]).T @ mean_x
        leverage[at] = np.einsum("pj,pq,qj->j", inverse, own, inverse) / np.diag(inverse)
    leverage = np.maximum(leverage, 0.0)
    clusters = leverage.sum(0) ** 2 / np.maximum((leverage**2).sum(0), 1e-300)
    diagonal = np.diag(inverse).copy()
    error = np.maximum(jackknife_error(beta, without), np.sqrt(diagonal[:, None] * noise[None, :]))
    return Fit(beta, without, used, gram, diagonal, noise, clusters, error)


def _solve(gram: Floats, moment: Floats) -> Floats:
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-12))
    balanced = gram / np.outer(scale, scale)
    with contextlib.suppress(np.linalg.LinAlgError):
        if np.diag(np.linalg.cholesky(balanced)).min() > SINGULAR:
            solved: Floats = np.linalg.solve(balanced, moment / scale[:, None]) / scale[:, None]
            return solved
    return (np.linalg.pinv(balanced, rcond=1e-6) @ (moment / scale[:, None])) / scale[:, None]
