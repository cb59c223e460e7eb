"""Spans into the order that linking wants: trace by trace, each by start.

What always holds: the order depends on what the spans hold and never on how they came, so that the same spans give the
same requests however they were stored. Where starts are equal, the other columns decide.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import inline, kernel

_I8, _I32, _I64, _U64, _B = "int8[::1]", "int32[::1]", "int64[::1]", "uint64[::1]", "boolean[::1]"

_KEYS = ("start", "span", "kind", "service", "dur", "operation", "failed", "parent", "environment")

_SHORT = 16  # spans that are put in order one by one before runs are merged


@inline
def _before(i, j, start, span, kind, service, dur, operation, failed, parent, environment):  # noqa: PLR0911
    """Whether span i comes before span j; of what a retry repeated, the longest first."""
    if start[i] != start[j]:
        return start[i] < start[j]
    if span[i] != span[j]:
        return span[i] < span[j]
    if kind[i] != kind[j]:
        return kind[i] < kind[j]
    if service[i] != service[j]:
        return service[i] < service[j]
    if dur[i] != dur[j]:
        return dur[i] > dur[j]
    if operation[i] != operation[j]:
        return operation[i] < operation[j]
    if failed[i] != failed[j]:
        return failed[j]
    if parent[i] != parent[j]:
        return parent[i] < parent[j]
    return environment[i] < environment[j]


@kernel(f"int64[::1]({_I32}, int64, {_I64}, {_U64}, {_I8}, {_I32}, {_I64}, {_I32}, {_B}, {_U64}, {_I32})")
def _order(trace, traces, start, span, kind, service, dur, operation, failed, parent, environment):
    """A counting sort by trace, then a merge sort within each: a trace of 100,000 spans must not take their square."""
    n = trace.size
    first = np.zeros(traces + 1, dtype=np.int64)
    for i in range(n):
        first[trace[i] + 1] += 1
    for t in range(traces):
        first[t + 1] += first[t]
    order = np.empty(n, dtype=np.int64)
    place = first[:-1].copy()
    for i in range(n):
        order[place[trace[i]]] = i
        place[trace[i]] += 1
    spare = np.empty(n, dtype=np.int64)
    for t in range(traces):
        low, high = first[t], first[t + 1]
        for begin in range(low, high, _SHORT):
            for k in range(begin + 1, min(begin + _SHORT, high)):
                mine = order[k]
                at = k
                while at > begin and _before(
                    mine, order[at - 1], start, span, kind, service, dur, operation, failed, parent, environment
                ):
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = mine
        width = _SHORT
        while width < high - low:
            for begin in range(low, high, 2 * width):
                middle, end = min(begin + width, high), min(begin + 2 * width, high)
                left, right = begin, middle
                for k in range(begin, end):
                    if left < middle and (
                        right >= end
                        or not _before(
                            order[right], order[left],
                            start, span, kind, service, dur, operation, failed, parent, environment,
                        )
                    ):  # fmt: skip
                        spare[k] = order[left]
                        left += 1
                    else:
                        spare[k] = order[right]
                        right += 1
            order[low:high] = spare[low:high]
            width *= 2
    return order


def arranged(column: dict[str, NDArray[np.generic]], traces: int) -> dict[str, NDArray[np.generic]]:
    """The same columns by trace and start; `trace` holds numbers from 0 to below `traces`. Shapes: n."""
    order = _order(column["trace"], traces, *(column[name] for name in _KEYS))
    return {name: values[order] for name, values in column.items()}


def by_end(column: dict[str, NDArray[np.generic]], end: NDArray[np.int64], traces: int) -> NDArray[np.int64]:
    """Span numbers trace by trace, each by end, the earliest first, equal ends as they stand. Shape: n."""
    number = np.arange(end.size, dtype=np.uint64)
    rest = (column[name] for name in _KEYS[2:])
    found: NDArray[np.int64] = _order(column["trace"], traces, end, number, *rest)
    return found
