"""When each span of one request is on the critical path: the same walk as `critical_path`, for a person to look at.

Plain Python over one request's spans, for the few traces that a page draws.
"""

from traceguard.traces.link import Linked

Segments = dict[int, list[tuple[int, int]]]


def path_segments(linked: Linked, request: int) -> Segments:
    """By span the times (begin, end; ns) at which the request waited for that span itself, in the order of time.

    They are disjoint and fill the root's duration.
    """
    root = int(linked.root[request])
    found: Segments = {}
    stack = [(root, int(linked.start[root]), int(linked.end[root]))]
    while stack:
        span, begin, finish = stack.pop()
        own, now = [], finish
        child = int(linked.first_child[span])
        while child >= 0 and linked.end[child] > begin:
            stop, begun = min(int(linked.end[child]), finish), max(int(linked.start[child]), begin)
            if begun < stop <= now:
                own.append((stop, now))
                stack.append((child, begun, stop))
                now = begun
            child = int(linked.next_sibling[child])
        own.append((begin, now))
        found[span] = [(a, b) for a, b in reversed(own) if b > a]
    return found
