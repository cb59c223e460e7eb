"""The HTTP port as one application: exports, questions, health, metrics and the page, behind the same headers."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from traceguard.server.door.guard_http import Guard, exports, path
from traceguard.server.intake import otlp_http
from traceguard.server.intake.refusal import INTERNAL, NOT_FOUND, UNIMPLEMENTED
from traceguard.server.page.routes import refusal_page
from traceguard.server.questions.api import error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from traceguard.server.door.access import Access
    from traceguard.server.intake.receiver import Receiver
    from traceguard.server.watch.counters import Counters

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def build(
    receiver: "Receiver",
    questions: "Sequence[Route]",
    counters: "Counters",
    *,
    ready: "Callable[[], bool]",
    pool: ThreadPoolExecutor,
    access: "Access",
    local_only: bool,
) -> Starlette:
    """The application: exports, and `questions`, the routes of the API and the page, behind the `Guard`."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready: the store could not be written a moment ago, or the server stops\n", 503)

    async def metrics(_: Request) -> Response:
        return Response(counters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes = [
        *otlp_http.routes(receiver, pool),
        *questions,
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    guard = Middleware(Guard, access, local_only=local_only, refused=receiver.refused)
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_Headers), guard],
        exception_handlers={HTTPException: _http_error},  # type: ignore[dict-item]
    )
    # Exporters do not follow redirects with a body; a wrong path is told instead.
    app.router.redirect_slashes = False
    return app


async def _http_error(request: Request, exception: HTTPException) -> Response:
    """An unknown path or method: in OTLP's words for who exports, in the API's for who asks."""
    sentences = {
        404: f"There is nothing at {path(request)}; OTLP goes to /v1/traces or /v1/logs, questions to /api/.",
        405: f"{path(request)} does not take {request.method}; see the Allow header.",
    }
    sentence = sentences.get(exception.status_code, exception.detail)
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return refusal_page(sentence, exception.status_code)
    if exports(request) or (request.method == "POST" and not path(request).startswith("/api/")):
        code = {404: NOT_FOUND, 405: UNIMPLEMENTED}.get(exception.status_code, INTERNAL)
        answer = otlp_http.refuse(request, exception.status_code, code, sentence)
    else:
        answer = error(sentence, exception.status_code)
    answer.headers.update(exception.headers or {})
    return answer


class _Headers:
    """Adds the security headers that an answer does not set itself; no page may be framed by another."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
