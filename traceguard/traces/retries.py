"""Retries: calls that repeat a failed attempt, and whose time the failed attempts are.

A call is a client or server span below the same parent (a span of another service where kinds are lost). It repeats the
failed call of the same operation that ended last before it began and that no other call repeats; so of a loop over many
items only the next call counts as the retry of a failed one. Operations are the same if the caller's spans have one
name and lead to the same operation of the callee; where an attempt never arrived, a bare HTTP method is no name. A span
that says of itself that it was sent again (`http.request.resend_count`) is a retry whatever came before.

A failed attempt that was repeated is handled: no error begins there. Waiting for it was the caller's choice, so its
time on the critical path is the caller's self time, and the callee's latency is that of the attempts that counted. Each
attempt is a call. What lies between attempts below one client span stays on the way into the callee.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import CLIENT, SERVER, UNSPECIFIED, Linked, Names

LOOK_BACK = 64  # failed calls below one parent among which a call looks for the one that it repeats
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})

_I8, _I32, _I64, _B = "int8[::1]", "int32[::1]", "int64[::1]", "boolean[::1]"


@dataclass(frozen=True, slots=True)
class Retries:
    """Which calls of a partition repeat another; arrays of length n."""

    of: NDArray[np.int32]  # the failed call that this one repeats, -1 for none
    again: NDArray[np.bool_]  # the call repeats another, also where that is not in the data
    repeated: NDArray[np.bool_]  # the failed call was repeated
    charged: NDArray[np.int32]  # the component that pays for a repeated attempt and all below it, -1 elsewhere


@kernel(f"boolean[::1]({_I32}, {_I8}, {_I32}, {_I32}, {_B}, {_B})")
def _calls(parent, kind, service, callee, detached, evaluation):  # type: ignore[no-untyped-def]
    """Mark the spans that are calls of their parent."""
    call = np.zeros(parent.size, dtype=np.bool_)
    for i in range(parent.size):
        p = parent[i]
        if p < 0 or detached[i] or evaluation[i]:
            continue
        elsewhere = kind[i] == UNSPECIFIED and (callee[i] >= 0 or service[i] != service[p])
        call[i] = kind[i] == CLIENT or kind[i] == SERVER or elsewhere
    return call


@kernel(f"{_I32}({_I32}, {_I32}, {_I32}, {_I64}, {_I64}, {_I32}, {_I32}, {_B}, {_B}, {_B}, {_B}, int64)")
def _repeats(  # type: ignore[no-untyped-def]
    parent, first_child, next_sibling, start, end, operation, callee, call, failed, resent, vague, look_back
):
    """For each call the failed call that it repeats, -1 for none."""
    n = parent.size
    of = np.full(n, -1, dtype=np.int32)
    hot = np.zeros(n, dtype=np.bool_)
    for i in range(n):
        if failed[i] and call[i]:
            hot[parent[i]] = True
    below = np.full(n, -1, dtype=np.int32)  # the failed call that waited before this one did
    head = np.full(vague.size, -1, dtype=np.int32)  # by operation, the failed call that ended last
    by_end = np.empty(16, dtype=np.int32)
    by_start = np.empty(16, dtype=np.int32)
    for p in range(n):
        if not hot[p]:
            continue
        k = 0
        child = first_child[p]
        while child >= 0:
            k += call[child]
            child = next_sibling[child]
        if k < 2:
            continue
        if k > by_end.size:
            by_end = np.empty(2 * k, dtype=np.int32)
            by_start = np.empty(2 * k, dtype=np.int32)
        at = k
        child = first_child[p]
        while child >= 0:
            if call[child]:
                at -= 1
                by_end[at] = child
            child = next_sibling[child]
        if k <= 32:
            for q in range(k):
                i = by_end[q]
                at = q
                while at > 0 and start[by_start[at - 1]] > start[i]:
                    by_start[at] = by_start[at - 1]
                    at -= 1
                by_start[at] = i
        else:
            order = np.argsort(start[by_end[:k]], kind="mergesort")
            for q in range(k):
                by_start[q] = by_end[order[q]]
        ended = 0
        for q in range(k):
            i = by_start[q]
            while ended < k and by_end[ended] != i and end[by_end[ended]] <= start[i]:
                j = by_end[ended]
                if failed[j]:
                    below[j] = head[operation[j]]
                    head[operation[j]] = j
                ended += 1
            above = np.int32(-1)
            j = head[operation[i]]
            for _ in range(look_back):
                if j < 0:
                    break
                if callee[i] >= 0 and callee[j] >= 0:
                    same = operation[callee[i]] == operation[callee[j]]
                else:
                    same = not vague[operation[i]]
                if same or resent[i]:
                    of[i] = j
                    if above < 0:
                        head[operation[i]] = below[j]
                    else:
                        below[above] = below[j]
                    break
                above = j
                j = below[j]
        for q in range(k):
            head[operation[by_end[q]]] = -1
    return of


@kernel(f"{_I32}({_I32}, {_I32}, {_I32}, {_I32}, {_I32}, {_I32}, {_I32}, {_B}, {_B})")
def _charge(  # type: ignore[no-untyped-def]
    root, request, attempts, first_child, next_sibling, parent, operation, waits, repeated
):
    """The caller's self component on every span of a repeated attempt, -1 elsewhere; the outermost attempt decides."""
    n = parent.size
    charged = np.full(n, -1, dtype=np.int32)
    visited = np.zeros(root.size, dtype=np.bool_)
    stack = np.empty(n + 1, dtype=np.int32)
    for a in range(attempts.size):
        r = request[attempts[a]]
        if visited[r]:
            continue
        visited[r] = True
        stack[0] = root[r]
        depth = 1
        while depth:
            depth -= 1
            span = stack[depth]
            child = first_child[span]
            while child >= 0:
                if charged[span] >= 0:
                    charged[child] = charged[span]
                elif repeated[child]:
                    caller = span
                    while waits[caller] and caller != root[r]:
                        caller = parent[caller]
                    charged[child] = 2 * operation[caller]
                stack[depth] = child
                depth += 1
                child = next_sibling[child]
    return charged


@lru_cache(maxsize=8)
def _vague(names: Names) -> NDArray[np.bool_]:
    """The operations whose name is but an HTTP method, which says nothing of the callee."""
    return np.array([name.upper().removeprefix("HTTP ").strip() in _METHODS for _, name in names.operations], np.bool_)


def calls(linked: Linked, callee: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The spans that are calls of their parent; shape n."""
    found: NDArray[np.bool_] = _calls(
        linked.parent, linked.kind, linked.service, callee, linked.detached, linked.evaluation
    )
    return found


def retries(
    linked: Linked, callee: NDArray[np.int32], resent: NDArray[np.bool_] | None = None, *, look_back: int = LOOK_BACK
) -> Retries:
    """Find the calls that repeat a failed one; `resent` (n) marks spans that say so themselves."""
    n = linked.parent.size
    says = np.zeros(n, dtype=np.bool_) if resent is None else resent
    call = calls(linked, callee)
    of: NDArray[np.int32] = _repeats(
        linked.parent, linked.first_child, linked.next_sibling, linked.start, linked.end, linked.operation, callee,
        call, linked.failed, says, _vague(linked.names), look_back,
    )  # fmt: skip
    found = of >= 0
    repeated = np.zeros(n, dtype=np.bool_)
    repeated[of[found]] = True
    attempts = np.flatnonzero(repeated).astype(np.int32)
    if attempts.size:
        charged = _charge(
            linked.root, linked.request, attempts, linked.first_child, linked.next_sibling, linked.parent,
            linked.operation, callee >= 0, repeated,
        )  # fmt: skip
    else:
        charged = np.full(n, -1, dtype=np.int32)
    return Retries(of, found | (says & call), repeated, charged)
