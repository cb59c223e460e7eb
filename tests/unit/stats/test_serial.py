"""Differences between stretches of autocorrelated blocks: false alarms stay near alpha, and effects are still found."""

import numpy as np
import pytest
from scipy import stats

from traceguard.stats.serial import Serial

ALPHA, RUNS = 0.05, 2_000


def blocks(correlation: float, before: int, after: int, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    """An AR(1) of variance 1 under independent noise: blocks by runs."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal((before + after, RUNS))
    for t in range(1, before + after):
        values[t] = correlation * values[t - 1] + np.sqrt(1 - correlation**2) * values[t]
    return values + noise * draw.standard_normal(values.shape)


def alarms(values: np.ndarray, before: int) -> tuple[float, float]:
    """How often a one-sided test at alpha finds the second stretch larger: taking blocks for independent, and not."""
    first, second = values[:before], values[before:]
    after = len(second)
    parts = first.var(0, ddof=1) / before, second.var(0, ddof=1) / after
    error = np.sqrt(sum(parts))
    dof = error**4 / (parts[0] ** 2 / (before - 1) + parts[1] ** 2 / (after - 1))
    late = np.arange(len(values)) >= before
    rest = np.where(late[:, None], values - second.mean(0), values - first.mean(0))
    series = Serial(rest, np.ones(len(values)), late, np.zeros(len(values), dtype=np.int64))
    factor, inflation = series.factor(error)
    apart = second.mean(0) - first.mean(0)
    plain = apart / error > stats.t.ppf(1 - ALPHA, dof)
    return plain.mean(), (apart / (error * factor) > stats.t.ppf(1 - ALPHA, np.maximum(dof / inflation**2, 1))).mean()


@pytest.mark.parametrize("sides", [(12, 12), (60, 12), (60, 60)])
@pytest.mark.parametrize("correlation", [0.3, 0.5, 0.7])
def test_autocorrelated_blocks_raise_no_more_alarms_than_alpha(correlation: float, sides: tuple[int, int]) -> None:
    """Taken for independent they raise two to five times as many."""
    before, after = alarms(blocks(correlation, *sides), sides[0])
    assert before > 1.7 * ALPHA
    assert after < ALPHA + 0.02


def test_noise_within_blocks_hides_no_slow_load() -> None:
    """Neighbours are less alike than the load is; longer batches show it."""
    before, after = alarms(blocks(0.7, 60, 60, noise=1.0), 60)
    assert before > 0.14
    assert after < ALPHA + 0.02


def test_independent_blocks_cost_little() -> None:
    """Neither false alarms nor many missed changes: three standard errors are still found nine times in ten."""
    values = blocks(0.0, 24, 24)
    assert 0.01 < alarms(values, 24)[1] < ALPHA + 0.01
    values[24:] += 3.6 * np.sqrt(2 / 24)
    assert alarms(values, 24)[1] > 0.9


def test_few_blocks_say_nothing() -> None:
    """Below six blocks a side nothing is known of how alike neighbours are."""
    values = blocks(0.7, 5, 20)
    series = Serial(values, np.ones(25), np.arange(25) >= 5, np.zeros(25, dtype=np.int64))
    assert (series.factor(np.ones(RUNS))[0] == 1.0).all()


def test_blocks_of_different_sections_are_no_neighbours() -> None:
    """What lies between two stretches of the same side, a night say, is no likeness of their blocks."""
    values = np.repeat(np.array([[-1.0], [1.0], [0.0]]), 12, axis=0)
    values = values + 0.1 * np.random.default_rng(1).standard_normal((36, 200))
    late, section = np.arange(36) >= 24, np.arange(36) // 12
    apart, joined = (
        Serial(values, np.ones(36), late, each).factor(np.ones(200))[1] for each in (section, np.zeros_like(section))
    )
    assert np.median(apart) < 1.3
    assert np.median(joined) > 2.0
