"""Copies of the live store on their way to a client: folders beside it that exist as long as the download.

Only the process that owns a store makes them, under names that say whose they are. So whatever lies there when a server
starts was left by one that was killed, and goes.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from traceguard.server import log

if TYPE_CHECKING:
    from traceguard.store import Store
    from traceguard.store.interruptible import Interruptible

_NAME = "snapshot.duckdb"


def make(store: "Interruptible") -> Path:
    """Copy `store` to a new file in a folder of its own; give the folder to `discard` after use."""
    beside = store.path.absolute().parent
    folder = Path(tempfile.mkdtemp(prefix=_prefix(store.path), dir=beside if beside.is_dir() else None))
    try:
        store.snapshot(folder / _NAME)
    except BaseException:
        discard(folder)
        raise
    return folder / _NAME


def discard(folder: Path) -> None:
    """Remove a copy with its folder."""
    shutil.rmtree(folder)


def sweep(store: "Store") -> None:
    """Remove what a killed server left beside the store that this process owns now; nothing else, whatever its name."""
    left = [folder for folder in store.path.absolute().parent.glob(".*") if _ours(folder, store.path)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    if left:
        log.info("leftovers_removed", "Removed unfinished copies that an earlier run left.", folders=len(left))


def _prefix(path: Path) -> str:
    return f".{path.name}.copy-"


def _ours(folder: Path, path: Path) -> bool:
    """Whether a folder is named like a copy of this store and holds nothing but one."""
    if not re.fullmatch(re.escape(_prefix(path)) + r"[a-z0-9_]{8}", folder.name):
        return False
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(file.is_file() and _NAME in file.name for file in folder.iterdir())
