"""Sampling: with what probability a recorded trace was kept, and how many requests it therefore stands for.

A sampler that says so leaves its rejection threshold T in the trace state (`ot=th:<hex>`, OpenTelemetry's "TraceState:
Probability Sampling"): up to 14 hexadecimal digits, trailing zeros removed, a trace being kept with probability
1 - T / 2^56. Its adjusted count is the inverse (Horvitz and Thompson 1952). What states no rate is unknown, and counts
as one request.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLD_DIGITS = 14
_RANDOMNESS = 1 << (4 * THRESHOLD_DIGITS)
MAX_COUNT = 2.0**20  # rarer ones are not believed
MAX_REQUESTS = 2.0**31  # that an entry point's weights may add up to, and the nanoseconds that its requests then take:
MAX_TIME_NS = 2.0**62  # sums of them, of limbs of 31 and 32 bits, and of times fit 64 bits, see `cells`
_MIX = np.uint64(0x9E3779B97F4A7C15)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the t traces of a window were sampled, in the window's order.

    `count` is the adjusted count, how many traces each stands for (NaN where nothing states it); `policy` numbers the
    tail-sampling policies that recorded their name (-1 for none).
    """

    count: Floats
    policy: NDArray[np.int32]

    @classmethod
    def unstated(cls, traces: int) -> "Sampling":
        """Traces that say nothing about how they were sampled."""
        return cls(np.full(traces, np.nan), np.full(traces, -1, dtype=np.int32))


def threshold_count(threshold: str) -> float:
    """The adjusted count of a trace with the `th` value `threshold`; NaN where it is not 1 to 14 lowercase digits."""
    if not 1 <= len(threshold) <= THRESHOLD_DIGITS or not set(threshold) <= set("0123456789abcdef"):
        return float("nan")
    rejected = int(threshold.ljust(THRESHOLD_DIGITS, "0"), 16)
    return believed(_RANDOMNESS / (_RANDOMNESS - rejected))


def rate_count(rate: float) -> float:
    """The adjusted count of a trace with the sample rate `rate`; NaN where it is none.

    From 1 on it is N of 1-in-N, as in Honeycomb's `SampleRate`; below 1 a probability, as in Jaeger's `sampler.param`.
    """
    if not rate > 0.0:
        return float("nan")
    return believed(rate if rate >= 1.0 else 1.0 / rate)


def believed(count: float) -> float:
    """The count itself, or NaN above `MAX_COUNT`."""
    return count if count <= MAX_COUNT else float("nan")


def recorded_as(count: Floats) -> Floats:
    """How many requests each recorded one stands for; those that state nothing stand for themselves."""
    return np.where(np.isnan(count), 1.0, count)


def weights(count: Floats, trace_hash: NDArray[np.uint64], dur: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Whole weights of the requests of one entry point, relative to the least; None where all are equal.

    Fractions are rounded up or down at random, so that their expectation holds, and the trace's hash is the dice: the
    order of requests, and who asks, change nothing. Where the sums of weighted requests, or of their durations `dur` in
    ns, would not fit (146 years), all weights are scaled down alike.
    """
    stands_for = recorded_as(count)
    if stands_for.size == 0 or stands_for.min() == stands_for.max():
        return None
    relative = stands_for / stands_for.min()
    relative /= max(1.0, relative.sum() / MAX_REQUESTS, float(relative @ dur) / MAX_TIME_NS)
    whole = np.floor(relative)
    dice = ((trace_hash * _MIX) >> np.uint64(11)).astype(np.float64) / 2.0**53
    rounded: NDArray[np.int64] = (whole + (dice < relative - whole)).astype(np.int64)
    return rounded
