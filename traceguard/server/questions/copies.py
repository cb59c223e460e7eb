"""Copies of the live store on their way to a client: folders beside it that exist as long as the download.

Only the process that owns a store makes them, under names that say whose they are. So whatever lies there when a server
starts was left by one that was killed, and goes; so does what lies there when it has stopped.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from traceguard.server.watch import log
from traceguard.store.snapshot import COPY_NAME, copy_prefix, sweep_copies

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from traceguard.store import Store
    from traceguard.store.interruptible import Interruptible


def make(store: "Interruptible") -> Path:
    """Copy `store` to a new file in a folder of its own; give the folder to `discard` after use."""
    beside = store.path.absolute().parent
    folder = Path(tempfile.mkdtemp(prefix=copy_prefix(store.path), dir=beside if beside.is_dir() else None))
    try:
        store.snapshot(folder / COPY_NAME)
    except BaseException:
        discard(folder)
        raise
    return folder / COPY_NAME


def discard(folder: Path) -> None:
    """Remove a copy with its folder; it may be gone."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


class Download(FileResponse):
    """The answer that sends a copy as `filename`, and discards it however that ends; a stop breaks it off."""

    def __init__(self, copy: Path, filename: str) -> None:
        super().__init__(copy, media_type="application/vnd.duckdb", filename=filename)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        except BaseException:
            discard(Path(self.path).parent)
            raise
        await run_in_threadpool(discard, Path(self.path).parent)


def sweep(store: "Store") -> None:
    """Remove what nobody downloads any more beside the store that this process owns: when a server starts or stops."""
    left = sweep_copies(store.path)
    if left:
        log.info("leftovers_removed", "Removed copies of the store whose download never ended.", folders=left)
