"""What every document is: frozen, and strict about its fields; and the warnings that travel with the answers.

`SCHEMA_VERSION` is the version of all of them together: `Report`, for one, is only held against an older one of the
same version.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class Document(BaseModel):
    """Base of all documents: immutable, and strict about unknown fields so that a typo cannot pass silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_dict(self) -> dict[str, Any]:
        """The document as plain dictionaries and lists, ready for JSON."""
        return self.model_dump(mode="json")


class Warning(Document):  # noqa: A001  (the interface's own word; nothing here uses the builtin)
    """A caveat that travels with the result: a stable code and one sentence."""

    code: str
    message: str
