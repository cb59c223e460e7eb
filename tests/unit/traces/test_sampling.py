"""Sampling: thresholds and rates as they are stated, and the whole weights that they become."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceguard.traces.sampling import rate_count, threshold_count, weights

SHORT = np.full(120_000, 1_000)  # ns


@pytest.mark.parametrize(
    ("threshold", "count"), [("0", 1.0), ("8", 2.0), ("c", 4.0), ("e", 8.0), ("c00", 4.0), ("fd70a3d70a3d71", 100.0)]
)
def test_a_threshold_states_how_many_traces_one_stands_for(threshold: str, count: float) -> None:
    """The specification's examples: half, a quarter, an eighth, and one percent to 56 bits."""
    assert threshold_count(threshold) == pytest.approx(count)


@given(st.text("0123456789abcdef", min_size=1, max_size=14))
def test_a_threshold_is_a_fraction_whose_trailing_zeros_are_left_away(digits: str) -> None:
    """The count is the inverse of 1 minus the sum of the digits over powers of 16, or unknown beyond a million."""
    rejected = sum(Fraction(int(digit, 16), 16**place) for place, digit in enumerate(digits, 1))
    exact = 1 / (1 - rejected)
    if exact <= 2**20:
        assert threshold_count(digits) == pytest.approx(float(exact))
        assert threshold_count(digits.rstrip("0").ljust(1, "0")) == threshold_count(digits)
    else:
        assert np.isnan(threshold_count(digits))


@pytest.mark.parametrize("threshold", ["", "C", "0x8", "-1", "8 ", "g", "1" * 15])
def test_what_is_no_threshold_is_unknown(threshold: str) -> None:
    """Capitals, signs and a fifteenth digit are no threshold."""
    assert np.isnan(threshold_count(threshold))


@pytest.mark.parametrize(("rate", "count"), [(1.0, 1.0), (20.0, 20.0), (0.25, 4.0), (2.5, 2.5)])
def test_a_rate_is_one_in_n_or_a_probability(rate: float, count: float) -> None:
    """From 1 on a rate is N, below it a probability."""
    assert rate_count(rate) == count


@pytest.mark.parametrize("rate", [0.0, -4.0, float("nan"), float("inf"), 1e-9, 1e9])
def test_what_is_no_rate_is_unknown(rate: float) -> None:
    """Nothing is kept with probability 0, and one in a billion is not believed."""
    assert np.isnan(rate_count(rate))


def test_equal_rates_need_no_weights() -> None:
    """Where every request stands for as many, comparisons are those of the recorded ones; unknown stands for itself."""
    hashes = np.arange(4, dtype=np.uint64)
    assert weights(np.full(4, 3.7), hashes, SHORT[:4]) is None
    assert weights(np.array([np.nan, 1.0, np.nan, 1.0]), hashes, SHORT[:4]) is None


def test_weights_are_relative_and_right_on_average() -> None:
    """The rarest count most, halves are rounded either way, and the order of requests changes nothing."""
    random = np.random.default_rng(4)
    count = np.repeat([2.0, 5.0, 20.0], 40_000)
    hashes = random.integers(0, 2**63, count.size).astype(np.uint64)
    found = weights(count, hashes, SHORT)
    assert found is not None
    np.testing.assert_array_equal(np.unique(found), [1, 2, 3, 10])
    assert found[count == 5.0].mean() == pytest.approx(2.5, abs=0.01)
    order = random.permutation(count.size)
    np.testing.assert_array_equal(weights(count[order], hashes[order], SHORT), found[order])


def test_weights_that_would_overflow_are_scaled_down() -> None:
    """Requests of a day that stand for a million each keep their proportions within the bounds of 64 bits."""
    random = np.random.default_rng(4)
    count = np.tile([1.0, 2.0**20], 50_000)
    dur = np.full(count.size, 86_400_000_000_000)
    found = weights(count, random.integers(0, 2**63, count.size).astype(np.uint64), dur)
    assert found is not None
    assert 0.99 * 2**62 < sum(a * b for a, b in zip(found.tolist(), dur.tolist(), strict=True)) < 1.01 * 2**62
    assert found[1::2].std() < 1
