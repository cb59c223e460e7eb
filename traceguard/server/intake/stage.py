"""A stage on the way of an export: a line of what waits, and one thread that works it off.

What always holds: what was put into the line is worked off, also when the stage closes, and the thread outlives any
fault in its work.
"""

import queue
import threading
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from traceguard.server.intake.refusal import stopping
from traceguard.server.watch import log

Item = TypeVar("Item")


class Stage(ABC, Generic[Item]):
    """A line and its thread, which is called `name`."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def put(self, *items: Item) -> None:
        """Put items into the line; Busy once the server is stopping."""
        with self._gate:
            if self._closed:
                raise stopping()
            for item in items:
                self._queue.put(item)

    def close(self) -> None:
        """Work off what waits and take no more; returns when it is done."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            group: list[Item] = []
            try:
                last = self._gather(group)
                self._work(group)
            except Exception as error:  # noqa: BLE001  (were the thread gone, every exporter would wait for ever)
                log.failure("stage_failed", "The receiver failed for a fault of traceguard's and goes on.", error)
                self._give_up(group, error)

    @abstractmethod
    def _gather(self, group: list[Item]) -> bool:
        """Wait for the first item, then take what should go with it into `group`; True when nothing follows."""

    @abstractmethod
    def _work(self, group: list[Item]) -> None:
        """Do the work on a group, which may be empty."""

    @abstractmethod
    def _give_up(self, group: list[Item], error: Exception) -> None:
        """Answer whoever still waits for a group whose work failed."""
