"""What changes the store on demand: `POST /api/forget`, for those who may administer it.

The body is a JSON object: `unit`, the id of a person, and perhaps `key`, the attribute that holds it, and `dry_run`.
Nobody repeats the id: no answer and no log line holds it.
"""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from traceguard.errors import TraceguardError, UsageError
from traceguard.server.questions.api import error
from traceguard.server.watch import log

if TYPE_CHECKING:
    from traceguard.server.upkeep.keeper import Keeper
    from traceguard.settings import Settings

_BODY_BYTES = 64 * 2**10

_FIELDS: dict[str, tuple[type, ...]] = {"unit": (str,), "key": (str, type(None)), "dry_run": (bool,)}


class Admin:
    """The routes that only administrators may use."""

    def __init__(self, keeper: "Keeper", settings: "Settings") -> None:
        self._keeper = keeper
        self._settings = settings

    def routes(self) -> list[Route]:
        """All of them, to POST."""
        return [Route("/api/forget", self._forget, methods=["POST"])]

    async def _forget(self, request: Request) -> Response:
        from traceguard import pipeline

        try:
            given = _fields(await _body(request))
            person = pipeline.person(given["unit"], given.get("key"), self._settings)
            removed = await asyncio.wrap_future(self._keeper.forget(person, rehearse=given.get("dry_run", False)))
        except TraceguardError as refused:
            return error(str(refused), refused.http_status)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as failure:  # noqa: BLE001  (an answer without the message, which may quote the id)
            log.failure("forget_failed", "Forgetting failed inside.", failure)
            return error(f"traceguard failed inside ({type(failure).__name__}); its log shows where.", 500)
        return JSONResponse(removed.to_dict())


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise UsageError(f"The body is larger than {_BODY_BYTES} bytes; send an object with the field unit.")
    return bytes(body)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise UsageError('The body is not a JSON object; send one such as {"unit": "ID"}.')
    if not set(given) <= set(_FIELDS):
        raise UsageError(f"The body has a field that is not known; there are {', '.join(_FIELDS)}.")
    if "unit" not in given:
        raise UsageError("The field unit is missing: the id of the person to forget.")
    for name, value in given.items():
        if not isinstance(value, _FIELDS[name]):
            raise UsageError(f"The field {name} is of the wrong type; unit and key are text, dry_run is true or false.")
    return given
