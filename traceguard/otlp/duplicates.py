"""How many spans came before: what a client sends again when an answer got lost, counted among the last million.

Nothing is dropped here; the store's views count a span once whatever lies in its tables. This only tells how often it
happens. A span is known by a hash of its ids and start, of which 32 bits are kept in one of 2^18 places of 16, the
newest first. So a repeat within a million spans is missed once in a hundred thousand times, within two million once in
two hundred; and one span in some 250 million is taken for another.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from traceguard.kernels import kernel, leaf
from traceguard.otlp.wire import BUFFER, load

_PLACES, _WAYS = 2**18, 16  # 16 MiB; a place is one line of the processor's cache
_PRIME = 0x9E3779B97F4A7C15


@leaf
def _fold(code, word):
    code = (code ^ word) * np.uint64(_PRIME)
    return code ^ (code >> np.uint64(32))


@leaf
def _fold_text(code, buf, a, b):
    while a + 8 <= b:
        code = _fold(code, load(buf, a))
        a += 8
    for i in range(a, b):
        code = _fold(code, np.uint64(buf[i]))
    return code


@kernel(
    f"int64({BUFFER}, Array(int32, 1, 'C', True), {BUFFER}, Array(int32, 1, 'C', True), Array(int64, 1, 'C', True),"
    " uint32[:, ::1])",
    allocates=False,
)
def _count(traces, trace_ends, spans, span_ends, starts, seen):
    """Add all spans to `seen`: how many were there."""
    found = np.int64(0)
    for row in range(starts.size):
        code = _fold_text(np.uint64(starts[row]), traces, trace_ends[row], trace_ends[row + 1])
        code = _fold_text(code, spans, span_ends[row], span_ends[row + 1])
        code = _fold(code, np.uint64(_PRIME))
        place = np.int64(code & np.uint64(_PLACES - 1))
        mark = np.uint32(max(code >> np.uint64(32), np.uint64(1)))  # 0 is an empty way
        way = 0
        while way < _WAYS - 1 and seen[place, way] != mark:
            way += 1
        found += seen[place, way] == mark
        while way > 0:  # to the front, which keeps a span that comes again and again
            seen[place, way] = seen[place, way - 1]
            way -= 1
        seen[place, 0] = mark
    return found


class Recent:
    """The spans of late, in 16 MiB whatever comes; one thread at a time."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: NDArray[np.uint32] = np.zeros((_PLACES, _WAYS), np.uint32)

    def count(self, spans: pa.Table) -> int:
        """Add the spans of a table (`columns.SPANS`), and count those that were there before, within it too."""
        found = 0
        for batch in spans.select(["trace_id", "span_id", "start_ns"]).to_batches():
            trace_ends, traces = _text(batch.column(0))
            span_ends, ids = _text(batch.column(1))
            starts = batch.column(2).to_numpy()
            found += int(_count(traces, trace_ends, ids, span_ends, starts, self._seen))
        return found


def _text(column: pa.StringArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Where the texts of a column end, and their bytes."""
    _, ends, data = column.buffers()
    bounds = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1]
    return bounds, np.frombuffer(b"" if data is None else data, np.uint8)
