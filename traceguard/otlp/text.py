"""Bytes to text in an output buffer: UTF-8 repaired, JSON escaped, hexadecimal, base64, whole numbers.

Each `put_*` writes at `o` and returns the position after it; the caller has made sure of room for the stated worst
case and SLACK bytes more, since text is copied eight bytes at a time and the last eight may reach past its end.
Invalid UTF-8 becomes U+FFFD exactly as Python's `decode("utf-8", "replace")` does it: spans are evidence, a broken
name is no reason to lose one.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import leaf
from traceguard.otlp.wire import load, store

SLACK = 8
WORST_JSON = 6  # bytes of output for one byte of text: a control character becomes \\u0001
WORST_PLAIN = 3  # an invalid byte becomes the three bytes of U+FFFD

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
# What follows the backslash for each character: 0 none, 1 a \u00xx escape, else the letter.
_ESCAPE = np.zeros(256, np.uint8)
_ESCAPE[:32] = 1
for _character, _letter in (('"', '"'), ("\\", "\\"), ("\n", "n"), ("\r", "r"), ("\t", "t"), ("\b", "b"), ("\f", "f")):
    _ESCAPE[ord(_character)] = ord(_letter)
_EACH_01 = np.uint64(0x0101010101010101)
_EACH_20 = np.uint64(0x2020202020202020)
_EACH_80 = np.uint64(0x8080808080808080)
_EACH_QUOTE = np.uint64(0x2222222222222222)
_EACH_BACKSLASH = np.uint64(0x5C5C5C5C5C5C5C5C)
_EACH_A = np.uint64(0x6161616161616161)
_PLAIN = (_ESCAPE == 0) & (np.arange(256) < 128)


@leaf
def sequence(buf, i, end):
    """Length of the UTF-8 sequence at `i`, or minus the number of bytes that one U+FFFD replaces."""
    lead = buf[i]
    if lead < 0x80:
        return 1
    if lead < 0xC2 or lead > 0xF4:
        return -1
    low, high = 0x80, 0xBF
    if lead < 0xE0:
        length = 2
    elif lead < 0xF0:
        length = 3
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    else:
        length = 4
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    for k in range(1, length):
        if i + k >= end or buf[i + k] < low or buf[i + k] > high:
            return -k
        low, high = 0x80, 0xBF
    return length


@leaf
def _put_wide(buf, i, end, out, o):
    """Copy or replace the sequence at `i`, which is not ASCII: `(next i, next o)`."""
    length = sequence(buf, i, end)
    if length < 0:
        out[o] = 0xEF
        out[o + 1] = 0xBF
        out[o + 2] = 0xBD
        return i - length, o + 3
    for k in range(length):
        out[o + k] = buf[i + k]
    return i + length, o + length


@leaf
def _wide(chunk):
    """Whether any of eight bytes is not ASCII."""
    return chunk & _EACH_80 != 0


@leaf
def _special(chunk):
    """Whether any of eight bytes is not ASCII, a control character, a quote or a backslash."""
    quote, backslash = chunk ^ _EACH_QUOTE, chunk ^ _EACH_BACKSLASH
    below = (chunk - _EACH_20) & ~chunk
    return (chunk | below | ((quote - _EACH_01) & ~quote) | ((backslash - _EACH_01) & ~backslash)) & _EACH_80 != 0


@leaf
def _tail(buf, i, b):
    """The last one to seven bytes before `b` as eight, filled up with an `a` that needs no escape."""
    shift = np.uint64(8 * (b - i))
    return (load(buf, i) & ((np.uint64(1) << shift) - np.uint64(1))) | (_EACH_A << shift)


@leaf
def put_plain(buf, a, b, out, o):
    """Text as it is; at most 3 bytes for each."""
    i = a
    while i < b:
        if i + 8 <= b:
            chunk = load(buf, i)
            if not _wide(chunk):
                store(out, o, chunk)
                i += 8
                o += 8
                continue
        elif i + 8 <= buf.size:
            chunk = _tail(buf, i, b)
            if not _wide(chunk):
                store(out, o, chunk)
                return o + b - i
        c = buf[i]
        if c < 0x80:
            out[o] = c
            i += 1
            o += 1
        else:
            i, o = _put_wide(buf, i, b, out, o)
    return o


@leaf
def put_json(buf, a, b, out, o):
    """Text as a JSON string with its quotes; at most 6 bytes for each and 2."""
    out[o] = 34
    o += 1
    i = a
    while i < b:
        if i + 8 <= b:
            chunk = load(buf, i)
            if not _special(chunk):
                store(out, o, chunk)
                i += 8
                o += 8
                continue
        elif i + 8 <= buf.size:
            chunk = _tail(buf, i, b)
            if not _special(chunk):
                store(out, o, chunk)
                o += b - i
                break
        c = buf[i]
        if _PLAIN[c]:
            out[o] = c
            i += 1
            o += 1
        elif c >= 0x80:
            i, o = _put_wide(buf, i, b, out, o)
        else:
            letter = _ESCAPE[c]
            out[o] = 92
            if letter != 1:
                out[o + 1] = letter
                o += 2
            else:
                out[o + 1] = 117
                out[o + 2] = 48
                out[o + 3] = 48
                out[o + 4] = _HEX[c >> 4]
                out[o + 5] = _HEX[c & 15]
                o += 6
            i += 1
    out[o] = 34
    return o + 1


@leaf
def put_literal(literal, out, o):
    """Bytes of a constant, as they are."""
    for k in range(literal.size):
        out[o + k] = literal[k]
    return o + literal.size


@leaf
def _hex_of_four(chunk):
    """Eight hexadecimal digits, in the order of the bytes, of the lower four bytes; the upper four are zero."""
    spread = (chunk | (chunk << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    spread = (spread | (spread << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    nibbles = ((spread >> np.uint64(4)) | (spread << np.uint64(8))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    letters = ((nibbles + np.uint64(0x0606060606060606)) >> np.uint64(4)) & _EACH_01
    return nibbles + np.uint64(0x3030303030303030) + letters * np.uint64(39)


@leaf
def put_member(literal, out, o):
    """A member's name (with its colon), after a comma unless it is the first of its object."""
    if out[o - 1] != 123:
        out[o] = 44
        o += 1
    return put_literal(literal, out, o)


@leaf
def put_hex(buf, a, b, out, o):
    """Lowercase hexadecimal; 2 bytes for each."""
    i = a
    while i + 8 <= b:
        chunk = load(buf, i)
        store(out, o, _hex_of_four(chunk & np.uint64(0xFFFFFFFF)))
        store(out, o + 8, _hex_of_four(chunk >> np.uint64(32)))
        i += 8
        o += 16
    while i < b:
        c = buf[i]
        out[o] = _HEX[c >> 4]
        out[o + 1] = _HEX[c & 15]
        i += 1
        o += 2
    return o


@leaf
def put_base64(buf, a, b, out, o):
    """Base64 with padding; 4 bytes for each 3 begun."""
    i = a
    while i < b:
        left = b - i
        one = np.int64(buf[i])
        two = np.int64(buf[i + 1]) if left > 1 else 0
        three = np.int64(buf[i + 2]) if left > 2 else 0
        out[o] = _BASE64[one >> 2]
        out[o + 1] = _BASE64[(one & 3) << 4 | two >> 4]
        out[o + 2] = _BASE64[(two & 15) << 2 | three >> 6] if left > 1 else 61
        out[o + 3] = _BASE64[three & 63] if left > 2 else 61
        i += 3
        o += 4
    return o


@leaf
def put_unsigned(value, out, o):
    """A whole number of up to 20 digits."""
    value = np.uint64(value)
    ten = np.uint64(10)
    digits = 1
    rest = value // ten
    while rest > 0:
        digits += 1
        rest //= ten
    for k in range(digits - 1, -1, -1):
        tenth = value // ten
        out[o + k] = np.uint8(48 + np.int64(value - tenth * ten))
        value = tenth
    return o + digits


@leaf
def put_integer(value, out, o):
    """A signed whole number; at most 20 bytes."""
    if value < 0:
        out[o] = 45
        return put_unsigned(~np.uint64(value) + np.uint64(1), out, o + 1)
    return put_unsigned(np.uint64(value), out, o)


@leaf
def same(buf, a, b, literal, start, stop):
    """Whether the bytes from `a` to `b` equal those of `literal[start:stop]`."""
    size = b - a
    if size != stop - start:
        return False
    k = 0
    while k + 8 <= size:
        if load(buf, a + k) != load(literal, start + k):
            return False
        k += 8
    while k < size:
        if buf[a + k] != literal[start + k]:
            return False
        k += 1
    return True
