"""Whom a target reaches by tenants, regions, or any other attribute: a part of each value's requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.stats.clustered import Clusters
from traceguard.traces.factors import Attribute
from traceguard.traces.link import Linked

LISTED = 20  # values of an attribute


@dataclass(slots=True)
class Cohorts:
    """Requests by the values of attributes, whose codes follow the window's traces, ascending by hash."""

    attributes: Sequence[Attribute]
    trace_hash: NDArray[np.uint64]
    _sums: list[Clusters] = field(init=False)

    def __post_init__(self) -> None:
        self._sums = [Clusters() for _ in self.attributes]

    def add(
        self, linked: Linked, trace: NDArray[np.int32], unit: NDArray[np.int64], reached: NDArray[np.bool_],
        weight: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Add requests of a partition; four arrays of one length, `trace` numbering the partition's traces."""
        row = np.searchsorted(self.trace_hash, linked.trace_hash)[trace]
        for attribute, sums in zip(self.attributes, self._sums, strict=True):
            sums.add(attribute.code[row].astype(np.int64) + 1, unit, reached, weight)

    def rows(self) -> list[model.Cohort]:
        """A cohort per attribute, with its values that have most reached requests."""
        return [_cohort(attribute, sums) for attribute, sums in zip(self.attributes, self._sums, strict=True)]


def _cohort(attribute: Attribute, sums: Clusters) -> model.Cohort:
    shares = sums.shares(len(attribute.values) + 1)
    low, high = shares.interval()
    fraction, reached = shares.fraction, shares.members_hit
    seen = np.flatnonzero(shares.members)
    ranked = seen[np.lexsort((seen, -shares.members[seen], -reached[seen]))]
    return model.Cohort(
        key=attribute.key,
        values=[
            model.CohortValue(
                value=attribute.values[at - 1] if at else None,
                requests=int(shares.members[at]),
                reached=int(reached[at]),
                fraction=float(fraction[at]),
                low=float(low[at]),
                high=float(high[at]),
                units=int(shares.clusters_hit[at]),
            )
            for at in ranked[:LISTED].tolist()
        ],
        more=max(0, ranked.size - LISTED),
        total=int((seen > 0).sum()),
        reached=int((reached[1:] > 0).sum()),
    )
