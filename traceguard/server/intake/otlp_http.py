"""OTLP over HTTP: protobuf and JSON on one path, plain or compressed, whole or in chunks.

The answer has the request's content type, errors included. What takes a while (unpacking, JSON) happens in worker
threads, so that the loop goes on reading other requests.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from traceguard.server.intake.answers import CONTENT_TYPES, status, success
from traceguard.server.intake.codings import ACCEPTED, named, oversize, unpack
from traceguard.server.intake.linger import Lingering
from traceguard.server.intake.receiver import ANSWER_SECONDS
from traceguard.server.intake.refusal import (
    PATIENCE_SECONDS,
    Oversize,
    Refusal,
    Slow,
    UnknownCoding,
    Unsupported,
    overdue,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from traceguard.server.intake.answers import Encoding, Signal
    from traceguard.server.intake.arrivals import Arrival
    from traceguard.server.intake.budget import Reservation
    from traceguard.server.intake.codings import Coding
    from traceguard.server.intake.decoder import Accepted
    from traceguard.server.intake.receiver import Receiver

BODY_SECONDS, _SILENCE_SECONDS = 60.0, 10.0

_PATHS: "dict[Signal, str]" = {"traces": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}


def routes(receiver: "Receiver", pool: ThreadPoolExecutor) -> list[Route]:
    """The routes that take exports; bodies are unpacked in `pool`."""
    return [Route(path, _export(receiver, signal, pool), methods=["POST"]) for signal, path in _PATHS.items()]


def encoding_of(request: Request) -> "Encoding | None":
    """What the request's content type says of its body; None for anything that OTLP does not know."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return next((encoding for encoding, known in CONTENT_TYPES.items() if kind == known), None)


def _known_encoding(request: Request) -> "Encoding":
    encoding = encoding_of(request)
    if encoding is None:
        raise Unsupported(f"The content type is not OTLP's; send {' or '.join(CONTENT_TYPES.values())}.")
    return encoding


def refuse(request: Request, http_status: int, code: int, message: str, retry_seconds: int | None = None) -> Response:
    """An error as the protocol wants it: a google.rpc.Status in the request's encoding (JSON where that is unknown)."""
    encoding = encoding_of(request) or "json"
    headers = {} if retry_seconds is None else {"Retry-After": str(retry_seconds)}
    body = status(code, message, encoding, retry_seconds)
    return Response(body, http_status, headers, media_type=CONTENT_TYPES[encoding])


def _export(
    receiver: "Receiver", signal: "Signal", pool: ThreadPoolExecutor
) -> "Callable[[Request], Awaitable[Response]]":
    async def export(request: Request) -> Response:
        with receiver.arrivals("http", _PATHS[signal], request.headers.items) as arrival:
            answer = await answered(request, arrival)
            arrival.answered(answer.status_code)
            return answer

    async def answered(request: Request, arrival: "Arrival") -> Response:
        try:
            with receiver.budget.reservation() as reservation:
                encoding = _known_encoding(request)
                coding = named(",".join(request.headers.getlist("content-encoding")))
                body = await _read(request, receiver.max_body, reservation)
                since = time.monotonic()
                committed = await _accept(body, encoding, coding, reservation, arrival)
                patience = ANSWER_SECONDS - (time.monotonic() - since)
                try:
                    accepted = await asyncio.wait_for(asyncio.wrap_future(committed), patience)
                except TimeoutError:
                    reservation.keep_until(committed)
                    raise receiver.late() from None
        except ClientDisconnect:
            return Response(status_code=400)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  (every exporter gets an answer in its words)
            refusal = receiver.refusal(error)
            receiver.refused(refusal)
            return _refused(request, refusal)
        told = success(signal, encoding, accepted.rejected, accepted.message)
        return Response(told, media_type=CONTENT_TYPES[encoding])

    async def _accept(
        body: bytearray, encoding: "Encoding", coding: "Coding | None", reservation: "Reservation", arrival: "Arrival"
    ) -> "Future[Accepted]":
        if coding is None and encoding == "protobuf" and signal != "metrics":
            return receiver.accept(body, encoding, signal, arrival)

        since = time.monotonic()

        def work() -> "Future[Accepted]":
            if time.monotonic() - since > PATIENCE_SECONDS:
                raise overdue()
            plain = unpack(body, coding, receiver.max_body, reservation)
            return receiver.accept(plain, encoding, signal, arrival)

        return await asyncio.get_running_loop().run_in_executor(pool, work)

    return export


def _refused(request: Request, refusal: Refusal) -> Response:
    answer = refuse(request, refusal.http_status, refusal.code, str(refusal), refusal.retry_seconds)
    if isinstance(refusal, UnknownCoding):
        answer.headers["Accept-Encoding"] = ACCEPTED
    if getattr(request.state, "arrived", False):
        return answer
    if isinstance(refusal, (Slow, Oversize)):
        # What is still on its way is too much or too slow to wait for; the connection cannot be used again.
        answer.headers["Connection"] = "close"
    return answer if isinstance(refusal, Slow) else Lingering(answer.body, answer.status_code, answer.headers)


async def _read(request: Request, limit: int, reservation: "Reservation") -> bytearray:
    """The body as sent, at most `limit` bytes, in at most `BODY_SECONDS`; `request.state.arrived` tells it is all.

    What has arrived takes room from others, so it may not stay for long without the rest.
    """
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limit:
        raise oversize(limit)
    body = bytearray()
    arrived = False
    clock = asyncio.get_running_loop().time
    until = clock() + BODY_SECONDS
    try:
        while not arrived:
            async with asyncio.timeout(min(_SILENCE_SECONDS, until - clock())):
                message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            request.state.arrived = arrived = not message.get("more_body", False)
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > limit:
                raise oversize(limit)
            reservation.add(len(chunk))
            body += chunk
    except TimeoutError:
        raise Slow("The body did not arrive in time; send it again.") from None
    return body
