"""Exports in, whichever way they came, as protobuf bytes that wait to be decoded and committed.

What always holds: an export is answered with success only after its spans are on disk; a refused one leaves nothing.
"""

from concurrent.futures import Future
from typing import TYPE_CHECKING

from traceguard.errors import InputError
from traceguard.server.intake import dropped
from traceguard.server.intake.arrivals import Arrivals
from traceguard.server.intake.budget import MIB
from traceguard.server.intake.decoder import Accepted, Decoder, Export
from traceguard.server.intake.refusal import Busy, Malformed, Refusal, refusal_of
from traceguard.server.watch import log

if TYPE_CHECKING:
    from traceguard.server.intake.answers import Encoding, Signal
    from traceguard.server.intake.arrivals import Arrival
    from traceguard.server.intake.budget import Budget
    from traceguard.server.intake.commit import Committer
    from traceguard.server.watch.counters import Counters
    from traceguard.settings import Settings

# Whoever waits longer for the disk is asked to come again; if the first try is stored after all, both count once. With
# what a call waits for its turn to be read, and some time on the way, it is less than ten seconds.
ANSWER_SECONDS = 7.0

# The protocol wants a limit and recommends this one, as sent and decompressed.
BODY_BYTES = 64 * MIB


class Receiver:
    """Takes exports on their way to the committer; `max_body` bounds a body in bytes, sent and unpacked."""

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
        self._counters = counters
        committer.arrived = self.arrivals.pending
        self._decoder = Decoder(committer, settings, counters, self.refusals)

    def start(self) -> None:
        """Begin to decode what comes."""
        self._decoder.start()

    def close(self) -> None:
        """Hand on what was taken, and take no more."""
        self._decoder.close()

    def accept(
        self, body: "bytes | bytearray", encoding: "Encoding", signal: "Signal", arrival: "Arrival | None" = None
    ) -> Future[Accepted]:
        """Take one plain body, which must not change from now on; its answer once it is on disk.

        JSON is transcoded here, in the caller's thread. Refusals that are known at once are raised, others are the
        answer's: Malformed if the body does not parse whole, NotCommitted, or Busy if the server is stopping.
        """
        if signal == "metrics":
            points = dropped.data_points(body, encoding)
            self._counters.add("metric_points_dropped", points)
            done: Future[Accepted] = Future()
            told = "traceguard keeps traces and logs only; metrics are dropped." if points else ""
            done.set_result(Accepted(points, told))
            return done
        from traceguard.otlp.request import to_wire

        try:
            wire = to_wire(body, encoding, signal)
        except InputError as error:
            raise Malformed(str(error)) from error
        return self._decoder.submit(Export(wire, signal, arrival))

    def late(self) -> Refusal:
        """What to say when an answer does not come in time."""
        return Busy("The store is slow to write right now; send this request again in a moment.")

    def refusal(self, error: BaseException) -> Refusal:
        """What to say for whatever ended a request."""
        return refusal_of(error, "request_failed", "A request failed for a fault of traceguard's.")

    def refused(self, refusal: Refusal) -> None:
        """Count a request that was refused whole."""
        self._counters.add("requests_refused", label=refusal.reason)
        self.refusals.note(f"requests: {refusal.reason}")


def _tell_refusals(kind: str, count: int, *, again: bool) -> None:
    what, _, reason = kind.partition(": ")
    sentence = f"Refused {count:,} more {what} within a minute: {reason}." if again else f"Refused {what}: {reason}."
    log.warning("refused", sentence, what=what, reason=reason, count=count)
