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


def bonferroni_tarone(p_values: Floats, least: Floats, alpha: float) -> Floats:
    """Adjusted p-values of Tarone (1990), to be held against `alpha` and no other level.

    Bonferroni's, but a test of discrete data whose p-value could not have been below `least` is only counted where that
    would have been enough.
    """
    possible = np.sort(least)
    count = np.arange(1, possible.size + 1)
    within = np.searchsorted(possible, alpha / count, side="right") <= count
    tests = int(count[np.argmax(within)]) if possible.size else 1
    adjusted: Floats = np.minimum(tests * p_values, 1.0)
    return adjusted
