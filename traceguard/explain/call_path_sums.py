"""Critical-path time by call path on both sides of a cause, and the few paths of it that are worth drawing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.explain.sides import AFFECTED, Sides
from traceguard.traces.call_paths import NOWHERE, CallPaths
from traceguard.traces.link import Linked, Names

MOST_PATHS = 48
LEAST_SHARE = 0.004  # of the slower side's request, below which a path is drawn with others
DEEPEST = 18

Floats = NDArray[np.float64]


@dataclass(slots=True)
class _Path:
    above: int
    operation: int
    own: Floats = field(default_factory=lambda: np.zeros(4))  # reference self, reference inbound, affected ...


@dataclass(slots=True)
class PathSums:
    """Sums over the requests of two sides; grows partition by partition."""

    sides: Sides
    _paths: dict[int, _Path] = field(default_factory=dict)
    _recorded: list[int] = field(default_factory=lambda: [0, 0])
    _weight: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(
        self, linked: Linked, paths: CallPaths, own: NDArray[np.int64], rows: NDArray[np.int64],
        requests: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Add the requests that `requests` (r) marks; `rows` (r) are their traces' in the window, `own` (n) ns."""
        if not requests.any():
            return
        side, weight = self.sides.side[rows], self.sides.weight[rows]
        for which in (0, 1):
            mine = requests & (side == which)
            self._recorded[which] += int(np.count_nonzero(mine))
            self._weight[which] += float(weight[mine].sum())
        at = np.flatnonzero(requests[linked.request] & (paths.path != NOWHERE))
        request = linked.request[at]
        found, first, number = np.unique(paths.path[at], return_index=True, return_inverse=True)
        column = 2 * (side[request] == AFFECTED) + paths.inbound[at]
        own_ms = np.bincount(
            number * 4 + column, weights=own[at] * weight[request] / 1e6, minlength=4 * found.size
        ).reshape(-1, 4)
        for i, path in enumerate(found.tolist()):
            span = at[first[i]]
            kept = self._paths.setdefault(path, _Path(int(paths.above[span]), int(paths.operation[span])))
            kept.own += own_ms[i]

    def document(self, entry: model.Entry, factors: Sequence[model.Factor], names: Names) -> model.CallPaths:
        """The largest paths, callers before what they call; the others in one node below each caller."""
        scale = np.repeat([1.0 / w if w > 0.0 else 0.0 for w in self._weight], 2)
        own = {path: each.own * scale for path, each in self._paths.items()}
        below: dict[int, list[int]] = {}
        for path, each in self._paths.items():
            below.setdefault(each.above, []).append(path)
        whole = self._whole(own, below)
        roots = below.get(NOWHERE, [])
        slowest = max((_larger(whole[root]) for root in roots), default=0.0)
        kept = self._kept(whole, below, LEAST_SHARE * slowest)
        nodes: list[model.PathNode] = []
        stack = [(root, -1) for root in sorted(roots, key=lambda p: -_larger(whole[p]))]
        while stack:
            path, above = stack.pop()
            service, operation, _ = names.component(2 * self._paths[path].operation)
            here = len(nodes)
            nodes.append(_node(above, service, operation, own[path]))
            called = below.get(path, [])
            small = [p for p in called if p not in kept]
            if small:
                nodes.append(_node(here, "", "", sum((whole[p] for p in small), np.zeros(4)), smaller=len(small)))
            # The largest is taken up last and so stands first.
            stack += [(p, here) for p in sorted((p for p in called if p in kept), key=lambda p: _larger(whole[p]))]
        return model.CallPaths(
            entry=entry, factors=list(factors), reference=self._recorded[0], observed=self._recorded[1], paths=nodes
        )

    def _whole(self, own: dict[int, Floats], below: dict[int, list[int]]) -> dict[int, Floats]:
        """Each path's time with all that it calls."""
        order = list(below.get(NOWHERE, []))
        for path in order:
            order += below.get(path, [])
        whole = {path: own[path].copy() for path in order}
        for path in reversed(order):
            above = self._paths[path].above
            if above != NOWHERE:
                whole[above] += whole[path]
        return whole

    def _kept(self, whole: dict[int, Floats], below: dict[int, list[int]], least: float) -> set[int]:
        kept: set[int] = set()
        level = list(below.get(NOWHERE, []))
        for _ in range(DEEPEST):
            room = MOST_PATHS - len(kept)
            chosen = sorted((p for p in level if _larger(whole[p]) >= least), key=lambda p: -_larger(whole[p]))[:room]
            kept |= set(chosen)
            level = [called for path in chosen for called in below.get(path, [])]
        return kept


def _larger(own: Floats) -> float:
    return float(max(own[:2].sum(), own[2:].sum()))


def _node(above: int, service: str, operation: str, own: Floats, smaller: int = 0) -> model.PathNode:
    reference, reference_inbound, observed, observed_inbound = (float(value) for value in own)
    return model.PathNode(
        above=above, service=service, operation=operation, reference_ms=reference + reference_inbound,
        observed_ms=observed + observed_inbound, reference_inbound_ms=reference_inbound,
        observed_inbound_ms=observed_inbound, smaller=smaller,
    )  # fmt: skip
