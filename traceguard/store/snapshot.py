"""A consistent copy of a store in a new file: tables, views, macros and schema version as of one moment."""

import contextlib
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from traceguard.errors import StoreError, UsageError, first_line
from traceguard.store.format import attach_new, log_of, quoted

if TYPE_CHECKING:
    import duckdb


# Of a copy in a folder of its own.
COPY_NAME = "snapshot.duckdb"


def write_snapshot(cursor: "duckdb.DuckDBPyConnection", out: Path) -> None:
    """Copy the database of `cursor` to `out`, which must not exist; it appears there whole or not at all.

    UsageError if `out` exists or its folder does not; StoreError if the copy cannot be written.
    """
    import duckdb

    out = Path(out).absolute()
    if not out.parent.is_dir():
        raise UsageError(f"The snapshot {out} has no folder to go to: {out.parent} does not exist; make it first.")
    if out.exists():
        raise _exists(out)
    half_done = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        name = attach_new(cursor, half_done)
        try:
            cursor.execute(f"COPY FROM DATABASE {_current(cursor)} TO {name}")
        finally:
            cursor.execute(f"DETACH {name}")
        _publish(half_done, out)
    except duckdb.Error as error:
        said = first_line(error)
        raise StoreError(f"The snapshot {out} could not be written ({said}); check the disk's space.") from error
    except OSError as error:
        raise StoreError(f"The snapshot {out} could not be written ({error.strerror}); name another folder.") from error
    finally:
        for rest in (half_done, log_of(half_done)):
            with contextlib.suppress(FileNotFoundError):
                rest.unlink()


def copy_prefix(path: Path) -> str:
    """How folders are named, but for eight letters, in which copies of the store at `path` lie beside it for a time."""
    return f".{path.name}.copy-"


def sweep_copies(path: Path) -> int:
    """Remove the folders with copies of the store at `path`; how many. Its owner alone may do so, while none is read.

    Nothing else goes, whatever its name.
    """
    left = [folder for folder in path.absolute().parent.glob(".*") if _holds_copy(folder, path)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _holds_copy(folder: Path, path: Path) -> bool:
    """Whether a folder is named like a copy of this store and holds nothing but one."""
    if not re.fullmatch(re.escape(copy_prefix(path)) + r"[a-z0-9_]{8}", folder.name):
        return False
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(file.is_file() and COPY_NAME in file.name for file in folder.iterdir())


def _current(cursor: "duckdb.DuckDBPyConnection") -> str:
    ((name,),) = cursor.execute("SELECT current_database()").fetchall()
    return quoted(name)


def _publish(half_done: Path, out: Path) -> None:
    try:
        os.link(half_done, out)  # unlike a rename, this refuses a file that appeared meanwhile
    except FileExistsError:
        raise _exists(out) from None
    except OSError:  # a file system without hard links
        if out.exists():
            raise _exists(out) from None
        half_done.rename(out)


def _exists(out: Path) -> UsageError:
    return UsageError(f"The snapshot {out} exists already; name a new file or remove that one first.")
