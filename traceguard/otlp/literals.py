"""What JSON literals stand for, as bytes: text, whole numbers, hexadecimal, base64; and the lengths of messages.

Each `put_*` writes at `o` and returns the position after it, or a negative number when the literal is none.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import leaf
from traceguard.otlp.wire import load

LENGTH_BYTES = 5  # a length is written as a varint of five bytes whatever its value, when the message closes

_HEX_VALUE = np.full(256, 255, np.uint8)
_HEX_VALUE[48:58] = np.arange(10)
_HEX_VALUE[65:71] = np.arange(10, 16)
_HEX_VALUE[97:103] = np.arange(10, 16)
_BASE64_VALUE = np.full(256, 255, np.uint8)
for _number, _letter in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
    _BASE64_VALUE[_letter] = _number
_BASE64_VALUE[ord("-")], _BASE64_VALUE[ord("_")] = 62, 63
_UNESCAPED = np.zeros(256, np.uint8)
for _letter, _character in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _UNESCAPED[_letter] = _character


@leaf
def skip_space(buf, pos):
    """The first position from `pos` on that is no white space."""
    while pos < buf.size and (buf[pos] == 32 or buf[pos] == 10 or buf[pos] == 13 or buf[pos] == 9):
        pos += 1
    return pos


@leaf
def end_of_text(buf, pos):
    """`(end, escaped)` of the JSON string whose first character is at `pos`.

    The end is where its quote is, or negative when there is none.
    """
    escaped = False
    while True:
        if pos + 8 <= buf.size:
            chunk = load(buf, pos)
            quote, backslash = chunk ^ np.uint64(0x2222222222222222), chunk ^ np.uint64(0x5C5C5C5C5C5C5C5C)
            one = np.uint64(0x0101010101010101)
            if (((quote - one) & ~quote) | ((backslash - one) & ~backslash)) & np.uint64(0x8080808080808080) == 0:
                pos += 8
                continue
        if pos >= buf.size:
            return np.int64(-1), escaped
        if buf[pos] == 34:
            return np.int64(pos), escaped
        if buf[pos] == 92:
            escaped = True
            pos += 1
        pos += 1


@leaf
def _code_unit(buf, pos, end):
    """The number of the four hexadecimal digits at `pos`, or negative."""
    if pos + 4 > end:
        return np.int64(-1)
    value = np.int64(0)
    for k in range(4):
        digit = _HEX_VALUE[buf[pos + k]]
        if digit > 15:
            return np.int64(-1)
        value = value * 16 + digit
    return value


@leaf
def _put_character(code, out, o):
    """A character as UTF-8; half of a surrogate pair becomes U+FFFD."""
    if 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    if code < 0x80:
        out[o] = code
        return o + 1
    if code < 0x800:
        out[o] = 0xC0 | code >> 6
        out[o + 1] = 0x80 | code & 63
        return o + 2
    if code < 0x10000:
        out[o] = 0xE0 | code >> 12
        out[o + 1] = 0x80 | code >> 6 & 63
        out[o + 2] = 0x80 | code & 63
        return o + 3
    out[o] = 0xF0 | code >> 18
    out[o + 1] = 0x80 | code >> 12 & 63
    out[o + 2] = 0x80 | code >> 6 & 63
    out[o + 3] = 0x80 | code & 63
    return o + 4


@leaf
def put_unescaped(buf, a, b, out, o):
    """The text of a JSON string without its escapes, which is never longer than the source."""
    pos = a
    while pos < b:
        c = buf[pos]
        if c != 92:
            out[o] = c
            pos += 1
            o += 1
            continue
        if pos + 1 >= b:
            return np.int64(-1)
        letter = buf[pos + 1]
        if letter != 117:
            if _UNESCAPED[letter] == 0:
                return np.int64(-1)
            out[o] = _UNESCAPED[letter]
            pos += 2
            o += 1
            continue
        code = _code_unit(buf, pos + 2, b)
        if code < 0:
            return np.int64(-1)
        pos += 6
        if 0xD800 <= code < 0xDC00 and pos + 6 <= b and buf[pos] == 92 and buf[pos + 1] == 117:
            low = _code_unit(buf, pos + 2, b)
            if 0xDC00 <= low <= 0xDFFF:
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                pos += 6
        o = _put_character(code, out, o)
    return np.int64(o)


@leaf
def put_varint(value, out, o):
    """A varint; at most 10 bytes."""
    value = np.uint64(value)
    while value >= np.uint64(128):
        out[o] = np.uint8(value & np.uint64(127)) | np.uint8(128)
        value >>= np.uint64(7)
        o += 1
    out[o] = np.uint8(value)
    return o + 1


@leaf
def patch_length(out, at, length):
    """The length of a message in the five bytes that were kept free for it."""
    for k in range(LENGTH_BYTES):
        out[at + k] = (length >> (7 * k) & 127) | (128 if k < LENGTH_BYTES - 1 else 0)


@leaf
def end_of_number(buf, pos):
    """`(end, whole)` of the JSON number at `pos`: a negative end for none; whole has no fraction or exponent."""
    whole = True
    if pos < buf.size and buf[pos] == 45:
        pos += 1
    start = pos
    while pos < buf.size and 48 <= buf[pos] <= 57:
        pos += 1
    if pos == start:
        return np.int64(-1), whole
    if pos < buf.size and buf[pos] == 46:
        whole = False
        pos += 1
        start = pos
        while pos < buf.size and 48 <= buf[pos] <= 57:
            pos += 1
        if pos == start:
            return np.int64(-1), whole
    if pos < buf.size and (buf[pos] == 101 or buf[pos] == 69):
        whole = False
        pos += 1
        if pos < buf.size and (buf[pos] == 43 or buf[pos] == 45):
            pos += 1
        start = pos
        while pos < buf.size and 48 <= buf[pos] <= 57:
            pos += 1
        if pos == start:
            return np.int64(-1), whole
    return np.int64(pos), whole


@leaf
def whole_number(buf, a, b):
    """`(value, fits)` of a JSON number: exact, also when written as 5.0 or 5e3; 64 bits with or without sign."""
    negative = buf[a] == 45
    value, digits_after, exponent = np.uint64(0), 0, 0
    fraction = False
    pos = a + 1 if negative else a
    limit = np.uint64(0xFFFFFFFFFFFFFFFF)
    ten = np.uint64(10)
    pending_zeros = 0  # zeros after the point count only when another digit follows
    while pos < b and buf[pos] != 101 and buf[pos] != 69:
        if buf[pos] == 46:
            fraction = True
        elif fraction and buf[pos] == 48:
            pending_zeros += 1
        else:
            digit = np.uint64(buf[pos] - 48)
            steps = pending_zeros + 1 if fraction else 1
            for _ in range(min(steps, 21)):
                if value > limit // ten:
                    return np.int64(0), False
                value *= ten
            if value > limit - digit:
                return np.int64(0), False
            value += digit
            digits_after += steps if fraction else 0
            pending_zeros = 0
        pos += 1
    if pos < b:
        pos += 1
        down = buf[pos] == 45
        if down or buf[pos] == 43:
            pos += 1
        while pos < b:
            exponent = min(exponent * 10 + np.int64(buf[pos] - 48), 100000)
            pos += 1
        if down:
            exponent = -exponent
    exponent -= digits_after
    while exponent > 0 and value > 0:
        if value > limit // ten:
            return np.int64(0), False
        value *= ten
        exponent -= 1
    while exponent < 0 and value > 0:
        if value % ten != 0:
            return np.int64(0), False
        value //= ten
        exponent += 1
    if negative:
        return np.int64(~value + np.uint64(1)), value <= np.uint64(1 << 63)
    return np.int64(value), True


@leaf
def put_base64_decoded(buf, a, b, out, o):
    """The bytes of base64 text, standard or URL-safe, padded or not: the position after them, or negative."""
    while b > a and buf[b - 1] == 61:
        b -= 1
    if (b - a) % 4 == 1:
        return np.int64(-1)
    bits, count = np.int64(0), 0
    for i in range(a, b):
        value = _BASE64_VALUE[buf[i]]
        if value > 63:
            return np.int64(-1)
        bits = (bits << 6 | value) & 0xFFFFFF
        count += 6
        if count >= 8:
            count -= 8
            out[o] = bits >> count & 255
            o += 1
    return np.int64(o)


@leaf
def put_hex_decoded(buf, a, b, out, o):
    """The bytes of hexadecimal text; a single zero byte, which is no id, when it is none."""
    good = (b - a) % 2 == 0
    for i in range(a, b):
        good &= _HEX_VALUE[buf[i]] <= 15
    if not good:
        out[o] = 0
        return o + 1
    for i in range(a, b, 2):
        out[o] = _HEX_VALUE[buf[i]] << 4 | _HEX_VALUE[buf[i + 1]]
        o += 1
    return o
