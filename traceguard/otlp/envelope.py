"""The outer three levels of OTLP: where the spans or log records of a request lie, under which resource and scope.

Traces and logs share these levels field by field, so one pair of loops serves both: count first, then fill arrays of
the exact size.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import InputError
from traceguard.kernels import kernel
from traceguard.otlp.merge import RepeatedError
from traceguard.otlp.wire import BUFFER, REPEATED, field

_LENGTH_1, _LENGTH_2, _LENGTH_3 = 10, 18, 26  # tags of the length-delimited fields 1 to 3

_MOST_PARTS = 2**20
_PART_BYTES = 32  # larger bodies may hold more: a span with its ids and times has at least 48 bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """Bounds `[start, end)` into the body; -1 for what is not there.

    `resources` is R x 4: the Resource message and its schema URL. `scopes` is S x 5: the InstrumentationScope
    message, its schema URL and the number of its resource. `items` is N x 3: the Span or LogRecord message and the
    number of its scope.
    """

    resources: NDArray[np.int64]
    scopes: NDArray[np.int64]
    items: NDArray[np.int64]


@kernel(f"int64({BUFFER}, int64[::1])", allocates=False)
def _count(buf, counts):
    """Add up resources, scopes and items; 0, or -1 when a level is malformed."""
    pos = 0
    while pos < buf.size:
        tag, _, start, pos = field(buf, pos, buf.size)
        if pos < 0:
            return -1
        if tag != _LENGTH_1:
            continue
        counts[0] += 1
        inner = start
        while inner < pos:
            tag, _, start, inner = field(buf, inner, pos)
            if inner < 0:
                return -1
            if tag != _LENGTH_2:
                continue
            counts[1] += 1
            item = start
            while item < inner:
                tag, _, start, item = field(buf, item, inner)
                if item < 0:
                    return -1
                counts[2] += tag == _LENGTH_2
    return 0


@kernel(f"int64({BUFFER}, int64[:, ::1], int64[:, ::1], int64[:, ::1])", allocates=False)
def _index(buf, resources, scopes, items):
    """Fill the arrays of an Envelope, whose sizes and the body's framing `_count` has checked: 0 or REPEATED."""
    r, s, n = -1, -1, -1
    pos = 0
    while pos < buf.size:
        tag, _, start, pos = field(buf, pos, buf.size)
        if tag != _LENGTH_1:
            continue
        r += 1
        inner = start
        while inner < pos:
            tag, _, start, inner = field(buf, inner, pos)
            if tag == _LENGTH_1:
                if resources[r, 0] >= 0:
                    return REPEATED
                resources[r, 0], resources[r, 1] = start, inner
            elif tag == _LENGTH_3:
                resources[r, 2], resources[r, 3] = start, inner
            elif tag == _LENGTH_2:
                s += 1
                scopes[s, 4] = r
                item = start
                while item < inner:
                    tag, _, start, item = field(buf, item, inner)
                    if tag == _LENGTH_2:
                        n += 1
                        items[n, 0], items[n, 1], items[n, 2] = start, item, s
                    elif tag == _LENGTH_1:
                        if scopes[s, 0] >= 0:
                            return REPEATED
                        scopes[s, 0], scopes[s, 1] = start, item
                    elif tag == _LENGTH_3:
                        scopes[s, 2], scopes[s, 3] = start, item
    return 0


def unfold(buf: NDArray[np.uint8]) -> Envelope:
    """The envelope of a whole request body.

    InputError when its outer levels are not well-formed protobuf, or hold next to nothing millions of times: a row
    costs some hundred bytes, the two bytes of an empty record must not. RepeatedError when a resource or scope stands
    twice.
    """
    counts = np.zeros(3, np.int64)
    if _count(buf, counts) < 0:
        message = "The body is not an OTLP protobuf request, or it is cut off; send the whole message."
        raise InputError(message)
    most = max(_MOST_PARTS, buf.size // _PART_BYTES)
    if counts.sum() > most:
        message = (
            f"The body has {counts.sum():,} resources, scopes and records, more than {most:,}; send smaller batches."
        )
        raise InputError(message)
    resources, scopes, items = (np.full((int(n), k), -1, np.int64) for n, k in zip(counts, (4, 5, 3), strict=True))
    if _index(buf, resources, scopes, items) == REPEATED:
        raise RepeatedError
    return Envelope(resources, scopes, items)
