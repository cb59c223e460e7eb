"""Bodies that wait are decoded together, and go to the next transaction together.

Most of what decoding a small body costs is paid once a call. Protobuf messages in a row are one message, so whatever
waits while a group is being decoded becomes the next group. Where a group holds anything that does not belong into a
store, its bodies are decoded one by one: each exporter is told about its own body and nobody else's.
"""

import contextlib
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from traceguard.server.intake.refusal import PATIENCE_SECONDS, Busy, overdue, refusal_of
from traceguard.server.intake.stage import Stage
from traceguard.server.watch import log

if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    from numpy.typing import NDArray
    from opentelemetry.trace import Span

    from traceguard.otlp import Decoded
    from traceguard.server.intake.arrivals import Arrival
    from traceguard.server.intake.commit import Committer
    from traceguard.server.watch.counters import Counters
    from traceguard.settings import Settings

# Beyond this size a group wins nothing more, and its memory comes on top of that of the bodies.
GROUP_BYTES = 4 * 2**20

# Decoded rows may take several times the bytes of their bodies. Beyond so much that is not committed yet, nothing more
# is decoded; bodies wait in their queue then, whose bytes are bounded.
AHEAD_BYTES = 128 * 2**20

_PREFIX = {"traces": "spans", "logs": "log_records"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """An export that is on disk but for what of it could not be kept."""

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """A body as protobuf bytes, and who waits for its answer: Accepted, or a Refusal.

    `again` marks one whose group could not be committed: it has another try, alone. `since` is when it was taken, by
    the monotonic clock.
    """

    wire: "NDArray[np.uint8]"
    signal: "Literal['traces', 'logs']"
    arrival: "Arrival | None" = None
    again: bool = False
    answer: "Future[Accepted]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Decoder(Stage[Export]):
    """The stage between the receivers and the writer, with its own queue and thread."""

    def __init__(self, committer: "Committer", settings: "Settings", counters: "Counters", refusals: log.Tally) -> None:
        super().__init__("traceguard-decode")
        self._committer = committer
        self._settings = settings
        self._counters = counters
        self._refusals = refusals
        counters.watch("queued_requests", lambda: float(self._queue.qsize()))
        self._ahead = 0
        self._room = threading.Condition()

    def submit(self, export: Export) -> "Future[Accepted]":
        """Queue a body; its answer. Busy once the server is stopping."""
        # A caller that goes away must not cancel what is about to be answered.
        export.answer.set_running_or_notify_cancel()
        self.put(export)
        return export.answer

    def _gather(self, group: list[Export]) -> bool:
        """The first body, and what else is there."""
        size = 0
        export = self._queue.get()
        while export is not None:
            group.append(export)
            size += export.wire.size
            if size >= GROUP_BYTES:
                return False
            try:
                export = self._queue.get_nowait()
            except queue.Empty:
                return False
        return True

    def _work(self, group: list[Export]) -> None:
        for (_, alone), alike in groupby(sorted(group, key=_kind), key=_kind):
            exports = list(alike)
            for together in [[export] for export in exports] if alone else [exports]:
                self._take(together)

    def _give_up(self, group: list[Export], error: Exception) -> None:
        _refuse([export for export in group if not export.answer.done()], error)

    def _take(self, group: list[Export]) -> None:
        """Decode and hand on bodies of one signal; whatever happens, each gets its answer."""
        with self._room:
            self._room.wait_for(lambda: self._ahead <= AHEAD_BYTES)
        group = _in_time(group)
        if not group:
            return
        try:
            batch = self._decoded(group)
            if len(group) > 1 and batch.refused:
                self._take_each(group)
                return
            if not group[0].again:
                self._count(group, batch)
            committed = self._committer.submit(batch, len(group), _traced(group))
        except Exception as error:  # noqa: BLE001  (whatever it was, the exporters must be answered)
            if len(group) > 1:
                self._take_each(group)
            else:
                fault = "A request could not be decoded for a fault of traceguard's."
                _refuse(group, refusal_of(error, "decoding_failed", fault))
            return
        size = _size(batch)
        self._hold(size)
        committed.add_done_callback(lambda _: self._hold(-size))
        committed.add_done_callback(lambda done: self._answer(group, batch, done))

    def _hold(self, size: int) -> None:
        with self._room:
            self._ahead += size
            self._room.notify()

    def _take_each(self, group: list[Export]) -> None:
        for export in group:
            self._take([export])

    def _decoded(self, group: list[Export]) -> "Decoded":
        from traceguard.otlp.request import decode_joined

        return decode_joined([export.wire for export in group], group[0].signal, self._settings)

    def _count(self, group: list[Export], batch: "Decoded") -> None:
        kind = _PREFIX[group[0].signal]
        self._counters.add(f"{kind}_received", batch.received)
        for reason, count in batch.refused.items():
            self._counters.add(f"{kind}_refused", count, reason)
            self._refusals.note(f"{kind.replace('_', ' ')}: {reason}", count)
        arrival = group[0].arrival
        if arrival is not None:
            arrival.decoded(batch.spans, group[0].wire.size)

    def _answer(self, group: list[Export], batch: "Decoded", done: "Future[None]") -> None:
        """Tell the exporters what became of their transaction; one body may have spoiled it for its companions."""
        failure = done.exception()
        kind = _PREFIX[group[0].signal]
        rejected = sum(batch.refused.values())
        if failure is None:
            told = ", ".join(f"{count} {kind.replace('_', ' ')}: {reason}" for reason, count in batch.refused.items())
            accepted = Accepted(rejected, f"Not kept: {told}." if told else "")
            for export in group:
                export.answer.set_result(accepted)
            return
        if len(group) > 1:
            with contextlib.suppress(Busy):  # stopping: no other try
                self.put(*(replace(export, again=True) for export in group))
                return
        self._counters.add(f"{kind}_refused", batch.received - rejected, "commit_failed")
        _refuse(group, failure)


def _in_time(group: list[Export]) -> list[Export]:
    """Those that did not wait too long; the others are told to come again."""
    oldest = time.monotonic() - PATIENCE_SECONDS
    late = [export for export in group if export.since < oldest]
    _refuse(late, overdue())
    return [export for export in group if export.since >= oldest] if late else group


def _kind(export: Export) -> tuple[str, bool]:
    """What may be decoded together: bodies of a signal, but for those that go alone."""
    return export.signal, export.again or bool(_traced([export]))


def _size(batch: "Decoded") -> int:
    """The bytes of all its rows."""
    tables = (batch.spans, batch.logs, batch.flag_records, batch.correlations)
    return sum(table.nbytes for table in tables if table.num_rows)


def _traced(group: list[Export]) -> "list[Span]":
    spans = (export.arrival.span for export in group if export.arrival is not None)
    return [span for span in spans if span is not None]


def _refuse(group: list[Export], refusal: BaseException) -> None:
    for export in group:
        export.answer.set_exception(refusal)
