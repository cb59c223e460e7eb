"""Intervals hold as often as they say, whoever the users are, and changes are those of the same requests."""

import numpy as np
import pytest

from traceguard.radius.outlook import outlooks
from traceguard.radius.population import Grouped, Population

MS = 1_000_000
FIELDS = ("mean", "p50", "p95", "p99", "error_rate")


def population(rng: np.random.Generator, users: int, requests: int, exposure: float = 0.0) -> list[Population]:
    """Give a day of requests of some users, each of whom is slower or faster than others, before and after."""
    whose = np.searchsorted(np.cumsum(rng.dirichlet(np.full(users, 0.5))), rng.random(requests)).clip(max=users - 1)
    pace = np.exp(0.3 * rng.normal(size=users))
    frail = 0.02 * np.exp(0.8 * rng.normal(size=users))
    before = (pace[whose] * 100 * MS * np.exp(0.4 * rng.normal(size=requests))).astype(np.int64)
    failed = rng.random(requests) < frail[whose]
    after = before + (rng.random(users) * 40 * MS).astype(np.int64)[whose]
    bucket = rng.integers(0, 128, users).astype(np.uint8)[whose]
    newly = np.full(requests, 0.1)
    return [Population.mixture(before, after, failed, newly, bucket, e) for e in (0.0, exposure)]


def test_intervals_cover_what_other_users_show() -> None:
    """Some 95 in 100 hold the truth, as they say; a request apiece they would hold it half as often.

    An open interval holds everything, so that there may be few of them with so many requests.
    """
    rng = np.random.default_rng(7)
    everybody = outlooks(*population(rng, 40_000, 400_000, 0.5))
    covered = {(kind, name): 0 for kind in ("before", "after", "change") for name in FIELDS}
    runs, opened = 200, 0
    for _ in range(runs):
        found = outlooks(*population(rng, 300, 2_000, 0.5))
        for kind in ("before", "after", "change"):
            for name in FIELDS:
                mine = getattr(found["change" if kind == "change" else f"{kind}_interval"], name)
                true = getattr(everybody["change" if kind == "change" else f"{kind}_interval"], name).estimate
                low, high = (open_ if end is None else end for end, open_ in ((mine.low, -np.inf), (mine.high, np.inf)))
                opened += mine.high is None
                assert low <= mine.estimate <= high
                covered[kind, name] += bool(low <= true <= high)
    rare = {key: count / runs for key, count in covered.items() if count < 0.9 * runs}
    assert not rare, rare
    assert np.mean(list(covered.values())) / runs > 0.93
    assert opened < 0.02 * runs * len(covered)


def test_the_largest_of_few_requests_bounds_nothing() -> None:
    """With 84 requests the p99 is the largest one: neither it nor its change has an end, while the median has both."""
    before, after = population(np.random.default_rng(4), 84, 84, 1.0)
    found = outlooks(before, after)
    assert (found["before_interval"].p99.high, found["after_interval"].p99.high) == (None, None)
    assert 0.0 < found["before_interval"].p99.low < found["before_interval"].p99.estimate
    assert (found["change"].p99.low, found["change"].p99.high) == (None, None)
    assert found["change"].p50.low < found["change"].p50.estimate < found["change"].p50.high


@pytest.mark.parametrize(("requests", "bounded"), [(367, False), (1_000, True)])
def test_a_p99_needs_as_many_requests_as_order_statistics_do(requests: int, bounded: bool) -> None:
    """Only from 368 independent requests on does the largest lie above the p99 in 97.5 of 100 samples."""
    value = (np.random.default_rng(5).exponential(100, requests) * MS).astype(np.int64)
    bucket = np.arange(requests, dtype=np.uint8) % 128
    side = Population(value, np.ones(requests, dtype=np.int64), np.zeros(requests), bucket)
    assert (outlooks(side, side)["before_interval"].p99.high is not None) is bounded


def test_nothing_moves_where_only_errors_are_supposed() -> None:
    """Few requests leave the p99 open, but not that failing more makes none of them slower, at any exposure."""
    before, _ = population(np.random.default_rng(6), 30, 30)
    failing = np.zeros(30, dtype=np.bool_)
    newly = np.full(30, 0.5)
    after = Population.mixture(before.value, before.value, failing, newly, before.bucket, 0.3)
    change = outlooks(before, after, (0.05, 0.1))["change"]
    assert (change.p99.low, change.p99.high) == (0.0, 0.0)
    assert change.error_rate.low <= change.error_rate.estimate - 0.05
    assert change.error_rate.high >= change.error_rate.estimate + 0.1


def test_what_changes_nothing_changes_by_nothing() -> None:
    """Both sides are the same requests, so that the interval of their change is empty."""
    before, _ = population(np.random.default_rng(1), 50, 500)
    change = outlooks(before, before)["change"]
    assert all((i.low, i.estimate, i.high) == (0.0, 0.0, 0.0) for i in (getattr(change, name) for name in FIELDS))


def test_a_delay_for_all_is_known_exactly() -> None:
    """Nobody's latency is known, but by how much everybody's grows is."""
    rng = np.random.default_rng(2)
    before, _ = population(rng, 50, 500)
    later = Population(before.value + 50 * MS, before.weight, before.failing, before.bucket)
    found = outlooks(before, later)
    assert found["change"].mean.low == pytest.approx(50.0)
    assert found["change"].p99.high == pytest.approx(50.0)
    assert found["before_interval"].mean.high - found["before_interval"].mean.low > 1.0


def test_no_failure_seen_is_not_none_possible() -> None:
    """Where nothing failed the rate may still be some parts in a thousand."""
    ones = np.full(300, 5 * MS, dtype=np.int64)
    nobody = np.zeros(300, dtype=np.bool_)
    side = Population.mixture(ones, ones, nobody, np.zeros(300), np.arange(300, dtype=np.uint8) % 128, 0.0)
    rate = outlooks(side, side)["before_interval"].error_rate
    assert (rate.low, rate.estimate) == (0.0, 0.0)
    assert 0.005 < rate.high < 0.03


def test_distributions_hold_all_requests_on_both_sides() -> None:
    """The shares of both sides add up to one over common bins."""
    found = outlooks(*population(np.random.default_rng(3), 50, 500, 0.3))["distribution"]
    assert sum(found.reference) == pytest.approx(1.0)
    assert sum(found.observed) == pytest.approx(1.0)
    assert len(found.edges_ms) == len(found.reference) + 1


def test_one_request_is_enough_for_an_answer() -> None:
    """An entry point with a single request has numbers, not a crash."""
    one = np.array([5 * MS])
    alone = Population.mixture(one, one + MS, np.array([True]), np.zeros(1), np.zeros(1, dtype=np.uint8), 0.5)
    found = outlooks(alone, alone)
    assert (found["before"].p50, found["before"].error_rate) == (5.0, 1.0)


def test_a_level_under_which_nothing_failed_may_still_fail_some() -> None:
    """Without failures nothing varies, but three hundred requests do not show that a flag fails none."""
    rng = np.random.default_rng(8)
    value = (rng.exponential(100, 300) * MS).astype(np.int64)
    bucket, side = np.arange(300, dtype=np.uint8) % 128, rng.integers(0, 2, 300)
    weight = np.where(side == 1, 15_000_000, 5_000_000)
    grouped = Grouped(side.astype(np.int64), np.zeros(300, dtype=np.int64))
    after = Population(value, weight, np.zeros(300), bucket, 1, grouped)
    before = Population(value, np.full(300, 10_000_000), np.zeros(300), bucket)
    change = outlooks(before, after)["change"].error_rate
    assert change.low < -0.005
    assert change.estimate == 0.0
    assert change.high > 0.005
