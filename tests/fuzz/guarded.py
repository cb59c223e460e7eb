"""Bodies that end where readable memory ends: whoever reads one byte too far is stopped by the processor."""

import ctypes
import mmap

_PAGE = mmap.PAGESIZE
_NO_ACCESS = 0


class GuardedMemory:
    """Memory for one body at a time, with a page behind it that nobody may touch."""

    def __init__(self, size: int) -> None:
        self._room = -(-size // _PAGE) * _PAGE
        self._memory = mmap.mmap(-1, self._room + _PAGE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if libc.mprotect(self._address + self._room, _PAGE, _NO_ACCESS) != 0:
            raise OSError(ctypes.get_errno(), "The page behind the bodies could not be closed.")

    def place(self, body: bytes) -> memoryview:
        """The same bytes, read-only, with their last one at the last readable address; valid until the next call."""
        start = self._address + self._room - len(body)
        if len(body) > self._room:
            raise ValueError(f"A body of {len(body)} bytes does not fit into {self._room}.")
        ctypes.memmove(start, body, len(body))
        return memoryview((ctypes.c_char * len(body)).from_address(start)).cast("B").toreadonly()
