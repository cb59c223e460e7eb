"""Who calls whom: pairs of operations of which one's span waited for the other's, client spans being passed over."""

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.link import Linked

_DENSE = 1 << 22  # so many possible pairs are looked up in a table rather than sorted


def caller_pairs(linked: Linked, callee: NDArray[np.int32]) -> NDArray[np.int64]:
    """The pairs caller * operations + callee of one partition, ascending; `callee` are its `callees`.

    A server span is called by what its client span is part of. Flag evaluations and work that nobody waits for are no
    calls.
    """
    child = np.flatnonzero((linked.parent >= 0) & ~linked.detached & ~linked.evaluation & (callee < 0))
    caller = linked.parent[child]
    through = callee[caller] == child
    caller = np.where(through, linked.parent[caller], caller)
    child, caller = child[caller >= 0], caller[caller >= 0]
    width = len(linked.names.operations)
    pair = linked.operation[caller].astype(np.int64) * width + linked.operation[child]
    if width * width > _DENSE:
        return np.unique(pair)
    seen = np.zeros(width * width, dtype=np.bool_)
    seen[pair] = True
    return np.flatnonzero(seen)
