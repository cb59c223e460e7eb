"""What the target's calls mean to each entry point: requests that reach it, calls, time on the critical path."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.kernels import kernel
from traceguard.radius.calls import Visits
from traceguard.stats.clustered import Clusters
from traceguard.traces.link import Linked, Names

_I32, _I64, _B = "int32[::1]", "int64[::1]", "boolean[::1]"


@kernel(f"{_I64}({_I32}, {_I32}, {_I32}, {_I32}, {_B})")
def _count(order, parent, request, root, call):  # type: ignore[no-untyped-def]
    calls = np.zeros(root.size, dtype=np.int64)
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        r = request[i]
        if call[i]:
            calls[r] += 1
        if root[r] == i and parent[i] >= 0:
            calls[request[parent[i]]] += calls[r]
    return calls


def calls_per_request(linked: Linked, visits: Visits, call: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Marked calls in each request and in the asynchronous work that it started, directly or not; shape r."""
    calls: NDArray[np.int64] = _count(visits.order, linked.parent, linked.request, linked.root, call)
    return calls


@dataclass(slots=True)
class EntryPoints:
    """Sums over requests by entry, an entry being environment * operations + operation of the root.

    They count a request as often as it stands for others; sums of whole numbers are exact up to 2^53 (nanoseconds of
    104 days).
    """

    names: Names
    calls: NDArray[np.float64]
    spent: NDArray[np.float64]
    total: NDArray[np.float64]
    reached: Clusters = field(default_factory=Clusters)

    @classmethod
    def of(cls, names: Names) -> "EntryPoints":
        """No request seen yet, for an analysis with these names."""
        size = len(names.environments) * len(names.operations)
        return cls(names, np.zeros(size), np.zeros(size), np.zeros(size))

    def add(
        self, linked: Linked, whole: NDArray[np.bool_], calls: NDArray[np.int64], spent: NDArray[np.int64],
        weight: NDArray[np.float64], unit: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Add the requests of one partition that `whole` marks: their calls, and ns on the critical path in the target.

        All arrays have length r; `weight` is how many requests each stands for, `unit` whose it is.
        """
        weight = weight[whole]
        root = linked.root[whole]
        entry = linked.environment[whole].astype(np.int64) * len(self.names.operations) + linked.operation[root]
        self.reached.add(entry, unit[whole], calls[whole] > 0, weight)
        np.add.at(self.calls, entry, weight * calls[whole])
        np.add.at(self.spent, entry, weight * spent[whole])
        np.add.at(self.total, entry, weight * (linked.end[root] - linked.start[root]))

    def rows(self) -> list[model.ReachedEntry]:
        """The entry points that reach the target, those with most such requests first."""
        shares = self.reached.shares(self.calls.size)
        several = np.unique(np.flatnonzero(shares.members) // max(len(self.names.operations), 1)).size > 1
        fraction, (low, high), found = shares.fraction, shares.interval(), []
        for entry in np.flatnonzero(shares.members_hit):
            environment, operation = divmod(int(entry), len(self.names.operations))
            service, text = self.names.operations[operation]
            found.append(
                model.ReachedEntry(
                    service=self.names.services[service],
                    operation=text,
                    environment=(self.names.environments[environment] or "unknown") if several else None,
                    requests=int(shares.members[entry]),
                    fraction=float(fraction[entry]),
                    calls_per_request=float(self.calls[entry] / shares.weight[entry]),
                    critical_fraction=float(self.spent[entry] / max(self.total[entry], 1)),
                    low=float(low[entry]),
                    high=float(high[entry]),
                    units=int(shares.clusters_hit[entry]),
                )
            )
        return sorted(found, key=lambda e: (-e.fraction * e.requests, e.service, e.operation, e.environment or ""))
