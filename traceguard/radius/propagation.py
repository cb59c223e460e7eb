"""How errors climb: at which callers a failed call was seen to fail its caller, and at which it was handled.

Learned per pair of operations (caller, callee) of synchronous parents and children: the share of failed children whose
parent failed too. Where an operation never met a failure of that callee, what the other operations of its service did
about it counts; where none did, every error is assumed to fail the caller. Failures are taken to be independent.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.radius.retime import parents_first
from traceguard.traces.link import CLIENT, Linked, Names

_I32, _F64, _B = "int32[::1]", "float64[::1]", "boolean[::1]"


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

    def learn(self, linked: Linked) -> "Propagation":
        """This and what one more partition shows."""
        child = np.flatnonzero(linked.failed & (linked.parent >= 0) & ~linked.detached & ~linked.evaluation)
        parent = linked.parent[child]
        pair = np.concatenate((self.pair, _pairs(linked, parent, child)))
        seen = np.concatenate((self.seen, np.ones(child.size, np.int64)))
        passed = np.concatenate((self.passed, linked.failed[parent].astype(np.int64)))
        known, at = np.unique(pair, return_inverse=True)
        sums = np.zeros((2, known.size), np.int64)
        np.add.at(sums[0], at, seen)
        np.add.at(sums[1], at, passed)
        return Propagation(known, sums[0], sums[1])

    def shares(self, linked: Linked) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Per span the probability that its failure fails its parent, and the pair for which that is assumed, else -1.

        Both of shape n; 0 and -1 for spans without a parent that waits. That a client span fails with the server span
        it waited for is not called an assumption: it says what the server answered.
        """
        child = np.flatnonzero((linked.parent >= 0) & ~linked.detached)
        parent = linked.parent[child]
        pair = _pairs(linked, parent, child)
        share = np.ones(child.size)
        unseen = np.ones(child.size, dtype=np.bool_)
        width = len(linked.names.operations)
        service = np.array([service for service, _ in linked.names.operations], dtype=np.int64)
        by_service = service[self.pair // width] * width + self.pair % width
        for table, wanted in ((by_service, service[pair // width] * width + pair % width), (self.pair, pair)):
            known, at = np.unique(table, return_inverse=True)
            sums = np.zeros((2, known.size), np.int64)
            np.add.at(sums[0], at, self.seen)
            np.add.at(sums[1], at, self.passed)
            place = np.searchsorted(known, wanted)
            found = place < known.size
            found[found] = known[place[found]] == wanted[found]
            share[found] = sums[1, place[found]] / sums[0, place[found]]
            unseen &= ~found
        answers = (linked.kind[parent] == CLIENT) & (linked.service[parent] != linked.service[child])
        shares = np.zeros(linked.parent.size)
        assumed = np.full(linked.parent.size, -1, dtype=np.int64)
        shares[child] = share
        assumed[child] = np.where(unseen & ~answers, pair, -1)
        return shares, assumed


def _pairs(linked: Linked, parent: NDArray[np.int32], child: NDArray[np.int64]) -> NDArray[np.int64]:
    pairs: NDArray[np.int64] = (
        linked.operation[parent].astype(np.int64) * len(linked.names.operations) + linked.operation[child]
    )
    return pairs


def pair_text(names: Names, pair: int) -> str:
    """A pair as a person names it: caller first, services where they differ."""
    caller, callee = (names.operations[at] for at in divmod(pair, len(names.operations)))
    other = "" if caller[0] == callee[0] else f"{names.services[callee[0]]} "
    return f"{names.services[caller[0]]} {caller[1]} → {other}{callee[1]}"


@kernel(f"{_F64}({_I32}, {_I32}, {_B}, {_F64}, {_B}, float64)")
def _failures(order, parent, detached, share, call, rate):  # type: ignore[no-untyped-def]
    """Per span the probability that it fails because a call at or below it does."""
    survives = np.ones(parent.size)
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        if call[i]:
            survives[i] *= 1.0 - rate
        if parent[i] >= 0 and not detached[i]:
            survives[parent[i]] *= 1.0 - share[i] * (1.0 - survives[i])
    return 1.0 - survives


def failures(linked: Linked, share: NDArray[np.float64], call: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    """Per span the probability that it newly fails when each marked call fails with probability `rate`; shape n."""
    order = parents_first(linked)
    failing: NDArray[np.float64] = _failures(order, linked.parent, linked.detached, share, call, rate)
    return failing
