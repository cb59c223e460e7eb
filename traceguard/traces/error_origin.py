"""Where a failed request's error began: the deepest failed span without a failed child.

One origin per failed root: from the root down through failed children, the last-finishing one where several failed. A
client span that failed although its server span did not blames the inbound edge between them (timeout, connection
loss).
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import Linked

_I32, _B = "int32[::1]", "boolean[::1]"


@kernel(f"int32[::1]({_I32}, {_I32}, {_I32}, {_B})")
def _origins(root, first_child, next_sibling, failed):  # type: ignore[no-untyped-def]
    origin = np.full(root.size, -1, dtype=np.int32)
    for r in range(root.size):
        span = root[r]
        if not failed[span]:
            continue
        child = first_child[span]
        while child >= 0:
            if failed[child]:
                span = child
                child = first_child[span]
            else:
                child = next_sibling[child]
        origin[r] = span
    return origin


def error_origins(linked: Linked) -> NDArray[np.int32]:
    """The span where each failed request's error began, -1 for requests that did not fail; shape r."""
    origin: NDArray[np.int32] = _origins(linked.root, linked.first_child, linked.next_sibling, linked.failed)
    return origin
