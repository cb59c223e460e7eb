"""Effects that were estimated from the same evidence before: whoever narrows a question down does not wait for them.

What a report is narrowed to (a flag, a service, an entry point) chooses among the effects and changes none of them.
"""

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceguard.explain.entries import EntryEffects


class Estimates:
    """The effects at entry points, of the last basis that was asked about; safe to use from several threads.

    A basis is what effects depend on besides the evidence: the periods, the references, alpha, and whether looks are
    repeated.
    """

    __slots__ = ("_basis", "_found", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._basis: Hashable = None
        self._found: dict[tuple[int, int], EntryEffects] = {}

    def of(
        self, basis: Hashable, place: tuple[int, int], estimate: "Callable[[], EntryEffects]"
    ) -> "EntryEffects":  # fmt: skip
        """What `estimate` gives, or gave before for the same basis and place (entry point and environment)."""
        with self._lock:
            if basis != self._basis:
                self._basis, self._found = basis, {}
            known = self._found.get(place)
        if known is not None:
            return known
        found = estimate()
        with self._lock:
            if basis == self._basis:
                self._found[place] = found
        return found
