"""Intervals of shares whose members come in clusters: what they cover, and what they are between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceguard.stats.clustered import Clusters, Shares, wilson


def shares_of(unit: np.ndarray, hit: np.ndarray) -> Shares:
    """The shares of one group."""
    sums = Clusters()
    sums.add(np.zeros(unit.size, np.int64), unit, hit)
    return sums.shares(1)


def test_independent_members_have_wilsons_interval() -> None:
    """Every member a cluster of its own: the textbook's numbers (10 of 50: 0.112 to 0.330)."""
    low, high = shares_of(np.arange(50), np.arange(50) < 10).interval()
    assert (low[0], high[0]) == (pytest.approx(0.1124, abs=2e-3), pytest.approx(0.3304, abs=2e-3))


def test_members_that_are_all_alike_count_as_one() -> None:
    """Ten users of a hundred requests each, all or none of which hit, are worth ten."""
    unit = np.repeat(np.arange(10), 100)
    found = shares_of(unit, unit < 5)
    assert found.effective[0] == pytest.approx(10, rel=0.2)
    assert shares_of(unit, np.ones(1000, bool)).effective[0] == pytest.approx(10)


def test_groups_without_members_are_unknown() -> None:
    """Nothing seen: the share may be anything."""
    low, high = Clusters().shares(2).interval()
    assert low.tolist() == [0.0, 0.0]
    assert high.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("users", "each", "alike", "share"),
    [(20, 20, 0.3, 0.5), (50, 10, 0.5, 0.9), (200, 5, 0.2, 0.98), (30, 100, 0.1, 0.3), (100, 10, 0.99, 0.9)],
)
def test_intervals_cover_the_truth(users: int, each: int, alike: float, share: float) -> None:
    """Of 600 recordings of users who resemble themselves, about 95% have the truth in their interval."""
    rng = np.random.default_rng(11)
    odds = (1 - alike) / alike
    covered = 0
    for _ in range(600):
        chance = rng.beta(share * odds, (1 - share) * odds, users)
        unit = np.repeat(np.arange(users), rng.poisson(each, users))
        low, high = shares_of(unit, rng.random(unit.size) < chance[unit]).interval()
        covered += bool(low[0] <= share <= high[0])
    assert covered / 600 >= 0.91


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.booleans()), max_size=60), st.integers(0, 60))
def test_the_order_and_the_parts_do_not_matter(rows: list[tuple[int, int, bool]], cut: int) -> None:
    """Two parts, in either order, sum to the whole, and bounds enclose the share."""
    whole, parts = Clusters(), Clusters()
    for sums, pieces in ((whole, [rows]), (parts, [rows[cut:], rows[:cut]])):
        for piece in pieces:
            group, unit, hit = (np.array([row[k] for row in piece]) for k in range(3))
            sums.add(group.astype(np.int64), unit.astype(np.int64), hit.astype(bool))
    one, other = whole.shares(6), parts.shares(6)
    assert one.members.tolist() == other.members.tolist()
    assert one.effective == pytest.approx(other.effective)
    low, high = one.interval()
    assert (low <= one.fraction).all()
    assert (one.fraction <= high).all()
    assert (one.effective <= np.maximum(one.members, 1) + 1e-9).all()


def test_groups_can_be_joined_afterwards() -> None:
    """A cluster of two joined groups is one cluster, not two."""
    sums = Clusters()
    sums.add(np.array([0, 1, 2]), np.array([7, 7, 7]), np.array([True, False, True]))
    joined = sums.shares(1, np.array([0, 0, -1]))
    assert (joined.members[0], joined.clusters[0], joined.hits[0]) == (2, 1, 1.0)


def test_groups_share_their_members() -> None:
    """Hits of groups are held against members that all have in common."""
    everyone, hits = Clusters(), Clusters()
    everyone.add(np.zeros(4, np.int64), np.array([0, 0, 1, 2]), np.ones(4, bool))
    hits.add(np.array([1, 1]), np.array([0, 2]), np.ones(2, bool))
    found = hits.shares_of(everyone, 2)
    assert found.fraction.tolist() == [0.0, 0.5]
    assert found.clusters_hit.tolist() == [0, 2]
    assert found.clusters.tolist() == [3, 3]


def test_wilson_is_exact_at_its_ends() -> None:
    """None of n and all of n stay at the ends."""
    low, high = wilson(np.array([0.0, 1.0]), np.array([10.0, 10.0]))
    assert low[0] == 0.0
    assert high[1] == 1.0
    assert high[0] == pytest.approx(0.2775, abs=1e-3)
