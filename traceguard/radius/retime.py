"""Retiming: when every span of a request would have ended, had some spans taken longer.

The model, for a span and its synchronous children (children that only record a flag evaluation are not among them):

- A child's start is tied to what had happened before it: the latest of the parent's start and of the ends of those
  siblings that had ended when it started. It keeps its distance to that instant; each of those events moves on its own
  and the latest moved one counts, so a delay in one of several parallel siblings is absorbed up to its slack.
- The parent's end is tied in the same way to its start and to the ends of the children it waited for, keeps its
  distance to the latest of them (its own last work), and its own extra time comes after that.
- A parent waits for the children that ended by its end. One that outlived it was waited for if it ran in another
  service and the parent did not fail: their clocks differ by more than what the answer took on the way. It counts as
  having ended with its parent. Work of the same service that outlives its parent, and calls that the parent gave up
  (it failed), hold nobody up.
- Asynchronous work does not move its parent; it is a request of its own.

What always holds: without extra time nothing moves; extra time is never negative, so nothing ends earlier, and a root
ends later by at most the sum of the extra time below it. What starts after a delayed span inside each ancestor shifts;
what ran beside it does not. Fan-out sorts a span's children, so a span with k children costs k log k.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import inline, kernel

if TYPE_CHECKING:
    from traceguard.radius.trees import Trees
    from traceguard.traces.link import Linked

_I32, _I64, _B = "int32[::1]", "int64[::1]", "boolean[::1]"
_WIDE = 64  # from this many children on, sorting by merging beats sorting by insertion


@kernel(f"{_I32}({_I32}, {_I32}, {_I32})")
def _parents_first(root, first_child, next_sibling):  # type: ignore[no-untyped-def]
    """The spans of all requests, each after its parent; what no request waits for (evaluations) is left out."""
    order = np.empty(first_child.size, dtype=np.int32)
    count = 0
    for r in range(root.size):
        done = count
        order[count] = root[r]
        count += 1
        while done < count:
            child = first_child[order[done]]
            done += 1
            while child >= 0:
                order[count] = child
                count += 1
                child = next_sibling[child]
    return order[:count].copy()


@inline
def _sort(spans, count, key, tie):  # type: ignore[no-untyped-def]
    """Sort `spans[:count]` by (key, tie, index) in place."""
    if count > _WIDE:
        part = np.sort(spans[:count])
        part = part[np.argsort(tie[part], kind="mergesort")]
        spans[:count] = part[np.argsort(key[part], kind="mergesort")]
        return
    for k in range(1, count):
        c = spans[k]
        j = k - 1
        while j >= 0:
            d = spans[j]
            if key[d] < key[c] or (key[d] == key[c] and (tie[d] < tie[c] or (tie[d] == tie[c] and d < c))):
                break
            spans[j + 1] = d
            j -= 1
        spans[j + 1] = c


@inline
def _place(i, by_start, by_end, start, end, length, offset, placed):  # type: ignore[no-untyped-def]
    """Tie the starts of span `i`'s children to what had ended before them."""
    # The latest event so far, as recorded and as moved, both after the parent's start; at first that start itself.
    then = np.int64(0)
    now = np.int64(0)
    ended = 0
    for c in by_start:
        while ended < by_end.size:
            e = by_end[ended]
            if end[e] > start[c] or not placed[e]:
                break
            then = max(then, end[e] - start[i])
            now = max(now, offset[e] + length[e])
            ended += 1
        offset[c] = now + (start[c] - start[i] - then)
        placed[c] = True


@inline
def _joined(i, children, service, failed, start, end, length, offset):  # type: ignore[no-untyped-def]
    """The new duration of span `i`, whose end is tied to the children it waited for, before its own extra time."""
    then = np.int64(0)
    now = np.int64(0)
    for e in children:
        over = end[e] - end[i]
        if over <= 0:
            then = max(then, end[e] - start[i])
            now = max(now, offset[e] + length[e])
        elif service[e] != service[i] and not failed[i]:
            then = end[i] - start[i]
            now = max(now, offset[e] + length[e] - over)
    return now + (end[i] - start[i] - then)


@kernel(f"Tuple(({_I64}, {_I64}))({_I32}, {_I32}, {_I32}, {_I32}, {_B}, {_I64}, {_I64}, {_I64})")
def _stretched(order, first_child, next_sibling, service, failed, start, end, extra):  # type: ignore[no-untyped-def]
    """New durations, and new starts after the parents' new ones."""
    n = start.size
    length = end - start  # new durations
    offset = np.zeros(n, dtype=np.int64)  # new start after the parent's new start
    placed = np.zeros(n, dtype=np.bool_)
    by_start = np.empty(n, dtype=np.int32)
    by_end = np.empty(n, dtype=np.int32)
    longer = np.zeros(n, dtype=np.bool_)  # there is extra time in the span or below it
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        count = 0
        child = first_child[i]
        below = False
        while child >= 0:
            by_start[count] = child
            count += 1
            offset[child] = start[child] - start[i]
            below |= longer[child]
            child = next_sibling[child]
        if below:
            # Children come latest end first: turned round they are nearly in both orders.
            by_start[:count] = by_start[:count][::-1].copy()
            by_end[:count] = by_start[:count]
            _sort(by_start, count, start, end)
            _sort(by_end, count, end, start)
            _place(i, by_start[:count], by_end[:count], start, end, length, offset, placed)
            length[i] = _joined(i, by_end[:count], service, failed, start, end, length, offset)
        length[i] += extra[i]
        longer[i] = below or extra[i] != 0
    return length, offset


@kernel(f"{_I64}({_I32}, {_I32}, {_I32}, {_I64}, {_I64})")
def _placed(order, first_child, next_sibling, start, offset):  # type: ignore[no-untyped-def]
    """New starts, where roots keep theirs."""
    moved = start.copy()
    for k in range(order.size):
        i = order[k]
        child = first_child[i]
        while child >= 0:
            moved[child] = moved[i] + offset[child]
            child = next_sibling[child]
    return moved


def parents_first(
    root: NDArray[np.int32], first_child: NDArray[np.int32], next_sibling: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The spans that the requests with these roots wait for, each after its parent; at most n."""
    order: NDArray[np.int32] = _parents_first(root, first_child, next_sibling)
    return order


def retime(linked: "Linked", extra_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """New starts and ends of all spans (ns since the epoch, shape n) when each span works `extra_ns` longer.

    `extra_ns` has shape n and is not negative. Roots keep their starts. Spans of recorded evaluations keep their times.
    """
    order = parents_first(linked.root, linked.first_child, linked.next_sibling)
    length, offset = _durations(linked, extra_ns, order)
    start: NDArray[np.int64] = _placed(order, linked.first_child, linked.next_sibling, linked.start, offset)
    return start, start + length


def stretched(trees: "Trees", extra_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """How long each request takes when each span works `extra_ns` (m, not negative) longer, ns; shape h."""
    order = np.arange(trees.parent.size, dtype=np.int32)
    took: NDArray[np.int64] = _durations(trees, extra_ns, order)[0][trees.root]
    return took


def _durations(
    of: "Linked | Trees", extra_ns: NDArray[np.int64], order: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    length, offset = _stretched(
        order, of.first_child, of.next_sibling, of.service, of.failed, of.start, of.end, extra_ns
    )
    return length, offset
