"""How errors climb: at which callers a failed call was seen to fail its caller, and at which it was handled.

Learned per pair of operations (caller, callee) of synchronous parents and children: the share of failed children whose
parent failed too. Where an operation never met a failure of that callee, what the other operations of its service did
about it counts; where none did, every error is assumed to fail the caller. Failures are taken to be independent.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.radius.trees import Trees
from traceguard.stats.clustered import wilson
from traceguard.traces.link import CLIENT, Linked, Names

FEW_FAILURES = 20
"""With fewer failures than this to learn from, how they climb is only roughly known."""

_I32, _F64 = "int32[::1]", "float64[::1]"


@dataclass(frozen=True, slots=True)
class Propagation:
    """Per pair of operations how many failed calls were seen, and how many of them failed their caller.

    A pair is caller * operations + callee; pairs ascend.
    """

    pair: NDArray[np.int64]
    seen: NDArray[np.int64]
    passed: NDArray[np.int64]

    @classmethod
    def nothing_seen(cls) -> "Propagation":
        """No pair was seen failing."""
        return cls(*(np.empty(0, np.int64) for _ in range(3)))

    @classmethod
    def seen_in(cls, linked: Linked) -> "Propagation":
        """What one partition shows."""
        child = np.flatnonzero(linked.failed & (linked.parent >= 0) & ~linked.detached & ~linked.evaluation)
        parent = linked.parent[child]
        pair = _pairs(linked.operation, parent, child, len(linked.names.operations))
        return cls(pair, np.ones(child.size, np.int64), linked.failed[parent].astype(np.int64)).summed()

    def __add__(self, other: "Propagation") -> "Propagation":
        """What both show."""
        both = (np.concatenate((getattr(self, n), getattr(other, n))) for n in ("pair", "seen", "passed"))
        return Propagation(*both).summed()

    def summed(self) -> "Propagation":
        """Each pair once."""
        known, at = np.unique(self.pair, return_inverse=True)
        sums = np.zeros((2, known.size), np.int64)
        np.add.at(sums[0], at, self.seen)
        np.add.at(sums[1], at, self.passed)
        return Propagation(known, sums[0], sums[1])

    def shares(self, trees: Trees, names: Names) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Per span the probability that its failure fails its parent, and the pair for which that is assumed, else -1.

        Both of shape m; 0 and -1 for roots. That a client span fails with the server span
        it waited for is not called an assumption: it says what the server answered.
        """
        climbs = self.climbs(trees, names)
        return climbs.share, np.where(climbs.seen == 0, climbs.pair, -1)

    def climbs(self, trees: Trees, names: Names) -> "Climbs":
        """How failures climb in these trees, and how surely."""
        child = np.flatnonzero(trees.parent >= 0)
        parent = trees.parent[child]
        width = len(names.operations)
        pair = _pairs(trees.operation, parent, child, width)
        service = np.array([service for service, _ in names.operations], dtype=np.int64)
        by_service = service[self.pair // width] * width + self.pair % width
        # A window has few pairs and many calls.
        pairs, which = np.unique(pair, return_inverse=True)
        count = np.zeros((2, pairs.size), dtype=np.int64)  # seen and passed
        for table, wanted in ((by_service, service[pairs // width] * width + pairs % width), (self.pair, pairs)):
            known, at = np.unique(table, return_inverse=True)
            sums = np.zeros((2, known.size), np.int64)
            np.add.at(sums[0], at, self.seen)
            np.add.at(sums[1], at, self.passed)
            place = np.searchsorted(known, wanted)
            found = place < known.size
            found[found] = known[place[found]] == wanted[found]
            count[:, found] = sums[:, place[found]]
        seen, share = count[0], np.where(count[0] > 0, count[1] / np.maximum(count[0], 1), 1.0)
        low, high = wilson(share, seen.astype(np.float64))
        answers = (trees.kind[parent] == CLIENT) & (trees.service[parent] != trees.service[child])
        size = trees.parent.size
        climbs = Climbs(np.zeros(size), np.zeros(size), np.zeros(size), np.full(size, -1), np.full(size, -1))
        climbs.share[child] = share[which]
        climbs.low[child] = np.where(answers, share[which], low[which])
        climbs.high[child] = np.where(answers, share[which], high[which])
        climbs.pair[child] = np.where(answers, -1, pair)
        climbs.seen[child] = np.where(answers, -1, seen[which])
        return climbs


@dataclass(frozen=True, slots=True)
class Climbs:
    """Per span of trees (shapes m) the probability that its failure fails its parent, and its 95% interval (Wilson).

    `seen` counts the failures that it was learned from. Roots, and servers below the client that waited for them, have
    neither interval nor `pair` nor `seen` (-1): that a client fails with its server says what the server answered.
    """

    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    pair: NDArray[np.int64]
    seen: NDArray[np.int64]


def _pairs(
    operation: NDArray[np.int32], parent: NDArray[np.int32], child: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    pairs: NDArray[np.int64] = operation[parent].astype(np.int64) * width + operation[child]
    return pairs


def pair_text(names: Names, pair: int) -> str:
    """A pair as a person names it: caller first, services where they differ."""
    caller, callee = (names.operations[at] for at in divmod(pair, len(names.operations)))
    other = "" if caller[0] == callee[0] else f"{names.services[callee[0]]} "
    return f"{names.services[caller[0]]} {caller[1]} → {other}{callee[1]}"


@kernel(f"{_F64}({_I32}, {_F64}, {_I32}, float64)")
def _failures(parent, share, call, rate):  # type: ignore[no-untyped-def]
    """Per span the probability that it fails because a call at or below it does; parents stand before children."""
    survives = np.ones(parent.size)
    for c in call:
        survives[c] = 1.0 - rate
    for i in range(parent.size - 1, -1, -1):
        if parent[i] >= 0:
            survives[parent[i]] *= 1.0 - share[i] * (1.0 - survives[i])
    return 1.0 - survives


def failures(trees: Trees, share: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Per span the probability that it newly fails when each call of the target fails with probability `rate`.

    Shape m; `share` (m) is the probability that a span's failure fails its parent.
    """
    failing: NDArray[np.float64] = _failures(trees.parent, share, trees.call, rate)
    return failing
