"""Call paths: for each span of a request the chain of operations from the root down to it, as a number.

A client span and the server span that it waits for are one step, whose time on the way is told apart; a span that only
records a flag evaluation spends its caller's time. Sums over the paths of the critical path's own times are what a
flame graph shows. Asynchronous work is a request of its own and has its own root.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel, leaf
from traceguard.traces.link import Linked

_I32, _U64, _B = "int32[::1]", "uint64[::1]", "boolean[::1]"
NOWHERE = 0  # the path of spans of other requests, and what lies above a root


@dataclass(frozen=True, slots=True)
class CallPaths:
    """The call paths of the n spans of a partition.

    `path` and `above` (that of the caller) are hashes, `NOWHERE` for spans of requests that were not wanted;
    `operation` is the path's last; `inbound` says that the span is on the way to it.
    """

    path: NDArray[np.uint64]  # n
    above: NDArray[np.uint64]  # n
    operation: NDArray[np.int32]  # n
    inbound: NDArray[np.bool_]  # n


@leaf
def _step(above, operation):  # type: ignore[no-untyped-def]
    """The hash of a path that goes on with an operation: the finaliser of MurmurHash3 over both; never `NOWHERE`."""
    mixed = (above ^ np.uint64(0x9E3779B97F4A7C15)) + np.uint64(operation + 1) * np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return max(mixed, np.uint64(1))


@kernel(f"Tuple(({_U64}, {_U64}, {_I32}, {_B}))({_I32}, {_B}, {_I32}, {_I32}, {_I32}, {_I32}, {_B})")
def _walk(root, wanted, first_child, next_sibling, operation, callee, evaluation):  # type: ignore[no-untyped-def]
    n = operation.size
    path = np.zeros(n, dtype=np.uint64)
    above = np.zeros(n, dtype=np.uint64)
    last = np.full(n, -1, dtype=np.int32)
    inbound = np.zeros(n, dtype=np.bool_)
    stack = np.empty(n + 1, dtype=np.int32)
    caller = np.empty(n + 1, dtype=np.int32)
    for r in range(root.size):
        if not wanted[r]:
            continue
        stack[0], caller[0] = root[r], -1
        depth = 1
        while depth:
            depth -= 1
            span, parent = stack[depth], caller[depth]
            if parent >= 0 and (evaluation[span] or callee[parent] == span):
                path[span], above[span], last[span] = path[parent], above[parent], last[parent]
                inbound[span] = evaluation[span] and inbound[parent]
            else:
                step = operation[callee[span]] if callee[span] >= 0 else operation[span]
                before = path[parent] if parent >= 0 else np.uint64(0)
                path[span], above[span], last[span] = _step(before, step), before, step
                inbound[span] = callee[span] >= 0
            child = first_child[span]
            while child >= 0:
                stack[depth], caller[depth] = child, span
                depth += 1
                child = next_sibling[child]
    return path, above, last, inbound


def call_paths(linked: Linked, callee: NDArray[np.int32], wanted: NDArray[np.bool_]) -> CallPaths:
    """The call paths of the spans of the requests that `wanted` (r) marks; `callee` as of `critical_path.callees`."""
    return CallPaths(
        *_walk(
            linked.root, wanted, linked.first_child, linked.next_sibling, linked.operation, callee, linked.evaluation
        )
    )
