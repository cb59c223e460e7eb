"""Answers that go out before the request has come in whole.

A client that writes its whole body before it reads would find the connection broken and never see why. So the answer is
sent at once, for clients that read meanwhile, and the rest of the body is thrown away for a short time before the
exchange ends.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

LINGER_SECONDS = 3.0


class Lingering(Response):
    """A Response that takes the rest of the body, for at most `LINGER_SECONDS`, and keeps nothing of it."""

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Send the answer whole, then end it when the body has passed by."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                message = await receive()
                while message["type"] == "http.request" and message.get("more_body", False):
                    message = await receive()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
