"""What the receiver refuses, each with its answer in both protocols.

Statuses follow OTLP 1.11: malformed input is final, a lack of room or a failing disk is worth another try. Only
oversize is RESOURCE_EXHAUSTED, because clients take that as final.
"""

from traceguard.errors import InputError, TraceguardError
from traceguard.server.watch import log

# Codes of google.rpc.Code.
INVALID_ARGUMENT = 3
NOT_FOUND = 5
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16


# Exporters are promised an answer within ten seconds. What waited in a line for longer than this is told to come again
# while there is time left: a body of 64 MiB takes some seconds to decode and commit.
PATIENCE_SECONDS = 3.0


class Refusal(TraceguardError):  # noqa: N818  (what it is to the client; an answer, no fault)
    """An export that is not taken; `reason` names it in the metrics, `retry_seconds` asks the client to try again."""

    reason = "internal"
    http_status = 500
    code = INTERNAL
    retry_seconds: int | None = None


class Unauthenticated(Refusal):
    """Nobody that the server knows."""

    reason = "unauthenticated"
    http_status = 401
    code = UNAUTHENTICATED


class Forbidden(Refusal):
    """Somebody known who may not do this, or a web page that must not do it for them."""

    reason = "forbidden"
    http_status = 403
    code = PERMISSION_DENIED


class Malformed(Refusal):
    """A body that is not what its headers say."""

    reason = "malformed"
    http_status = 400
    code = INVALID_ARGUMENT


class Unsupported(Refusal):
    """A content type that OTLP does not know, or a content encoding that is not taken."""

    reason = "unsupported"
    http_status = 415
    code = INVALID_ARGUMENT


class UnknownCoding(Unsupported):
    """A content encoding that is not taken; the answer says which ones are."""


class Oversize(Refusal):
    """A body beyond the limit, as sent or decompressed."""

    reason = "oversize"
    http_status = 413
    code = RESOURCE_EXHAUSTED


class Busy(Refusal):
    """No room for more right now."""

    reason = "busy"
    http_status = 503
    code = UNAVAILABLE
    retry_seconds = 1


class Slow(Busy):
    """A body that does not arrive."""

    reason = "slow"


class NotCommitted(Busy):
    """The store could not be written; nothing of the request is kept."""

    reason = "commit_failed"
    retry_seconds = 5


def refusal_of(error: BaseException, event: str, sentence: str) -> Refusal:
    """What to say for whatever ended a request: itself, a body that does not parse, or the server's stop.

    All else is a fault of ours: it goes to the log as `event` with `sentence`, and the client does not send again what
    broke us.
    """
    if isinstance(error, Refusal):
        # A request's frames hold its body; kept with what they hold, they would wait for Python to look for cycles.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        return error
    if isinstance(error, InputError):
        return Malformed(str(error))
    if not isinstance(error, Exception):
        return stopping()
    log.failure(event, sentence, error)
    return Refusal(f"traceguard failed inside ({type(error).__name__}); its log shows where.")


def stopping() -> Busy:
    """What to say once the server takes no more."""
    return Busy("The receiver is stopping; send this request again when it is back.")


def overdue() -> Busy:
    """What to say to a request that waited too long for its turn."""
    return Busy("The receiver has more to do than it can in time; send this request again in a second.")
