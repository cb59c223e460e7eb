"""Where a failed request's error began, and the way it took to the root.

One origin per failed root: the deepest failed span without a failed child, from the root down through failed children,
the last-finishing one where several failed. A failed attempt that was repeated is handled and leads nowhere: if the
repeat failed as well, that is the way down. A client span that failed although its server span did not blames the
inbound edge between them (timeout, connection loss).
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import Linked, Names

_I32, _U64, _B = "int32[::1]", "uint64[::1]", "boolean[::1]"

Path = tuple[int, ...]  # operation ids from the request's root to where the error began


@kernel(f"int32[::1]({_I32}, {_I32}, {_I32}, {_B}, {_B})")
def _origins(root, first_child, next_sibling, failed, handled):  # type: ignore[no-untyped-def]
    origin = np.full(root.size, -1, dtype=np.int32)
    for r in range(root.size):
        span = root[r]
        if not failed[span]:
            continue
        child = first_child[span]
        while child >= 0:
            if failed[child] and not handled[child]:
                span = child
                child = first_child[span]
            else:
                child = next_sibling[child]
        origin[r] = span
    return origin


@kernel(f"{_U64}({_I32}, {_I32}, {_I32}, {_I32}, {_I32})")
def _path_hashes(root, origin, parent, operation, callee):  # type: ignore[no-untyped-def]
    """A number per failed request that is the same for the same operations from origin to root; 0 for none."""
    hashes = np.zeros(root.size, dtype=np.uint64)
    for r in range(root.size):
        span = origin[r]
        if span < 0:
            continue
        below = np.int32(-1)
        code = np.uint64(1469598103934665603)
        while True:
            # FNV-1a; a client span whose server span is on the path is the way between them, no step of its own.
            if below < 0 or callee[span] != below:
                named = callee[span] if below < 0 and callee[span] >= 0 else span
                code = (code ^ np.uint64(operation[named] + 1)) * np.uint64(1099511628211)
                code ^= code >> np.uint64(29)
            if span == root[r]:
                break
            below = span
            span = parent[span]
        hashes[r] = max(code, np.uint64(1))
    return hashes


def error_origins(linked: Linked, handled: NDArray[np.bool_] | None = None) -> NDArray[np.int32]:
    """The span where each failed request's error began, -1 for requests that did not fail; shape r.

    `handled` (n) marks failed attempts that were repeated.
    """
    nothing = np.zeros(linked.failed.size, dtype=np.bool_) if handled is None else handled
    origin: NDArray[np.int32] = _origins(linked.root, linked.first_child, linked.next_sibling, linked.failed, nothing)
    return origin


def handled_failures(linked: Linked, origin: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many failures began in each request beside the one that failed it; shape r. `origin` (r) are its origins.

    A failure begins at a failed span without a failed child, as an origin does.
    """
    failed = linked.failed & ~linked.evaluation
    passes_on = np.zeros(failed.size, dtype=np.bool_)
    below = failed & (linked.parent >= 0) & ~linked.detached
    passes_on[linked.parent[below]] = True
    began = np.bincount(linked.request[failed & ~passes_on], minlength=linked.root.size)
    # What began at an origin failed the request; it is among the ones that began unless it is a caller that gave up.
    blamed = np.maximum(origin, 0)
    counted = (origin >= 0) & failed[blamed] & ~passes_on[blamed]
    handled: NDArray[np.int32] = (began - counted).astype(np.int32)
    return handled


def error_paths(
    linked: Linked, origin: NDArray[np.int32], callee: NDArray[np.int32]
) -> tuple[NDArray[np.uint64], dict[int, Path]]:
    """Each failed request's way of the error, as a number (r, 0 for none), and what the numbers stand for.

    Numbers are the same in all partitions of an analysis. A client span where the error
    began counts as the operation that it calls.
    """
    hashes: NDArray[np.uint64] = _path_hashes(linked.root, origin, linked.parent, linked.operation, callee)
    known, first = np.unique(hashes, return_index=True)
    paths = {int(h): _path(linked, int(r), origin, callee) for h, r in zip(known, first, strict=True) if h}
    return hashes, paths


def _path(linked: Linked, r: int, origin: NDArray[np.int32], callee: NDArray[np.int32]) -> Path:
    """One request's path, told once per distinct path."""
    span, below, path = int(origin[r]), -1, []
    while True:
        if below < 0 or callee[span] != below:
            path.append(int(linked.operation[callee[span] if below < 0 and callee[span] >= 0 else span]))
        if span == linked.root[r]:
            return tuple(reversed(path))
        span, below = int(linked.parent[span]), span


def path_text(names: Names, path: Path) -> str:
    """A path as a person reads it: the root first."""
    return " → ".join(f"{names.services[s]} {o}" for s, o in (names.operations[at] for at in path))
