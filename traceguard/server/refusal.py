"""What the receiver refuses, each with its answer in both protocols.

Statuses follow OTLP 1.11: malformed input is final, a lack of room or a failing disk is worth another try. Only
oversize is RESOURCE_EXHAUSTED, because clients take that as final.
"""

from traceguard.errors import TraceguardError

# Codes of google.rpc.Code.
INVALID_ARGUMENT = 3
NOT_FOUND = 5
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16


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


class NotCommitted(Refusal):
    """The store could not be written; nothing of the request is kept."""

    reason = "commit_failed"
    http_status = 503
    code = UNAVAILABLE
    retry_seconds = 5
