"""A typical trace as a person wants to see it: the spans that matter, when they ran, when a request waited for them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.explain.sides import Sides
from traceguard.traces.critical_path import components
from traceguard.traces.link import Linked
from traceguard.traces.path_segments import Segments, path_segments

MOST_SPANS = 26


@dataclass(frozen=True, slots=True)
class Blamed:
    """What a cause blames: a component of the requests on two sides."""

    sides: Sides
    component: int


def typical_trace(
    linked: Linked, trace: int, callee: NDArray[np.int32], blamed: Blamed, ids: dict[tuple[int, int], str]
) -> model.TypicalTrace | None:
    """The request of trace number `trace` that entered at the cause's entry point; None where the trace has none.

    `ids` are the texts of span ids by the hashes of trace and span.
    """
    first, last = np.searchsorted(linked.trace, (trace, trace + 1))
    entered = [
        int(r) for r in np.unique(linked.request[first:last])
        if linked.operation[linked.root[r]] == blamed.sides.entry and linked.whole[r]
    ]  # fmt: skip
    if not entered:
        return None
    request = entered[0]
    root = int(linked.root[request])
    belongs = components(linked, callee)
    order, _ = _tree(linked, root)
    mine = {span for span in order if belongs[span] == blamed.component and not linked.evaluation[span]}
    return drawn_request(linked, request, mine, ids, MOST_SPANS)


def drawn_request(
    linked: Linked, request: int, mine: set[int], ids: dict[tuple[int, int], str], most: int
) -> model.TypicalTrace:
    """A request with those of its spans that matter most, `most` at most; the spans `mine` are marked.

    `ids` are as for `typical_trace`.
    """
    root = int(linked.root[request])
    trace = int(linked.trace[root])
    begun, segments = int(linked.start[root]), path_segments(linked, request)
    order, above = _tree(linked, root)
    own = {span: sum(b - a for a, b in segments.get(span, [])) for span in order}
    kept = _kept(order, above, own, mine, most)
    number = {span: i for i, span in enumerate(kept)}
    looked_at = max(mine, key=lambda span: own[span], default=root)
    return model.TypicalTrace(
        trace_id=str(linked.trace_ids[trace]),
        span_id=ids.get((int(linked.trace_hash[trace]), int(linked.span_hash[looked_at]))),
        start_ms=begun // 1_000_000, end_ms=-(-int(linked.end[root]) // 1_000_000),
        duration_ms=(int(linked.end[root]) - begun) / 1e6, blamed_ms=sum(own[span] for span in mine) / 1e6,
        spans=[_span(linked, span, number.get(above[span], -1), begun, segments, span in mine) for span in kept],
        left_out=len(order) - len(kept),
    )  # fmt: skip


def _tree(linked: Linked, root: int) -> tuple[list[int], dict[int, int]]:
    """The request's spans, each below its caller and in the order in which they began; and each one's caller."""
    order, above, stack = list[int](), {root: -1}, [root]
    while stack:
        span = stack.pop()
        order.append(span)
        called, child = list[int](), int(linked.first_child[span])
        while child >= 0:
            called.append(child)
            above[child] = span
            child = int(linked.next_sibling[child])
        stack += sorted(called, key=lambda c: (-int(linked.start[c]), -c))
    return order, above


def _kept(order: list[int], above: dict[int, int], own: dict[int, int], mine: set[int], most: int) -> list[int]:
    """The spans that matter most, with their callers, in the order of `order`."""
    kept: set[int] = set()
    for span in sorted(order, key=lambda s: (s not in mine, -own[s])):
        chain, at = [], span
        while at >= 0 and at not in kept:
            chain.append(at)
            at = above[at]
        if len(kept) + len(chain) <= most or not kept:
            kept |= set(chain)
    return [span for span in order if span in kept]


def _span(linked: Linked, span: int, above: int, begun: int, segments: Segments, marked: bool) -> model.TraceSpan:
    service, operation, _ = linked.names.component(2 * int(linked.operation[span]))
    return model.TraceSpan(
        above=above, service=service, operation=operation, start_ms=(int(linked.start[span]) - begun) / 1e6,
        duration_ms=int(linked.end[span] - linked.start[span]) / 1e6,
        on_path=[((a - begun) / 1e6, (b - begun) / 1e6) for a, b in segments.get(span, [])],
        failed=bool(linked.failed[span]), marked=marked,
    )  # fmt: skip
