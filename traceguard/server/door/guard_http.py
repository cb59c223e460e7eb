"""The door of the HTTP port: who calls, may they do this, and is it they who ask or a web page behind their back.

It stands before the routes, so nothing of a body is read for a request that is refused. A browser shows its own name
and password prompt for the page; the password is the token.
"""

import base64
import binascii
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from traceguard.server.door.address import Address
from traceguard.server.intake import otlp_http
from traceguard.server.intake.refusal import Forbidden, Refusal, Unauthenticated
from traceguard.server.questions.api import error

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from traceguard.server.door.access import Access, Role

_OPEN = {"/healthz", "/readyz"}
_READING = {"GET", "HEAD", "OPTIONS"}


class Guard:
    """Passes on what `access` allows; with `local_only`, whoever is on this machine may do everything.

    `refused` is told of exports that are refused.
    """

    def __init__(
        self, app: "ASGIApp", access: "Access", *, local_only: bool, refused: "Callable[[Refusal], None]"
    ) -> None:
        self._app = app
        self._access = access
        self._local_only = local_only
        self._refused = refused

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """ASGI: answer one request, or hand it on."""
        app: Any = self._app
        if scope["type"] == "http":
            request = Request(scope)
            try:
                self._check(request)
            except Refusal as refusal:
                if exports(request):
                    self._refused(refusal)
                app = _answer(request, refusal)
        await app(scope, receive, send)

    def _check(self, request: Request) -> None:
        if self._local_only:
            _refuse_other_names(request)
        if not exports(request):
            _refuse_other_sites(request)
        role = _needed(request)
        if role is None:
            return
        if role == "admin" and not self._local_only and not self._access.digests:
            raise Forbidden("This server has no token to administer it; start it again with TRACEGUARD_ADMIN_TOKEN.")
        try:
            self._access.check(role, _token(request))
        except Forbidden as wrong_role:
            if _by_person(request):
                # Whoever typed the wrong one is asked again; the browser would go on sending it for ever.
                raise Unauthenticated(str(wrong_role)) from None
            raise


def exports(request: Request) -> bool:
    """Whether a request goes to the paths of OTLP."""
    return path(request).startswith("/v1/")


def path(request: Request) -> str:
    """The path that the routes match. `request.url` is put together with the Host header, which may hold anything."""
    found: str = request.scope["path"]
    return found


def bearer(authorization: str) -> str | None:
    """The token of an `Authorization` header; None for another scheme."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _needed(request: Request) -> "Role | None":
    """The role that a request takes; what is not known to read or write only changes something."""
    if exports(request):
        return "write"
    if request.method not in _READING:
        return "admin"
    return None if path(request) in _OPEN else "read"


def _token(request: Request) -> str | None:
    """The token that came along: as a bearer's or, where people ask, as the password of a browser's prompt."""
    given = request.headers.getlist("authorization")
    if len(given) != 1:
        return None
    scheme, _, credentials = given[0].partition(" ")
    if scheme.lower() != "basic" or exports(request):
        return bearer(given[0])
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _refuse_other_names(request: Request) -> None:
    """Forbidden for a request that names this server by another machine's name.

    A web page elsewhere may point its own host name at 127.0.0.1; the browser then takes this server for that site.
    Exporters have reasons for other names (containers), but they have no origin; a page always has one when it sends.
    """
    if not exports(request):
        host = request.headers.get("host", "")
    elif (origin := request.headers.get("origin")) is not None:
        host = origin.partition("://")[2]
    else:
        return
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not Address(name.strip("[]").lower(), 0).loopback:
        raise Forbidden("This server listens on this machine only; ask it as 127.0.0.1 or localhost.")


def _refuse_other_sites(request: Request) -> None:
    """Forbidden for what another web site makes a browser send, with the visitor's password: all but a followed link.

    What newer browsers say about a request decides; of older ones, its origin
    (https://web.dev/articles/fetch-metadata, and CrossOriginProtection of Go's net/http).
    """
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        link = request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
        own = site in {"same-origin", "none"} or (link and headers.get("sec-fetch-dest") == "document")
    else:
        origin = headers.get("origin")
        own = origin is None or origin.partition("://")[2] == headers.get("host")
    if not own:
        raise Forbidden(
            "This request comes from another web site, which must not ask here; open this server's own page."
        )


def _by_person(request: Request) -> bool:
    """Whether a browser asks for a page to show."""
    return not exports(request) and "text/html" in request.headers.get("accept", "")


def _answer(request: Request, refusal: Refusal) -> Response:
    if exports(request):
        answer = otlp_http.refuse(request, refusal.http_status, refusal.code, str(refusal))
    elif _by_person(request):
        hint = " The browser asks for a name and a password: the token is the password, any name will do."
        unknown = isinstance(refusal, Unauthenticated)
        answer = PlainTextResponse(f"{refusal}{hint if unknown else ''}\n", refusal.http_status)
    else:
        answer = error(str(refusal), refusal.http_status)
    if isinstance(refusal, Unauthenticated):
        answer.headers["WWW-Authenticate"] = f'{"Basic" if _by_person(request) else "Bearer"} realm="traceguard"'
    return answer
