"""Where in a request: its entry point, an operation on its way, and on which side of a call."""

from typing import Literal

from traceguard.model.document import Document

Locus = Literal["self", "inbound"]


class Entry(Document):
    """An entry point: the service and operation of a request's root span.

    `environment` is set only where a store holds several.
    """

    service: str
    operation: str
    environment: str | None = None


class Step(Document):
    """An operation on the way of an error."""

    service: str
    operation: str
