"""What slices and levels leave of an outcome."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traceguard.rollout.residual import Residual


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 4))
def test_the_residual_is_that_of_least_squares(seed: int, slices: int, factors: int) -> None:
    """Indicators of slices and levels, many of them made up by others, leave what numpy's least squares leave."""
    draw = np.random.default_rng(seed)
    at = np.sort(draw.integers(0, slices, 60))
    # Factors of three levels, the first of which is the reference; the second factor repeats the first.
    codes = draw.integers(-1, 2, (60, factors))
    codes[:, 1:2] = codes[:, :1]
    numbers = np.where(codes >= 0, codes + 2 * np.arange(factors), -1)
    active = -np.sort(-numbers, axis=1).astype(np.int16)
    y = draw.normal(size=60) + at + numbers.sum(1)
    columns = [at == s for s in range(slices)] + [(numbers == j).any(1) for j in range(2 * factors)]
    x = np.array(columns).T.astype(np.float64)
    fitted = np.linalg.lstsq(x, y, rcond=None)[0]
    residual = Residual(at.astype(np.int64), active)
    np.testing.assert_allclose(residual.of(y), y - x @ fitted, atol=1e-8)
    present = np.count_nonzero(np.bincount(at, minlength=slices))
    if present == slices:
        assert residual.lost == np.linalg.matrix_rank(x)


def test_without_levels_only_the_mean_of_each_slice_goes() -> None:
    """A fleet where nothing varies."""
    y = np.array([1.0, 3.0, 10.0])
    residual = Residual(np.array([0, 0, 1]), np.empty((3, 0), np.int16))
    np.testing.assert_allclose(residual.of(y), [-1.0, 1.0, 0.0])
    assert residual.lost == 2
