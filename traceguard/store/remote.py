"""A store that a running server owns: questions go to its `/api` routes, with the command line's options as parameters.

Only names and values travel, never SQL. The answer is the body as the server rendered it; what the server refuses is
raised here as the same branch of the error tree that the command would have raised on a file.

The environment says who asks: a token in `TRACEGUARD_TOKEN`, the authority that signed the server's certificate in
`TRACEGUARD_CA_FILE` (default: the system's), a certificate of one's own in `TRACEGUARD_CLIENT_CERT` and
`TRACEGUARD_CLIENT_KEY`. Redirects are not followed, so that the token goes nowhere else.
"""

import json
import os
import shutil
import ssl
import tempfile
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import BaseHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from traceguard.errors import StoreError, TraceguardError, UnknownNameError, UsageError
from traceguard.store import tls

# A report over a large window takes a while; a server that is gone refuses the connection at once.
TIMEOUT_SECONDS = 600.0

# The header of a server's answer that tells scripts what decides a command's exit code, whatever format the body has.
VERDICT_HEADER = "Traceguard-Verdict"

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_TOKEN = "TRACEGUARD_TOKEN"  # noqa: S105  (the variable's name)
_CA_FILE = "TRACEGUARD_CA_FILE"
_CLIENT_CERT = "TRACEGUARD_CLIENT_CERT"
_CLIENT_KEY = "TRACEGUARD_CLIENT_KEY"


def is_url(store: object) -> bool:
    """Whether a store is named by the URL of a server."""
    return isinstance(store, str) and store.startswith(("http://", "https://"))


def ask(url: str, route: str, params: Mapping[str, object]) -> bytes:
    """GET `{url}/api/{route}` with `params` (None values left out; sequences repeat their name); the answer's body.

    StoreError where no server answers; the error that the server names where it refuses (400 usage, 404 unknown name).
    """
    with _get(url, route, params) as response:
        return response.read()


def post(url: str, route: str, document: Mapping[str, object]) -> bytes:
    """POST `document` as JSON to `{url}/api/{route}`; the answer's body, or errors as `ask`."""
    body = json.dumps(document).encode()
    request = Request(f"{url.rstrip('/')}/api/{quote(route)}", body, {"Content-Type": "application/json"})  # noqa: S310
    with _send(url, request) as response:
        return response.read()


def download(url: str, route: str, out: Path) -> None:
    """GET `{url}/api/{route}` into the file `out`, which appears whole or not at all and never replaces another."""
    if out.exists():
        raise UsageError(f"{out} exists already; name a file that does not, or remove it first.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out} cannot be written because its folder does not exist; make it first.")
    with _get(url, route, {}) as answer, tempfile.TemporaryDirectory(dir=out.absolute().parent) as beside:
        part = Path(beside) / out.name
        with part.open("wb") as file:
            shutil.copyfileobj(answer, file)
        part.rename(out)


def _get(url: str, route: str, params: Mapping[str, object]) -> HTTPResponse:
    given = {name: value for name, value in params.items() if value is not None and value is not False}
    return _send(url, Request(f"{url.rstrip('/')}/api/{quote(route)}?{urlencode(given, doseq=True)}"))  # noqa: S310


def _send(url: str, request: Request) -> HTTPResponse:
    """The answer to a request to the server at `url`, in the name of whom the environment says; errors are raised."""
    parts = urlsplit(url)
    if "@" in parts.netloc:
        # The sentence does not repeat the URL: what stands in it may be secret.
        raise UsageError(f"A server's URL takes no name and no password; put the token into {_TOKEN}.")
    if not parts.hostname:
        raise UsageError(f"{url!r} is not a server's URL; write it like http://127.0.0.1:4318.")
    handlers: list[BaseHandler] = [_Staying()]
    if parts.hostname in _LOOPBACK:
        # A proxy of the environment stands between this machine and others, never between it and itself.
        handlers.append(ProxyHandler({}))
    if parts.scheme == "https":
        handlers.append(HTTPSHandler(context=tls.client_context(*map(_file, (_CA_FILE, _CLIENT_CERT, _CLIENT_KEY)))))
    token = os.environ.get(_TOKEN, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise UsageError(f"What stands in {_TOKEN} is not a token; it has letters, digits and -._~+/ on one line.")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        response: HTTPResponse = build_opener(*handlers).open(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        with error:
            raise _refusal(url, error.code, error.read(), known=bool(token)) from None
    except (URLError, HTTPException, OSError) as error:
        raise _unreachable(url, error.reason if isinstance(error, URLError) else error) from None
    return response


class _Staying(HTTPRedirectHandler):
    """Follows no redirect; it is an error like any other status."""

    def redirect_request(self, *_: Any) -> None:
        """Nothing to ask instead."""


def _file(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def _unreachable(url: str, cause: object) -> StoreError:
    """Why there is no answer at all, and what may help."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = f"is not trusted here ({cause.verify_message})"
        return StoreError(f"The certificate of {url} {why}; name the authority that signed it in {_CA_FILE}.")
    # Whoever wants a certificate says so after the handshake, or just hangs up.
    secured = url.startswith("https://")
    if secured and isinstance(cause, ssl.SSLError | RemoteDisconnected | ConnectionResetError):
        hint = f"it may want a certificate of yours in {_CLIENT_CERT} and {_CLIENT_KEY}, or speak no TLS (http://)"
        return StoreError(f"The server at {url} broke off TLS ({cause}); {hint}.")
    if isinstance(cause, HTTPException) and not isinstance(cause, RemoteDisconnected):
        return StoreError(f"What answers at {url} does not speak HTTP; name the server's HTTP port, not its gRPC port.")
    hint = "start `traceguard serve`, or name a store's file"
    if isinstance(cause, RemoteDisconnected | ConnectionResetError):
        hint = "if it speaks TLS, name it with https://"
    return StoreError(f"No traceguard server answers at {url} ({cause}); {hint}.")


def _refusal(url: str, status: int, body: bytes, *, known: bool) -> TraceguardError:
    """The error of the tree that a refusing answer stands for, in the server's own sentence where it sent one."""
    if status == 401:
        wrong = "does not know the token" if known else "wants a token"
        return UsageError(f"The server at {url} {wrong}; put one that may do this into {_TOKEN}.")
    if 300 <= status < 400:
        return UsageError(f"The server at {url} points elsewhere (status {status}); name the store's own URL.")
    try:
        sentence = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"The server at {url} answered with status {status}; is it a traceguard server of this version?"
    if status == 404:
        return UnknownNameError(sentence)
    if status == 503:
        return StoreError(sentence)
    return UsageError(sentence) if status < 500 else TraceguardError(sentence)
