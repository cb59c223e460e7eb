"""How large a body may be: what people write, and what follows from it."""

from pathlib import Path

import pytest

from traceguard.errors import UsageError
from traceguard.server import Server
from traceguard.settings import Settings, load

MIB = 2**20


def _server(tmp_path: Path, max_body: str) -> Server:
    return Server(tmp_path / "live.duckdb", "127.0.0.1:0", "127.0.0.1:0", Settings(max_body=max_body))


@pytest.mark.parametrize(("text", "size", "pending"), [("1MiB", 1, 256), ("64MiB", 64, 256), ("200MiB", 200, 800)])
def test_the_room_grows_with_the_limit(tmp_path: Path, text: str, size: int, pending: int) -> None:
    """A body counts as sent and unpacked, and two of the largest must find room, or they would wait for ever."""
    server = _server(tmp_path, text)
    assert (server._max_body, server._pending_bytes) == (size * MIB, pending * MIB)


@pytest.mark.parametrize("text", ["", "64", "lots", "-1MiB", "1KiB", "257MiB"])
def test_a_limit_that_cannot_be_is_refused_in_words(tmp_path: Path, text: str) -> None:
    """No unit, or a size that no exporter could live with or the decoder could not take."""
    with pytest.raises(UsageError, match=r"is not a size|lies outside 1 MiB to 256 MiB"):
        _server(tmp_path, text)


def test_the_settings_file_may_hold_it(tmp_path: Path) -> None:
    """As text with a unit; a bare number is refused, since nobody could tell of what."""
    file = tmp_path / "traceguard.toml"
    file.write_text('max_body = "32MiB"\n', encoding="utf-8")
    assert load(file).max_body == "32MiB"
    file.write_text("max_body = 32\n", encoding="utf-8")
    with pytest.raises(UsageError, match="wrong type"):
        load(file)
