"""Shares of things that come in clusters, and intervals that know it: requests of one user resemble each other.

The interval is Wilson's (1927) with the effective sample size in place of the number of members, as Korn and Graubard
(1998) do for surveys: members over the design effect, which is the variance of the share between clusters (linearised,
as of a ratio) over that of independent members, and at least 1. Where few members differ from the rest that variance
says little, so the design effect is drawn towards that of clusters that are all alike inside, as by one more member
that differs: a share of exactly 0 or 1 rests on the number of clusters, not on that of members.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CONFIDENCE = 0.95
_CLUSTER_BITS = 40
_CLUSTER = (1 << _CLUSTER_BITS) - 1
_PENDING = 1_000_000  # sums that wait to be joined with the rest


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of g groups: `hits` of `weight`, both sums over members; `clusters_hit` have at least one hit."""

    members: Ints
    members_hit: Ints
    weight: Floats
    hits: Floats
    clusters: Ints
    clusters_hit: Ints
    squares: Floats  # of the clusters' weights
    cross: Floats  # clusters' hits times their weights
    hit_squares: Floats

    @property
    def fraction(self) -> Floats:
        """Hits over weight; 0 for groups without members."""
        return self.hits / np.where(self.weight > 0, self.weight, 1.0)

    @property
    def effective(self) -> Floats:
        """How many independent members the group is worth, at least 1 where it has any."""
        share, size = self.fraction, self.members.astype(np.float64)
        whole = np.where(self.weight > 0, self.weight, 1.0)
        alike = size / np.maximum(self.clusters, 1)
        between = self.hit_squares - 2 * share * self.cross + share**2 * self.squares
        between *= self.clusters / np.maximum(self.clusters - 1, 1) / whole**2
        alone = share * (1 - share) / np.maximum(size, 1)
        effect = np.where(alone > 0, between / np.where(alone > 0, alone, 1.0), alike)
        telling = np.minimum(self.members_hit, self.members - self.members_hit)
        effect = np.maximum((telling * np.clip(effect, 0, None) + alike) / (telling + 1), 1.0)
        return np.where(size > 0, np.maximum(size / effect, 1.0), 0.0)

    def interval(self) -> tuple[Floats, Floats]:
        """The 95% interval of each share; 0 to 1 for groups without members."""
        return wilson(self.fraction, self.effective)


def wilson(share: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Wilson's 95% score interval of shares seen among `size` members, which need not be whole; 0 to 1 for size 0."""
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    n = np.where(size > 0, size, 1.0)
    scale = 1 / (1 + z**2 / n)
    middle = (share + z**2 / (2 * n)) * scale
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) * scale
    # Rounding must not put the share outside: the ends are exact where all or none hit.
    low, high = np.minimum(np.clip(middle - half, 0, 1), share), np.maximum(np.clip(middle + half, 0, 1), share)
    return np.where(size > 0, low, 0.0), np.where(size > 0, high, 1.0)


_Sums = tuple[
    Ints, Floats
]  # keys of (group, cluster), ascending, and per key its members, those that hit, weight and hits


class Clusters:
    """Sums by group and cluster; both are numbers from 0, clusters below 2^40. Their order does not matter."""

    def __init__(self) -> None:
        """Nothing was added yet."""
        self._parts: list[_Sums] = []

    def add(self, group: Ints, cluster: Ints, hit: NDArray[np.bool_], weight: Floats | None = None) -> None:
        """Add members: four arrays of one length; without `weight` each counts once."""
        stands_for = np.ones(group.size) if weight is None else weight
        columns = np.stack((np.ones(group.size), hit, stands_for, stands_for * hit)).astype(np.float64, copy=False)
        self._parts.append(_summed([((group.astype(np.int64) << _CLUSTER_BITS) | cluster, columns)]))
        if sum(key.size for key, _ in self._parts[1:]) > _PENDING:
            self._parts = [_summed(self._parts)]

    def shares(self, groups: int, renamed: Ints | None = None) -> Shares:
        """The shares of groups 0 to `groups` - 1; `renamed` gives each group added its place there, -1 for none."""
        key, sums = self._all()
        if renamed is not None and key.size:
            group = renamed[key >> _CLUSTER_BITS]
            again = (group << _CLUSTER_BITS) | (key & _CLUSTER)
            key, sums = _summed([(again[group >= 0], sums[:, group >= 0])])
        members, members_hit, weight, hits = sums
        group = key >> _CLUSTER_BITS
        return Shares(
            _counts(group, members, groups), _counts(group, members_hit, groups),
            _totals(group, weight, groups), _totals(group, hits, groups),
            _counts(group, np.ones(group.size), groups), _counts(group, hits > 0, groups),
            _totals(group, weight**2, groups), _totals(group, hits * weight, groups), _totals(group, hits**2, groups),
        )  # fmt: skip

    def shares_of(self, whole: "Clusters", groups: int) -> Shares:
        """The shares of groups that have the members of `whole` (its group 0) in common, hits being what was added."""
        known, (members, _, weight, _) = whole._all()  # noqa: SLF001  (another of this class)
        key, (_, members_hit, _, hits) = self._all()
        group = key >> _CLUSTER_BITS
        of = weight[np.searchsorted(known, key & _CLUSTER)]
        return Shares(
            np.full(groups, int(members.sum())), _counts(group, members_hit, groups),
            np.full(groups, weight.sum()), _totals(group, hits, groups),
            np.full(groups, known.size), _counts(group, hits > 0, groups),
            np.full(groups, (weight**2).sum()), _totals(group, hits * of, groups), _totals(group, hits**2, groups),
        )  # fmt: skip

    def _all(self) -> _Sums:
        if not self._parts:
            return np.empty(0, np.int64), np.empty((4, 0))
        if len(self._parts) > 1:
            self._parts = [_summed(self._parts)]
        return self._parts[0]


def _totals(group: Ints, values: Floats | NDArray[np.bool_], groups: int) -> Floats:
    return np.bincount(group, values, groups).astype(np.float64)  # of nothing it would be whole numbers


def _counts(group: Ints, values: Floats | NDArray[np.bool_], groups: int) -> Ints:
    return np.bincount(group, values, groups).astype(np.int64)


def _summed(parts: list[_Sums]) -> _Sums:
    keys = np.concatenate([key for key, _ in parts])
    columns = np.concatenate([sums for _, sums in parts], axis=1)
    known, at = np.unique(keys, return_inverse=True)
    return known, np.stack([np.bincount(at, column, known.size) for column in columns])
