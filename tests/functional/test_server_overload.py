"""More than a server can take: what it has no room for is refused in words that clients understand; nothing is lost."""

from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of a process are a matter of Unix")

from builders import flood
from builders.ordeal import Serving

from traceguard.server import Server

MIB = 2**20


def test_what_has_no_room_is_told_to_come_again(tmp_path: Path) -> None:
    """With little room most of a flood is refused, every time retryably and in time; what was acknowledged is there."""
    path = tmp_path / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0", pending_bytes=12 * MIB) as server:
        seen = flood.flood(server.http_address, server.grpc_address, seconds=4, processes=2, connections=6, huge=False)
    assert seen.wrong == []
    assert seen.answers["HTTP come again"] > 0
    assert seen.answers["gRPC come again"] > 0
    assert len(seen.acknowledged) > 10
    assert seen.slowest < 10
    assert flood.lost(path, seen.acknowledged) == 0


def test_a_flood_of_large_bodies_stays_within_its_memory(tmp_path: Path) -> None:
    """Bodies of up to 60 MiB and bombs on many connections at once: less than 2 GiB, and nothing is lost."""
    server = Serving(tmp_path / "live.duckdb")
    try:
        seen = flood.flood(server.http, server.grpc, seconds=5, processes=2, connections=8)
        peak = server.peak_bytes
    finally:
        server.end(15)
    assert seen.wrong == []
    assert peak < 2048 * MIB
    assert flood.lost(server.path, seen.acknowledged) == 0
