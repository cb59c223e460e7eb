"""The one way to compile a hot loop: explicit signature, cached on disk, GIL released.

Compilation happens when the module with the loop is imported, once per machine: later processes load the machine code
from the cache. The cache lies in the user's cache folder, never beside the sources, so a read-only install works as
well; where that folder cannot be written, one in the folder for temporary files serves, which nobody else may touch:
numba runs what it finds there.

numba itself asks only whether the kernel's own file has changed, and would go on running what it once inlined from
other files. So the cache has a folder per state of a room's sources: whatever changes in a room, its kernels are
compiled anew.
"""

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_WINDOWS = os.name == "nt"


def _cache_folder() -> str:
    home = os.environ.get("XDG_CACHE_HOME") or (Path.home() / ".cache")
    folder = Path(home) / "traceguard" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError:
        return _temporary_folder()


def _temporary_folder() -> str:
    """The same one for all processes of this user, or one of its own if somebody else could write there."""
    folder = Path(tempfile.gettempdir()) / f"traceguard-kernels-{'own' if _WINDOWS else os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        # On Windows the folder for temporary files is the user's own.
        if stat.S_ISDIR(about.st_mode) and (_WINDOWS or (about.st_uid == os.getuid() and not about.st_mode & 0o077)):
            return str(folder)
    return tempfile.mkdtemp(prefix="traceguard-kernels-")


os.environ.setdefault("NUMBA_CACHE_DIR", _cache_folder())

import numba  # noqa: E402  (the cache folder must be set before numba reads its configuration)


@lru_cache(maxsize=64)
def _room_cache(room: Path) -> str:
    """The cache folder of the sources in `room` as they are now."""
    state = hashlib.blake2b(digest_size=8)
    for file in sorted(room.glob("*.py")):
        about = file.stat()
        state.update(f"{file.name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return str(Path(os.environ["NUMBA_CACHE_DIR"]) / f"{room.name}-{state.hexdigest()}")


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    numba.config.CACHE_DIR = _room_cache(Path(function.__code__.co_filename).parent)  # type: ignore[attr-defined]
    signature = options.pop("signature", None)
    return numba.njit(signature, cache=True, nogil=True, **options)(function)


def kernel(signature: str | list[str], *, allocates: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for `signature` (numba's notation) without the GIL and keep the machine code on disk.

    `allocates=False` promises that it makes no arrays of its own, and spares it numba's reference counting; see `leaf`.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        return _compile(function, signature=signature, _nrt=allocates)

    return compiled


def inline(function: Callable[..., Any]) -> Any:
    """Compile a small function that kernels call; its types come from the caller."""
    return _compile(function)


def leaf(function: Callable[..., Any]) -> Any:
    """Compile a small function that kernels call often and that allocates nothing.

    Without numba's reference counting of every array that is passed along, reading a protobuf field takes 5 ns instead
    of 32.
    """
    return _compile(function, _nrt=False)


_IMPORT = b"from traceguard.kernels import"


def compile_ahead(shares: Sequence[Sequence[str]]) -> None:
    """Compile the modules of all shares that the cache does not hold, a process a share; returns when that is done.

    Compiling holds the GIL, so threads would not help. What a process cannot do, whoever imports the module does.
    """
    cold = [share for share in shares if any(_cold(module) for module in share)]
    if len(cold) < 2 or (os.cpu_count() or 1) < 2:
        return
    running = [
        subprocess.Popen(  # noqa: S603  (this interpreter, modules of this package)
            [sys.executable, "-c", f"import {', '.join(share)}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for share in cold
    ]  # fmt: skip
    try:
        for process in running:
            process.wait()
    finally:
        for process in running:
            process.kill()
            process.wait()


def _cold(module: str) -> bool:
    """Whether a module's room has loops, and none of them is in the cache."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return False
    room = Path(spec.origin).parent
    # The folder alone says nothing: it is made for loops that are not compiled yet, too.
    compiled = any(Path(_room_cache(room)).rglob("*.nbi"))
    return not compiled and any(_IMPORT in file.read_bytes() for file in room.glob("*.py"))
