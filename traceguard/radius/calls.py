"""Visits and calls: where a request enters a service, and which spans stand for the target there.

A visit is a stay of a request in one service: a maximal tree of spans of that service, parted where a server or
consumer span answers a client or producer span of the same service (it called itself) and where asynchronous work
begins. A call is what a delay or an error is added to, once per call that enters the service: in each visit the topmost
SERVER or CONSUMER spans of the target; where it has none, its topmost spans. Spans that only record a flag evaluation
are never calls and never begin a visit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel
from traceguard.traces.link import CLIENT, CONSUMER, PRODUCER, SERVER, Linked

_I8, _I32, _B = "int8[::1]", "int32[::1]", "boolean[::1]"


@kernel(f"{_I32}({_I32})")
def _callers_first(parent):  # type: ignore[no-untyped-def]
    """All spans, each after its parent, asynchronous parents included. Linked traces hold no cycles."""
    n = parent.size
    first = np.zeros(n + 1, dtype=np.int32)
    for i in range(n):
        if parent[i] >= 0:
            first[parent[i] + 1] += 1
    for i in range(n):
        first[i + 1] += first[i]
    children = np.empty(first[n], dtype=np.int32)
    fill = first[:-1].copy()
    order = np.empty(n, dtype=np.int32)
    count = 0
    for i in range(n):
        if parent[i] >= 0:
            children[fill[parent[i]]] = i
            fill[parent[i]] += 1
        else:
            order[count] = i
            count += 1
    done = 0
    while done < count:
        i = order[done]
        done += 1
        for k in range(first[i], first[i + 1]):
            order[count] = children[k]
            count += 1
    return order


@kernel(f"Tuple(({_I32}, {_I32}, {_I32}))({_I32}, {_I32}, {_I32}, {_I8}, {_B}, {_B})")
def _visits(order, parent, service, kind, detached, evaluation):  # type: ignore[no-untyped-def]
    """Per span: the top span of its visit, and the service changes and asynchronous steps from the tree's top."""
    n = parent.size
    head = np.empty(n, dtype=np.int32)
    hops = np.zeros(n, dtype=np.int32)
    leaps = np.zeros(n, dtype=np.int32)
    for k in range(n):
        i = order[k]
        p = parent[i]
        if p < 0:
            head[i] = i
            continue
        entered = (kind[i] == SERVER or kind[i] == CONSUMER) and (kind[p] == CLIENT or kind[p] == PRODUCER)
        stays = evaluation[i] or (service[i] == service[p] and not detached[i] and not entered)
        head[i] = head[p] if stays else i
        hops[i] = hops[p] + (1 if service[i] != service[p] and not evaluation[i] else 0)
        leaps[i] = leaps[p] + (1 if detached[i] else 0)
    return head, hops, leaps


@kernel(f"Tuple(({_B}, {_B}))({_I32}, {_I32}, {_I32}, {_I8}, {_B})")
def _calls(order, parent, head, kind, member):  # type: ignore[no-untyped-def]
    """Mark the calls among the target's spans (`member`), and what lies at or below one in the same visit."""
    n = parent.size
    answered = np.zeros(n, dtype=np.bool_)  # by visit: it has a SERVER or CONSUMER span of the target
    for i in range(n):
        if member[i] and (kind[i] == SERVER or kind[i] == CONSUMER):
            answered[head[i]] = True
    call = np.zeros(n, dtype=np.bool_)
    below = np.zeros(n, dtype=np.bool_)
    for k in range(n):
        i = order[k]
        if head[i] != i and below[parent[i]]:
            below[i] = True
        elif member[i] and (not answered[head[i]] or kind[i] == SERVER or kind[i] == CONSUMER):
            call[i] = True
            below[i] = True
    return call, below


@dataclass(frozen=True, slots=True)
class Visits:
    """The visits of one partition; arrays over spans have length n. A visit is known by its topmost span, its head."""

    order: NDArray[np.int32]  # n: span indices, callers before callees
    head: NDArray[np.int32]  # n: the head of the span's visit
    hops: NDArray[np.int32]  # n: changes of service from the top of the trace's tree
    leaps: NDArray[np.int32]  # n: asynchronous steps from there


def visits_of(linked: Linked) -> Visits:
    """Part a partition into visits."""
    order = _callers_first(linked.parent)
    return Visits(
        order, *_visits(order, linked.parent, linked.service, linked.kind, linked.detached, linked.evaluation)
    )


def calls_of(linked: Linked, visits: Visits, member: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark the spans that stand for calls of the target, whose spans `member` marks, and the spans within those calls.

    Both of shape n. Within a call are the spans of its own service below it; what it calls in turn is not.
    """
    call, within = _calls(visits.order, linked.parent, visits.head, linked.kind, member & ~linked.evaluation)
    return call, within


def members(linked: Linked, service: str, operation: str | None) -> NDArray[np.bool_]:
    """Mark the spans of a service, or of one of its operations; shape n. Names that the window lacks mark nothing."""
    names = linked.names
    wanted = [o for o, (s, _) in enumerate(names.operations) if names.services[s] == service]
    if operation is not None:
        wanted = [o for o in wanted if names.operations[o][1] == operation]
    marked: NDArray[np.bool_] = np.isin(linked.operation, wanted)
    return marked
