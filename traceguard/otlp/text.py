"""Bytes to text in an output buffer: UTF-8 repaired, JSON escaped, hexadecimal, base64, whole numbers.

Each `put_*` writes at `o` and returns the position after it; the caller has made sure of room for the stated worst case. Invalid UTF-8
becomes U+FFFD exactly as Python's `decode("utf-8", "replace")` does it: spans are evidence, a broken name is no reason to lose one.
"""

import numpy as np

from traceguard.kernels import inline

WORST_JSON = 6  # bytes of output for one byte of text: a control character becomes \\u0001
WORST_PLAIN = 3  # an invalid byte becomes the three bytes of U+FFFD

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
# What follows the backslash for each character: 0 none, 1 a \u00xx escape, else the letter.
_ESCAPE = np.zeros(256, np.uint8)
_ESCAPE[:32] = 1
for _character, _letter in (('"', '"'), ("\\", "\\"), ("\n", "n"), ("\r", "r"), ("\t", "t"), ("\b", "b"), ("\f", "f")):
    _ESCAPE[ord(_character)] = ord(_letter)
_PLAIN = (_ESCAPE == 0) & (np.arange(256) < 128)


@inline
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


@inline
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


@inline
def put_plain(buf, a, b, out, o):
    """Text as it is; at most 3 bytes for each."""
    i = a
    while i < b:
        c = buf[i]
        if c < 0x80:
            out[o] = c
            i += 1
            o += 1
        else:
            i, o = _put_wide(buf, i, b, out, o)
    return o


@inline
def put_json(buf, a, b, out, o):
    """Text as a JSON string with its quotes; at most 6 bytes for each and 2."""
    out[o] = 34
    o += 1
    i = a
    while i < b:
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


@inline
def put_literal(literal, out, o):
    """Bytes of a constant, as they are."""
    for k in range(literal.size):
        out[o + k] = literal[k]
    return o + literal.size


@inline
def put_hex(buf, a, b, out, o):
    """Lowercase hexadecimal; 2 bytes for each."""
    for i in range(a, b):
        c = buf[i]
        out[o] = _HEX[c >> 4]
        out[o + 1] = _HEX[c & 15]
        o += 2
    return o


@inline
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


@inline
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


@inline
def put_integer(value, out, o):
    """A signed whole number; at most 20 bytes."""
    if value < 0:
        out[o] = 45
        return put_unsigned(~np.uint64(value) + np.uint64(1), out, o + 1)
    return put_unsigned(np.uint64(value), out, o)


@inline
def same(buf, a, b, literal, start, stop):
    """Whether the bytes from `a` to `b` equal those of `literal[start:stop]`."""
    if b - a != stop - start:
        return False
    for k in range(b - a):
        if buf[a + k] != literal[start + k]:
            return False
    return True
