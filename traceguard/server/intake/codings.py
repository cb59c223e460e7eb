"""Content codings: bodies unpacked to at most a limit, whatever their headers announce.

The names are those that the Collector's exporters send; its `deflate` is zlib's format, as RFC 9110 has it, and its
`snappy` a block. What always holds: a body that unpacks to more than the limit costs the limit and no more, and one
that ends early or goes on after its end is refused whole.
"""

import io
from typing import TYPE_CHECKING, Literal

from traceguard.server.intake.refusal import Malformed, Oversize, UnknownCoding
from traceguard.units import format_size

if TYPE_CHECKING:
    from traceguard.server.intake.budget import Reservation

Coding = Literal["gzip", "zstd", "zlib", "lz4", "snappy"]

_NAMES: dict[str, Coding | None] = {
    "": None,
    "identity": None,
    "none": None,
    "gzip": "gzip",
    "x-gzip": "gzip",
    "zstd": "zstd",
    "deflate": "zlib",
    "zlib": "zlib",
    "lz4": "lz4",
    "snappy": "snappy",
}

# What the answer to any other coding offers.
ACCEPTED = "gzip, zstd, deflate, zlib, lz4, snappy, identity"

_STEP = 2**20

# A block of snappy begins with its size, a varint of at most 32 bits.
_SNAPPY_SIZE_BYTES = 5

_GZIP_MARK = b"\x1f\x8b"


def named(content_encoding: str) -> Coding | None:
    """The coding of a Content-Encoding header; None if the body is plain, UnknownCoding for one that is not taken."""
    name = content_encoding.strip().lower()
    if name not in _NAMES:
        raise UnknownCoding(f"The content encoding {name!r} is not supported; send one of {ACCEPTED}.")
    return _NAMES[name]


def unpack(body: bytes | bytearray, coding: Coding | None, limit: int, reservation: "Reservation") -> bytes | bytearray:
    """The plain body of at most `limit` bytes; `reservation` holds what was unpacked. Malformed, Oversize or Busy."""
    if coding is None:
        return body
    import pyarrow as pa

    try:
        if not body:
            raise _malformed(coding, "it is empty")
        return (_snappy if coding == "snappy" else _stream)(body, coding, limit, reservation)
    except (OSError, pa.ArrowException) as error:
        raise _malformed(coding, str(error)) from None


def unpack_message(message: bytes, limit: int, reservation: "Reservation") -> bytes | bytearray:
    """The same for a message as gRPC hands it over: packed or not, without the header that says so.

    Its bytes tell. No protobuf message begins with gzip's mark, a wire type that does not exist. One may begin like
    zlib's, with a number that no request has, but then does not go on to a checksum that is right.
    """
    if message.startswith(_GZIP_MARK):
        return unpack(message, "gzip", limit, reservation)
    header = int.from_bytes(message[:2])
    if len(message) < 8 or header >> 8 & 0x8F != 8 or header % 31:
        return message
    try:
        return unpack(message, "zlib", limit, reservation)
    except Malformed:
        return message


def oversize(limit: int) -> Oversize:
    """The refusal of a body that is larger than `limit` bytes."""
    return Oversize(f"The body is larger than {format_size(limit)}; send smaller batches.")


def _malformed(coding: Coding, why: str) -> Malformed:
    return Malformed(f"The body is not {coding}, as its headers say, or is cut off: {why.rstrip('.')}.")


def _stream(body: bytes | bytearray, coding: Coding, limit: int, reservation: "Reservation") -> bytes:
    """Arrow's decompressors: members or frames in a row are one body, and gzip's tells zlib by its first bytes.

    A frame of zstd may ask for a window of up to 128 MiB; its memory is touched only as it fills, which the limit ends.
    """
    import pyarrow as pa

    plain = io.BytesIO()
    with pa.CompressedInputStream(pa.BufferReader(body), "gzip" if coding == "zlib" else coding) as stream:
        while piece := stream.read(_STEP):
            if plain.tell() + len(piece) > limit:
                raise oversize(limit)
            reservation.add(len(piece))
            plain.write(piece)
    return plain.getvalue()


def _snappy(body: bytes | bytearray, coding: Coding, limit: int, reservation: "Reservation") -> bytes:
    import pyarrow as pa

    size = 0
    for place, byte in enumerate(body[:_SNAPPY_SIZE_BYTES]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    else:
        raise _malformed(coding, "it does not begin with its size; send a block, not frames")
    if size > limit:
        raise oversize(limit)
    reservation.add(size)
    plain: bytes = pa.decompress(body, decompressed_size=size, codec="snappy", asbytes=True)
    return plain
