"""What the same users had before narrows intervals where users differ for good, and changes nothing elsewhere."""

import numpy as np
import pytest

from traceguard.explain.effects import LevelEffects
from traceguard.explain.entries import Clock, entry_effects
from traceguard.traces.factors import FIRST_LEVEL, Factor
from traceguard.traces.facts import Facts

FLAG = Factor("flag", "new", None, ("", "", "off", "on"), FIRST_LEVEL)
MS = 1_000_000
REQUESTS, USERS, DELAY_MS = 6_000, 300, 10


def measured(seed: int, *, begins: float = 0.5, lasting: float = 0.6, before: bool = True) -> LevelEffects:
    """The effect of a flag that half of the users get from the moment `begins` of the window on.

    Users differ by `lasting` (of the logarithm). Without `before` every request is somebody else's.
    """
    draw = np.random.default_rng(seed)
    user = draw.integers(0, USERS, REQUESTS)
    moment = np.sort(draw.random(REQUESTS))
    on = (draw.random(USERS) < 0.5)[user] & (moment >= begins)
    pace = np.exp(lasting * draw.standard_normal(USERS))[user]
    dur = ((100 * pace * np.exp(0.2 * draw.standard_normal(REQUESTS)) + DELAY_MS * on) * MS).astype(np.int64)
    zero, none = np.zeros(REQUESTS, dtype=np.int64), np.zeros(REQUESTS, dtype=np.bool_)
    narrow = zero.astype(np.int32)
    facts = Facts(
        trace_hash=np.arange(REQUESTS, dtype=np.uint64), entry=narrow, environment=narrow,
        start=(moment * 3_600e9).astype(np.int64), dur=dur, failed=none, origin=narrow - 1, detached=none,
        timed_out=none, path=zero.astype(np.uint64), incomplete=none, ambiguous=zero, overlapped=zero, handled=narrow,
        first=np.arange(REQUESTS + 1), component=narrow, time=dur, calls=narrow + 1, retries=narrow, attempts=zero,
    )  # fmt: skip
    whose = user if before else np.arange(REQUESTS)
    unit = (whose + 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(7)
    levels = (FIRST_LEVEL + on).astype(np.int16)[:, None]
    (found,) = entry_effects(0, 0, facts, (FLAG,), levels, unit, Clock(), 0.05).within
    return found


def width(found: LevelEffects) -> float:
    """How wide the interval of the mean is."""
    return found.roots[0].high - found.roots[0].low


def test_intervals_are_narrower_where_users_differ_for_good() -> None:
    """At half of the width, and still around what was planted."""
    found = [measured(seed) for seed in range(40)]
    assert all(f.pre_period for f in found)
    without = [measured(seed, begins=0.0) for seed in range(40)]
    assert not any(f.pre_period for f in without)
    # The later half has half of the requests, and its interval is narrower all the same.
    assert np.median([width(f) for f in found]) < 0.6 * np.median([width(f) for f in without])
    held = [f.roots[0].low <= DELAY_MS <= f.roots[0].high for f in found]
    assert np.mean(held) >= 0.85  # 95% less three standard errors of forty draws


def test_the_estimate_is_not_biased() -> None:
    """Over many draws the mean estimate is what was planted."""
    estimates = [measured(seed).roots[0].delta for seed in range(60)]
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert np.mean(estimates) == pytest.approx(DELAY_MS, abs=3 * error)


@pytest.mark.parametrize("case", [{"begins": 0.1}, {"before": False}], ids=["too little time before", "nobody known"])
def test_nothing_changes_without_a_time_before(case: dict[str, float]) -> None:
    """A short time before, or users who were not there, are no pre-period."""
    assert not measured(1, **case).pre_period
