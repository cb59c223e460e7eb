"""The process that serves: its memory, processor time and files, under the names that every Prometheus client uses.

They are read from `/proc` when someone asks; where there is none (macOS), only processor and start times are shown.
"""

import ctypes
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceguard.server.watch.counters import Counters

_PROC = Path("/proc/self")

# glibc's name for the setting, from malloc.h, and the size from which a block goes back to the system when it is freed.
_M_MMAP_THRESHOLD, _OWN_BLOCK_BYTES = -3, 2**20


def give_back_memory() -> None:
    """Let large blocks go back to the system as soon as they are freed; does nothing where the C library is not glibc.

    glibc would raise its bound to 32 MiB after a few large bodies and keep what is freed below it: under a flood
    that is several hundred MiB more.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # macOS, Windows: other allocators, other habits
        return
    mallopt(_M_MMAP_THRESHOLD, _OWN_BLOCK_BYTES)


def watch(counters: "Counters") -> None:
    """Show this process in `counters`."""
    started = _started()
    counters.watch("process_cpu_seconds", time.process_time)
    counters.watch("process_start_time_seconds", lambda: started)
    if _PROC.is_dir():
        counters.watch("process_virtual_memory_bytes", lambda: _pages(0))
        counters.watch("process_resident_memory_bytes", lambda: _pages(1))
        counters.watch("process_open_fds", lambda: float(sum(1 for _ in (_PROC / "fd").iterdir())))


def _pages(field: int) -> float:
    """The bytes that a field of `statm` counts in pages: 0 is all, 1 what is resident."""
    return float(int((_PROC / "statm").read_text(encoding="ascii").split()[field]) * os.sysconf("SC_PAGE_SIZE"))


def _started() -> float:
    """When the process started, in seconds since the epoch; now, where the system does not tell."""
    try:
        # The program's name stands in parentheses and may hold spaces; the start time is the 20th field after it.
        ticks = int((_PROC / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.time()
