"""Exports in, whichever way they came: bytes are decoded in the caller's thread and queued for the next commit.

What always holds: an export is answered with success only after its spans are on disk; a refused one leaves nothing.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.errors import InputError
from traceguard.server import dropped, log
from traceguard.server.arrivals import Arrivals
from traceguard.server.budget import MIB
from traceguard.server.refusal import Malformed, Refusal

if TYPE_CHECKING:
    from traceguard.server.answers import Encoding, Signal
    from traceguard.server.arrivals import Arrival
    from traceguard.server.budget import Budget
    from traceguard.server.commit import Committer
    from traceguard.server.counters import Counters
    from traceguard.settings import Settings

# The protocol wants a limit and recommends this one, as sent and decompressed.
BODY_BYTES = 64 * MIB

_PREFIX = {"traces": "spans", "logs": "log_records"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """An export that was understood. It may be acknowledged once `committed` is done, with what could not be kept."""

    committed: "Future[None]"
    rejected: int = 0
    message: str = ""


class Receiver:
    """Decodes exports and hands them to the committer; `max_body` bounds a body in bytes, sent and unpacked."""

    def __init__(
        self,
        committer: "Committer",
        settings: "Settings",
        counters: "Counters",
        budget: "Budget",
        max_body: int = BODY_BYTES,
    ) -> None:
        self.budget = budget
        self.arrivals = Arrivals(counters)
        self.refusals = log.Tally(_tell_refusals)
        self.max_body = max_body
        self._committer = committer
        self._settings = settings
        self._counters = counters

    def accept(self, body: bytes, encoding: "Encoding", signal: "Signal", arrival: "Arrival | None" = None) -> Accepted:
        """Decode one body. Malformed if it does not parse whole; Busy if the server is stopping."""
        if signal == "metrics":
            points = dropped.data_points(body, encoding)
            self._counters.add("metric_points_dropped", points)
            done: Future[None] = Future()
            done.set_result(None)
            return Accepted(
                done, points, "traceguard keeps traces and logs only; metrics are dropped." if points else ""
            )
        from traceguard.otlp import decode

        try:
            batch = decode(body, encoding=encoding, signal=signal, settings=self._settings)
        except InputError as error:
            raise Malformed(str(error)) from error
        except Exception as error:
            # A fault of ours: the trace goes to the log, and the client does not send again what broke us.
            log.failure("decoding_failed", "A request could not be decoded for a fault of traceguard's.", error)
            raise Refusal(f"traceguard failed inside ({type(error).__name__}); its log shows where.") from error
        kind = _PREFIX[signal]
        self._counters.add(f"{kind}_received", batch.received)
        for reason, count in batch.refused.items():
            self._counters.add(f"{kind}_refused", count, reason)
            self.refusals.note(f"{kind.replace('_', ' ')}: {reason}", count)
        if arrival is not None:
            arrival.decoded(batch.spans, len(body))
        try:
            committed = self._committer.submit(batch, arrival.span if arrival else None)
        except Refusal as refusal:
            self._counters.add(f"{kind}_refused", batch.received, refusal.reason)
            raise
        kept = batch.received - sum(batch.refused.values())
        committed.add_done_callback(lambda done: self._count_failure(done, kind, kept))
        told = ", ".join(f"{count} {kind.replace('_', ' ')}: {reason}" for reason, count in batch.refused.items())
        return Accepted(committed, sum(batch.refused.values()), f"Not kept: {told}." if told else "")

    def refused(self, refusal: Refusal) -> None:
        """Count a request that was refused whole."""
        self._counters.add("requests_refused", label=refusal.reason)
        self.refusals.note(f"requests: {refusal.reason}")

    def _count_failure(self, done: "Future[None]", kind: str, spans: int) -> None:
        if done.exception() is not None:
            self._counters.add(f"{kind}_refused", spans, "commit_failed")


def _tell_refusals(kind: str, count: int, *, again: bool) -> None:
    what, _, reason = kind.partition(": ")
    sentence = f"Refused {count:,} more {what} within a minute: {reason}." if again else f"Refused {what}: {reason}."
    log.warning("refused", sentence, what=what, reason=reason, count=count)
