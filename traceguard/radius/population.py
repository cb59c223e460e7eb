"""An entry point's requests under one supposition, as rows that count with whole numbers: nothing is drawn at random.

Under an exposure each request stands there twice, `SCALE - hit` times as it was and `hit` times as it would be. Sums of
whole numbers are exact: a request that would not change gives the same quantiles at every exposure, and no quantile
falls when requests slow down. Where a flag is extended each request stands there once, counting for more or less.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.cells import BINS, BUCKETS, histogram_bins

SCALE = 10_000_000  # exposure counts in units of 1e-7; int64 sums stay exact up to 9e9 requests

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows whose weights make up for how many of each group there are: shapes v, numbers from 0."""

    group: NDArray[np.int64]  # rows of one group count alike
    block: NDArray[np.int64]  # groups of one block stand in for each other


@dataclass(frozen=True, slots=True)
class Population:
    """v rows in `copies` runs of r requests each, which are the same requests in the same order in every run."""

    value: NDArray[np.int64]  # v: ns
    weight: NDArray[np.int64]  # v: in units of 1 / SCALE request
    failing: Floats  # v: probability of failure
    bucket: NDArray[np.uint8]  # v: of the user's id
    copies: int = 1
    grouped: Grouped | None = None

    @classmethod
    def mixture(
        cls, before: NDArray[np.int64], after: NDArray[np.int64], failed: NDArray[np.bool_], newly: Floats,
        bucket: NDArray[np.uint8], exposure: float,
    ) -> "Population":  # fmt: skip
        """Requests of which the share `exposure` is hit; all arrays of shape r, not empty.

        `newly` is the probability that a hit fails a request that did not fail anyway.
        """
        hit, was = round(exposure * SCALE), failed.astype(np.float64)
        would = np.where(failed, 1.0, newly)
        if hit in {0, SCALE}:
            value, failing = (after, would) if hit else (before, was)
            return cls(value, np.full(value.size, SCALE, dtype=np.int64), failing, bucket)
        weight = np.repeat(np.array([SCALE - hit, hit], dtype=np.int64), before.size)
        value, failing = np.concatenate((before, after)), np.concatenate((was, would))
        return cls(value, weight, failing, np.concatenate((bucket, bucket)), 2)

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return self.value.size // self.copies

    @property
    def total(self) -> int:
        """The sum of all weights."""
        return int(self.weight.sum())

    def mean(self, of: Floats | NDArray[np.int64]) -> float:
        """The weighted mean of something of shape v. Weights are divided first, as products would overflow."""
        return float((of * (self.weight / SCALE)).sum() / (self.total / SCALE))

    def order(self) -> "Ordered":
        """Its values in ascending order."""
        order = np.argsort(self.value, kind="stable")
        return Ordered(self.value[order], np.cumsum(self.weight[order]))

    def slow(self, limit_ns: int) -> float:
        """The share of requests that take `limit_ns` or longer."""
        return float(self.weight[self.value >= limit_ns].sum()) / self.total

    def residuals(self, of: Floats) -> Floats:
        """How much each request moves the mean of `of` (v); shape r, the sum is 0 (the influence function).

        Where weights make up for the sizes of groups, what moves the mean is a request's distance from its group and
        its block's distance from the whole.
        """
        weight = self.weight / (self.total / SCALE) / SCALE
        if self.grouped is None:
            moved = weight * (of - (weight * of).sum())
        else:
            mean = (weight * of).sum()
            group, block = self.grouped.group, self.grouped.block
            within = of - _mean_by(group, weight, of)[group]
            between = _mean_by(block, weight, of)[block] - mean
            moved = weight * within + between / self.value.size
        together: Floats = moved.reshape(self.copies, -1).sum(axis=0)
        return together

    def by_bucket(self, residuals: Floats) -> Floats:
        """Residuals (r) summed by bucket of users; shape of the number of buckets."""
        return np.asarray(np.bincount(self.bucket[: self.requests], residuals, minlength=BUCKETS), dtype=np.float64)

    def histogram(self) -> Floats:
        """The share of requests in each logarithmic bin of `cells.histogram_bins`."""
        shares = self.weight / self.total
        return np.asarray(np.bincount(histogram_bins(self.value), shares, minlength=BINS), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Ordered:
    """Values in ascending order and the sum of the weights up to each; shapes v."""

    value: NDArray[np.int64]
    reached: NDArray[np.int64]

    def quantile(self, share: Fraction | float) -> int:
        """The smallest value that at least the share does not exceed, as numpy's `inverted_cdf`.

        That is type 1 of Hyndman and Fan (1996). Shares outside 0 to 1 give the least and the largest value.
        """
        total = int(self.reached[-1])
        wanted = -(-share.numerator * total // share.denominator) if isinstance(share, Fraction) else share * total
        at = int(np.searchsorted(self.reached, max(wanted, 1)))
        return int(self.value[min(at, self.value.size - 1)])


def _mean_by(number: NDArray[np.int64], weight: Floats, of: Floats) -> Floats:
    total = np.bincount(number, weight)
    return np.asarray(np.bincount(number, weight * of) / np.where(total > 0, total, 1.0), dtype=np.float64)
