"""Temporary files for what memory should not hold, and the sentence for when their folder cannot hold it either."""

import tempfile
from io import FileIO
from typing import Any

from numpy.typing import NDArray

from traceguard.errors import StoreError


def temporary_file() -> FileIO:
    """A file without a name, which goes when it is closed or forgotten.

    Without a buffer: a full disk is told while it is written, and not when the file is read or closed.
    """
    return tempfile.TemporaryFile(buffering=0)


def write(file: FileIO, values: NDArray[Any], what: str) -> None:
    """Write all values at the file's end; StoreError, which calls them `what`, where its folder cannot hold them."""
    rest = values.data.cast("B")
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        held = f"{tempfile.gettempdir()} cannot hold {what}"
        raise StoreError(f"{held} ({error.strerror}); name another folder with TMPDIR.") from error
