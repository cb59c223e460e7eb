"""A bound on the bytes of requests in memory at once: a flood is refused instead of filling the machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traceguard.server.intake.refusal import Busy

if TYPE_CHECKING:
    from concurrent.futures import Future

MIB = 2**20

# The room for requests unless bodies may be larger than 64 MiB.
LIMIT_BYTES = 256 * MIB

# What a limit for one body may be: what clients send as a matter of course, and what the decoder can take.
SMALLEST_LIMIT, LARGEST_LIMIT = MIB, 256 * MIB


class Reservation:
    """The bytes that one request holds; grows with `add`."""

    __slots__ = ("_budget", "held")

    def __init__(self, budget: "Budget") -> None:
        self._budget = budget
        self.held = 0

    def add(self, size: int) -> None:
        """Hold `size` more bytes; Busy if there is no room for them."""
        self._budget._take(size)  # noqa: SLF001  (two halves of one thing)
        self.held += size

    def keep_until(self, done: "Future[Any]") -> None:
        """Give the bytes back when `done` is, and not at the end of the block: the answer leaves before."""
        held, self.held = self.held, 0
        done.add_done_callback(lambda _: self._budget._give(held))  # noqa: SLF001  (as above)


class Budget:
    """The room for requests in flight."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes in use."""
        return self._held

    @contextmanager
    def reservation(self) -> Iterator[Reservation]:
        """Room for one request, given back when the block ends."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self._give(reservation.held)

    def _take(self, size: int) -> None:
        with self._lock:
            if self._held + size > self._limit:
                raise Busy("The receiver has no room for this request right now; send it again in a second.")
            self._held += size

    def _give(self, size: int) -> None:
        with self._lock:
            self._held -= size
