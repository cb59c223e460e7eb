"""The one way to compile a hot loop: explicit signature, cached on disk, GIL released.

Compilation happens when the module with the loop is imported, once per machine: later processes load the machine code from the
cache. The cache lies in the user's cache folder, never beside the sources, so a read-only install works as well; where that
folder cannot be written, a temporary one is used and every process compiles anew.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _cache_folder() -> str:
    home = os.environ.get("XDG_CACHE_HOME") or (Path.home() / ".cache")
    folder = Path(home) / "traceguard" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError:
        return tempfile.mkdtemp(prefix="traceguard-kernels-")


os.environ.setdefault("NUMBA_CACHE_DIR", _cache_folder())

import numba  # noqa: E402  (the cache folder must be set before numba reads its configuration)


def kernel(signature: str | list[str], *, allocates: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for `signature` (numba's notation) without the GIL and keep the machine code on disk.

    `allocates=False` promises that it makes no arrays of its own, and spares it numba's reference counting; see `leaf`.
    """
    return numba.njit(signature, cache=True, nogil=True, _nrt=allocates)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a small function that kernels call; its types come from the caller."""
    return numba.njit(function, cache=True, nogil=True)


def leaf(function: Callable[..., Any]) -> Any:
    """Compile a small function that kernels call often and that allocates nothing.

    Without numba's reference counting of every array that is passed along, reading a protobuf field takes 5 ns instead of 32.
    """
    return numba.njit(function, cache=True, nogil=True, _nrt=False)
