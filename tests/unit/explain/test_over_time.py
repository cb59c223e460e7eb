"""Comparisons across time when load is alike from one block to the next."""

import numpy as np
import pytest

from traceguard.explain.effects import RootEffect
from traceguard.explain.entries import Clock, entry_effects
from traceguard.explain.verdict import judge
from traceguard.traces.factors import FIRST_LEVEL, Factor
from traceguard.traces.facts import Facts

BLOCK_NS = 30_000_000_000
PER_BLOCK = 40  # requests
PERIOD = Factor("period", "period", None, ("", "", "baseline", "candidate"), FIRST_LEVEL)


def made_facts(blocks: int, correlation: float, slower: float, seed: int) -> Facts:
    """Requests of one operation whose load is an AR(1) over blocks; those of the second half take `slower` ms more."""
    draw = np.random.default_rng(seed)
    load = draw.standard_normal(blocks)
    for t in range(1, blocks):
        load[t] = correlation * load[t - 1] + np.sqrt(1 - correlation**2) * load[t]
    r = blocks * PER_BLOCK
    start = np.sort(draw.integers(0, blocks * BLOCK_NS, r))
    block = start // BLOCK_NS
    ms = 100 * np.exp(0.1 * load[block] + 0.2 * draw.standard_normal(r)) + slower * (block >= blocks // 2)
    dur, zeros = (ms * 1e6).astype(np.int64), np.zeros(r, dtype=np.int32)
    none, never = np.zeros(r, dtype=np.int64), np.zeros(r, dtype=np.bool_)
    return Facts(
        trace_hash=np.arange(r, dtype=np.uint64), entry=zeros, environment=zeros, start=start, dur=dur,
        failed=never, origin=np.full(r, -1, dtype=np.int32), detached=never, first=np.arange(r + 1), component=zeros,
        time=dur, calls=np.ones(r, dtype=np.int32), retries=zeros, attempts=none, timed_out=never,
        path=np.zeros(r, dtype=np.uint64), incomplete=never, ambiguous=none, overlapped=none, handled=zeros,
    )  # fmt: skip


def mean_and_median(blocks: int, correlation: float, slower: float, seed: int) -> tuple[RootEffect, RootEffect]:
    """The effect of the second half on the mean and on the median."""
    facts = made_facts(blocks, correlation, slower, seed)
    middle = blocks // 2 * BLOCK_NS
    levels = np.where(facts.start < middle, FIRST_LEVEL, FIRST_LEVEL + 1).astype(np.int16)[:, None]
    clock = Clock((0, middle, blocks * BLOCK_NS))
    (effects,) = entry_effects(0, 0, facts, [PERIOD], levels, facts.trace_hash, clock, 0.05).by_time
    return effects.roots[0], effects.roots[1]


@pytest.mark.parametrize(("blocks", "correlation"), [(24, 0.3), (24, 0.5), (24, 0.7), (80, 0.7)])
def test_autocorrelated_load_raises_no_more_alarms_than_alpha(blocks: int, correlation: float) -> None:
    """Of 120 comparisons of a service with itself about one in twenty looks worse, by the mean and by the median."""
    found = [mean_and_median(blocks, correlation, 0.0, seed) for seed in range(120)]
    for metric in zip(*found, strict=True):
        assert sum(root.p_worse <= 0.05 for root in metric) <= 14  # 6 expected; more than 14 has a chance of 0.1%
        assert np.mean([root.low <= 0 <= root.high for root in metric]) >= 0.88


def test_what_stands_out_of_the_load_is_found() -> None:
    """A slowdown of three times the load's spread is found nine times in ten, although neighbours are alike."""
    assert np.mean([mean_and_median(24, 0.3, 30.0, seed)[0].p_worse <= 0.05 for seed in range(40)]) >= 0.9


def test_a_window_in_which_nothing_varies_at_the_same_moment_is_judged() -> None:
    """Two periods and no flags: nothing is compared within slices, and there are no errors to look at everywhere."""
    facts = made_facts(24, 0.0, 30.0, 1)
    middle = 12 * BLOCK_NS
    levels = np.where(facts.start < middle, FIRST_LEVEL, FIRST_LEVEL + 1).astype(np.int16)[:, None]
    clock = Clock((0, middle, 24 * BLOCK_NS))
    (judged,) = judge([entry_effects(0, 0, facts, [PERIOD], levels, facts.trace_hash, clock, 0.05)], 0.05)
    assert judged.by_time
    assert judged.p_adjusted[0] <= 0.05
