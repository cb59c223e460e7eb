"""SipHash-2-4 with 128 bits of output: a keyed hash that is quick for short text.

Without the key nobody can tell from a hash what was hashed, not even by trying all user ids there are. Source:
Jean-Philippe Aumasson and Daniel J. Bernstein, "SipHash: a fast short-input PRF" (2012), and their reference code.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import leaf
from traceguard.otlp.wire import load

KEY_BYTES = 16


@leaf
def _turned(value, bits):
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@leaf
def _mixed(v0, v1, v2, v3):
    """One round."""
    v0 += v1
    v2 += v3
    v1 = _turned(v1, 13) ^ v0
    v3 = _turned(v3, 16) ^ v2
    v0 = _turned(v0, 32)
    v2 += v1
    v0 += v3
    v1 = _turned(v1, 17) ^ v2
    v3 = _turned(v3, 21) ^ v0
    v2 = _turned(v2, 32)
    return v0, v1, v2, v3


@leaf
def siphash(buf, a, b, key_0, key_1):
    """The hash of the bytes from `a` to `b` as two numbers, whose bytes (little end first) follow each other."""
    v0 = np.uint64(0x736F6D6570736575) ^ key_0
    v1 = np.uint64(0x646F72616E646F6D) ^ key_1 ^ np.uint64(0xEE)
    v2 = np.uint64(0x6C7967656E657261) ^ key_0
    v3 = np.uint64(0x7465646279746573) ^ key_1
    i = np.int64(a)
    while i + 8 <= b:
        word = load(buf, i)
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3 ^ word)
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
        v0 ^= word
        i += 8
    word = np.uint64((b - a) & 255) << np.uint64(56)
    for k in range(b - i):
        word |= np.uint64(buf[i + k]) << np.uint64(8 * k)
    v0, v1, v2, v3 = _mixed(v0, v1, v2, v3 ^ word)
    v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
    v0, v2 = v0 ^ word, v2 ^ np.uint64(0xEE)
    for _ in range(4):
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
    first = v0 ^ v1 ^ v2 ^ v3
    v1 ^= np.uint64(0xDD)
    for _ in range(4):
        v0, v1, v2, v3 = _mixed(v0, v1, v2, v3)
    return first, v0 ^ v1 ^ v2 ^ v3


@leaf
def siphash_of_all(buf, key_0, key_1):
    """The same of a whole buffer, for callers that are not compiled. Compiled when it is first called: few do."""
    return siphash(buf, 0, buf.size, np.uint64(key_0), np.uint64(key_1))
