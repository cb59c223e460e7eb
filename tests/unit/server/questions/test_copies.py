"""Copies on their way to a client, and what a killed server left of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from traceguard.server.questions import copies
from traceguard.store import open_store
from traceguard.store.interruptible import Interruptible


def test_a_copy_lies_beside_the_store_until_it_is_discarded(tmp_path: Path) -> None:
    """It opens as a store, and leaves nothing."""
    with open_store(tmp_path / "live.duckdb", mode="write") as store:
        copy = copies.make(Interruptible(store))
        assert copy.parent.parent == tmp_path
        with open_store(copy) as other, other.cursor() as cursor:
            assert cursor.execute("SELECT count(*) FROM spans").fetchall() == [(0,)]
        copies.discard(copy.parent)
        assert [file.name for file in tmp_path.iterdir() if file.suffix != ".wal"] == ["live.duckdb"]


def test_a_download_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    """A stopping server cancels what it still sends; the copy goes with it."""

    async def stall(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def break_off(answer: copies.Download) -> None:
        scope = {"type": "http", "method": "GET", "headers": []}
        sending = asyncio.ensure_future(answer(scope, receive, stall))  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        assert not sending.done()
        assert copy.exists()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    with open_store(tmp_path / "live.duckdb", mode="write") as store:
        copy = copies.make(Interruptible(store))
        asyncio.run(break_off(copies.Download(copy, "some.duckdb")))
        assert not copy.parent.exists()
        copies.discard(copy.parent)


def test_leftovers_go_and_nothing_else_does(tmp_path: Path) -> None:
    """Only folders named and filled like copies of this very store are removed."""
    with open_store(tmp_path / "live.duckdb", mode="write") as store:
        left = copies.make(Interruptible(store))
        (left.parent / ".snapshot.duckdb.0123").write_bytes(b"half done")
        foreign = [".other.duckdb.copy-abcdefgh", ".live.duckdb.copy-short", ".live.duckdb.copy-abcdefgh", "copies"]
        for name in foreign:
            (tmp_path / name).mkdir()
            (tmp_path / name / "notes.txt").write_text("mine", encoding="utf-8")
        elsewhere = tmp_path / "copies"
        (tmp_path / ".live.duckdb.copy-ijklmnop").symlink_to(elsewhere)
        copies.sweep(store)
        assert not left.parent.exists()
        assert all((tmp_path / name / "notes.txt").exists() for name in foreign)
        assert (tmp_path / ".live.duckdb.copy-ijklmnop").is_symlink()
