"""What the same users had before: a covariate that takes the lasting differences between users out of an effect.

Users differ from each other for good: one has a large account, another a slow network. Where a flag began only within
the window, each user's own mean before its first exposure says so, and requests are compared among users who were alike
(Deng, Xu, Kohavi and Walker 2013). Users are put into groups by that mean, shrunk where it rests on few requests, and
the groups are columns of the design like any others: their sums add up, and they serve every outcome at once.

What always holds: the mean rests on requests before anybody at the entry point was exposed, so the level cannot have
changed it; only levels that began after it are estimated with it (of a level that was there all the time, the mean
before would already hold part of the effect); users without requests before are a group of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.design import Column, Design, design_of
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, MIXED, Factor

GROUPS = 8
LEAST_BEFORE = 0.2  # part of the entry point's requests that must lie before
KNOWN = 0.5  # part of the later requests whose users must have been there before
SHRINK = 3.0  # requests that the overall mean counts as

_FACTOR = Factor(
    "attribute", "pre-period", None, ("", "", *(str(group + 1) for group in range(GROUPS))), FIRST_LEVEL
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PrePeriod:
    """The design with the groups of users, and the numbers of the columns that may be estimated with it."""

    design: Design
    columns: tuple[int, ...]


def with_pre_period(
    design: Design, candidates: Sequence[int], factors: Sequence[Factor], levels: NDArray[np.int16],
    references: dict[Factor, int], start: NDArray[np.int64], unit: NDArray[np.uint64], values: NDArray[np.int64],
) -> PrePeriod | None:  # fmt: skip
    """Group the users of one entry point by what they had before; None where there is no time before.

    `candidates` are the tested columns that are compared within slices, `values` (r) what is averaged.
    """
    begun = {j: int(start[(design.active == j).any(axis=1)].min()) for j in candidates if _is_flag(design.columns[j])}
    early = int(np.quantile(start, LEAST_BEFORE))
    late = tuple(j for j, first in begun.items() if first > early)
    if not late:
        return None
    before = start < min(begun[j] for j in late)
    codes = _groups(before, unit, values)
    if codes is None:
        return None
    grown = design_of([*factors, _FACTOR], np.column_stack((levels, codes)), references)
    columns = tuple(replace(c, tested=c.tested and c.levels[0].factor != _FACTOR) for c in grown.columns)
    return PrePeriod(Design(columns, grown.active), late)


def _is_flag(column: Column) -> bool:
    return column.levels[0].factor.kind == "flag"


def _groups(before: NDArray[np.bool_], unit: NDArray[np.uint64], values: NDArray[np.int64]) -> NDArray[np.int16] | None:
    """The group of each later request's user as a level code; None where too few of them were there before."""
    users, number = np.unique(unit, return_inverse=True)
    seen = np.bincount(number[before], minlength=users.size)
    known = seen[number] > 0
    if before.all() or known[~before].mean() < KNOWN:
        return None
    overall = float(values[before].mean())
    total = np.bincount(number[before], weights=values[before].astype(np.float64), minlength=users.size)
    mean = (total + SHRINK * overall) / (seen + SHRINK)
    later = known & ~before
    edges = np.quantile(mean[number[later]], np.arange(1, GROUPS) / GROUPS)
    codes = (FIRST_LEVEL + np.searchsorted(edges, mean[number], side="right")).astype(np.int16)
    codes[~known] = MIXED
    codes[before] = ABSENT
    return codes
