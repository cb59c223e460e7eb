"""A double as the shortest text that reads back as the same double, as Python writes it.

There is always a decimal point or an exponent. The algorithm is Schubfach: Raffaele Giulietti, "The Schubfach way to
render doubles" (2021); the shape follows Alexander Bolz's C++ version. A table of 617 powers of ten with 128 bits each
is computed when the module is imported (about a millisecond).
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import leaf
from traceguard.otlp.text import put_literal, put_unsigned

LONGEST = 32  # no double needs more bytes of text than this

_LOWEST, _HIGHEST = -292, 324


def _powers() -> "np.ndarray[tuple[int, int], np.dtype[np.uint64]]":
    """Row k holds 10^(k - 292) scaled to 128 bits and rounded up, as (high, low)."""
    rows = []
    for exponent in range(_LOWEST, _HIGHEST + 1):
        shift = 127 - ((exponent * 1741647) >> 19)
        numerator, denominator = (10**exponent, 1) if exponent >= 0 else (1, 10**-exponent)
        if shift >= 0:
            numerator <<= shift
        else:
            denominator <<= -shift
        value = -(-numerator // denominator)
        rows.append((value >> 64, value & 0xFFFFFFFFFFFFFFFF))
    return np.array(rows, np.uint64)


_POWERS = _powers()
_NAN = np.frombuffer(b"NaN", np.uint8)
_INFINITY = np.frombuffer(b"Infinity", np.uint8)


@leaf
def _multiply(x, y):
    """The 128-bit product of two 64-bit numbers as (high, low)."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, y0, y1 = x & mask, x >> half, y & mask, y >> half
    low = x0 * y0
    middle = x1 * y0 + (low >> half)
    cross = x0 * y1 + (middle & mask)
    return x1 * y1 + (middle >> half) + (cross >> half), x * y


@leaf
def _round_to_odd(high, low, value):
    """The upper 64 bits of (high, low) times value, with the last bit set when anything was cut off."""
    carry, _ = _multiply(low, value)
    top, rest = _multiply(high, value)
    total = rest + carry
    if total < rest:
        top += np.uint64(1)
    return top | np.uint64(total > np.uint64(1))


@leaf
def shortest(bits):
    """`(digits, exponent)` of a finite, positive double given by its bits: digits times ten to the exponent."""
    one = np.uint64(1)
    fraction = bits & np.uint64((1 << 52) - 1)
    biased = np.int64((bits >> np.uint64(52)) & np.uint64(0x7FF))
    if biased != 0:
        c = fraction | np.uint64(1 << 52)
        q = biased - 1075
        if 0 <= -q < 53:
            places = np.uint64(-q)
            if (c >> places) << places == c:
                return c >> places, np.int64(0)
    else:
        c = fraction
        q = np.int64(-1074)
    odd = c & one
    closer = np.uint64(fraction == 0 and biased > 1)
    k = (q * 1262611 - (524031 if closer else 0)) >> 22
    h = np.uint64(q + ((-k * 1741647) >> 19) + 1)
    high, low = _POWERS[-k - _LOWEST, 0], _POWERS[-k - _LOWEST, 1]
    four = np.uint64(4)
    centre = c * four
    below = _round_to_odd(high, low, (centre - np.uint64(2) + closer) << h)
    middle = _round_to_odd(high, low, centre << h)
    above = _round_to_odd(high, low, (centre + np.uint64(2)) << h)
    lower = below + odd
    upper = above - odd
    s = middle // four
    if s >= 10:
        tenth = s // np.uint64(10)
        down_inside = lower <= tenth * np.uint64(40)
        up_inside = tenth * np.uint64(40) + np.uint64(40) <= upper
        if down_inside != up_inside:
            return tenth + np.uint64(up_inside), k + 1
    down_inside = lower <= s * four
    up_inside = s * four + four <= upper
    if down_inside != up_inside:
        return s + np.uint64(up_inside), k
    half = s * four + np.uint64(2)
    return s + np.uint64(middle > half or (middle == half and s & one != 0)), k


@leaf
def put_double(bits, out, o, quoted):
    """The double with these bits; NaN and the infinities as words, in quotes when `quoted`. At most LONGEST bytes."""
    bits = np.uint64(bits)
    negative = bits >> np.uint64(63) != 0
    size = bits & np.uint64((1 << 63) - 1)
    special = size >= np.uint64(0x7FF0000000000000)
    if special and quoted:
        out[o] = 34
        o += 1
    if negative and size <= np.uint64(0x7FF0000000000000):
        out[o] = 45
        o += 1
    if special:
        o = put_literal(_INFINITY, out, o) if size == np.uint64(0x7FF0000000000000) else put_literal(_NAN, out, o)
        if quoted:
            out[o] = 34
            o += 1
        return o
    if size == 0:
        out[o], out[o + 1], out[o + 2] = 48, 46, 48
        return o + 3
    digits, exponent = shortest(size)
    ten = np.uint64(10)
    while digits % ten == 0:
        digits //= ten
        exponent += 1
    first = o + 8  # written aside, then moved around the decimal point
    count = put_unsigned(digits, out, first) - first
    point = exponent + count
    if -4 < point <= 16:
        return _put_fixed(out, o, first, count, point)
    out[o] = out[first]
    o += 1
    if count > 1:
        out[o] = 46
        o += 1
        for k in range(1, count):
            out[o] = out[first + k]
            o += 1
    out[o] = 101
    out[o + 1] = 43 if point > 0 else 45
    o += 2
    size_of_exponent = abs(point - 1)
    if size_of_exponent < 10:
        out[o] = 48
        o += 1
    return put_unsigned(np.uint64(size_of_exponent), out, o)


@leaf
def _put_fixed(out, o, first, count, point):
    """The digits at `first` with a decimal point after `point` of them, filled up with zeros on either side."""
    if point <= 0:
        out[o], out[o + 1] = 48, 46
        o += 2
        for _ in range(-point):
            out[o] = 48
            o += 1
        for k in range(count):
            out[o] = out[first + k]
            o += 1
        return o
    for k in range(max(count, point)):
        if k == point:
            out[o] = 46
            o += 1
        out[o] = out[first + k] if k < count else 48
        o += 1
    if count <= point:
        out[o], out[o + 1] = 46, 48
        o += 2
    return o
