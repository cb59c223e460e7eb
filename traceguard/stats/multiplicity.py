"""Many tests at once: family-wise control for the verdict, false-discovery control for the causes."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def holm(p_values: Floats) -> Floats:
    """Adjusted p-values of Holm (1979): rejecting those below alpha bounds the chance of any false rejection by it."""
    order = np.argsort(p_values, kind="stable")
    m = p_values.size
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.maximum.accumulate((m - np.arange(m)) * p_values[order]), 1.0)
    return adjusted


def benjamini_hochberg(p_values: Floats) -> Floats:
    """q-values of Benjamini and Hochberg (1995): rejecting those below alpha bounds the share of false ones by it."""
    order = np.argsort(p_values, kind="stable")
    m = p_values.size
    scaled = p_values[order] * m / (np.arange(m) + 1)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
