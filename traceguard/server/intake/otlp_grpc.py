"""OTLP over gRPC: the Export methods as raw bytes, so that a request is never turned into Python objects."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from traceguard.errors import UsageError
from traceguard.server.intake.answers import status, success
from traceguard.server.intake.calls import MOST, Calls
from traceguard.server.intake.codings import unpack_message
from traceguard.server.intake.receiver import ANSWER_SECONDS
from traceguard.server.intake.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from traceguard.server.door.address import Address
    from traceguard.server.intake.answers import Signal
    from traceguard.server.intake.arrivals import Arrival
    from traceguard.server.intake.budget import Reservation
    from traceguard.server.intake.decoder import Accepted
    from traceguard.server.intake.receiver import Receiver

_SERVICES: "dict[Signal, str]" = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}

# A few more than there may be calls: somebody must be there to turn the others away.
_THREADS = MOST + 16

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcEndpoint:
    """A listening gRPC server; `address` is where it really listens, `credentials` are its side of TLS."""

    def __init__(
        self, receiver: "Receiver", address: "Address", guards: "Sequence[Any]" = (), credentials: Any = None
    ) -> None:
        self._calls = Calls()
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="traceguard-grpc"),
            options=[
                ("grpc.max_receive_message_length", receiver.max_body),
                # Messages arrive as sent: gRPC would unpack them before anyone counts their bytes.
                ("grpc.per_message_decompression", 0),
                # Two servers must not share a port unnoticed.
                ("grpc.so_reuseport", 0),
            ],
            interceptors=guards,
        )
        handlers = [
            grpc.method_handlers_generic_handler(
                service, {"Export": grpc.stream_unary_rpc_method_handler(_export(receiver, signal, self._calls))}
            )
            for signal, service in _SERVICES.items()
        ]
        self._server.add_generic_rpc_handlers(handlers)
        try:
            if credentials is None:
                port = self._server.add_insecure_port(str(address))
            else:
                port = self._server.add_secure_port(str(address), credentials)
        except RuntimeError:
            raise UsageError(
                f"OTLP/gRPC cannot listen on {address}, in use or not this machine's; name another address with --grpc."
            ) from None
        self.address = type(address)(address.host, port)

    def start(self) -> None:
        """Take requests."""
        self._calls.start()
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuse new requests, wait for those that are running, and let go of the port."""
        self._server.stop(grace_seconds).wait()
        self._calls.stop()


def abort(context: Any, refusal: Refusal) -> None:
    """End a call with what the refusal says, as gRPC's status and as a google.rpc.Status."""
    told = status(refusal.code, str(refusal), "protobuf", refusal.retry_seconds)
    context.set_trailing_metadata((("grpc-status-details-bin", told),))
    context.abort(_CODES[refusal.code], str(refusal))


def _export(receiver: "Receiver", signal: "Signal", calls: Calls) -> "Callable[[Iterator[bytes], Any], bytes]":
    """The handler of a method; as one that takes a stream, since that is asked before a message is read."""
    method = f"{_SERVICES[signal]}/Export"

    def export(messages: "Iterator[bytes]", context: Any) -> bytes:
        with receiver.arrivals("grpc", method, context.invocation_metadata) as arrival:
            try:
                with calls.one(), receiver.budget.reservation() as reservation:
                    accepted = _accepted(calls.read(messages, context), reservation, arrival)
            except Exception as error:  # noqa: BLE001  (every exporter gets an answer in its words)
                refusal = receiver.refusal(error)
                receiver.refused(refusal)
                arrival.answered(_CODES[refusal.code].name)
                abort(context, refusal)
            arrival.answered("OK")
            return success(signal, "protobuf", accepted.rejected, accepted.message)

    def _accepted(body: bytes, reservation: "Reservation", arrival: "Arrival") -> "Accepted":
        reservation.add(len(body))
        plain = unpack_message(body, receiver.max_body, reservation)
        committed = receiver.accept(plain, "protobuf", signal, arrival)
        try:
            return committed.result(ANSWER_SECONDS)
        except TimeoutError:
            reservation.keep_until(committed)
            raise receiver.late() from None

    return export
