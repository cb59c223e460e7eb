"""Bodies unpacked: each coding whole and within bounds, and anything else refused whole."""

import gzip
import os
import tracemalloc
import zlib
from collections.abc import Callable

import psutil
import pyarrow as pa
import pytest
import zstandard

from traceguard.server.intake.budget import Budget
from traceguard.server.intake.codings import ACCEPTED, Coding, named, unpack, unpack_message
from traceguard.server.intake.refusal import Busy, Malformed, Oversize, UnknownCoding

BODY = bytes(range(256)) * 20 + os.urandom(500)
LIMIT = 64 * 2**20

PACK: dict[Coding, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "zlib": zlib.compress,
    "lz4": lambda body: pa.compress(body, codec="lz4", asbytes=True),
    "snappy": lambda body: pa.compress(body, codec="snappy", asbytes=True),
}


def _zeros(coding: Coding, size: int) -> bytes:
    """So many zero bytes, packed without making them all at once where the coding has streams."""
    step = bytes(2**24)
    if coding == "snappy":
        # A size and then nothing: the size alone must be enough to refuse it.
        return b"\x80\x80\x80\x80\x08"
    if coding == "lz4":
        return PACK[coding](bytes(size))
    packer = {
        "gzip": lambda: zlib.compressobj(9, wbits=31),
        "zlib": lambda: zlib.compressobj(9),
        "zstd": lambda: zstandard.ZstdCompressor(19).compressobj(),
    }[coding]()
    return b"".join(packer.compress(step) for _ in range(size // len(step))) + packer.flush()


def _unpack(body: bytes, coding: Coding | None, limit: int = LIMIT) -> bytes:
    with Budget().reservation() as reservation:
        return unpack(body, coding, limit, reservation)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", None), ("identity", None), ("none", None), ("gzip", "gzip"), ("x-gzip", "gzip"), (" GZip ", "gzip"),
        ("zstd", "zstd"), ("deflate", "zlib"), ("zlib", "zlib"), ("lz4", "lz4"), ("snappy", "snappy"),
    ],
)  # fmt: skip
def test_headers_name_codings(header: str, coding: Coding | None) -> None:
    """The names that the Collector sends are taken, in any case."""
    assert named(header) == coding
    assert not header.strip() or header in {"none", "x-gzip"} or header.strip().lower() in ACCEPTED.split(", ")


@pytest.mark.parametrize("header", ["br", "compress", "gzip, gzip", "x-snappy-framed"])
def test_other_codings_are_refused_by_name(header: str) -> None:
    """Also a body that is packed twice; the sentence says what to send."""
    with pytest.raises(UnknownCoding, match="send one of gzip, zstd"):
        named(header)


@pytest.mark.parametrize("coding", PACK)
def test_bodies_come_out_as_they_went_in(coding: Coding) -> None:
    """A body is what was packed, its bytes are reserved, and a plain one passes."""
    with Budget().reservation() as reservation:
        assert unpack(PACK[coding](BODY), coding, LIMIT, reservation) == BODY
        assert reservation.held == len(BODY)
    assert _unpack(PACK[coding](b""), coding) == b""
    assert _unpack(BODY, None) == BODY


@pytest.mark.parametrize("coding", ["gzip", "zstd", "lz4"])
def test_members_in_a_row_are_one_body(coding: Coding) -> None:
    """A body may be several members or frames, as some tools append them; the limit holds across them."""
    packed = PACK[coding](BODY) + PACK[coding](b"") + PACK[coding](BODY)
    assert _unpack(packed, coding) == BODY * 2
    with pytest.raises(Oversize):
        _unpack(packed, coding, 2 * len(BODY) - 1)


@pytest.mark.parametrize("coding", PACK)
def test_a_body_that_is_cut_off_anywhere_is_malformed(coding: Coding) -> None:
    """Each beginning of a packed body is refused, the empty one, too."""
    packed = PACK[coding](BODY)
    for end in range(len(packed)):
        with pytest.raises(Malformed, match=coding):
            _unpack(packed[:end], coding)


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("follows", [b"x", b"\0" * 20, b"plain text"])
def test_what_follows_the_end_is_malformed(coding: Coding, follows: bytes) -> None:
    """A body that goes on after its end is not what its headers say."""
    with pytest.raises(Malformed, match=coding):
        _unpack(PACK[coding](BODY) + follows, coding)


@pytest.mark.parametrize("coding", PACK)
def test_other_bytes_are_malformed(coding: Coding) -> None:
    """Plain bodies and other codings under a wrong header are refused in words; gzip may pass for zlib."""
    others = [other for other in PACK if other != coding and {other, coding} != {"gzip", "zlib"}]
    for body in (b"\x0a\x00", b'{"resourceSpans":[]}', *(PACK[other](BODY) for other in others)):
        with pytest.raises((Malformed, Oversize)):
            _unpack(body, coding)


@pytest.mark.parametrize("coding", PACK)
def test_the_limit_is_exact(coding: Coding) -> None:
    """A body of the limit is taken, one byte more is not."""
    assert len(_unpack(PACK[coding](bytes(100_000)), coding, 100_000)) == 100_000
    with pytest.raises(Oversize, match="send smaller batches"):
        _unpack(PACK[coding](bytes(100_001)), coding, 100_000)


@pytest.mark.parametrize("coding", PACK)
def test_a_bomb_costs_the_limit_and_no_more(coding: Coding) -> None:
    """Unpacking ends at the limit: 512 MiB of zeros do not come to be."""
    bomb = _zeros(coding, 2**29)
    process = psutil.Process()
    tracemalloc.start()
    before = process.memory_info().rss
    with Budget().reservation() as reservation:
        with pytest.raises(Oversize):
            unpack(bomb, coding, LIMIT, reservation)
        assert reservation.held <= LIMIT
    python_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert python_peak < 3 * LIMIT
    assert process.memory_info().rss - before < 3 * LIMIT


def test_a_bomb_waits_for_room_as_any_other_body() -> None:
    """Where there is no room for what comes out, the client is told to come again."""
    with Budget(1000).reservation() as reservation, pytest.raises(Busy):
        unpack(gzip.compress(bytes(2000)), "gzip", LIMIT, reservation)


def test_a_zstd_frame_with_a_huge_window_is_refused() -> None:
    """A header of six bytes must not make the receiver hold gigabytes."""
    window = 31  # its binary logarithm
    with pytest.raises(Malformed, match="too much memory"):
        _unpack(b"\x28\xb5\x2f\xfd\x00" + bytes([(window - 10) << 3]) + b"\x01\x00\x00", "zstd")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda body: zlib.compress(body, 0), bytes])
@pytest.mark.parametrize("body", [b"", b"\x0a\x00", BODY, b"\x78\x9c" + BODY, b"\x78\x01\x0a\x00\x0a\x00\x0a\x00"])
def test_messages_tell_their_coding_themselves(pack: Callable[[bytes], bytes], body: bytes) -> None:
    """A gRPC message is taken plain, with gzip or with zlib, and plain ones that begin like zlib stay what they are."""
    with Budget().reservation() as reservation:
        assert unpack_message(pack(body), LIMIT, reservation) == body
