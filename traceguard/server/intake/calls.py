"""gRPC calls from first byte to answer: so many at once, and none that keeps others waiting for its message.

gRPC gives a call a thread when its headers have come, and holds a message until it is whole without telling anyone its
size. So only a few messages are read at a time, a call whose message does not come in time is cancelled (which
exporters take as a reason to send again), and beyond the threads there are, calls are told to come again.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from traceguard.server.intake.refusal import Busy, Malformed, Slow

# Calls in flight; each waits in a thread for its commit.
MOST = 96

# Messages read at once, which bounds what incomplete ones hold; and how long a call waits for its turn to be read.
READERS, TURN_SECONDS = 16, 2.0

# A message of 64 MiB takes so long over 20 Mbit/s.
MESSAGE_SECONDS = 30.0

_LOOK_SECONDS = 0.5


class Calls:
    """Counts calls and reads their messages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._turns = threading.BoundedSemaphore(READERS)
        self._reading: dict[Any, float] = {}  # context: since when
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to look after messages that do not come."""
        threading.Thread(target=self._look, name="traceguard-grpc-calls", daemon=True).start()

    def stop(self) -> None:
        """End that."""
        self._stopped.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """One call, from here to its answer; Busy where there are too many."""
        with self._lock:
            if self._running >= MOST:
                raise Busy("The receiver has no room for this request right now; send it again in a second.")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def read(self, messages: Iterator[bytes], context: Any) -> bytes:
        """The one message of a call, empty if there is none.

        Busy if its turn to be read does not come, Slow if the call ends before the message is whole (the client went
        away or was cancelled here), Malformed if there is a second one: an OK would lose it.
        """
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise Busy("The receiver reads as many requests as it can; send this one again in a second.")
        try:
            with self._lock:
                self._reading[context] = time.monotonic()
            message = next(messages, b"")
            if next(messages, None) is not None:
                raise Malformed("An export is one message; send each in a call of its own.")
        except grpc.RpcError:
            raise Slow("The message did not arrive in time; send it again.") from None
        else:
            return message
        finally:
            with self._lock:
                self._reading.pop(context, None)
            self._turns.release()

    def _look(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            oldest = time.monotonic() - MESSAGE_SECONDS
            with self._lock:
                late = [context for context, since in self._reading.items() if since < oldest]
            for context in late:
                context.cancel()
