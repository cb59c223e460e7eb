"""Which attributes a rule hides, asked in the loops, and how a hidden value is written.

A body names the same few keys again and again, so that patterns are tried once for each: what was found is kept in a
small memo, looked up by the key's glance (see `attributes`) and confirmed by its bytes.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import leaf
from traceguard.otlp.siphash import siphash
from traceguard.otlp.text import put_hex, same
from traceguard.otlp.wire import BUFFER, store

KEEP, DROP, HASH = 0, 1, 2
HASHED = 16  # added to a value's type: it is written as the hash of its text
SLOTS = 256  # of the memo; a row is (glance, key start, action)

# What the loops are given: the patterns' bytes; a row (start, end, action) for each, the first that matches counts; the
# halves of the hash key; the memo.
RULES = f"Tuple(({BUFFER}, int64[:, ::1], uint64[::1], int64[:, ::1]))"
_STAR = 42


@leaf
def matches(buf, a, b, words, start, end):
    """Whether the bytes from `a` to `b` fit the pattern, in which `*` is any run of bytes."""
    star, resume = np.int64(-1), np.int64(0)
    i, k = np.int64(a), np.int64(start)
    while i < b:
        if k < end and words[k] == _STAR:
            star, resume = k, i
            k += 1
        elif k < end and words[k] == buf[i]:
            i += 1
            k += 1
        elif star >= 0:  # let the last star take one byte more
            resume += 1
            i, k = resume, star + 1
        else:
            return False
    while k < end and words[k] == _STAR:
        k += 1
    return k == end


@leaf
def action(buf, a, b, glance, rules):
    """What to do with the attribute whose key lies from `a` to `b`; a key by index is unknown, and kept."""
    words, patterns, _, memo = rules
    if b < 0:
        return np.int64(KEEP)
    slot = np.int64((np.uint64(glance) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56))
    if memo[slot, 0] == glance and same(buf, a, b, buf, memo[slot, 1], memo[slot, 1] + b - a):
        return memo[slot, 2]
    found = np.int64(KEEP)
    for row in range(patterns.shape[0]):
        if matches(buf, a, b, words, patterns[row, 0], patterns[row, 1]):
            found = patterns[row, 2]
            break
    memo[slot, 0], memo[slot, 1], memo[slot, 2] = glance, a, found
    return found


@leaf
def put_hash(out, a, b, rules, quoted):
    """Write the hash of the text from `a` to `b` over it, in quotes when `quoted`: the position after it.

    Needs 32 bytes of room from `a` on, and SLACK; with quotes 34.
    """
    first, second = siphash(out, a, b, rules[2][0], rules[2][1])
    if quoted:
        out[a] = 34
        a += 1
    store(out, a + 16, first)  # aside, as 16 bytes of which hexadecimal is made from the front on
    store(out, a + 24, second)
    o = put_hex(out, a + 16, a + 32, out, a)
    if quoted:
        out[o] = 34
        o += 1
    return np.int64(o)
