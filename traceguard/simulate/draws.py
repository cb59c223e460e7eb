"""Chance that depends on names, not on order: every draw is a hash of a 64-bit key and of a purpose.

What is drawn for one call of one request never depends on what else was drawn, so the same seed with and without a
planted fault gives the same requests except for the fault's own effect (common random numbers). Keys are `uint64`
arrays; `purpose` separates independent draws from one key. The mixer is the finaliser of SplitMix64 (Steele, Lea and
Flood, OOPSLA 2014).
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_ABOVE_ZERO = 2.0**-54  # half a step of the 53-bit grid: keeps a uniform draw strictly between 0 and 1


def _constant(purpose: str) -> np.uint64:
    digest = hashlib.blake2b(purpose.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def mix(keys: Keys, purpose: str) -> Keys:
    """New keys, one per key, independent of those of any other purpose. Shape is kept."""
    z = keys ^ _constant(purpose)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def numbered(count: int, purpose: str, seed: int) -> Keys:
    """The keys of `count` things (requests, users) under a seed."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    base = mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64), "seed/" + purpose)
    return mix(base + np.arange(1, count + 1, dtype=np.uint64) * golden, purpose)


def uniform(keys: Keys, purpose: str) -> Floats:
    """Draws strictly between 0 and 1."""
    return np.asarray((mix(keys, purpose) >> np.uint64(11)) * 2.0**-53 + _ABOVE_ZERO, dtype=np.float64)


def lognormal(keys: Keys, purpose: str, mean: float, sigma: float) -> Floats:
    """Log-normal draws of the given mean; `sigma` is the standard deviation of their logarithm (0: the mean itself)."""
    if sigma == 0.0 or mean == 0.0:
        return np.full(keys.shape, mean, dtype=np.float64)
    from scipy.special import ndtri

    return np.asarray(mean * np.exp(sigma * ndtri(uniform(keys, purpose)) - sigma * sigma / 2.0), dtype=np.float64)
