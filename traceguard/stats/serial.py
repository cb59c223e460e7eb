"""Blocks of time are no independent draws: how much more a difference of two stretches of them varies than it seems.

Two answers, of which the larger counts. The variance of long sums from the autocorrelation of the blocks' residuals, an
AR(1) with its small-sample bias removed (Kendall 1954; see Lahiri 2003, chapter 3, on batches): batches of 1, 2, 4, ...
blocks are tried, so that noise within blocks does not hide what lasts longer than one. And placebo splits: how far
apart the two sides of every contiguous split of the reference's longest stretch lie, scaled to the lengths compared,
which supposes no form of likeness. (Splits alone are too few: at an AR(1) of 0.5 they leave 10% false alarms.)

With 12 blocks a side and an AR(1) of 0.5 a test at 5% gives 16% false alarms without this and 5% with it; with 0.7, 24%
and 5%. Where blocks are independent it makes the error larger by a sixth. A load that wanders slowly below much noise
(AR(1) of 0.9, half of the variance) is not fully seen from 12 blocks: 10%.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_BLOCKS = 6  # a side; with fewer nothing is said
LEAST_BATCHES = 12  # a side, of more than one block
LEAST_RUN = 4  # blocks in a stretch that tells of autocorrelation
LEAST_SPLIT = 3  # blocks on either side of a placebo split
MOST = 0.95  # autocorrelation that is believed


@dataclass(frozen=True, slots=True)
class Serial:
    """Residuals of k outcomes in g blocks in the order of time, for one column of a fit.

    Shapes: `sums` (g, k) of residuals, `weight` (g, requests), `late` (g: the column applies there), `section` (g): no
    two blocks of different sections are neighbours.
    """

    sums: Floats
    weight: Floats
    late: NDArray[np.bool_]
    section: NDArray[np.int64]

    def factor(self, error: Floats, together: slice | None = None) -> tuple[Floats, Floats]:
        """By how much the standard errors `error` are too small, at least 1, and how much of that is autocorrelation.

        Of each outcome, or of the sum of the outcomes `together`, shape 1.
        """
        sums = self.sums if together is None else self.sums[:, together].sum(1, keepdims=True)
        one = np.ones(sums.shape[1])
        if min(np.count_nonzero(self.late), np.count_nonzero(~self.late)) < LEAST_BLOCKS:
            return one, one
        means = sums / self.weight[:, None]
        runs = list(self._runs())
        enough = [means[run] for run in runs if len(run) >= LEAST_RUN]
        inflation = np.sqrt(_inflation(enough)) if enough else one
        longest = max((run for run in runs if not self.late[run[0]]), key=len)
        placebo = self._placebo(sums[longest], self.weight[longest])
        ratio = np.divide(placebo, error, out=np.zeros_like(placebo), where=error > 0.0)
        return np.maximum(inflation, ratio), inflation

    def _runs(self) -> Iterator[NDArray[np.intp]]:
        """Stretches of neighbouring blocks on one side."""
        breaks = np.flatnonzero((np.diff(self.late) != 0) | (np.diff(self.section) != 0)) + 1
        yield from np.split(np.arange(self.late.size), breaks)

    def _placebo(self, sums: Floats, weight: Floats) -> Floats:
        """The spread of the differences between both sides of each split, as if they were as long as those compared."""
        if weight.size < LEAST_BLOCKS:
            return np.zeros(sums.shape[1])
        before, n = np.cumsum(sums, axis=0)[:-1], np.cumsum(weight)[:-1]
        inside = slice(LEAST_SPLIT - 1, weight.size - LEAST_SPLIT)
        before, n = before[inside], n[inside]
        left = weight.sum() - n
        apart = (sums.sum(0) - before) / left[:, None] - before / n[:, None]
        compared = 1.0 / self.weight[self.late].sum() + 1.0 / self.weight[~self.late].sum()
        spread: Floats = np.sqrt((apart**2 * (compared / (1.0 / n + 1.0 / left))[:, None]).mean(0))
        return spread


def _inflation(runs: list[Floats]) -> Floats:
    """How much larger the variance of long sums is than that of as many independent blocks, of each outcome."""
    alone, found = _variance(runs), _long_variance(runs)
    length = 2
    while min(len(run) // length for run in runs) >= LEAST_BATCHES:
        batches = [run[: len(run) // length * length].reshape(-1, length, run.shape[1]).mean(1) for run in runs]
        found = np.maximum(found, length * _long_variance(batches))
        length *= 2
    return np.maximum(np.divide(found, alone, out=np.ones_like(found), where=alone > 0.0), 1.0)


def _variance(runs: list[Floats]) -> Floats:
    """The variance within runs, each about its own mean."""
    pooled: Floats = np.sum([len(run) * run.var(0, ddof=1) for run in runs], axis=0) / sum(map(len, runs))
    return pooled


def _long_variance(runs: list[Floats]) -> Floats:
    """The variance that long sums have per element if each run is an AR(1)."""
    correlation: Floats = np.sum([len(run) * _autocorrelation(run) for run in runs], axis=0) / sum(map(len, runs))
    return _variance(runs) * (1.0 + correlation) / (1.0 - correlation)


def _autocorrelation(run: Floats) -> Floats:
    """That of neighbours, with the bias of about (1 + 4r)/n taken out; none below 0."""
    n, rest = len(run), run - run.mean(0)
    squares = (rest**2).sum(0)
    raw = np.divide((rest[1:] * rest[:-1]).sum(0), squares, out=np.zeros_like(squares), where=squares > 0.0)
    corrected = (raw + 1.0 / n) / (1.0 - 4.0 / n) if n > LEAST_BLOCKS else raw + (1.0 + 3.0 * raw) / n
    return np.where(squares > 0.0, np.clip(corrected, 0.0, MOST), 0.0)
