"""Levels that act only together come out as that set, and nothing is put together that acts alone."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
from builders.scenes import recorded, reported
from hypothesis import given
from hypothesis import strategies as st

from traceguard.report import Analysis
from traceguard.simulate import Flag, Fleet, Plant, Variant, shop
from traceguard.traces.cells import pair_sums

HALVES = (Variant("off", 0.5), Variant("on", 0.5))
KEYS = ("first", "second", "third")


def fleet(*plants: Plant) -> Fleet:
    """The healthy shop with three more flags, each on for half of the users, and what is planted."""
    flags = tuple(Flag(key, HALVES, (("frontend", None),)) for key in KEYS)
    healthy = shop(plants=(), users=3_000)
    return replace(healthy, flags=(*healthy.flags, *flags), plants=plants)


def under(*keys: str, **size: float) -> Plant:
    """Something wrong in pricing under all of the flags."""
    return Plant("pricing", "ComputeQuote", flags=tuple((key, "on") for key in keys), **size)


def named(analysis: Analysis) -> list[frozenset[str]]:
    """The keys of each cause's factors, by rank."""
    return [frozenset(factor.key for factor in cause.factors) for cause in analysis.causes]


@pytest.mark.parametrize("plant", [under("first", "second", self_ms=60), under("first", "second", error_rate=0.2)])
def test_a_pair_that_acts_only_together_is_named_as_that_pair(plant: Plant) -> None:
    """Neither of the flags alone is a cause, and the summary says that both are needed."""
    analysis = reported(recorded(fleet(plant), requests=8_000))
    assert analysis.verdict == "regression"
    assert named(analysis)[0] == {"first", "second"}
    assert not {frozenset({"first"}), frozenset({"second"})} & set(named(analysis))
    first = analysis.causes[0]
    assert (first.service, first.operation) == ("pricing", "ComputeQuote")
    assert first.summary.startswith("With first=on and with second=on together, ")


def test_the_effect_of_a_pair_is_that_of_requests_under_both() -> None:
    """The entry points' intervals hold what the same requests took longer than without the plant."""
    ill = fleet(under("first", "second", self_ms=60))
    recording, healthy = recorded(ill, requests=8_000), recorded(replace(ill, plants=()), requests=8_000)
    longer = (recording.requests["dur_ns"].to_numpy() - healthy.requests["dur_ns"].to_numpy()) / 1e6
    analysis = reported(recording)
    means = [r for r in analysis.regressions if r.metric == "latency_mean" and len(r.factors) == 2]
    assert len(means) == 3
    for mean in means:
        entered = pc.equal(recording.requests["entry_operation"].cast("string"), mean.entry.operation)
        true = longer[entered.to_numpy() & recording.truth.touched[0]].mean()
        assert mean.low <= true <= mean.high
    assert analysis.causes[0].requests.fraction == pytest.approx(0.25, abs=0.04)


def test_three_flags_that_act_only_together_are_named_as_three() -> None:
    """Two of them alone are not enough."""
    analysis = reported(recorded(fleet(under(*KEYS, self_ms=90)), requests=12_000))
    assert named(analysis)[0] == set(KEYS)


def test_a_flag_that_acts_alone_stays_alone() -> None:
    """Whatever else is on, it is not put together with it."""
    for seed in range(4):
        analysis = reported(recorded(fleet(under("first", self_ms=60)), requests=6_000, seed=seed))
        assert named(analysis)[0] == {"first"}
        assert all(len(keys) == 1 for keys in named(analysis))


def test_two_flags_that_act_each_alone_are_two_causes() -> None:
    """Their effects add up, so that nothing is left for the pair."""
    both = under("first", self_ms=40), under("second", self_ms=40)
    analysis = reported(recorded(fleet(*both), requests=8_000))
    assert set(named(analysis)[:2]) == {frozenset({"first"}), frozenset({"second"})}


@given(seed=st.integers(0, 10**6), requests=st.integers(0, 40), columns=st.integers(2, 6))
def test_pair_sums_are_those_of_a_loop(seed: int, requests: int, columns: int) -> None:
    """What is summed by pair is what the requests under both have."""
    draw = np.random.default_rng(seed)
    applies = draw.random((requests, columns)) < 0.5
    values = draw.integers(-5, 5, (requests, 2)).astype(np.float64)
    active = np.where(applies, np.arange(columns), -1).astype(np.int32)
    found = pair_sums(np.ascontiguousarray(-np.sort(-active, axis=1)), values, columns)
    for j in range(columns):
        for k in range(j + 1, columns):
            np.testing.assert_allclose(found[j, k], values[applies[:, j] & applies[:, k]].sum(axis=0))
