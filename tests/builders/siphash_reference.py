"""SipHash-2-4 with 128 bits of output, slow and obvious, as its authors describe it."""

MASK = 2**64 - 1


def turned(value: int, bits: int) -> int:
    """Rotated to the left."""
    return (value << bits | value >> (64 - bits)) & MASK


def siphash(key: bytes, text: bytes) -> bytes:
    """The hash of a text under a key of 16 bytes."""
    first, second = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [
        0x736F6D6570736575 ^ first,
        0x646F72616E646F6D ^ second ^ 0xEE,
        0x6C7967656E657261 ^ first,
        0x7465646279746573 ^ second,
    ]

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = turned(v[1], 13) ^ v[0]
            v[0] = turned(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = turned(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = turned(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = turned(v[1], 17) ^ v[2]
            v[2] = turned(v[2], 32)

    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(4)
    left = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(4)
    return left.to_bytes(8, "little") + (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")
