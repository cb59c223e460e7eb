"""A store that a running server owns: questions go to its `/api` routes, with the command line's options as parameters.

Only names and values travel, never SQL. The answer is the body as the server rendered it; what the server refuses is
raised here as the same branch of the error tree that the command would have raised on a file.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from traceguard.errors import StoreError, TraceguardError, UnknownNameError, UsageError

# A report over a large window takes a while; a server that is gone refuses the connection at once.
TIMEOUT_SECONDS = 600.0

# The header of a server's answer that tells scripts what decides a command's exit code, whatever format the body has.
VERDICT_HEADER = "Traceguard-Verdict"

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def is_url(store: object) -> bool:
    """Whether a store is named by the URL of a server."""
    return isinstance(store, str) and store.startswith(("http://", "https://"))


def ask(url: str, route: str, params: Mapping[str, object]) -> bytes:
    """GET `{url}/api/{route}` with `params` (None values left out; sequences repeat their name); the answer's body.

    StoreError where no server answers; the error that the server names where it refuses (400 usage, 404 unknown name).
    """
    with _get(url, route, params) as response:
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
    parts = urlsplit(url)
    if not parts.hostname:
        raise UsageError(f"{url!r} is not a server's URL; write it like http://127.0.0.1:4318.")
    given = {name: value for name, value in params.items() if value is not None and value is not False}
    target = f"{url.rstrip('/')}/api/{quote(route)}?{urlencode(given, doseq=True)}"
    # A proxy of the environment stands between this machine and others, never between it and itself.
    opener = build_opener(*([ProxyHandler({})] if parts.hostname in _LOOPBACK else []))
    try:
        response: HTTPResponse = opener.open(Request(target), timeout=TIMEOUT_SECONDS)  # noqa: S310  (http or https)
    except HTTPError as error:
        with error:
            raise _refusal(url, error.code, error.read()) from None
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        message = f"No traceguard server answers at {url} ({reason}); start `traceguard serve`, or name a store's file."
        raise StoreError(message) from None
    return response


def _refusal(url: str, status: int, body: bytes) -> TraceguardError:
    """The error of the tree that a refusing answer stands for, in the server's own sentence where it sent one."""
    try:
        sentence = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"The server at {url} answered with status {status}; is it a traceguard server of this version?"
    if status == 404:
        return UnknownNameError(sentence)
    if status == 503:
        return StoreError(sentence)
    return UsageError(sentence) if status < 500 else TraceguardError(sentence)
