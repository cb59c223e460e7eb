"""The protobuf wire format, read where it lies: tags, varints, lengths.

Every function takes the whole buffer and the bounds of the message it may look at, and never reads outside of them. A
negative position means that the bytes are not well-formed. Fields are told apart by their whole tag (number and wire
type together), so a known number with a wrong wire type is an unknown field, as in protobuf. Source:
https://protobuf.dev/programming-guides/encoding/
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.extending import intrinsic
from numba.np.arrayobj import make_array

from traceguard.kernels import leaf

MALFORMED = -1
FULL = -2  # an output buffer is too small: the caller doubles it and starts again
REPEATED = -3  # a message that may stand once stands twice: the caller merges the two and starts again

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5
_DEEPEST_GROUP = 100
_FOLD = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it can be undone
_UNFOLD = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
_LARGEST_TAG = 0xFFFFFFFF
_LONGEST = 5  # bytes; a varint may be padded, but protobuf reads no longer tags and lengths

BUFFER = "Array(uint8, 1, 'C', True)"  # numba's name for the read-only bytes that all kernels read


@intrinsic
def load(typing_context, array, index):  # noqa: ARG001  (numba matches them to the call)
    """Eight bytes of `array` from `index` on as one little-endian number, wherever they lie. Nothing is checked."""

    def generate(context, builder, signature, arguments):
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        number = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer()))
        number.align = 1
        return number

    return types.uint64(array, types.int64), generate


@intrinsic
def store(typing_context, array, index, number):  # noqa: ARG001  (numba matches them to the call)
    """Put `number` into the eight bytes of `array` from `index` on, little end first. Nothing is checked."""

    def generate(context, builder, signature, arguments):
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        target = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        builder.store(arguments[2], target).align = 1
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), generate


@leaf
def varint(buf, pos, end):
    """`(value, next position)` of the varint at `pos`; the position is negative when it does not end before `end`."""
    if pos < end:
        byte = np.uint64(buf[pos])
        if byte < 0x80:
            return byte, pos + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    for i in range(10):
        if pos + i >= end:
            return value, -1
        byte = np.uint64(buf[pos + i])
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < 0x80:
            return value, pos + i + 1
        shift += np.uint64(7)
    return value, -1


@leaf
def fixed64(buf, pos):
    """The eight little-endian bytes at `pos` as an unsigned number; the caller has checked that they are there."""
    return load(buf, pos)


@leaf
def fixed32(buf, pos):
    """The four little-endian bytes at `pos` as a number; the caller has checked that they are there."""
    value = np.int64(0)
    for i in range(4):
        value |= np.int64(buf[pos + i]) << (8 * i)
    return value


@leaf
def nonzero(buf, a, b):
    """Whether any byte between `a` and `b` is set."""
    for i in range(a, b):
        if buf[i] != 0:
            return True
    return False


@leaf
def skip_group(buf, pos, end, number):
    """The position after the end of the group `number` that was just opened, or negative.

    Nobody sends groups, but they are legal. The numbers of the open ones are folded into one: opening multiplies by
    an odd number and adds, closing takes it back, and only if each end named the group that was open is zero left.
    Field number 0 may stand inside, as protobuf's library has it.
    """
    depth, opened = 1, np.uint64(number)
    while depth > 0:
        before = pos
        tag, pos = varint(buf, pos, end)
        if pos < 0 or tag > _LARGEST_TAG or pos - before > _LONGEST:
            return np.int64(-1)
        wire = np.int64(tag) & 7
        if wire == VARINT:
            _, pos = varint(buf, pos, end)
        elif wire == FIXED64:
            pos = pos + 8
        elif wire == FIXED32:
            pos = pos + 4
        elif wire == LENGTH:
            before = pos
            size, pos = varint(buf, pos, end)
            if pos < 0 or size > np.uint64(end - pos) or pos - before > _LONGEST:
                return np.int64(-1)
            pos += np.int64(size)
        elif wire == GROUP_START and depth < _DEEPEST_GROUP:
            depth += 1
            opened = opened * _FOLD + (tag >> np.uint64(3))
        elif wire == GROUP_END:
            depth -= 1
            opened = (opened - (tag >> np.uint64(3))) * _UNFOLD
        else:
            return np.int64(-1)
        if pos < 0 or pos > end:
            return np.int64(-1)
    return np.int64(pos) if opened == 0 else np.int64(-1)


@leaf
def field(buf, pos, end):
    """`(tag, value, start, next)` of the field at `pos < end`.

    `value` is set for varints; `start` is where the payload begins for the other wire types, `next` where it ends. A
    negative `next` means malformed. A group is skipped whole.
    """
    before = pos
    tag, pos = varint(buf, pos, end)
    value = np.uint64(0)
    if pos < 0 or tag > _LARGEST_TAG or tag < 8 or pos - before > _LONGEST:
        return np.int64(0), value, np.int64(0), np.int64(-1)
    tag = np.int64(tag)
    wire = tag & 7
    if wire == LENGTH:
        before = pos
        size, pos = varint(buf, pos, end)
        if pos < 0 or size > np.uint64(end - pos) or pos - before > _LONGEST:
            return tag, value, np.int64(0), np.int64(-1)
        return tag, value, np.int64(pos), np.int64(pos + np.int64(size))
    if wire == VARINT:
        value, pos = varint(buf, pos, end)
        return tag, value, np.int64(pos), np.int64(pos)
    if wire == FIXED64:
        return tag, value, np.int64(pos), np.int64(pos + 8 if pos + 8 <= end else -1)
    if wire == FIXED32:
        return tag, value, np.int64(pos), np.int64(pos + 4 if pos + 4 <= end else -1)
    if wire == GROUP_START:
        return tag, value, np.int64(pos), skip_group(buf, pos, end, tag >> 3)
    return tag, value, np.int64(0), np.int64(-1)
